//! wigwag-observe: what IPC exists here, who holds it, who waits for whom.

mod capture;
pub mod graph;
mod leaks;
pub mod object;
pub mod proc;
pub mod waits;
pub mod watchdog;
pub mod why;

mod remove;
mod snapshot;

pub use graph::WaitGraph;
pub use object::Object;

pub use remove::{Removed, removable, remove};
pub use snapshot::{Builder, ProcessEntry, Signals, Snapshot, Unseen};
