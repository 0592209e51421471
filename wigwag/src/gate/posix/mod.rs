//! POSIX semaphore: permits counted in memory that C, Python and Rust programs share, named or not.
//!
//! A process that is killed while it holds a permit keeps it for ever: for permits that the kernel
//! gives back use [`sysv`](super::sysv) or a [`file_lock`](super::file_lock).
//!
//! | need | use |
//! |---|---|
//! | a name | [`Semaphore::create`], [`Semaphore::open`] |
//! | none: it lies in shared memory | [`Semaphore::init`], [`Semaphore::attach`] |
//! | at most one permit | [`Options::binary`] |
//! | count events, which nobody gives back | [`Permit::forget`] |
//!
//! ```
//! use wigwag::gate::posix::Semaphore;
//!
//! # let name = format!("/wigwag-doc-{}", std::process::id());
//! let slots = Semaphore::create(&name, 2)?;
//! let one = slots.acquire()?;
//! let two = slots.acquire()?;
//! assert!(slots.try_acquire()?.is_none());
//! drop(one); // gives it back
//! assert_eq!(slots.value(), 1);
//! # drop(two);
//! Semaphore::unlink(&name)?;
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `sem_overview(7)`, `sem_open(3)`, `sem_init(3)`, `sem_wait(3)`, `sem_post(3)`

mod options;
mod permit;
mod semaphore;

pub use options::Options;
pub use permit::Permit;
pub use semaphore::Semaphore;

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
