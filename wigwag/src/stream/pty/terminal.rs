//! Terminal: the end of a pseudoterminal that a program sees as its terminal.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios};

use super::{FACILITY, Size};
use crate::error::{Kind, Result};
use crate::name::Name;
use crate::stream::transfer::{Sink, Source, descriptor, reads, writes};

/// The end that a program sees as its terminal.
#[doc(alias = "slave")]
#[derive(Debug)]
pub struct Terminal(pub(super) OwnedFd);

reads!(Terminal);
writes!(Terminal);
descriptor!(Terminal, Terminal);

impl Terminal {
    /// Opens a terminal by its path, `/dev/pts/5`. It does not become our controlling terminal.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`; `BadInput` when it is no terminal.
    pub fn open(name: impl AsRef<OsStr>) -> Result<Self> {
        let name = Name::parse(&FACILITY, name.as_ref().as_bytes())?;
        let Some(path) = name.as_path() else {
            let why = "its terminal is named by a path, such as /dev/pts/0";
            return Err(FACILITY.error(Kind::BadName, "open", "", why));
        };
        // What is no terminal is not opened for long: some files do things when they are opened.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let failed = |errno| FACILITY.failed("open", &name, errno);
        let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        if !rustix::termios::isatty(&opened) {
            return Err(FACILITY.error(Kind::BadInput, "open", &name, "it is no terminal"));
        }
        let flags = rustix::fs::fcntl_getfl(&opened).map_err(failed)?;
        rustix::fs::fcntl_setfl(&opened, flags - OFlags::NONBLOCK).map_err(failed)?;
        Ok(Terminal(opened))
    }

    /// Its path, `/dev/pts/5`.
    ///
    /// # Errors
    /// `BadInput` when it is no terminal; `NotFound` in another mount namespace.
    #[doc(alias = "ttyname")]
    pub fn path(&self) -> Result<PathBuf> {
        rustix::termios::ttyname(&self.0, Vec::new())
            .map(|name| std::ffi::OsString::from_vec(name.into_bytes()).into())
            .map_err(|e| FACILITY.failed("ask for the name of", "", e))
    }

    /// Turns the line discipline off: bytes pass as they are, at once, without echo, line
    /// editing, signals from keys, or `\n` becoming `\r\n`. As it was when the guard is dropped.
    ///
    /// The settings belong to the terminal: all that have it open see them, and a program that is
    /// killed leaves them.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use wigwag::stream::pty;
    ///
    /// let (mut controller, mut terminal) = pty::pair()?;
    /// let raw = terminal.raw()?;
    /// controller.write_all(b"\x03 no line, no signal")?;
    /// let mut bytes = [0; 20];
    /// terminal.read_exact(&mut bytes)?;
    /// assert_eq!(bytes[0], 3);
    /// drop(raw);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What `tcsetattr(3)` says.
    #[doc(alias = "cfmakeraw")]
    pub fn raw(&self) -> Result<Raw> {
        Raw::of(&self.0)
    }

    /// How many rows and columns it has.
    ///
    /// # Errors
    /// What `ioctl_tty(2)` says.
    pub fn size(&self) -> Result<Size> {
        Size::of(self.0.as_fd())
    }

    /// Sets its rows and columns; the programs in its foreground get `SIGWINCH`.
    ///
    /// # Errors
    /// What `ioctl_tty(2)` says.
    pub fn set_size(&self, size: Size) -> Result<()> {
        size.set(self.0.as_fd())
    }
}

/// A terminal is raw while this lives.
#[derive(Debug)]
#[must_use = "the terminal is as before when this is dropped"]
pub struct Raw {
    terminal: OwnedFd,
    before: Option<Termios>,
}

impl Raw {
    pub(super) fn of(end: &OwnedFd) -> Result<Self> {
        let failed = |errno| FACILITY.failed("make raw", "", errno);
        let terminal = rustix::io::fcntl_dupfd_cloexec(end, 3).map_err(failed)?;
        let before = rustix::termios::tcgetattr(&terminal).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(&terminal, OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Raw {
            terminal,
            before: Some(before),
        })
    }

    /// Leaves the terminal raw.
    pub fn keep(mut self) {
        self.before = None;
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // The terminal may have hung up; then there is nothing to restore.
            let _ = rustix::termios::tcsetattr(&self.terminal, OptionalActions::Now, before);
        }
    }
}

impl Source for Terminal {
    /// 0 is the end-of-file key of a person, or that the other end is gone.
    #[inline]
    fn pull(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::read(&self.0, buffer)
    }

    fn try_pull(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        super::try_read(self.0.as_fd(), buffer)
    }
}

impl Sink for Terminal {
    #[inline]
    fn push(&self, bytes: &[u8]) -> Result<usize, Errno> {
        rustix::io::write(&self.0, bytes)
    }

    fn push_vectored(&self, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
        rustix::io::writev(&self.0, buffers)
    }

    fn try_push(&self, bytes: &[u8]) -> Result<usize, Errno> {
        super::try_write(self.0.as_fd(), bytes)
    }

    /// Dropping the last handle is the end.
    fn end(&self) -> Result<(), Errno> {
        Ok(())
    }
}

impl From<Terminal> for Stdio {
    fn from(terminal: Terminal) -> Self {
        terminal.0.into()
    }
}
