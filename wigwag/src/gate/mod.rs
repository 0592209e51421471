//! Gates: who may go on, and who waits.
//!
//! | need | use | when its holder dies |
//! |---|---|---|
//! | count free resources, by name | [`posix`] semaphore | stays held |
//! | several counts at once, given back at exit | [`sysv`] semaphore set | given back if asked (undo) |
//! | protect a file, or a range of it | [`file_lock`]: OFD | given back |
//! | the same between whole programs, by shell too | [`file_lock`]: flock | given back |
//! | the same with programs that use `lockf(3)` | [`file_lock`]: POSIX record | given back |
//! | count events, wait for them in an event loop | [`event`] | nothing is held |

use crate::error::Result;
use crate::wait::Wait;

pub mod event;
pub mod file_lock;
pub mod posix;
pub mod sysv;

/// Whether others may be inside at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Others that ask for `Shared` too.
    Shared,
    /// Nobody.
    Exclusive,
}

/// A gate, whatever it is made of.
pub trait Gate: Send + Sync {
    /// Enters, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`, `Removed`, `Deadlock` where the kernel finds one; `BadInput`
    /// when it has no shared mode.
    #[doc(alias = "P")]
    fn acquire_with(&self, mode: Mode, wait: Wait) -> Result<()>;

    /// Leaves, letting another in.
    ///
    /// # Errors
    /// `Limit` when a counter is at its greatest value; what the system call says.
    #[doc(alias = "V")]
    fn release(&self) -> Result<()>;

    /// How many may enter now without waiting, where that is a number; old by the time it is read.
    ///
    /// # Errors
    /// What the system call says.
    fn available(&self) -> Result<Option<u64>>;
}
