//! Wary mutex: a mutex for memory whose other users need not be honest.
//!
//! It hands out no reference to its value: the guard copies it out and in, so that what a peer writes
//! meanwhile is at worst a wrong value. It keeps no pointers in the memory, so the death of an owner is noticed by
//! those who wait, after some milliseconds. A peer that breaks the rules can make it useless (held for ever, a torn
//! value, an orphan that is none), and nothing worse: use [`lock_timeout`](WaryMutex::lock_timeout). To wait for a change
//! of the value, lay a [`Condvar`] beside it and use [`WaryGuard::wait_while`].
//!
//! ```
//! use wigwag::gate::WaryMutex;
//!
//! let price = WaryMutex::new([1_u32, 2]);
//! let (guard, _orphaned) = price.lock_timeout(std::time::Duration::from_secs(1))?;
//! let mut pair = guard.get(); // check it: anybody may have written it
//! pair[0] += 1;
//! guard.set(pair);
//! # Ok::<(), wigwag::Error>(())
//! ```

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{MaybeUninit, offset_of};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::condvar::Condvar;
use super::mutex::raw::{NOUN, Raw, Taken};
use super::watch::Watch;
use crate::error::{Error, Kind, Result};
use crate::shared::{Death, Layout, Plain, Shared, Sort, Visit, layout};
use crate::sys::robust;
use crate::wait::{Deadline, Wait};

/// A value that is copied in and out by one thread at a time, if all keep to the rules.
#[repr(C, align(64))]
pub struct WaryMutex<T> {
    raw: Raw<false>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only copied, byte by byte and atomically; any bytes are a value of a Plain type.
unsafe impl<T: Plain> Sync for WaryMutex<T> {}

// SAFETY: repr(C); words of which any value is one of their states, no pointers that are followed, and plain data.
unsafe impl<T: Plain> Shared for WaryMutex<T> {
    const LAYOUT: Layout =
        layout::<Self>("WaryMutex").field("value", offset_of!(Self, value), T::LAYOUT);
    const WARY: bool = true;
    const GATES: bool = true;
    const ZEROS: bool = true;

    fn settle(&self, death: Death) {
        self.raw.settle(death);
    }

    fn survey(&self, path: &str, visit: &mut Visit<'_>) {
        visit(
            path,
            Sort::Mutex,
            std::ptr::from_ref(self.raw.word()).cast(),
        );
    }
}

impl<T: Plain> WaryMutex<T> {
    /// A free one.
    #[must_use]
    pub const fn new(value: T) -> Self {
        WaryMutex {
            raw: Raw::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Locks it, waiting at most `limit`; whether its last holder died with it.
    ///
    /// The value of one whose holder died may be half changed; setting a whole one repairs it, and dropping the
    /// guard says that it is repaired.
    ///
    /// # Errors
    /// `TimedOut`; `Deadlock` when this thread holds it, or a peer pretends so; `Corrupt` when a peer gave it up.
    pub fn lock_timeout(&self, limit: Duration) -> Result<(WaryGuard<'_, T>, bool)> {
        self.lock_with(Wait::For(limit))
    }

    /// Locks it, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock`; otherwise as for [`lock_timeout`](Self::lock_timeout).
    pub fn lock_with(&self, wait: Wait) -> Result<(WaryGuard<'_, T>, bool)> {
        let me = robust::current();
        let taken = if self.raw.take(me) {
            Taken::Clean
        } else {
            self.raw.wait(me, wait)?
        };
        if taken == Taken::Orphaned {
            self.raw.repaired();
        }
        Ok((
            WaryGuard {
                mutex: self,
                not_send: PhantomData,
            },
            taken == Taken::Orphaned,
        ))
    }

    /// The thread id that the word says holds it.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        self.raw.owner()
    }

    fn bytes(&self) -> impl Iterator<Item = &AtomicU8> {
        let first = self.value.get().cast::<AtomicU8>();
        // SAFETY: each byte of the value, which is in an UnsafeCell and otherwise never accessed; one width for ever.
        (0..size_of::<T>()).map(move |at| unsafe { &*first.add(at) })
    }
}

impl<T> fmt::Debug for WaryMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaryMutex")
            .field("owner", &self.raw.owner())
            .finish_non_exhaustive()
    }
}

