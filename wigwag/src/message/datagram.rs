//! Unix datagram and seqpacket sockets: messages on one machine, without a connection or with one.

use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Guarantees, Order, PeerDeath};
use crate::limit::{self, Limit, Source};

/// The facts of the form without a connection.
pub const DATAGRAM: Facility = Facility {
    id: "unix-dgram",
    title: "Unix datagram socket",
    noun: "Unix datagram socket",
    family: Family::Message,
    naming: Naming::Socket,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Message),
    direction: Some(Direction::Many),
    reach: Reach::Host,
    pollable: true,
    named_by: "path, @abstract, or pair",
    lives: "last process",
    carries: "messages, descriptors, credentials",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, QUEUED, BUFFER],
    guarantees: Guarantees {
        order: Order::PerSender,
        peer_death: PeerDeath::Noticed,
        ..Guarantees::STREAM
    },
    man: "unix(7)",
};

/// The facts of the form with a connection.
pub const SEQPACKET: Facility = Facility {
    id: "unix-seqpacket",
    title: "Unix seqpacket socket",
    noun: "Unix seqpacket socket",
    direction: Some(Direction::TwoWay),
    carries: "messages, two ways, descriptors, credentials",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, BUFFER],
    guarantees: Guarantees::STREAM,
    ..DATAGRAM
};

/// Messages that may wait in a datagram socket.
pub(crate) const QUEUED: Limit = Limit {
    name: "net.unix.max_dgram_qlen",
    bounds: "messages that wait in one socket",
    source: Source::Sysctl("/proc/sys/net/unix/max_dgram_qlen", 0),
    errnos: &[],
};

/// Bytes of a message, by the send buffer.
pub(crate) const BUFFER: Limit = Limit {
    name: "net.core.wmem_default",
    bounds: "bytes of one message with its bookkeeping, unless the send buffer is set",
    source: Source::Sysctl("/proc/sys/net/core/wmem_default", 0),
    errnos: &[],
};
