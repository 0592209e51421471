//! Object: one thing processes communicate through, of whatever kind, with who has it, who waits for it, and how full it is.
//!
//! | need | use |
//! |---|---|
//! | what it is and what it is called | [`Object::facility`], [`Object::name`], [`Object::address`] |
//! | who has it | [`Object::holders`] → [`Holder`] |
//! | who waits | [`Object::waiters`] → [`Waiter`] |
//! | the other end of a socket | [`Object::peers`] → [`Peer`] |
//! | how full | [`Object::fill`] → [`Fill`] |
//! | how long it lives | [`Object::persistence`] |
//! | nobody uses it | [`Object::leak`] → [`Leak`] |
//!
//! All of it serializes: numbers are numbers, absent is absent, and a name that is not UTF-8 is there byte for byte as well.

mod fill;
mod gate;
mod holder;
mod leak;
mod name;

pub use fill::{Fill, Unit};
pub use gate::Gate;
pub use holder::{Holder, Peer, Role, Waiter};
pub use leak::{Leak, LeakCertainty, LeakKind};
pub use name::Name;

use serde::{Serialize, Serializer};
use wigwag::Address;
use wigwag::facility::Persistence;

/// The schemes of the facilities, in the order of the catalog; then the other kinds of descriptor that carry events.
pub const FACILITIES: &[&str] = &[
    "pipe",
    "fifo",
    "unix",
    "tcp",
    "pty",
    "mq",
    "sysv-mq",
    "unix-dgram",
    "unix-seqpacket",
    "udp",
    "shm",
    "sysv-shm",
    "file",
    "memfd",
    "sem",
    "sysv-sem",
    "flock",
    "lockf",
    "ofd",
    "lease",
    "eventfd",
    "signal",
    "channel",
    "mailbox",
    "signalfd",
    "timerfd",
    "epoll",
    "inotify",
    "fanotify",
    "pidfd",
    "io_uring",
    "userfaultfd",
];

/// A further fact about an object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// Several numbers.
    Numbers(Vec<u64>),
    /// The gates in a segment.
    Gates(Vec<Gate>),
    /// The semaphores of a set.
    Semaphores(Vec<crate::proc::sysvipc::Semaphore>),
}

impl std::fmt::Display for Value {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |out: &mut std::fmt::Formatter<'_>, items: &mut dyn Iterator<Item = String>| {
            out.write_str(&items.collect::<Vec<_>>().join(" "))
        };
        match self {
            Value::Flag(flag) => write!(out, "{}", if *flag { "yes" } else { "no" }),
            Value::Number(number) => write!(out, "{number}"),
            Value::Text(text) => out.write_str(text),
            Value::Numbers(numbers) => list(out, &mut numbers.iter().map(u64::to_string)),
            Value::Gates(gates) => out.write_str(
                &gates
                    .iter()
                    .map(Gate::to_string)
                    .collect::<Vec<_>>()
                    .join("; "),
            ),
            Value::Semaphores(all) => list(
                out,
                &mut all
                    .iter()
                    .map(|one| format!("{}={}", one.number, one.value)),
            ),
        }
    }
}

/// One object of one facility.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Object {
    /// Scheme of the facility, one of [`FACILITIES`].
    pub facility: &'static str,
    /// What it is called: a path, `/name`, `@abstract`, a key, `pipe:[INO]`.
    pub name: Name,
    /// The name exactly, when it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_bytes: Option<Vec<u8>>,
    /// What `wigwag rm`, `send` and the like accept, such as `mq:/jobs`; absent for an object that cannot be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Inode number, System V identifier, eventfd id, or terminal number: what the kernel's tables call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Owner's user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Owner's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Permission bits, as a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// State in a word: `listening`, `connected`, `removed`, `write`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// How full it is; the first is the one that makes a sender wait.
    pub fill: Vec<Fill>,
    /// Who has it open, mapped or locked.
    pub holders: Vec<Holder>,
    /// Threads that sleep until something happens to it.
    pub waiters: Vec<Waiter>,
    /// How many wait, where the object itself counts them: it may be more than could be identified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u32>,
    /// The other ends of a socket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Peer>,
    /// When it was made, seconds since 1970, where that is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,
    /// When it was last used, seconds since 1970, where that is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used: Option<i64>,
    /// How long it lives.
    #[serde(serialize_with = "as_word")]
    pub persistence: Persistence,
    /// Set when nobody seems to use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak: Option<Leak>,
    /// Facts that only this facility has.
    #[serde(serialize_with = "as_map", skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<(&'static str, Value)>,
    /// What could not be read, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
}

fn as_word<S: Serializer>(persistence: &Persistence, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(persistence)
}

fn as_map<S: Serializer>(
    details: &[(&'static str, Value)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(details.iter().map(|(name, value)| (name, value)))
}

impl Object {
    /// An object of which nothing but the name is known yet.
    pub(crate) fn new(
        facility: &'static str,
        name: impl Into<Name>,
        persistence: Persistence,
    ) -> Self {
        let name = name.into();
        Object {
            facility,
            name_bytes: name.odd_bytes(),
            name,
            address: None,
            id: None,
            uid: None,
            user: None,
            mode: None,
            state: None,
            fill: Vec::new(),
            holders: Vec::new(),
            waiters: Vec::new(),
            waiting: None,
            peers: Vec::new(),
            created: None,
            last_used: None,
            persistence,
            leak: None,
            details: Vec::new(),
            unseen: Vec::new(),
        }
    }

    /// With the address `scheme:name`.
    pub(crate) fn addressable(mut self) -> Self {
        self.set_address();
        self
    }

    /// Makes the address from facility and name.
    pub(crate) fn set_address(&mut self) {
        self.address = Address::new(self.facility, self.name.as_bytes())
            .ok()
            .map(|address| address.to_string());
    }

    /// Adds a fact.
    pub(crate) fn detail(&mut self, name: &'static str, value: Value) {
        self.details.push((name, value));
    }

    /// A fact by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.details
            .iter()
            .find_map(|(known, value)| (*known == name).then_some(value))
    }

    /// Whether any thread waits for it.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        // A POSIX semaphore goes on counting those that were killed while they waited; who waits has it mapped.
        let counts = self.facility != "sem" || !self.holders.is_empty();
        !self.waiters.is_empty() || counts && self.waiting.is_some_and(|count| count > 0)
    }

    /// Whether the process holds it, waits for it, or has its other end.
    #[must_use]
    pub fn concerns(&self, pid: u32) -> bool {
        self.facility == "signal" && self.id == Some(u64::from(pid))
            || self.holders.iter().any(|holder| holder.pid == pid)
            || self.waiters.iter().any(|waiter| waiter.pid == pid)
            || self
                .peers
                .iter()
                .any(|peer| peer.holders.iter().any(|holder| holder.pid == pid))
    }

    /// Seconds since its last use, or since it was made where no use is recorded; `now` in seconds since 1970.
    #[must_use]
    pub fn age(&self, now: i64) -> Option<u64> {
        let when = self.last_used.or(self.created)?;
        u64::try_from(now - when).ok()
    }
}
