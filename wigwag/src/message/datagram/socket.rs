//! Socket: sends to and receives from one name or many.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::{Address, BOOKKEEPING, BUFFER, FACILITY, Options, QUEUED, bad_descriptors, cut};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::message::{Credentials, Messages, Note, Received, Sender, no_kind, no_note, transfer};
use crate::name::Name;
use crate::sys::unix_name::{self, Made};
use crate::sys::{ancillary, patience};
use crate::wait::{Deadline, Wait};

/// What one receive brought.
#[derive(Debug)]
pub struct Arrival {
    /// How many bytes were put into the buffer.
    pub len: usize,
    /// Where to answer, if the sender has a name.
    pub from: Option<Address>,
    /// Who sent it, if [credentials](Options::credentials) were asked for.
    pub sender: Option<Credentials>,
    /// Descriptors that came with it, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
}

/// A Unix datagram socket.
pub struct Socket {
    pub(super) fd: OwnedFd,
    pub(super) name: Name,
    pub(super) made: Option<Made>,
}

impl Socket {
    /// Makes a name with the default [`Options`].
    ///
    /// # Errors
    /// Those of [`Options::bind`].
    pub fn bind(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().bind(name)
    }

    /// A socket without a name: to send, not to be answered.
    ///
    /// # Errors
    /// [`Kind::Limit`] when this process or the machine has too many descriptors.
    pub fn unbound() -> Result<Self> {
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
        rustix::net::socket_with(family, SocketType::DGRAM, flags, None)
            .map(Socket::from)
            .map_err(|errno| FACILITY.failed("create", "", errno))
    }

    /// A socket without a name that sends to this one.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when nothing has the name; [`Kind::Disconnected`] when its process is
    /// gone; [`Kind::PermissionDenied`]; [`Kind::BadName`].
    pub fn connect(name: impl AsRef<OsStr>) -> Result<Self> {
        let mut socket = Socket::unbound()?;
        let to = Address::new(name)?;
        socket.connect_to(&to)?;
        socket.name = to.name();
        Ok(socket)
    }

