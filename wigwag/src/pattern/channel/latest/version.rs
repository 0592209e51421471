//! Version: which buffer holds the newest value, and whether one that was copied stayed whole meanwhile.
//!
//! One counter for everything. Version *n* lies in buffer *n* modulo their number *b*, and is written there before the
//! counter says *n*. So the writer begins version *n + b*, which destroys *n*, only when the counter says *n + b* − 1:
//! a copy of *n* is whole if the counter, loaded after it, is less than that. A writer who is killed leaves the counter and the
//! newest value as they were; he who comes after him begins the same version again.
//!
//! | counter | meaning |
//! |---|---|
//! | 0 | nothing was ever sent |
//! | n | version n is the newest; n + 1 may be being written, where n + 1 − b was |
//!
//! A sequence lock whose reader has to copy again only when the writer has *completed* b − 2 further versions during the copy
//! and begun one more (Boehm, "Can seqlocks get along with programming language memory models?", 2012, for the fences).

use crate::sys::atomic::{AtomicU64, Ordering, fence, mutated};

/// The counter, in shared memory.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Version(AtomicU64);

impl Version {
    /// Of something that was never written.
    #[cfg_attr(not(loom), allow(dead_code))]
    pub fn new() -> Self {
        Version(AtomicU64::new(0))
    }

    /// The newest; 0 for none.
    #[inline]
    pub fn newest(&self) -> u64 {
        self.0.load(when("latest-observe", Ordering::Acquire))
    }

    /// What the writer calls before he writes version `next` into its buffer.
    #[inline]
    pub fn begin(&self) {
        // What he writes now may not be seen before the counter he stored last.
        if !mutated("latest-begin") {
            fence(Ordering::Release);
        }
    }

    /// Makes version `next` the newest.
    #[inline]
    pub fn publish(&self, next: u64) {
        self.0
            .store(next, when("latest-publish", Ordering::Release));
    }

    /// Whether what was copied of version `copied` is whole, given so many buffers.
    #[inline]
    pub fn is_whole(&self, copied: u64, buffers: u64) -> bool {
        if !mutated("latest-check") {
            fence(Ordering::Acquire);
        }
        let slack = buffers - 2 + u64::from(mutated("latest-slack"));
        self.0.load(Ordering::Relaxed).wrapping_sub(copied) <= slack
    }
}

/// `ordering`, or none in a model that weakens `what`.
#[inline(always)]
fn when(what: &str, ordering: Ordering) -> Ordering {
    if mutated(what) {
        Ordering::Relaxed
    } else {
        ordering
    }
}
