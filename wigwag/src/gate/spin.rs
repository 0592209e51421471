//! Spin lock: a mutex whose waiters keep looking instead of sleeping; almost always the wrong choice.
//!
//! # When not to use it
//!
//! - **Not when its holder may be preempted.** A waiter that spins while the holder has no core burns its whole time
//!   slice. On one core a pure spin lock starves one side completely (measured fairness 0.00 to 0.06).
//! - **Not to be faster than [`Mutex`](super::Mutex).** Free of contention it saves some 5 ns of 11. Contended
//!   between two cores it is about equal, since that mutex looks a while before it sleeps, too.
//! - **Not for sections longer than about a microsecond**, for anything that does a system call, allocates, or may
//!   fault a page in: memory shared with other processes may.
//! - **Not with different priorities.** A real-time waiter that spins never lets an ordinary holder run.
//!
//! What is left: dedicated cores, and sections of a few instructions on both sides.
//!
//! This one is for those who were wrong: after about a microsecond its waiters yield the
//! core, then sleep 50 µs to 1 ms between looks, and after 2 ms, then ten times a second at least, they ask whether the holder lives.
//!
//! | word | state |
//! |---|---|
//! | 0 | free |
//! | a holder | taken by that thread; if it is dead, whoever finds that takes over, and is told |
//! | `ABANDONED` | its holder panicked: like a dead one's |
//! | all ones | unusable: a holder died, and who was told did not repair it |
//!
//! Waiters are not served in order; [`TicketLock`](super::ticket::TicketLock) does that, at a price.
//! T. E. Anderson, *The performance of spin lock alternatives for shared-memory multiprocessors*, 1990.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
#[cfg(not(loom))]
use std::mem::offset_of;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use super::watch::may_look_around;
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
#[cfg(not(loom))]
use crate::shared::{Layout, Plain, Shared, Sort, Visit, layout};
use crate::sys::atomic::{AtomicU64, Ordering, mutated, relax};
use crate::sys::holder::Holder;
use crate::wait::{Deadline, Wait};

const NOUN: &str = "spin lock";
const FREE: u64 = 0;
const UNUSABLE: u64 = u64::MAX;
/// Names no thread: its id is 0.
const ABANDONED: u64 = 1 << 22;
/// Looks before it yields: about a microsecond.
const TURNS: u32 = if cfg!(loom) { 1 } else { 100 };
/// Yields before it sleeps.
const YIELDS: u32 = 10;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "spin",
    title: "spin lock",
    noun: "spin lock",
    carries: "busy waiting",
    man: "pthread_spin_lock(3)",
    ..super::IN_A_SEGMENT
};

/// A value that one thread at a time may use, whose waiters spin (test-and-test-and-set).
///
/// ```
/// use wigwag::gate::SpinLock;
///
/// static TICKS: SpinLock<u64> = SpinLock::new(0);
/// let mut ticks = TICKS.lock()?.or_repair(|ticks| *ticks = 0);
/// *ticks += 1;
/// assert_eq!(TICKS.lock().unwrap_err().kind(), wigwag::Kind::Deadlock);
/// # Ok::<(), wigwag::Error>(())
/// ```
#[doc(alias = "pthread_spinlock_t")]
#[repr(C, align(64))]
pub struct SpinLock<T> {
    word: AtomicU64,
    data: UnsafeCell<T>,
}

// SAFETY: the lock gives `&mut T` to one thread at a time, so sharing it moves `T` between threads.
unsafe impl<T: Send> Sync for SpinLock<T> {}

// SAFETY: repr(C): a word of which any value is one of its states, and plain data that only a holder touches.
#[cfg(not(loom))]
unsafe impl<T: Plain> Shared for SpinLock<T> {
    const LAYOUT: Layout =
        layout::<Self>("SpinLock").field("value", offset_of!(Self, data), T::LAYOUT);
    const WARY: bool = false;
    const GATES: bool = true;
    const ZEROS: bool = true;

    fn survey(&self, path: &str, visit: &mut Visit<'_>) {
        visit(path, Sort::SpinLock, std::ptr::from_ref(&self.word).cast());
    }
}

impl<T> SpinLock<T> {
    #[cfg(not(loom))]
    /// A free one.
    #[must_use]
    pub const fn new(value: T) -> Self {
        SpinLock {
            word: AtomicU64::new(FREE),
            data: UnsafeCell::new(value),
        }
    }

