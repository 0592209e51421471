//! UDP socket: messages across machines, to one or many; they may get lost, doubled or overtaken.
//!
//! ```
//! use wigwag::message::udp::Socket;
//!
//! let server = Socket::bind("127.0.0.1:0")?;
//! let client = Socket::connect(&server.local()?.to_string())?;
//! client.send(b"ping")?;
//! let mut buffer = [0; 64];
//! let (len, from) = server.recv_from(&mut buffer)?;
//! server.send_to(&buffer[..len], from)?;
//! assert_eq!(client.recv(&mut buffer)?, 4);
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! A message that is longer than the buffer is an error that says so; the rest of it is lost.
//! That nobody listens at the other end is told, if the other machine tells it, at a later send
//! or receive of a connected socket, as [`Kind::Disconnected`]: the call that reports it has
//! sent or received nothing.
//!
//! `udp(7)`, `ip(7)`, `ipv6(7)`.

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::datagram::cut;
use super::transfer;
use crate::error::{Error, Kind, Result};
use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{
    Accepted, Delivery, Durability, FanOut, Guarantees, Order, Overflow, PeerDeath,
};
use crate::limit::{self, Limit, Source};
use crate::message::{Messages, Note, Received, Sender};
use crate::name::Name;
use crate::opening::{Opening, Role, Target};
use crate::sys::patience;
use crate::wait::{Deadline, Wait};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "udp",
    title: "UDP socket",
    noun: "UDP socket",
    family: Family::Message,
    naming: Naming::HostPort,
    unnamed_form: false,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Message),
    direction: Some(Direction::Many),
    reach: Reach::Network,
    pollable: true,
    named_by: "host:port",
    lives: "last process",
    carries: "messages, unreliable, across machines",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        Limit {
            name: "the length field of IP",
            bounds: "bytes of one message over IPv4",
            source: Source::Fixed(65507),
            errnos: &[libc::EMSGSIZE],
        },
    ],
    guarantees: Guarantees {
        delivery: Delivery::BestEffort,
        accepted: Accepted::OnTheWire,
        order: Order::None,
        durability: Durability::Process,
        fan_out: FanOut::Either,
        overflow: Overflow::DropsNewest,
        duplicates: true,
        peer_death: PeerDeath::Unnoticed,
    },
    man: "udp(7)",
};

/// The longest message over IPv4: 65535 bytes less the headers of IP and UDP.
pub const MAX_LEN: usize = 65507;
/// The longest message over IPv6, whose header does not count.
const MAX_LEN_6: usize = 65527;

/// How a socket is made.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Options {
    groups: Vec<IpAddr>,
    interface: Option<Interface>,
    ttl: Option<u32>,
    quiet: bool,
    broadcast: bool,
    reuse: bool,
}

/// Which interface multicast goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interface {
    /// The one that has this address (IPv4).
    Address(Ipv4Addr),
    /// By index, as `ip link` shows it.
    Index(u32),
}

impl Options {
    /// One host to one host.
    pub fn new() -> Self {
        Options::default()
    }

    /// Receives what is sent to this multicast group, too.
    #[doc(alias = "IP_ADD_MEMBERSHIP")]
    pub fn group(mut self, group: IpAddr) -> Self {
        self.groups.push(group);
        self
    }

    /// Joins groups and sends to them through this interface; the system chooses otherwise.
    #[doc(alias = "IP_MULTICAST_IF")]
    pub fn interface(mut self, interface: Interface) -> Self {
        self.interface = Some(interface);
        self
    }

    /// Through how many routers multicast goes; 1 otherwise: it stays in the network.
    #[doc(alias = "IP_MULTICAST_TTL")]
    pub fn ttl(mut self, hops: u32) -> Self {
        self.ttl = Some(hops);
        self
    }

    /// Whether receivers of this machine get the multicast that it sends; they do otherwise.
    #[doc(alias = "IP_MULTICAST_LOOP")]
    pub fn looped(mut self, yes: bool) -> Self {
        self.quiet = !yes;
        self
    }

    /// Allows sending to all hosts of a network.
    #[doc(alias = "SO_BROADCAST")]
    pub fn broadcast(mut self, yes: bool) -> Self {
        self.broadcast = yes;
        self
    }

    /// Allows several sockets at one port: each gets what is sent to a group, one of them what
    /// is sent to the host.
    #[doc(alias = "SO_REUSEADDR")]
    pub fn reuse(mut self, yes: bool) -> Self {
        self.reuse = yes;
        self
    }

