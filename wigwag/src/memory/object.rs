//! Object: a file whose pages are a region, which has its size before it has its name.
//!
//! It is made without a name (`O_TMPFILE`), given all its pages, and then linked: nobody ever opens a half-made
//! one, and a creator that is killed leaves nothing. Where the file system cannot do that, the name comes
//! first, and for a moment others find it empty.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, fallocate, fchmod, fstat, ftruncate,
    linkat, openat, statat, unlinkat,
};
use rustix::io::{Errno, pwrite, retry_on_intr};

use super::{Access, affordable};
use crate::limit::{Limit, Source};

/// The limit on the size of files, beyond which a process gets SIGXFSZ.
pub(super) const FILE_SIZE: Limit = Limit {
    name: "RLIMIT_FSIZE",
    bounds: "bytes of a file that the process makes larger",
    source: Source::Rlimit(libc::RLIMIT_FSIZE),
    errnos: &[libc::EFBIG],
};

/// What is known of the object behind a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Its size now, in bytes.
    pub len: u64,
    /// Its permissions.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Whether it still has a name.
    pub named: bool,
}

/// Asks the kernel.
pub(super) fn stat(object: BorrowedFd<'_>) -> rustix::io::Result<Stat> {
    let stat = fstat(object)?;
    Ok(Stat {
        len: stat.st_size.cast_unsigned(),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        named: stat.st_nlink > 0,
    })
}

/// A new object with all its pages, which begins with `contents`, under a name that nothing had.
/// With a mode it has exactly this one, else 0600 less the umask.
pub(super) fn create(
    path: &Path,
    exact: Option<u32>,
    len: u64,
    contents: &[u8],
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let finish = |object: &OwnedFd| {
        allocate(object.as_fd(), len)?;
        write(object, contents)?;
        exact.map_or(Ok(()), |mode| fchmod(object, Mode::from_raw_mode(mode)))
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match openat(CWD, directory, flags | OFlags::TMPFILE, mode) {
        Ok(object) => {
            finish(&object)?;
            let unnamed = format!("/proc/self/fd/{}", object.as_raw_fd());
            match linkat(CWD, unnamed, CWD, path, AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return Ok(object),
                // No /proc here: the name must come first.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        // The file system has no unnamed files; or there is no such directory, which the next call reports.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let named = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let object = openat(CWD, path, flags | named, mode)?;
    finish(&object).inspect_err(|_| {
        let _ = unlinkat(CWD, path, AtFlags::empty());
    })?;
    Ok(object)
}

/// Opens what has that name, without waiting for anybody; only a regular file can be mapped by many.
pub(super) fn open(path: &Path, access: Access, extra: OFlags) -> rustix::io::Result<OwnedFd> {
    let way = match access {
        Access::ReadOnly => OFlags::RDONLY,
        Access::ReadWrite => OFlags::RDWR,
    };
    let flags = way | OFlags::CLOEXEC | OFlags::NONBLOCK | extra;
    openat(CWD, path, flags, Mode::empty())
}

/// The size of a regular file, or what it is instead, in words.
pub(super) fn regular(
    object: BorrowedFd<'_>,
) -> rustix::io::Result<std::result::Result<u64, &'static str>> {
    let stat = fstat(object)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(stat.st_size.cast_unsigned()),
        FileType::Directory => Err("it is a directory"),
        FileType::Fifo => Err("it is a FIFO"),
        FileType::Socket => Err("it is a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Err("it is a device"),
        _ => Err("it is no regular file"),
    })
}

/// Gives an object its size, with every page of it there: a full file system is an error here and
/// not a SIGBUS later.
pub(super) fn allocate(object: BorrowedFd<'_>, len: u64) -> rustix::io::Result<()> {
    if FILE_SIZE.value().is_some_and(|limit| len > limit) {
        // The kernel would send SIGXFSZ, which ends the process.
        return Err(Errno::FBIG);
    }
    if affordable::beyond(object, len).is_some() {
        return Err(Errno::NOMEM);
    }
    match retry_on_intr(|| fallocate(object, FallocateFlags::empty(), 0, len)) {
        // A file system that cannot promise pages: the copies will notice the one that is missing.
        Err(Errno::OPNOTSUPP) => retry_on_intr(|| ftruncate(object, len)),
        done => done,
    }
}

/// Writes these at the beginning.
fn write(object: &OwnedFd, mut contents: &[u8]) -> rustix::io::Result<()> {
    let mut at = 0;
    while !contents.is_empty() {
        let written = retry_on_intr(|| pwrite(object, contents, at))?;
        contents = &contents[written..];
        at += written as u64;
    }
    Ok(())
}

/// Removes a name.
pub(super) fn unlink(path: &Path) -> rustix::io::Result<()> {
    unlinkat(CWD, path, AtFlags::empty())
}

/// A name that goes when the handle is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    identity: (u64, u64),
}

impl Temporary {
    /// The name `path` of `object`.
    pub(super) fn new(path: &Path, object: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let stat = fstat(object)?;
        let identity = (stat.st_dev, stat.st_ino);
        Ok(Temporary {
            path: path.to_owned(),
            identity,
        })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Somebody may have removed the name and made another object of it: that one is not ours to remove.
        let named = statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW);
        if named.is_ok_and(|named| (named.st_dev, named.st_ino) == self.identity) {
            let _ = unlink(&self.path);
        }
    }
}

/// The free space of the file system of a path, in words for an error.
pub(super) fn free_space(path: &Path) -> String {
    let directory = path.parent().unwrap_or(path);
    let shown = String::from_utf8_lossy(directory.as_os_str().as_bytes()).into_owned();
    match rustix::fs::statvfs(directory) {
        Ok(stat) => format!("{shown} has {} bytes free", stat.f_bavail * stat.f_frsize),
        Err(_) => format!("see df {shown}"),
    }
}
