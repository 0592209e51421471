//! Futex: sleep while a 32-bit word has a value, wake who sleeps on it; the word is the whole interface.
//!
//! A sleeper may return for no reason, so every caller is a loop around its own condition. Two kinds of sleep, which
//! who looks from outside (`/proc/PID/syscall`) tells apart by the operation:
//!
//! | | operation | time-out | meaning |
//! |---|---|---|---|
//! | [`wait`] | `FUTEX_WAIT_BITSET` (9) | absolute on the monotonic clock, or none | the caller's time: it gives up then; an interrupted sleep does not start again |
//! | [`nap`] | `FUTEX_WAIT` (0) | relative | it looks around then and sleeps on: a wait without an end, or whose end is further away |
//!
//! Under `cfg(loom)` the kernel's queue is modelled, without time-outs and without idle returns.
//!
//! `futex(2)`, `futex(7)`.

use crate::sys::atomic::AtomicU32;
use crate::wait::Deadline;

/// How a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sleep {
    /// Woken, or interrupted, or for no reason.
    Woken,
    /// The word had another value: no sleep.
    Changed,
    /// The deadline passed.
    TimedOut,
    /// The page behind the word is gone, or the kernel has no futexes for it.
    Gone,
}

#[cfg(not(loom))]
mod kernel {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::thread::futex::{Flags, wait as futex_wait, wait_bitset, wake as futex_wake};
    use rustix::time::{ClockId, Timespec, clock_gettime};

    use super::{AtomicU32, Deadline, Sleep};

    const ANY: NonZeroU32 = NonZeroU32::MAX;

    /// Never the private kind: whoever has the page may wake or sleep, and the kernel wakes with the shared kind.
    const SHARED: Flags = Flags::empty();

    /// Sleeps while `word` is `expected`, at most until `deadline`.
    pub(crate) fn wait(word: &AtomicU32, expected: u32, deadline: Deadline) -> Sleep {
        let until = match deadline.remaining() {
            None => None,
            Some(Duration::ZERO) => return Sleep::TimedOut,
            Some(left) => later(left),
        };
        ended(wait_bitset(word, SHARED, expected, until.as_ref(), ANY))
    }

    /// Sleeps while `word` is `expected`, at most for `limit`, after which the caller looks around and sleeps on.
    pub(crate) fn nap(word: &AtomicU32, expected: u32, limit: Duration) -> Sleep {
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        ended(futex_wait(word, SHARED, expected, Some(&limit)))
    }

    fn ended(answer: Result<(), Errno>) -> Sleep {
        match answer {
            Ok(()) | Err(Errno::INTR) => Sleep::Woken,
            Err(Errno::AGAIN) => Sleep::Changed,
            Err(Errno::TIMEDOUT) => Sleep::TimedOut,
            Err(_) => Sleep::Gone,
        }
    }

    /// The monotonic time `left` from now; none when the clock has no such time.
    fn later(left: Duration) -> Option<Timespec> {
        let now = clock_gettime(ClockId::Monotonic);
        let nanoseconds = now.tv_nsec + i64::from(left.subsec_nanos());
        let seconds = i64::try_from(left.as_secs()).ok()?;
        Some(Timespec {
            tv_sec: now
                .tv_sec
                .checked_add(seconds)?
                .checked_add(nanoseconds / 1_000_000_000)?,
            tv_nsec: nanoseconds % 1_000_000_000,
        })
    }

    /// Wakes at most `count` sleepers and returns how many it woke.
    pub(crate) fn wake(word: &AtomicU32, count: u32) -> u32 {
        // It can fail only if the page is gone, and then nobody sleeps there.
        let count = count.min(i32::MAX.cast_unsigned());
        futex_wake(word, SHARED, count).map_or(0, |woken| u32::try_from(woken).unwrap_or(u32::MAX))
    }
}
#[cfg(not(loom))]
pub(crate) use kernel::{nap, wait, wake};

#[cfg(loom)]
mod model {
    use std::collections::HashMap;

    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::sync::{Arc, Mutex};
    use loom::thread::{Thread, current, park};

    use super::{AtomicU32, Deadline, Sleep};

    struct Sleeper {
        thread: Thread,
        woken: Arc<AtomicBool>,
    }

    loom::lazy_static! {
        static ref QUEUES: Mutex<HashMap<usize, Vec<Sleeper>>> = Mutex::new(HashMap::new());
    }

    fn key(word: &AtomicU32) -> usize {
        std::ptr::from_ref(word).addr()
    }

    pub(crate) fn wait(word: &AtomicU32, expected: u32, deadline: Deadline) -> Sleep {
        if deadline.passed() {
            return Sleep::TimedOut;
        }
        let mut queues = QUEUES.lock().expect("a model");
        // The kernel compares under the lock of the queue, behind a full barrier.
        loom::sync::atomic::fence(Ordering::SeqCst);
        if word.load(Ordering::SeqCst) != expected {
            return Sleep::Changed;
        }
        let woken = Arc::new(AtomicBool::new(false));
        let sleeper = Sleeper {
            thread: current(),
            woken: woken.clone(),
        };
        queues.entry(key(word)).or_default().push(sleeper);
        drop(queues);
        while !woken.load(Ordering::Acquire) {
            park();
        }
        Sleep::Woken
    }

    /// A model has no time: whoever naps sleeps until it is woken.
    pub(crate) fn nap(word: &AtomicU32, expected: u32, _limit: std::time::Duration) -> Sleep {
        wait(word, expected, Deadline::Never)
    }

    pub(crate) fn wake(word: &AtomicU32, count: u32) -> u32 {
        let mut queues = QUEUES.lock().expect("a model");
        let queue = queues.entry(key(word)).or_default();
        let count = (count as usize).min(queue.len());
        for sleeper in queue.drain(..count) {
            sleeper.woken.store(true, Ordering::Release);
            sleeper.thread.unpark();
        }
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}
#[cfg(loom)]
pub(crate) use model::{nap, wait, wake};

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::wait::Wait;

    #[test]
    fn a_sleep_ends_at_its_deadline_and_not_before() {
        let word = AtomicU32::new(7);
        let start = Instant::now();
        let deadline = Wait::For(Duration::from_millis(20)).into();
        while wait(&word, 7, deadline) != Sleep::TimedOut {}
        assert!(start.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn another_value_means_no_sleep() {
        let word = AtomicU32::new(7);
        assert_eq!(wait(&word, 8, Deadline::Never), Sleep::Changed);
        assert_eq!(wake(&word, u32::MAX), 0);
    }
}
