//! TCP socket: bytes two ways across machines; a byte sent is on the wire, not yet with the peer.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::time::Duration;
//! use wigwag::stream::{Output, tcp};
//!
//! let listener = tcp::Listener::create("localhost:0")?; // port 0: the kernel chooses a free one
//! let mut client = tcp::Stream::connect_timeout(listener.name()?, Duration::from_secs(5))?;
//! let mut server = listener.accept()?;
//!
//! client.write_all(b"hello")?;
//! client.finish()?;
//! let mut text = String::new();
//! server.read_to_string(&mut text)?;
//! assert_eq!(text, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A peer whose machine vanished is noticed only by writing, after minutes, or with
//! [`set_keepalive`](Stream::set_keepalive). Manual pages: `tcp(7)`, `ip(7)`, `ipv6(7)`.

use std::ffi::OsStr;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::error::{Error, Kind, Result};
use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Accepted, Guarantees};
use crate::limit::{self, Limit, Source};
use crate::name::Name;
use crate::opening::{Opening, Role, Target};
use crate::stream::transfer::{descriptor, socket};
use crate::stream::unix::{BACKLOG, SEND_BUFFER};
use crate::sys::connect;
use crate::wait::{Deadline, Wait};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "tcp",
    title: "TCP socket",
    noun: "TCP socket",
    family: Family::Stream,
    naming: Naming::HostPort,
    unnamed_form: false,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Byte),
    direction: Some(Direction::TwoWay),
    reach: Reach::Network,
    pollable: true,
    named_by: "host:port",
    lives: "last process",
    carries: "bytes, two ways, across machines",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        BACKLOG,
        SEND_BUFFER,
        PORTS,
    ],
    guarantees: Guarantees {
        accepted: Accepted::OnTheWire,
        ..Guarantees::STREAM
    },
    man: "tcp(7)",
};

/// The first of the ports given out to connections.
pub(crate) const PORTS: Limit = Limit {
    name: "net.ipv4.ip_local_port_range",
    bounds: "first port given to an outgoing connection",
    source: Source::Sysctl("/proc/sys/net/ipv4/ip_local_port_range", 0),
    errnos: &[libc::EADDRNOTAVAIL],
};

/// How a server listens.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    backlog: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The longest queue.
    pub fn new() -> Self {
        Self {
            backlog: i32::MAX as u32,
        }
    }

    /// How many connections may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Listens at `host:port`. An empty host is every address of this machine, of IPv6 and IPv4
    /// where it has both; port 0 is any free port, see [`Listener::name`].
    ///
    /// # Errors
    /// `AlreadyExists` when the port is taken; `NotFound` when the host name does not resolve;
    /// `PermissionDenied` for ports below 1024; `BadName`, `Limit`.
    pub fn listen(&self, name: impl AsRef<OsStr>) -> Result<Listener> {
        let name = Name::parse(&FACILITY, name.as_ref().as_bytes())?;
        let backlog = i32::try_from(self.backlog).unwrap_or(i32::MAX);
        let mut failure = Errno::ADDRNOTAVAIL;
        for address in resolve("listen at", &name)? {
            match listen(&address, backlog) {
                Ok(socket) => return Ok(Listener(socket)),
                Err(errno) => failure = errno,
            }
        }
        Err(FACILITY.failed("listen at", name, failure))
    }
}

fn listen(address: &SocketAddr, backlog: i32) -> Result<OwnedFd, Errno> {
    let socket = new_socket(address, SocketFlags::CLOEXEC)?;
    // Connections of a server that ended may linger for a minute; its successor need not wait.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    rustix::net::bind(&socket, address)?;
    rustix::net::listen(&socket, backlog)?;
    Ok(socket)
}

fn new_socket(address: &SocketAddr, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
}

/// The addresses a name means, in the order to try. This asks the system's resolver, which
/// knows no time-out of ours.
fn resolve(action: &'static str, name: &Name) -> Result<Vec<SocketAddr>> {
    let Name::HostPort(host, port) = name else {
        return Err(FACILITY.error(Kind::BadName, action, name, "write host:port"));
    };
    let found = match &host[..] {
        // A machine without IPv6 refuses the first.
        "" => ["::", "0.0.0.0"]
            .iter()
            .try_fold(Vec::new(), |mut all, any| {
                all.extend((*any, *port).to_socket_addrs()?);
                io::Result::Ok(all)
            }),
        host => (host, *port).to_socket_addrs().map(Iterator::collect),
    };
    match found {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(unresolved(action, name, host, "it has no address".into())),
        Err(error) => Err(unresolved(action, name, host, error.to_string())),
    }
}

fn unresolved(action: &'static str, name: &Name, host: &str, why: String) -> Error {
    let why = why
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&why);
    let words = format!("the host name {host} does not resolve: {why}");
    FACILITY.error(Kind::NotFound, action, name, words)
}

/// A port at which clients connect.
#[derive(Debug)]
pub struct Listener(OwnedFd);

descriptor!(Listener, Listener);

impl Listener {
    /// Listens with the default [`Options`].
    ///
    /// # Errors
    /// Those of [`Options::listen`].
    pub fn create(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().listen(name)
    }

    /// The address in numbers with the port that the kernel chose: `127.0.0.1:40123`.
    ///
    /// # Errors
    /// What `getsockname(2)` says.
    pub fn name(&self) -> Result<String> {
        let address = rustix::net::getsockname(&self.0).and_then(SocketAddr::try_from);
        address
            .map(|address| address.to_string())
            .map_err(|e| FACILITY.failed("ask for the name of", "", e))
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
            .map(Stream)
            .map_err(|e| {
                FACILITY.failed("accept a connection at", self.name().unwrap_or_default(), e)
            })
    }
}

