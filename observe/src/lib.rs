//! wigwag-observe: what IPC exists here, who holds it, who waits for whom; read from `/proc` and socket diagnosis alone.
//!
//! Nothing is attached to, stopped, opened at its other end, or taken out: looking changes nothing in what is looked at (only
//! [`remove()`] changes anything, and says so). Without privileges it sees one's own processes and says what it could not see.
//!
//! | need | use |
//! |---|---|
//! | every object of every facility, its holders, waiters and fill | [`Snapshot`] → [`Object`] |
//! | objects nobody uses, pipes that never end | [`Snapshot::leaks`] |
//! | remove one | [`remove()`], [`Object::remove`] |
//! | why a process does not go on; deadlocks | [`why`], [`waits`], [`WaitGraph`] |
//! | a call back when this process is deadlocked | [`watchdog`] |
//! | the kernel's tables themselves | [`proc`] |
//!
//! ```
//! use wigwag_observe::Snapshot;
//!
//! let snapshot = Snapshot::capture()?;
//! for object in snapshot.objects.iter().filter(|object| object.is_waited_for()) {
//!     println!("{} {}: {} wait", object.facility, object.name, object.waiters.len());
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Manual pages: proc(5), sock_diag(7), process_vm_readv(2), pidfd_getfd(2).

mod capture;
pub mod graph;
mod leaks;
pub mod object;
pub mod proc;
mod remove;
mod snapshot;
pub mod waits;
pub mod watchdog;
pub mod why;

pub use graph::WaitGraph;
pub use object::Object;

pub use remove::{Removed, removable, remove};
pub use snapshot::{Builder, ProcessEntry, Signals, Snapshot, Unseen};
