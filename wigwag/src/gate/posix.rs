//! POSIX semaphore: permits counted in memory that C, Python and Rust programs share, named or not.

use crate::facility::{Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees, PeerDeath};
use crate::limit::{self, Limit, Source};

/// The facts of the form with a name.
pub const FACILITY: Facility = Facility {
    id: "sem",
    title: "POSIX named semaphore",
    noun: "semaphore",
    family: Family::Gate,
    naming: Naming::Slash,
    unnamed_form: false,
    persistence: Persistence::Kernel,
    boundary: None,
    direction: None,
    reach: Reach::Host,
    pollable: false,
    named_by: "/name",
    lives: "unlink or reboot",
    carries: "permits",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, limit::MAPS, VALUE],
    guarantees: Guarantees {
        durability: Durability::Kernel,
        peer_death: PeerDeath::StaysHeld,
        ..Guarantees::GATE
    },
    man: "sem_overview(7)",
};

/// The facts of the form in shared memory.
pub const UNNAMED: Facility = Facility {
    id: "sem-unnamed",
    title: "POSIX unnamed semaphore",
    naming: Naming::InMemory,
    unnamed_form: true,
    persistence: Persistence::Memory,
    reach: Reach::Related,
    named_by: "– (in shared memory)",
    lives: "its memory",
    carries: "counting and binary permits",
    limits: &[VALUE],
    guarantees: Guarantees {
        durability: Durability::Process,
        ..FACILITY.guarantees
    },
    ..FACILITY
};

/// The greatest value (`SEM_VALUE_MAX`).
pub(crate) const VALUE: Limit = Limit {
    name: "SEM_VALUE_MAX",
    bounds: "permits of one semaphore",
    source: Source::Fixed(i32::MAX as u64),
    errnos: &[libc::EOVERFLOW],
};
