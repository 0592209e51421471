//! Listener: a name at which clients connect to a server.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::{FACILITY, Stream, address, parse};
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::sys::connect;
use crate::sys::unix_path::{self, State};
use crate::wait::Wait;

/// How a name is made.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    mode: Option<u32>,
    backlog: u32,
    temporary: bool,
    take_over: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Mode 0777 less the umask, the longest queue, the path stays, and an existing path is an error.
    pub fn new() -> Self {
        Self {
            mode: None,
            backlog: i32::MAX as u32,
            temporary: false,
            take_over: false,
        }
    }

    /// Who may connect: those with write permission. The path has exactly this mode, whatever
    /// the umask, before anybody can connect.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// How many connections may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether dropping the listener removes the path, if it is still this one's.
    pub fn temporary(mut self, yes: bool) -> Self {
        self.temporary = yes;
        self
    }

    /// Whether a path that a dead server left is taken over. Of several that start at once
    /// exactly one succeeds. A server that lives is never disturbed. Needs permission to read
    /// the directory.
    pub fn take_over(mut self, yes: bool) -> Self {
        self.take_over = yes;
        self
    }

    /// Makes the name, a path or `@` and an abstract name, and listens.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken; `PermissionDenied`, `NotFound` for the
    /// directory; `BadName`; `Limit`.
    #[doc(alias = "bind")]
    pub fn listen(&self, name: impl AsRef<OsStr>) -> Result<Listener> {
        let name = parse(name.as_ref())?;
        let to = address("listen at", &name)?;
        let failed = |errno| FACILITY.failed("listen at", &name, errno);
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
        let socket =
            rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(failed)?;
        if let Some(mode) = self.mode {
            // The inode that bind(2) makes has the mode of the socket (Linux).
            rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode)).map_err(failed)?;
        }
        match &name {
            Name::Path(path) if self.take_over => bind_over(&socket, &to, path)?,
            Name::Path(path) => rustix::net::bind(&socket, &to).map_err(|e| taken(path, e))?,
            _ => rustix::net::bind(&socket, &to).map_err(failed)?,
        }
        if let (Some(mode), Name::Path(path)) = (self.mode, &name) {
            // The umask took bits off; nobody can connect before listen(2).
            rustix::fs::chmod(path, Mode::from_raw_mode(mode)).map_err(failed)?;
        }
        let made = match &name {
            Name::Path(path) if self.temporary => Made::at(path),
            _ => None,
        };
        let listener = Listener(socket, made);
        let backlog = i32::try_from(self.backlog).unwrap_or(i32::MAX);
        rustix::net::listen(&listener.0, backlog).map_err(failed)?;
        Ok(listener)
    }
}

/// Replaces the socket of a dead server; see [`unix_path`].
fn bind_over(socket: &OwnedFd, to: &SocketAddrUnix, path: &Path) -> Result<()> {
    let failed = |errno| FACILITY.failed("take over", path.display(), errno);
    let _lock = unix_path::lock(path).map_err(|errno| match errno {
        Errno::TIMEDOUT => FACILITY
            .error(
                Kind::TimedOut,
                "take over",
                path.display(),
                "the directory stays locked",
            )
            .with_hint("see with lslocks who has a lock on the directory"),
        errno => failed(errno).with_hint("taking over reads the directory of the path"),
    })?;
    if unix_path::state(path).map_err(failed)? == State::Stale {
        rustix::fs::unlink(path).map_err(failed)?;
    }
    rustix::net::bind(socket, to).map_err(|errno| taken(path, errno))
}

#[cold]
fn taken(path: &Path, errno: Errno) -> Error {
    let error = FACILITY.failed("listen at", path.display(), errno);
    match (errno, unix_path::state(path)) {
        (Errno::ADDRINUSE, Ok(State::Stale)) => error
            .with_detail("its process is gone")
            .with_hint("take it over, or remove it with wigwag rm"),
        (Errno::ADDRINUSE, Ok(State::Alive)) => error.with_detail("a process is bound to it"),
        (Errno::ADDRINUSE, Ok(State::Foreign)) => error.with_detail("it is no socket"),
        _ => error,
    }
}

/// The file that was made, to be removed on drop, and no other.
#[derive(Debug)]
struct Made {
    path: PathBuf,
    file: (u64, u64),
}

impl Made {
    fn at(path: &Path) -> Option<Self> {
        // A later chdir must not make it another file.
        let path = std::path::absolute(path).ok()?;
        let file = identity(&path)?;
        Some(Made { path, file })
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if identity(&self.path) == Some(self.file) {
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    rustix::fs::lstat(path)
        .ok()
        .map(|file| (file.st_dev, file.st_ino))
}

/// A name at which clients connect.
///
/// One thread may serve clients one after the other, or many may accept from one listener: each
/// connection goes to one of them.
#[derive(Debug)]
pub struct Listener(OwnedFd, Option<Made>);

impl Listener {
    /// Listens with the default [`Options`].
    ///
    /// # Errors
    /// Those of [`Options::listen`].
    pub fn create(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().listen(name)
    }

    /// Waits for a client.
    ///
    /// # Errors
    /// `Limit` when this process has too many descriptors: the client goes on waiting.
    pub fn accept(&self) -> Result<Stream> {
        self.accept_with(Wait::Forever)
    }

    /// Takes a client that waits.
    ///
    /// # Errors
    /// `WouldBlock` when none does.
    pub fn try_accept(&self) -> Result<Stream> {
        self.accept_with(Wait::Not)
    }

    /// Waits for a client until the time is over.
    ///
    /// # Errors
    /// `TimedOut` when none came.
    pub fn accept_timeout(&self, limit: Duration) -> Result<Stream> {
        self.accept_with(Wait::For(limit))
    }

    /// Waits for a client as long as told.
    ///
    /// # Errors
    /// Those of the three above.
    pub fn accept_with(&self, wait: Wait) -> Result<Stream> {
        connect::accept(self.0.as_fd(), wait)
            .map(Stream::from)
            .map_err(|e| FACILITY.failed("accept a connection at", self.name(), e))
    }

    /// The name at which it listens: a path as it was given, or `@` and an abstract name.
    #[must_use]
    pub fn name(&self) -> Name {
        super::name_of(rustix::net::getsockname(&self.0).ok())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Listener> for OwnedFd {
    /// The path stays, temporary or not.
    fn from(listener: Listener) -> Self {
        if let Some(made) = listener.1 {
            std::mem::forget(made);
        }
        listener.0
    }
}

impl From<OwnedFd> for Listener {
    /// A listening socket that this process inherited; nothing is removed when it is dropped.
    fn from(socket: OwnedFd) -> Self {
        Listener(socket, None)
    }
}
