//! Open-file-description lock: a byte range that the kernel frees when the last copy of the descriptor is gone.
//!
//! `fcntl(2)`, "Open file description locks".

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// Takes one byte for itself without waiting; whether it got it.
pub(crate) fn try_lock(file: BorrowedFd<'_>, byte: i64) -> Result<bool, Errno> {
    match set(file, byte, libc::F_WRLCK) {
        Ok(()) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Gives the byte back.
pub(crate) fn unlock(file: BorrowedFd<'_>, byte: i64) {
    // Unlocking what is locked cannot fail on an open descriptor; what is not locked does not matter.
    let _ = set(file, byte, libc::F_UNLCK);
}

fn set(file: BorrowedFd<'_>, byte: i64, kind: libc::c_int) -> Result<(), Errno> {
    // SAFETY: a structure of numbers, of which zero is a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = byte;
    lock.l_len = 1;
    // SAFETY: the descriptor is open, and the kernel only reads the structure.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        _ => Ok(()),
    }
}
