//! Options: what a server takes and a client takes, at most.

use crate::address::Address;
use crate::error::Result;
use crate::wait::Wait;

use super::{Client, Server};

/// What a server and a client take at most, in the manner of [`std::fs::OpenOptions`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Options {
    pub(super) max_request: usize,
    pub(super) max_answer: usize,
    pub(super) clients: usize,
    pub(super) waiting: usize,
    pub(super) mode: Option<u32>,
    pub(super) backlog: Option<u32>,
    pub(super) depth: Option<usize>,
    pub(super) max_len: Option<usize>,
    pub(super) capacity: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_request: 4 << 20,
            max_answer: 64 << 20,
            clients: 1000,
            waiting: 64,
            mode: None,
            backlog: None,
            depth: None,
            max_len: None,
            capacity: 256 << 10,
        }
    }
}

impl Options {
    /// Requests of 4 MiB, answers of 64 MiB, 1000 clients with 64 calls waiting each.
    pub fn new() -> Self {
        Options::default()
    }

    /// Server at a socket: how long a request may be, in bytes, at most 4 GiB. A longer one is an error to its caller that
    /// names this limit, and nothing is kept of it. The memory that one client can claim is about twice this.
    pub fn max_request(mut self, bytes: usize) -> Self {
        self.max_request = bytes.min(u32::MAX as usize);
        self
    }

    /// Client of a socket: how long an answer may be, in bytes. A longer one is an error, and nothing is kept of it.
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes.min(u32::MAX as usize);
        self
    }

    /// Server: how many clients there may be. The next one is told so.
    pub fn clients(mut self, most: usize) -> Self {
        self.clients = most;
        self
    }

    /// Server: how many calls of one client may wait to be begun. The next ones wait in the carrier.
    pub fn waiting(mut self, calls: usize) -> Self {
        self.waiting = calls.max(1);
        self
    }

    /// Server: who may connect: those with write permission to the path or the queue (a socket: 0777 less the umask;
    /// a queue: 0600). TCP has none.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Server at a socket: how many clients may wait to be let in (`net.core.somaxconn`).
    pub fn backlog(mut self, clients: u32) -> Self {
        self.backlog = Some(clients);
        self
    }

    /// Server at a queue: how many requests the queue holds (`fs.mqueue.msg_default`).
    pub fn depth(mut self, requests: usize) -> Self {
        self.depth = Some(requests);
        self
    }

    /// Server at a queue: how long a request or an answer may be with its head of 32 bytes
    /// (`fs.mqueue.msgsize_default`).
    pub fn max_len(mut self, bytes: usize) -> Self {
        self.max_len = Some(bytes);
        self
    }

    /// Server at channels: how many bytes of requests, and how many of answers, of one client may be under way; a single
    /// one is at most 36 bytes shorter (256 KiB). Rounded up to a power of two.
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// Makes the name, as [`Server::listen`].
    ///
    /// # Errors
    /// Those of [`Server::listen`].
    pub fn listen(&self, address: &str) -> Result<Server> {
        super::address::listen(&address.parse()?, self.clone())
    }

    /// Connects, as [`Client::connect`].
    ///
    /// # Errors
    /// Those of [`Client::connect`].
    pub fn connect(&self, address: &str) -> Result<Client> {
        let address: Address = address.parse()?;
        super::address::connect(&address, self.clone(), Wait::Forever)
    }
}
