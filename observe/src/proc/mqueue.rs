//! POSIX queues by name: listed in a mounted mqueue file system, or in a private instance of it that is mounted nowhere; mq_overview(7).

use std::io;
use std::os::fd::AsRawFd;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, RawDir, fstatfs, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::brief::Brief;
use super::fd::facts;
use super::text::{Words, decimal, signed};
use super::{FileFacts, Scratch};

/// `MQUEUE_MAGIC` of the kernel's ipc/mqueue.c.
const MAGIC: u64 = 0x1980_0202;

/// A directory of all POSIX queues of this IPC namespace.
///
/// `/dev/mqueue` when the file system is mounted there; otherwise an instance of our own, which appears in no mount table and goes
/// with the descriptor.
///
/// # Errors
/// `EPERM` when it is mounted nowhere and we may not mount (`CAP_SYS_ADMIN` over the IPC namespace is needed). `ENODEV` when the
/// kernel has no POSIX queues.
pub fn open_directory() -> io::Result<OwnedFd> {
    if let Ok(directory) = openat(
        CWD,
        "/dev/mqueue",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) && is_mqueue(directory.as_fd())
    {
        return Ok(directory);
    }
    open_detached()
}

/// An instance of our own, of the IPC namespace the calling thread is in.
///
/// # Errors
/// As for [`open_directory`].
pub fn open_detached() -> io::Result<OwnedFd> {
    let context = fsopen("mqueue", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    let mount = fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?;
    Ok(openat(
        &mount,
        ".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Whether a descriptor is of the mqueue file system.
#[must_use]
pub fn is_mqueue(file: BorrowedFd<'_>) -> bool {
    fstatfs(file).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(MAGIC))
}

/// One queue in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name without its slash.
    pub name: Box<[u8]>,
    /// Owner, permissions, time of the last send or receive.
    pub facts: FileFacts,
    /// What the queue's file says, if we may read it.
    pub text: Option<Text>,
    /// Limits and number of messages, if we may read it.
    pub limits: Option<Limits>,
}

/// What reading a queue's file gives; it takes no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Text {
    /// Bytes in all messages.
    pub bytes: u64,
    /// Who is to be notified of the next message; 0 for nobody.
    pub notify_pid: u32,
    /// How: 0 signal, 1 not at all, 2 thread.
    pub notify: i32,
    /// With which signal.
    pub signal: u32,
}

/// `struct mq_attr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages in it.
    pub messages: u64,
    /// How many it can hold.
    pub capacity: u64,
    /// Largest message, bytes.
    pub message_size: u64,
}

/// All queues in a directory of [`open_directory`].
pub fn entries(directory: &OwnedFd, scratch: &mut Scratch) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 8 << 10];
    let mut names = RawDir::new(directory, &mut buffer);
    while let Some(entry) = names.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        // Unlinked meanwhile.
        let Ok(facts) = facts(directory.as_fd(), name) else {
            continue;
        };
        let _brief = Brief::begin();
        let file = openat(
            directory,
            name,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .ok();
        found.push(Entry {
            name: name.to_bytes().into(),
            facts,
            text: file
                .as_ref()
                .and_then(|file| scratch.read_fd(file.as_fd()).ok().map(parse)),
            limits: file.as_ref().and_then(|file| limits(file.as_fd()).ok()),
        });
    }
    Ok(found)
}

/// `QSIZE:25         NOTIFY:0     SIGNO:10    NOTIFY_PID:20500`
fn parse(text: &[u8]) -> Text {
    let mut parsed = Text::default();
    for word in Words::new(text) {
        let Some(colon) = word.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let value = &word[colon + 1..];
        let small = || {
            decimal(value)
                .and_then(|number| number.try_into().ok())
                .unwrap_or(0)
        };
        match &word[..colon] {
            b"QSIZE" => parsed.bytes = decimal(value).unwrap_or(0),
            b"NOTIFY" => {
                parsed.notify = signed(value)
                    .and_then(|number| number.try_into().ok())
                    .unwrap_or(0)
            }
            b"SIGNO" => parsed.signal = small(),
            b"NOTIFY_PID" => parsed.notify_pid = small(),
            _ => {}
        }
    }
    parsed
}

/// Limits and number of messages of an open queue; takes no message. mq_getattr(3).
pub fn limits(queue: BorrowedFd<'_>) -> io::Result<Limits> {
    let mut attributes = std::mem::MaybeUninit::<libc::mq_attr>::uninit();
    // SAFETY: the descriptor is open for the call, and the attributes are written, entirely, only to the place given.
    let attributes = unsafe {
        if libc::mq_getattr(queue.as_raw_fd(), attributes.as_mut_ptr()) == -1 {
            return Err(io::Error::last_os_error());
        }
        attributes.assume_init()
    };
    let count = |number: libc::c_long| u64::try_from(number).unwrap_or(0);
    Ok(Limits {
        messages: count(attributes.mq_curmsgs),
        capacity: count(attributes.mq_maxmsg),
        message_size: count(attributes.mq_msgsize),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_line_of_a_queue_is_read() {
        let text = super::parse(b"QSIZE:25         NOTIFY:0     SIGNO:10    NOTIFY_PID:20500\n");
        assert_eq!((text.bytes, text.signal, text.notify_pid), (25, 10, 20500));
    }
}
