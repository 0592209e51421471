//! Pattern.
pub mod channel;
