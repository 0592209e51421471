//! Options: how the name of a datagram socket is made.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use super::{FACILITY, Socket, parse};
use crate::error::Result;
use crate::sys::unix_name::{self, How};

/// How a name is made.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Options {
    how: How,
    credentials: bool,
}

impl Options {
    /// Mode 0777 less the umask; the path stays; an existing path is an error.
    pub fn new() -> Self {
        Options::default()
    }

    unix_name::naming!();

    /// Tells who sent each message.
    #[doc(alias = "SO_PASSCRED")]
    pub fn credentials(mut self, credentials: bool) -> Self {
        self.credentials = credentials;
        self
    }

    /// Makes the name, a path or `@` and an abstract name.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken; `PermissionDenied`,
    /// `NotFound` for the directory; `BadName`; `Limit`.
    pub fn bind(&self, name: impl AsRef<OsStr>) -> Result<Socket> {
        let mut socket = Socket::unbound()?;
        socket.name = parse(name.as_ref())?;
        // Before anybody can send: a message keeps its sender only if it was asked for by then.
        socket.pass_credentials(self.credentials)?;
        socket.made = unix_name::bind(&FACILITY, socket.fd.as_fd(), &socket.name, self.how)?;
        Ok(socket)
    }
}
