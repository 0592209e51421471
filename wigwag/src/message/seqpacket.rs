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

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::datagram::{self, BOOKKEEPING, BUFFER, IN_FLIGHT, cut};
use super::transfer;
use crate::error::{Error, Kind, Result};
use crate::facility::{Direction, Facility};
use crate::guarantees::Guarantees;
use crate::limit;
use crate::message::{Credentials, Messages, Note, Received, Sender};
use crate::name::Name;
use crate::opening::{Opening, Role, Target};
use crate::sys::unix_name::{self, How, Made};
use crate::sys::{ancillary, connect, patience};
use crate::wait::{Deadline, Wait};

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

    /// Who may connect: those with write permission. Exactly this mode, whatever the umask.
    pub fn mode(mut self, mode: u32) -> Self {
        self.how.mode = Some(mode);
        self
    }

    /// How many connections may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Removes the path when the listener is dropped, if it is still this one's.
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.how.temporary = temporary;
        self
    }

    /// Takes over a path that a dead process left. Of several that start at once exactly one
    /// succeeds; a process that lives is never disturbed. Needs permission to read the directory.
    pub fn take_over(mut self, take_over: bool) -> Self {
        self.how.take_over = take_over;
        self
    }

    /// Makes the name, a path or `@` and an abstract name, and listens.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] when the name is taken; [`Kind::PermissionDenied`],
    /// [`Kind::NotFound`] for the directory; [`Kind::BadName`]; [`Kind::Limit`].
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

/// A name at which clients connect.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    name: Name,
    made: Option<Made>,
}

impl Listener {
    /// Listens with the default [`Options`].
    ///
    /// # Errors
    /// Those of [`Options::listen`].
    pub fn create(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().listen(name)
    }

    /// Waits for a client.
    ///
    /// # Errors
    /// [`Kind::Limit`] when this process has too many descriptors: the client goes on waiting.
    pub fn accept(&self) -> Result<Socket> {
        self.accept_with(Wait::Forever)
    }

    /// Takes a client that waits.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`] when none does.
    pub fn try_accept(&self) -> Result<Socket> {
        self.accept_with(Wait::Not)
    }

    /// Waits for a client at most this long.
    ///
    /// # Errors
    /// [`Kind::TimedOut`] when none came.
    pub fn accept_timeout(&self, limit: Duration) -> Result<Socket> {
        self.accept_with(Wait::For(limit))
    }

    fn accept_with(&self, wait: Wait) -> Result<Socket> {
        connect::accept(self.fd.as_fd(), wait)
            .map(|fd| Socket {
                fd,
                name: self.name.clone(),
            })
            .map_err(|errno| FACILITY.failed("accept a connection at", &self.name, errno))
    }

    /// Clients for ever.
    pub fn incoming(&self) -> impl Iterator<Item = Result<Socket>> + '_ {
        std::iter::repeat_with(|| self.accept())
    }

    /// The name at which it listens.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Listener> for OwnedFd {
    /// The path stays, temporary or not.
    fn from(listener: Listener) -> Self {
        if let Some(made) = listener.made {
            std::mem::forget(made);
        }
        listener.fd
    }
}

impl From<OwnedFd> for Listener {
    /// A listening socket that was inherited or passed.
    fn from(fd: OwnedFd) -> Self {
        let name = unix_name::own_name(fd.as_fd());
        let made = None;
        Listener { fd, name, made }
    }
}

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
    fd: OwnedFd,
    name: Name,
}

/// Makes two connected sockets, for related processes.
///
/// # Errors
/// [`Kind::Limit`] when this process or the machine has too many descriptors.
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
/// [`Kind::NotFound`], [`Kind::PermissionDenied`]; [`Kind::AlreadyExists`] when its process
/// lives; [`Kind::BadInput`] when it is no socket. It stays in all these cases.
pub fn unlink(name: impl AsRef<OsStr>) -> Result<()> {
    unlink_name(&parse(name.as_ref())?)
}

pub(crate) fn unlink_name(name: &Name) -> Result<()> {
    unix_name::unlink(&FACILITY, name)
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
            datagram::bad_descriptors(descriptors.len(), errno)
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

fn new() -> Result<OwnedFd> {
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    rustix::net::socket_with(family, SocketType::SEQPACKET, flags, None)
        .map_err(|errno| FACILITY.failed("create", "", errno))
}

fn parse(name: &OsStr) -> Result<Name> {
    Name::parse(&FACILITY, name.as_bytes())
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
