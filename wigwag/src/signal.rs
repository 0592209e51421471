//! Signal: a number sent to a process, with a word of data when queued.

use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{
    Accepted, Delivery, Durability, FanOut, Guarantees, Order, Overflow, PeerDeath,
};
use crate::limit::{Limit, Source};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "signal",
    title: "signal, real-time signal",
    noun: "signal",
    family: Family::Signal,
    naming: Naming::Pid,
    unnamed_form: false,
    persistence: Persistence::Delivery,
    boundary: None,
    direction: Some(Direction::OneWay),
    reach: Reach::Host,
    pollable: true,
    named_by: "pid",
    lives: "delivery",
    carries: "a number, and a word of data",
    limits: &[Limit {
        name: "RLIMIT_SIGPENDING",
        bounds: "signals queued for the processes of a user",
        source: Source::Rlimit(libc::RLIMIT_SIGPENDING),
        errnos: &[libc::EAGAIN],
    }],
    guarantees: Guarantees {
        delivery: Delivery::AtMostOnce,
        accepted: Accepted::Queued,
        order: Order::Priority,
        durability: Durability::Process,
        fan_out: FanOut::One,
        overflow: Overflow::Merges,
        duplicates: false,
        peer_death: PeerDeath::Noticed,
    },
    man: "signal(7)",
};
