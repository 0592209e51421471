//! FIFO: a pipe with a name in the file system; opening it waits for the other end.
//!
//! A FIFO is made, opened by a reader and a writer (each waits for the other), and removed by
//! name. Bytes are in it only while somebody has it open: the name stays, the contents do not.
//!
//! ```
//! use std::io::{Read, Write};
//! use wigwag::stream::fifo;
//!
//! let path = std::env::temp_dir().join(format!("wigwag-doc-{}", std::process::id()));
//! let fifo = fifo::Options::new().temporary(true).create(&path)?; // removed when dropped
//! std::thread::scope(|scope| -> Result<(), Box<dyn std::error::Error>> {
//!     scope.spawn(|| fifo.writer().unwrap().write_all(b"hello").unwrap());
//!     let mut text = String::new();
//!     fifo.reader()?.read_to_string(&mut text)?;
//!     assert_eq!(text, "hello");
//!     Ok(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Manual pages: `fifo(7)`, `mkfifo(3)`, `open(2)`.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};

use crate::error::{Error, Kind, Result};
use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::Guarantees;
use crate::interrupt;
use crate::limit;
use crate::name::Name;
use crate::opening::{Opening, Role, Target, Way};
use crate::stream::pipe::{self, Reader, Writer};
use crate::stream::{Inbound, Outbound, Stream};
use crate::sys::patience;
use crate::wait::{Deadline, Wait};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "fifo",
    title: "FIFO",
    noun: "FIFO",
    family: Family::Stream,
    naming: Naming::Path,
    unnamed_form: false,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Byte),
    direction: Some(Direction::OneWay),
    reach: Reach::Host,
    pollable: true,
    named_by: "path",
    lives: "last process (name: file system)",
    carries: "bytes, one way",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        pipe::PIPE_SIZE,
        pipe::PIPE_USER_PAGES,
    ],
    guarantees: Guarantees::STREAM,
    man: "fifo(7)",
};

/// How a FIFO is made.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    mode: Option<u32>,
    temporary: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Mode 0600 less the umask, and the name stays.
    pub fn new() -> Self {
        Self {
            mode: None,
            temporary: false,
        }
    }

    /// Who may read and write: exactly this mode, whatever the umask.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Whether dropping the [`Fifo`] removes the name.
    pub fn temporary(mut self, yes: bool) -> Self {
        self.temporary = yes;
        self
    }

    /// Makes a FIFO that did not exist.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` without its directory, `PermissionDenied`, `BadName`.
    #[doc(alias = "mkfifo")]
    pub fn create(&self, name: impl AsRef<OsStr>) -> Result<Fifo> {
        let path = checked(name.as_ref())?;
        let failed = |errno| FACILITY.failed("create", path.display(), errno);
        let mode = Mode::from_raw_mode(self.mode.unwrap_or(0o600));
        rustix::fs::mkfifoat(CWD, path, mode).map_err(failed)?;
        if self.mode.is_some() {
            // Never wider than asked for, and for a moment narrower by the umask.
            rustix::fs::chmod(path, mode).map_err(failed)?;
        }
        Ok(self.at(path))
    }

    /// Takes one that exists.
    ///
    /// # Errors
    /// `NotFound`; `BadInput` when the file is something else.
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Fifo> {
        let path = checked(name.as_ref())?;
        let file =
            rustix::fs::stat(path).map_err(|e| FACILITY.failed("open", path.display(), e))?;
        match is_fifo(file.st_mode) {
            true => Ok(self.at(path)),
            false => Err(not_a_fifo("open", path)),
        }
    }

    /// Takes the one that exists, or makes it; two programs may do this at once.
    ///
    /// # Errors
    /// Those of the other two.
    pub fn open_or_create(&self, name: impl AsRef<OsStr>) -> Result<Fifo> {
        match self.create(&name) {
            Err(error) if error.kind() == Kind::AlreadyExists => self.open(name),
            outcome => outcome,
        }
    }

    fn at(&self, path: &Path) -> Fifo {
        Fifo {
            path: path.to_owned(),
            temporary: self.temporary,
        }
    }
}

