//! Ancillary data: descriptors and credentials that travel beside the bytes of a Unix socket.
//!
//! The buffer for control messages always has room for the most the kernel sends with one
//! message, so it is never the reason that descriptors get lost: the kernel's `MSG_CTRUNC` then
//! means only that this process may not open more descriptors. `cmsg(3)`, `unix(7)`.
//!
//! Receiving does not go through `rustix`: there a sender's process id cannot be 0, but for a
//! sender outside our pid namespace it is.

use std::io::IoSlice;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::addr::SocketAddrStorage;
use rustix::net::{
    self, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrAny,
    SocketAddrUnix,
};

use super::last_error;

/// A process and whom it runs for, as the kernel vouches for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// 0 when the process lies outside our pid namespace.
    pub(crate) pid: i32,
    /// The user it sent as.
    pub(crate) uid: u32,
    /// The group it sent as.
    pub(crate) gid: u32,
}

/// The most descriptors one message carries (`SCM_MAX_FD` in the kernel).
pub(crate) const MOST_DESCRIPTORS: usize = 253;

const SEND_SPACE: usize = cmsg_space!(ScmRights(MOST_DESCRIPTORS));

/// Where the kernel writes control messages, aligned for their headers.
#[repr(C, align(8))]
struct RecvSpace([MaybeUninit<u8>; cmsg_space!(ScmRights(MOST_DESCRIPTORS), ScmCredentials(1))]);

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
    pub(crate) credentials: Option<Credentials>,
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
    let mut space = MaybeUninit::<RecvSpace>::uninit();
    let mut name = MaybeUninit::<SocketAddrStorage>::uninit();
    let mut bytes = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: a msghdr of zeroes is valid: null pointers with length zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = size_of::<SocketAddrStorage>() as libc::socklen_t;
    message.msg_iov = &raw mut bytes;
    message.msg_iovlen = 1;
    message.msg_control = space.as_mut_ptr().cast();
    message.msg_controllen = size_of::<RecvSpace>() as _;
    let flags = flags.bits().cast_signed() | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: every pointer in `message` is to live, exclusively borrowed memory of the length
    // beside it; the kernel writes no more than that.
    let whole = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let Ok(whole) = usize::try_from(whole) else {
        return Err(last_error());
    };
    let named = 2..=size_of::<SocketAddrStorage>() as libc::socklen_t;
    let address = named.contains(&message.msg_namelen).then(|| {
        // SAFETY: the kernel wrote `msg_namelen` bytes of a socket address into `name`, which has
        // room for them.
        unsafe { SocketAddrAny::read(name.as_ptr(), message.msg_namelen) }
    });
    let mut arrived = Arrived {
        len: whole.min(buffer.len()),
        whole,
        descriptors: Vec::new(),
        lost: message.msg_flags & libc::MSG_CTRUNC != 0,
        credentials: None,
        address: address.and_then(|any| SocketAddrUnix::try_from(any).ok()),
    };
    unpack(&message, &mut arrived);
    Ok(arrived)
}

/// Takes the control messages that the kernel wrote.
fn unpack(message: &libc::msghdr, arrived: &mut Arrived) {
    // SAFETY: recvmsg(2) set `msg_control` and `msg_controllen` to the control messages it wrote.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: a header that is not null lies whole inside `msg_controllen`, aligned.
    while let Some(item) = unsafe { header.as_ref() } {
        // SAFETY: CMSG_DATA and CMSG_LEN only calculate, from the valid header.
        let (data, header_len) = unsafe { (libc::CMSG_DATA(header), libc::CMSG_LEN(0)) };
        // 32 bits with musl.
        #[allow(clippy::unnecessary_cast)]
        let len = (item.cmsg_len as usize).saturating_sub(header_len as usize);
        match (item.cmsg_level, item.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for index in 0..len / size_of::<RawFd>() {
                    // SAFETY: the kernel wrote `len` bytes of descriptors, which it opened for us
                    // and nobody else knows; each is read once and so owned once.
                    let fd = unsafe {
                        OwnedFd::from_raw_fd(data.cast::<RawFd>().add(index).read_unaligned())
                    };
                    arrived.descriptors.push(fd);
                }
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if len >= size_of::<libc::ucred>() => {
                // SAFETY: the kernel wrote a ucred, three plain numbers.
                let sender = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                arrived.credentials = Some(Credentials {
                    pid: sender.pid,
                    uid: sender.uid,
                    gid: sender.gid,
                });
            }
            _ => {}
        }
        // SAFETY: `header` is a header of `message`, whose fields have not changed.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
}

/// Who is at the other end of a connection: who called `connect`, `listen` or `socketpair`.
pub(crate) fn peer(socket: BorrowedFd<'_>) -> Result<Credentials, Errno> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `peer` and `len` are live and writable, and `len` is the size of `peer`.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut len,
        )
    };
    if done != 0 {
        return Err(last_error());
    }
    Ok(Credentials {
        pid: peer.pid,
        uid: peer.uid,
        gid: peer.gid,
    })
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
        assert_eq!(sender.pid, std::process::id().cast_signed());
    }
}
