//! Contestants: those that the channels are compared with.

pub mod bare;
pub mod boost;
pub mod iceoryx2;
pub mod ipc_channel;
pub mod kernel;
pub mod threads;
