//! Unix stream socket: bytes two ways on one machine, with descriptors and the peer's credentials.

use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::Guarantees;
use crate::limit::{self, Limit, Source};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "unix",
    title: "Unix stream socket",
    noun: "Unix socket",
    family: Family::Stream,
    naming: Naming::Socket,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Byte),
    direction: Some(Direction::TwoWay),
    reach: Reach::Host,
    pollable: true,
    named_by: "path, @abstract, or pair",
    lives: "last process",
    carries: "bytes, two ways, descriptors, credentials",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        BACKLOG,
        DESCRIPTORS,
        SEND_BUFFER,
    ],
    guarantees: Guarantees::STREAM,
    man: "unix(7)",
};

/// Connections that may wait to be accepted.
pub(crate) const BACKLOG: Limit = Limit {
    name: "net.core.somaxconn",
    bounds: "connections that may wait to be accepted",
    source: Source::Sysctl("/proc/sys/net/core/somaxconn", 0),
    errnos: &[],
};

/// Descriptors in one message (`SCM_MAX_FD`).
pub(crate) const DESCRIPTORS: Limit = Limit {
    name: "SCM_MAX_FD",
    bounds: "descriptors passed in one message",
    source: Source::Fixed(253),
    errnos: &[libc::ETOOMANYREFS],
};

/// The greatest send buffer a program may ask for.
pub(crate) const SEND_BUFFER: Limit = Limit {
    name: "net.core.wmem_max",
    bounds: "bytes of a send buffer a program may ask for",
    source: Source::Sysctl("/proc/sys/net/core/wmem_max", 0),
    errnos: &[],
};