    /// Sends to this address from now on, and receives from it only.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub fn connect_to(&self, to: &Address) -> Result<()> {
        rustix::net::connect(&self.fd, &to.0).map_err(|errno| not_sent(&to.name(), 0, 0, errno))
    }

    /// Sends a message to whom it is connected, waiting while the receiver is full.
    ///
    /// # Errors
    /// [`Kind::TooBig`]; [`Kind::Disconnected`] when the receiver is gone.
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.send_until(message, Deadline::Never)
    }

    /// Sends a message if there is room now.
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
        transfer::send(self.fd.as_fd(), message, deadline)
            .map_err(|errno| not_sent(&self.name, message.len(), self.longest(), errno))
    }

    /// Sends a message to an address, waiting while the receiver is full.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect) and [`send`](Self::send).
    pub fn send_to(&self, message: &[u8], to: &Address) -> Result<()> {
        self.send_to_with(message, to, &[], Wait::Forever)
    }

    /// Sends a message and open descriptors, at most 253, to an address, waiting as long as told.
    /// The caller keeps its descriptors.
    ///
    /// # Errors
    /// As for [`send_to`](Self::send_to); [`Kind::WouldBlock`], [`Kind::TimedOut`];
    /// [`Kind::BadInput`] for too many descriptors; [`Kind::Limit`] when too many are on their way.
    #[doc(alias = "SCM_RIGHTS")]
    pub fn send_to_with(
        &self,
        message: &[u8],
        to: &Address,
        descriptors: &[BorrowedFd<'_>],
        wait: Wait,
    ) -> Result<()> {
        let deadline = wait.into();
        let flags = transfer::send_flags(deadline);
        loop {
            let socket = self.fd.as_fd();
            let sent = match ancillary::send(socket, Some(&to.0), message, descriptors, flags) {
                Err(Errno::AGAIN) => self.room_at(to, deadline),
                Err(Errno::INTR) => interrupt::again(),
                Ok(_) => return Ok(()),
                Err(errno) => Err(errno),
            };
            sent.map_err(|errno| {
                bad_descriptors(descriptors.len(), errno)
                    .unwrap_or_else(|| not_sent(&to.name(), message.len(), self.longest(), errno))
            })?;
        }
    }

    /// Waits until our own buffer has room and then the receiver's queue, which only a socket
    /// that is connected to it can poll for.
    #[cold]
    fn room_at(&self, to: &Address, deadline: Deadline) -> Result<(), Errno> {
        patience::ready(self.fd.as_fd(), PollFlags::OUT, deadline)?;
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
        let watch = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
        rustix::net::connect(&watch, &to.0)?;
        patience::ready(watch.as_fd(), PollFlags::OUT, deadline)
    }

    /// Sends a message and open descriptors, at most 253, to whom it is connected, waiting as
    /// long as told. The caller keeps its descriptors.
    ///
    /// # Errors
    /// As for [`send_to_with`](Self::send_to_with).
    #[doc(alias = "SCM_RIGHTS")]
    pub fn send_descriptors(
        &self,
        message: &[u8],
        descriptors: &[BorrowedFd<'_>],
        wait: Wait,
    ) -> Result<()> {
        let (socket, deadline) = (self.fd.as_fd(), wait.into());
        let flags = transfer::send_flags(deadline);
        patience::retry(socket, PollFlags::OUT, deadline, || {
            ancillary::send(socket, None, message, descriptors, flags)
        })
        .map(drop)
        .map_err(|errno| {
            bad_descriptors(descriptors.len(), errno)
                .unwrap_or_else(|| not_sent(&self.name, message.len(), self.longest(), errno))
        })
    }

    /// Receives a message, waiting while there is none: its length.
    ///
    /// # Errors
    /// [`Kind::TooBig`] when it was longer than the buffer: the rest of it is lost.
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
        let len = transfer::recv(self.fd.as_fd(), buffer, deadline)
            .map_err(|errno| not_received(&self.name, errno))?;
        if len > buffer.len() {
            return Err(cut(&FACILITY, &self.name, len, buffer.len()));
        }
        Ok(len)
    }

    /// Receives a message with its sender and descriptors, waiting while there is none.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv); [`Kind::Limit`] when this process could not open all of the
    /// descriptors: the message is lost with them.
    #[doc(alias = "recvmsg")]
    pub fn recv_from(&self, buffer: &mut [u8]) -> Result<Arrival> {
        self.recv_from_with(buffer, Wait::Forever)
    }

    /// The same, waiting as long as told.
    ///
    /// # Errors
    /// As for [`recv_from`](Self::recv_from); [`Kind::WouldBlock`], [`Kind::TimedOut`].
    pub fn recv_from_with(&self, buffer: &mut [u8], wait: Wait) -> Result<Arrival> {
        let (socket, deadline) = (self.fd.as_fd(), wait.into());
        let flags = transfer::recv_flags(deadline);
        let arrived = patience::retry(socket, PollFlags::IN, deadline, || {
            ancillary::recv(socket, buffer, flags)
        })
        .map_err(|errno| not_received(&self.name, errno))?;
        if arrived.lost {
            return Err(not_received(&self.name, Errno::MFILE));
        }
        if arrived.whole > buffer.len() {
            return Err(cut(&FACILITY, &self.name, arrived.whole, buffer.len()));
        }
        Ok(Arrival {
            len: arrived.len,
            from: arrived
                .address
                .filter(|name| !name.is_unnamed())
                .map(Address),
            sender: arrived.credentials.map(Credentials::from),
            descriptors: arrived.descriptors,
        })
    }

    /// The length of the next message, which is not received; waits while there is none.
    ///
    /// # Errors
    /// What `recv(2)` says.
    #[doc(alias = "MSG_PEEK")]
    pub fn next_len(&self) -> Result<usize> {
        transfer::next_len(self.fd.as_fd(), Deadline::Never)
            .map_err(|errno| not_received(&self.name, errno))
    }

    /// Tells who sent each message, from the next one sent on.
    ///
    /// # Errors
    /// What `setsockopt(2)` says.
    #[doc(alias = "SO_PASSCRED")]
    pub fn pass_credentials(&self, yes: bool) -> Result<()> {
        sockopt::set_socket_passcred(&self.fd, yes)
            .map_err(|errno| FACILITY.failed("ask for credentials at", &self.name, errno))
    }

    /// Bytes a message may have: what the send buffer leaves.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.longest()
    }

    /// The name it is bound to; [`Name::None`] if to none.
    #[must_use]
    pub fn name(&self) -> Name {
        unix_name::own_name(self.fd.as_fd())
    }

    fn longest(&self) -> usize {
        let buffer = sockopt::socket_send_buffer_size(&self.fd).unwrap_or(0);
        buffer.saturating_sub(BOOKKEEPING)
    }
}

