//! System calls: the only place where the kernel is called unsafely, and the rules each call keeps.
//!
//! `rustix` is used directly by the facilities for everything it has; here stands what it lacks.
//! A module here takes and returns safe types (`BorrowedFd`, slices, `Result<_, Errno>`), retries
//! `EINTR` unless its documentation says that it reports it, and never allocates on behalf of a peer.

pub(crate) mod ancillary;
pub(crate) mod mq;
pub(crate) mod msg;
pub(crate) mod patience;

/// The `errno` of the system call that just failed through libc.
pub(crate) fn last_error() -> rustix::io::Errno {
    let code = std::io::Error::last_os_error().raw_os_error();
    rustix::io::Errno::from_raw_os_error(code.unwrap_or(libc::EIO))
}
pub(crate) mod copy;
pub(crate) mod posix_sem;
pub(crate) mod shm;
