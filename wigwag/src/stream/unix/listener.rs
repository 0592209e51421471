//! Listener: a name at which clients connect to a server.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{FACILITY, Stream, parse};
use crate::error::Result;
use crate::name::Name;
use crate::sys::connect;
use crate::sys::unix_name::{self, How, Made};
use crate::wait::Wait;

/// How a name is made.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    how: How,
    backlog: u32,
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
            how: How::default(),
            backlog: i32::MAX as u32,
        }
    }

    unix_name::naming!();

    /// How many connections may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Makes the name, a path or `@` and an abstract name, and listens.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken; `PermissionDenied`, `NotFound` for the
    /// directory; `BadInput` for a mode of an abstract name; `BadName`; `Limit`.
    #[doc(alias = "bind")]
    pub fn listen(&self, name: impl AsRef<OsStr>) -> Result<Listener> {
        let name = parse(name.as_ref())?;
        let failed = |errno| FACILITY.failed("listen at", &name, errno);
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
        let socket =
            rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(failed)?;
        let made = unix_name::bind(&FACILITY, socket.as_fd(), &name, self.how)?;
        // From here the path is removed if something fails.
        let listener = Listener(socket, made);
        let backlog = i32::try_from(self.backlog).unwrap_or(i32::MAX);
        rustix::net::listen(&listener.0, backlog).map_err(failed)?;
        Ok(listener)
    }
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
        unix_name::own_name(self.0.as_fd())
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
            made.stay();
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
