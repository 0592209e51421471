//! Futex: sleep while a 32-bit word has a value, wake who sleeps on it; the word is the whole interface.
//!
//! A sleeper may return for no reason, so every caller is a loop around its own condition. Two kinds of sleep, which
//! who looks from outside (`/proc/PID/syscall`) tells apart by the registers alone:
//!
//! | | system call | time-out | meaning |
//! |---|---|---|---|
//! | [`wait`] | `futex`, `FUTEX_WAIT_BITSET` (9) | absolute on the monotonic clock, or none | the caller's time: it gives up then; an interrupted sleep does not start again |
//! | [`nap`] | `futex`, `FUTEX_WAIT` (0) | relative | it looks around then and sleeps on: a wait without an end, or whose end is further away |
//! | [`wait_any`] on one word, a round of a wait without an end | as [`nap`] | | |
//! | [`wait_any`] on one word, else | as [`wait`] | | |
//! | [`wait_any`] on several, a round of a wait without an end | `futex_waitv`, sixth register `naps` | absolute on the monotonic clock | it looks around then and sleeps on |
//! | [`wait_any`] on several, else | `futex_waitv`, sixth register 0 | absolute on the monotonic clock, or none | the caller's time, or a round before it |
//!
//! `futex_waitv(2)` has five arguments: the kernel does not read the sixth register, but shows it. What it says there is
//! [`NAPS`] or 0, always, so nothing left over can be taken for it.
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
    /// Interrupted, and waits are to end then.
    Interrupted,
    /// The page behind the word is gone, or the kernel has no futexes for it.
    Gone,
}

/// What came of asking the kernel for a lock that it hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handover {
    /// The caller owns it, and the word says so.
    Ours,
    /// Interrupted, or the owner was just ending: look again.
    Again,
    /// The deadline passed.
    TimedOut,
    /// There is no thread of the id in the word.
    NoOwner,
    /// Its owner waits for the caller.
    Cycle,
    /// The word does not agree with what the kernel knows.
    Disagrees,
    /// The page behind the word is gone.
    Gone,
    /// The kernel cannot do it.
    Unsupported,
}

#[cfg(not(loom))]
mod kernel {
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::thread::futex::{
        Flags, Wait, WaitFlags, WaitPtr, WakeOp, WakeOpCmp, lock_pi, lock_pi2, trylock_pi,
        unlock_pi, wait as futex_wait, wait_bitset, wake as futex_wake, wake_op,
    };
    use rustix::time::{ClockId, Timespec, clock_gettime};

    use super::{AtomicU32, Deadline, Handover, Sleep};
    use crate::interrupt;

    const ANY: NonZeroU32 = NonZeroU32::MAX;

