//! Record locks: fcntl with `struct flock`, owned by the process or by the open file.
//!
//! Waiting calls report `EINTR`.
//!
//! `fcntl(2)`, "Advisory record locking" and "Open file description locks"

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::last_error;

#[cfg(not(all(target_env = "gnu", target_pointer_width = "32")))]
use libc::{F_GETLK, F_SETLK, F_SETLKW, fcntl as call, flock as Flock};

/// The forms with offsets of 64 bits, as `fcntl(2)` of glibc has only 32 in 32-bit programs. The creator of a segment locks far
/// beyond that.
#[cfg(all(target_env = "gnu", target_pointer_width = "32"))]
mod wide {
    pub(super) use libc::flock64 as Flock;

    /// `<asm-generic/fcntl.h>` of the kernel.
    pub(super) const F_GETLK: libc::c_int = 12;
    pub(super) const F_SETLK: libc::c_int = 13;
    pub(super) const F_SETLKW: libc::c_int = 14;

    /// # Safety
    /// The lock is live.
    pub(super) unsafe fn call(
        fd: libc::c_int,
        command: libc::c_int,
        lock: *mut Flock,
    ) -> libc::c_int {
        // SAFETY: as the caller promises; the kernel takes this structure for all commands about locks.
        unsafe { libc::syscall(libc::SYS_fcntl64, fd, command, lock) as libc::c_int }
    }
}
#[cfg(all(target_env = "gnu", target_pointer_width = "32"))]
use wide::{F_GETLK, F_SETLK, F_SETLKW, Flock, call};

/// Who owns a record lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The process: any close of the file in it drops the lock.
    Process,
    /// The open file: gone when its last descriptor is.
    OpenFile,
}

/// What a lock is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Shared,
    Exclusive,
    None,
}

/// Bytes of a file, `len` 0 up to the end of the file wherever that will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) len: i64,
}

/// A lock that is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// The process; -1 when an open file owns it, 0 when the process is in another namespace.
    pub(crate) pid: i32,
    pub(crate) exclusive: bool,
    pub(crate) span: Span,
}

/// Sets or removes a lock; `EAGAIN` when another is in the way, unless it is to wait.
#[inline]
pub(crate) fn set(
    fd: BorrowedFd<'_>,
    owner: Owner,
    kind: Type,
    span: Span,
    wait: bool,
) -> Result<(), Errno> {
    let command = match (owner, wait) {
        (Owner::Process, false) => F_SETLK,
        (Owner::Process, true) => F_SETLKW,
        (Owner::OpenFile, false) => libc::F_OFD_SETLK,
        (Owner::OpenFile, true) => libc::F_OFD_SETLKW,
    };
    let mut lock = flock(kind, span);
    // SAFETY: the descriptor is borrowed and so open; these commands take a live struct flock.
    match unsafe { call(fd.as_raw_fd(), command, &raw mut lock) } {
        -1 => Err(refused()),
        _ => Ok(()),
    }
}

#[cold]
fn refused() -> Errno {
    match last_error() {
        // POSIX allows both for "in the way".
        Errno::ACCESS => Errno::AGAIN,
        errno => errno,
    }
}

/// The first lock that would be in the way of such a lock.
pub(crate) fn get(
    fd: BorrowedFd<'_>,
    owner: Owner,
    kind: Type,
    span: Span,
) -> Result<Option<Obstacle>, Errno> {
    let command = match owner {
        Owner::Process => F_GETLK,
        Owner::OpenFile => libc::F_OFD_GETLK,
    };
    let mut lock = flock(kind, span);
    // SAFETY: as above; the kernel writes the obstacle into the live struct.
    if unsafe { call(fd.as_raw_fd(), command, &raw mut lock) } == -1 {
        return Err(last_error());
    }
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then(|| Obstacle {
        pid: lock.l_pid,
        exclusive: i32::from(lock.l_type) == libc::F_WRLCK,
        span: Span {
            start: lock.l_start,
            len: lock.l_len,
        },
    }))
}

#[inline]
fn flock(kind: Type, span: Span) -> Flock {
    // SAFETY: an all-zero struct flock is a valid value of the C type, and l_pid must be 0 for OFD locks.
    let mut lock: Flock = unsafe { std::mem::zeroed() };
    lock.l_type = match kind {
        Type::Shared => libc::F_RDLCK,
        Type::Exclusive => libc::F_WRLCK,
        Type::None => libc::F_UNLCK,
    } as i16;
    lock.l_whence = libc::SEEK_SET as i16;
    lock.l_start = span.start;
    lock.l_len = span.len;
    lock
}
