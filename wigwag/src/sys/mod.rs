//! System calls: the only place where the kernel is called unsafely, and the rules each call keeps.
//!
//! `rustix` is used directly by the facilities for everything it has; here stands what it lacks.
//! A module here takes and returns safe types (`BorrowedFd`, slices, `Result<_, Errno>`), retries
//! `EINTR` unless its documentation says that it reports it, and never allocates on behalf of a peer.

pub(crate) mod ancillary;
pub(crate) mod atomic;
pub(crate) mod bus_error;
pub(crate) mod connect;
pub(crate) mod copy;
pub(crate) mod fcntl;
pub(crate) mod futex;
pub(crate) mod holder;
pub(crate) mod inherited;
pub(crate) mod keeper;
pub(crate) mod membarrier;
pub(crate) mod mq;
pub(crate) mod msg;
pub(crate) mod ofd;
pub(crate) mod patience;
pub(crate) mod peer;
pub(crate) mod posix_sem;
pub(crate) mod process;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) mod pthread;
pub(crate) mod robust;
pub(crate) mod sem;
pub(crate) mod session;
pub(crate) mod shm;
pub(crate) mod signal;
pub(crate) mod sigpipe;
pub(crate) mod unix_name;
pub(crate) mod unix_path;
pub(crate) mod vanished;
pub(crate) mod vmsplice;

/// Seconds since 1970 of a C library whose `time_t` may have 32 bits: those it counts without a sign until the year 2106, since
/// nothing that a kernel tells of its objects was before 1970.
#[allow(clippy::unnecessary_cast)]
pub(crate) fn since_1970(time: libc::time_t) -> i64 {
    if size_of::<libc::time_t>() == 4 {
        i64::from(time as u32)
    } else {
        time as i64
    }
}

/// The `errno` of the system call that just failed through libc.
pub(crate) fn last_error() -> rustix::io::Errno {
    let code = std::io::Error::last_os_error().raw_os_error();
    rustix::io::Errno::from_raw_os_error(code.unwrap_or(libc::EIO))
}
