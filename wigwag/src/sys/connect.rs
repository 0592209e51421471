//! Connect: `connect(2)` and `accept(2)` with a deadline.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{SocketAddrUnix, SocketFlags};

use super::patience;
use crate::interrupt;
use crate::wait::{Deadline, Wait};

/// Connects a Unix socket of our own, which must be a new one: its flags are changed meanwhile.
///
/// It waits only while the listener's queue is full, which poll cannot tell; `SO_SNDTIMEO` bounds it.
pub(crate) fn unix(
    socket: BorrowedFd<'_>,
    to: &SocketAddrUnix,
    deadline: Deadline,
) -> Result<(), Errno> {
    loop {
        match deadline.remaining() {
            Some(Duration::ZERO) => nonblocking(socket, true)?,
            left => sockopt::set_socket_timeout(socket, Timeout::Send, left.map(at_least_a_tick))?,
        }
        match rustix::net::connect(socket, to) {
            Err(Errno::AGAIN) if !deadline.passed() => {}
            Err(Errno::AGAIN) => return Err(deadline.errno()),
            Err(Errno::INTR) => interrupt::again()?,
            outcome => {
                outcome?;
                break;
            }
        }
    }
    match deadline {
        Deadline::Never => Ok(()),
        _ => {
            nonblocking(socket, false)?;
            sockopt::set_socket_timeout(socket, Timeout::Send, None)
        }
    }
}

/// The kernel takes no time-out for none.
fn at_least_a_tick(left: Duration) -> Duration {
    left.max(Duration::from_micros(1))
}

/// Connects an Internet socket of our own, which must be a new one made with `SOCK_NONBLOCK`;
/// it is blocking afterwards.
pub(crate) fn internet(
    socket: BorrowedFd<'_>,
    to: &SocketAddr,
    deadline: Deadline,
) -> Result<(), Errno> {
    match rustix::net::connect(socket, to) {
        Ok(()) => {}
        Err(Errno::INPROGRESS | Errno::INTR) => {
            match deadline {
                Deadline::Now if patience::is_ready(socket, PollFlags::OUT)? => {}
                _ => patience::ready(socket, PollFlags::OUT, deadline)?,
            }
            sockopt::socket_error(socket)??;
        }
        Err(errno) => return Err(errno),
    }
    nonblocking(socket, false)
}

/// Changes `O_NONBLOCK` of a socket that nobody else has.
pub(crate) fn nonblocking(socket: BorrowedFd<'_>, yes: bool) -> Result<(), Errno> {
    let mut flags = rustix::fs::fcntl_getfl(socket)?;
    flags.set(OFlags::NONBLOCK, yes);
    rustix::fs::fcntl_setfl(socket, flags)
}

/// Waits for a connection at a listening socket, whose flags are not changed. The new socket
/// is close-on-exec and blocking.
///
/// Among several processes that wait at one blocking listener, one that loses the race for
/// a connection waits for the next, beyond its deadline.
pub(crate) fn accept(listener: BorrowedFd<'_>, wait: Wait) -> Result<OwnedFd, Errno> {
    let deadline = Deadline::from(wait);
    loop {
        // A blocking accept knows no deadline: nothing is accepted before it is there.
        match deadline {
            Deadline::Never => {}
            Deadline::Now if !patience::is_ready(listener, PollFlags::IN)? => {
                return Err(Errno::AGAIN);
            }
            Deadline::Now => {}
            Deadline::At(_) => patience::ready(listener, PollFlags::IN, deadline)?,
        }
        match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Err(Errno::INTR) => interrupt::again()?,
            // The client gave up while it waited, or another process was quicker.
            Err(Errno::CONNABORTED) => {}
            Err(Errno::AGAIN) => patience::ready(listener, PollFlags::IN, deadline)?,
            outcome => return outcome,
        }
    }
}
