//! Unix path: whether the socket at a path has a process behind it, and the one way to replace it if not.
//!
//! A socket's path stays when its process is gone, and `bind(2)` then fails. Whoever just
//! unlinks it takes the name from a server that lives; whoever asks first and then unlinks can
//! unlink the path that another starting server made in between. So:
//!
//! 1. [`state`] asks the kernel by connecting a socket of a *type* that cannot be connected
//!    there. No server sees it, and one that is bound but not yet listening is found too.
//! 2. [`lock`] keeps others that take over in the same directory out from before the question
//!    until after `bind(2)`, by a lock on the directory that the kernel drops if we are killed.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::wait::Deadline;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    Free,
    /// A socket to which a process is bound.
    Alive,
    /// A socket whose process is gone.
    Stale,
    /// Another kind of file.
    Foreign,
}

/// Asks what is at `path`. Changes nothing and disturbs nobody.
pub(crate) fn state(path: &Path) -> Result<State, Errno> {
    match rustix::fs::lstat(path) {
        Ok(file) if FileType::from_raw_mode(file.st_mode) == FileType::Socket => {}
        Ok(_) => return Ok(State::Foreign),
        Err(Errno::NOENT) => return Ok(State::Free),
        Err(errno) => return Err(errno),
    }
    let address = SocketAddrUnix::new(path)?;
    // The kernel looks up who is bound first, then compares types (unix(7), EPROTOTYPE).
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    let asker = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    match rustix::net::connect(asker, &address) {
        // A datagram socket is bound there; nothing was sent to it.
        Ok(()) | Err(Errno::PROTOTYPE) => Ok(State::Alive),
        Err(Errno::CONNREFUSED) => Ok(State::Stale),
        Err(Errno::NOENT) => Ok(State::Free),
        Err(errno) => Err(errno),
    }
}

/// Locks the directory of `path` against others that take over a name in it; dropping unlocks.
///
/// # Errors
/// `ETIMEDOUT` when another process holds a lock on the directory for ten seconds; `EACCES`
/// when we may not read the directory.
pub(crate) fn lock(path: &Path) -> Result<OwnedFd, Errno> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    let deadline = Deadline::from(crate::Wait::For(Duration::from_secs(10)));
    loop {
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(directory),
            Err(Errno::WOULDBLOCK) if deadline.passed() => return Err(Errno::TIMEDOUT),
            Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(5)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
