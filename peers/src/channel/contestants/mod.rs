//! Contestants: our channels, and those that they are compared with.

pub mod bare;
pub mod boost;
pub mod iceoryx2;
pub mod ipc_channel;
pub mod kernel;
pub mod ours;
pub mod threads;
