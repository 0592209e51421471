//! Process: `/proc/PID`, held open, so that its successor with the same number is never read instead.

use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat, statat};

use super::file::{Scratch, numbers};
use super::{Stat, Status, Task, stat, status};

/// The `/proc` file system of this mount namespace.
///
/// ```
/// use wigwag_observe::proc::ProcFs;
/// let proc = ProcFs::open()?;
/// assert!(proc.pids()?.contains(&std::process::id()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ProcFs {
    root: OwnedFd,
    pid_ns: u64,
}

impl ProcFs {
    /// Opens `/proc`.
    ///
    /// # Errors
    /// When nothing is mounted there, or a `/proc` of another pid namespace: its numbers would be wrong for every other call.
    pub fn open() -> io::Result<Self> {
        let root = openat(
            CWD,
            "/proc",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let own = readlinkat(&root, "self", Vec::new()).map_err(|error| {
            io::Error::new(
                io::Error::from(error).kind(),
                "/proc does not show this process: mount it for this pid namespace",
            )
        })?;
        if own.to_str().ok().and_then(|number| number.parse().ok()) != Some(std::process::id()) {
            return Err(io::Error::other(
                "/proc belongs to another pid namespace: mount it for this one (unshare --mount-proc)",
            ));
        }
        let pid_ns = statat(&root, "self/ns/pid", rustix::fs::AtFlags::empty())
            .map_or(0, |stat| stat.st_ino);
        Ok(ProcFs { root, pid_ns })
    }

    /// Inode number of the pid namespace whose numbers are used.
    #[must_use]
    pub fn pid_namespace(&self) -> u64 {
        self.pid_ns
    }

    /// The processes there are now, in ascending order. One that is born meanwhile may be missed.
    pub fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::with_capacity(512);
        numbers(self.root.as_fd(), ".", |pid| pids.push(pid))?;
        Ok(pids)
    }

    /// Opens one process (or thread, by its tid).
    ///
    /// # Errors
    /// `ENOENT` when there is none with this number.
    pub fn process(&self, pid: u32) -> io::Result<Process> {
        let mut name = PathBuffer::new();
        name.push_number(pid);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(&self.root, name.as_str(), flags, Mode::empty())?;
        Ok(Process {
            pid,
            pid_ns: self.pid_ns,
            dir,
        })
    }

    /// The whole text of a file below `/proc`, such as `locks`.
    pub fn read<'s>(&self, path: &str, scratch: &'s mut Scratch) -> io::Result<&'s [u8]> {
        scratch.read_all(&self.root, path)
    }
}

/// A process that cannot be mistaken for another: its number, its start, and the namespace the number counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Identity {
    /// Process number, as the observer sees it.
    pub pid: u32,
    /// Start in clock ticks since boot (field 22 of `stat`).
    pub start: u64,
    /// Inode of the observer's pid namespace.
    pub pid_ns: u64,
}

/// One process. All reads are relative to its directory.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    pid_ns: u64,
    dir: OwnedFd,
}

impl Process {
    /// The process number, as the observer sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The open directory `/proc/PID`.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Number, start and namespace.
    pub fn identity(&self, scratch: &mut Scratch) -> io::Result<Identity> {
        Ok(self.stat(scratch)?.identity(self.pid_ns))
    }

    /// Thread numbers, in order of creation as a rule.
    pub fn tids(&self) -> io::Result<Vec<u32>> {
        let mut tids = Vec::new();
        numbers(self.dir(), "task", |tid| tids.push(tid))?;
        Ok(tids)
    }

    /// One of its threads; nothing is opened yet.
    #[must_use]
    pub fn task(&self, tid: u32) -> Task<'_> {
        Task::new(self, tid)
    }

    /// `/proc/PID/stat`: the state is the first thread's, the times are everybody's.
    pub fn stat(&self, scratch: &mut Scratch) -> io::Result<Stat> {
        stat::parse(scratch.read_record(self.dir(), "stat")?)
    }

    /// `/proc/PID/status` of the first thread.
    pub fn status(&self, scratch: &mut Scratch) -> io::Result<Status> {
        Ok(status::parse(scratch.read_all(self.dir(), "status")?))
    }

    /// The arguments, split at NUL; empty for kernel threads.
    pub fn cmdline(&self, scratch: &mut Scratch) -> io::Result<Vec<Vec<u8>>> {
        let text = scratch.read_all(self.dir(), "cmdline")?;
        let text = text.strip_suffix(b"\0").unwrap_or(text);
        if text.is_empty() {
            return Ok(Vec::new());
        }
        Ok(text.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect())
    }

    /// Where a link of the process points: `exe`, `cwd`, `root`.
    pub fn link(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(readlinkat(&self.dir, name, Vec::new())?.into_bytes())
    }

    /// Any other file of the process.
    pub fn read<'s>(&self, path: &str, scratch: &'s mut Scratch) -> io::Result<&'s [u8]> {
        scratch.read_all(&self.dir, path)
    }
}

/// A short path built without allocation.
pub(crate) struct PathBuffer {
    bytes: [u8; 64],
    length: usize,
}

impl PathBuffer {
    pub(crate) fn new() -> Self {
        PathBuffer {
            bytes: [0; 64],
            length: 0,
        }
    }

    /// Appends as much of `text` as fits; every caller's path is far shorter than the buffer.
    pub(crate) fn push(&mut self, text: &str) {
        let room = &mut self.bytes[self.length..];
        let length = text.len().min(room.len());
        room[..length].copy_from_slice(&text.as_bytes()[..length]);
        self.length += length;
    }

    pub(crate) fn push_number(&mut self, number: u32) {
        let mut digits = [0u8; 10];
        let mut at = digits.len();
        let mut rest = number;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(str::from_utf8(&digits[at..]).unwrap_or_default());
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}
