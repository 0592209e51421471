//! Mailbox: one letter and a full/empty flag in shared memory, whose layout any processor understands.
//!
//! The two classic variables: a poster fills an empty mailbox, a fetcher empties a full one. The layout is fixed,
//! little-endian and free of pointers, so the other side may be a C program, have another word size, or be no process
//! at all; `wigwag_mailbox` (`no_std`) and `wigwag_mailbox.h` describe it and speak it.
//!
//! ```
//! use wigwag::pattern::mailbox::{Mailbox, Options};
//!
//! let name = format!("/orders-{}", std::process::id());
//! let mut poster = Options::new().max_len(64).temporary(true).create(&name)?.poster()?;
//! let mut fetcher = Mailbox::open(&name)?.fetcher()?; // in another process
//! poster.post(b"full ahead")?;
//! let mut letter = [0; 64];
//! let fetched = fetcher.fetch(&mut letter)?;
//! assert_eq!(&letter[..fetched.length], b"full ahead");
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! **Who is who.** Of the processes that have it open, one is the [`Poster`] and one the [`Fetcher`]: each claims its part by a
//! lock on one byte of the object (68 and 80), which the kernel frees when the process dies. A side that takes no such lock, as a
//! C program with the header alone, must be the only one by agreement.
//!
//! **Death.** A poster that is killed in the middle has posted nothing; one that is killed in the middle of fetching has fetched
//! nothing, and its successor finds the letter. What is done when [`Fetcher::fetch`] returns is lost with its process; a program
//! that must not lose it [peeks](Fetcher::peek), deals with the letter, and [discards](Fetcher::discard) it then: a successor
//! finds the same letter with the same number. A process that is killed in the few instructions between handing over and ringing
//! leaves the other side asleep at worst until a successor claims its part, which rings again, or until its time-out.
//!
//! **Trust.** None is needed: whatever the other side writes, or if it takes the pages away, there are wrong letters or errors and
//! nothing worse.
//!
//! **Where.** `/name` is POSIX shared memory, a path (`/run/box/in`, `./in`) a mapped file, [`Options::anonymous`] a sealed memfd.
//! It begins at the first byte.
//!
//! `shm_overview(7)`, `memfd_create(2)`, `futex(2)`

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use wigwag_mailbox::{Fault, HEADER, Mailbox as Core};

pub use wigwag_mailbox::{Letter, Side, Word};

use crate::error::{Error, Kind, Result};
use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees, PeerDeath};
use crate::limit;
use crate::memory::memfd::Memfd;
use crate::memory::{Access, Region};
use crate::name::Name;
use crate::sys::vanished::Watched;
use crate::wait::{Deadline, Wait};

pub(crate) mod address;
mod bell;
mod fetcher;
mod options;
mod part;
mod poster;

pub use bell::{Bell, Eventfd, Function, Futex, Polled, Signal};
pub use fetcher::Fetcher;
pub use options::Options;
pub use poster::Poster;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "mailbox",
    title: "mailbox (data and a flag)",
    noun: "mailbox",
    family: Family::Pattern,
    naming: Naming::SlashOrPath,
    unnamed_form: true,
    persistence: Persistence::Kernel,
    boundary: Some(Boundary::Message),
    direction: Some(Direction::OneWay),
    reach: Reach::Host,
    pollable: false,
    named_by: "/name, path, or an address both processors see",
    lives: "unlink or reboot; a file: deleted",
    carries: "one letter at a time, between unlike processors",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, limit::MAPS],
    guarantees: Guarantees {
        durability: Durability::Kernel,
        peer_death: PeerDeath::Unnoticed,
        ..Guarantees::STREAM
    },
    man: "futex(2)",
};

/// One letter and a full/empty flag.
///
/// It may be shared by threads; [`poster`](Self::poster) and [`fetcher`](Self::fetcher) keep it open.
#[derive(Clone)]
pub struct Mailbox {
    shared: Arc<Shared>,
}