/// A FIFO by its name. Nothing is open: [`reader`](Fifo::reader) and [`writer`](Fifo::writer) do that.
#[derive(Debug)]
pub struct Fifo {
    path: PathBuf,
    temporary: bool,
}

impl Fifo {
    /// Makes a FIFO that did not exist, for this user only.
    ///
    /// # Errors
    /// Those of [`Options::create`].
    pub fn create(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().create(name)
    }

    /// Takes one that exists.
    ///
    /// # Errors
    /// Those of [`Options::open`].
    pub fn open(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().open(name)
    }

    /// Takes the one that exists, or makes it.
    ///
    /// # Errors
    /// Those of [`Options::open_or_create`].
    pub fn open_or_create(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().open_or_create(name)
    }

    /// Removes the name. Those who have it open go on.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`; `BadInput` when the file is something else, which stays.
    pub fn unlink(name: impl AsRef<OsStr>) -> Result<()> {
        let path = checked(name.as_ref())?;
        let failed = |e| FACILITY.failed("remove", path.display(), e);
        // Not the target of a symbolic link: the link would be removed.
        match is_fifo(rustix::fs::lstat(path).map_err(failed)?.st_mode) {
            true => rustix::fs::unlink(path).map_err(failed),
            false => Err(not_a_fifo("remove", path)),
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for reading, waiting until somebody has it open for writing.
    ///
    /// # Errors
    /// `PermissionDenied`, `NotFound` when the name was removed.
    pub fn reader(&self) -> Result<Reader> {
        self.reader_with(Wait::Forever)
    }

    /// Opens it for reading if somebody has it open for writing, or is trying to.
    ///
    /// # Errors
    /// `WouldBlock` when nobody has.
    pub fn try_reader(&self) -> Result<Reader> {
        self.reader_with(Wait::Not)
    }

    /// Opens it for reading if somebody opens it for writing before the time is over.
    ///
    /// # Errors
    /// `TimedOut` when nobody did.
    pub fn reader_timeout(&self, limit: Duration) -> Result<Reader> {
        self.reader_with(Wait::For(limit))
    }

    /// Opens it for reading, waiting as long as told for a writer.
    ///
    /// With a time-out this process is a reader while it waits, and a writer that comes succeeds
    /// at once. One that comes in the microseconds in which time has run out and the FIFO is
    /// being closed finds a reader that is gone (`EPIPE`), as if the reader had been killed;
    /// the kernel has no way to withdraw that is free of this.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`, `PermissionDenied`, `NotFound`.
    pub fn reader_with(&self, wait: Wait) -> Result<Reader> {
        let opened = match wait {
            Wait::Forever => self.open_as(OFlags::RDONLY),
            wait => self.reader_until(wait.into()),
        };
        opened
            .map(Reader::from)
            .map_err(|errno| self.unopened("writing", errno, wait))
    }

    /// Opens it for writing, waiting until somebody has it open for reading.
    ///
    /// # Errors
    /// `PermissionDenied`, `NotFound` when the name was removed.
    pub fn writer(&self) -> Result<Writer> {
        self.writer_with(Wait::Forever)
    }

    /// Opens it for writing if somebody has it open for reading, or is trying to.
    ///
    /// # Errors
    /// `WouldBlock` when nobody has.
    pub fn try_writer(&self) -> Result<Writer> {
        self.writer_with(Wait::Not)
    }

    /// Opens it for writing if somebody opens it for reading before the time is over.
    ///
    /// # Errors
    /// `TimedOut` when nobody did.
    pub fn writer_timeout(&self, limit: Duration) -> Result<Writer> {
        self.writer_with(Wait::For(limit))
    }

    /// Opens it for writing, waiting as long as told for a reader. Giving up leaves no trace.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`, `PermissionDenied`, `NotFound`.
    pub fn writer_with(&self, wait: Wait) -> Result<Writer> {
        let opened = match wait {
            Wait::Forever => self.open_as(OFlags::WRONLY),
            wait => self.writer_until(wait.into()),
        };
        opened
            .map(Writer::from)
            .map_err(|errno| self.unopened("reading", errno, wait))
    }

    /// Opens it for reading without waiting for a writer, and keeps it open for writing too: a
    /// server that reads from one client after the other never sees the end of the file.
    ///
    /// # Errors
    /// `PermissionDenied` without permission for both, `NotFound`.
    pub fn reader_for_many(&self) -> Result<Reader> {
        self.open_as(OFlags::RDWR)
            .map(Reader::from)
            .map_err(|e| FACILITY.failed("open", self.path.display(), e))
    }

    /// Waits in `open(2)`, unless `O_NONBLOCK` is in `flags`.
    fn open_as(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        // Not the FIFO that was checked, if it is another file by now: never a terminal of ours.
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
        let opened = loop {
            match rustix::fs::openat(CWD, &self.path, flags, Mode::empty()) {
                Err(Errno::INTR) => interrupt::again()?,
                outcome => break outcome?,
            }
        };
        match is_fifo(rustix::fs::fstat(&opened)?.st_mode) {
            true => Ok(opened),
            false => Err(NOT_A_FIFO),
        }
    }

    /// `open(2)` knows no time-out, so this end is opened at once, and looks for a writer itself.
    fn reader_until(&self, deadline: Deadline) -> Result<OwnedFd, Errno> {
        // First, because it can fail: a writer that waits must not see us come for nothing.
        let (_rest, probe) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let reader = self.open_as(OFlags::RDONLY | OFlags::NONBLOCK)?;
        let mut pause = Pause::new();
        loop {
            // Without a writer tee ends with 0, with one it wants to wait.
            match rustix::pipe::tee(&reader, &probe, 1, SpliceFlags::NONBLOCK) {
                Ok(0) => {}
                Ok(_) | Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno),
            }
            if deadline.passed() {
                return Err(deadline.errno());
            }
            // Bytes, or the end of a writer that came and went, are told by poll; a silent writer is not.
            let left = pause.next(deadline);
            match rustix::event::poll(&mut [PollFd::new(&reader, PollFlags::IN)], Some(&left)) {
                Ok(0) => {}
                Err(Errno::INTR) => interrupt::again()?,
                Ok(_) => break,
                Err(errno) => return Err(errno),
            }
        }
        blocking(reader)
    }

    /// Without a reader the kernel refuses a writer that will not wait, and nothing has happened.
    fn writer_until(&self, deadline: Deadline) -> Result<OwnedFd, Errno> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK;
        let opened = patience::look_again(deadline, || match self.open_as(flags) {
            Err(Errno::NXIO) => Err(Errno::AGAIN),
            outcome => outcome,
        });
        blocking(opened?)
    }

