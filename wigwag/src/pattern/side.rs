//! Side: the end of an object that is opened by address, claimed when it is first used, by one thread at a time.

use std::sync::{Mutex, MutexGuard, TryLockError};

use rustix::io::Errno;

use crate::sys::patience;
use crate::wait::Deadline;

/// An end that may not have been claimed yet.
#[derive(Debug)]
pub(super) struct Side<T>(Mutex<Option<T>>);

impl<T> Side<T> {
    /// One that nobody has claimed.
    pub(super) fn new() -> Self {
        Side(Mutex::new(None))
    }

    /// Has it for one operation, waiting while another thread has; `EAGAIN` or `ETIMEDOUT` otherwise.
    pub(super) fn enter(&self, deadline: Deadline) -> Result<MutexGuard<'_, Option<T>>, Errno> {
        // A thread that panicked has left an end that is whole: its own methods see to that.
        let attempt = || match self.0.try_lock() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Errno::AGAIN),
        };
        match deadline {
            Deadline::Never => Ok(self.0.lock().unwrap_or_else(|error| error.into_inner())),
            Deadline::Now => attempt(),
            Deadline::At(_) => patience::look_again(deadline, attempt),
        }
    }
}
