//! Permit: a place behind the semaphore, given back when it is dropped.

use super::Semaphore;
use crate::sys::holder::Holder;

/// A place behind the semaphore, given back when it is dropped; not by the child of a `fork`, which has a copy only.
#[derive(Debug)]
#[must_use = "a permit is given back when it is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    process: Holder,
}

impl<'a> Permit<'a> {
    #[inline]
    pub(super) fn new(semaphore: &'a Semaphore) -> Self {
        Permit {
            semaphore,
            process: Holder::process(),
        }
    }

    /// Keeps the place: the count stays one lower until somebody else [releases](Semaphore::release). For
    /// counting events, or for a permit that another process gives back.
    #[inline]
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.process == Holder::process() {
            // It fails only when somebody gave back what he did not hold.
            let _ = self.semaphore.release();
        }
    }
}
