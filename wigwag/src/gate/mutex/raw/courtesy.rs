//! Courtesy: under contention a mutex is left free for an instant now and then, so that it changes hands although one core has its cache line.
//!
//! A cache line takes longer from one core to the other than a lock and an unlock take; when it arrives, its owner is mostly
//! inside again, and all was in vain. So who tried in vain sets `TRIES`, which sends everybody to the slow path. There each
//! thread passes a few times at full speed and then waits as long as the line needs. It takes the hint away
//! after a while; who still tries sets it anew. Without contention it costs nothing.

use std::cell::Cell;

use super::{Raw, TRIES};
use crate::sys::atomic::{Ordering, mutated, relax};

/// Each thread passes so many times without waiting, or one fewer, and then waits: more make for speed, fewer for hand-overs.
const PASSES: u32 = 3;
/// Turns of some 20 ns: a cache line takes up to 100 ns.
const TURNS: u32 = 4;
/// After so many passes it takes the hint away.
const ENOUGH: u32 = 21 * PASSES;

thread_local! {
    /// How often this thread passed a mutex that another tried to take.
    static PASSED: Cell<u32> = const { Cell::new(0) };
}

impl<const LIST: bool> Raw<LIST> {
    /// Says that somebody tries to take it.
    pub(super) fn ask_for_it(&self) {
        if self.waiters.load(Ordering::Relaxed) & TRIES == 0 {
            self.waiters.fetch_or(TRIES, Ordering::Relaxed);
        }
    }

    /// Lets who tries to take it go first, if it is time.
    pub(super) fn let_others_try(&self) {
        if self.waiters.load(Ordering::Relaxed) & TRIES == 0 {
            return;
        }
        let passed = PASSED.get() + 1;
        if passed.is_multiple_of(PASSES) && cfg!(not(loom)) {
            for _ in 0..TURNS {
                relax();
            }
        }
        if mutated("mutex-tries") {
            // Who counts himself meanwhile is lost, who leaves counts for ever.
            let waiters = self.waiters.load(Ordering::Relaxed);
            self.waiters.store(waiters & !TRIES, Ordering::Relaxed);
        } else if passed >= ENOUGH || cfg!(loom) {
            self.waiters.fetch_and(!TRIES, Ordering::Relaxed);
        }
        PASSED.set(passed % ENOUGH);
    }
}
