//! POSIX message queue: messages by priority, under a name that outlives its processes.
//!
//! The queue and what is in it stay when every process is gone: somebody must
//! [`unlink`](Queue::unlink) it, or ask for [`temporary`](Options::temporary). After unlinking,
//! those who have it open go on using it; the name is free.
//!
//! ```
//! use wigwag::message::posix::Options;
//!
//! let name = format!("/doc-{}", std::process::id());
//! let queue = Options::new().depth(4).max_len(64).temporary(true).create(&name)?;
//! queue.send(b"low")?;
//! queue.send_priority(b"high", 7)?;
//! let mut buffer = [0; 64];
//! let (len, priority) = queue.recv(&mut buffer)?;
//! assert_eq!((&buffer[..len], priority), (&b"high"[..], 7));
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! Time-outs run on the monotonic clock, although the system calls use the wall clock: a step
//! of the wall clock neither ends nor prolongs them. No mounted `mqueue` file system is needed.
//!
//! `mq_overview(7)`, `mq_open(3)`, `mq_send(3)`, `mq_receive(3)`, `mq_notify(3)`.

use std::ffi::{CString, OsStr};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::error::{Error, Kind, Result};
use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees, Order, PeerDeath};
use crate::limit::{self, Limit, Source};
use crate::message::{Messages, Note, Received};
use crate::name::Name;
use crate::sys::{mq, patience};
use crate::wait::{Deadline, Wait};

pub(crate) mod address;
mod notify;
mod options;

pub use notify::Notice;
pub use options::Options;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "mq",
    title: "POSIX message queue",
    noun: "message queue",
    family: Family::Message,
    naming: Naming::Slash,
    unnamed_form: false,
    persistence: Persistence::Kernel,
    boundary: Some(Boundary::Message),
    direction: Some(Direction::Many),
    reach: Reach::Host,
    pollable: true,
    named_by: "/name",
    lives: "unlink or reboot",
    carries: "messages by priority",
    limits: &[limit::OPEN_FILES, QUEUES, DEPTH, LENGTH, QUEUE_BYTES],
    guarantees: Guarantees {
        order: Order::Priority,
        durability: Durability::Kernel,
        peer_death: PeerDeath::Unnoticed,
        ..Guarantees::STREAM
    },
    man: "mq_overview(7)",
};

/// Bytes that all queues of a user take.
pub(crate) const QUEUE_BYTES: Limit = Limit {
    name: "RLIMIT_MSGQUEUE",
    bounds: "bytes in all POSIX queues of a user",
    source: Source::Rlimit(libc::RLIMIT_MSGQUEUE),
    errnos: &[libc::EMFILE],
};

/// Queues of an IPC namespace.
pub(crate) const QUEUES: Limit = Limit {
    name: "fs.mqueue.queues_max",
    bounds: "POSIX queues of the machine",
    source: Source::Sysctl("/proc/sys/fs/mqueue/queues_max", 0),
    errnos: &[libc::ENOSPC],
};

/// Messages an unprivileged queue may hold.
pub(crate) const DEPTH: Limit = Limit {
    name: "fs.mqueue.msg_max",
    bounds: "messages one queue may hold",
    source: Source::Sysctl("/proc/sys/fs/mqueue/msg_max", 0),
    errnos: &[],
};

/// Bytes an unprivileged queue's message may have.
pub(crate) const LENGTH: Limit = Limit {
    name: "fs.mqueue.msgsize_max",
    bounds: "bytes of one message",
    source: Source::Sysctl("/proc/sys/fs/mqueue/msgsize_max", 0),
    errnos: &[],
};

/// The greatest priority of a message (`MQ_PRIO_MAX - 1`).
pub const MAX_PRIORITY: u32 = 32767;

/// An open POSIX message queue.
///
/// Any number of threads may send and receive through one at the same time. A child inherits
/// nothing: the descriptor is close-on-exec.
#[doc(alias = "mqd_t")]
pub struct Queue {
    fd: OwnedFd,
    name: Name,
    max_len: usize,
    temporary: bool,
}

