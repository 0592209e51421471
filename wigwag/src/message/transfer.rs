//! Transfer: sends and receives messages at a socket, bounded in time, and never cut in silence.

use std::os::fd::BorrowedFd;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags};

use crate::sys::patience;
use crate::wait::Deadline;

/// Sends to the peer of a connected socket.
#[inline]
pub(super) fn send(
    socket: BorrowedFd<'_>,
    message: &[u8],
    deadline: Deadline,
) -> Result<(), Errno> {
    let flags = send_flags(deadline);
    patience::retry(socket, PollFlags::OUT, deadline, || {
        net::send(socket, message, flags)
    })
    .map(drop)
}

/// Receives: the length of the message, which is greater than the buffer's if it was cut.
#[inline]
pub(super) fn recv(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    deadline: Deadline,
) -> Result<usize, Errno> {
    let flags = recv_flags(deadline);
    patience::retry(socket, PollFlags::IN, deadline, || {
        net::recv(socket, &mut *buffer, flags).map(|(_, len)| len)
    })
}

/// The length of the next message, which stays where it is.
pub(super) fn next_len(socket: BorrowedFd<'_>, deadline: Deadline) -> Result<usize, Errno> {
    let flags = recv_flags(deadline) | RecvFlags::PEEK;
    patience::retry(socket, PollFlags::IN, deadline, || {
        net::recv(socket, &mut [0u8; 1][..], flags).map(|(_, len)| len)
    })
}

/// Never `SIGPIPE`; a deadline is kept by waiting outside of the call.
#[inline]
pub(super) fn send_flags(deadline: Deadline) -> SendFlags {
    match deadline {
        Deadline::Never => SendFlags::NOSIGNAL,
        _ => SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT),
    }
}

/// With the whole length of a message that does not fit.
#[inline]
pub(super) fn recv_flags(deadline: Deadline) -> RecvFlags {
    match deadline {
        Deadline::Never => RecvFlags::TRUNC,
        _ => RecvFlags::TRUNC.union(RecvFlags::DONTWAIT),
    }
}
