//! memfd: a region without a name, passed as a descriptor and sealed against change.

use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees};
use crate::limit;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "memfd",
    title: "anonymous file (memfd)",
    noun: "memfd",
    family: Family::Memory,
    naming: Naming::Unnamed,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: None,
    direction: Some(Direction::Many),
    reach: Reach::Related,
    pollable: false,
    named_by: "– (inherited or passed as a descriptor)",
    lives: "last process",
    carries: "a mapped region",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, limit::MAPS],
    guarantees: Guarantees {
        durability: Durability::Process,
        ..Guarantees::MEMORY
    },
    man: "memfd_create(2)",
};
