//! Fd: one open descriptor of another process, seen through its link in `/proc/PID/fd` and never opened.

use std::io;

use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, openat, readlinkat_raw, statat, statx};

use super::file::{Scratch, numbers};
use super::process::PathBuffer;
use super::text::decimal;
use super::{FdInfo, Process, fdinfo};

/// A device number. The kernel's tables print it in four ways; this is the one they are all turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl Device {
    /// From the kernel's own `dev_t` (20 bits of minor), as epoll's `sdev:` and unix_diag give it.
    #[must_use]
    pub fn from_kernel(number: u32) -> Self {
        Device {
            major: number >> 20,
            minor: number & 0xf_ffff,
        }
    }

    /// From `st_dev` or `st_rdev`.
    #[must_use]
    pub fn from_stat(number: u64) -> Self {
        Device {
            major: rustix::fs::major(number),
            minor: rustix::fs::minor(number),
        }
    }
}

/// The identity of a file: what every table can be joined by, unlike its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileId {
    /// Device of its file system.
    pub device: Device,
    /// Inode number.
    pub ino: u64,
}

/// What a file system says of the file behind a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Device and inode.
    pub id: FileId,
    /// Type and permissions (`st_mode`).
    pub mode: u32,
    /// Number of names; 0 means deleted.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Space used, in bytes.
    pub used: u64,
    /// Last read, seconds since 1970.
    pub accessed: i64,
    /// Last write, seconds since 1970.
    pub modified: i64,
    /// Device it stands for, if it is one.
    pub stands_for: Device,
}

impl FileFacts {
    /// Whether it is a FIFO (or an anonymous pipe).
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFIFO
    }

    /// Whether it is a character device.
    #[must_use]
    pub fn is_character_device(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFCHR
    }

    /// Whether it is an ordinary file.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }
}

/// Which directions a descriptor allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Only reading.
    Read,
    /// Only writing.
    Write,
    /// Both.
    Both,
    /// Neither: `O_PATH`.
    Neither,
}

impl Access {
    /// Whether data can be taken out.
    #[must_use]
    pub fn reads(self) -> bool {
        matches!(self, Access::Read | Access::Both)
    }

    /// Whether data can be put in.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Access::Write | Access::Both)
    }

    /// From the permission bits of the link itself: the kernel puts the open mode there.
    fn from_link_mode(mode: u32) -> Self {
        match (mode & 0o400 != 0, mode & 0o200 != 0) {
            (true, true) => Access::Both,
            (true, false) => Access::Read,
            (false, true) => Access::Write,
            (false, false) => Access::Neither,
        }
    }
}

/// What the text of the link says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Link {
    /// `pipe:[INO]`: an anonymous pipe.
    Pipe(u64),
    /// `socket:[INO]`.
    Socket(u64),
    /// `anon_inode:[eventfd]` and the like: the name, without brackets. All of a kind share one inode.
    Anonymous(Box<str>),
    /// `kind:[INO]` of any other kind: `pidfd`, `mnt`, `net`…
    Numbered(Box<str>, u64),
    /// `/memfd:NAME (deleted)`.
    Memfd(Box<[u8]>),
    /// A path as the process's root shows it: file, FIFO, device, or `/NAME` of a POSIX queue.
    Path {
        /// The path, without the mark of deletion.
        path: Box<[u8]>,
        /// The kernel marked it ` (deleted)`; a file may also be called so, [`FileFacts::links`] is certain.
        deleted: bool,
    },
}

