//! POSIX message queue: messages by priority, under a name that outlives its processes.

use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees, Order, PeerDeath};
use crate::limit::{self, Limit, Source};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "mq",
    title: "POSIX message queue",
    noun: "message queue",
    family: Family::Message,
    naming: Naming::Slash,
    unnamed_form: false,
    persistence: Persistence::Kernel,
    boundary: Some(Boundary::Message),
    direction: Some(Direction::Many),
    reach: Reach::Host,
    pollable: true,
    named_by: "/name",
    lives: "unlink or reboot",
    carries: "messages by priority",
    limits: &[
        limit::OPEN_FILES,
        QUEUES,
        DEPTH,
        LENGTH,
        Limit {
            name: "RLIMIT_MSGQUEUE",
            bounds: "bytes in all POSIX queues of a user",
            source: Source::Rlimit(libc::RLIMIT_MSGQUEUE),
            errnos: &[libc::EMFILE],
        },
    ],
    guarantees: Guarantees {
        order: Order::Priority,
        durability: Durability::Kernel,
        peer_death: PeerDeath::Unnoticed,
        ..Guarantees::STREAM
    },
    man: "mq_overview(7)",
};

/// Queues of an IPC namespace.
pub(crate) const QUEUES: Limit = Limit {
    name: "fs.mqueue.queues_max",
    bounds: "POSIX queues of the machine",
    source: Source::Sysctl("/proc/sys/fs/mqueue/queues_max", 0),
    errnos: &[libc::ENOSPC],
};

/// Messages an unprivileged queue may hold.
pub(crate) const DEPTH: Limit = Limit {
    name: "fs.mqueue.msg_max",
    bounds: "messages one queue may hold",
    source: Source::Sysctl("/proc/sys/fs/mqueue/msg_max", 0),
    errnos: &[],
};

/// Bytes an unprivileged queue's message may have.
pub(crate) const LENGTH: Limit = Limit {
    name: "fs.mqueue.msgsize_max",
    bounds: "bytes of one message",
    source: Source::Sysctl("/proc/sys/fs/mqueue/msgsize_max", 0),
    errnos: &[],
};
