//! Patterns: what processes do with each other again and again, built from the facilities below.
//!
//! | need | use |
//! |---|---|
//! | one letter at a time, also between unlike processors | [`mailbox`] |
//! | ask a server and get its answer, with deadlines and cancellation | [`rpc`] |

pub mod mailbox;
pub mod rpc;
mod side;
