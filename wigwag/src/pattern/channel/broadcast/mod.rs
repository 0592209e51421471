//! Broadcast: every subscriber sees every value.

#[cfg(not(loom))]
mod course;
#[cfg(loom)]
pub mod course;
