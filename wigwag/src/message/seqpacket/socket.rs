//! Socket: one end of a connection.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::sockopt;

use super::{FACILITY, new, parse};
use crate::error::{Error, Kind, Result};
use crate::message::datagram::{BOOKKEEPING, BUFFER, bad_descriptors, cut};
use crate::message::{Credentials, Messages, Note, Received, Sender, no_kind, no_note, transfer};
use crate::name::Name;
use crate::sys::{ancillary, connect, patience, unix_name};
use crate::wait::{Deadline, Wait};

/// What one receive brought.
#[derive(Debug)]
pub struct Arrival {
    /// How many bytes were put into the buffer.
    pub len: usize,
    /// Who sent it, if [credentials](Socket::pass_credentials) were asked for.
    pub sender: Option<Credentials>,
    /// Descriptors that came with it, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
}

/// One end of a connection.
pub struct Socket {
    pub(super) fd: OwnedFd,
    pub(super) name: Name,
}

impl Socket {
    /// Connects to a server. Waits only while the server's queue of connections is full.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when nothing has the name; [`Kind::Disconnected`] when its server is
    /// gone; [`Kind::PermissionDenied`]; [`Kind::BadName`]; [`Kind::Limit`].
    pub fn connect(name: impl AsRef<OsStr>) -> Result<Self> {
        Socket::connect_with(name, Wait::Forever)
    }

    /// The same, waiting as long as told.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect); [`Kind::WouldBlock`], [`Kind::TimedOut`].
    pub fn connect_with(name: impl AsRef<OsStr>, wait: Wait) -> Result<Self> {
        let name = parse(name.as_ref())?;
        let to = unix_name::address(&FACILITY, "connect to", &name)?;
        let fd = new()?;
        connect::unix(fd.as_fd(), &to, wait.into()).map_err(|errno| {
            let error = |kind, why| FACILITY.error(kind, "connect to", &name, why);
            match errno {
                Errno::CONNREFUSED => error(Kind::Disconnected, "nobody listens there"),
                Errno::PROTOTYPE => {
                    error(Kind::BadInput, "the socket there is no seqpacket socket")
                }
                Errno::AGAIN => error(Kind::WouldBlock, "the queue of connections is full"),
                Errno::TIMEDOUT => error(Kind::TimedOut, "the queue of connections is full"),
                errno => FACILITY.failed("connect to", &name, errno),
            }
        })?;
        Ok(Socket { fd, name })
    }

