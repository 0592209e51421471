//! POSIX threads calls that the `libc` crate lacks, and the one error convention of the family.
//!
//! The functions return an error number instead of setting `errno`, and never `EINTR`. Deadlines
//! are absolute on `CLOCK_MONOTONIC`: the `clock` forms came with glibc 2.30, and their use with
//! priority inheritance needs glibc 2.34 and Linux 5.14.

use std::ffi::c_int;
use std::io;

use crate::wait::Deadline;

unsafe extern "C" {
    pub(crate) fn pthread_mutex_clocklock(
        mutex: *mut libc::pthread_mutex_t,
        clock: libc::clockid_t,
        deadline: *const libc::timespec,
    ) -> c_int;
    pub(crate) fn pthread_cond_clockwait(
        cond: *mut libc::pthread_cond_t,
        mutex: *mut libc::pthread_mutex_t,
        clock: libc::clockid_t,
        deadline: *const libc::timespec,
    ) -> c_int;
    pub(crate) fn pthread_rwlock_clockrdlock(
        lock: *mut libc::pthread_rwlock_t,
        clock: libc::clockid_t,
        deadline: *const libc::timespec,
    ) -> c_int;
    pub(crate) fn pthread_rwlock_clockwrlock(
        lock: *mut libc::pthread_rwlock_t,
        clock: libc::clockid_t,
        deadline: *const libc::timespec,
    ) -> c_int;
    pub(crate) fn sem_clockwait(
        semaphore: *mut libc::sem_t,
        clock: libc::clockid_t,
        deadline: *const libc::timespec,
    ) -> c_int;
}

/// The result of a call that returns an error number.
pub(crate) fn checked(errno: c_int) -> io::Result<()> {
    match errno {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// When a deadline is, on `CLOCK_MONOTONIC`; `None` when it is never.
#[allow(clippy::useless_conversion)]
pub(crate) fn absolute(deadline: Deadline) -> Option<libc::timespec> {
    let left = deadline.remaining()?;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let mut seconds = now
        .tv_sec
        .saturating_add(i64::try_from(left.as_secs()).unwrap_or(i64::MAX));
    let mut nanos = now.tv_nsec + i64::from(left.subsec_nanos());
    if nanos >= 1_000_000_000 {
        nanos -= 1_000_000_000;
        seconds = seconds.saturating_add(1);
    }
    Some(libc::timespec {
        // Of a clock that counts in 32 bits, its end.
        tv_sec: seconds.try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: nanos as libc::c_long,
    })
}