/// One end of a connection: bytes both ways.
///
/// [`finish`](crate::stream::Output::finish) ends the one way and leaves the other open.
#[derive(Debug)]
pub struct Stream(OwnedFd);

socket!(Stream);

impl Stream {
    /// Connects to `host:port`, trying each address of the host. An empty host is this machine.
    ///
    /// # Errors
    /// `NotFound` when the host name does not resolve; `Disconnected` when nobody listens there.
    pub fn connect(name: impl AsRef<OsStr>) -> Result<Self> {
        Self::connect_with(name, Wait::Forever)
    }

    /// Connects before the time is over; looking up the name is not counted.
    ///
    /// # Errors
    /// `TimedOut`, and those of [`connect`](Self::connect).
    pub fn connect_timeout(name: impl AsRef<OsStr>, limit: Duration) -> Result<Self> {
        Self::connect_with(name, Wait::For(limit))
    }

    /// Connects, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock` when no answer is there at once, and those of the other two.
    pub fn connect_with(name: impl AsRef<OsStr>, wait: Wait) -> Result<Self> {
        let name = Name::parse(&FACILITY, name.as_ref().as_bytes())?;
        let addresses = resolve("connect to", &name)?;
        let deadline = Deadline::from(wait);
        let mut failure = Errno::ADDRNOTAVAIL;
        for address in addresses {
            match connected(&address, deadline) {
                Ok(socket) => return Ok(Stream(socket)),
                Err(errno) => failure = errno,
            }
        }
        Err(FACILITY.failed("connect to", name, failure))
    }

    /// Sends small writes at once instead of gathering them while an answer is awaited (Nagle's
    /// algorithm): for requests and responses.
    ///
    /// # Errors
    /// What `setsockopt(2)` says.
    #[doc(alias = "TCP_NODELAY")]
    pub fn set_nodelay(&self, yes: bool) -> Result<()> {
        sockopt::set_tcp_nodelay(&self.0, yes)
            .map_err(|e| FACILITY.failed("set the delay of", "", e))
    }

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    /// What `getsockopt(2)` says.
    pub fn nodelay(&self) -> Result<bool> {
        sockopt::tcp_nodelay(&self.0).map_err(|e| FACILITY.failed("ask for the delay of", "", e))
    }

    /// Asks the peer for a sign of life after `idle` (whole seconds) without traffic, so that a
    /// machine that vanished ends the connection; `None` never asks.
    ///
    /// # Errors
    /// What `setsockopt(2)` says.
    #[doc(alias = "SO_KEEPALIVE")]
    pub fn set_keepalive(&self, idle: Option<Duration>) -> Result<()> {
        sockopt::set_socket_keepalive(&self.0, idle.is_some())
            .and_then(|()| match idle {
                Some(idle) => sockopt::set_tcp_keepidle(&self.0, idle.max(Duration::from_secs(1))),
                None => Ok(()),
            })
            .map_err(|e| FACILITY.failed("set the keep-alive of", "", e))
    }

    /// The address of the peer, in numbers.
    ///
    /// # Errors
    /// `Disconnected` when the connection is no more.
    pub fn peer(&self) -> Result<SocketAddr> {
        let address = rustix::net::getpeername(&self.0)
            .and_then(|any| SocketAddr::try_from(any.ok_or(Errno::NOTCONN)?));
        address.map_err(|e| FACILITY.failed("ask for the peer of", "", e))
    }

    /// Another handle on the same end. The end is closed when all of them are.
    ///
    /// # Errors
    /// `Limit` when this process has too many descriptors.
    pub fn try_clone(&self) -> Result<Self> {
        let twin = self.0.try_clone().map(Stream);
        twin.map_err(|e| FACILITY.failed("clone", "", e))
    }
}

fn connected(address: &SocketAddr, deadline: Deadline) -> Result<OwnedFd, Errno> {
    let socket = new_socket(address, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    connect::internet(socket.as_fd(), address, deadline)?;
    Ok(socket)
}

impl From<TcpStream> for Stream {
    fn from(std: TcpStream) -> Self {
        Stream(std.into())
    }
}

impl From<Stream> for TcpStream {
    fn from(stream: Stream) -> Self {
        stream.0.into()
    }
}

impl From<TcpListener> for Listener {
    fn from(std: TcpListener) -> Self {
        Listener(std.into())
    }
}

impl From<Listener> for TcpListener {
    fn from(listener: Listener) -> Self {
        listener.0.into()
    }
}

/// Opens by address: `Serve` listens and accepts one connection, `Join` connects.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn super::Stream>> {
    let name = target.name.to_string();
    let stream = match opening.role {
        Role::Join => Stream::connect_with(name, opening.wait)?,
        Role::Serve => {
            let mut listen = Options::new();
            if let Some(backlog) = target.options.value("backlog")? {
                listen = listen.backlog(backlog);
            }
            listen.listen(name)?.accept_with(opening.wait)?
        }
    };
    if target.options.flag("nodelay")? {
        stream.set_nodelay(true)?;
    }
    Ok(Box::new(stream))
}

/// Listens at a free port of this machine, connects to it, and stops: where the loopback
/// interface is down, as in a new network namespace, only the second fails.
pub(crate) fn probe() -> Result<()> {
    // In numbers: a name may not resolve, and that says nothing about TCP.
    let at = |name: &str| -> Result<()> {
        let listener = Listener::create(name)?;
        Stream::connect(listener.name()?).map(drop)
    };
    at("127.0.0.1:0").or_else(|error| at("[::1]:0").map_err(|_| error))
}
