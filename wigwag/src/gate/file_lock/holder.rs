//! Holder: who is in the way of a lock, from the kernel's own lists.
//!
//! A lock that a process owns, the kernel names. One that an open file owns belongs to whoever has that file open: the first
//! process is shown whose `/proc/PID/fdinfo` lists it, which we may read of our own processes and as root.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::options::Style;
use crate::gate::Mode;
use crate::sys::fcntl::{self, Obstacle, Owner, Span};

/// A lock that is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// A process that holds it; `None` when it cannot be told: it is in another process namespace, or not ours to see.
    pub pid: Option<i32>,
    /// Whether others may share it.
    pub mode: Mode,
    /// The bytes it covers, up to `u64::MAX` for the end of the file.
    pub range: Range<u64>,
}

pub(super) fn find(
    file: BorrowedFd<'_>,
    style: Style,
    mode: Mode,
    span: Span,
) -> io::Result<Option<Holder>> {
    let owner = match style {
        Style::Flock => return flocked(file, mode),
        Style::Ofd => Owner::OpenFile,
        Style::Record => Owner::Process,
    };
    let Some(obstacle) = fcntl::get(file, owner, mode.into(), span)? else {
        return Ok(None);
    };
    let pid = match obstacle.pid {
        // An open file owns it.
        -1 => Inode::of(file)?.opener(obstacle, file),
        pid => (pid > 0).then_some(pid),
    };
    let Span { start, len } = obstacle.span;
    let start = start.cast_unsigned();
    let end = if len == 0 {
        u64::MAX
    } else {
        start + len.cast_unsigned()
    };
    Ok(Some(Holder {
        pid,
        mode: mode_of(obstacle.exclusive),
        range: start..end,
    }))
}

/// The kernel has no question for flock, so we read its list of all locks.
fn flocked(file: BorrowedFd<'_>, mode: Mode) -> io::Result<Option<Holder>> {
    let inode = Inode::of(file)?;
    // Our own lock is in the list too, under the process that took it.
    let mut own = locks_of_descriptor(std::process::id().cast_signed(), file.as_raw_fd(), &inode)
        .into_iter()
        .find(|lock| lock.class == "FLOCK");
    for line in fs::read_to_string("/proc/locks")?.lines() {
        let Some(lock) = Lock::parse(line) else {
            continue;
        };
        if lock.class != "FLOCK" || lock.inode != inode {
            continue;
        }
        if own.as_ref() == Some(&lock) {
            own = None;
            continue;
        }
        if mode == Mode::Exclusive || lock.exclusive {
            let pid = (lock.pid > 0).then_some(lock.pid);
            return Ok(Some(Holder {
                pid,
                mode: mode_of(lock.exclusive),
                range: 0..u64::MAX,
            }));
        }
    }
    Ok(None)
}

fn mode_of(exclusive: bool) -> Mode {
    if exclusive {
        Mode::Exclusive
    } else {
        Mode::Shared
    }
}

/// A file as the kernel's lists of locks name it: `00:1f:1234`, of its file system's own device, which `stat(2)`
/// does not show for every file system.
#[derive(Debug, PartialEq, Eq)]
struct Inode(String);

impl Inode {
    fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
        let field = |key: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
        };
        let stat = rustix::fs::fstat(file)?;
        let inode = field("ino:").unwrap_or(stat.st_ino);
        let device = field("mnt_id:")
            .and_then(device_of_mount)
            .unwrap_or_else(|| {
                (
                    rustix::fs::major(stat.st_dev),
                    rustix::fs::minor(stat.st_dev),
                )
            });
        Ok(Inode(format!("{:02x}:{:02x}:{inode}", device.0, device.1)))
    }

    /// A process that has this file open with such a lock, through another descriptor than `ours`.
    fn opener(&self, obstacle: Obstacle, ours: BorrowedFd<'_>) -> Option<i32> {
        let own = std::process::id().cast_signed();
        let mut processes: Vec<i32> = fs::read_dir("/proc")
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        // This process last: our own lock, seen through a duplicate, is in nobody's way.
        processes.sort_by_key(|pid| *pid == own);
        processes.into_iter().find(|pid| {
            let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
                return false;
            };
            descriptors
                .flatten()
                .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
                .filter(|number| *pid != own || *number != ours.as_raw_fd())
                .flat_map(|number| locks_of_descriptor(*pid, number, self))
                .any(|lock| {
                    lock.class == "OFDLCK"
                        && lock.exclusive == obstacle.exclusive
                        && lock.start == obstacle.span.start
                })
        })
    }
}

fn device_of_mount(mount: u64) -> Option<(u32, u32)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        if fields.next()?.parse::<u64>().ok()? != mount {
            return None;
        }
        let (major, minor) = fields.nth(1)?.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    })
}

/// The locks on a file that are held through one descriptor of one process.
fn locks_of_descriptor(process: i32, descriptor: i32, inode: &Inode) -> Vec<Lock> {
    fs::read_to_string(format!("/proc/{process}/fdinfo/{descriptor}"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| Lock::parse(line.strip_prefix("lock:")?))
        .filter(|lock| lock.inode == *inode)
        .collect()
}

/// A line of `/proc/locks`: `1: FLOCK  ADVISORY  WRITE 312 00:1f:1234 0 EOF`.
#[derive(Debug, PartialEq, Eq)]
struct Lock {
    class: String,
    exclusive: bool,
    pid: i32,
    inode: Inode,
    start: i64,
}

impl Lock {
    /// `None` for those who wait (`->`), and for what is no lock.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().skip(1);
        let class = words.next().filter(|class| *class != "->")?.to_owned();
        let exclusive = words.nth(1)? == "WRITE";
        let pid = words.next()?.parse().ok()?;
        let inode = Inode(words.next()?.to_owned());
        let start = words.next()?.parse().ok()?;
        Some(Lock {
            class,
            exclusive,
            pid,
            inode,
            start,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernels_list_are_read_and_others_passed_over() {
        let lock = Lock::parse("1: OFDLCK ADVISORY  READ -1 00:1f:77 100 199").unwrap();
        assert!(lock.class == "OFDLCK" && !lock.exclusive && lock.pid == -1 && lock.start == 100);
        assert_eq!(lock.inode, Inode("00:1f:77".into()));
        for other in [
            "",
            "1:",
            "1: -> FLOCK  ADVISORY  WRITE 5 00:1f:77 0 EOF",
            "1: LEASE ACTIVE",
            "a b c d e f g",
        ] {
            assert_eq!(Lock::parse(other), None, "{other}");
        }
    }
}
