//! Semaphore: `sem_t` without a name, in memory a C program laid out; the permits of a killed process are gone.

use std::cell::UnsafeCell;
use std::io;
use std::time::Duration;

use super::failed;
use crate::error::{Kind, Result};
use crate::sys::pthread::{absolute, sem_clockwait};
use crate::wait::{Deadline, Wait};

const NOUN: &str = "semaphore";

/// A `sem_t` that lies in memory somebody else may have laid out.
///
/// It counts events as often as resources, so acquiring returns no guard: who takes a permit to
/// give it back calls [`release`](Self::release).
#[doc(alias = "sem_t")]
#[repr(transparent)]
pub struct Semaphore(UnsafeCell<libc::sem_t>);

// SAFETY: a semaphore may be used by many threads at once; that is what it is for.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    /// The semaphore that a program with the same C library initialised at `at`.
    ///
    /// # Safety
    /// See [the contract](super#safety-of-the-constructors).
    #[must_use]
    pub unsafe fn at<'a>(at: *mut libc::sem_t) -> &'a Semaphore {
        // SAFETY: the caller promises a live object; the type is transparent over it.
        unsafe { &*at.cast() }
    }

    /// Makes one with `value` permits at `at`, for other processes too when `shared`.
    ///
    /// # Errors
    /// `BadInput` when `value` is more than `SEM_VALUE_MAX`, 2 147 483 647.
    ///
    /// # Safety
    /// See [the contract](super#safety-of-the-constructors); and nobody uses the memory yet.
    #[doc(alias = "sem_init")]
    pub unsafe fn init<'a>(
        at: *mut libc::sem_t,
        value: u32,
        shared: bool,
    ) -> Result<&'a Semaphore> {
        // SAFETY: the caller gives memory for a semaphore.
        result(unsafe { libc::sem_init(at, i32::from(shared), value) })
            .map_err(|cause| failed("create", NOUN, &cause))?;
        // SAFETY: it is initialised now, and the caller promises the rest.
        Ok(unsafe { Self::at(at) })
    }

    /// Takes a permit, waiting as long as it takes. Signals do not end it.
    ///
    /// # Errors
    /// None that a program can cause.
    #[doc(alias = "sem_wait")]
    #[doc(alias = "P")]
    pub fn acquire(&self) -> Result<()> {
        self.acquire_with(Wait::Forever)
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    /// None that a program can cause.
    #[doc(alias = "sem_trywait")]
    pub fn try_acquire(&self) -> Result<bool> {
        match self.acquire_with(Wait::Not) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == Kind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes a permit, waiting at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`.
    #[doc(alias = "sem_timedwait")]
    #[doc(alias = "sem_clockwait")]
    pub fn acquire_timeout(&self, limit: Duration) -> Result<()> {
        self.acquire_with(Wait::For(limit))
    }

    fn acquire_with(&self, wait: Wait) -> Result<()> {
        let semaphore = self.0.get();
        let time = absolute(Deadline::from(wait));
        loop {
            // SAFETY: a live semaphore, by the contract of the constructors; the time lives
            // across the call.
            let taken = result(unsafe {
                match (wait, &time) {
                    (Wait::Not, _) => libc::sem_trywait(semaphore),
                    (_, None) => libc::sem_wait(semaphore),
                    (_, Some(time)) => sem_clockwait(semaphore, libc::CLOCK_MONOTONIC, time),
                }
            });
            match taken {
                Ok(()) => return Ok(()),
                Err(cause)
                    if cause.kind() == io::ErrorKind::Interrupted && !crate::interrupt::ended() => {
                }
                Err(cause) if cause.raw_os_error() == Some(libc::EAGAIN) => {
                    return Err(crate::error::Error::os("acquire", NOUN, "", &cause));
                }
                Err(cause) => return Err(failed("acquire", NOUN, &cause)),
            }
        }
    }

    /// Gives a permit, which need not have been taken before. Async-signal-safe.
    ///
    /// # Errors
    /// `Limit` when there are `SEM_VALUE_MAX` permits.
    #[doc(alias = "sem_post")]
    #[doc(alias = "V")]
    pub fn release(&self) -> Result<()> {
        // SAFETY: a live semaphore, by the contract of the constructors.
        result(unsafe { libc::sem_post(self.0.get()) })
            .map_err(|cause| failed("release", NOUN, &cause).with_kind(Kind::Limit))
    }

    /// How many permits there are; old by the time it is read.
    #[doc(alias = "sem_getvalue")]
    #[must_use]
    pub fn value(&self) -> u32 {
        let mut value = 0;
        // SAFETY: a live semaphore, by the contract of the constructors. It returns 0 always.
        unsafe { libc::sem_getvalue(self.0.get(), &raw mut value) };
        value.cast_unsigned()
    }
}

fn result(returned: i32) -> io::Result<()> {
    if returned == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
