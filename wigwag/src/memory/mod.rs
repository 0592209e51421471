//! Memory: one piece of memory in the address spaces of many processes.
//!
//! | need | use |
//! |---|---|
//! | a name, gone at reboot | [`posix`] |
//! | a key, older programs, a count of who has it attached | [`sysv`] |
//! | contents that survive a reboot | [`file`] |
//! | no name: passed as a descriptor, sealed against a peer that shrinks it | [`memfd`] |
//! | a parent and its children only | [`anonymous`] |
//!
//! All members promise what memory promises: a write is seen by all, in no order and with no
//! notice; what must be whole needs a gate beside it. A safe program never gets a `&[u8]`
//! of memory that another process may write: it copies in and out.

use crate::error::Result;

pub mod anonymous;
pub mod file;
pub mod memfd;
pub mod posix;
pub mod sysv;

/// A mapped piece of memory, whatever it is made of.
pub trait Region: Send + Sync {
    /// Its length in bytes as mapped.
    fn len(&self) -> usize;

    /// Whether nothing is mapped.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes out. A peer that writes meanwhile makes them a mixture, never undefined.
    ///
    /// # Errors
    /// `BadInput` when the range is not inside; `Corrupt` when the memory behind it is gone.
    fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<()>;

    /// Copies bytes in.
    ///
    /// # Errors
    /// As for reading; `PermissionDenied` on a read-only map.
    fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<()>;

    /// Waits until the contents are where they will survive: on the disk for a file, nothing elsewhere.
    ///
    /// # Errors
    /// What `msync(2)` says.
    fn flush(&self) -> Result<()>;
}
