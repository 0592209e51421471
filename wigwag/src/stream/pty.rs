//! Pseudoterminal: bytes two ways through a terminal's line discipline; a program on it believes a person is there.

use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::Guarantees;
use crate::limit::{self, Limit, Source};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "pty",
    title: "pseudoterminal",
    noun: "pseudoterminal",
    family: Family::Stream,
    naming: Naming::Terminal,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Byte),
    direction: Some(Direction::TwoWay),
    reach: Reach::Host,
    pollable: true,
    named_by: "/dev/pts/N",
    lives: "last process",
    carries: "bytes, two ways, terminal discipline",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, TERMINALS],
    guarantees: Guarantees::STREAM,
    man: "pty(7)",
};

/// Pseudoterminals of the machine.
pub(crate) const TERMINALS: Limit = Limit {
    name: "kernel.pty.max",
    bounds: "pseudoterminals of the machine",
    source: Source::Sysctl("/proc/sys/kernel/pty/max", 0),
    errnos: &[libc::ENOSPC],
};
