//! System V semaphore set: several counts changed at once, and given back by the kernel at exit if asked.
//!
//! Making one is two steps for the kernel, finding and giving values, and a classic race between them
//! (W. R. Stevens, *UNIX Network Programming*, volume 2, section 11.3). Here all values are given by one `semop`, which
//! also stamps the set (`sem_otime`); whoever opens it waits for the stamp. A creator that was killed between the two is
//! noticed after two seconds: [`Set::open`] says so, [`Set::open_or_create`] does the creator's work.
//!
//! **Undo**: what a process acquired with undo is given back when it ends, however it ends. Use it for what is acquired
//! and released by the same process, which [`Set::acquire`] does; never for counts that one process raises
//! and another lowers, where the kernel would "undo" work that is done.
//!
//! ```
//! use wigwag::gate::sysv::{Op, Options, Set};
//!
//! let set = Options::new().temporary(true).create(wigwag::Key::Private, &[1, 3])?;
//! let lock = set.acquire(0)?; // released when dropped, or when this process ends
//! set.apply(&[Op::acquire(1, 2), Op::acquire(1, 1)])?; // all or nothing
//! assert_eq!(set.values()?, [0, 0]);
//! drop(lock);
//! assert_eq!(set.value(0)?, 1);
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `sysvipc(7)`, `semget(2)`, `semop(2)`, `semctl(2)`

mod op;
mod options;
mod permit;
mod set;

pub use op::Op;
pub use options::Options;
pub use permit::Permit;
pub use set::{Set, Stat, Waiting};

use crate::facility::{Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees};
use crate::limit::{Limit, Source};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "sysv-sem",
    title: "System V semaphore set",
    noun: "System V semaphore set",
    family: Family::Gate,
    naming: Naming::Key,
    unnamed_form: true,
    persistence: Persistence::Kernel,
    boundary: None,
    direction: None,
    reach: Reach::Host,
    pollable: false,
    named_by: "key",
    lives: "removal or reboot",
    carries: "permits, several at once, undone at exit",
    limits: &[SETS, SEMAPHORES, PER_SET, OPERATIONS, GREATEST],
    guarantees: Guarantees {
        durability: Durability::Kernel,
        ..Guarantees::GATE
    },
    man: "sysvipc(7)",
};

/// Sets of an IPC namespace.
pub(crate) const SETS: Limit = Limit {
    name: "kernel.sem (field 4, SEMMNI)",
    bounds: "semaphore sets of the machine",
    source: Source::Sysctl("/proc/sys/kernel/sem", 3),
    errnos: &[libc::ENOSPC],
};

/// Semaphores in all of them.
pub(crate) const SEMAPHORES: Limit = Limit {
    name: "kernel.sem (field 2, SEMMNS)",
    bounds: "semaphores of the machine",
    source: Source::Sysctl("/proc/sys/kernel/sem", 1),
    errnos: &[libc::ENOSPC],
};

/// Semaphores of one set.
pub(crate) const PER_SET: Limit = Limit {
    name: "kernel.sem (field 1, SEMMSL)",
    bounds: "semaphores of one set",
    source: Source::Sysctl("/proc/sys/kernel/sem", 0),
    errnos: &[],
};

/// Operations at once.
pub(crate) const OPERATIONS: Limit = Limit {
    name: "kernel.sem (field 3, SEMOPM)",
    bounds: "operations at once",
    source: Source::Sysctl("/proc/sys/kernel/sem", 2),
    errnos: &[libc::E2BIG],
};

/// The greatest value.
pub(crate) const GREATEST: Limit = Limit {
    name: "SEMVMX",
    bounds: "value of one semaphore",
    source: Source::Fixed(32767),
    errnos: &[libc::ERANGE],
};
