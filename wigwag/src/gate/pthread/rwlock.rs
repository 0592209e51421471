//! RwLock: `pthread_rwlock_t`, many readers or one writer; a holder that is killed holds it for ever.
//!
//! POSIX has no robust form. Where a holder may be killed give every call a time-out, or use
//! a lock of our own.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::time::Duration;

use super::{failed, with_attributes};
use crate::error::Result;
use crate::gate::Mode;
use crate::sys::pthread::{
    absolute, checked, pthread_rwlock_clockrdlock, pthread_rwlock_clockwrlock,
};
use crate::wait::{Deadline, Wait};

const NOUN: &str = "pthread readers-writer lock";

/// A `pthread_rwlock_t` that lies in memory somebody else may have laid out.
#[doc(alias = "pthread_rwlock_t")]
#[repr(transparent)]
pub struct RwLock(UnsafeCell<libc::pthread_rwlock_t>);

// SAFETY: a readers-writer lock may be used by many threads at once; that is what it is for.
unsafe impl Sync for RwLock {}

impl RwLock {
    /// The lock that a program with the same C library initialised at `at`.
    ///
    /// # Safety
    /// See [the contract](super#safety-of-the-constructors).
    #[must_use]
    pub unsafe fn at<'a>(at: *mut libc::pthread_rwlock_t) -> &'a RwLock {
        // SAFETY: the caller promises a live object; the type is transparent over it.
        unsafe { &*at.cast() }
    }

    /// Makes one at `at`, for other processes too when `shared`.
    ///
    /// # Errors
    /// What `pthread_rwlock_init(3p)` says.
    ///
    /// # Safety
    /// See [the contract](super#safety-of-the-constructors); and nobody uses the memory yet.
    #[doc(alias = "pthread_rwlock_init")]
    pub unsafe fn init<'a>(at: *mut libc::pthread_rwlock_t, shared: bool) -> Result<&'a RwLock> {
        let made = with_attributes(
            libc::pthread_rwlockattr_init,
            libc::pthread_rwlockattr_destroy,
            // SAFETY: the attributes are initialised, and the caller gives memory for a lock.
            |attributes| unsafe {
                checked(libc::pthread_rwlockattr_setpshared(
                    attributes,
                    if shared {
                        libc::PTHREAD_PROCESS_SHARED
                    } else {
                        libc::PTHREAD_PROCESS_PRIVATE
                    },
                ))?;
                checked(libc::pthread_rwlock_init(at, attributes))
            },
        );
        made.map_err(|cause| failed("create", NOUN, &cause))?;
        // SAFETY: it is initialised now, and the caller promises the rest.
        Ok(unsafe { Self::at(at) })
    }

    /// Locks it beside other readers, waiting as long as it takes.
    ///
    /// # Errors
    /// `Deadlock` when this thread writes, `Limit` when there are too many readers.
    #[doc(alias = "pthread_rwlock_rdlock")]
    pub fn read(&self) -> Result<ReadGuard<'_>> {
        self.enter(Mode::Shared, Wait::Forever)
            .map(|()| ReadGuard(self, PhantomData))
    }

    /// Locks it for reading unless somebody writes.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    #[doc(alias = "pthread_rwlock_tryrdlock")]
    pub fn try_read(&self) -> Result<Option<ReadGuard<'_>>> {
        Ok(self
            .try_enter(Mode::Shared)?
            .then(|| ReadGuard(self, PhantomData)))
    }

    /// Locks it for reading, waiting at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`; otherwise as for [`read`](Self::read).
    #[doc(alias = "pthread_rwlock_clockrdlock")]
    pub fn read_timeout(&self, limit: Duration) -> Result<ReadGuard<'_>> {
        self.enter(Mode::Shared, Wait::For(limit))
            .map(|()| ReadGuard(self, PhantomData))
    }

    /// Locks it alone, waiting as long as it takes.
    ///
    /// # Errors
    /// `Deadlock` when this thread writes already.
    #[doc(alias = "pthread_rwlock_wrlock")]
    pub fn write(&self) -> Result<WriteGuard<'_>> {
        self.enter(Mode::Exclusive, Wait::Forever)
            .map(|()| WriteGuard(self, PhantomData))
    }

    /// Locks it alone if nobody has it.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    #[doc(alias = "pthread_rwlock_trywrlock")]
    pub fn try_write(&self) -> Result<Option<WriteGuard<'_>>> {
        Ok(self
            .try_enter(Mode::Exclusive)?
            .then(|| WriteGuard(self, PhantomData)))
    }

    /// Locks it alone, waiting at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`; otherwise as for [`write`](Self::write).
    #[doc(alias = "pthread_rwlock_clockwrlock")]
    pub fn write_timeout(&self, limit: Duration) -> Result<WriteGuard<'_>> {
        self.enter(Mode::Exclusive, Wait::For(limit))
            .map(|()| WriteGuard(self, PhantomData))
    }

    fn try_enter(&self, mode: Mode) -> Result<bool> {
        match self.enter(mode, Wait::Not) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == crate::error::Kind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn enter(&self, mode: Mode, wait: Wait) -> Result<()> {
        let lock = self.0.get();
        let time = absolute(Deadline::from(wait));
        // SAFETY: a live lock, by the contract of the constructors; the time lives across the call.
        let result = unsafe {
            match (mode, wait, &time) {
                (Mode::Shared, Wait::Not, _) => libc::pthread_rwlock_tryrdlock(lock),
                (Mode::Exclusive, Wait::Not, _) => libc::pthread_rwlock_trywrlock(lock),
                (Mode::Shared, _, None) => libc::pthread_rwlock_rdlock(lock),
                (Mode::Exclusive, _, None) => libc::pthread_rwlock_wrlock(lock),
                (Mode::Shared, _, Some(time)) => {
                    pthread_rwlock_clockrdlock(lock, libc::CLOCK_MONOTONIC, time)
                }
                (Mode::Exclusive, _, Some(time)) => {
                    pthread_rwlock_clockwrlock(lock, libc::CLOCK_MONOTONIC, time)
                }
            }
        };
        let action = match mode {
            Mode::Shared => "read-lock",
            Mode::Exclusive => "write-lock",
        };
        checked(result).map_err(|cause| failed(action, NOUN, &cause))
    }

    fn unlock(&self) {
        // SAFETY: a live lock, by the contract of the constructors; the guard that calls this
        // says that this thread has it.
        unsafe { libc::pthread_rwlock_unlock(self.0.get()) };
    }
}

/// A reader's lock, until it is dropped. It stays in its thread.
#[must_use = "it is unlocked at once if it is not kept"]
pub struct ReadGuard<'a>(&'a RwLock, PhantomData<*const ()>);

/// The writer's lock, until it is dropped. It stays in its thread.
#[must_use = "it is unlocked at once if it is not kept"]
pub struct WriteGuard<'a>(&'a RwLock, PhantomData<*const ()>);

impl Drop for ReadGuard<'_> {
    fn drop(&mut self) {
        self.0.unlock();
    }
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        self.0.unlock();
    }
}
