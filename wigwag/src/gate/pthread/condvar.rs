//! Condvar: `pthread_cond_t`, which does not survive the death of a process that waits on it.
//!
//! **Danger.** In glibc before 2.41 one waiter killed by `SIGKILL` is enough: a later signal is lost, a
//! further `signal` or `broadcast` hangs the caller for ever, and so does `destroy` in every
//! version. No time-out can help the signaller. Use it for programs that have it already.

use std::cell::UnsafeCell;
use std::time::Duration;

use super::{Guard, Lock, failed, with_attributes};
use crate::error::Result;
use crate::sys::pthread::{absolute, checked, pthread_cond_clockwait};
use crate::wait::{Deadline, Wait};

const NOUN: &str = "pthread condition variable";

/// A `pthread_cond_t` that lies in memory somebody else may have laid out.
#[doc(alias = "pthread_cond_t")]
#[repr(transparent)]
pub struct Condvar(UnsafeCell<libc::pthread_cond_t>);

// SAFETY: a condition variable may be used by many threads at once; that is what it is for.
unsafe impl Sync for Condvar {}

impl Condvar {
    /// The condition variable that a program with the same C library initialised at `at`.
    ///
    /// # Safety
    /// See [the contract](super#safety-of-the-constructors).
    #[must_use]
    pub unsafe fn at<'a>(at: *mut libc::pthread_cond_t) -> &'a Condvar {
        // SAFETY: the caller promises a live object; the type is transparent over it.
        unsafe { &*at.cast() }
    }

    /// Makes one at `at`, for other processes too when `shared`.
    ///
    /// # Errors
    /// What `pthread_cond_init(3)` says.
    ///
    /// # Safety
    /// See [the contract](super#safety-of-the-constructors); and nobody uses the memory yet.
    #[doc(alias = "pthread_cond_init")]
    pub unsafe fn init<'a>(at: *mut libc::pthread_cond_t, shared: bool) -> Result<&'a Condvar> {
        let made = with_attributes(
            libc::pthread_condattr_init,
            libc::pthread_condattr_destroy,
            // SAFETY: the attributes are initialised, and the caller gives memory for a condition.
            |attributes| unsafe {
                checked(libc::pthread_condattr_setpshared(
                    attributes,
                    if shared {
                        libc::PTHREAD_PROCESS_SHARED
                    } else {
                        libc::PTHREAD_PROCESS_PRIVATE
                    },
                ))?;
                checked(libc::pthread_cond_init(at, attributes))
            },
        );
        made.map_err(|cause| failed("create", NOUN, &cause))?;
        // SAFETY: it is initialised now, and the caller promises the rest.
        Ok(unsafe { Self::at(at) })
    }

    /// Unlocks the mutex, waits for a signal (or wakes without one), and locks it again.
    ///
    /// # Errors
    /// `Corrupt` when the mutex became unusable; it is not locked then.
    #[doc(alias = "pthread_cond_wait")]
    pub fn wait<'a>(&self, guard: Guard<'a>) -> Result<Lock<'a>> {
        self.wait_until(guard, Deadline::Never)
            .map(|(lock, _)| lock)
    }

    /// The same for at most `limit` of monotonic time, whatever clock the C program chose; and
    /// whether that time passed without a signal.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    #[doc(alias = "pthread_cond_timedwait")]
    #[doc(alias = "pthread_cond_clockwait")]
    pub fn wait_timeout<'a>(&self, guard: Guard<'a>, limit: Duration) -> Result<(Lock<'a>, bool)> {
        self.wait_until(guard, Deadline::from(Wait::For(limit)))
    }

    fn wait_until<'a>(&self, guard: Guard<'a>, deadline: Deadline) -> Result<(Lock<'a>, bool)> {
        let mutex = guard.mutex();
        let result = match absolute(deadline) {
            // SAFETY: both are live by the contract of the constructors, and the guard says that
            // this thread has the mutex.
            None => checked(unsafe { libc::pthread_cond_wait(self.0.get(), mutex.raw()) }),
            // SAFETY: as above; the time lives across the call.
            Some(time) => checked(unsafe {
                pthread_cond_clockwait(
                    self.0.get(),
                    mutex.raw(),
                    libc::CLOCK_MONOTONIC,
                    &raw const time,
                )
            }),
        };
        // The mutex is locked again after success, a time-out and an owner's death; else it is not.
        std::mem::forget(guard);
        let timed_out = result
            .as_ref()
            .is_err_and(|cause| cause.raw_os_error() == Some(libc::ETIMEDOUT));
        let lock = mutex
            .outcome(if timed_out { Ok(()) } else { result })
            .map_err(|cause| failed("wait on", NOUN, &cause))?;
        Ok((lock, timed_out))
    }

    /// Wakes one waiter at least, if there is one. See the danger above: it may hang.
    #[doc(alias = "pthread_cond_signal")]
    #[doc(alias = "notify_one")]
    pub fn signal(&self) {
        // SAFETY: live by the contract of the constructors. It returns 0 always.
        unsafe { libc::pthread_cond_signal(self.0.get()) };
    }

    /// Wakes all waiters. See the danger above: it may hang.
    #[doc(alias = "pthread_cond_broadcast")]
    #[doc(alias = "notify_all")]
    pub fn broadcast(&self) {
        // SAFETY: live by the contract of the constructors. It returns 0 always.
        unsafe { libc::pthread_cond_broadcast(self.0.get()) };
    }

    /// Destroys it, waiting until woken waiters have left it: for ever if one of them was killed.
    ///
    /// # Safety
    /// Nobody, in any process, will use it any more.
    #[doc(alias = "pthread_cond_destroy")]
    pub unsafe fn destroy(&self) {
        // SAFETY: live by the contract of the constructors; the caller promises the rest.
        unsafe { libc::pthread_cond_destroy(self.0.get()) };
    }
}
