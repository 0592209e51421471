//! Monitor: a value, its lock and its condition in one; leaving after a change wakes those who wait for one.
//!
//! The right order of steps is the only one there is: [`enter`](Monitor::enter), wait inside until the
//! value is [as it must be](Inside::when), change it, leave by dropping. Nothing can be forgotten: a change is noticed by the
//! mutable borrow, and the wake-up is sent after the lock is free.
//!
//! **Mesa semantics.** Between a change and the moment at which a waiter is inside again others may have been inside;
//! so `when` asks its question again each time. Hoare's hand-over, in which the waiter enters at once, is not
//! offered: it costs two switches for each wake-up, and a waiter that is killed as it is handed the monitor would have to be told from one
//! that is inside.
//!
//! **Every change wakes every waiter**, because each may wait for something else. With many waiters for different
//! conditions a [`Mutex`] and a [`Condvar`] for each of them wake fewer.
//!
//! C. A. R. Hoare, *Monitors: an operating system structuring concept*, 1974; P. Brinch Hansen, *Operating
//! system principles*, 1973; B. W. Lampson, D. D. Redell, *Experience with processes and monitors in Mesa*, 1980.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::condvar::Condvar;
use super::mutex::{self, Guard, Lock, Mutex};
use super::watch::Watch;
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
#[cfg(not(loom))]
use crate::shared::{Death, Layout, Plain, Shared, Sort, Visit, layout};
use crate::sys::atomic::mutated;
use crate::wait::{Deadline, Wait};

const NOUN: &str = "monitor";

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "monitor",
    title: "monitor",
    noun: "monitor",
    carries: "one inside with the value; wait for its change",
    man: "futex(7)",
    ..super::IN_A_SEGMENT
};

/// A value that one thread at a time may be inside with, and wait inside for its change.
///
/// ```
/// use wigwag::gate::Monitor;
///
/// let jobs = Monitor::new([0_u32; 2]); // waiting, done
/// std::thread::scope(|scope| {
///     scope.spawn(|| -> wigwag::Result<()> {
///         jobs.enter()?.or_repair(|_| ())[0] += 1; // leaving after the change wakes
///         Ok(())
///     });
///     let inside = jobs.enter()?.or_repair(|_| ());
///     let mut inside = inside.when(|[waiting, _]| *waiting > 0)?.or_repair(|_| ());
///     *inside = [inside[0] - 1, inside[1] + 1];
///     Ok::<(), wigwag::Error>(())
/// })?;
/// assert_eq!(*jobs.enter()?.or_repair(|_| ()), [0, 1]);
/// # Ok::<(), wigwag::Error>(())
/// ```
#[repr(C)]
#[derive(Debug)]
pub struct Monitor<T> {
    mutex: Mutex<T>,
    changed: Condvar,
}

// SAFETY: repr(C), and both fields are Shared.
#[cfg(not(loom))]
unsafe impl<T: Plain> Shared for Monitor<T> {
    const LAYOUT: Layout = layout::<Self>("Monitor").with(<Mutex<T> as Shared>::LAYOUT);
    const WARY: bool = <Mutex<T> as Shared>::WARY;
    const GATES: bool = true;
    const ZEROS: bool = true;

    fn settle(&self, death: Death) {
        self.mutex.settle(death);
    }

    fn in_use(&self) -> bool {
        self.mutex.in_use()
    }

    fn survey(&self, path: &str, visit: &mut Visit<'_>) {
        visit(
            path,
            Sort::Monitor,
            std::ptr::from_ref(self.mutex.word()).cast(),
        );
    }
}

impl<T> Monitor<T> {
    #[cfg(not(loom))]
    /// One that nobody is inside.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Monitor {
            mutex: Mutex::new(value),
            changed: Condvar::new(),
        }
    }

    #[cfg(loom)]
    /// One that nobody is inside.
    #[must_use]
    pub fn new(value: T) -> Self {
        Monitor {
            mutex: Mutex::new(value),
            changed: Condvar::new(),
        }
    }

    /// Enters, waiting as long as it takes.
    ///
    /// # Errors
    /// Those of [`Mutex::lock`]: `Deadlock` when this thread is inside.
    pub fn enter(&self) -> Result<Entry<'_, T>> {
        Ok(self.entered(self.mutex.lock()?))
    }

    /// Enters if nobody is inside.
    ///
    /// # Errors
    /// Those of [`Mutex::try_lock`].
    pub fn try_enter(&self) -> Result<Option<Entry<'_, T>>> {
        Ok(self.mutex.try_lock()?.map(|lock| self.entered(lock)))
    }

    /// Enters, waiting at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`; otherwise as for [`enter`](Self::enter).
    pub fn enter_timeout(&self, limit: Duration) -> Result<Entry<'_, T>> {
        Ok(self.entered(self.mutex.lock_timeout(limit)?))
    }

    /// Enters, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`; otherwise as for [`enter`](Self::enter).
    pub fn enter_with(&self, wait: Wait) -> Result<Entry<'_, T>> {
        Ok(self.entered(self.mutex.lock_with(wait)?))
    }

    /// How many sleep until there is a change; too high for a while by those who were killed asleep.
    #[must_use]
    pub fn waiters(&self) -> u32 {
        self.changed.waiters()
    }

    fn entered<'a>(&'a self, lock: Lock<'a, T>) -> Entry<'a, T> {
        match lock {
            Lock::Clean(guard) => Entry::Clean(Inside {
                monitor: self,
                guard: Some(guard),
                changed: false,
            }),
            Lock::Orphaned(orphan) => Entry::Orphaned(Orphan {
                monitor: self,
                orphan,
            }),
        }
    }
}