    #[cold]
    fn unopened(&self, other: &str, errno: Errno, wait: Wait) -> Error {
        let path = self.path.display();
        match (errno, wait) {
            (NOT_A_FIFO, _) => not_a_fifo("open", &self.path),
            (Errno::TIMEDOUT, Wait::For(limit)) => FACILITY.error(
                Kind::TimedOut,
                "open",
                path,
                format!("nobody opened it for {other} within {limit:?}"),
            ),
            (Errno::AGAIN, Wait::Not) => FACILITY.error(
                Kind::WouldBlock,
                "open",
                path,
                format!("nobody has it open for {other}"),
            ),
            _ => FACILITY.failed("open", path, errno),
        }
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        if self.temporary {
            // Somebody may have been quicker; there is nobody to tell.
            let _ = Self::unlink(&self.path);
        }
    }
}

/// What `open(2)` never says of a FIFO: the file is another kind of file.
const NOT_A_FIFO: Errno = Errno::NOTUNIQ;

fn is_fifo(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::Fifo
}

/// Opened without waiting for the other end; from now on reads and writes wait.
fn blocking(opened: OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = rustix::fs::fcntl_getfl(&opened)?;
    rustix::fs::fcntl_setfl(&opened, flags - OFlags::NONBLOCK)?;
    Ok(opened)
}

