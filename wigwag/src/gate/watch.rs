//! Watch: how a waiter waits: it looks a little while, then sleeps, and looks around from time to time.
//!
//! **Looking** saves a sleep and a wake-up, which cost 4 µs on one core and 20 to 100 µs across the cores of a virtual
//! machine. First it spins, for a partner on another core, then it yields, for one on the same core. In vain
//! it costs the same, so both adapt to how often they helped: the spin gets shorter until it is left out but for a long one
//! now and then, the yields are left out for a while, and for long where others used the core meanwhile. [`set_spin`] and [`set_yield`] turn them off for the process.
//!
//! **Looking around** bounds what a kill can do: whoever was killed between a change and the wake-up that
//! belongs to it, or between a wake-up and its use, delays a waiter by one nap: 10 ms at
//! first, longer the longer it waits, never more than [`LONGEST_NAP`]. Who looks from outside tells the two apart: a nap is
//! a `FUTEX_WAIT` with a relative time-out, the last sleep before the caller's deadline a `FUTEX_WAIT_BITSET` with an absolute one.
//! Who only ever tries, and never waits, looks around too, now and then (`may_look_around`).

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::sys::atomic::{AtomicU32 as Word, relax};
use crate::sys::futex::{self, Sleep};
use crate::wait::Deadline;

/// The longest time for which a waiter does not look around.
pub const LONGEST_NAP: Duration = Duration::from_millis(500);
const FIRST_NAP: Duration = Duration::from_millis(10);

/// The most turns a waiter of this process looks as a rule; not yet asked: `UNKNOWN`.
static MOST: AtomicU32 = AtomicU32::new(UNKNOWN);
const UNKNOWN: u32 = u32::MAX;
/// The most turns a waiter looks as a rule, where there are several cores: about 5 µs, what a hand-over between two
/// running threads takes.
pub const DEFAULT_SPIN: u32 = 400;
/// How many of those turns seem worth while now.
static WORTH: AtomicU32 = AtomicU32::new(DEFAULT_SPIN);
/// Fewer are not worth the trouble.
const LEAST: u32 = 20;
/// A long look takes so many times the most turns, longer than it takes to wake a sleeper on another core: two who sleep in turn
/// find out by it that neither need.
const LONG: u32 = 20;
/// After so many looks in vain comes a long one, and more seldom the more of them were in vain.
const SOON: u32 = 2;
const SELDOM: u32 = 4096;
static PATIENCE: AtomicU32 = AtomicU32::new(SOON);
static IN_VAIN: AtomicU32 = AtomicU32::new(0);

/// Sets how many turns (of some 10 ns) the waiters of this process spin before they yield or sleep, at most; but now and
/// then one of them spins twenty times as long, to find out whether its partner does not sleep either. 0 turns both off.
///
/// Unless it is called, that is [`DEFAULT_SPIN`] if the machine has more than one core, else 0. On which of them the process
/// may run says nothing: its partners may run on others.
pub fn set_spin(turns: u32) {
    MOST.store(turns.min(UNKNOWN - 1), Ordering::Relaxed);
    WORTH.store(turns, Ordering::Relaxed);
    PATIENCE.store(SOON, Ordering::Relaxed);
    IN_VAIN.store(0, Ordering::Relaxed);
}

/// Sets whether the waiters of this process yield before they sleep; unless it is called, they do.
pub fn set_yield(yields: bool) {
    OMIT.store(if yields { 0 } else { u32::MAX }, Ordering::Relaxed);
}

fn most() -> u32 {
    match MOST.load(Ordering::Relaxed) {
        UNKNOWN => {
            // SAFETY: takes and returns a number.
            let cores = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
            let most = if cores > 1 { DEFAULT_SPIN } else { 0 };
            MOST.store(most, Ordering::Relaxed);
            most
        }
        most => most,
    }
}

/// Looks until `found` or it does not seem worth while any longer.
#[cold]
pub(crate) fn look<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    if cfg!(loom) {
        return None;
    }
    spin(1..=1, &mut found).or_else(|| give_way(found))
}

/// The same, but more and more seldom: where each look takes the cache line away from who is at work on it.
#[cold]
pub(crate) fn look_seldom<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    if cfg!(loom) {
        return found();
    }
    spin(2..=32, &mut found).or_else(|| give_way(found))
}

/// Looks with so many turns in between, at first and in the end.
fn spin<T>(pace: RangeInclusive<u32>, found: &mut impl FnMut() -> Option<T>) -> Option<T> {
    let most = most();
    if most == 0 {
        return None;
    }
    let worth = WORTH.load(Ordering::Relaxed).min(most);
    let patience = PATIENCE.load(Ordering::Relaxed);
    let in_vain = IN_VAIN.load(Ordering::Relaxed);
    let long = in_vain >= patience;
    let turns = if long {
        most.saturating_mul(LONG)
    } else {
        worth
    };
    let (mut turn, mut pause) = (0, *pace.start());
    while turn < turns {
        if let Some(found) = found() {
            if long {
                WORTH.store(most, Ordering::Relaxed);
                PATIENCE.store(SOON, Ordering::Relaxed);
                IN_VAIN.store(0, Ordering::Relaxed);
            } else if worth < most {
                WORTH.store((worth + worth / 8 + 1).min(most), Ordering::Relaxed);
            }
            return Some(found);
        }
        for _ in 0..pause {
            relax();
        }
        turn += pause;
        pause = (pause * 2).min(*pace.end());
    }
    let less = worth - worth / 4;
    WORTH.store(if less < LEAST { 0 } else { less }, Ordering::Relaxed);
    if long {
        PATIENCE.store((patience * 2).min(SELDOM), Ordering::Relaxed);
        IN_VAIN.store(0, Ordering::Relaxed);
    } else {
        IN_VAIN.store(in_vain + 1, Ordering::Relaxed);
    }
    None
}

