//! wigwag-observe: what IPC exists here, who holds it, who waits for whom.

pub mod proc;