/// What all handles of a mailbox in this process have.
struct Shared {
    core: Core,
    /// Dropped before the pages it watches.
    watched: Option<Watched>,
    region: Box<dyn Region>,
}

/// How it is now; old by the time it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Bytes of the longest letter.
    pub max_len: usize,
    /// Whether a letter lies in it.
    pub full: bool,
    /// Whether somebody has claimed to be its poster.
    pub poster: bool,
    /// Whether somebody has claimed to be its fetcher.
    pub fetcher: bool,
}

impl Mailbox {
    /// Makes a new one for this user and letters of up to 3968 bytes.
    ///
    /// # Errors
    /// As [`Options::create`].
    pub fn create(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().create(name)
    }

    /// Opens one that exists, made by whatever program.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().open(name)
    }

    /// Opens the one that exists, or makes it.
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().open_or_create(name)
    }

    /// Opens the one that a descriptor was received for.
    ///
    /// # Errors
    /// `Corrupt` when it is no mailbox; `PermissionDenied` when it may not be written.
    pub fn from_fd(object: impl Into<OwnedFd>) -> Result<Self> {
        let region = Memfd::from_unsealed_fd(object.into())
            .map_err(|error| error.with_noun(FACILITY.noun))?;
        Self::attach(Box::new(region), Name::None)
    }

    /// Removes a name. Whoever has it open keeps it.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`; `BadName`.
    #[doc(alias = "shm_unlink")]
    pub fn unlink(name: impl AsRef<OsStr>) -> Result<()> {
        address::unlink(&options::parse(name.as_ref())?)
    }

    /// Claims to be the one that posts, with the [`Futex`] as bell.
    ///
    /// # Errors
    /// `WouldBlock` when somebody has claimed it; `PermissionDenied` or `NotFound` when the object cannot be opened
    /// once more by `/proc/self/fd`.
    pub fn poster(&self) -> Result<Poster> {
        self.poster_with(Futex, Wait::Not)
    }

    /// The same with another bell, waiting as told until whoever is the poster is gone: by the kernel's queue without a limit,
    /// else by looking again every 10 ms at last.
    ///
    /// # Errors
    /// As [`poster`](Self::poster); `TimedOut`.
    pub fn poster_with<B: Bell>(&self, bell: B, wait: Wait) -> Result<Poster<B>> {
        let part = part::claim(&self.shared, Side::Poster, wait.into())?;
        let again = self
            .shared
            .core
            .ring_again(Side::Fetcher, &bell::Waiting::new(&bell, Deadline::Now));
        self.shared.done("post to", again)?;
        Ok(Poster::new(self.shared.clone(), part, bell))
    }

    /// Claims to be the one that fetches, with the [`Futex`] as bell.
    ///
    /// # Errors
    /// As [`poster`](Self::poster).
    pub fn fetcher(&self) -> Result<Fetcher> {
        self.fetcher_with(Futex, Wait::Not)
    }

    /// The same with another bell, waiting as told until whoever is the fetcher is gone.
    ///
    /// # Errors
    /// As [`poster_with`](Self::poster_with).
    pub fn fetcher_with<B: Bell>(&self, bell: B, wait: Wait) -> Result<Fetcher<B>> {
        let part = part::claim(&self.shared, Side::Fetcher, wait.into())?;
        let again = self
            .shared
            .core
            .ring_again(Side::Poster, &bell::Waiting::new(&bell, Deadline::Now));
        self.shared.done("fetch from", again)?;
        Ok(Fetcher::new(self.shared.clone(), part, bell))
    }

    /// The longest letter in bytes.
    #[must_use]
    pub fn max_len(&self) -> usize {
        self.shared.core.capacity()
    }

    /// How it is now.
    ///
    /// # Errors
    /// `Corrupt` when the other side broke it.
    pub fn stat(&self) -> Result<Stat> {
        let full = self.shared.core.is_full();
        Ok(Stat {
            max_len: self.max_len(),
            full: self.shared.done("inspect", full)?,
            poster: part::is_claimed(&self.shared, Side::Poster)?,
            fetcher: part::is_claimed(&self.shared, Side::Fetcher)?,
        })
    }

    /// Finds the mailbox in a region.
    fn attach(region: Box<dyn Region>, name: Name) -> Result<Self> {
        let mapping = region.mapping();
        let refuse = |kind, why: String| FACILITY.error(kind, "open", &name, why);
        let again = "remove it and create it again";
        if mapping.access() != Access::ReadWrite {
            let why = "both sides write to it, and it was opened for reading only";
            return Err(refuse(Kind::PermissionDenied, why.into()));
        }
        let len = mapping.len();
        if len < HEADER {
            let why = format!("it has {len} bytes, a mailbox has {HEADER} or more");
            return Err(refuse(Kind::Corrupt, why).with_hint(again));
        }
        let watched = mapping.watched();
        let memory = mapping.place::<[u8; HEADER]>(0)?.cast().as_ptr();
        // SAFETY: the whole mapping, which the region keeps as long as the core lives; it is writable, and no reference to
        // its bytes exists in this process. Pages that a peer takes away are watched.
        let core = unsafe { Core::attach(memory, len) }.map_err(|fault| match fault {
            Fault::NotYet => {
                let why = "it holds no mailbox, or one whose maker has not finished";
                refuse(Kind::Corrupt, why.into()).with_hint(again)
            }
            Fault::Version(_) => refuse(Kind::Unsupported, fault.to_string()),
            _ => {
                let why = format!("it has {len} bytes, which are not enough for the letters it is for: it was truncated");
                refuse(Kind::Corrupt, why).with_hint(again)
            }
        })?;
        let shared = Shared {
            core,
            watched,
            region,
        };
        // The first page may have gone meanwhile.
        shared.is_there("open")?;
        Ok(Mailbox {
            shared: Arc::new(shared),
        })
    }
}

