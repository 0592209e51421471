//! Stream: calls over a Unix or TCP socket; a connection a client, and its end is noticed at once on both sides.

mod link;
mod parting;
mod reactor;

pub(super) use link::StreamLink;
pub(super) use reactor::{Entrance, Streams, credentials};

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::SendFlags;

use super::outbox::Way;

/// A connected socket, sent to without waiting.
#[derive(Clone)]
pub(super) struct Socket(Arc<OwnedFd>);

impl From<OwnedFd> for Socket {
    fn from(socket: OwnedFd) -> Self {
        Socket(Arc::new(socket))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Way for Socket {
    fn push(&self, bytes: &[u8]) -> Result<usize, Errno> {
        loop {
            match rustix::net::send(&self.0, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                outcome => return outcome,
            }
        }
    }
}
