//! Stat: `/proc/PID/stat`, where the name in parentheses may itself hold parentheses, blanks and newlines.

use std::io;

use super::Identity;
use super::text::{Words, decimal, signed};

/// What the scheduler says the thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TaskState {
    /// `R`: runs or wants to.
    Running,
    /// `S`: sleeps until something happens; a frozen process looks like this too.
    Sleeping,
    /// `D`: sleeps and not even a signal wakes it.
    Uninterruptible,
    /// `T`: stopped by a signal.
    Stopped,
    /// `t`: stopped by its tracer.
    Traced,
    /// `Z`: ended, not yet waited for.
    Zombie,
    /// `X`, `x`: gone.
    Dead,
    /// `I`: idle kernel thread.
    Idle,
    /// Another letter.
    Other,
}

impl TaskState {
    fn from_letter(letter: u8) -> Self {
        match letter {
            b'R' => TaskState::Running,
            b'S' => TaskState::Sleeping,
            b'D' => TaskState::Uninterruptible,
            b'T' => TaskState::Stopped,
            b't' => TaskState::Traced,
            b'Z' => TaskState::Zombie,
            b'X' | b'x' => TaskState::Dead,
            b'I' => TaskState::Idle,
            _ => TaskState::Other,
        }
    }
}

/// The fields of `stat` that matter here; proc_pid_stat(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Process or thread number.
    pub pid: u32,
    /// Name of the thread, at most 15 bytes for a user's program.
    pub comm: String,
    /// What it does.
    pub state: TaskState,
    /// Parent process; 0 when it is outside the namespace.
    pub ppid: u32,
    /// Process group.
    pub pgrp: i32,
    /// Session.
    pub session: i32,
    /// Device number of the controlling terminal, 0 for none.
    pub tty: i32,
    /// Foreground process group of that terminal, -1 for none.
    pub foreground: i32,
    /// Kernel flags (`PF_*`).
    pub flags: u64,
    /// Time in user mode, clock ticks.
    pub utime: u64,
    /// Time in the kernel, clock ticks.
    pub stime: u64,
    /// Number of threads.
    pub threads: u32,
    /// Start, in clock ticks since boot.
    pub start: u64,
    /// Size of the address space in bytes: 0 for kernel threads and zombies.
    pub vsize: u64,
}

/// `PF_KTHREAD` of the kernel's sched.h.
const KERNEL_THREAD: u64 = 0x0020_0000;

impl Stat {
    /// Whether this is a thread of the kernel.
    #[must_use]
    pub fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }

    pub(crate) fn identity(&self, pid_ns: u64) -> Identity {
        Identity {
            pid: self.pid,
            start: self.start,
            pid_ns,
        }
    }
}

pub(super) fn parse(text: &[u8]) -> io::Result<Stat> {
    parse_fields(text).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "cannot understand /proc/PID/stat",
        )
    })
}

fn parse_fields(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|&byte| byte == b'(')?;
    let close = text.iter().rposition(|&byte| byte == b')')?;
    let comm = text.get(open + 1..close)?;
    let mut words = Words::new(&text[close + 1..]);
    let state = TaskState::from_letter(*words.next()?.first()?);
    let small = |word: Option<&[u8]>| i32::try_from(signed(word?)?).ok();
    let ppid = u32::try_from(decimal(words.next()?)?).ok()?;
    let pgrp = small(words.next())?;
    let session = small(words.next())?;
    let tty = small(words.next())?;
    let foreground = small(words.next())?;
    let flags = decimal(words.next()?)?;
    let mut words = words.skip(4);
    let utime = decimal(words.next()?)?;
    let stime = decimal(words.next()?)?;
    let mut words = words.skip(4);
    let threads = u32::try_from(decimal(words.next()?)?).ok()?;
    let start = decimal(words.nth(1)?)?;
    let vsize = decimal(words.next()?)?;
    Some(Stat {
        pid: u32::try_from(decimal(text[..open].trim_ascii())?).ok()?,
        comm: String::from_utf8_lossy(comm).into_owned(),
        state,
        ppid,
        pgrp,
        session,
        tty,
        foreground,
        flags,
        utime,
        stime,
        threads,
        start,
        vsize,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_parentheses_and_newlines() {
        let line =
            b"17 (a) S (\n) S 1 17 16 34816 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 1234 4096 5 6\n";
        let stat = parse(line).expect("a line of the kernel");
        assert_eq!(stat.comm, "a) S (\n");
        assert_eq!(
            (stat.pid, stat.ppid, stat.session, stat.tty),
            (17, 1, 16, 34816)
        );
        assert_eq!(
            (stat.utime, stat.stime, stat.threads, stat.start, stat.vsize),
            (5, 6, 3, 1234, 4096)
        );
        assert!(parse(b"17 (a").is_err());
    }
}
