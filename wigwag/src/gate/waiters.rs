//! Waiters: a count of those who sleep at a gate or are about to, which those who were killed there leave in the end.
//!
//! A waiter counts itself before it looks for the last time; who opens the gate looks at the count after that. So a
//! kill can leave the count too high, never too low: useless wake-up calls, and no lost one. A gate that has
//! called a thousand times for nobody, while nobody arrived, takes the count back to zero; a waiter that
//! it wronged counts itself again before its next sleep.

use crate::sys::atomic::{AtomicU32, Ordering, const_unless_loom, model_fence};
use crate::sys::futex;

/// The count below, the number of arrivals above, so that two equal values mean that nobody came. The bit between is a mutex's.
const COUNT: u32 = 0x7fff;
const ARRIVAL: u32 = 0x1_0001;
/// So many calls that woke nobody, with nobody arriving, and the count is what the dead left.
const STRIKES: u32 = 1000;

#[repr(C)]
#[derive(Debug)]
pub(super) struct Waiters {
    word: AtomicU32,
    strikes: AtomicU32,
}

impl Waiters {
    const_unless_loom! {
        pub(super) const fn new() -> Waiters {
            Waiters { word: AtomicU32::new(0), strikes: AtomicU32::new(0) }
        }
    }

    /// How many wait, or were killed waiting.
    pub(super) fn count(&self) -> u32 {
        self.word.load(Ordering::Relaxed) & COUNT
    }

    /// Whether anybody waits, for one who changed something before, with `SeqCst`.
    #[inline]
    pub(super) fn any(&self) -> bool {
        model_fence();
        self.word.load(Ordering::SeqCst) & COUNT != 0
    }

    /// Wakes at most `count` of those who sleep on `word`.
    #[cold]
    pub(super) fn wake(&self, word: &AtomicU32, count: u32) {
        let before = self.word.load(Ordering::SeqCst);
        if futex::wake(word, count) != 0 || before & COUNT == 0 {
            self.strikes.store(0, Ordering::Relaxed);
        } else if self.strikes.fetch_add(1, Ordering::Relaxed) >= STRIKES {
            self.strikes.store(0, Ordering::Relaxed);
            let none = before & !COUNT;
            let _ = self
                .word
                .compare_exchange(before, none, Ordering::SeqCst, Ordering::Relaxed);
        }
    }

    /// One who is going to wait, and does not count yet.
    pub(super) fn waiter(&self) -> Waiter<'_> {
        Waiter {
            waiters: self,
            counts: false,
        }
    }
}

/// One thread's part in the count, until it is dropped.
pub(super) struct Waiter<'a> {
    waiters: &'a Waiters,
    counts: bool,
}

impl Waiter<'_> {
    /// Counts, before a last look and a sleep; again, if it was taken for dead meanwhile.
    pub(super) fn count(&mut self) {
        if !self.counts || self.waiters.count() == 0 {
            self.waiters.word.fetch_add(ARRIVAL, Ordering::SeqCst);
            self.counts = true;
        }
        model_fence();
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.counts {
            // Never below zero: it may have been taken for dead.
            let less = |word: u32| (word & COUNT != 0).then(|| word - 1);
            let _ = self
                .waiters
                .word
                .fetch_update(Ordering::SeqCst, Ordering::Relaxed, less);
        }
    }
}
