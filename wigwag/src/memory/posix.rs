//! POSIX shared memory: a region under a name, gone at reboot.

use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees};
use crate::limit;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "shm",
    title: "POSIX shared memory",
    noun: "shared memory",
    family: Family::Memory,
    naming: Naming::Slash,
    unnamed_form: false,
    persistence: Persistence::Kernel,
    boundary: None,
    direction: Some(Direction::Many),
    reach: Reach::Host,
    pollable: false,
    named_by: "/name",
    lives: "unlink or reboot",
    carries: "a mapped region",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, limit::MAPS],
    guarantees: Guarantees {
        durability: Durability::Kernel,
        ..Guarantees::MEMORY
    },
    man: "shm_overview(7)",
};
