//! StreamLink: a client's end of a stream socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Socket;
use crate::pattern::rpc::frame::Head;
use crate::pattern::rpc::inbox::{Got, Inbox};
use crate::pattern::rpc::link::{End, Link};
use crate::pattern::rpc::outbox::Way;
use crate::wait::Deadline;

/// A client's end of a stream socket.
pub(in crate::pattern::rpc) struct StreamLink {
    socket: Socket,
    /// What of the last frame has not been sent: the next one comes after it.
    rest: Mutex<Vec<u8>>,
    inbox: Mutex<Inbox>,
}

impl StreamLink {
    pub(in crate::pattern::rpc) fn new(socket: OwnedFd, longest_answer: usize) -> Self {
        StreamLink {
            socket: socket.into(),
            rest: Mutex::default(),
            inbox: Mutex::new(Inbox::new(longest_answer)),
        }
    }

    fn rest(&self) -> MutexGuard<'_, Vec<u8>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is left; whether nothing is.
    fn catch_up(&self, rest: &mut Vec<u8>) -> Result<bool, End> {
        while !rest.is_empty() {
            match self.socket.push(rest) {
                Ok(count) => drop(rest.drain(..count)),
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(true)
    }
}

impl Link for StreamLink {
    fn try_send(&self, head: Head, body: &[u8]) -> Result<bool, End> {
        let mut rest = self.rest();
        if !self.catch_up(&mut rest)? {
            return Ok(false);
        }
        let frame = head.with(body);
        let count = match self.socket.push(&frame) {
            Ok(count) => count,
            Err(Errno::AGAIN) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        rest.extend_from_slice(&frame[count..]);
        Ok(true)
    }

    fn is_behind(&self) -> bool {
        !self.rest().is_empty()
    }

    fn receive(&self, deliver: &mut dyn FnMut(Got)) -> Result<bool, End> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        match inbox.fill(self.socket.as_fd()) {
            Ok(0) => return Err(End::Gone),
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
        while let Some(got) = inbox.next()? {
            deliver(got);
        }
        Ok(true)
    }

    fn wait(&self, comes: bool, room: bool, deadline: Deadline) -> Result<(), End> {
        let mut until = PollFlags::empty();
        until.set(PollFlags::IN, comes);
        until.set(PollFlags::OUT, room || self.is_behind());
        let left = deadline
            .remaining()
            .and_then(|left| Timespec::try_from(left).ok());
        let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), until)];
        match poll(&mut fds, left.as_ref()) {
            Err(Errno::INTR) | Ok(0) => return Ok(()),
            Err(errno) => return Err(errno.into()),
            Ok(_) => {}
        }
        if fds[0].revents().contains(PollFlags::OUT) {
            self.catch_up(&mut self.rest())?;
        }
        Ok(())
    }

    fn longest(&self) -> (usize, &'static str) {
        (u32::MAX as usize, "the length of a frame has 32 bits")
    }

    fn tells(&self) -> bool {
        true
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
