//! FdInfo: `/proc/PID/fdinfo/FD`, the only place that tells one eventfd, timer or lock owner from the next.

use std::time::Duration;

use super::locks::{self, LockLine};
use super::text::{Words, decimal, field, hex, lines, octal, signed};
use super::{Device, FileId, SignalSet};

/// A descriptor that an epoll instance watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpollTarget {
    /// Its number when it was added; it may have been closed and reused since: compare `file`.
    pub fd: i32,
    /// The events asked for (`EPOLL*`).
    pub events: u32,
    /// The word the program gets back.
    pub data: u64,
    /// The file, where the kernel says.
    pub file: Option<FileId>,
}

/// A timerfd's setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timer {
    /// The clock (`CLOCK_*`).
    pub clock: i32,
    /// Expirations not read yet.
    pub ticks: u64,
    /// Time to the next expiration; zero means not armed.
    pub left: Duration,
    /// Period, zero for once.
    pub interval: Duration,
}

/// The lines of `fdinfo`; proc_pid_fdinfo(5). What is not understood is kept in `rest`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FdInfo {
    /// File offset.
    pub pos: i64,
    /// Open flags (`O_*`), with `O_CLOEXEC` of this descriptor.
    pub flags: u32,
    /// Mount the file is on.
    pub mount: u64,
    /// Inode number, kernel 5.14 or newer.
    pub ino: Option<u64>,
    /// Locks that this open description owns.
    pub locks: Vec<LockLine>,
    /// Count of an eventfd.
    pub eventfd_count: Option<u64>,
    /// Which eventfd it is: the same for all descriptors of it on the machine.
    pub eventfd_id: Option<u64>,
    /// Whether each read takes one from the count.
    pub eventfd_semaphore: bool,
    /// Signals a signalfd accepts.
    pub signals: Option<SignalSet>,
    /// What an epoll instance watches.
    pub epoll: Vec<EpollTarget>,
    /// A timerfd's setting.
    pub timer: Option<Timer>,
    /// The process a pidfd stands for, in the observer's namespace: -1 when it has ended, 0 when it is not visible.
    pub pidfd: Option<i32>,
    /// Number of the terminal whose master side this is.
    pub tty_index: Option<u32>,
    /// Descriptors on their way to this Unix socket.
    pub in_flight: Option<u64>,
    /// Number of inotify watches.
    pub watches: u32,
    /// The other lines, verbatim.
    pub rest: Vec<String>,
}

impl FdInfo {
    /// The value of a line `name:` that this structure has no field for.
    #[must_use]
    pub fn other(&self, name: &str) -> Option<&str> {
        self.rest
            .iter()
            .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }

    /// Whether it was opened non-blocking.
    #[must_use]
    pub fn nonblocking(&self) -> bool {
        self.flags & libc::O_NONBLOCK.cast_unsigned() != 0
    }
}

pub(super) fn parse(text: &[u8]) -> FdInfo {
    let mut info = FdInfo::default();
    for line in lines(text) {
        if parse_line(&mut info, line).is_none() {
            info.rest.push(String::from_utf8_lossy(line).into_owned());
        }
    }
    info
}

fn parse_line(info: &mut FdInfo, line: &[u8]) -> Option<()> {
    let (name, value) = field(line)?;
    match name {
        b"pos" => info.pos = signed(value)?,
        b"flags" => info.flags = octal(value)?.try_into().ok()?,
        b"mnt_id" => info.mount = decimal(value)?,
        b"ino" => info.ino = Some(decimal(value)?),
        b"lock" => info.locks.push(locks::parse_line(value)?),
        b"eventfd-count" => info.eventfd_count = Some(hex(value)?),
        b"eventfd-id" => info.eventfd_id = Some(decimal(value)?),
        b"eventfd-semaphore" => info.eventfd_semaphore = value == b"1",
        b"sigmask" => info.signals = Some(SignalSet(hex(value)?)),
        b"tfd" => info.epoll.push(epoll_target(line)?),
        b"Pid" => info.pidfd = Some(signed(value)?.try_into().ok()?),
        b"tty-index" => info.tty_index = Some(decimal(value)?.try_into().ok()?),
        b"scm_fds" => info.in_flight = Some(decimal(value)?),
        b"clockid" => timer(info).clock = signed(value)?.try_into().ok()?,
        b"ticks" => timer(info).ticks = decimal(value)?,
        b"it_value" => timer(info).left = timespec(value)?,
        b"it_interval" => timer(info).interval = timespec(value)?,
        _ if name.starts_with(b"inotify wd") => info.watches += 1,
        _ => return None,
    }
    Some(())
}

fn timer(info: &mut FdInfo) -> &mut Timer {
    info.timer.get_or_insert_default()
}

/// `(seconds, nanoseconds)`.
fn timespec(value: &[u8]) -> Option<Duration> {
    let inner = value.strip_prefix(b"(")?.strip_suffix(b")")?;
    let comma = inner.iter().position(|&byte| byte == b',')?;
    let seconds = decimal(inner[..comma].trim_ascii())?;
    let nanoseconds = decimal(inner[comma + 1..].trim_ascii())?;
    Some(Duration::new(seconds, u32::try_from(nanoseconds).ok()?))
}

/// `tfd: 8 events: 19 data: 8 pos:0 ino:40e sdev:10`: the blank after the colon comes and goes.
fn epoll_target(line: &[u8]) -> Option<EpollTarget> {
    let mut target = EpollTarget {
        fd: -1,
        events: 0,
        data: 0,
        file: None,
    };
    let mut file = FileId::default();
    let mut words = Words::new(line);
    while let Some(word) = words.next() {
        let colon = word.iter().position(|&byte| byte == b':')?;
        let (name, value) = (&word[..colon], &word[colon + 1..]);
        let value = if value.is_empty() {
            words.next()?
        } else {
            value
        };
        match name {
            b"tfd" => target.fd = decimal(value)?.try_into().ok()?,
            b"events" => target.events = hex(value)?.try_into().ok()?,
            b"data" => target.data = hex(value)?,
            b"ino" => file.ino = hex(value)?,
            b"sdev" => {
                file.device = Device::from_kernel(hex(value)?.try_into().ok()?);
                target.file = Some(file);
            }
            _ => {}
        }
    }
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoll_lines_of_any_spacing_are_read() {
        let info = parse(b"pos:\t0\nflags:\t02000002\ntfd:        8 events:       19 data:                8  pos:0 ino:40e sdev:10\n");
        assert_eq!(info.flags, 0o2_000_002);
        let file = FileId {
            device: Device {
                major: 0,
                minor: 0x10,
            },
            ino: 0x40e,
        };
        assert_eq!(
            info.epoll,
            [EpollTarget {
                fd: 8,
                events: 0x19,
                data: 8,
                file: Some(file)
            }]
        );
    }

    #[test]
    fn counts_are_hexadecimal_and_odd_lines_are_kept() {
        let info = parse(b"eventfd-count:               10\neventfd-id: 3\nstrange\nPollList:\nit_value: (1, 500000000)\n");
        assert_eq!((info.eventfd_count, info.eventfd_id), (Some(16), Some(3)));
        assert_eq!(info.rest, ["strange", "PollList:"]);
        assert_eq!(
            info.timer.expect("a timer").left,
            Duration::from_millis(1500)
        );
    }

    #[test]
    fn a_lock_of_the_description_is_read() {
        let info = parse(b"lock:\t1: FLOCK  ADVISORY  WRITE 465 fe:00:10029308 0 EOF\n");
        assert_eq!(info.locks[0].pid, 465);
    }
}
