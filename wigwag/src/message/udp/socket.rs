//! Socket: sends to and receives from one address or many.

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::sockopt;

use super::{FACILITY, Interface, MAX_LEN, MAX_LEN_6, Options, failed, nobody_at_port_0, refused};
use crate::error::{Error, Kind, Result};
use crate::message::datagram::cut;
use crate::message::{Messages, Note, Received, Sender, no_kind, no_note, transfer};
use crate::name::Name;
use crate::sys::patience;
use crate::wait::{Deadline, Wait};

/// A UDP socket.
pub struct Socket {
    pub(super) inner: UdpSocket,
    pub(super) name: Name,
    pub(super) six: bool,
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

impl Messages for Socket {
    fn send_with(&self, message: &[u8], note: Note, wait: Wait) -> Result<()> {
        no_note(&FACILITY, &self.name, note)?;
        self.send_until(message, wait.into())
    }

    fn recv_with(
        &self,
        buffer: &mut Vec<u8>,
        kind: Option<i64>,
        wait: Wait,
    ) -> Result<Option<Received>> {
        no_kind(&FACILITY, &self.name, kind)?;
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
