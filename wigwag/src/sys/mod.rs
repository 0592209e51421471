//! System calls: the only place where the kernel is called unsafely, and the rules each call keeps.
//!
//! `rustix` is used directly by the facilities for everything it has; here stands what it lacks.
//! A module here takes and returns safe types (`BorrowedFd`, slices, `Result<_, Errno>`), retries
//! `EINTR` unless its documentation says that it reports it, and never allocates on behalf of a peer.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) mod pthread;

pub(crate) mod atomic;
pub(crate) mod futex;
pub(crate) mod holder;
pub(crate) mod ofd;
pub(crate) mod process;
pub(crate) mod robust;
