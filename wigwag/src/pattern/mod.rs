//! Patterns: what processes do with each other again and again, built from the facilities below.
//!
//! | need | use |
//! |---|---|
//! | ask a server and get its answer, with deadlines and cancellation | [`rpc`] |

pub mod rpc;
