//! Channel.
pub mod broadcast;
pub mod latest;
