//! Permit: one count of a set that is held, given back when it is dropped.

use super::{Op, Set};
use crate::sys::holder::Holder;

/// One count of a set that is held, given back when it is dropped, or by the kernel when the
/// process ends, unless the set was opened without undo. The child of a `fork` has a copy only, and gives nothing back.
#[derive(Debug)]
#[must_use = "a permit is given back when it is dropped"]
pub struct Permit<'a> {
    set: &'a Set,
    release: Op,
    process: Holder,
}

impl<'a> Permit<'a> {
    #[inline]
    pub(super) fn new(set: &'a Set, release: Op) -> Self {
        Permit {
            set,
            release,
            process: Holder::process(),
        }
    }

    /// Keeps it; it is still given back at the end of the process if the set undoes.
    #[inline]
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.process == Holder::process() {
            // Giving never waits; it fails only when the set was removed.
            let _ = self.set.apply(&[self.release]);
        }
    }
}
