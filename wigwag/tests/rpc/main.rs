//! Request/response: every promise of calls, over every carrier, between real processes.

#[path = "../process/mod.rs"]
mod process;
#[path = "../refusal/mod.rs"]
mod refusal;

#[cfg(feature = "tokio")]
mod asynchronous;
mod calls;
mod carrier;
mod death;
mod hostile;
mod patience;
mod python;
mod serving;
