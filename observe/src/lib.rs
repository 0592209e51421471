//! wigwag-observe: what IPC exists here, who holds it, who waits for whom.

pub mod graph;
pub mod proc;