    /// Receives at `host:port`; port 0 is any that is free, no host is every address of this
    /// machine. A host that is a multicast group is joined, with [`reuse`](Self::reuse).
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] when the port is taken; [`Kind::NotFound`] for a host that has no
    /// address or an address that is not of this machine; [`Kind::PermissionDenied`].
    pub fn bind(&self, name: impl AsRef<OsStr>) -> Result<Socket> {
        let name = parse(name.as_ref())?;
        let mut last = None;
        for address in resolve("bind", &name, true)? {
            match self.bind_address(address, &name) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| failed("bind", &name, Errno::ADDRNOTAVAIL)))
    }

    /// Sends to `host:port`, and receives from there only.
    ///
    /// # Errors
    /// [`Kind::NotFound`] for a host that has no address; [`Kind::PermissionDenied`] for a
    /// broadcast address unless [`broadcast`](Self::broadcast) is on.
    pub fn connect(&self, name: impl AsRef<OsStr>) -> Result<Socket> {
        let name = parse(name.as_ref())?;
        if matches!(name, Name::HostPort(_, 0)) {
            return Err(nobody_at_port_0("connect to", &name));
        }
        let mut last = None;
        for address in resolve("connect to", &name, false)? {
            let socket = self.new_socket(address, &name)?;
            match rustix::net::connect(&socket.inner, &address) {
                Ok(()) => return Ok(socket),
                Err(errno) => last = Some(failed("connect to", &name, errno)),
            }
        }
        Err(last.unwrap_or_else(|| failed("connect to", &name, Errno::ADDRNOTAVAIL)))
    }

    fn bind_address(&self, address: SocketAddr, name: &Name) -> Result<Socket> {
        let group = Some(address.ip()).filter(IpAddr::is_multicast);
        let socket = self.new_socket(address, name)?;
        let set = |errno| failed("bind", name, errno);
        if self.reuse || group.is_some() {
            sockopt::set_socket_reuseaddr(&socket.inner, true).map_err(set)?;
        }
        rustix::net::bind(&socket.inner, &address).map_err(set)?;
        for group in self.groups.iter().copied().chain(group) {
            socket.join(group, self.interface)?;
        }
        Ok(socket)
    }

    fn new_socket(&self, address: SocketAddr, name: &Name) -> Result<Socket> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let set = |errno| failed("set up", name, errno);
        let flags = SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(family, SocketType::DGRAM, flags, Some(ipproto::UDP))
            .map_err(set)?;
        if self.broadcast {
            sockopt::set_socket_broadcast(&fd, true).map_err(set)?;
        }
        let six = address.is_ipv6();
        if let Some(hops) = self.ttl {
            if six {
                sockopt::set_ipv6_multicast_hops(&fd, hops).map_err(set)?;
            } else {
                sockopt::set_ip_multicast_ttl(&fd, hops).map_err(set)?;
            }
        }
        if self.quiet {
            if six {
                sockopt::set_ipv6_multicast_loop(&fd, false).map_err(set)?;
            } else {
                sockopt::set_ip_multicast_loop(&fd, false).map_err(set)?;
            }
        }
        match self.interface {
            None => {}
            Some(Interface::Index(index)) if six => {
                sockopt::set_ipv6_multicast_if(&fd, index).map_err(set)?;
            }
            Some(Interface::Index(index)) => {
                let (group, own) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED);
                sockopt::set_ip_multicast_if_with_ifindex(&fd, &group, &own, index).map_err(set)?;
            }
            Some(Interface::Address(own)) if !six => {
                sockopt::set_ip_multicast_if(&fd, &own).map_err(set)?;
            }
            Some(Interface::Address(_)) => {
                let why = "over IPv6 an interface is named by its index";
                return Err(FACILITY.error(Kind::BadInput, "set up", name, why));
            }
        }
        Ok(Socket {
            inner: UdpSocket::from(fd),
            name: name.clone(),
            six,
        })
    }
}

/// A UDP socket.
pub struct Socket {
    inner: UdpSocket,
    name: Name,
    six: bool,
}

impl Socket {
    /// Receives at `host:port` with the default [`Options`].
    ///
    /// # Errors
    /// Those of [`Options::bind`].
    pub fn bind(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().bind(name)
    }

    /// Sends to `host:port` with the default [`Options`].
    ///
    /// # Errors
    /// Those of [`Options::connect`].
    pub fn connect(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().connect(name)
    }