impl Link {
    /// Understands the text of a link.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        if !text.starts_with(b"/") {
            if let Some(kind) = text.strip_prefix(b"anon_inode:") {
                let kind = kind
                    .strip_prefix(b"[")
                    .and_then(|kind| kind.strip_suffix(b"]"))
                    .unwrap_or(kind);
                return Link::Anonymous(String::from_utf8_lossy(kind).into());
            }
            if let Some((kind, ino)) = numbered(text) {
                return match kind {
                    b"pipe" => Link::Pipe(ino),
                    b"socket" => Link::Socket(ino),
                    _ => Link::Numbered(String::from_utf8_lossy(kind).into(), ino),
                };
            }
        }
        let stripped = text.strip_suffix(b" (deleted)");
        if let Some(name) = stripped.and_then(|path| path.strip_prefix(b"/memfd:")) {
            return Link::Memfd(name.into());
        }
        Link::Path {
            path: stripped.unwrap_or(text).into(),
            deleted: stripped.is_some(),
        }
    }

    /// The pipe's inode.
    #[must_use]
    pub fn pipe(&self) -> Option<u64> {
        match self {
            Link::Pipe(ino) => Some(*ino),
            _ => None,
        }
    }

    /// The socket's inode.
    #[must_use]
    pub fn socket(&self) -> Option<u64> {
        match self {
            Link::Socket(ino) => Some(*ino),
            _ => None,
        }
    }

    /// Whether it is the anonymous kind `name`, such as `eventfd` or `eventpoll`.
    #[must_use]
    pub fn is_anonymous(&self, name: &str) -> bool {
        matches!(self, Link::Anonymous(kind) if **kind == *name)
    }

    /// The path, of a file.
    #[must_use]
    pub fn path(&self) -> Option<&[u8]> {
        match self {
            Link::Path { path, .. } => Some(path),
            _ => None,
        }
    }
}

fn numbered(text: &[u8]) -> Option<(&[u8], u64)> {
    let colon = text.iter().position(|&byte| byte == b':')?;
    let ino = text[colon + 1..].strip_prefix(b"[")?.strip_suffix(b"]")?;
    Some((&text[..colon], decimal(ino)?))
}

/// One entry of a descriptor table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fd {
    /// The number.
    pub fd: i32,
    /// Its directions.
    pub access: Access,
    /// What it leads to.
    pub link: Link,
}

impl Process {
    /// All descriptors. One that is closed while we look is left out.
    ///
    /// Two system calls a descriptor: the text of the link, and its permission bits, which are the open mode. The file is not touched.
    pub fn fds(&self, scratch: &mut Scratch) -> io::Result<Vec<Fd>> {
        self.table("fd", scratch)
    }

    /// The descriptors of one thread, which differ from the process's only after `unshare(CLONE_FILES)`.
    pub fn fds_of_task(&self, tid: u32, scratch: &mut Scratch) -> io::Result<Vec<Fd>> {
        let mut path = PathBuffer::new();
        path.push("task/");
        path.push_number(tid);
        path.push("/fd");
        self.table(path.as_str(), scratch)
    }

    /// Of this program itself: without what another thread has open only to look.
    fn table(&self, directory: &str, scratch: &mut Scratch) -> io::Result<Vec<Fd>> {
        if self.pid() == std::process::id() {
            return super::brief::between(|| table(self.dir(), directory, scratch));
        }
        table(self.dir(), directory, scratch)
    }

    /// One descriptor.
    pub fn fd(&self, fd: i32, scratch: &mut Scratch) -> io::Result<Fd> {
        entry(self.dir(), path("fd/", fd).as_str(), fd, scratch)
    }

    /// Number of descriptors: one call, kernel 6.2 or newer; `None` where the kernel does not say.
    #[must_use]
    pub fn fd_count(&self) -> Option<u64> {
        let size = statat(self.dir(), "fd", AtFlags::empty()).ok()?.st_size;
        u64::try_from(size).ok().filter(|&size| size > 0)
    }

    /// What `/proc/PID/fdinfo/FD` says.
    pub fn fdinfo(&self, fd: i32, scratch: &mut Scratch) -> io::Result<FdInfo> {
        Ok(fdinfo::parse(
            scratch.read_all(self.dir(), path("fdinfo/", fd).as_str())?,
        ))
    }

