//! Waiter: one thread's part in a mutex's count of those who sleep at it or are about to; a kill leaves the count too high.

use super::{ARRIVAL, COUNT, Raw, WAITERS};
use crate::sys::atomic::{Ordering, mutated};

/// One thread's part in the count.
pub(super) struct Waiter<'a, const LIST: bool> {
    pub(super) raw: &'a Raw<LIST>,
    pub(super) counts: bool,
}

impl<const LIST: bool> Waiter<'_, LIST> {
    /// Counts before a sleep; again, if it was taken for dead meanwhile.
    pub(super) fn count(&mut self) {
        if !self.counts || self.raw.waiters.load(Ordering::SeqCst) & COUNT == 0 {
            self.raw.waiters.fetch_add(ARRIVAL, Ordering::SeqCst);
            self.counts = true;
        }
    }

    /// Counts no longer.
    pub(super) fn leave(&mut self) {
        if std::mem::take(&mut self.counts) {
            // Never below zero: it may have been taken for dead.
            let less = |waiters: u32| (waiters & COUNT != 0).then(|| waiters - 1);
            let _ = self
                .raw
                .waiters
                .fetch_update(Ordering::SeqCst, Ordering::Relaxed, less);
        }
    }

    /// The mark that the word must have because others wait.
    pub(super) fn mark_for_others(&self) -> u32 {
        let waiters = self.raw.waiters.load(Ordering::SeqCst) & COUNT;
        if waiters > u32::from(self.counts) && !mutated("mutex-mark") {
            WAITERS
        } else {
            0
        }
    }
}