    /// Sends a message, waiting while the other end is full.
    ///
    /// # Errors
    /// [`Kind::TooBig`]; [`Kind::Disconnected`] when the other end is gone.
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
            .map_err(|errno| self.not_sent(message.len(), errno))
    }

    /// Sends a message and open descriptors, at most 253, waiting as long as told. The caller
    /// keeps its descriptors.
    ///
    /// # Errors
    /// As for [`send`](Self::send); [`Kind::BadInput`] for too many; [`Kind::Limit`] when more
    /// are on their way than `RLIMIT_NOFILE` allows.
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
                .unwrap_or_else(|| self.not_sent(message.len(), errno))
        })
    }

    /// Receives a message, waiting while there is none: its length; `None` at the end.
    ///
    /// # Errors
    /// [`Kind::TooBig`] when it was longer than the buffer: the rest of it is lost.
    /// [`Kind::Disconnected`] once when the other end was closed without having received all;
    /// what it sent before can still be received.
    #[inline]
    pub fn recv(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.recv_until(buffer, Deadline::Never)
    }

    /// Receives a message if there is one now.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`]; as for [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.recv_until(buffer, Deadline::Now)
    }

    /// Receives a message, waiting at most this long.
    ///
    /// # Errors
    /// [`Kind::TimedOut`]; as for [`recv`](Self::recv).
    pub fn recv_timeout(&self, buffer: &mut [u8], limit: Duration) -> Result<Option<usize>> {
        self.recv_until(buffer, Wait::For(limit).into())
    }

    #[inline]
    fn recv_until(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<usize>> {
        let len = transfer::recv(self.fd.as_fd(), buffer, deadline)
            .map_err(|errno| self.not_received(errno))?;
        match len {
            0 if self.ended() => Ok(None),
            len if len > buffer.len() => Err(cut(&FACILITY, &self.name, len, buffer.len())),
            len => Ok(Some(len)),
        }
    }

    /// Whether receiving nothing was the end, not an empty message.
    #[cold]
    fn ended(&self) -> bool {
        let hung_up = patience::is_ready(self.fd.as_fd(), PollFlags::RDHUP);
        // More messages behind it prove that it was one.
        hung_up == Ok(true) && transfer::next_len(self.fd.as_fd(), Deadline::Now) == Ok(0)
    }

    /// Receives a message with its sender and descriptors, waiting while there is none; `None`
    /// at the end.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv); [`Kind::Limit`] when this process could not open all of the
    /// descriptors: the message is lost with them.
    #[doc(alias = "recvmsg")]
    pub fn recv_from(&self, buffer: &mut [u8]) -> Result<Option<Arrival>> {
        self.recv_from_with(buffer, Wait::Forever)
    }

    /// The same, waiting as long as told.
    ///
    /// # Errors
    /// As for [`recv_from`](Self::recv_from); [`Kind::WouldBlock`], [`Kind::TimedOut`].
    pub fn recv_from_with(&self, buffer: &mut [u8], wait: Wait) -> Result<Option<Arrival>> {
        let (socket, deadline) = (self.fd.as_fd(), wait.into());
        let flags = transfer::recv_flags(deadline);
        let arrived = patience::retry(socket, PollFlags::IN, deadline, || {
            ancillary::recv(socket, buffer, flags)
        })
        .map_err(|errno| self.not_received(errno))?;
        if arrived.lost {
            return Err(self.not_received(Errno::MFILE));
        }
        if arrived.whole > buffer.len() {
            return Err(cut(&FACILITY, &self.name, arrived.whole, buffer.len()));
        }
        let bare = arrived.credentials.is_none() && arrived.descriptors.is_empty();
        if arrived.whole == 0 && bare && self.ended() {
            return Ok(None);
        }
        Ok(Some(Arrival {
            len: arrived.len,
            sender: arrived.credentials.map(Credentials::from),
            descriptors: arrived.descriptors,
        }))
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

    /// Who is at the other end: who connected, listened, or made the pair.
    ///
    /// # Errors
    /// What `getsockopt(2)` says.
    #[doc(alias = "SO_PEERCRED")]
    pub fn peer(&self) -> Result<Credentials> {
        ancillary::peer(self.fd.as_fd())
            .map(Credentials::from)
            .map_err(|errno| FACILITY.failed("look at the peer of", &self.name, errno))
    }

    /// Says that nothing more will be sent: the other end receives what was sent, then `None`.
    ///
    /// # Errors
    /// What `shutdown(2)` says.
    pub fn finish(&self) -> Result<()> {
        rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Write)
            .map_err(|errno| FACILITY.failed("finish", &self.name, errno))
    }

    /// Bytes a message may have: what the send buffer leaves.
    #[must_use]
    pub fn max_len(&self) -> usize {
        let buffer = sockopt::socket_send_buffer_size(&self.fd).unwrap_or(0);
        buffer.saturating_sub(BOOKKEEPING)
    }

    #[cold]
    fn not_sent(&self, len: usize, errno: Errno) -> Error {
        let error = |kind, cause: String| FACILITY.error(kind, "send to", &self.name, cause);
        match errno {
            Errno::AGAIN => error(Kind::WouldBlock, "the other end is full".into()),
            Errno::TIMEDOUT => error(
                Kind::TimedOut,
                "the other end is full, and received nothing within the time".into(),
            ),
            Errno::MSGSIZE => error(
                Kind::TooBig,
                format!(
                    "the message has {len} bytes, its longest has {}",
                    self.max_len()
                ),
            )
            .with_detail(BUFFER.to_string()),
            Errno::PIPE | Errno::CONNRESET => {
                error(Kind::Disconnected, "the other end is closed".into())
            }
            errno => FACILITY.failed("send to", &self.name, errno),
        }
    }

    #[cold]
    fn not_received(&self, errno: Errno) -> Error {
        let error = |kind, cause: &str| FACILITY.error(kind, "receive from", &self.name, cause);
        match errno {
            Errno::AGAIN => error(Kind::WouldBlock, "no message is there"),
            Errno::TIMEDOUT => error(Kind::TimedOut, "no message came within the time"),
            Errno::CONNRESET => error(
                Kind::Disconnected,
                "the other end was closed without having received all that was sent to it",
            ),
            errno => FACILITY.failed("receive from", &self.name, errno),
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
        let next = transfer::next_len(self.fd.as_fd(), deadline)
            .map_err(|errno| self.not_received(errno))?;
        buffer.resize(next, 0);
        let left = deadline.remaining().map_or(Wait::Forever, Wait::For);
        let Some(arrival) = self.recv_from_with(buffer, left)? else {
            buffer.clear();
            return Ok(None);
        };
        buffer.truncate(arrival.len);
        // A message that was sent before we asked for credentials has none.
        let sender = arrival.sender.filter(|sender| sender.pid != 0);
        Ok(Some(Received {
            note: Note::default(),
            sender: sender.or_else(|| self.peer().ok()).map(Sender::from),
            ..Received::default()
        }))
    }

    fn max_len(&self) -> usize {
        Socket::max_len(self)
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
        }
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.fd
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({}, {:?})", self.name, self.fd)
    }
}
