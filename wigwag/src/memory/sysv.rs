//! System V shared memory: a region under a key, with a count of who has it attached.

use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees};
use crate::limit::{self, Limit, Source};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "sysv-shm",
    title: "System V shared memory",
    noun: "System V shared memory",
    family: Family::Memory,
    naming: Naming::Key,
    unnamed_form: true,
    persistence: Persistence::Kernel,
    boundary: None,
    direction: Some(Direction::Many),
    reach: Reach::Host,
    pollable: false,
    named_by: "key",
    lives: "removal or reboot",
    carries: "a mapped region",
    limits: &[SEGMENTS, BYTES, PAGES, limit::MAPS],
    guarantees: Guarantees {
        durability: Durability::Kernel,
        ..Guarantees::MEMORY
    },
    man: "sysvipc(7)",
};

/// Segments of an IPC namespace.
pub(crate) const SEGMENTS: Limit = Limit {
    name: "kernel.shmmni",
    bounds: "System V segments of the machine",
    source: Source::Sysctl("/proc/sys/kernel/shmmni", 0),
    errnos: &[libc::ENOSPC],
};

/// Bytes of one segment.
pub(crate) const BYTES: Limit = Limit {
    name: "kernel.shmmax",
    bounds: "bytes of one segment",
    source: Source::Sysctl("/proc/sys/kernel/shmmax", 0),
    errnos: &[],
};

/// Pages of all segments.
pub(crate) const PAGES: Limit = Limit {
    name: "kernel.shmall",
    bounds: "pages in all segments of the machine",
    source: Source::Sysctl("/proc/sys/kernel/shmall", 0),
    errnos: &[libc::ENOSPC],
};
