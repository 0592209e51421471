//! System V message queue: messages with a type by which the receiver chooses, under a key.

use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees, PeerDeath};
use crate::limit::{Limit, Source};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "sysv-mq",
    title: "System V message queue",
    noun: "System V message queue",
    family: Family::Message,
    naming: Naming::Key,
    unnamed_form: true,
    persistence: Persistence::Kernel,
    boundary: Some(Boundary::Message),
    direction: Some(Direction::Many),
    reach: Reach::Host,
    pollable: false,
    named_by: "key",
    lives: "removal or reboot",
    carries: "messages by type",
    limits: &[
        Limit {
            name: "kernel.msgmni",
            bounds: "System V queues of the machine",
            source: Source::Sysctl("/proc/sys/kernel/msgmni", 0),
            errnos: &[libc::ENOSPC],
        },
        Limit {
            name: "kernel.msgmax",
            bounds: "bytes of one message",
            source: Source::Sysctl("/proc/sys/kernel/msgmax", 0),
            errnos: &[],
        },
        Limit {
            name: "kernel.msgmnb",
            bounds: "bytes in one queue",
            source: Source::Sysctl("/proc/sys/kernel/msgmnb", 0),
            errnos: &[],
        },
    ],
    guarantees: Guarantees {
        durability: Durability::Kernel,
        peer_death: PeerDeath::Unnoticed,
        ..Guarantees::STREAM
    },
    man: "sysvipc(7)",
};