/// How large a queue is and how full.
#[doc(alias = "mq_attr")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Messages it may hold.
    pub depth: usize,
    /// Bytes a message may have.
    pub max_len: usize,
    /// Messages that wait to be received.
    pub queued: usize,
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its priority.
    pub priority: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Queue {
    /// Makes a queue that did not exist, as the [options](Options::create) are by default.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`]; [`Kind::Limit`] with the limit that was reached.
    #[doc(alias = "mq_open")]
    pub fn create(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().create(name)
    }

    /// Opens a queue that exists, for both ways.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::PermissionDenied`].
    #[doc(alias = "mq_open")]
    pub fn open(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().open(name)
    }

    /// Opens a queue, making it if it does not exist.
    ///
    /// # Errors
    /// Those of both.
    #[doc(alias = "mq_open")]
    pub fn open_or_create(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().open_or_create(name)
    }

    /// Removes the name. Those who have the queue open go on using it.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::PermissionDenied`] unless it is ours.
    #[doc(alias = "mq_unlink")]
    pub fn unlink(name: impl AsRef<OsStr>) -> Result<()> {
        unlink(&parse(name.as_ref())?)
    }

    /// Sends a message with priority 0, waiting while the queue is full.
    ///
    /// # Errors
    /// [`Kind::TooBig`] when it is longer than the queue's messages may be.
    #[inline]
    #[doc(alias = "mq_send")]
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.send_priority(message, 0)
    }

    /// Sends a message, waiting while the queue is full; higher priorities are received first.
    ///
    /// # Errors
    /// [`Kind::TooBig`]; [`Kind::BadInput`] over [`MAX_PRIORITY`].
    #[inline]
    #[doc(alias = "mq_send")]
    pub fn send_priority(&self, message: &[u8], priority: u32) -> Result<()> {
        mq::send(self.fd.as_fd(), message, priority)
            .map_err(|errno| self.not_sent(message.len(), priority, errno))
    }

    /// Sends a message if there is room now.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`] when the queue is full; as for [`send_priority`](Self::send_priority).
    #[inline]
    pub fn try_send(&self, message: &[u8], priority: u32) -> Result<()> {
        mq::try_send(self.fd.as_fd(), message, priority)
            .map_err(|errno| self.not_sent(message.len(), priority, errno))
    }

    /// Sends a message, waiting at most this long.
    ///
    /// # Errors
    /// [`Kind::TimedOut`]; as for [`send_priority`](Self::send_priority).
    #[doc(alias = "mq_timedsend")]
    pub fn send_timeout(&self, message: &[u8], priority: u32, limit: Duration) -> Result<()> {
        self.send_until(message, priority, Wait::For(limit).into())
    }

    fn send_until(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<()> {
        patience::retry(self.fd.as_fd(), PollFlags::OUT, deadline, || {
            mq::try_send(self.fd.as_fd(), message, priority)
        })
        .map_err(|errno| self.not_sent(message.len(), priority, errno))
    }

    /// Receives the oldest message of the highest priority, waiting while there is none: its
    /// length and priority.
    ///
    /// # Errors
    /// [`Kind::TooBig`] when the buffer is shorter than [`max_len`](Self::max_len); the message
    /// stays in the queue.
    #[inline]
    #[doc(alias = "mq_receive")]
    pub fn recv(&self, buffer: &mut [u8]) -> Result<(usize, u32)> {
        let room = buffer.len();
        mq::receive(self.fd.as_fd(), buffer).map_err(|errno| self.not_received(room, errno))
    }

    /// Receives a message if there is one now.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`] when the queue is empty; as for [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&self, buffer: &mut [u8]) -> Result<(usize, u32)> {
        let room = buffer.len();
        mq::try_receive(self.fd.as_fd(), buffer).map_err(|errno| self.not_received(room, errno))
    }

    /// Receives a message, waiting at most this long.
    ///
    /// # Errors
    /// [`Kind::TimedOut`]; as for [`recv`](Self::recv).
    #[doc(alias = "mq_timedreceive")]
    pub fn recv_timeout(&self, buffer: &mut [u8], limit: Duration) -> Result<(usize, u32)> {
        let room = buffer.len();
        let deadline = Wait::For(limit).into();
        patience::retry(self.fd.as_fd(), PollFlags::IN, deadline, || {
            mq::try_receive(self.fd.as_fd(), buffer)
        })
        .map_err(|errno| self.not_received(room, errno))
    }

    /// Receives for ever, each message in memory of its own.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self)
    }

    /// Bytes a message may have, and a buffer must have.
    #[inline]
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.max_len
    }

    /// How large it is and how full.
    ///
    /// # Errors
    /// What `mq_getattr(3)` says.
    #[doc(alias = "mq_getattr")]
    pub fn stat(&self) -> Result<Stat> {
        let now = mq::attributes(self.fd.as_fd()).map_err(|errno| self.failed("look at", errno))?;
        Ok(Stat {
            depth: now.depth,
            max_len: now.max_len,
            queued: now.queued,
        })
    }

    fn adopt(fd: OwnedFd, name: Name, temporary: bool) -> Result<Self, Errno> {
        let max_len = mq::attributes(fd.as_fd())?.max_len;
        Ok(Queue {
            fd,
            name,
            max_len,
            temporary,
        })
    }

    #[cold]
    fn failed(&self, action: &'static str, errno: Errno) -> Error {
        FACILITY.failed(action, &self.name, errno)
    }

    #[cold]
    fn not_sent(&self, len: usize, priority: u32, errno: Errno) -> Error {
        let error = |kind, cause: String| FACILITY.error(kind, "send to", &self.name, cause);
        match errno {
            Errno::AGAIN => error(Kind::WouldBlock, "it is full".into()),
            Errno::TIMEDOUT => error(
                Kind::TimedOut,
                "it is full, and nobody received within the time".into(),
            ),
            Errno::MSGSIZE => error(
                Kind::TooBig,
                format!(
                    "the message has {len} bytes, its longest has {}",
                    self.max_len
                ),
            ),
            Errno::INVAL if priority > MAX_PRIORITY => error(
                Kind::BadInput,
                format!("priority {priority} is over the greatest, {MAX_PRIORITY}"),
            ),
            Errno::BADF => error(Kind::PermissionDenied, "it is open to receive only".into()),
            errno => self.failed("send to", errno),
        }
    }

    #[cold]
    fn not_received(&self, room: usize, errno: Errno) -> Error {
        let error = |kind, cause: String| FACILITY.error(kind, "receive from", &self.name, cause);
        match errno {
            Errno::AGAIN => error(Kind::WouldBlock, "it is empty".into()),
            Errno::TIMEDOUT => error(
                Kind::TimedOut,
                "it is empty, and nobody sent within the time".into(),
            ),
            Errno::MSGSIZE => error(
                Kind::TooBig,
                format!(
                    "the buffer has {room} bytes, a message may have {}",
                    self.max_len
                ),
            ),
            Errno::BADF => error(Kind::PermissionDenied, "it is open to send only".into()),
            errno => self.failed("receive from", errno),
        }
    }
}