/// How many waits leave out the yields: 0 none, `u32::MAX` all.
static OMIT: AtomicU32 = AtomicU32::new(0);
/// How many they left out last.
static OMITTED: AtomicU32 = AtomicU32::new(0);

/// Lets whoever is on this core run, and looks again.
fn give_way<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    /// Longer than a partner takes to answer: somebody else had the core.
    const CROWDED: Duration = Duration::from_micros(100);
    const LONGEST: u32 = 1024;

    match OMIT.load(Ordering::Relaxed) {
        0 => {}
        u32::MAX => return None,
        omit => {
            OMIT.store(omit - 1, Ordering::Relaxed);
            return None;
        }
    }
    let start = Instant::now();
    std::thread::yield_now();
    let found = found();
    let omit = match (&found, start.elapsed() < CROWDED) {
        (Some(_), true) => 0,
        (None, true) => (OMITTED.load(Ordering::Relaxed) * 2).clamp(4, LONGEST),
        (_, false) => (OMITTED.load(Ordering::Relaxed) * 4).clamp(16, LONGEST),
    };
    OMITTED.store(omit, Ordering::Relaxed);
    OMIT.store(omit, Ordering::Relaxed);
    found
}

/// Whether one who does not wait looks around now, which reads `/proc` and takes some 10 µs: at the first time that it finds
/// this gate taken, and then once in a while. So a dead holder does not keep out those who only try.
pub(crate) fn may_look_around<G>(gate: &G) -> bool {
    #[cfg(loom)]
    let due = std::ptr::from_ref(gate).addr() != 0;
    #[cfg(not(loom))]
    let due = {
        thread_local! {
            static LAST: std::cell::Cell<Option<(usize, Instant)>> = const { std::cell::Cell::new(None) };
        }
        let (gate, now) = (std::ptr::from_ref(gate).addr(), Instant::now());
        let due = LAST
            .get()
            .is_none_or(|(last, when)| last != gate || now.duration_since(when) >= FIRST_NAP);
        if due {
            LAST.set(Some((gate, now)));
        }
        due
    };
    due
}

/// Why a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Look whether there is something.
    Perhaps,
    /// Nobody called for a while: look around, too.
    LookAround,
    /// The time is over.
    TimedOut,
    /// There is no memory behind the word any more.
    Gone,
}

/// The sleeps of one waiter.
#[derive(Debug)]
pub(crate) struct Watch {
    deadline: Deadline,
    nap: Duration,
}

impl Watch {
    /// For a waiter who waits until `deadline`.
    pub(crate) fn until(deadline: Deadline) -> Self {
        Watch {
            deadline,
            nap: FIRST_NAP,
        }
    }

    /// The same for one who does nothing when it looks around.
    pub(crate) fn drowsy(deadline: Deadline) -> Self {
        Watch {
            deadline,
            nap: LONGEST_NAP,
        }
    }

    /// Sleeps while `word` is `expected`, for at most a nap.
    pub(crate) fn sleep(&mut self, word: &Word, expected: u32) -> Woken {
        let left = self.deadline.remaining();
        if left == Some(Duration::ZERO) {
            return Woken::TimedOut;
        }
        // The last sleep before a deadline is the caller's own time-out, every other a nap: it shows in the system call.
        let slept = match left {
            Some(left) if left <= self.nap => futex::wait(word, expected, self.deadline),
            _ => futex::nap(word, expected, self.nap),
        };
        match slept {
            // A wait for a lock goes on when it is interrupted; who does not wait for a lock asks.
            Sleep::Woken | Sleep::Changed | Sleep::Interrupted => Woken::Perhaps,
            Sleep::Gone => Woken::Gone,
            // The deadline is for the next sleep to find: one more look may succeed.
            Sleep::TimedOut => {
                self.nap = (self.nap * 2).min(LONGEST_NAP);
                Woken::LookAround
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::wait::Wait;

    #[test]
    fn a_waiter_looks_around_and_then_times_out() {
        let word = Word::new(0);
        let mut watch = Watch::until(Wait::For(Duration::from_millis(100)).into());
        let mut looks = 0;
        let start = Instant::now();
        loop {
            match watch.sleep(&word, 0) {
                Woken::LookAround => looks += 1,
                Woken::TimedOut => break,
                Woken::Perhaps => {}
                Woken::Gone => panic!("it is there"),
            }
        }
        assert!(looks >= 2, "{looks}");
        assert!(start.elapsed() >= Duration::from_millis(100));
        assert_eq!(Watch::until(Deadline::Now).sleep(&word, 0), Woken::TimedOut);
        assert_eq!(
            Watch::until(Deadline::Never).sleep(&word, 1),
            Woken::Perhaps
        );
    }
}
