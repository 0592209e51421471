//! TCP socket: bytes two ways across machines.

use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Accepted, Guarantees};
use crate::limit::{self, Limit, Source};
use crate::stream::unix::{BACKLOG, SEND_BUFFER};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "tcp",
    title: "TCP socket",
    noun: "TCP socket",
    family: Family::Stream,
    naming: Naming::HostPort,
    unnamed_form: false,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Byte),
    direction: Some(Direction::TwoWay),
    reach: Reach::Network,
    pollable: true,
    named_by: "host:port",
    lives: "last process",
    carries: "bytes, two ways, across machines",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        BACKLOG,
        SEND_BUFFER,
        PORTS,
    ],
    guarantees: Guarantees {
        accepted: Accepted::OnTheWire,
        ..Guarantees::STREAM
    },
    man: "tcp(7)",
};

/// The first of the ports given out to connections.
pub(crate) const PORTS: Limit = Limit {
    name: "net.ipv4.ip_local_port_range",
    bounds: "first port given to an outgoing connection",
    source: Source::Sysctl("/proc/sys/net/ipv4/ip_local_port_range", 0),
    errnos: &[libc::EADDRNOTAVAIL],
};
