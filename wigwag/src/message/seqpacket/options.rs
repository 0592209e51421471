//! Options: how the name of a listener is made.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use super::{FACILITY, Listener, new, parse};
use crate::error::Result;
use crate::sys::unix_name::{self, How};

/// How a name is made.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    how: How,
    backlog: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            how: How::default(),
            backlog: i32::MAX.cast_unsigned(),
        }
    }
}

impl Options {
    /// Mode 0777 less the umask, the longest queue; the path stays; an existing path is an error.
    pub fn new() -> Self {
        Options::default()
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
    /// `AlreadyExists` when the name is taken; `PermissionDenied`,
    /// `NotFound` for the directory; `BadName`; `Limit`.
    #[doc(alias = "bind")]
    pub fn listen(&self, name: impl AsRef<OsStr>) -> Result<Listener> {
        let name = parse(name.as_ref())?;
        let fd = new()?;
        let made = unix_name::bind(&FACILITY, fd.as_fd(), &name, self.how)?;
        let backlog = i32::try_from(self.backlog).unwrap_or(i32::MAX);
        rustix::net::listen(&fd, backlog)
            .map_err(|errno| FACILITY.failed("listen at", &name, errno))?;
        Ok(Listener { fd, name, made })
    }
}
