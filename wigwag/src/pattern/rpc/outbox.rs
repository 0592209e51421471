//! Outbox: what a server sends to one client, which may be slow to take it; nothing here waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;

use super::frame::Head;

/// How bytes get to a client.
pub(super) trait Way: Send + Sync {
    /// Sends what there is room for now: how much. A queue takes a frame whole or not.
    fn push(&self, frame: &[u8]) -> Result<usize, Errno>;
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// All of it is on its way.
    Whole,
    /// It waits for room.
    Waits,
    /// The client is gone.
    Broken,
}

/// The frames for one client that could not be sent yet.
pub(super) struct Outbox {
    way: Box<dyn Way>,
    backlog: Mutex<Backlog>,
    /// Its bytes, to look at without the lock.
    bytes: AtomicUsize,
}

#[derive(Default)]
struct Backlog {
    frames: VecDeque<Vec<u8>>,
    /// How much of the first has been sent.
    sent: usize,
    broken: bool,
}

impl Outbox {
    pub(super) fn new(way: impl Way + 'static) -> Self {
        Outbox {
            way: Box::new(way),
            backlog: Mutex::default(),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Sends a frame after those that wait.
    pub(super) fn send(&self, head: Head, body: &[u8]) -> Sent {
        let frame = head.with(body);
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        self.bytes.fetch_add(frame.len(), Ordering::Relaxed);
        backlog.frames.push_back(frame);
        if backlog.frames.len() > 1 {
            return if backlog.broken {
                Sent::Broken
            } else {
                Sent::Waits
            };
        }
        self.push(&mut backlog)
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn flush(&self) -> Sent {
        self.push(&mut self.backlog.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes that wait.
    pub(super) fn backlog(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn push(&self, backlog: &mut Backlog) -> Sent {
        while let (false, Some(frame)) = (backlog.broken, backlog.frames.front()) {
            match self.way.push(&frame[backlog.sent..]) {
                Ok(count) => {
                    self.bytes.fetch_sub(count, Ordering::Relaxed);
                    backlog.sent += count;
                    if backlog.sent == frame.len() {
                        backlog.frames.pop_front();
                        backlog.sent = 0;
                    }
                }
                Err(Errno::AGAIN) => return Sent::Waits,
                Err(Errno::INTR) => {}
                Err(_) => {
                    backlog.broken = true;
                    backlog.frames.clear();
                    self.bytes.store(0, Ordering::Relaxed);
                }
            }
        }
        if backlog.broken {
            Sent::Broken
        } else {
            Sent::Whole
        }
    }
}
