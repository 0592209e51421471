//! Address: the name of a datagram socket, as a message carries it.

use std::ffi::OsStr;
use std::fmt;

use rustix::net::SocketAddrUnix;

use super::{FACILITY, parse};
use crate::error::Result;
use crate::name::Name;
use crate::sys::unix_name;

/// Where a message can be sent to, or came from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(pub(super) SocketAddrUnix);

impl Address {
    /// The address of a path, or of `@` and an abstract name.
    ///
    /// # Errors
    /// `BadName`.
    pub fn new(name: impl AsRef<OsStr>) -> Result<Self> {
        let name = parse(name.as_ref())?;
        unix_name::address(&FACILITY, "name", &name).map(Address)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Name {
        unix_name::name_of(Some(&self.0))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.name())
    }
}
