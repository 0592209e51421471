//! Open-file-description lock: a byte range that the kernel frees when the last copy of the descriptor is gone.
//!
//! `fcntl(2)`, "Open file description locks".

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::fcntl::{self, Owner, Span, Type};

/// Takes one byte for itself without waiting; whether it got it.
pub(crate) fn try_lock(file: BorrowedFd<'_>, byte: i64) -> Result<bool, Errno> {
    match set(file, byte, Type::Exclusive) {
        Ok(()) => Ok(true),
        Err(Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Gives the byte back.
pub(crate) fn unlock(file: BorrowedFd<'_>, byte: i64) {
    // Unlocking what is locked cannot fail on an open descriptor; what is not locked does not matter.
    let _ = set(file, byte, Type::None);
}

fn set(file: BorrowedFd<'_>, byte: i64, kind: Type) -> Result<(), Errno> {
    let span = Span {
        start: byte,
        len: 1,
    };
    fcntl::set(file, Owner::OpenFile, kind, span, false)
}
