//! Holder: a process that has an object, through which descriptor or mapping, and in which role.

use serde::Serialize;

use super::Name;

/// What a process can do with the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Takes out: the read end, a receiver.
    Reads,
    /// Puts in: the write end, a sender.
    Writes,
    /// Both.
    Both,
    /// Has it open only to know it (`O_PATH`).
    Knows,
    /// Has mapped it, for reading.
    MapsRead,
    /// Has mapped it, for writing.
    MapsWrite,
    /// Owns the lock or lease.
    Owns,
    /// Has the master side of a terminal.
    Master,
    /// Has the slave side of a terminal.
    Slave,
}

impl Role {
    /// Whether data can be taken out.
    #[must_use]
    pub fn reads(self) -> bool {
        matches!(self, Role::Reads | Role::Both | Role::Master | Role::Slave)
    }

    /// Whether data can be put in.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Role::Writes | Role::Both | Role::Master | Role::Slave)
    }

    /// Whether it can change memory that is shared.
    #[must_use]
    pub fn writes_memory(self) -> bool {
        self == Role::MapsWrite
    }

    /// The role as a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::Reads => "reads",
            Role::Writes => "writes",
            Role::Both => "both",
            Role::Knows => "knows",
            Role::MapsRead => "maps read-only",
            Role::MapsWrite => "maps",
            Role::Owns => "owns",
            Role::Master => "master",
            Role::Slave => "slave",
        }
    }
}

/// A process that has an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// The descriptor; absent for a mapping, and for an owner that is known by number only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// Start of the mapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapped_at: Option<u64>,
    /// What it can do.
    pub role: Role,
    /// Whether the process is there: the taker of a lock may have died and left it to a child.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dead: bool,
}

/// A thread that sleeps until something happens to the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiter {
    /// Its process.
    pub pid: u32,
    /// The thread; absent where only the process is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<u32>,
    /// Name of the thread.
    pub comm: String,
    /// What it wants: `read`, `write`, `lock`, `receive`…
    #[serde(rename = "for")]
    pub wants: &'static str,
    /// How long it has slept, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
}

/// The other end of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Peer {
    /// What it is called; empty for an unnamed Unix socket.
    pub name: Name,
    /// Its inode number, when it is on this machine and known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Who has it; nobody while it waits to be accepted, or when it is on another machine.
    pub holders: Vec<Holder>,
    /// It waits to be accepted by a listener.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unaccepted: bool,
}
