//! Anonymous shared memory: a region that only a process and its children see.

use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees};
use crate::limit;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "anon",
    title: "anonymous shared memory",
    noun: "anonymous memory",
    family: Family::Memory,
    naming: Naming::Unnamed,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: None,
    direction: Some(Direction::Many),
    reach: Reach::Related,
    pollable: false,
    named_by: "– (inherited)",
    lives: "last process",
    carries: "a mapped region",
    limits: &[limit::MAPS],
    guarantees: Guarantees {
        durability: Durability::Process,
        ..Guarantees::MEMORY
    },
    man: "mmap(2)",
};
