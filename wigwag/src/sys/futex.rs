//! Futex: sleep while a 32-bit word has a value, wake who sleeps on it; the word is the whole interface.
//!
//! A sleeper may return for no reason, so every caller is a loop around its own condition. Time-outs
//! are absolute on the monotonic clock: an interrupted sleep does not start again.
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
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::thread::futex::{
        Flags, Wait, WaitFlags, WaitPtr, WaitvFlags, WakeOp, WakeOpCmp, wait_bitset, waitv,
        wake as futex_wake, wake_op,
    };
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
        match wait_bitset(word, SHARED, expected, until.as_ref(), ANY) {
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

    /// Clears one bit and wakes all sleepers. The kernel does both under the lock of the queue: no sleeper is
    /// missed between the two, and no kill leaves the one without the other.
    pub(crate) fn clear_and_wake(word: &AtomicU32, bit: u32) {
        let number = bit.trailing_zeros() as u16;
        let all = i32::MAX.cast_unsigned();
        let done = wake_op(
            word,
            SHARED,
            all,
            0,
            word,
            WakeOp::AndNShift,
            WakeOpCmp::Lt,
            number,
            0,
        );
        if done.is_err() {
            word.fetch_and(!bit, Ordering::SeqCst);
            wake(word, all);
        }
    }

    /// The most words that one thread can sleep on at a time.
    pub(crate) const MOST_WORDS: usize = 128;
    /// How long a sleeper dares to sleep on one word where it should on several.
    const NAP: Duration = Duration::from_millis(20);

    /// Sleeps while each of the words (1 to [`MOST_WORDS`]) is what is expected of it. `Woken` may mean any of them.
    /// A kernel before 5.16 cannot do it: then it naps on the first.
    pub(crate) fn wait_any(words: &[(&AtomicU32, u32)], deadline: Deadline) -> Sleep {
        static MISSING: AtomicBool = AtomicBool::new(false);
        let &[(first, expected), ref others @ ..] = words else {
            return Sleep::Gone;
        };
        if others.is_empty() {
            return wait(first, expected, deadline);
        }
        if !MISSING.load(Ordering::Relaxed) {
            let until = match deadline.remaining() {
                None => None,
                Some(Duration::ZERO) => return Sleep::TimedOut,
                Some(left) => later(left),
            };
            let mut list = [Wait::new(); MOST_WORDS];
            let list = &mut list[..words.len().min(MOST_WORDS)];
            for (entry, (word, expected)) in list.iter_mut().zip(words) {
                entry.val = u64::from(*expected);
                entry.uaddr = WaitPtr::new(std::ptr::from_ref(*word).cast_mut().cast());
                entry.flags = WaitFlags::SIZE_U32;
            }
            match waitv(
                list,
                WaitvFlags::empty(),
                until.as_ref(),
                ClockId::Monotonic,
            ) {
                Ok(_) | Err(Errno::INTR) => return Sleep::Woken,
                Err(Errno::AGAIN) => return Sleep::Changed,
                Err(Errno::TIMEDOUT) => return Sleep::TimedOut,
                Err(Errno::NOSYS | Errno::PERM) => MISSING.store(true, Ordering::Relaxed),
                Err(_) => return Sleep::Gone,
            }
        }
        let changed =
            |(word, expected): &(&AtomicU32, u32)| word.load(Ordering::SeqCst) != *expected;
        if others.iter().any(changed) {
            return Sleep::Changed;
        }
        let left = deadline.remaining();
        if left.is_some_and(|left| left <= NAP) {
            return wait(first, expected, deadline);
        }
        match wait(first, expected, crate::Wait::For(NAP).into()) {
            Sleep::TimedOut => Sleep::Woken,
            slept => slept,
        }
    }
}
#[cfg(not(loom))]
#[allow(unused_imports)] // for the flavours with many ends
pub(crate) use kernel::{MOST_WORDS, clear_and_wake, wait, wait_any, wake};

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

    pub(crate) fn clear_and_wake(word: &AtomicU32, bit: u32) {
        let mut queues = QUEUES.lock().expect("a model");
        word.fetch_and(!bit, Ordering::SeqCst);
        for sleeper in queues.entry(key(word)).or_default().drain(..) {
            sleeper.woken.store(true, Ordering::Release);
            sleeper.thread.unpark();
        }
    }

    pub(crate) const MOST_WORDS: usize = 128;

    pub(crate) fn wait_any(words: &[(&AtomicU32, u32)], deadline: Deadline) -> Sleep {
        if deadline.passed() {
            return Sleep::TimedOut;
        }
        let mut queues = QUEUES.lock().expect("a model");
        loom::sync::atomic::fence(Ordering::SeqCst);
        if words
            .iter()
            .any(|(word, expected)| word.load(Ordering::SeqCst) != *expected)
        {
            return Sleep::Changed;
        }
        let woken = Arc::new(AtomicBool::new(false));
        for (word, _) in words {
            let sleeper = Sleeper {
                thread: current(),
                woken: woken.clone(),
            };
            queues.entry(key(word)).or_default().push(sleeper);
        }
        drop(queues);
        while !woken.load(Ordering::Acquire) {
            park();
        }
        Sleep::Woken
    }
}
#[cfg(loom)]
#[allow(unused_imports)] // as above
pub(crate) use model::{MOST_WORDS, clear_and_wake, wait, wait_any, wake};

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
