//! Memory: one piece of memory in the address spaces of many processes.
//!
//! | need | use |
//! |---|---|
//! | a name, gone at reboot | [`posix`] |
//! | a key, older programs, a count of who has it attached | [`sysv`] |
//! | contents that survive a reboot | [`mod@file`] |
//! | no name: passed as a descriptor, sealed against a peer that shrinks it | [`memfd`] |
//! | a parent and its children only | [`anonymous`] |
//! | one typed value in any of these, with its gates | [`segment`] |
//!
//! All members promise what memory promises: a write is seen by all, in no order and with no
//! notice; what must be whole needs a gate beside it. A safe program never gets a `&[u8]`
//! of memory that another process may write: it copies in and out.
//!
//! **Truncation.** Whoever may write a file can take its pages away under everybody's map. The first map of an object that
//! is not sealed against it installs a handler for SIGBUS in the process, which makes a copy that meets such a page
//! fail with `Corrupt` and passes on every other SIGBUS to the handler that was there before. A program that installs its own
//! handler later must call ours, and a thread that copies must not block SIGBUS; otherwise
//! truncation ends the process as it always did. The handler protects copies; semaphores and locks
//! inside a region are for memory that nobody untrusted can shrink.

use std::sync::Arc;

use crate::error::Result;

pub(crate) mod address;
mod affordable;
pub mod anonymous;
pub mod file;
pub mod huge;
pub(crate) mod mapping;
pub mod memfd;
mod object;
pub mod posix;
pub mod segment;
pub(crate) mod semaphore;
pub mod sysv;

pub use mapping::{Access, Mapping};
pub use object::Stat;
pub use segment::Segment;
pub use semaphore::SEMAPHORE_SIZE;

/// A mapped piece of memory, whatever it is made of.
pub trait Region: Send + Sync {
    /// The pages. Whatever lies inside keeps them by a clone of the `Arc`.
    fn mapping(&self) -> &Arc<Mapping>;

    /// Its length in bytes as mapped.
    #[inline]
    fn len(&self) -> usize {
        self.mapping().len()
    }

    /// Whether nothing is mapped: never, an empty object is not mapped.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes out. A peer that writes meanwhile makes them a mixture, never undefined; 1, 2,
    /// 4 or 8 bytes at a multiple of their number are never torn.
    ///
    /// # Errors
    /// `BadInput` when the range is not inside; `Corrupt` when somebody truncated the object, `Limit`
    /// when the file system behind it is full: then `bytes` hold an unknown part of the copy.
    #[inline]
    fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.mapping().read_at(offset, bytes)
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// As for reading; `PermissionDenied` on a read-only map.
    #[inline]
    fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.mapping().write_at(offset, bytes)
    }

    /// Waits until the contents are where they will survive: on the disk for a file, nothing elsewhere.
    ///
    /// # Errors
    /// What `msync(2)` says; `Corrupt` when somebody truncated the file, so that part of it is not there.
    #[doc(alias = "msync")]
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}
