//! Condvar: wait, with a lock given up meanwhile, until somebody signals; a killed waiter or signaller loses nobody's wake-up for long.
//!
//! | `sequence` | `waiters` | state |
//! |---|---|---|
//! | s | 0 | nobody sleeps; who waits has read s and is about to |
//! | s | n | n sleep, or were killed asleep |
//! | s + 1 | any | a signal was given: who read s does not go to sleep, one who sleeps is woken |
//!
//! **A signal is not a message.** It is lost if nobody waits, waiters may wake without one, and between the signal and
//! the waiter's return others may have had the lock (Mesa semantics). So wait for a *condition* of the value
//! that the lock guards: [`wait_while`](Condvar::wait_while) does it right.
//!
//! **Deaths.** A signal whose receiver is killed before it could act on it is lost with any condition variable; so is the signal
//! of who is killed after it changed the value. Therefore every wait returns after a [nap](super::watch) at the
//! latest, and `wait_while` looks at the condition again. A killed waiter leaves `waiters` one too high for the
//! next thousand signals, each of which makes a useless wake-up call.
//!
//! **Unlock first.** A waiter that is woken while the signaller has the lock runs into that lock at once: two more
//! switches. Give the guard to [`signal_unlock`](Condvar::signal_unlock), or drop it before [`signal`](Condvar::signal).
//!
//! B. W. Lampson, D. D. Redell, *Experience with processes and monitors in Mesa*, 1980; `futex(2)`.

use std::time::Duration;

use super::mutex::{Guard, Lock};
use super::waiters::Waiters;
use super::watch::{Watch, Woken, look};
use crate::error::Result;
use crate::facility::Facility;
use crate::guarantees::{Guarantees, PeerDeath};
#[cfg(not(loom))]
use crate::shared::{Layout, Shared, Sort, Visit, layout};
use crate::sys::atomic::{AtomicU32, Ordering, const_unless_loom, mutated};
use crate::wait::{Deadline, Wait};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "condvar",
    title: "condition variable",
    noun: "condition variable",
    carries: "wait, signal, broadcast",
    guarantees: Guarantees {
        peer_death: PeerDeath::Unnoticed,
        ..Guarantees::GATE
    },
    man: "pthread_cond_wait(3)",
    ..super::IN_A_SEGMENT
};

/// A place to wait for a change of what a [`Mutex`](super::Mutex) guards.
///
/// ```
/// use wigwag::gate::{Condvar, Mutex};
///
/// let (ready, changed) = (Mutex::new(0_u32), Condvar::new());
/// std::thread::scope(|scope| {
///     scope.spawn(|| -> wigwag::Result<()> {
///         let mut guard = ready.lock()?.or_repair(|ready| *ready = 0);
///         *guard = 1;
///         changed.signal_unlock(guard);
///         Ok(())
///     });
///     let guard = ready.lock()?.or_repair(|ready| *ready = 0);
///     let guard = changed.wait_while(guard, |ready| *ready == 0)?.or_repair(|ready| *ready = 0);
///     assert_eq!(*guard, 1);
///     Ok::<(), wigwag::Error>(())
/// })?;
/// # Ok::<(), wigwag::Error>(())
/// ```
#[doc(alias = "pthread_cond_t")]
#[repr(C)]
#[derive(Debug)]
pub struct Condvar {
    sequence: AtomicU32,
    reserved: AtomicU32,
    waiters: Waiters,
}

// SAFETY: repr(C): two atomics, of which any values are states.
#[cfg(not(loom))]
unsafe impl Shared for Condvar {
    const LAYOUT: Layout = layout::<Self>("Condvar");
    const WARY: bool = true;
    const GATES: bool = true;
    const ZEROS: bool = true;

    fn survey(&self, path: &str, visit: &mut Visit<'_>) {
        visit(
            path,
            Sort::Condvar,
            std::ptr::from_ref(&self.sequence).cast(),
        );
    }
}

impl Condvar {
    const_unless_loom! {
        /// One on which nobody waits.
        #[must_use]
        pub const fn new() -> Condvar {
            Condvar { sequence: AtomicU32::new(0), reserved: AtomicU32::new(0), waiters: Waiters::new() }
        }
    }