    /// Sends a message to whom it is connected, waiting while our own buffer is full.
    ///
    /// # Errors
    /// [`Kind::TooBig`]; [`Kind::Disconnected`] when the other machine said that nobody listens.
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.send_until(message, Deadline::Never)
    }

    /// Sends a message if there is room in our own buffer now.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`]; as for [`send`](Self::send).
    #[inline]
    pub fn try_send(&self, message: &[u8]) -> Result<()> {
        self.send_until(message, Deadline::Now)
    }

    /// Sends a message, waiting at most this long.
    ///
    /// # Errors
    /// [`Kind::TimedOut`]; as for [`send`](Self::send).
    pub fn send_timeout(&self, message: &[u8], limit: Duration) -> Result<()> {
        self.send_until(message, Wait::For(limit).into())
    }

    #[inline]
    fn send_until(&self, message: &[u8], deadline: Deadline) -> Result<()> {
        transfer::send(self.inner.as_fd(), message, deadline)
            .map_err(|errno| self.not_sent(&self.name, message.len(), errno))
    }

    /// Sends a message to an address.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn send_to(&self, message: &[u8], to: SocketAddr) -> Result<()> {
        if to.port() == 0 {
            let name = Name::HostPort(to.ip().to_string(), 0);
            return Err(nobody_at_port_0("send to", &name));
        }
        // A socket that takes both kinds sends to the IPv4 addresses in their IPv6 form.
        let to = match to {
            SocketAddr::V4(to) if self.six => {
                SocketAddr::from((to.ip().to_ipv6_mapped(), to.port()))
            }
            to => to,
        };
        let flags = transfer::send_flags(Deadline::Never);
        let socket = self.inner.as_fd();
        patience::retry(socket, PollFlags::OUT, Deadline::Never, || {
            rustix::net::sendto(socket, message, flags, &to)
        })
        .map(drop)
        .map_err(|errno| {
            let name = Name::HostPort(to.ip().to_canonical().to_string(), to.port());
            self.not_sent(&name, message.len(), errno)
        })
    }

    /// Receives a message, waiting while there is none: its length.
    ///
    /// # Errors
    /// [`Kind::TooBig`] when it was longer than the buffer: the rest of it is lost;
    /// [`Kind::Disconnected`] when the other machine said that nobody listens.
    #[inline]
    pub fn recv(&self, buffer: &mut [u8]) -> Result<usize> {
        self.recv_until(buffer, Deadline::Never)
    }

    /// Receives a message if there is one now.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`]; as for [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&self, buffer: &mut [u8]) -> Result<usize> {
        self.recv_until(buffer, Deadline::Now)
    }

    /// Receives a message, waiting at most this long.
    ///
    /// # Errors
    /// [`Kind::TimedOut`]; as for [`recv`](Self::recv).
    pub fn recv_timeout(&self, buffer: &mut [u8], limit: Duration) -> Result<usize> {
        self.recv_until(buffer, Wait::For(limit).into())
    }

    #[inline]
    fn recv_until(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        let len = transfer::recv(self.inner.as_fd(), buffer, deadline)
            .map_err(|errno| self.not_received(errno))?;
        if len > buffer.len() {
            return Err(cut(&FACILITY, &self.name, len, buffer.len()));
        }
        Ok(len)
    }

    /// Receives a message, waiting while there is none: its length and where it came from.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        self.recv_from_with(buffer, Wait::Forever)
    }

    /// The same, waiting as long as told.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv); [`Kind::WouldBlock`], [`Kind::TimedOut`].
    pub fn recv_from_with(&self, buffer: &mut [u8], wait: Wait) -> Result<(usize, SocketAddr)> {
        let (socket, deadline) = (self.inner.as_fd(), wait.into());
        let flags = transfer::recv_flags(deadline);
        let (len, from) = patience::retry(socket, PollFlags::IN, deadline, || {
            rustix::net::recvfrom(socket, &mut *buffer, flags).map(|(_, len, from)| (len, from))
        })
        .map_err(|errno| self.not_received(errno))?;
        if len > buffer.len() {
            return Err(cut(&FACILITY, &self.name, len, buffer.len()));
        }
        let from = from.and_then(|any| SocketAddr::try_from(any).ok());
        let from = from.ok_or_else(|| self.not_received(Errno::AFNOSUPPORT))?;
        Ok((len, SocketAddr::new(from.ip().to_canonical(), from.port())))
    }

    /// Receives what is sent to a multicast group from now on.
    ///
    /// # Errors
    /// [`Kind::BadInput`] when it is no multicast address, or of the other kind than the socket;
    /// [`Kind::NotFound`] when there is no such interface.
    #[doc(alias = "IP_ADD_MEMBERSHIP")]
    pub fn join(&self, group: IpAddr, interface: Option<Interface>) -> Result<()> {
        let refused =
            |why: &str| Err(FACILITY.error(Kind::BadInput, "join group with", group, why));
        if !group.is_multicast() {
            return refused("it is no multicast address");
        }
        let any = Ipv4Addr::UNSPECIFIED;
        match (group, interface) {
            (IpAddr::V4(_), _) if self.six => {
                return refused("an IPv6 socket joins IPv6 groups only");
            }
            (IpAddr::V6(_), _) if !self.six => {
                return refused("an IPv4 socket joins IPv4 groups only");
            }
            (IpAddr::V6(_), Some(Interface::Address(_))) => {
                return refused("over IPv6 an interface is named by its index");
            }
            (IpAddr::V4(group), None) => sockopt::set_ip_add_membership(&self.inner, &group, &any),
            (IpAddr::V4(group), Some(Interface::Address(own))) => {
                sockopt::set_ip_add_membership(&self.inner, &group, &own)
            }
            (IpAddr::V4(group), Some(Interface::Index(index))) => {
                sockopt::set_ip_add_membership_with_ifindex(&self.inner, &group, &any, index)
            }
            (IpAddr::V6(group), None) => sockopt::set_ipv6_add_membership(&self.inner, &group, 0),
            (IpAddr::V6(group), Some(Interface::Index(index))) => {
                sockopt::set_ipv6_add_membership(&self.inner, &group, index)
            }
        }
        .map_err(|errno| {
            let error = FACILITY.failed("join group with", group, errno);
            match errno {
                Errno::NODEV => error
                    .with_kind(Kind::NotFound)
                    .with_hint("name an interface: no route leads to the group"),
                _ => error,
            }
        })
    }

    /// Where it receives.
    ///
    /// # Errors
    /// What `getsockname(2)` says.
    #[doc(alias = "getsockname")]
    pub fn local(&self) -> Result<SocketAddr> {
        self.inner
            .local_addr()
            .map_err(|cause| FACILITY.failed("look at", &self.name, cause))
    }

    /// Bytes a message may have.
    #[must_use]
    pub fn max_len(&self) -> usize {
        if self.six { MAX_LEN_6 } else { MAX_LEN }
    }

    #[cold]
    fn not_sent(&self, name: &Name, len: usize, errno: Errno) -> Error {
        let error = |kind, cause: String| FACILITY.error(kind, "send to", name, cause);
        match errno {
            Errno::AGAIN => error(Kind::WouldBlock, "our own buffer is full".into()),
            Errno::TIMEDOUT => error(Kind::TimedOut, "our own buffer stayed full".into()),
            Errno::MSGSIZE => error(
                Kind::TooBig,
                format!(
                    "the message has {len} bytes, its longest has {}",
                    self.max_len()
                ),
            ),
            Errno::DESTADDRREQ => error(
                Kind::BadInput,
                "it is not connected, and no address was given".into(),
            ),
            Errno::CONNREFUSED => refused("send to", name),
            Errno::ACCESS => FACILITY
                .failed("send to", name, errno)
                .with_hint("a broadcast address needs the option broadcast"),
            errno => failed("send to", name, errno),
        }
    }

    #[cold]
    fn not_received(&self, errno: Errno) -> Error {
        let error = |kind, cause: &str| FACILITY.error(kind, "receive from", &self.name, cause);
        match errno {
            Errno::AGAIN => error(Kind::WouldBlock, "no message is there"),
            Errno::TIMEDOUT => error(Kind::TimedOut, "no message came within the time"),
            Errno::CONNREFUSED => refused("receive from", &self.name),
            errno => failed("receive from", &self.name, errno),
        }
    }
}