/// The lock, until it is dropped.
#[must_use = "it is unlocked at once if it is not kept"]
#[derive(Debug)]
pub struct WaryGuard<'a, T: Plain> {
    mutex: &'a WaryMutex<T>,
    not_send: PhantomData<*const ()>,
}

impl<'a, T: Plain> WaryGuard<'a, T> {
    /// Waits, at most `limit` of monotonic time, as long as `condition` holds of a copy of the value: unlocks, sleeps until
    /// `changed` is signalled, and locks again. And whether a holder died with it meanwhile, when it returns at once and the
    /// condition is the caller's to look at.
    ///
    /// A peer that breaks the rules can wake it for nothing or never; who changes the value drops the guard, then
    /// [signals](Condvar::signal).
    ///
    /// ```
    /// use std::time::Duration;
    /// use wigwag::gate::{Condvar, WaryMutex};
    ///
    /// let (ready, changed) = (WaryMutex::new(0_u32), Condvar::new());
    /// let second = Duration::from_secs(1);
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| -> wigwag::Result<()> {
    ///         let (guard, _orphaned) = ready.lock_timeout(second)?;
    ///         guard.set(1);
    ///         drop(guard);
    ///         changed.signal();
    ///         Ok(())
    ///     });
    ///     let (guard, _orphaned) = ready.lock_timeout(second)?;
    ///     let (guard, _orphaned) = guard.wait_while(&changed, 10 * second, |ready| ready == 0)?;
    ///     assert_eq!(guard.get(), 1);
    ///     Ok::<(), wigwag::Error>(())
    /// })?;
    /// # Ok::<(), wigwag::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TimedOut`, and those of [`lock_timeout`](WaryMutex::lock_timeout); it is unlocked then.
    #[doc(alias = "pthread_cond_timedwait")]
    pub fn wait_while(
        self,
        changed: &Condvar,
        limit: Duration,
        mut condition: impl FnMut(T) -> bool,
    ) -> Result<(Self, bool)> {
        let deadline = Deadline::from(Wait::For(limit));
        let mut watch = Watch::until(deadline);
        let mutex = self.mutex;
        let mut guard = self;
        while condition(guard.get()) {
            if deadline.passed() {
                return Err(Error::new(
                    Kind::TimedOut,
                    "wait with",
                    NOUN,
                    "",
                    "timed out",
                ));
            }
            let ticket = changed.ticket();
            drop(guard);
            changed.doze(ticket, &mut watch);
            let (again, orphaned) = mutex.lock_with(deadline.wait())?;
            if orphaned {
                return Ok((again, true));
            }
            guard = again;
        }
        Ok((guard, false))
    }

    /// A copy of the value. Check it before it is used as an index, a length or an offset.
    #[must_use]
    pub fn get(&self) -> T {
        let mut copy = MaybeUninit::<T>::uninit();
        let first = copy.as_mut_ptr().cast::<u8>();
        for (at, byte) in self.mutex.bytes().enumerate() {
            // SAFETY: inside the copy.
            unsafe { first.add(at).write(byte.load(Ordering::Relaxed)) };
        }
        // SAFETY: all bytes are written, and any bytes are a value of a Plain type.
        unsafe { copy.assume_init() }
    }

    /// Writes the value.
    pub fn set(&self, value: T) {
        let first = (&raw const value).cast::<u8>();
        for (at, byte) in self.mutex.bytes().enumerate() {
            // SAFETY: inside the value, which has no padding.
            byte.store(unsafe { first.add(at).read() }, Ordering::Relaxed);
        }
    }
}

impl<T: Plain> Drop for WaryGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.raw.free(robust::current());
    }
}
