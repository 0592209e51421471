//! Snapshot: every object of every facility at one moment, with the processes that hold them and what could not be seen.
//!
//! It is read in one pass over `/proc` and a few tables, while the machine goes on: an object may be gone when its holders are
//! read. It stops nobody, opens no pipe or FIFO, and takes no message.
//!
//! ```
//! use wigwag_observe::Snapshot;
//!
//! let (reader, _writer) = std::io::pipe()?;
//! let snapshot = Snapshot::builder().facilities(["pipe"]).pids([std::process::id()]).capture()?;
//! assert!(snapshot.objects.iter().any(|pipe| pipe.holders.len() >= 2));
//! # drop(reader);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::capture;
use crate::object::Object;
use crate::proc::{SignalSet, TaskState};

/// What was there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// Version of this form of data.
    pub version: u32,
    /// When it was taken, seconds since 1970.
    pub taken: i64,
    /// How long that took, milliseconds.
    pub took_ms: u64,
    /// The objects, by facility and name.
    pub objects: Vec<Object>,
    /// The processes, by number; threads of the kernel are left out.
    pub processes: Vec<ProcessEntry>,
    /// What could not be read.
    pub unseen: Vec<Unseen>,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessEntry {
    /// Its number.
    pub pid: u32,
    /// Its start, clock ticks since boot: with the number it is unmistakable.
    pub start: u64,
    /// Its parent.
    pub ppid: u32,
    /// Its name.
    pub comm: String,
    /// Its effective user.
    pub uid: u32,
    /// That user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What its first thread does.
    pub state: TaskState,
    /// Number of threads.
    pub threads: u32,
    /// Number of descriptors; absent when they could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<usize>,
    /// Its signals.
    pub signals: Signals,
}

/// The signals of a process, by number; the masks are the first thread's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Signals {
    /// Sent and not yet delivered.
    pub pending: Vec<u32>,
    /// Held back.
    pub blocked: Vec<u32>,
    /// Thrown away.
    pub ignored: Vec<u32>,
    /// Handled.
    pub caught: Vec<u32>,
    /// Queued for the user, all processes together.
    pub queued: u64,
}

impl Signals {
    pub(crate) fn list(set: SignalSet) -> Vec<u32> {
        set.iter().collect()
    }
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// The process, if it is about one; 0 for all that are hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<String>,
    /// What: `descriptors`, `mappings`, `memory`, `system calls`, the whole `process`, `processes of other users`, a table.
    pub what: String,
    /// Why not.
    pub reason: String,
}

impl Snapshot {
    /// Looks at everything.
    ///
    /// # Errors
    /// Only when `/proc` cannot be used at all: what is missing otherwise is in [`Snapshot::unseen`].
    pub fn capture() -> io::Result<Snapshot> {
        Snapshot::builder().capture()
    }

    /// Says what to look at.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The process with this number.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<&ProcessEntry> {
        self.processes
            .binary_search_by_key(&pid, |process| process.pid)
            .ok()
            .map(|at| &self.processes[at])
    }

    /// The object with this address, or with this name under any facility.
    #[must_use]
    pub fn find(&self, address_or_name: &str) -> Vec<&Object> {
        let address = address_or_name.parse::<wigwag::Address>().ok();
        let wanted = address.as_ref().map(ToString::to_string);
        // Options say how to open; a range says which lock.
        let meant = address
            .filter(|address| address.options().get("range").is_none())
            .and_then(|address| {
                let mut meant = wigwag::catalog::resolve(&address).ok()?;
                meant.target.name = meant.kernel_name("look at").ok()?;
                Some(meant)
            });
        self.objects
            .iter()
            .filter(|object| {
                object.address.as_deref() == Some(address_or_name)
                    || object.address.is_some() && object.address == wanted
                    || meant.as_ref().is_some_and(|meant| object.is_at(meant))
                    || object.name.as_bytes() == address_or_name.as_bytes()
            })
            .collect()
    }

    /// The objects that nobody seems to use.
    pub fn leaks(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(|object| object.leak.is_some())
    }
}

/// What to look at; everything unless it is narrowed.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    pub(crate) facilities: Option<Vec<String>>,
    pub(crate) pids: Option<Vec<u32>>,
    pub(crate) waiters: bool,
    pub(crate) patience: Duration,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            facilities: None,
            pids: None,
            waiters: true,
            patience: Duration::from_secs(2),
        }
    }
}

impl Builder {
    /// Only these facilities, by scheme; what only the others need is not read.
    pub fn facilities<S: Into<String>>(mut self, schemes: impl IntoIterator<Item = S>) -> Self {
        self.facilities = Some(schemes.into_iter().map(Into::into).collect());
        self
    }

    /// Only what these processes hold, wait for, or have the other end of. Everybody's part in it is still shown.
    pub fn pids(mut self, pids: impl IntoIterator<Item = u32>) -> Self {
        self.pids = Some(pids.into_iter().collect());
        self
    }

    /// Whether to look at what threads sleep in (default: yes). Without it nobody's memory and no system call is read.
    pub fn waiters(mut self, yes: bool) -> Self {
        self.waiters = yes;
        self
    }

    /// How long one process may keep us waiting for its tables before it is given up (default: 2 s).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Looks.
    ///
    /// # Errors
    /// Only when `/proc` cannot be used at all.
    pub fn capture(&self) -> io::Result<Snapshot> {
        capture::capture(self)
    }

    pub(crate) fn wants(&self, scheme: &str) -> bool {
        self.facilities
            .as_ref()
            .is_none_or(|wanted| wanted.iter().any(|one| one == scheme))
    }

    pub(crate) fn wants_any(&self, schemes: &[&str]) -> bool {
        schemes.iter().any(|scheme| self.wants(scheme))
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().cast_signed())
}
