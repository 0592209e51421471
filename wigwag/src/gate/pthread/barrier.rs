//! Barrier: `pthread_barrier_t`, where a fixed number of threads wait for each other, without a time-out.

use std::cell::UnsafeCell;

use super::{failed, with_attributes};
use crate::error::{Error, Kind, Result};
use crate::sys::pthread::checked;

const NOUN: &str = "pthread barrier";

/// A `pthread_barrier_t` that lies in memory somebody else may have laid out.
#[doc(alias = "pthread_barrier_t")]
#[repr(transparent)]
pub struct Barrier(UnsafeCell<libc::pthread_barrier_t>);

// SAFETY: a barrier may be used by many threads at once; that is what it is for.
unsafe impl Sync for Barrier {}

impl Barrier {
    /// The barrier that a program with the same C library initialised at `at`.
    ///
    /// # Safety
    /// See [the contract](super#safety-of-the-constructors).
    #[must_use]
    pub unsafe fn at<'a>(at: *mut libc::pthread_barrier_t) -> &'a Barrier {
        // SAFETY: the caller promises a live object; the type is transparent over it.
        unsafe { &*at.cast() }
    }

    /// Makes one for `count` threads at `at`, of other processes too when `shared`.
    ///
    /// # Errors
    /// `BadInput` when `count` is zero.
    ///
    /// # Safety
    /// See [the contract](super#safety-of-the-constructors); and nobody uses the memory yet.
    #[doc(alias = "pthread_barrier_init")]
    pub unsafe fn init<'a>(
        at: *mut libc::pthread_barrier_t,
        count: u32,
        shared: bool,
    ) -> Result<&'a Barrier> {
        if count == 0 {
            return Err(Error::new(
                Kind::BadInput,
                "create",
                NOUN,
                "",
                "nobody would ever arrive at a barrier for 0 threads",
            ));
        }
        let made = with_attributes(
            libc::pthread_barrierattr_init,
            libc::pthread_barrierattr_destroy,
            // SAFETY: the attributes are initialised, and the caller gives memory for a barrier.
            |attributes| unsafe {
                checked(libc::pthread_barrierattr_setpshared(
                    attributes,
                    if shared {
                        libc::PTHREAD_PROCESS_SHARED
                    } else {
                        libc::PTHREAD_PROCESS_PRIVATE
                    },
                ))?;
                checked(libc::pthread_barrier_init(at, attributes, count))
            },
        );
        made.map_err(|cause| failed("create", NOUN, &cause))?;
        // SAFETY: it is initialised now, and the caller promises the rest.
        Ok(unsafe { Self::at(at) })
    }

    /// Waits until all have arrived, however long that takes; true in one of them.
    #[doc(alias = "pthread_barrier_wait")]
    #[doc(alias = "PTHREAD_BARRIER_SERIAL_THREAD")]
    pub fn wait(&self) -> bool {
        // SAFETY: a live barrier, by the contract of the constructors.
        let result = unsafe { libc::pthread_barrier_wait(self.0.get()) };
        result == libc::PTHREAD_BARRIER_SERIAL_THREAD
    }
}