impl Shared {
    /// What it is called in messages.
    fn name(&self) -> &Name {
        self.region.mapping().name()
    }

    fn error(&self, kind: Kind, action: &'static str, why: impl Into<String>) -> Error {
        FACILITY.error(kind, action, self.name(), why)
    }

    /// Whether all of it was there whenever it was touched.
    #[inline]
    fn is_there(&self, action: &'static str) -> Result<()> {
        match &self.watched {
            Some(watched) if watched.has_vanished() => Err(self.vanished(action)),
            _ => Ok(()),
        }
    }

    #[cold]
    fn vanished(&self, action: &'static str) -> Error {
        let now = self.region.mapping().object_len().ok().flatten();
        let why = format!("somebody truncated it to {} bytes", now.unwrap_or(0));
        self.error(Kind::Corrupt, action, why)
            .with_hint("remove it and create it again")
    }

    /// The outcome of an operation of the core that was not to wait.
    #[inline]
    fn done<T>(&self, action: &'static str, outcome: Result<T, Fault>) -> Result<T> {
        self.is_there(action)?;
        outcome.map_err(|fault| self.refused(action, fault))
    }

    #[cold]
    fn refused(&self, action: &'static str, fault: Fault) -> Error {
        let (kind, why) = match fault {
            Fault::Full => (Kind::WouldBlock, "a letter lies in it"),
            Fault::Empty => (Kind::WouldBlock, "no letter lies in it"),
            Fault::TooBig => (Kind::TooBig, "the letter is too long"),
            _ => (Kind::Corrupt, "it holds what no mailbox can hold"),
        };
        self.error(kind, action, why)
    }
}

impl AsFd for Mailbox {
    /// The descriptor of the memory, to be passed to another process.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.region.mapping().object_fd()
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("name", self.shared.name())
            .field("max_len", &self.max_len())
            .finish_non_exhaustive()
    }
}