/// The time between two looks for the other end: from 1 ms to 10 ms.
struct Pause(Duration);

impl Pause {
    fn new() -> Self {
        Pause(Duration::from_millis(1))
    }

    fn next(&mut self, deadline: Deadline) -> Timespec {
        let pause = self.0;
        self.0 = (pause * 2).min(Duration::from_millis(10));
        let left = deadline.remaining().unwrap_or(pause).min(pause);
        // At most ten milliseconds always fit.
        Timespec::try_from(left).unwrap_or_default()
    }
}

fn checked(name: &OsStr) -> Result<&Path> {
    Name::parse(&FACILITY, name.as_bytes()).map(|_| Path::new(name))
}

fn not_a_fifo(action: &'static str, path: &Path) -> Error {
    let what = match rustix::fs::lstat(path).map(|file| FileType::from_raw_mode(file.st_mode)) {
        Ok(FileType::Symlink) => "a symbolic link",
        Ok(FileType::Directory) => "a directory",
        Ok(FileType::RegularFile) => "a regular file",
        Ok(FileType::Socket) => "a socket",
        Ok(FileType::CharacterDevice | FileType::BlockDevice) => "a device",
        _ => "no FIFO",
    };
    FACILITY.error(
        Kind::BadInput,
        action,
        path.display(),
        format!("it is {what}"),
    )
}

fn named(target: &Target) -> Result<&Path> {
    target.name.as_path().ok_or_else(|| {
        FACILITY.error(
            Kind::BadName,
            "open",
            &target.name,
            "a FIFO is named by a path",
        )
    })
}

/// Opens by address: `Serve` makes the FIFO if it is not there, `Join` does not.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Stream>> {
    let path = named(target)?;
    let options = options(target)?;
    let fifo = match opening.role {
        Role::Serve => options.open_or_create(path)?,
        Role::Join => options.open(path)?,
    };
    let capacity = target.options.bytes("capacity")?;
    let capacity = capacity.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    match opening.way {
        Way::In => {
            let reader = fifo.reader_with(opening.wait)?;
            capacity
                .map(|bytes| reader.set_capacity(bytes))
                .transpose()?;
            Ok(Box::new(Inbound(reader)))
        }
        Way::Out => {
            let writer = fifo.writer_with(opening.wait)?;
            capacity
                .map(|bytes| writer.set_capacity(bytes))
                .transpose()?;
            Ok(Box::new(Outbound(writer)))
        }
        Way::Both => Err(FACILITY
            .error(
                Kind::BadInput,
                "open",
                path.display(),
                "a FIFO goes one way",
            )
            .with_hint("use two FIFOs, or unix:")),
    }
}

/// Makes one and leaves it there.
pub(crate) fn create(target: &Target) -> Result<()> {
    options(target)?
        .temporary(false)
        .create(named(target)?)
        .map(drop)
}

fn options(target: &Target) -> Result<Options> {
    let mut options = Options::new().temporary(target.options.flag("temporary")?);
    if let Some(mode) = target.options.mode()? {
        options = options.mode(mode);
    }
    Ok(options)
}

/// Removes one.
pub(crate) fn unlink(name: &Name) -> Result<()> {
    match name.as_path() {
        Some(path) => Fifo::unlink(path),
        None => Err(FACILITY.error(Kind::BadName, "remove", name, "a FIFO is named by a path")),
    }
}

/// Makes one in the directory for temporary files and removes it.
pub(crate) fn probe() -> Result<()> {
    let name = format!(".wigwag-probe-{}", std::process::id());
    let probe = Options::new().temporary(true);
    probe.create(std::env::temp_dir().join(name)).map(drop)
}
