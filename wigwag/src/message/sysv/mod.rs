//! System V message queue: messages with a type by which the receiver chooses, under a key.
//!
//! The queue and what is in it stay when every process is gone: somebody must
//! [`remove`](Queue::remove) it, or ask for [`temporary`](Options::temporary). Removing is at
//! once: whoever waits in it gets [`Kind::Removed`].
//!
//! ```
//! use wigwag::message::sysv::{Options, Select};
//!
//! let queue = Options::new().temporary(true).private()?;
//! queue.send(1, b"one")?;
//! queue.send(2, b"two")?;
//! let mut buffer = [0; 64];
//! let (len, kind) = queue.recv(Select::Kind(2), &mut buffer)?;
//! assert_eq!((&buffer[..len], kind), (&b"two"[..], 2));
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! System V has no time-outs and no descriptor to poll. The `_timeout` forms here look again, at
//! first at once and then after sleeps that grow from 50 µs to 10 ms, and so may come that late;
//! a program that waits for ever, or not at all, makes one system call.
//!
//! `sysvipc(7)`, `msgget(2)`, `msgop(2)`, `msgctl(2)`.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use rustix::io::Errno;

use crate::error::{Error, Kind, Result};
use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees, PeerDeath};
use crate::key::Key;
use crate::limit::{Limit, Source};
use crate::message::{Messages, Note, Received};
use crate::name::Name;
use crate::sys::{msg, patience};
use crate::wait::{Deadline, Wait};

pub(crate) mod address;
mod options;
mod stat;

pub use options::Options;
pub use stat::Stat;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "sysv-mq",
    title: "System V message queue",
    noun: "System V message queue",
    family: Family::Message,
    naming: Naming::Key,
    unnamed_form: true,
    persistence: Persistence::Kernel,
    boundary: Some(Boundary::Message),
    direction: Some(Direction::Many),
    reach: Reach::Host,
    pollable: false,
    named_by: "key",
    lives: "removal or reboot",
    carries: "messages by type",
    limits: &[QUEUES, LENGTH, CAPACITY],
    guarantees: Guarantees {
        durability: Durability::Kernel,
        peer_death: PeerDeath::Unnoticed,
        ..Guarantees::STREAM
    },
    man: "sysvipc(7)",
};

/// Queues of an IPC namespace.
pub(crate) const QUEUES: Limit = Limit {
    name: "kernel.msgmni",
    bounds: "System V queues of the machine",
    source: Source::Sysctl("/proc/sys/kernel/msgmni", 0),
    errnos: &[libc::ENOSPC],
};

/// Bytes of a message.
pub(crate) const LENGTH: Limit = Limit {
    name: "kernel.msgmax",
    bounds: "bytes of one message",
    source: Source::Sysctl("/proc/sys/kernel/msgmax", 0),
    errnos: &[],
};

/// Bytes in a queue, unless it was given more.
pub(crate) const CAPACITY: Limit = Limit {
    name: "kernel.msgmnb",
    bounds: "bytes in one queue",
    source: Source::Sysctl("/proc/sys/kernel/msgmnb", 0),
    errnos: &[],
};

/// The types there are. In a 32-bit program they have 31 bits, and the kernel cuts off the rest of those that others send.
#[allow(clippy::unnecessary_cast)]
const KINDS: RangeInclusive<i64> = 1..=libc::c_long::MAX as i64;

/// Which message to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// The oldest.
    Any,
    /// The oldest of this type, from 1.
    Kind(i64),
    /// The oldest of any other type than this.
    #[doc(alias = "MSG_EXCEPT")]
    Except(i64),
    /// The oldest of the lowest type, which is at most this: types as priorities.
    UpTo(i64),
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub kind: i64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// An open System V message queue.
///
/// It is only a number: nothing is closed when it is dropped, and a child may go on using it.
#[doc(alias = "msqid")]
pub struct Queue {
    id: i32,
    name: Name,
    max_len: usize,
    temporary: bool,
}

impl Queue {
    /// Makes a queue under a key (`0x1234`) or the key of a file (`Path::new("/etc/hosts")`) that
    /// had none.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`]; [`Kind::Limit`] when `kernel.msgmni` is reached.
    #[doc(alias = "msgget")]
    #[doc(alias = "ftok")]
    pub fn create(key: impl Into<Key>) -> Result<Self> {
        Options::new().create(key)
    }