    /// In the sixth register of a `futex_waitv(2)` that ends only to look around.
    pub(crate) const NAPS: libc::c_ulong = 0x6e61_7073;

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
            Ok(()) => Sleep::Woken,
            Err(Errno::INTR) => interrupted(),
            Err(Errno::AGAIN) => Sleep::Changed,
            Err(Errno::TIMEDOUT) => Sleep::TimedOut,
            Err(_) => Sleep::Gone,
        }
    }

    fn interrupted() -> Sleep {
        match interrupt::again() {
            Ok(()) => Sleep::Woken,
            Err(_) => Sleep::Interrupted,
        }
    }

    /// Takes a priority-inheriting lock that is not free, waiting until `deadline`; the owner runs with the priority of the
    /// most urgent who waits.
    pub(crate) fn lock_inheriting(word: &AtomicU32, _me: u32, deadline: Deadline) -> Handover {
        let asked = match deadline.remaining() {
            None => lock_pi(word, SHARED, None),
            Some(Duration::ZERO) => match trylock_pi(word, SHARED) {
                Err(Errno::AGAIN | Errno::DEADLK) => Err(Errno::TIMEDOUT),
                answer => answer.map(drop),
            },
            Some(left) => match lock_pi2(word, SHARED, later(left).as_ref()) {
                // Before Linux 5.14 there is only the one that goes by the clock on the wall.
                Err(Errno::NOSYS) => {
                    lock_pi(word, SHARED, from_now(ClockId::Realtime, left).as_ref())
                }
                answer => answer,
            },
        };
        match asked {
            Ok(()) => Handover::Ours,
            Err(Errno::INTR | Errno::AGAIN) => Handover::Again,
            Err(Errno::TIMEDOUT) => Handover::TimedOut,
            Err(Errno::SRCH) => Handover::NoOwner,
            Err(Errno::DEADLK) => Handover::Cycle,
            Err(Errno::INVAL | Errno::PERM) => Handover::Disagrees,
            Err(Errno::NOSYS) => Handover::Unsupported,
            Err(_) => Handover::Gone,
        }
    }

    /// Gives back a priority-inheriting lock for which somebody waits.
    pub(crate) fn unlock_inheriting(word: &AtomicU32) {
        // Another answer than "again" means that it is not ours any more, or that the page is gone.
        while matches!(unlock_pi(word, SHARED), Err(Errno::AGAIN | Errno::INTR)) {}
    }

    /// The monotonic time `left` from now; none when the clock has no such time.
    fn later(left: Duration) -> Option<Timespec> {
        from_now(ClockId::Monotonic, left)
    }

    fn from_now(clock: ClockId, left: Duration) -> Option<Timespec> {
        let now = clock_gettime(clock);
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

    /// Sleeps while each of the words (1 to [`MOST_WORDS`]) is what is expected of it, at most until `deadline`, and for a `round`
    /// after which the caller looks around and sleeps on (`Duration::MAX`: it need not). `Woken` may mean any of them.
    /// A kernel before 5.16 cannot do it: then it naps on the first.
    pub(crate) fn wait_any(
        words: &[(&AtomicU32, u32)],
        deadline: Deadline,
        round: Duration,
    ) -> Sleep {
        static MISSING: AtomicBool = AtomicBool::new(false);
        let &[(first, expected), ref others @ ..] = words else {
            return Sleep::Gone;
        };
        if others.is_empty() {
            return wait_round(first, expected, deadline, round);
        }
        if !MISSING.load(Ordering::Relaxed) {
            let (left, naps) = match deadline.remaining() {
                Some(Duration::ZERO) => return Sleep::TimedOut,
                Some(left) => (left.min(round), 0),
                None => (round, NAPS),
            };
            let (until, naps) = match later(left) {
                None => (None, 0),
                until => (until, naps),
            };
            match waitv(words, until.as_ref(), naps) {
                Ok(()) => return Sleep::Woken,
                Err(Errno::INTR) => return interrupted(),
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
        match wait_round(first, expected, deadline, round.min(NAP)) {
            Sleep::TimedOut if round > NAP && !deadline.passed() => Sleep::Woken,
            slept => slept,
        }
    }

    /// [`wait_any`] of one word.
    fn wait_round(word: &AtomicU32, expected: u32, deadline: Deadline, round: Duration) -> Sleep {
        match deadline.remaining() {
            Some(left) if left <= round => wait(word, expected, deadline),
            Some(_) => wait(word, expected, crate::Wait::For(round).into()),
            None if later(round).is_none() => wait(word, expected, deadline),
            None => nap(word, expected, round),
        }
    }

    /// `futex_waitv(2)`, with what it says in the sixth register to who looks from outside.
    fn waitv(
        words: &[(&AtomicU32, u32)],
        until: Option<&Timespec>,
        naps: libc::c_ulong,
    ) -> Result<(), Errno> {
        let mut list = [Wait::new(); MOST_WORDS];
        let list = &mut list[..words.len().min(MOST_WORDS)];
        for (entry, (word, expected)) in list.iter_mut().zip(words) {
            entry.val = u64::from(*expected);
            entry.uaddr = WaitPtr::new(std::ptr::from_ref(*word).cast_mut().cast());
            entry.flags = WaitFlags::SIZE_U32;
        }
        // SAFETY: the list and the time live until the call returns, which writes to neither; the words are only compared.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_futex_waitv,
                list.as_ptr(),
                list.len() as libc::c_ulong,
                0 as libc::c_ulong,
                until.map_or(std::ptr::null(), std::ptr::from_ref),
                libc::c_ulong::from(libc::CLOCK_MONOTONIC.unsigned_abs()),
                naps,
            )
        };
        if answer < 0 {
            return Err(
                Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
            );
        }
        Ok(())
    }
}
#[cfg(not(loom))]
#[allow(unused_imports)] // for the flavours with many ends
pub(crate) use kernel::{
    MOST_WORDS, clear_and_wake, lock_inheriting, nap, unlock_inheriting, wait, wait_any, wake,
};

#[cfg(loom)]
mod model {
    use std::collections::HashMap;

    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::sync::{Arc, Mutex, MutexGuard};
    use loom::thread::{Thread, current, park};

    use super::{AtomicU32, Deadline, Handover, Sleep};

    const DIED: u32 = 0x4000_0000;
    const WAITERS: u32 = 0x8000_0000;

    struct Sleeper {
        thread: Thread,
        /// Of one who is to be made the owner.
        id: u32,
        woken: Arc<AtomicBool>,
    }

    type Queues = HashMap<usize, Vec<Sleeper>>;

    loom::lazy_static! {
        static ref QUEUES: Mutex<Queues> = Mutex::new(HashMap::new());
        /// How often each thread has looked around at each word.
        static ref LOOKS: Mutex<HashMap<(String, usize), usize>> = Mutex::new(HashMap::new());
    }

    fn key(word: &AtomicU32) -> usize {
        std::ptr::from_ref(word).addr()
    }

    pub(crate) fn wait(word: &AtomicU32, expected: u32, deadline: Deadline) -> Sleep {
        if deadline.passed() {
            return Sleep::TimedOut;
        }
        sleep(QUEUES.lock().expect("a model"), word, expected)
    }

