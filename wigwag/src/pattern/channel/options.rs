//! Options: how a channel is made or opened, the same for every flavour.
//!
//! The type of the result chooses the flavour and what goes through it:
//!
//! ```
//! use wigwag::pattern::channel::{Options, one_to_one::Channel};
//!
//! let name = format!("/readings-{}", std::process::id());
//! let made: Channel<u64> = Options::new().capacity(64).temporary(true).create(&name)?;
//! let opened: Channel<u64> = Options::new().open(&name)?; // in another process
//! made.sender()?.send(7)?;
//! assert_eq!(*opened.receiver()?.recv()?, 7);
//! # Ok::<(), wigwag::Error>(())
//! ```

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::FACILITY;
use super::flavour::sealed::Form as _;
use super::flavour::{Flavour, element};
use super::full::Full;
use super::region::{How, Kin, Plan, Region};
use super::waiting::Waiting;
use crate::error::{Kind, Result};
use crate::memory::segment::file::Verb;
use crate::memory::segment::{self, Trust};
use crate::name::Name;
use crate::shared::Death;

/// How a channel is to be made or opened.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Options {
    capacity: Option<u64>,
    full: Full,
    seats: Option<u32>,
    mode: Option<u32>,
    temporary: bool,
    keep: bool,
    trust: Trust,
    waiting: Waiting,
}

impl Options {
    /// The defaults: 1,024 values or 64 KiB of messages, the sender waits when it is full, for this user only, left behind.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many values it holds, or how many bytes of messages; rounded up to a power of two. For a new channel.
    pub fn capacity(mut self, capacity: u64) -> Self {
        self.capacity = Some(capacity);
        self
    }

    /// What becomes of a value for which there is no room. For a new channel.
    pub fn full(mut self, full: Full) -> Self {
        self.full = full;
        self
    }

    /// How many senders and receivers together it can have at a time. For a new channel of a flavour that has many.
    pub fn seats(mut self, seats: u32) -> Self {
        self.seats = Some(seats);
        self
    }

    /// Who may open a new one: exactly this mode, whatever the umask. Otherwise 0600, less the umask.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Whether the name is removed when the channel and its ends in this process are dropped. Not when it is killed.
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    /// With this, [`create`](Self::create) leaves alone a channel that waits for its next ends.
    pub(crate) fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// Whether the processes trust each other; all must say the same. [`Trust::Nobody`] copies each value
    /// once more, so that no peer can change it while it is looked at.
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// How the ends of this process wait.
    pub fn waiting(mut self, waiting: Waiting) -> Self {
        self.waiting = waiting;
        self
    }

    /// Makes a new one. One of that name whose creator and ends are all gone is replaced; what was in it is lost.
    ///
    /// # Errors
    /// `AlreadyExists`; `BadInput` for a policy that the flavour has not; `Limit` when there is no room; `PermissionDenied`.
    pub fn create<C: Flavour>(&self, name: impl AsRef<OsStr>) -> Result<C> {
        self.at(name.as_ref(), Verb::Create)
    }

    /// Opens one that exists; capacity and policy are those it was made with.
    ///
    /// # Errors
    /// `NotFound`; `BadInput` when it is of another flavour or carries other values; `Corrupt` when it is no channel, or unfinished
    /// by a creator that died; `Unsupported` when this program counts otherwise (version, pid namespace).
    pub fn open<C: Flavour>(&self, name: impl AsRef<OsStr>) -> Result<C> {
        self.at(name.as_ref(), Verb::Open)
    }

    /// Opens the one that exists or makes it; of several at once, one makes it and the others open that.
    ///
    /// # Errors
    /// Those of both.
    pub fn open_or_create<C: Flavour>(&self, name: impl AsRef<OsStr>) -> Result<C> {
        self.at(name.as_ref(), Verb::Either)
    }

    /// Makes one without a name, to be inherited or sent as a descriptor.
    ///
    /// # Errors
    /// `Limit` when there is no room.
    pub fn anonymous<C: Flavour>(&self) -> Result<C> {
        let plan = self.plan::<C>()?;
        let region = self.with::<C, _>(|how, kin| Region::anonymous(how, kin, plan))?;
        Ok(C::of(Arc::new(region), self.waiting))
    }

    /// Opens the one for which a descriptor was received.
    ///
    /// # Errors
    /// As for [`open`](Self::open), and `Unsupported` for a memfd that a peer could shrink.
    pub fn from_fd<C: Flavour>(&self, file: impl Into<OwnedFd>) -> Result<C> {
        let region = self.with::<C, _>(|how, kin| Region::received(how, file.into(), kin))?;
        Ok(C::of(Arc::new(region), self.waiting))
    }

    fn at<C: Flavour>(&self, name: &OsStr, verb: Verb) -> Result<C> {
        let name = Name::parse(&FACILITY, name.as_bytes())?;
        let plan = match verb {
            Verb::Open => None,
            _ => Some(self.plan::<C>().map_err(|e| e.with_object(&name))?),
        };
        let region = self.with::<C, _>(|how, kin| Region::at(how, name, verb, kin, plan))?;
        Ok(C::of(Arc::new(region), self.waiting))
    }

    fn plan<C: Flavour>(&self) -> Result<Plan> {
        let capacity = self
            .capacity
            .unwrap_or_else(C::Form::capacity::<C::Element>);
        if capacity == 0 {
            let why = "a channel holds at least one value";
            return Err(FACILITY.error(Kind::BadInput, "create", "", why));
        }
        let seats = self.seats.unwrap_or(C::Form::SEATS);
        C::Form::plan::<C::Element>(capacity, self.full, seats)
    }

    fn with<C: Flavour, R>(&self, run: impl FnOnce(&How<'_>, &Kin<'_>) -> Result<R>) -> Result<R> {
        let mut segment = segment::Options::new()
            .trust(self.trust)
            .death(Death::Watched);
        if let Some(mode) = self.mode {
            segment = segment.mode(mode);
        }
        let how = How {
            segment: &segment,
            temporary: self.temporary,
            keep: self.keep,
            trust: self.trust,
        };
        let kin = Kin {
            layout: C::Form::layout::<C::Element>().hash(),
            name: &format!("{} channel of {}", C::Form::NAME, element::<C::Element>()),
            twice: C::Form::is_twice::<C::Element>(),
            plan: &C::Form::plan::<C::Element>,
        };
        run(&how, &kin)
    }
}