/// Messages for ever, [`Queue::iter`].
#[derive(Debug)]
pub struct Iter<'q>(&'q Queue);

impl Iterator for Iter<'_> {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Self::Item> {
        let queue = self.0;
        let mut bytes = Vec::new();
        let received = mq::receive_into(queue.fd.as_fd(), &mut bytes, queue.max_len, true);
        Some(match received {
            Ok(priority) => Ok(Message { priority, bytes }),
            Err(errno) => Err(queue.not_received(queue.max_len, errno)),
        })
    }
}

impl<'q> IntoIterator for &'q Queue {
    type Item = Result<Message>;
    type IntoIter = Iter<'q>;

    fn into_iter(self) -> Iter<'q> {
        self.iter()
    }
}

impl Messages for Queue {
    fn send_with(&self, message: &[u8], note: Note, wait: Wait) -> Result<()> {
        if note.kind.is_some() {
            return Err(FACILITY.error(
                Kind::BadInput,
                "send to",
                &self.name,
                "its messages have a priority, no type",
            ));
        }
        let priority = note.priority.unwrap_or(0);
        match wait {
            Wait::Forever => self.send_priority(message, priority),
            wait => self.send_until(message, priority, wait.into()),
        }
    }

    fn recv_with(
        &self,
        buffer: &mut Vec<u8>,
        kind: Option<i64>,
        wait: Wait,
    ) -> Result<Option<Received>> {
        if kind.is_some() {
            return Err(FACILITY.error(
                Kind::BadInput,
                "receive from",
                &self.name,
                "its messages have no type to choose by, the highest priority comes first",
            ));
        }
        let received = match wait {
            Wait::Forever => mq::receive_into(self.fd.as_fd(), buffer, self.max_len, true),
            wait => patience::retry(self.fd.as_fd(), PollFlags::IN, wait.into(), || {
                mq::receive_into(self.fd.as_fd(), buffer, self.max_len, false)
            }),
        };
        let priority = received.map_err(|errno| self.not_received(self.max_len, errno))?;
        Ok(Some(Received {
            note: Note {
                priority: Some(priority),
                kind: None,
            },
            ..Received::default()
        }))
    }

    fn max_len(&self) -> usize {
        self.max_len
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl TryFrom<OwnedFd> for Queue {
    type Error = Error;

    /// Takes a descriptor that was inherited or passed.
    fn try_from(fd: OwnedFd) -> Result<Self> {
        Queue::adopt(fd, Name::None, false)
            .map_err(|errno| FACILITY.failed("take a descriptor as", "", errno))
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({}, {:?})", self.name, self.fd)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.temporary {
            // It may be gone already, and there is nobody to tell.
            let _ = unlink(&self.name);
        }
    }
}

fn parse(name: &OsStr) -> Result<Name> {
    Name::parse(&FACILITY, name.as_bytes())
}

/// Removes the name.
pub(crate) fn unlink(name: &Name) -> Result<()> {
    mq::unlink(&c_name(name)?).map_err(|errno| FACILITY.failed("remove", name, errno))
}

fn c_name(name: &Name) -> Result<CString> {
    name.to_c_string()
        .filter(|_| matches!(name, Name::Slash(_)))
        .ok_or_else(|| FACILITY.error(Kind::BadName, "name", name, "it is /name"))
}
