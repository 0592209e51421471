//! Ancillary data: descriptors and credentials that travel beside the bytes of a Unix socket.
//!
//! The buffer for control messages always has room for the most the kernel sends with one
//! message, so it is never the reason that descriptors get lost: the kernel's `MSG_CTRUNC` then
//! means only that this process may not open more descriptors. `cmsg(3)`, `unix(7)`.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    self, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, UCred,
};

/// The most descriptors one message carries (`SCM_MAX_FD` in the kernel).
pub(crate) const MOST_DESCRIPTORS: usize = 253;

const SEND_SPACE: usize = cmsg_space!(ScmRights(MOST_DESCRIPTORS));
const RECV_SPACE: usize = cmsg_space!(ScmRights(MOST_DESCRIPTORS), ScmCredentials(1));

/// One message, or one piece of a stream, with what came beside it.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Bytes that were put into the buffer.
    pub(crate) len: usize,
    /// Bytes the message had; on a stream the same as `len`.
    pub(crate) whole: usize,
    /// Descriptors, close-on-exec.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Descriptors were lost, because this process may not open more.
    pub(crate) lost: bool,
    /// Who sent it, if `SO_PASSCRED` is set.
    pub(crate) credentials: Option<UCred>,
    /// The sender's name, if it has one.
    pub(crate) address: Option<SocketAddrUnix>,
}

/// Sends bytes and descriptors, never raising `SIGPIPE`. Does not retry `EINTR`.
///
/// `ETOOMANYREFS` comes from the kernel when more descriptors are on their way than
/// `RLIMIT_NOFILE` allows; `EINVAL` when there are more than [`MOST_DESCRIPTORS`].
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    to: Option<&SocketAddrUnix>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); SEND_SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    let bytes = [IoSlice::new(bytes)];
    let flags = flags | SendFlags::NOSIGNAL;
    match to {
        None => net::sendmsg(socket, &bytes, &mut control, flags),
        Some(to) => net::sendmsg_addr(socket, to, &bytes, &mut control, flags),
    }
}

/// Receives bytes and what came beside them. Does not retry `EINTR`.
///
/// With [`RecvFlags::TRUNC`] `whole` is the length of the message even if the buffer is shorter.
pub(crate) fn recv(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<Arrived, Errno> {
    let mut space = [MaybeUninit::uninit(); RECV_SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let room = buffer.len();
    let message = net::recvmsg(
        socket,
        &mut [IoSliceMut::new(buffer)],
        &mut control,
        flags | RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut arrived = Arrived {
        len: message.bytes.min(room),
        whole: message.bytes,
        descriptors: Vec::new(),
        lost: message.flags.contains(ReturnFlags::CTRUNC),
        credentials: None,
        address: message.address.and_then(|any| SocketAddrUnix::try_from(any).ok()),
    };
    for item in control.drain() {
        match item {
            RecvAncillaryMessage::ScmRights(rights) => arrived.descriptors.extend(rights),
            RecvAncillaryMessage::ScmCredentials(sender) => arrived.credentials = Some(sender),
            _ => {}
        }
    }
    Ok(arrived)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    use std::os::fd::AsFd;

    #[test]
    fn the_most_descriptors_the_kernel_carries_arrive_in_one_message() {
        let (left, right) = net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let many = vec![left.as_fd(); MOST_DESCRIPTORS];
        send(left.as_fd(), None, b"x", &many, SendFlags::empty()).unwrap();
        let mut buffer = [0; 8];
        let arrived = recv(right.as_fd(), &mut buffer, RecvFlags::empty()).unwrap();
        assert_eq!((arrived.len, arrived.lost), (1, false));
        assert_eq!(arrived.descriptors.len(), MOST_DESCRIPTORS);
        let flags = rustix::io::fcntl_getfd(&arrived.descriptors[0]).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));

        let too_many = vec![left.as_fd(); MOST_DESCRIPTORS + 1];
        let refused = send(left.as_fd(), None, b"x", &too_many, SendFlags::empty());
        assert_eq!(refused, Err(Errno::INVAL));
    }

    #[test]
    fn credentials_come_when_asked_for() {
        let (left, right) = net::socketpair(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        net::sockopt::set_socket_passcred(&right, true).unwrap();
        send(left.as_fd(), None, b"", &[], SendFlags::empty()).unwrap();
        let arrived = recv(right.as_fd(), &mut [], RecvFlags::empty()).unwrap();
        let sender = arrived.credentials.expect("credentials");
        assert_eq!(sender.pid, rustix::process::getpid());
    }
}
