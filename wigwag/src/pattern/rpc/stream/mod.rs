//! Stream: calls over a Unix or TCP socket; a connection a client, and its end is noticed at once on both sides.

mod link;
mod parting;
mod reactor;
pub(super) mod tcp;
pub(super) mod unix;

pub(super) use link::StreamLink;
pub(super) use reactor::Entrance;
use reactor::{Streams, credentials};

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::SendFlags;

use super::desk::Desk;
use super::outbox::Way;
use super::{Options, Server};
use crate::error::Result;
use crate::stream::unix::Stream;

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

/// A server at a socket that listens, or for a client that is there.
pub(super) fn server(
    entrance: Entrance,
    options: &Options,
    first: Option<Stream>,
) -> Result<Server> {
    let (facility, name) = match &entrance {
        Entrance::Tcp(listener) => (&tcp::FACILITY, listener.name()?),
        Entrance::Unix(listener) => (&unix::FACILITY, listener.name().to_string()),
        Entrance::None => (&unix::FACILITY, String::new()),
    };
    let failed = |errno| facility.failed("listen at", &name, errno);
    let desk = Desk::new(options.waiting, options.max_request).map_err(failed)?;
    let mut streams = Streams::new(facility, &name, entrance, options.clients, &desk)?;
    if let Some(stream) = first {
        let caller = stream.peer().ok().map(credentials);
        streams
            .admit(stream.into(), caller, &desk)
            .map_err(failed)?;
    }
    Ok(Server::new(streams, desk, facility, &name))
}
