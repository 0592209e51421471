//! Waiting: what a thread does until there is something, from the fastest and dearest to the cheapest.

/// What a thread does until there is something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Waiting {
    /// Looks again and again and keeps its core busy: an answer in the time that a cache line takes.
    Spin,
    /// Looks as long as that has paid lately and the peer runs on another core, then sleeps.
    #[default]
    Adaptive,
    /// Sleeps at once, in the kernel: the core is free.
    Block,
}
