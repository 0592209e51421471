//! Inherited: a descriptor known by its number only, because the parent process opened it.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// A close-on-exec duplicate. The original stays open: it may be somebody's, a number does not say.
///
/// # Errors
/// `EBADF` when no descriptor has this number.
pub(crate) fn duplicate(number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: F_DUPFD_CLOEXEC uses no memory of ours and changes nothing about `number`, open or not.
    match unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) } {
        -1 => Err(super::last_error()),
        // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows of it.
        new => Ok(unsafe { OwnedFd::from_raw_fd(new) }),
    }
}
