//! Peer: a descriptor of the process at the other end of a Unix socket, `unix(7)`.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

/// The process that connected, listened or made the pair, close-on-exec. Since Linux 6.5.
pub(crate) fn process(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let mut number: libc::c_int = -1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `number` and `length` are live and writable, and `length` is the size of `number`.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERPIDFD,
            (&raw mut number).cast(),
            &raw mut length,
        )
    };
    match (done, number) {
        (0, 0..) => {}
        (0, _) => return Err(Errno::SRCH),
        _ => return Err(super::last_error()),
    }
    // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
