//! Unix seqpacket socket: messages two ways over a connection, with an end.
//!
//! A server makes a [`Listener`] at a path or an `@abstract` name and accepts; a client
//! [connects](Socket::connect). Related processes share a [`pair`]. Each end learns at once when
//! the other is closed or killed, after it has received what was sent before.
//!
//! ```
//! use wigwag::message::seqpacket;
//!
//! let (here, there) = seqpacket::pair()?;
//! here.send(b"one")?;
//! here.send(b"two")?;
//! drop(here);
//! let mut buffer = [0; 64];
//! assert_eq!(there.recv(&mut buffer)?, Some(3));
//! assert_eq!(there.recv(&mut buffer)?, Some(3));
//! assert_eq!(there.recv(&mut buffer)?, None);
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! An empty message is one, except as the last before the end: the system call does not tell it
//! from the end. [`recv_from`](Socket::recv_from) does, where credentials are asked for.
//! A message that is longer than the buffer is an error that says so; the rest of it is lost.
//! Descriptors that come with a message are closed unless it is received by `recv_from`.
//!
//! `unix(7)`, `socket(2)`, `send(2)`, `recv(2)`.

mod listener;
mod options;
mod socket;

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

pub use self::listener::Listener;
pub use self::options::Options;
pub use self::socket::{Arrival, Socket};
use super::datagram::{self, BUFFER, IN_FLIGHT};
use crate::error::Result;
use crate::facility::{Direction, Facility};
use crate::guarantees::Guarantees;
use crate::limit;
use crate::message::Messages;
use crate::name::Name;
use crate::opening::{Opening, Role, Target};
use crate::sys::unix_name;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "unix-seqpacket",
    title: "Unix seqpacket socket",
    noun: "Unix seqpacket socket",
    direction: Some(Direction::TwoWay),
    carries: "messages, two ways, descriptors, credentials",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, BUFFER, IN_FLIGHT],
    guarantees: Guarantees::STREAM,
    ..datagram::FACILITY
};

/// Makes two connected sockets, for related processes.
///
/// # Errors
/// `Limit` when this process or the machine has too many descriptors.
#[doc(alias = "socketpair")]
pub fn pair() -> Result<(Socket, Socket)> {
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    rustix::net::socketpair(family, SocketType::SEQPACKET, flags, None)
        .map(|(one, other)| (one.into(), other.into()))
        .map_err(|errno| FACILITY.failed("create", "", errno))
}

/// Removes the path of a listener whose process is gone.
///
/// # Errors
/// `NotFound`, `PermissionDenied`; `AlreadyExists` when its process
/// lives; `BadInput` when it is no socket. It stays in all these cases.
pub fn unlink(name: impl AsRef<OsStr>) -> Result<()> {
    unlink_name(&parse(name.as_ref())?)
}

pub(crate) fn unlink_name(name: &Name) -> Result<()> {
    unix_name::unlink(&FACILITY, name)
}

fn new() -> Result<OwnedFd> {
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    rustix::net::socket_with(family, SocketType::SEQPACKET, flags, None)
        .map_err(|errno| FACILITY.failed("create", "", errno))
}

fn parse(name: &OsStr) -> Result<Name> {
    Name::parse(&FACILITY, name.as_bytes())
}

/// `Serve` listens, accepts one connection and removes its path, `Join` connects.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Messages>> {
    let name = OsStr::from_bytes(&target.name.to_bytes()).to_owned();
    let given = &target.options;
    let socket = match opening.role {
        Role::Join => Socket::connect_with(name, opening.wait)?,
        Role::Serve => {
            let mut options = Options::new().temporary(true).backlog(1);
            options = options.take_over(given.flag("take-over")?);
            if let Some(mode) = given.mode()? {
                options = options.mode(mode);
            }
            options.listen(name)?.accept_with(opening.wait)?
        }
    };
    socket.pass_credentials(true)?;
    Ok(Box::new(socket))
}

/// Sends a message through a pair.
pub(crate) fn probe() -> Result<()> {
    let (here, there) = pair()?;
    here.try_send(b"probe")?;
    there.try_recv(&mut [0; 8]).map(drop)
}