#[cold]
fn refused(action: &'static str, name: &Name) -> Error {
    let why = "nobody listens there, as the other machine said of an earlier message";
    FACILITY.error(Kind::Disconnected, action, name, why)
}

#[cold]
fn failed(action: &'static str, name: &Name, errno: Errno) -> Error {
    let error = FACILITY.failed(action, name, errno);
    match errno {
        Errno::ADDRNOTAVAIL => error.with_kind(Kind::NotFound),
        _ => error,
    }
}

/// The kernel would take the message and drop it.
#[cold]
fn nobody_at_port_0(action: &'static str, name: &Name) -> Error {
    FACILITY.error(Kind::BadInput, action, name, "nobody can listen at port 0")
}

fn parse(name: &OsStr) -> Result<Name> {
    Name::parse(&FACILITY, name.as_bytes())
}

/// The addresses of a name; no host is every address of this machine (`own`), or itself.
fn resolve(action: &'static str, name: &Name, own: bool) -> Result<Vec<SocketAddr>> {
    let Name::HostPort(host, port) = name else {
        return Err(FACILITY.error(Kind::BadName, action, name, "it is host:port"));
    };
    if host.is_empty() {
        let hosts: [IpAddr; 2] = if own {
            [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()]
        } else {
            [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        };
        return Ok(hosts.map(|host| SocketAddr::new(host, *port)).to_vec());
    }
    (host.as_str(), *port)
        .to_socket_addrs()
        .map(Iterator::collect)
        .map_err(|cause| {
            let why = cause.to_string();
            FACILITY.error(Kind::NotFound, action, name, why)
        })
}

impl Messages for Socket {
    fn send_with(&self, message: &[u8], note: Note, wait: Wait) -> Result<()> {
        super::no_note(&FACILITY, &self.name, note)?;
        self.send_until(message, wait.into())
    }

    fn recv_with(
        &self,
        buffer: &mut Vec<u8>,
        kind: Option<i64>,
        wait: Wait,
    ) -> Result<Option<Received>> {
        super::no_kind(&FACILITY, &self.name, kind)?;
        let deadline = wait.into();
        let next = transfer::next_len(self.inner.as_fd(), deadline)
            .map_err(|errno| self.not_received(errno))?;
        buffer.resize(next, 0);
        let left = deadline.remaining().map_or(Wait::Forever, Wait::For);
        let (len, from) = self.recv_from_with(buffer, left)?;
        buffer.truncate(len);
        Ok(Some(Received {
            note: Note::default(),
            sender: Some(Sender::Address(format!("{}:{from}", FACILITY.id))),
            ..Received::default()
        }))
    }

    fn max_len(&self) -> usize {
        Socket::max_len(self)
    }
}

/// `Serve` binds, `Join` connects.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Messages>> {
    let given = &target.options;
    let mut options = Options::new()
        .broadcast(given.flag("broadcast")?)
        .reuse(given.flag("reuse")?)
        .looped(given.get("loop").is_none() || given.flag("loop")?);
    if let Some(group) = given.value::<IpAddr>("group")? {
        options = options.group(group);
    }
    if let Some(hops) = given.value::<u8>("ttl")? {
        options = options.ttl(hops.into());
    }
    if let Some(text) = given.get("interface") {
        let index = text.parse().map(Interface::Index).ok();
        let address = || text.parse().map(Interface::Address).ok();
        let interface = index
            .or_else(address)
            .ok_or_else(|| given.bad("interface", "it is an index, or the IPv4 address it has"))?;
        options = options.interface(interface);
    }
    let name = OsStr::from_bytes(&target.name.to_bytes()).to_owned();
    Ok(Box::new(match opening.role {
        Role::Serve => options.bind(name)?,
        Role::Join => options.connect(name)?,
    }))
}

/// Sends a message from one socket of this machine to another.
pub(crate) fn probe() -> Result<()> {
    let server = Socket::bind("localhost:0")?;
    let client = Socket::connect(server.local()?.to_string())?;
    client.try_send(b"probe")?;
    server
        .recv_timeout(&mut [0; 8], Duration::from_secs(5))
        .map(drop)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl From<UdpSocket> for Socket {
    fn from(inner: UdpSocket) -> Self {
        let six = inner.local_addr().is_ok_and(|own| own.is_ipv6());
        let name = inner.peer_addr().or_else(|_| inner.local_addr());
        let name = name.map_or(Name::None, |address| {
            Name::HostPort(address.ip().to_string(), address.port())
        });
        Socket { inner, name, six }
    }
}

impl From<OwnedFd> for Socket {
    /// A socket that was inherited or passed.
    fn from(fd: OwnedFd) -> Self {
        Socket::from(UdpSocket::from(fd))
    }
}

impl From<Socket> for UdpSocket {
    fn from(socket: Socket) -> Self {
        socket.inner
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.inner.into()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({}, {:?})", self.name, self.inner)
    }
}
