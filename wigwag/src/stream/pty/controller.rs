//! Controller: the end of a pseudoterminal where the person would be.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::{Child, Command};

use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, SpecialCodeIndex};

use super::{FACILITY, Raw, Size, Terminal};
use crate::error::Result;
use crate::stream::transfer::{Sink, Source, descriptor, reads, writes};
use crate::sys::session;

/// The end where the person would be: what is written here is typed, what is read here was
/// shown.
///
/// Reading is at the end of the file (`EIO` in Linux) when nobody has the terminal open any
/// more. Dropping the controller hangs up: the programs of the terminal's session get `SIGHUP`.
#[doc(alias = "master")]
#[derive(Debug)]
pub struct Controller(pub(super) OwnedFd);

reads!(Controller);
writes!(Controller);
descriptor!(Controller, Controller);

impl Controller {
    /// The path of its terminal, `/dev/pts/5`.
    ///
    /// # Errors
    /// What `ptsname(3)` says.
    #[doc(alias = "ptsname")]
    pub fn path(&self) -> Result<PathBuf> {
        rustix::pty::ptsname(&self.0, Vec::new())
            .map(|name| std::ffi::OsString::from_vec(name.into_bytes()).into())
            .map_err(|e| FACILITY.failed("ask for the name of", "", e))
    }

    /// Opens its terminal, without going through a path.
    ///
    /// # Errors
    /// `Limit` when this process has too many descriptors.
    #[doc(alias = "TIOCGPTPEER")]
    pub fn terminal(&self) -> Result<Terminal> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        rustix::pty::ioctl_tiocgptpeer(&self.0, flags)
            .map(Terminal)
            .map_err(|e| FACILITY.failed("open the terminal of", "", e))
    }

    /// Starts a program on the terminal, as the leader of a session of its own whose
    /// controlling terminal it is: keys like Ctrl-C send it signals, and it may ask for its size.
    ///
    /// # Errors
    /// `NotFound` when there is no such program; `PermissionDenied`; `Limit`.
    pub fn spawn(&self, mut command: Command) -> Result<Child> {
        let terminal = self.terminal()?;
        let failed = |e| FACILITY.failed("start a program on", "", e);
        let (input, output) = (terminal.0.try_clone(), terminal.0.try_clone());
        command
            .stdin(input.map_err(failed)?)
            .stdout(output.map_err(failed)?)
            .stderr(terminal);
        session::lead(&mut command);
        command.spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy().into_owned();
            FACILITY.failed("start on a", program, error)
        })
    }

    /// Turns the terminal's line discipline off before a program has it; see [`Terminal::raw`].
    ///
    /// # Errors
    /// What `tcsetattr(3)` says.
    pub fn raw(&self) -> Result<Raw> {
        Raw::of(&self.0)
    }

    /// How many rows and columns the terminal has.
    ///
    /// # Errors
    /// What `ioctl_tty(2)` says.
    pub fn size(&self) -> Result<Size> {
        Size::of(self.0.as_fd())
    }

    /// Sets the rows and columns; the programs in the terminal's foreground get `SIGWINCH`.
    ///
    /// # Errors
    /// What `ioctl_tty(2)` says.
    #[doc(alias = "TIOCSWINSZ")]
    pub fn set_size(&self, size: Size) -> Result<()> {
        size.set(self.0.as_fd())
    }
}

/// `EIO` is how Linux says that nobody has the terminal open.
#[inline]
fn hung_up(outcome: Result<usize, Errno>) -> Result<usize, Errno> {
    match outcome {
        Err(Errno::IO) => Ok(0),
        outcome => outcome,
    }
}

impl Source for Controller {
    #[inline]
    fn pull(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        hung_up(rustix::io::read(&self.0, buffer))
    }

    fn pull_vectored(&self, buffers: &mut [std::io::IoSliceMut<'_>]) -> Result<usize, Errno> {
        hung_up(rustix::io::readv(&self.0, buffers))
    }

    fn try_pull(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        hung_up(super::try_read(self.0.as_fd(), buffer))
    }
}

impl Sink for Controller {
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

    /// A person at a terminal ends a program's input with the end-of-file key. So do we, in
    /// line mode; a raw terminal knows no such key, and only hanging up ends it. The key ends the
    /// line that was begun, if any, and is typed again to end the file.
    fn end(&self) -> Result<(), Errno> {
        let settings = rustix::termios::tcgetattr(&self.0)?;
        if settings.local_modes.contains(LocalModes::ICANON) {
            let key = settings.special_codes[SpecialCodeIndex::VEOF];
            rustix::io::write(&self.0, &[key])?;
        }
        Ok(())
    }
}
