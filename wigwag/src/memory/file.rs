//! Memory-mapped file: a region that survives a reboot, once flushed.

use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees};
use crate::limit;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "file",
    title: "memory-mapped file",
    noun: "mapped file",
    family: Family::Memory,
    naming: Naming::Path,
    unnamed_form: false,
    persistence: Persistence::FileSystem,
    boundary: None,
    direction: Some(Direction::Many),
    reach: Reach::Host,
    pollable: false,
    named_by: "path",
    lives: "deleted from the file system: survives a reboot",
    carries: "a mapped region",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, limit::MAPS],
    guarantees: Guarantees {
        durability: Durability::Disk,
        ..Guarantees::MEMORY
    },
    man: "mmap(2)",
};