#[cold]
fn not_sent(name: &Name, len: usize, longest: usize, errno: Errno) -> Error {
    let error = |kind, cause: String| FACILITY.error(kind, "send to", name, cause);
    match errno {
        Errno::AGAIN => {
            error(Kind::WouldBlock, "the receiver is full".into()).with_detail(QUEUED.to_string())
        }
        Errno::TIMEDOUT => error(
            Kind::TimedOut,
            "the receiver is full, and took nothing within the time".into(),
        )
        .with_detail(QUEUED.to_string()),
        Errno::MSGSIZE => error(
            Kind::TooBig,
            format!("the message has {len} bytes, its longest has {longest}"),
        )
        .with_detail(BUFFER.to_string()),
        Errno::NOTCONN | Errno::DESTADDRREQ => error(
            Kind::BadInput,
            "it is not connected, and no address was given".into(),
        ),
        Errno::PROTOTYPE => error(
            Kind::BadInput,
            "the socket there is no datagram socket".into(),
        ),
        Errno::CONNREFUSED => error(Kind::Disconnected, "its process is gone".into()),
        errno => FACILITY.failed("send to", name, errno),
    }
}

#[cold]
fn not_received(name: &Name, errno: Errno) -> Error {
    let error = |kind, cause: &str| FACILITY.error(kind, "receive from", name, cause);
    match errno {
        Errno::AGAIN => error(Kind::WouldBlock, "no message is there"),
        Errno::TIMEDOUT => error(Kind::TimedOut, "no message came within the time"),
        errno => FACILITY.failed("receive from", name, errno),
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
        let next = transfer::next_len(self.fd.as_fd(), deadline)
            .map_err(|errno| not_received(&self.name, errno))?;
        buffer.resize(next, 0);
        let left = deadline.remaining().map_or(Wait::Forever, Wait::For);
        let arrival = self.recv_from_with(buffer, left)?;
        buffer.truncate(arrival.len);
        Ok(Some(Received {
            note: Note::default(),
            sender: match (arrival.sender, arrival.from) {
                (Some(sender), _) => Some(Sender::from(sender)),
                (None, Some(from)) => Some(Sender::Address(format!("{}:{from}", FACILITY.id))),
                (None, None) => None,
            },
            ..Received::default()
        }))
    }

    fn max_len(&self) -> usize {
        self.longest()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl From<OwnedFd> for Socket {
    /// A socket that was inherited or passed.
    fn from(fd: OwnedFd) -> Self {
        Socket {
            fd,
            name: Name::None,
            made: None,
        }
    }
}

impl From<Socket> for OwnedFd {
    /// The path stays, temporary or not.
    fn from(socket: Socket) -> Self {
        if let Some(made) = socket.made {
            std::mem::forget(made);
        }
        socket.fd
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({}, {:?})", self.name, self.fd)
    }
}
