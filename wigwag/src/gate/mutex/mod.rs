//! Mutex: one thread of one process at a time uses the value, and whoever dies with it locks nobody out.
//!
//! When the holder is killed, at whatever instruction, the next one gets [`Lock::Orphaned`]: the lock, and the
//! knowledge that the value may be half changed. It repairs the value, or gives up and so makes the mutex unusable for
//! all. A panic while it is held is the same state with another [`Cause`]. Locking it twice in one thread is an error.
//!
//! The same type works between threads (on the stack, in an `Arc`, in a `static`) and, in a
//! [`Segment`](crate::memory::Segment), between processes. Its word holds the owner's thread id as the kernel's robust
//! futexes do. [`Mutex::inheriting`] makes one for threads of unlike real-time priority. Not to be used in signal handlers. After `fork` the child owns nothing.
//!
//! ```
//! use wigwag::gate::{Lock, Mutex};
//!
//! static POT: Mutex<i32> = Mutex::new(0);
//! match POT.lock()? {
//!     Lock::Clean(mut pence) => *pence += 1,
//!     Lock::Orphaned(mut pence) => {
//!         *pence = 0; // its holder died half-way: begin again
//!         let _pence = pence.repaired();
//!     }
//! }
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `futex(2)`, `get_robust_list(2)`, `pthread_mutexattr_setrobust(3)`.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
#[cfg(not(loom))]
use std::mem::offset_of;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

pub(in crate::gate) mod raw;

pub use self::raw::Cause;
use self::raw::{Raw, Taken};
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
#[cfg(not(loom))]
use crate::shared::{Death, Layout, Plain, Shared, Sort, Visit, layout};
use crate::sys::atomic::const_unless_loom;
use crate::sys::robust;
use crate::wait::{Deadline, Wait};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "mutex",
    title: "mutex",
    noun: "mutex",
    carries: "one owner; survives the owner's death",
    man: "pthread_mutexattr_setrobust(3)",
    ..super::IN_A_SEGMENT
};

/// A value that one thread at a time may use.
#[doc(alias = "pthread_mutex_t")]
#[repr(C, align(64))]
pub struct Mutex<T> {
    raw: Raw<true>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives `&mut T` to one thread at a time, so sharing it moves `T` between threads.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: moving it moves the value; it cannot be moved while a guard borrows it.
unsafe impl<T: Send> Send for Mutex<T> {}

// SAFETY: repr(C); words of which any value is one of their states, a list node that trusted peers only write when they hold
// the lock, and plain data that only a holder touches.
#[cfg(not(loom))]
unsafe impl<T: Plain> Shared for Mutex<T> {
    const LAYOUT: Layout =
        layout::<Self>("Mutex").field("value", offset_of!(Self, value), T::LAYOUT);
    const WARY: bool = false;
    const GATES: bool = true;
    const ZEROS: bool = true;

    fn settle(&self, death: Death) {
        self.raw.settle(death);
    }

    fn in_use(&self) -> bool {
        self.raw.is_ours()
    }

    fn survey(&self, path: &str, visit: &mut Visit<'_>) {
        visit(
            path,
            Sort::Mutex,
            std::ptr::from_ref(self.raw.word()).cast(),
        );
    }
}

impl<T> Mutex<T> {
    #[cfg(not(loom))]
    pub(in crate::gate) fn word(&self) -> &crate::sys::atomic::AtomicU32 {
        self.raw.word()
    }

    const_unless_loom! {
        /// A free one.
        #[must_use]
        pub const fn new(value: T) -> Self {
            Mutex { raw: Raw::new(), value: UnsafeCell::new(value) }
        }
    }

    const_unless_loom! {
        /// A free one of which the holder runs with the priority of the most urgent thread that waits for it.
        ///
        /// For threads under a real-time policy (`sched(7)`): else one of middle priority that keeps a holder of low
        /// priority from its core keeps one of high priority waiting, for as long as it likes. Everything else is the same,
        /// but: the kernel hands it over to the most urgent waiter, so a contended one changes hands by a switch each time
        /// and is several times slower; nobody spins; a circle of threads that wait for each other's such mutexes is
        /// found, and the one who would close it gets `Deadlock`.
        #[doc(alias = "PTHREAD_PRIO_INHERIT")]
        #[doc(alias = "pthread_mutexattr_setprotocol")]
        #[must_use]
        pub const fn inheriting(value: T) -> Self {
            Mutex { raw: Raw::inheriting(), value: UnsafeCell::new(value) }
        }
    }

    /// Locks it, waiting as long as it takes.
    ///
    /// # Errors
    /// `Deadlock` when this thread holds it; `Corrupt` when a holder died and who was told gave up; `Limit`
    /// when this thread holds 1024 already; `Unsupported` in a thread that libc did not make.
    #[doc(alias = "pthread_mutex_lock")]
    #[inline]
    pub fn lock(&self) -> Result<Lock<'_, T>> {
        self.lock_with(Wait::Forever)
    }

