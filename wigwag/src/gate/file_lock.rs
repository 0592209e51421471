//! File lock: a gate on a file or a range of it, opened by the kernel when its holder is gone.

use crate::facility::{Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::Guarantees;
use crate::limit;

/// The facts of `flock(2)`: the whole file, owned by the open file.
pub const FLOCK: Facility = Facility {
    id: "flock",
    title: "file lock (flock)",
    noun: "file lock",
    family: Family::Gate,
    naming: Naming::Path,
    unnamed_form: false,
    persistence: Persistence::Process,
    boundary: None,
    direction: None,
    reach: Reach::Host,
    pollable: false,
    named_by: "path",
    lives: "last process",
    carries: "shared or exclusive",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES],
    guarantees: Guarantees::GATE,
    man: "flock(2)",
};

/// The facts of POSIX record locks: a range, owned by the process.
pub const RECORD: Facility = Facility {
    id: "lockf",
    title: "POSIX record lock",
    noun: "record lock",
    named_by: "path (+range)",
    man: "fcntl(2)",
    ..FLOCK
};

/// The facts of open file description locks: a range, owned by the open file.
pub const OFD: Facility = Facility {
    id: "ofd",
    title: "OFD record lock",
    noun: "OFD lock",
    named_by: "path (+range)",
    man: "fcntl(2)",
    ..FLOCK
};
