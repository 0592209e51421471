//! Parting: connections that were ended with an error, read to their end so that it arrives.
//!
//! A socket that is closed with bytes unread takes back what was sent last, or lets the peer know only that it is
//! gone (`tcp(7)`, "connection reset").

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;

use super::Socket;

/// How long a client may take to hear why, and how many at one time.
const PATIENCE: Duration = Duration::from_secs(1);
const MOST: usize = 64;

/// Connections that were ended with an error.
#[derive(Default)]
pub(super) struct Parting(HashMap<u64, (Socket, Instant)>);

impl Parting {
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < MOST
    }

    pub(super) fn add(&mut self, key: u64, socket: Socket) {
        self.0.insert(key, (socket, Instant::now() + PATIENCE));
    }

    /// Reads what came, and closes at the end; `false` when it is none of these.
    pub(super) fn read(&mut self, key: u64) -> bool {
        let Some((socket, _)) = self.0.get(&key) else {
            return false;
        };
        let mut waste = [0; 16 * 1024];
        let came = rustix::net::recv(socket.as_fd(), &mut waste[..], RecvFlags::DONTWAIT);
        let goes_on = match came {
            Ok((count, _)) => count > 0,
            Err(errno) => matches!(errno, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR),
        };
        if !goes_on {
            self.0.remove(&key);
        }
        true
    }

    /// When the first has had its time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().map(|(_, until)| *until).min()
    }

    /// Closes those that have had their time.
    pub(super) fn end_old(&mut self, now: Instant) {
        self.0.retain(|_, (_, until)| *until > now);
    }
}
