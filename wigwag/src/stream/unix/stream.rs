//! Stream: one end of a connection.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{FACILITY, parse};
use crate::error::{Kind, Result};
use crate::stream::transfer::socket;
use crate::sys::{ancillary, connect, peer, unix_name};
use crate::wait::Wait;

/// One end of a connection: bytes both ways.
///
/// [`finish`](crate::stream::Output::finish) ends the one way and leaves the other open.
#[derive(Debug)]
pub struct Stream(pub(super) OwnedFd);

socket!(Stream);

/// The process at the other end, as the kernel vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its process id in our pid namespace; 0 when it lies outside.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

impl Stream {
    /// Connects to a server at a path or `@` and an abstract name. Waits only while the server's
    /// queue of connections is full.
    ///
    /// # Errors
    /// `NotFound` when nothing has the name; `Disconnected` when its server is gone;
    /// `PermissionDenied`, `BadName`, `Limit`.
    pub fn connect(name: impl AsRef<OsStr>) -> Result<Self> {
        Self::connect_with(name, Wait::Forever)
    }

    /// Connects if there is room in the server's queue now.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, and those of [`connect`](Self::connect).
    pub fn try_connect(name: impl AsRef<OsStr>) -> Result<Self> {
        Self::connect_with(name, Wait::Not)
    }

    /// Connects if there is room in the server's queue before the time is over.
    ///
    /// # Errors
    /// `TimedOut` when there was none, and those of [`connect`](Self::connect).
    pub fn connect_timeout(name: impl AsRef<OsStr>, limit: Duration) -> Result<Self> {
        Self::connect_with(name, Wait::For(limit))
    }

    /// Connects, waiting as long as told.
    ///
    /// # Errors
    /// Those of the three above.
    pub fn connect_with(name: impl AsRef<OsStr>, wait: Wait) -> Result<Self> {
        let name = parse(name.as_ref())?;
        let to = unix_name::address(&FACILITY, "connect to", &name)?;
        let failed = |errno| FACILITY.failed("connect to", &name, errno);
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
        let socket =
            rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(failed)?;
        connect::unix(socket.as_fd(), &to, wait.into()).map_err(failed)?;
        Ok(Stream(socket))
    }

    /// Who is at the other end: of an accepted connection the process that connected; of
    /// one that we connected the process that listened; of a pair the one that made it. The
    /// kernel noted it at that time: the process may be another by now, or gone, and its id
    /// given to a new one ([`peer_process`](Self::peer_process) is safe against that).
    ///
    /// # Errors
    /// What `getsockopt(2)` says.
    #[doc(alias = "SO_PEERCRED")]
    pub fn peer(&self) -> Result<Peer> {
        ancillary::peer(self.0.as_fd())
            .map(|peer| Peer {
                pid: peer.pid,
                uid: peer.uid,
                gid: peer.gid,
            })
            .map_err(|e| FACILITY.failed("ask for the peer of", "", e))
    }

    /// A descriptor of the process at the other end (pidfd): readable when that ended, and
    /// never another process's. Close-on-exec.
    ///
    /// # Errors
    /// `Disconnected` when it is gone already; `Unsupported` before Linux 6.5.
    #[doc(alias = "SO_PEERPIDFD")]
    pub fn peer_process(&self) -> Result<OwnedFd> {
        peer::process(self.0.as_fd()).map_err(|errno| {
            let error = FACILITY.failed("open the peer process of", "", errno);
            match errno {
                Errno::NOPROTOOPT => error.with_kind(Kind::Unsupported),
                // Before Linux 6.16 one that is gone.
                Errno::INVAL => error.with_kind(Kind::Disconnected),
                _ => error,
            }
        })
    }

    /// Another handle on the same end. The end is closed when all of them are.
    ///
    /// # Errors
    /// `Limit` when this process has too many descriptors.
    pub fn try_clone(&self) -> Result<Self> {
        self.0
            .try_clone()
            .map(Stream)
            .map_err(|e| FACILITY.failed("clone", "", e))
    }
}

impl From<UnixStream> for Stream {
    fn from(std: UnixStream) -> Self {
        Stream(std.into())
    }
}

impl From<Stream> for UnixStream {
    fn from(stream: Stream) -> Self {
        stream.0.into()
    }
}
