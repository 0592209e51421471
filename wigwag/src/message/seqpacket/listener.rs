//! Listener: the name at which clients connect.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::{FACILITY, Options, Socket};
use crate::error::Result;
use crate::name::Name;
use crate::sys::connect;
use crate::sys::unix_name::{self, Made};
use crate::wait::Wait;

/// A name at which clients connect.
#[derive(Debug)]
pub struct Listener {
    pub(super) fd: OwnedFd,
    pub(super) name: Name,
    pub(super) made: Option<Made>,
}

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
    pub fn accept(&self) -> Result<Socket> {
        self.accept_with(Wait::Forever)
    }

    /// Takes a client that waits.
    ///
    /// # Errors
    /// `WouldBlock` when none does.
    pub fn try_accept(&self) -> Result<Socket> {
        self.accept_with(Wait::Not)
    }

    /// Waits for a client at most this long.
    ///
    /// # Errors
    /// `TimedOut` when none came.
    pub fn accept_timeout(&self, limit: Duration) -> Result<Socket> {
        self.accept_with(Wait::For(limit))
    }

    pub(super) fn accept_with(&self, wait: Wait) -> Result<Socket> {
        connect::accept(self.fd.as_fd(), wait)
            .map(|fd| Socket {
                fd,
                name: self.name.clone(),
            })
            .map_err(|errno| FACILITY.failed("accept a connection at", &self.name, errno))
    }

    /// Clients for ever.
    pub fn incoming(&self) -> impl Iterator<Item = Result<Socket>> + '_ {
        std::iter::repeat_with(|| self.accept())
    }

    /// The name at which it listens.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Listener> for OwnedFd {
    /// The path stays, temporary or not.
    fn from(listener: Listener) -> Self {
        if let Some(made) = listener.made {
            std::mem::forget(made);
        }
        listener.fd
    }
}

impl From<OwnedFd> for Listener {
    /// A listening socket that was inherited or passed.
    fn from(fd: OwnedFd) -> Self {
        let name = unix_name::own_name(fd.as_fd());
        let made = None;
        Listener { fd, name, made }
    }
}
