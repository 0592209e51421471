//! Options of a file lock: whose it is, which bytes it covers, and whether the file is made.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fchmod, fstat, openat};
use rustix::io::Errno;

use super::lock::FileLock;
use super::{FLOCK, OFD, RECORD};
use crate::error::{Kind, Result};
use crate::facility::Facility;
use crate::name::Name;
use crate::sys::fcntl::Span;

/// Whose a lock is, and which other locks it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Style {
    /// The open file's, on a range: sees all record locks.
    #[default]
    #[doc(alias = "F_OFD_SETLK")]
    Ofd,
    /// The open file's, on the whole file: sees other `flock`s.
    #[doc(alias = "LOCK_EX")]
    Flock,
    /// The process's, on a range, dropped by any close of the file: sees all record locks.
    #[doc(alias = "F_SETLK")]
    #[doc(alias = "lockf")]
    Record,
}

impl Style {
    pub(in crate::gate) fn facility(self) -> &'static Facility {
        match self {
            Style::Ofd => &OFD,
            Style::Flock => &FLOCK,
            Style::Record => &RECORD,
        }
    }
}

/// How the file of a lock is opened, and which bytes are locked.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    style: Style,
    range: Option<Range<u64>>,
    create: bool,
    mode: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            style: Style::default(),
            range: None,
            create: true,
            mode: None,
        }
    }
}

impl Options {
    /// The defaults: [`Style::Ofd`], the whole file, which is made if there is none.
    pub fn new() -> Self {
        Options::default()
    }

    /// Whose the lock is.
    pub fn style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// The bytes it covers, which need not exist; up to `u64::MAX` means to the end of the file wherever
    /// that will be. All bytes otherwise.
    pub fn range(mut self, bytes: Range<u64>) -> Self {
        self.range = Some(bytes);
        self
    }

    /// Whether the file is made, empty, if there is none. Yes, unless told.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Who else may use a file that is made: exactly this mode, whatever the umask. Otherwise 0666 less the
    /// umask, as for `flock(1)`.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`; `BadInput` when the range is empty, or with [`Style::Flock`], which has none;
    /// or when a directory is to have a range.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<FileLock> {
        let path = path.as_ref();
        let facility = self.style.facility();
        let name = path.display().to_string();
        Name::parse(facility, path.as_os_str().as_bytes())?;
        let span = self.span(&name)?;
        let file = self
            .file(path)
            .map_err(|errno| facility.failed("open", &name, errno))?;
        FileLock::new(file, self.style, span, name)
    }

    /// Locks through a descriptor that is open already, which no other handle may lock through.
    ///
    /// # Errors
    /// `BadInput` as for [`open`](Self::open).
    pub fn from_fd(&self, file: OwnedFd) -> Result<FileLock> {
        let name = String::new();
        let span = self.span(&name)?;
        FileLock::new(file, self.style, span, name)
    }

    fn span(&self, name: &str) -> Result<Span> {
        let refuse = |why| {
            Err(self
                .style
                .facility()
                .error(Kind::BadInput, "lock", name, why))
        };
        let Some(range) = &self.range else {
            return Ok(Span { start: 0, len: 0 });
        };
        if self.style == Style::Flock {
            return refuse("flock covers the whole file; use an OFD or record lock for a range");
        }
        if range.is_empty() {
            return refuse("the range is empty: its end must be greater than its start");
        }
        let Ok(start) = i64::try_from(range.start) else {
            return refuse("the range begins beyond the greatest offset of a file");
        };
        // From i64::MAX on there are no bytes, so such an end is the end of the file.
        let len = match i64::try_from(range.end) {
            Ok(end) if end < i64::MAX => end - start,
            _ => 0,
        };
        Ok(Span { start, len })
    }

    /// A descriptor of the file, for writing if possible: an exclusive record lock needs that.
    fn file(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let open = |more: OFlags, mode: Mode| openat(CWD, path, flags | more, mode);
        // Without O_CREAT first: with it, somebody else's file in a sticky directory is refused (fs.protected_regular).
        loop {
            match open(OFlags::RDWR, Mode::empty()) {
                Err(Errno::NOENT) if self.create => {}
                Err(Errno::ACCESS | Errno::ROFS | Errno::ISDIR | Errno::TXTBSY) => {
                    return open(OFlags::RDONLY, Mode::empty());
                }
                done => return done,
            }
            let mode = Mode::from_raw_mode(self.mode.unwrap_or(0o666));
            match open(OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode) {
                Err(Errno::EXIST)
                    if path.symlink_metadata().is_ok_and(|file| file.is_symlink()) =>
                {
                    return Err(Errno::NOENT); // a link to nothing
                }
                Err(Errno::EXIST) => {}
                Ok(file) => {
                    if let Some(exact) = self.mode {
                        fchmod(&file, Mode::from_raw_mode(exact))?;
                    }
                    return Ok(file);
                }
                failed => return failed,
            }
        }
    }
}

/// Whether it is a directory, which can be locked by flock only.
pub(super) fn is_directory(file: &impl AsFd) -> bool {
    fstat(file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}