/// The inside, and whether who was there before left it or died in it.
#[must_use = "it is left at once if it is not kept"]
pub enum Entry<'a, T> {
    /// Whoever was inside before left it.
    Clean(Inside<'a, T>),
    /// Whoever was inside before died there: the value may be half changed.
    Orphaned(Orphan<'a, T>),
}

impl<'a, T> Entry<'a, T> {
    /// The inside, after `mend` where somebody died there.
    pub fn or_repair(self, mend: impl FnOnce(&mut T)) -> Inside<'a, T> {
        match self {
            Entry::Clean(inside) => inside,
            Entry::Orphaned(mut orphan) => {
                mend(&mut orphan.orphan);
                orphan.repaired()
            }
        }
    }

    /// Whether whoever was inside before died there.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        matches!(self, Entry::Orphaned(_))
    }
}

/// The inside after a death there. Dropped without [`repaired`](Self::repaired), nobody can enter again.
#[must_use = "dropping it makes the monitor unusable for everybody"]
pub struct Orphan<'a, T> {
    monitor: &'a Monitor<T>,
    orphan: mutex::Orphan<'a, T>,
}

impl<'a, T> Orphan<'a, T> {
    /// Says that the value is whole again. It counts as changed: who waits will look.
    pub fn repaired(self) -> Inside<'a, T> {
        Inside {
            monitor: self.monitor,
            guard: Some(self.orphan.repaired()),
            changed: true,
        }
    }
}

impl<T> Deref for Orphan<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.orphan
    }
}

impl<T> DerefMut for Orphan<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.orphan
    }
}

/// Who was told not to wait did not run out of time.
fn unless_told_to(wait: Wait, error: Error) -> Error {
    match (wait, error.kind()) {
        (Wait::Not, Kind::TimedOut) => {
            Error::new(Kind::WouldBlock, "wait in", NOUN, "", "it is not ready")
        }
        _ => error,
    }
}

#[cold]
fn timed_out() -> Error {
    Error::new(Kind::TimedOut, "wait in", NOUN, "", "timed out")
}

/// Being inside, until it is dropped. It stays in its thread.
#[must_use = "it is left at once if it is not kept"]
pub struct Inside<'a, T> {
    monitor: &'a Monitor<T>,
    /// There, except while it is given up.
    guard: Option<Guard<'a, T>>,
    changed: bool,
}

impl<'a, T> Inside<'a, T> {
    /// Stays if `ready`; else leaves until it is, and is inside again on return. After a death inside it returns at
    /// once, and whether it is ready is the caller's to look at.
    ///
    /// # Errors
    /// Those of [`Mutex::lock`].
    pub fn when(self, ready: impl FnMut(&T) -> bool) -> Result<Entry<'a, T>> {
        self.when_until(Deadline::Never, ready)
    }

    /// The same for at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`, and the monitor is left; otherwise as for [`when`](Self::when).
    pub fn when_timeout(
        self,
        limit: Duration,
        ready: impl FnMut(&T) -> bool,
    ) -> Result<Entry<'a, T>> {
        self.when_until(Deadline::from(Wait::For(limit)), ready)
    }

    /// The same, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock` or `TimedOut`, and the monitor is left; otherwise as for [`when`](Self::when).
    pub fn when_with(self, wait: Wait, ready: impl FnMut(&T) -> bool) -> Result<Entry<'a, T>> {
        let outcome = self.when_until(Deadline::from(wait), ready);
        outcome.map_err(|error| unless_told_to(wait, error))
    }

    fn when_until(
        mut self,
        deadline: Deadline,
        mut ready: impl FnMut(&T) -> bool,
    ) -> Result<Entry<'a, T>> {
        let Monitor { mutex, changed } = self.monitor;
        let mut watch = Watch::until(deadline);
        while !ready(&self) {
            if deadline.passed() {
                return Err(timed_out());
            }
            // What this one changed before it waits is news for the others, not for itself.
            let news = std::mem::take(&mut self.changed) && changed.announce();
            let ticket = changed.ticket();
            self.guard = None;
            let ticket = if mutated("monitor-ticket") {
                changed.ticket()
            } else {
                ticket
            };
            if news && !mutated("monitor-news") {
                changed.wake(u32::MAX);
            }
            changed.doze(ticket, &mut watch);
            // Who does not get back in before the time is over is out already.
            match mutex.lock_until(deadline, timed_out)? {
                Lock::Clean(guard) => self.guard = Some(guard),
                Lock::Orphaned(orphan) => {
                    return Ok(Entry::Orphaned(Orphan {
                        monitor: self.monitor,
                        orphan,
                    }));
                }
            }
        }
        Ok(Entry::Clean(self))
    }

    /// Unlocks, and tells the others if something changed.
    fn leave(&mut self) {
        let Some(guard) = self.guard.take() else {
            return;
        };
        if std::mem::take(&mut self.changed) && !mutated("monitor-wake") {
            self.monitor.changed.broadcast_unlock(guard);
        }
    }
}

impl<T> Deref for Inside<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_ref().expect("inside")
    }
}

impl<T> DerefMut for Inside<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        self.guard.as_mut().expect("inside")
    }
}

impl<T> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        self.leave();
    }
}