    #[cfg(loom)]
    /// A free one.
    #[must_use]
    pub fn new(value: T) -> Self {
        SpinLock {
            word: AtomicU64::new(FREE),
            data: UnsafeCell::new(value),
        }
    }

    /// Locks it, waiting as long as it takes.
    ///
    /// # Errors
    /// `Deadlock` when this thread has it; `Corrupt` when a holder died and who was told did not repair it.
    #[doc(alias = "pthread_spin_lock")]
    pub fn lock(&self) -> Result<Lock<'_, T>> {
        self.lock_with(Wait::Forever)
    }

    /// Locks it if nobody has it.
    ///
    /// # Errors
    /// `Corrupt` as for [`lock`](Self::lock).
    #[doc(alias = "pthread_spin_trylock")]
    pub fn try_lock(&self) -> Result<Option<Lock<'_, T>>> {
        match self.lock_with(Wait::Not) {
            Ok(lock) => Ok(Some(lock)),
            // This thread having it counts as somebody.
            Err(error) if matches!(error.kind(), Kind::WouldBlock | Kind::Deadlock) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Locks it, waiting at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`; otherwise as for [`lock`](Self::lock).
    pub fn lock_timeout(&self, limit: Duration) -> Result<Lock<'_, T>> {
        self.lock_with(Wait::For(limit))
    }

    /// Locks it, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`; otherwise as for [`lock`](Self::lock).
    #[inline]
    pub fn lock_with(&self, wait: Wait) -> Result<Lock<'_, T>> {
        let me = Holder::thread();
        if self.take(FREE, me) {
            return Ok(Lock::Clean(Guard::new(self)));
        }
        self.wait(me, wait)
    }

    /// The thread id of who has it; old by the time it is read.
    #[must_use]
    pub fn holder(&self) -> Option<u32> {
        match self.word.load(Ordering::Relaxed) {
            UNUSABLE | ABANDONED => None,
            word => Holder::in_word(word).map(Holder::id),
        }
    }

    #[inline]
    fn take(&self, from: u64, me: Holder) -> bool {
        let acquire = if mutated("spin-acquire") {
            Ordering::Relaxed
        } else {
            Ordering::Acquire
        };
        self.word
            .compare_exchange(from, me.word(), acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    fn wait(&self, me: Holder, wait: Wait) -> Result<Lock<'_, T>> {
        let deadline = Deadline::from(wait);
        let mut patience = Patience::new();
        for round in 0.. {
            let turns = if wait == Wait::Not { 1 } else { TURNS };
            for _ in 0..turns {
                match self.word.load(Ordering::Relaxed) {
                    FREE if self.take(FREE, me) => return Ok(Lock::Clean(Guard::new(self))),
                    ABANDONED if self.take(ABANDONED, me) => {
                        return Ok(Lock::Orphaned(Orphan(Guard::new(self))));
                    }
                    UNUSABLE => return Err(unusable()),
                    word if word == me.word() => {
                        let cause = "this thread has it already";
                        return Err(Error::new(Kind::Deadlock, "lock", NOUN, "", cause));
                    }
                    _ => {}
                }
                // A model yields below, after it has asked, or no two would ask at once.
                if !cfg!(loom) {
                    relax();
                }
            }
            if wait == Wait::Not || deadline.passed() {
                if may_look_around(self) && self.inherit(me) {
                    return Ok(Lock::Orphaned(Orphan(Guard::new(self))));
                }
                return Err(match wait {
                    Wait::Not => Error::new(Kind::WouldBlock, "lock", NOUN, "", "it is taken"),
                    _ => Error::new(Kind::TimedOut, "lock", NOUN, "", "timed out"),
                });
            }
            if patience.is_over() && self.inherit(me) {
                return Ok(Lock::Orphaned(Orphan(Guard::new(self))));
            }
            pause(round, deadline);
        }
        unreachable!("the rounds do not end")
    }

    /// Takes it from a dead holder.
    fn inherit(&self, me: Holder) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        if word == UNUSABLE || Holder::in_word(word).is_none_or(Holder::thread_is_alive) {
            return false;
        }
        if mutated("spin-inherit-store") {
            self.word.store(me.word(), Ordering::SeqCst);
            return true;
        }
        !mutated("spin-inherit") && self.take(word, me)
    }
}

impl<T> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock")
            .field("holder", &self.holder())
            .finish_non_exhaustive()
    }
}