    /// Locks it if nobody holds it.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    #[doc(alias = "pthread_mutex_trylock")]
    #[inline]
    pub fn try_lock(&self) -> Result<Option<Lock<'_, T>>> {
        match self.lock_with(Wait::Not) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) if error.kind() == Kind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Locks it, waiting at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`; otherwise as for [`lock`](Self::lock).
    #[doc(alias = "pthread_mutex_timedlock")]
    #[inline]
    pub fn lock_timeout(&self, limit: Duration) -> Result<Lock<'_, T>> {
        self.lock_with(Wait::For(limit))
    }

    /// Locks it for a gate that is made of it, until then; when that is over, it is that gate which says so.
    pub(super) fn lock_until(
        &self,
        deadline: Deadline,
        late: fn() -> Error,
    ) -> Result<Lock<'_, T>> {
        self.lock_with(deadline.wait())
            .map_err(|error| match error.kind() {
                Kind::TimedOut | Kind::WouldBlock => late(),
                _ => error,
            })
    }

    /// Locks it, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`; otherwise as for [`lock`](Self::lock).
    #[inline(always)]
    pub fn lock_with(&self, wait: Wait) -> Result<Lock<'_, T>> {
        let me = robust::known();
        if me.tid() != 0 && self.raw.take(me) {
            return Ok(Lock::Clean(Guard::new(self)));
        }
        self.wait(wait)
    }

    #[cold]
    #[inline(never)]
    fn wait(&self, wait: Wait) -> Result<Lock<'_, T>> {
        Ok(match self.raw.wait(robust::current(), wait)? {
            Taken::Clean => Lock::Clean(Guard::new(self)),
            Taken::Orphaned => Lock::Orphaned(Orphan {
                guard: Guard::new(self),
            }),
        })
    }

    /// For models: a free one whose waiters look after the holder.
    #[cfg(loom)]
    #[doc(hidden)]
    pub fn watched(value: T) -> Self {
        Mutex {
            raw: Raw::watched(),
            value: UnsafeCell::new(value),
        }
    }

    /// For models: the holder is killed.
    #[cfg(loom)]
    #[doc(hidden)]
    pub fn die(&self) {
        self.raw.die();
    }

    /// For models: waits, and is killed when it has been woken.
    #[cfg(loom)]
    #[doc(hidden)]
    pub fn wait_and_die(&self) {
        self.raw.wait_and_die();
    }

    /// The thread id of who holds it, in this pid namespace; old by the time it is read.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        self.raw.owner()
    }

    /// How many wait for it; old by the time it is read. A waiter that was killed counts until the next
    /// thousand unlocks that wake nobody. Of an [`inheriting`](Self::inheriting) one, 1 when anybody does.
    #[must_use]
    pub fn waiters(&self) -> u32 {
        self.raw.waiters()
    }

    /// The value, without a lock, since nobody else can have one.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex")
            .field("owner", &self.owner())
            .finish_non_exhaustive()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

/// The lock, and whether its last holder left it whole.
#[must_use = "it is unlocked at once if it is not kept"]
#[derive(Debug)]
pub enum Lock<'a, T> {
    /// The last holder unlocked it.
    Clean(Guard<'a, T>),
    /// The last holder died or panicked with it: the value may be half changed.
    Orphaned(Orphan<'a, T>),
}

impl<'a, T> Lock<'a, T> {
    /// The guard, after `mend` where the last holder died with it.
    #[inline]
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
#[must_use = "dropping it makes the mutex unusable for everybody"]
#[derive(Debug)]
pub struct Orphan<'a, T> {
    guard: Guard<'a, T>,
}

impl<'a, T> Orphan<'a, T> {
    /// Says that the value is whole again.
    #[doc(alias = "pthread_mutex_consistent")]
    pub fn repaired(self) -> Guard<'a, T> {
        let mutex = self.guard.mutex;
        std::mem::forget(self);
        mutex.raw.repaired();
        Guard::new(mutex)
    }

    /// Why it was left.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.guard.mutex.raw.cause()
    }
}

impl<T> Deref for Orphan<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Orphan<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> Drop for Orphan<'_, T> {
    fn drop(&mut self) {
        // Who panics while it repairs has not decided: the next one may try.
        let cause = std::thread::panicking().then_some(Cause::Panic);
        self.guard.mutex.raw.abandon(robust::current(), cause);
        // The guard's own drop finds that this thread does not hold it any more.
    }
}

/// The lock, until it is dropped. It stays in its thread.
#[must_use = "it is unlocked at once if it is not kept"]
pub struct Guard<'a, T> {
    mutex: &'a Mutex<T>,
    not_send: PhantomData<*const ()>,
}

// SAFETY: through `&Guard` one gets `&T` only.
unsafe impl<T: Sync> Sync for Guard<'_, T> {}

impl<'a, T> Guard<'a, T> {
    #[inline(always)]
    fn new(mutex: &'a Mutex<T>) -> Self {
        if std::thread::panicking() {
            mutex.raw.taken_in_panic();
        }
        Guard {
            mutex,
            not_send: PhantomData,
        }
    }

    /// The mutex it is of.
    pub(crate) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the lock is this thread's until the guard is dropped; others keep away from the value.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and the guard is borrowed alone.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.mutex.raw.unlock();
    }
}

impl<T: fmt::Debug> fmt::Debug for Guard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_taken_and_given_back_while_unwinding_is_no_orphan() {
        struct Locks<'a>(&'a Mutex<u8>);
        impl Drop for Locks<'_> {
            fn drop(&mut self) {
                drop(self.0.lock());
            }
        }
        let mutex = Mutex::new(0);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _locks = Locks(&mutex);
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert!(!mutex.lock().expect("lock").is_orphaned());
    }
}
