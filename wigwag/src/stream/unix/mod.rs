//! Unix stream socket: bytes two ways on one machine, with descriptors and the peer's credentials.
//!
//! A server makes a [`Listener`] at a path or an `@abstract` name and accepts; a client
//! connects a [`Stream`]. Related processes share a [`pair`]. A path outlives its server: the
//! next one must [take it over](Options::take_over).
//!
//! ```
//! use std::io::{Read, Write};
//! use wigwag::stream::{Output, unix};
//!
//! let path = std::env::temp_dir().join(format!("wigwag-doc-{}", std::process::id()));
//! let listener = unix::Options::new().mode(0o600).temporary(true).listen(&path)?;
//! let mut client = unix::Stream::connect(&path)?;
//! let mut server = listener.accept()?;
//! assert_eq!(server.peer()?.pid, std::process::id().cast_signed());
//!
//! client.write_all(b"hello")?;
//! client.finish()?;
//! let mut text = String::new();
//! server.read_to_string(&mut text)?;
//! assert_eq!(text, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Manual pages: `unix(7)`, `socket(7)`, `cmsg(3)`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::error::Result;
use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::Guarantees;
use crate::limit::{self, Limit, Source};
use crate::name::Name;
use crate::opening::{Opening, Role, Target};
use crate::sys::unix_name;

mod descriptors;
mod listener;
mod stream;

pub use descriptors::Received;
pub use listener::{Listener, Options};
pub use stream::{Peer, Stream};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "unix",
    title: "Unix stream socket",
    noun: "Unix socket",
    family: Family::Stream,
    naming: Naming::Socket,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Byte),
    direction: Some(Direction::TwoWay),
    reach: Reach::Host,
    pollable: true,
    named_by: "path, @abstract, or pair",
    lives: "last process",
    carries: "bytes, two ways, descriptors, credentials",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        BACKLOG,
        DESCRIPTORS,
        IN_FLIGHT,
        SEND_BUFFER,
    ],
    guarantees: Guarantees::STREAM,
    man: "unix(7)",
};

/// Connections that may wait to be accepted.
pub(crate) const BACKLOG: Limit = Limit {
    name: "net.core.somaxconn",
    bounds: "connections that may wait to be accepted",
    source: Source::Sysctl("/proc/sys/net/core/somaxconn", 0),
    errnos: &[],
};

/// Descriptors in one message (`SCM_MAX_FD`).
pub(crate) const DESCRIPTORS: Limit = Limit {
    name: "SCM_MAX_FD",
    bounds: "descriptors passed in one message",
    source: Source::Fixed(253),
    errnos: &[],
};

/// Descriptors on their way, sent and not yet received, of one user.
pub(crate) const IN_FLIGHT: Limit = Limit {
    name: "RLIMIT_NOFILE",
    bounds: "descriptors on their way of one user",
    source: Source::Rlimit(libc::RLIMIT_NOFILE),
    errnos: &[libc::ETOOMANYREFS],
};

/// The greatest send buffer a program may ask for.
pub(crate) const SEND_BUFFER: Limit = Limit {
    name: "net.core.wmem_max",
    bounds: "bytes of a send buffer a program may ask for",
    source: Source::Sysctl("/proc/sys/net/core/wmem_max", 0),
    errnos: &[],
};

/// Makes two connected sockets, for related processes.
///
/// # Errors
/// `Limit` when this process or the machine has too many descriptors.
#[doc(alias = "socketpair")]
pub fn pair() -> Result<(Stream, Stream)> {
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    rustix::net::socketpair(family, SocketType::STREAM, flags, None)
        .map(|(one, other)| (one.into(), other.into()))
        .map_err(|e| FACILITY.failed("create", "", e))
}

/// Removes the name of a socket whose process is gone.
///
/// # Errors
/// `NotFound`, `PermissionDenied`; `AlreadyExists` when its process lives; `BadInput` when the
/// file is something else; `Unsupported` for an abstract name. The file stays in all these cases.
pub fn unlink(name: impl AsRef<OsStr>) -> Result<()> {
    unix_name::unlink(&FACILITY, &parse(name.as_ref())?)
}

fn parse(name: &OsStr) -> Result<Name> {
    Name::parse(&FACILITY, name.as_bytes())
}

/// Opens by address: `Serve` listens, accepts one connection and removes the path, `Join` connects.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn super::Stream>> {
    let options = &target.options;
    let name = OsString::from_vec(target.name.to_bytes());
    match opening.role {
        Role::Join => Ok(Box::new(Stream::connect_with(name, opening.wait)?)),
        Role::Serve => {
            let mut listen = Options::new().temporary(true);
            listen = listen.take_over(options.flag("take-over")?);
            if let Some(mode) = options.mode()? {
                listen = listen.mode(mode);
            }
            if let Some(backlog) = options.value("backlog")? {
                listen = listen.backlog(backlog);
            }
            Ok(Box::new(listen.listen(name)?.accept_with(opening.wait)?))
        }
    }
}

/// The same for the catalog.
pub(crate) fn unlink_name(name: &Name) -> Result<()> {
    unix_name::unlink(&FACILITY, name)
}

/// Makes a pair and drops it.
pub(crate) fn probe() -> Result<()> {
    pair().map(drop)
}