    /// The file behind a descriptor, from what the kernel has cached: a dead server's file system is not waited for.
    ///
    /// Do not call it for a file on NFS or 9P: these ask their server even so. [`FdInfo::ino`] is safe always.
    pub fn fd_file(&self, fd: i32) -> io::Result<FileFacts> {
        facts(self.dir(), path("fd/", fd).as_str())
    }
}

/// [`FileFacts`] of a path that is followed, without asking a server.
pub(crate) fn facts(at: BorrowedFd<'_>, path: impl rustix::path::Arg) -> io::Result<FileFacts> {
    let stat = statx(at, path, AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS)?;
    Ok(FileFacts {
        id: FileId {
            device: Device {
                major: stat.stx_dev_major,
                minor: stat.stx_dev_minor,
            },
            ino: stat.stx_ino,
        },
        mode: u32::from(stat.stx_mode),
        links: stat.stx_nlink,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size: stat.stx_size,
        used: stat.stx_blocks.saturating_mul(512),
        accessed: stat.stx_atime.tv_sec,
        modified: stat.stx_mtime.tv_sec,
        stands_for: Device {
            major: stat.stx_rdev_major,
            minor: stat.stx_rdev_minor,
        },
    })
}

fn path(directory: &str, fd: i32) -> PathBuffer {
    let mut path = PathBuffer::new();
    path.push(directory);
    path.push_number(fd.cast_unsigned());
    path
}

fn table(at: BorrowedFd<'_>, directory: &str, scratch: &mut Scratch) -> io::Result<Vec<Fd>> {
    let directory = openat(
        at,
        directory,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut fds = Vec::new();
    let mut denied = None;
    numbers(directory.as_fd(), ".", |number| {
        let Ok(fd) = i32::try_from(number) else {
            return;
        };
        match entry(directory.as_fd(), path("", fd).as_str(), fd, scratch) {
            Ok(entry) => fds.push(entry),
            Err(error) if super::denied(&error) => denied = Some(error),
            // Closed meanwhile.
            Err(_) => {}
        }
    })?;
    // A process with more rights than ours may show the numbers and nothing else.
    match denied {
        Some(error) if fds.is_empty() => Err(error),
        _ => Ok(fds),
    }
}

fn entry(at: BorrowedFd<'_>, path: &str, fd: i32, scratch: &mut Scratch) -> io::Result<Fd> {
    let text = scratch.empty(4096);
    readlinkat_raw(at, path, spare_capacity(text))?;
    let mode = statat(at, path, AtFlags::SYMLINK_NOFOLLOW)?.st_mode;
    Ok(Fd {
        fd,
        access: Access::from_link_mode(mode),
        link: Link::parse(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_link_is_understood() {
        assert_eq!(Link::parse(b"pipe:[17]"), Link::Pipe(17));
        assert_eq!(Link::parse(b"socket:[18]"), Link::Socket(18));
        assert_eq!(
            Link::parse(b"anon_inode:[eventfd]"),
            Link::Anonymous("eventfd".into())
        );
        assert_eq!(
            Link::parse(b"anon_inode:inotify"),
            Link::Anonymous("inotify".into())
        );
        assert_eq!(
            Link::parse(b"pidfd:[4026]"),
            Link::Numbered("pidfd".into(), 4026)
        );
        assert_eq!(
            Link::parse(b"/memfd:a b (deleted)"),
            Link::Memfd(b"a b".as_slice().into())
        );
        let path = |path: &[u8], deleted| Link::Path {
            path: path.into(),
            deleted,
        };
        assert_eq!(
            Link::parse(b"/tmp/\xff\nx (deleted)"),
            path(b"/tmp/\xff\nx", true)
        );
        assert_eq!(Link::parse(b"/pipe:[3]"), path(b"/pipe:[3]", false));
        assert_eq!(Link::parse(b"odd"), path(b"odd", false));
    }
}