    fn sleep(mut queues: MutexGuard<'_, Queues>, word: &AtomicU32, expected: u32) -> Sleep {
        // The kernel compares under the lock of the queue, behind a full barrier.
        loom::sync::atomic::fence(Ordering::SeqCst);
        if word.load(Ordering::SeqCst) != expected {
            return Sleep::Changed;
        }
        let woken = Arc::new(AtomicBool::new(false));
        let sleeper = Sleeper {
            thread: current(),
            id: 0,
            woken: woken.clone(),
        };
        queues.entry(key(word)).or_default().push(sleeper);
        drop(queues);
        while !woken.load(Ordering::Acquire) {
            park();
        }
        Sleep::Woken
    }

    pub(crate) fn lock_inheriting(word: &AtomicU32, me: u32, deadline: Deadline) -> Handover {
        let mut queues = QUEUES.lock().expect("a model");
        loop {
            let seen = word.load(Ordering::SeqCst);
            let queue = queues.entry(key(word)).or_default();
            let (free, last) = (seen & !(DIED | WAITERS) == 0, queue.is_empty());
            if !free && deadline.passed() {
                return Handover::TimedOut;
            }
            let to = match (free, last) {
                (true, true) => me | seen & DIED,
                (true, false) => me | seen & DIED | WAITERS,
                (false, _) => seen | WAITERS,
            };
            if word
                .compare_exchange(seen, to, Ordering::SeqCst, Ordering::SeqCst)
                .is_err()
            {
                continue;
            }
            if free {
                return Handover::Ours;
            }
            let woken = Arc::new(AtomicBool::new(false));
            queue.push(Sleeper {
                thread: current(),
                id: me,
                woken: woken.clone(),
            });
            drop(queues);
            while !woken.load(Ordering::Acquire) {
                park();
            }
            return Handover::Ours;
        }
    }

    pub(crate) fn unlock_inheriting(word: &AtomicU32) {
        hand_over(word, 0);
    }

    /// What the kernel does with a priority-inheriting lock whose holder was killed.
    pub(crate) fn bury_inheriting(word: &AtomicU32) {
        hand_over(word, DIED);
    }

    fn hand_over(word: &AtomicU32, mark: u32) {
        let mut queues = QUEUES.lock().expect("a model");
        let queue = queues.entry(key(word)).or_default();
        if queue.is_empty() {
            return word.store(mark, Ordering::SeqCst);
        }
        let next = queue.remove(0);
        let more = if queue.is_empty() { 0 } else { WAITERS };
        word.store(next.id | mark | more, Ordering::SeqCst);
        next.woken.store(true, Ordering::Release);
        next.thread.unpark();
    }

    /// A model has no time: whoever naps sleeps until it is woken, and a few times after a death.
    pub(crate) fn nap(word: &AtomicU32, expected: u32, _limit: std::time::Duration) -> Sleep {
        // A death is either seen here, or finds this one in the queue.
        let queues = QUEUES.lock().expect("a model");
        let looked_around = || {
            let looks_for_each_death = 2; // another may have changed the word during the first
            let mut looks = LOOKS.lock().expect("a model");
            let here = (format!("{:?}", current().id()), key(word));
            let looked = looks.entry(here).or_insert(0);
            let enough = *looked >= looks_for_each_death * crate::sys::holder::deaths();
            *looked += usize::from(!enough);
            enough
        };
        if !looked_around() {
            return Sleep::TimedOut;
        }
        match sleep(queues, word, expected) {
            Sleep::Woken if !looked_around() => Sleep::TimedOut,
            slept => slept,
        }
    }

    /// Somebody died: all who sleep get up.
    pub(crate) fn end_naps() {
        let mut queues = QUEUES.lock().expect("a model");
        for sleeper in queues.values_mut().flat_map(|queue| queue.drain(..)) {
            sleeper.woken.store(true, Ordering::Release);
            sleeper.thread.unpark();
        }
    }

    pub(crate) fn wake(word: &AtomicU32, count: u32) -> u32 {
        let mut queues = QUEUES.lock().expect("a model");
        let queue = queues.entry(key(word)).or_default();
        // Who slept on several words and was woken at another does not sleep here any more.
        queue.retain(|sleeper| !sleeper.woken.load(Ordering::Acquire));
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
            // Who slept on several words may have been woken at another, and wait for something else by now.
            if !sleeper.woken.swap(true, Ordering::AcqRel) {
                sleeper.thread.unpark();
            }
        }
    }

    pub(crate) const MOST_WORDS: usize = 128;

    pub(crate) fn wait_any(
        words: &[(&AtomicU32, u32)],
        deadline: Deadline,
        _round: std::time::Duration,
    ) -> Sleep {
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
                id: 0,
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
pub(crate) use model::{
    MOST_WORDS, bury_inheriting, clear_and_wake, end_naps, lock_inheriting, nap, unlock_inheriting,
    wait, wait_any, wake,
};

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
