//! Unix datagram socket: messages to a name that any process of the machine may send to, without a connection.
//!
//! A full receiver makes senders wait, so nothing is lost while both live. A receiver never
//! learns that a sender is gone; a sender learns it at its next send. A path outlives its
//! process: the next one must [take it over](Options::take_over).
//!
//! ```
//! use wigwag::message::datagram::{Address, Options, Socket};
//!
//! let name = format!("@wigwag-doc-{}", std::process::id());
//! let server = Options::new().credentials(true).bind(&name)?;
//! let client = Socket::connect(&name)?;
//! client.send(b"hello")?;
//!
//! let mut buffer = [0; 64];
//! let received = server.recv_from(&mut buffer)?;
//! assert_eq!(&buffer[..received.len], b"hello");
//! assert_eq!(received.sender.map(|sender| sender.pid), Some(std::process::id().cast_signed()));
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! A message that is longer than the buffer is an error that says so; the rest of it is lost.
//! Descriptors that come with a message are closed unless it is received by
//! [`recv_from`](Socket::recv_from).
//!
//! `unix(7)`, `socket(2)`, `send(2)`, `recv(2)`.

mod address;
mod options;
mod socket;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

pub use self::address::Address;
pub use self::options::Options;
pub use self::socket::{Arrival, Socket};
use crate::error::{Error, Kind, Result};
use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Guarantees, Order, PeerDeath};
use crate::limit::{self, Limit, Source};
use crate::message::Messages;
use crate::name::Name;
use crate::opening::{Opening, Role, Target};
use crate::sys::{ancillary, unix_name};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "unix-dgram",
    title: "Unix datagram socket",
    noun: "Unix datagram socket",
    family: Family::Message,
    naming: Naming::Socket,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Message),
    direction: Some(Direction::Many),
    reach: Reach::Host,
    pollable: true,
    named_by: "path, @abstract, or pair",
    lives: "last process",
    carries: "messages, descriptors, credentials",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        QUEUED,
        BUFFER,
        IN_FLIGHT,
    ],
    guarantees: Guarantees {
        order: Order::PerSender,
        // A sender is told, a receiver is not.
        peer_death: PeerDeath::Unnoticed,
        ..Guarantees::STREAM
    },
    man: "unix(7)",
};

/// Messages that may wait in a datagram socket.
pub(crate) const QUEUED: Limit = Limit {
    name: "net.unix.max_dgram_qlen",
    bounds: "messages that wait in one socket",
    source: Source::Sysctl("/proc/sys/net/unix/max_dgram_qlen", 0),
    errnos: &[],
};

/// Bytes of a message, by the send buffer.
pub(crate) const BUFFER: Limit = Limit {
    name: "net.core.wmem_default",
    bounds: "bytes of one message with its bookkeeping, unless the send buffer is set",
    source: Source::Sysctl("/proc/sys/net/core/wmem_default", 0),
    errnos: &[],
};

/// Descriptors on their way, sent and not yet received, of one user.
pub(crate) const IN_FLIGHT: Limit = Limit {
    name: "RLIMIT_NOFILE",
    bounds: "descriptors on their way of one user",
    source: Source::Rlimit(libc::RLIMIT_NOFILE),
    errnos: &[libc::ETOOMANYREFS],
};

/// What the kernel keeps of a send buffer for itself.
pub(super) const BOOKKEEPING: usize = 32;

/// Makes two sockets that send to each other only, for related processes.
///
/// # Errors
/// [`Kind::Limit`] when this process or the machine has too many descriptors.
#[doc(alias = "socketpair")]
pub fn pair() -> Result<(Socket, Socket)> {
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    rustix::net::socketpair(family, SocketType::DGRAM, flags, None)
        .map(|(one, other)| (one.into(), other.into()))
        .map_err(|errno| FACILITY.failed("create", "", errno))
}

/// Removes the path of a socket whose process is gone.
///
/// # Errors
/// [`Kind::NotFound`], [`Kind::PermissionDenied`]; [`Kind::AlreadyExists`] when its process
/// lives; [`Kind::BadInput`] when it is no socket. It stays in all these cases.
pub fn unlink(name: impl AsRef<OsStr>) -> Result<()> {
    unlink_name(&parse(name.as_ref())?)
}

pub(crate) fn unlink_name(name: &Name) -> Result<()> {
    unix_name::unlink(&FACILITY, name)
}

fn parse(name: &OsStr) -> Result<Name> {
    Name::parse(&FACILITY, name.as_bytes())
}

/// Too many descriptors is the only invalid argument.
#[cold]
pub(super) fn bad_descriptors(count: usize, errno: Errno) -> Option<Error> {
    (errno == Errno::INVAL && count > ancillary::MOST_DESCRIPTORS).then(|| {
        FACILITY.error(
            Kind::BadInput,
            "send descriptors over",
            "",
            format!(
                "{count} are more than the {} that one message carries",
                ancillary::MOST_DESCRIPTORS
            ),
        )
    })
}

/// A message that did not fit: never silently.
#[cold]
pub(super) fn cut(facility: &Facility, name: &Name, len: usize, room: usize) -> Error {
    facility.error(
        Kind::TooBig,
        "receive from",
        name,
        format!("the message had {len} bytes, the buffer {room}; the rest is lost"),
    )
}

/// `Serve` binds and removes its path when dropped, `Join` connects.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Messages>> {
    let name = OsStr::from_bytes(&target.name.to_bytes()).to_owned();
    if opening.role == Role::Join {
        return Ok(Box::new(Socket::connect(name)?));
    }
    let given = &target.options;
    let mut options = Options::new().temporary(true).credentials(true);
    options = options.take_over(given.flag("take-over")?);
    if let Some(mode) = given.mode()? {
        options = options.mode(mode);
    }
    Ok(Box::new(options.bind(name)?))
}

/// Sends a message through a pair.
pub(crate) fn probe() -> Result<()> {
    let (here, there) = pair()?;
    here.try_send(b"probe")?;
    there.try_recv(&mut [0; 8]).map(drop)
}
