//! Event counter: a 64-bit count that can be waited for with poll.

use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Accepted, Delivery, Guarantees, Overflow, PeerDeath};
use crate::limit;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "eventfd",
    title: "event counter (eventfd)",
    noun: "event counter",
    family: Family::Gate,
    naming: Naming::Unnamed,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: None,
    direction: Some(Direction::Many),
    reach: Reach::Related,
    pollable: true,
    named_by: "– (inherited or passed as a descriptor)",
    lives: "last process",
    carries: "a pollable count",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES],
    guarantees: Guarantees {
        delivery: Delivery::AtMostOnce,
        accepted: Accepted::Queued,
        overflow: Overflow::Waits,
        peer_death: PeerDeath::Unnoticed,
        ..Guarantees::GATE
    },
    man: "eventfd(2)",
};
