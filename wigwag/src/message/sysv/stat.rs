//! Stat: what a System V queue holds and may hold, who used it last and when.

// Numbers of C that have 32 bits on some machines and 64 on others.
#![allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]

use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::{CAPACITY, FACILITY, Queue};
use crate::error::{Kind, Result};
use crate::sys::{msg, since_1970};

/// The state of a queue.
#[doc(alias = "msqid_ds")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its key; 0 (`IPC_PRIVATE`) when it has none.
    pub key: i32,
    /// Messages in it.
    pub queued: u64,
    /// Bytes in it, without types and bookkeeping.
    pub bytes: u64,
    /// Bytes it may hold.
    pub capacity: u64,
    /// Who may use it, as a file mode.
    pub mode: u32,
    /// The user that owns it.
    pub uid: u32,
    /// The group that owns it.
    pub gid: u32,
    /// Who sent last; `None` if nobody did.
    pub last_sender: Option<i32>,
    /// Who received last.
    pub last_receiver: Option<i32>,
    /// When somebody sent last.
    pub sent: Option<SystemTime>,
    /// When somebody received last.
    pub received: Option<SystemTime>,
    /// When it was made or set last.
    pub changed: Option<SystemTime>,
}

impl Queue {
    /// How full it is, who used it last and when.
    ///
    /// # Errors
    /// [`Kind::PermissionDenied`] without permission to receive; [`Kind::Removed`].
    #[doc(alias = "IPC_STAT")]
    pub fn stat(&self) -> Result<Stat> {
        let now = msg::stat(self.id).map_err(|errno| self.failed("look at", errno))?;
        #[cfg(target_env = "musl")]
        let key = now.msg_perm.__ipc_perm_key;
        #[cfg(not(target_env = "musl"))]
        let key = now.msg_perm.__key;
        let pid = |pid: i32| (pid != 0).then_some(pid);
        Ok(Stat {
            key,
            queued: now.msg_qnum.into(),
            bytes: now.__msg_cbytes.into(),
            capacity: now.msg_qbytes.into(),
            mode: u32::from(now.msg_perm.mode) & 0o777,
            uid: now.msg_perm.uid,
            gid: now.msg_perm.gid,
            last_sender: pid(now.msg_lspid),
            last_receiver: pid(now.msg_lrpid),
            sent: time(now.msg_stime),
            received: time(now.msg_rtime),
            changed: time(now.msg_ctime),
        })
    }

    /// Sets how many bytes it may hold.
    ///
    /// # Errors
    /// [`Kind::Limit`] over `kernel.msgmnb` without the privilege `CAP_SYS_RESOURCE`;
    /// [`Kind::PermissionDenied`] unless it is ours.
    #[doc(alias = "IPC_SET")]
    pub fn set_capacity(&self, bytes: u64) -> Result<()> {
        let outcome = match bytes.try_into() {
            Ok(bytes) => self.change(|state| state.msg_qbytes = bytes),
            Err(_) => Err(Errno::PERM),
        };
        outcome.map_err(|errno| {
            let over = CAPACITY.value().is_some_and(|most| bytes > most);
            if errno == Errno::PERM && over {
                FACILITY
                    .error(
                        Kind::Limit,
                        "set the capacity of",
                        &self.name,
                        format!("{bytes} bytes are more than an unprivileged queue may hold"),
                    )
                    .with_detail(CAPACITY.to_string())
            } else {
                self.failed("set the capacity of", errno)
            }
        })
    }

    /// Sets who may receive (read) and send (write).
    ///
    /// # Errors
    /// [`Kind::PermissionDenied`] unless it is ours.
    #[doc(alias = "IPC_SET")]
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        let bits = (mode & 0o777) as u16;
        self.change(|state| state.msg_perm.mode = bits as _)
            .map_err(|errno| self.failed("set the mode of", errno))
    }

    /// Gives it to another user and group.
    ///
    /// # Errors
    /// [`Kind::PermissionDenied`] unless it is ours.
    #[doc(alias = "IPC_SET")]
    pub fn set_owner(&self, uid: u32, gid: u32) -> Result<()> {
        let set = |state: &mut libc::msqid_ds| {
            state.msg_perm.uid = uid;
            state.msg_perm.gid = gid;
        };
        self.change(set)
            .map_err(|errno| self.failed("give away", errno))
    }

    fn change(&self, set: impl FnOnce(&mut libc::msqid_ds)) -> Result<(), Errno> {
        let mut state = msg::stat(self.id)?;
        set(&mut state);
        msg::set(self.id, &mut state)
    }
}

fn time(time: libc::time_t) -> Option<SystemTime> {
    let seconds = u64::try_from(since_1970(time))
        .ok()
        .filter(|seconds| *seconds > 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