    /// Unlocks, sleeps until a signal or for half a second at most, and locks again.
    ///
    /// # Errors
    /// Those of [`Mutex::lock`](super::Mutex::lock); it is not locked then.
    #[doc(alias = "pthread_cond_wait")]
    pub fn wait<'a, T>(&self, guard: Guard<'a, T>) -> Result<Lock<'a, T>> {
        let mut watch = Watch::drowsy(Deadline::Never);
        self.sleep(guard, &mut watch).map(|(lock, _)| lock)
    }

    /// The same for at most `limit` of monotonic time; and whether that is over. As with POSIX, getting the lock back comes on
    /// top: it takes as long as others hold it.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    #[doc(alias = "pthread_cond_timedwait")]
    pub fn wait_timeout<'a, T>(
        &self,
        guard: Guard<'a, T>,
        limit: Duration,
    ) -> Result<(Lock<'a, T>, bool)> {
        self.wait_with(guard, Wait::For(limit))
    }

    /// The same as long as told; and whether that is over.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_with<'a, T>(&self, guard: Guard<'a, T>, wait: Wait) -> Result<(Lock<'a, T>, bool)> {
        let deadline = Deadline::from(wait);
        let mut watch = Watch::drowsy(deadline);
        let (lock, woken) = self.sleep(guard, &mut watch)?;
        Ok((lock, woken != Woken::Perhaps && deadline.passed()))
    }

    /// Waits as long as `condition` holds. When the lock comes back from a dead owner it returns at once, and the
    /// condition is the caller's to look at.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_while<'a, T>(
        &self,
        guard: Guard<'a, T>,
        condition: impl FnMut(&mut T) -> bool,
    ) -> Result<Lock<'a, T>> {
        self.wait_while_until(guard, Deadline::Never, condition)
            .map(|(lock, _)| lock)
    }

    /// The same for at most `limit` of monotonic time, and as long as others hold the lock then; and whether it gave up while
    /// the condition still held.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_while_timeout<'a, T>(
        &self,
        guard: Guard<'a, T>,
        limit: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> Result<(Lock<'a, T>, bool)> {
        self.wait_while_with(guard, Wait::For(limit), condition)
    }

    /// The same as long as told; and whether it gave up while the condition still held.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_while_with<'a, T>(
        &self,
        guard: Guard<'a, T>,
        wait: Wait,
        condition: impl FnMut(&mut T) -> bool,
    ) -> Result<(Lock<'a, T>, bool)> {
        self.wait_while_until(guard, Deadline::from(wait), condition)
    }

    fn wait_while_until<'a, T>(
        &self,
        mut guard: Guard<'a, T>,
        deadline: Deadline,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Result<(Lock<'a, T>, bool)> {
        let mut watch = Watch::until(deadline);
        while condition(&mut guard) {
            if deadline.passed() {
                return Ok((Lock::Clean(guard), true));
            }
            match self.sleep(guard, &mut watch)?.0 {
                Lock::Clean(again) => guard = again,
                orphaned @ Lock::Orphaned(_) => return Ok((orphaned, false)),
            }
        }
        Ok((Lock::Clean(guard), false))
    }

    /// Wakes one waiter, if there is one. Best called without the lock; see [`signal_unlock`](Self::signal_unlock).
    #[doc(alias = "pthread_cond_signal")]
    #[doc(alias = "notify_one")]
    pub fn signal(&self) {
        if self.announce() {
            self.wake(1);
        }
    }

    /// Wakes all waiters. Best called without the lock; see [`broadcast_unlock`](Self::broadcast_unlock).
    #[doc(alias = "pthread_cond_broadcast")]
    #[doc(alias = "notify_all")]
    pub fn broadcast(&self) {
        if self.announce() {
            self.wake(u32::MAX);
        }
    }

    /// Unlocks, then wakes one waiter.
    pub fn signal_unlock<T>(&self, guard: Guard<'_, T>) {
        self.wake_after(guard, 1);
    }

    /// Unlocks, then wakes all waiters.
    pub fn broadcast_unlock<T>(&self, guard: Guard<'_, T>) {
        self.wake_after(guard, u32::MAX);
    }

    fn wake_after<T>(&self, guard: Guard<'_, T>, count: u32) {
        let somebody = self.announce();
        drop(guard);
        if somebody {
            self.wake(count);
        }
    }

    /// How many sleep; too high for a while by those who were killed asleep.
    #[must_use]
    pub fn waiters(&self) -> u32 {
        self.waiters.count()
    }

    /// Makes a signal visible to those about to sleep; whether anybody sleeps and is to be woken.
    ///
    /// With the sleeper's order this is "I store mine, then look at yours". A waiter reads the sequence while it has
    /// the lock, so whoever changed the value under the lock after it changes the sequence after that.
    pub(super) fn announce(&self) -> bool {
        if !mutated("condvar-sequence") {
            self.sequence.fetch_add(1, Ordering::SeqCst);
        }
        self.waiters.any()
    }

    pub(super) fn wake(&self, count: u32) {
        if !mutated("condvar-wake") {
            self.waiters.wake(&self.sequence, count);
        }
    }

    /// Unlocks, sleeps once, and locks again.
    pub(super) fn sleep<'a, T>(
        &self,
        guard: Guard<'a, T>,
        watch: &mut Watch,
    ) -> Result<(Lock<'a, T>, Woken)> {
        let ticket = self.ticket();
        let mutex = Guard::mutex(&guard);
        drop(guard);
        let woken = self.doze(ticket, watch);
        Ok((mutex.lock()?, woken))
    }

    /// What a waiter must know of the past when it gives up the lock; asked with the lock.
    pub(super) fn ticket(&self) -> u32 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// Sleeps until there was a signal since `ticket`, or for a nap; the caller has the lock no longer.
    pub(super) fn doze(&self, ticket: u32, watch: &mut Watch) -> Woken {
        let signalled = || (self.sequence.load(Ordering::Relaxed) != ticket).then_some(());
        if look(signalled).is_some() {
            return Woken::Perhaps;
        }
        let mut waiter = self.waiters.waiter();
        if !mutated("condvar-waiters") {
            waiter.count();
        }
        // The kernel looks at the sequence once more, after the count.
        watch.sleep(&self.sequence, ticket)
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Condvar::new()
    }
}