    /// Opens the queue under a key, or with an [identifier](Key::Id).
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::PermissionDenied`].
    #[doc(alias = "msgget")]
    pub fn open(key: impl Into<Key>) -> Result<Self> {
        Options::new().open(key)
    }

    /// Opens the queue under a key, making it if there is none.
    ///
    /// # Errors
    /// Those of both.
    #[doc(alias = "msgget")]
    pub fn open_or_create(key: impl Into<Key>) -> Result<Self> {
        Options::new().open_or_create(key)
    }

    /// Makes a queue without a key: others find it by its [`id`](Self::id) only.
    ///
    /// # Errors
    /// [`Kind::Limit`] when `kernel.msgmni` is reached.
    #[doc(alias = "IPC_PRIVATE")]
    pub fn private() -> Result<Self> {
        Options::new().private()
    }

    /// Opens a queue by its identifier, as `ipcs` prints it.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is none.
    pub fn from_id(id: i32) -> Result<Self> {
        let name = Name::Id(id);
        match msg::stat(id) {
            // Without permission to read it may still be sent to.
            Ok(_) | Err(Errno::ACCESS) => Ok(Queue::new(id, name, false)),
            Err(Errno::INVAL | Errno::IDRM) => Err(FACILITY.error(
                Kind::NotFound,
                "open",
                name,
                "there is no queue of that identifier",
            )),
            Err(errno) => Err(FACILITY.failed("open", name, errno)),
        }
    }

    /// Removes the queue under a key, with all that is in it.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::PermissionDenied`] unless it is ours.
    pub fn unlink(key: impl Into<Key>) -> Result<()> {
        Queue::open(key)?.remove()
    }

    /// The identifier, which a child or friend can open it by.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Bytes a message may have: `kernel.msgmax`, or what the queue holds if that is less, when
    /// it was opened.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.max_len
    }

    /// Sends a message with a type, from 1, waiting while the queue is full.
    ///
    /// # Errors
    /// [`Kind::TooBig`]; [`Kind::BadInput`] for a type below 1, or above what a C `long` holds; [`Kind::Removed`].
    #[inline]
    #[doc(alias = "msgsnd")]
    pub fn send(&self, kind: i64, message: &[u8]) -> Result<()> {
        if message.len() > self.max_len {
            // The kernel would wait for ever for room that an empty queue has not.
            self.fits(message)?;
        }
        msg::send(self.id, kind, message, 0).map_err(|errno| self.not_sent(kind, message, errno))
    }

    /// Sends a message if there is room now.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`] when the queue is full; as for [`send`](Self::send).
    #[inline]
    #[doc(alias = "IPC_NOWAIT")]
    pub fn try_send(&self, kind: i64, message: &[u8]) -> Result<()> {
        msg::send(self.id, kind, message, libc::IPC_NOWAIT)
            .map_err(|errno| self.not_sent(kind, message, errno))
    }

    /// Sends a message, waiting at most this long, or up to 10 ms longer.
    ///
    /// # Errors
    /// [`Kind::TimedOut`]; as for [`send`](Self::send).
    pub fn send_timeout(&self, kind: i64, message: &[u8], limit: Duration) -> Result<()> {
        self.send_until(kind, message, Wait::For(limit).into())
    }

    fn send_until(&self, kind: i64, message: &[u8], deadline: Deadline) -> Result<()> {
        patience::look_again(deadline, || {
            match msg::send(self.id, kind, message, libc::IPC_NOWAIT) {
                Err(Errno::AGAIN) if self.fits(message).is_err() => Err(Errno::MSGSIZE),
                outcome => outcome,
            }
        })
        .map_err(|errno| self.not_sent(kind, message, errno))
    }

    /// Receives a message, waiting while there is none to choose: its length and type.
    ///
    /// # Errors
    /// [`Kind::TooBig`] when it is longer than the buffer, and stays in the queue;
    /// [`Kind::Removed`].
    #[inline]
    #[doc(alias = "msgrcv")]
    pub fn recv(&self, select: Select, buffer: &mut [u8]) -> Result<(usize, i64)> {
        self.receive(select, buffer, 0)
    }

    /// Receives a message if there is one to choose now.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`] when there is none; as for [`recv`](Self::recv).
    #[inline]
    #[doc(alias = "IPC_NOWAIT")]
    pub fn try_recv(&self, select: Select, buffer: &mut [u8]) -> Result<(usize, i64)> {
        self.receive(select, buffer, libc::IPC_NOWAIT)
    }

    /// Receives a message, waiting at most this long, or up to 10 ms longer.
    ///
    /// # Errors
    /// [`Kind::TimedOut`]; as for [`recv`](Self::recv).
    pub fn recv_timeout(
        &self,
        select: Select,
        buffer: &mut [u8],
        limit: Duration,
    ) -> Result<(usize, i64)> {
        let (kind, flags) = self.choose(select)?;
        patience::look_again(Wait::For(limit).into(), || {
            msg::receive(self.id, buffer, kind, flags | libc::IPC_NOWAIT, false)
        })
        .map_err(|errno| self.not_received(errno))
    }

    /// Receives a message cut to the buffer, waiting while there is none: how many bytes of it are
    /// in the buffer, its type, and whether the rest is lost.
    ///
    /// # Errors
    /// [`Kind::Removed`].
    #[doc(alias = "MSG_NOERROR")]
    pub fn recv_cut(&self, select: Select, buffer: &mut [u8]) -> Result<(usize, i64, bool)> {
        let (kind, flags) = self.choose(select)?;
        let (len, kind) = msg::receive(self.id, buffer, kind, flags, true)
            .map_err(|errno| self.not_received(errno))?;
        Ok((len.min(buffer.len()), kind, len > buffer.len()))
    }

    /// Copies the message at a position, counted from 0 at the oldest, and leaves it there.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`] when there is no message at that position; [`Kind::TooBig`];
    /// [`Kind::Unsupported`] on a kernel built without it.
    #[doc(alias = "MSG_COPY")]
    pub fn peek(&self, position: usize, buffer: &mut [u8]) -> Result<(usize, i64)> {
        let flags = libc::MSG_COPY | libc::IPC_NOWAIT;
        // No queue has as many; as the type of a message it has the bits of one.
        let position = isize::try_from(position).unwrap_or(isize::MAX);
        msg::receive(self.id, buffer, position as i64, flags, false)
            .map_err(|errno| self.not_received(errno))
    }

    /// Removes it, with all that is in it; whoever waits in it gets [`Kind::Removed`].
    ///
    /// # Errors
    /// [`Kind::PermissionDenied`] unless it is ours; [`Kind::Removed`] when somebody was faster.
    #[doc(alias = "IPC_RMID")]
    pub fn remove(&self) -> Result<()> {
        msg::remove(self.id).map_err(|errno| self.failed("remove", errno))
    }

    /// Receives for ever, each message in memory of its own.
    pub fn iter(&self, select: Select) -> Iter<'_> {
        Iter(self, select)
    }

    fn new(id: i32, name: Name, temporary: bool) -> Self {
        let length = LENGTH
            .value()
            .map_or(8192, |most| usize::try_from(most).unwrap_or(usize::MAX));
        // Without permission to look at it, the capacity is not known.
        let capacity = msg::stat(id).map_or(length, |state| state.msg_qbytes as usize);
        Queue {
            id,
            name,
            max_len: length.min(capacity),
            temporary,
        }
    }

    /// Whether a message would fit into the queue if it were empty, as it is now.
    #[cold]
    fn fits(&self, message: &[u8]) -> Result<()> {
        let len = message.len();
        match msg::stat(self.id) {
            Ok(state) if len > state.msg_qbytes as usize => Err(FACILITY.error(
                Kind::TooBig,
                "send to",
                &self.name,
                format!(
                    "the message has {len} bytes, the whole queue holds {}",
                    state.msg_qbytes
                ),
            )),
            _ => Ok(()),
        }
    }

    #[inline]
    fn receive(&self, select: Select, buffer: &mut [u8], flags: i32) -> Result<(usize, i64)> {
        let (kind, choice) = self.choose(select)?;
        msg::receive(self.id, buffer, kind, choice | flags, false)
            .map_err(|errno| self.not_received(errno))
    }

    fn receive_into(
        &self,
        select: Select,
        buffer: &mut Vec<u8>,
        flags: i32,
    ) -> Result<Result<i64, Errno>> {
        let (kind, choice) = self.choose(select)?;
        let mut room = self.max_len;
        loop {
            match msg::receive_into(self.id, buffer, room, kind, choice | flags) {
                // It was sent while the limit was higher.
                Err(Errno::TOOBIG) if room < i32::MAX as usize => {
                    room = room.saturating_mul(2).min(i32::MAX as usize);
                }
                outcome => return Ok(outcome),
            }
        }
    }

    /// The type and flags of `msgrcv(2)` for a choice.
    #[inline]
    fn choose(&self, select: Select) -> Result<(i64, i32)> {
        match select {
            Select::Any => Ok((0, 0)),
            Select::Kind(kind) if KINDS.contains(&kind) => Ok((kind, 0)),
            Select::Except(kind) if KINDS.contains(&kind) => Ok((kind, libc::MSG_EXCEPT)),
            Select::UpTo(kind) if KINDS.contains(&kind) => Ok((-kind, 0)),
            Select::Kind(kind) | Select::Except(kind) | Select::UpTo(kind) => {
                Err(self.bad_kind("receive from", kind))
            }
        }
    }

    #[cold]
    fn bad_kind(&self, action: &'static str, kind: i64) -> Error {
        FACILITY.error(
            Kind::BadInput,
            action,
            &self.name,
            format!("a type is a number from 1 to {}, not {kind}", KINDS.end()),
        )
    }

    #[cold]
    fn failed(&self, action: &'static str, errno: Errno) -> Error {
        match errno {
            // An identifier of a removed queue is invalid until its place is taken again.
            Errno::INVAL | Errno::IDRM => {
                FACILITY.error(Kind::Removed, action, &self.name, "it was removed")
            }
            errno => FACILITY.failed(action, &self.name, errno),
        }
    }

    #[cold]
    fn not_sent(&self, kind: i64, message: &[u8], errno: Errno) -> Error {
        let error = |kind, cause: String| FACILITY.error(kind, "send to", &self.name, cause);
        let len = message.len();
        if let (Errno::AGAIN | Errno::MSGSIZE, Err(never)) = (errno, self.fits(message)) {
            return never;
        }
        match errno {
            Errno::INVAL if !KINDS.contains(&kind) => self.bad_kind("send to", kind),
            Errno::INVAL if LENGTH.value().is_some_and(|most| len as u64 > most) => {
                error(Kind::TooBig, format!("the message has {len} bytes"))
                    .with_detail(LENGTH.to_string())
            }
            Errno::AGAIN => error(Kind::WouldBlock, "it is full".into()),
            Errno::TIMEDOUT => error(
                Kind::TimedOut,
                "it is full, and nobody received within the time".into(),
            ),
            errno => self.failed("send to", errno),
        }
    }

    #[cold]
    fn not_received(&self, errno: Errno) -> Error {
        let error = |kind, cause: &str| FACILITY.error(kind, "receive from", &self.name, cause);
        match errno {
            Errno::AGAIN => error(Kind::WouldBlock, "it has no such message"),
            Errno::TIMEDOUT => error(
                Kind::TimedOut,
                "it has no such message, and nobody sent one within the time",
            ),
            Errno::TOOBIG => error(
                Kind::TooBig,
                "the message is longer than the buffer; it stays in the queue",
            ),
            Errno::NOSYS => error(Kind::Unsupported, "this kernel cannot copy a message"),
            errno => self.failed("receive from", errno),
        }
    }
}

