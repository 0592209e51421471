//! System V semaphore set: several counts changed at once, and given back by the kernel at exit if asked.

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
    limits: &[
        Limit {
            name: "kernel.sem (field 4, SEMMNI)",
            bounds: "semaphore sets of the machine",
            source: Source::Sysctl("/proc/sys/kernel/sem", 3),
            errnos: &[libc::ENOSPC],
        },
        Limit {
            name: "kernel.sem (field 2, SEMMNS)",
            bounds: "semaphores of the machine",
            source: Source::Sysctl("/proc/sys/kernel/sem", 1),
            errnos: &[libc::ENOSPC],
        },
        Limit {
            name: "kernel.sem (field 1, SEMMSL)",
            bounds: "semaphores of one set",
            source: Source::Sysctl("/proc/sys/kernel/sem", 0),
            errnos: &[],
        },
        Limit {
            name: "kernel.sem (field 3, SEMOPM)",
            bounds: "operations at once",
            source: Source::Sysctl("/proc/sys/kernel/sem", 2),
            errnos: &[libc::E2BIG],
        },
        Limit {
            name: "SEMVMX",
            bounds: "value of one semaphore",
            source: Source::Fixed(32767),
            errnos: &[libc::ERANGE],
        },
    ],
    guarantees: Guarantees {
        durability: Durability::Kernel,
        ..Guarantees::GATE
    },
    man: "sysvipc(7)",
};
