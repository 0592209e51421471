//! Patterns: what programs build from memory and gates, ready to use.
//!
//! | need | use |
//! |---|---|
//! | one letter at a time, also between unlike processors | [`mailbox`] |

pub mod mailbox;
mod side;