/// Messages for ever, [`Queue::iter`].
#[derive(Debug)]
pub struct Iter<'q>(&'q Queue, Select);

impl Iterator for Iter<'_> {
    type Item = Result<Message>;

    fn next(&mut self) -> Option<Self::Item> {
        let Iter(queue, select) = *self;
        let mut bytes = Vec::new();
        let received = queue.receive_into(select, &mut bytes, 0);
        Some(match received {
            Ok(Ok(kind)) => Ok(Message { kind, bytes }),
            Ok(Err(errno)) => Err(queue.not_received(errno)),
            Err(error) => Err(error),
        })
    }
}

impl Messages for Queue {
    /// A message without a type gets type 1.
    fn send_with(&self, message: &[u8], note: Note, wait: Wait) -> Result<()> {
        if note.priority.is_some() {
            return Err(FACILITY.error(
                Kind::BadInput,
                "send to",
                &self.name,
                "its messages have a type, no priority",
            ));
        }
        let kind = note.kind.unwrap_or(1);
        match wait {
            Wait::Forever => self.send(kind, message),
            wait => self.send_until(kind, message, wait.into()),
        }
    }

    /// As `msgrcv(2)`: a negative `kind` chooses the lowest type up to its absolute value.
    fn recv_with(
        &self,
        buffer: &mut Vec<u8>,
        kind: Option<i64>,
        wait: Wait,
    ) -> Result<Option<Received>> {
        let select = match kind {
            None | Some(0) => Select::Any,
            Some(kind) if kind > 0 => Select::Kind(kind),
            Some(kind) => Select::UpTo(kind.checked_neg().unwrap_or(i64::MAX)),
        };
        let received = match wait {
            Wait::Forever => self.receive_into(select, buffer, 0)?,
            wait => {
                patience::look_again(wait.into(), || {
                    // The choice is one that cannot be refused.
                    self.receive_into(select, buffer, libc::IPC_NOWAIT)
                        .unwrap_or(Err(Errno::INVAL))
                })
            }
        };
        let kind = received.map_err(|errno| self.not_received(errno))?;
        Ok(Some(Received {
            note: Note {
                priority: None,
                kind: Some(kind),
            },
            ..Received::default()
        }))
    }

    fn max_len(&self) -> usize {
        self.max_len
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({}, id {})", self.name, self.id)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.temporary {
            // It may be gone already, and there is nobody to tell.
            let _ = msg::remove(self.id);
        }
    }
}
