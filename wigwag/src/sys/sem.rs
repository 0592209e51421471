//! System V semaphores: semget, semctl and semtimedop.
//!
//! [`operate`] reports `EINTR`, as the kernel never restarts it; all others do not wait.
//!
//! `semget(2)`, `semop(2)`, `semctl(2)`

use std::time::Duration;

use rustix::io::Errno;

use super::last_error;
use rustix::time::Timespec;

#[cfg(target_pointer_width = "64")]
use libc::SYS_semtimedop as SEMTIMEDOP;
/// `semtimedop_time64`, Linux 5.1: the older calls of 32-bit programs count in 32 bits. It has this number on all machines.
#[cfg(target_pointer_width = "32")]
const SEMTIMEDOP: libc::c_long = 420;

/// One operation of a call.
pub(crate) type Operation = libc::sembuf;

/// What `semctl(IPC_STAT)` says.
#[cfg(not(target_env = "musl"))]
pub(crate) type Stat = libc::semid_ds;

/// The same as musl lays it out (`<sys/sem.h>`), in 32-bit programs for a command without `IPC_TIME64`; the crate `libc` does
/// not have it.
#[cfg(target_env = "musl")]
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Stat {
    pub(crate) sem_perm: libc::ipc_perm,
    pub(crate) sem_otime: libc::time_t,
    unused_1: libc::c_long,
    pub(crate) sem_ctime: libc::time_t,
    unused_2: libc::c_long,
    pub(crate) sem_nsems: libc::c_ushort,
    padding: [u8; size_of::<libc::c_long>() - 2],
    unused_3: [libc::c_long; 2],
}

/// The fourth argument of semctl, which libc leaves to its callers (`semctl(2)`).
#[repr(C)]
union Argument {
    value: libc::c_int,
    stat: *mut Stat,
    values: *mut u16,
}

/// Finds or makes a set.
pub(crate) fn get(key: i32, count: usize, flags: i32) -> Result<i32, Errno> {
    let count = libc::c_int::try_from(count).map_err(|_| Errno::INVAL)?;
    // SAFETY: takes numbers only.
    result(unsafe { libc::semget(key, count, flags) })
}

/// Performs all operations at once, waiting until that is possible or so long; `EAGAIN` after that.
#[inline]
pub(crate) fn operate(
    id: i32,
    operations: &[Operation],
    limit: Option<Duration>,
) -> Result<(), Errno> {
    let limit = limit.map(|limit| Timespec::try_from(limit).unwrap_or(LONGEST));
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the kernel reads `operations.len()` operations and, if it is not null, one timespec of its own layout
    // (rustix's is that of the kernel). It writes nothing.
    let done =
        unsafe { libc::syscall(SEMTIMEDOP, id, operations.as_ptr(), operations.len(), limit) };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

/// Beyond what the kernel's clock can count there is no limit.
const LONGEST: Timespec = Timespec {
    tv_sec: i32::MAX as i64,
    tv_nsec: 0,
};

/// All values.
pub(crate) fn values(id: i32, count: usize) -> Result<Vec<u16>, Errno> {
    let mut values = vec![0_u16; count];
    let argument = Argument {
        values: values.as_mut_ptr(),
    };
    // SAFETY: GETALL writes as many values as the set has. An identifier stands for one set as long as that exists, and
    // its count never changes; one that was reused for another set has another sequence number.
    result(unsafe { libc::semctl(id, 0, libc::GETALL, argument) })?;
    Ok(values)
}

/// Sets all values.
pub(crate) fn set_values(id: i32, values: &[u16]) -> Result<(), Errno> {
    let argument = Argument {
        values: values.as_ptr().cast_mut(),
    };
    // SAFETY: SETALL reads as many values as the set has, which is what the caller passes (see `values`).
    result(unsafe { libc::semctl(id, 0, libc::SETALL, argument) }).map(drop)
}

/// Sets one value.
pub(crate) fn set_value(id: i32, index: u16, value: u16) -> Result<(), Errno> {
    let argument = Argument {
        value: value.into(),
    };
    // SAFETY: SETVAL takes a number.
    result(unsafe { libc::semctl(id, index.into(), libc::SETVAL, argument) }).map(drop)
}

/// A number that the kernel keeps of one semaphore: GETVAL, GETPID, GETNCNT or GETZCNT.
pub(crate) fn number(id: i32, index: u16, which: i32) -> Result<i32, Errno> {
    // SAFETY: these four take no fourth argument.
    result(unsafe { libc::semctl(id, index.into(), which) })
}

/// What the kernel knows of a set.
pub(crate) fn stat(id: i32) -> Result<Stat, Errno> {
    // SAFETY: an all-zero semid_ds is a valid value of the C type.
    let mut stat: Stat = unsafe { std::mem::zeroed() };
    let argument = Argument {
        stat: &raw mut stat,
    };
    // SAFETY: IPC_STAT writes one semid_ds, which is live.
    result(unsafe { libc::semctl(id, 0, libc::IPC_STAT, argument) })?;
    Ok(stat)
}

/// Removes a set; whoever waits for it gets `EIDRM`.
pub(crate) fn remove(id: i32) -> Result<(), Errno> {
    // SAFETY: IPC_RMID takes no fourth argument.
    result(unsafe { libc::semctl(id, 0, libc::IPC_RMID) }).map(drop)
}

fn result(number: libc::c_int) -> Result<i32, Errno> {
    if number == -1 {
        Err(last_error())
    } else {
        Ok(number)
    }
}