/// When to ask whether the holder lives: after 2 ms, then less and less often, but at least ten times a second.
pub(super) struct Patience {
    start: Instant,
    step: Duration,
    asks_at: Duration,
}

impl Patience {
    const FIRST: Duration = Duration::from_millis(2);
    const LONGEST: Duration = Duration::from_millis(100);

    pub(super) fn new() -> Self {
        Patience {
            start: Instant::now(),
            step: Self::FIRST,
            asks_at: Self::FIRST,
        }
    }

    /// Whether it is time to ask.
    pub(super) fn is_over(&mut self) -> bool {
        #[cfg(loom)]
        if crate::sys::holder::deaths() == 0 {
            return false;
        }
        let elapsed = self.start.elapsed();
        let over = elapsed >= self.asks_at || cfg!(loom);
        if over {
            self.asks_at = elapsed + self.step;
            self.step = (self.step * 2).min(Self::LONGEST);
        }
        over
    }

    /// The next one is to be asked after at once.
    pub(super) fn end(&mut self) {
        self.step = Self::FIRST;
        self.asks_at = Duration::ZERO;
    }
}

/// Lets others run: yields at first, then sleeps longer and longer.
pub(super) fn pause(round: u32, deadline: Deadline) {
    if cfg!(loom) {
        return relax();
    }
    if round < YIELDS {
        std::thread::yield_now();
        return;
    }
    let nap = Duration::from_micros(50 << (round - YIELDS).min(4)).min(Duration::from_millis(1));
    std::thread::sleep(deadline.remaining().map_or(nap, |left| left.min(nap)));
}

#[cold]
fn unusable() -> Error {
    let cause = "a holder died with it, and who was told did not repair what it guards";
    Error::new(Kind::Corrupt, "lock", NOUN, "", cause)
}

/// The lock, and whether its last holder left it or died with it.
#[must_use = "it is unlocked at once if it is not kept"]
#[derive(Debug)]
pub enum Lock<'a, T> {
    /// The last holder unlocked it.
    Clean(Guard<'a, T>),
    /// The last holder died with it: the value may be half changed.
    Orphaned(Orphan<'a, T>),
}

impl<'a, T> Lock<'a, T> {
    /// The lock, after `mend` where the last holder died with it.
    pub fn or_repair(self, mend: impl FnOnce(&mut T)) -> Guard<'a, T> {
        match self {
            Lock::Clean(guard) => guard,
            Lock::Orphaned(mut orphan) => {
                mend(&mut orphan);
                orphan.repaired()
            }
        }
    }

    /// Whether the last holder died with it.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        matches!(self, Lock::Orphaned(_))
    }
}

/// The lock after its holder's death. Dropped without [`repaired`](Self::repaired), nobody can lock it again.
#[must_use = "dropping it makes the lock unusable for everybody"]
#[derive(Debug)]
pub struct Orphan<'a, T>(Guard<'a, T>);

impl<'a, T> Orphan<'a, T> {
    /// Says that the value is whole again.
    pub fn repaired(self) -> Guard<'a, T> {
        let lock = self.0.lock;
        std::mem::forget(self);
        Guard::new(lock)
    }
}

impl<T> Deref for Orphan<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Orphan<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for Orphan<'_, T> {
    fn drop(&mut self) {
        // Who panics while it repairs has not decided: the next one may try.
        self.0.leave = if std::thread::panicking() {
            ABANDONED
        } else {
            UNUSABLE
        };
    }
}

/// The lock, until it is dropped. It stays in its thread.
#[must_use = "it is unlocked at once if it is not kept"]
#[derive(Debug)]
pub struct Guard<'a, T> {
    lock: &'a SpinLock<T>,
    leave: u64,
    /// Whether the thread was unwinding already when it took it.
    panicking: bool,
    not_send: PhantomData<*const ()>,
}

impl<'a, T> Guard<'a, T> {
    fn new(lock: &'a SpinLock<T>) -> Self {
        Guard {
            lock,
            leave: FREE,
            panicking: std::thread::panicking(),
            not_send: PhantomData,
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is this thread's until the guard is dropped; others keep away from the value.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and the guard is borrowed alone.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        let release = if mutated("spin-release") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        // In the child of a fork it is still its parent's.
        if self.lock.word.load(Ordering::Relaxed) == Holder::thread().word() {
            let panicked = self.leave == FREE && !self.panicking && std::thread::panicking();
            let leave = if panicked { ABANDONED } else { self.leave };
            self.lock.word.store(leave, release);
        }
    }
}
