//! File lock: a gate on a file or a range of it, opened by the kernel when its holder is gone.
//!
//! | [`Style`] | owned by | covers | seen by |
//! |---|---|---|---|
//! | [`Ofd`](Style::Ofd), the default | the open file | a range | all record locks |
//! | [`Flock`](Style::Flock) | the open file | the whole file | `flock(1)`, [`std::fs::File::lock`] |
//! | [`Record`](Style::Record) | the process | a range | `lockf(3)`, all record locks |
//!
//! They are advisory: only programs that ask are kept out. On one machine `flock` and record locks do not see each other.
//!
//! **The trap of record locks that a process owns**: *any* close of *any* descriptor of the file in the process,
//! by a library that read the file for instance, drops the lock without notice; two handles in one process do not
//! keep each other out. Take them only to meet programs that use them; [`Style::Ofd`] meets these too,
//! without the trap. Only they let the kernel find a deadlock ([`Kind::Deadlock`](crate::Kind::Deadlock)).
//!
//! **Time-outs**: the kernel has none for file locks. [`FileLock::lock_timeout`] asks again, at first after 50 µs and at
//! most every 10 ms, so it is late by that much at most, and those who wait without a limit are queued by the kernel and
//! come first.
//!
//! ```
//! use wigwag::gate::file_lock::{FileLock, Options};
//!
//! # let path = std::env::temp_dir().join(format!("wigwag-doc-lock-{}", std::process::id()));
//! let mut ours = FileLock::open(&path)?;
//! let held = ours.lock()?;
//! let mut theirs = Options::new().range(0..100).open(&path)?; // in another process, or thread
//! assert!(theirs.try_lock()?.is_none());
//! drop(held);
//! assert!(theirs.try_lock()?.is_some());
//! # std::fs::remove_file(&path).unwrap();
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `flock(2)`, `fcntl(2)`, `lockf(3)`, `flock(1)`, `proc_locks(5)`

mod holder;
mod lock;
mod options;

pub use holder::Holder;
pub use lock::{FileLock, Held};
pub use options::{Options, Style};

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
