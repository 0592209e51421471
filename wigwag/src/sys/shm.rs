//! System V shared memory: shmget, shmat, shmdt and shmctl.
//!
//! `shmget(2)`, `shmop(2)`, `shmctl(2)`

use std::ffi::c_void;
use std::ptr::NonNull;

use rustix::io::Errno;

use super::last_error;

/// What `shmctl(IPC_STAT)` says.
pub(crate) type Stat = libc::shmid_ds;

/// Finds or makes a segment.
pub(crate) fn get(key: i32, len: usize, flags: i32) -> Result<i32, Errno> {
    // SAFETY: takes numbers only.
    match unsafe { libc::shmget(key, len, flags) } {
        -1 => Err(last_error()),
        id => Ok(id),
    }
}

/// Maps a segment at an address that the kernel chooses.
pub(crate) fn attach(id: i32, read_only: bool) -> Result<NonNull<u8>, Errno> {
    let flags = if read_only { libc::SHM_RDONLY } else { 0 };
    // SAFETY: with a null address the kernel takes one where nothing is.
    let base = unsafe { libc::shmat(id, std::ptr::null(), flags) };
    if base.addr() == usize::MAX {
        return Err(last_error());
    }
    NonNull::new(base.cast()).ok_or(Errno::NOMEM)
}

/// Unmaps a segment.
///
/// # Safety
/// `base` came from [`attach`], and nothing points into it any more.
pub(crate) unsafe fn detach(base: *mut c_void) -> Result<(), Errno> {
    // SAFETY: as the caller promises.
    match unsafe { libc::shmdt(base) } {
        -1 => Err(last_error()),
        _ => Ok(()),
    }
}

/// What the kernel knows of a segment.
pub(crate) fn stat(id: i32) -> Result<Stat, Errno> {
    // SAFETY: an all-zero shmid_ds is a valid value of the C type.
    let mut stat: Stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is live and writable.
    match unsafe { libc::shmctl(id, libc::IPC_STAT, &raw mut stat) } {
        -1 => Err(last_error()),
        _ => Ok(stat),
    }
}

/// Whether a segment was removed, and lives as long only as somebody has it attached.
pub(crate) fn is_removed(id: i32) -> bool {
    const DEST: u32 = 0o1000;
    stat(id).map_or(true, |stat| stat.shm_perm.mode as u32 & DEST != 0)
}

/// Removes a segment: its key at once, its memory when the last process has detached it.
pub(crate) fn remove(id: i32) -> Result<(), Errno> {
    // SAFETY: IPC_RMID does not use the pointer.
    match unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) } {
        -1 => Err(last_error()),
        _ => Ok(()),
    }
}
