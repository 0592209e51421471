//! Patterns: what programs build from memory, gates and streams, done once and proven.
//!
//! | need | pattern |
//! |---|---|
//! | values or messages from process to process, as fast as the memory | [`channel`] |

pub mod channel;
