//! Patterns: what processes do with each other again and again, built from the facilities below, done once and proven.
//!
//! | need | use |
//! |---|---|
//! | values or messages from process to process, as fast as the memory | [`channel`] |
//! | one letter at a time, also between unlike processors | [`mailbox`] |
//! | ask a server and get its answer, with deadlines and cancellation | [`rpc`] |

pub mod channel;
pub mod mailbox;
pub mod rpc;
mod side;
