//! Event counter: a 64-bit count that can be waited for with poll.
//!
//! The count belongs to nobody: nothing is held, and nothing is given back when a process dies. Whoever has
//! the descriptor, inherited or passed over a Unix socket, can add and take.
//!
//! ```
//! use wigwag::gate::event::{Event, Options};
//!
//! let event = Event::anonymous()?;
//! event.add(2)?;
//! event.add(3)?;
//! assert_eq!(event.take()?, 5); // all at once
//!
//! let permits = Options::new().semaphore(true).value(2).anonymous()?;
//! assert_eq!(permits.take()?, 1); // one at a time
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `eventfd(2)`

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::{Gate, Mode};
use crate::error::{Error, Kind, Result};
use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Accepted, Delivery, Guarantees, Overflow, PeerDeath};
use crate::interrupt;
use crate::limit::{self, Limit, Source};
use crate::wait::{Deadline, Wait};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "eventfd",
    title: "event counter (eventfd)",
    noun: "event counter",
    family: Family::Gate,
    naming: Naming::Unnamed,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: None,
    direction: Some(Direction::Many),
    reach: Reach::Related,
    pollable: true,
    named_by: "– (inherited or passed as a descriptor)",
    lives: "last process",
    carries: "a pollable count",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, GREATEST],
    guarantees: Guarantees {
        delivery: Delivery::AtMostOnce,
        accepted: Accepted::Queued,
        overflow: Overflow::Waits,
        peer_death: PeerDeath::Unnoticed,
        ..Guarantees::GATE
    },
    man: "eventfd(2)",
};

/// The greatest count.
const GREATEST: Limit = Limit {
    name: "eventfd maximum",
    bounds: "count of one event counter",
    source: Source::Fixed(u64::MAX - 1),
    errnos: &[],
};

/// How an event counter is made.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Options {
    semaphore: bool,
    value: u64,
}

impl Options {
    /// The defaults: from 0, and taking takes all.
    pub fn new() -> Self {
        Options::default()
    }

    /// Whether taking takes one instead of all.
    #[doc(alias = "EFD_SEMAPHORE")]
    pub fn semaphore(mut self, semaphore: bool) -> Self {
        self.semaphore = semaphore;
        self
    }

    /// The count it begins with.
    pub fn value(mut self, value: u64) -> Self {
        self.value = value;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// `Limit` when there are too many descriptors, or the value is greater than can be counted.
    #[doc(alias = "eventfd")]
    pub fn anonymous(&self) -> Result<Event> {
        let mut flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        if self.semaphore {
            flags |= EventfdFlags::SEMAPHORE;
        }
        let fd = eventfd(0, flags).map_err(|errno| FACILITY.failed("create", "", errno))?;
        let event = Event { fd };
        if self.value > 0 {
            event.try_add(self.value)?;
        }
        Ok(event)
    }
}

/// A count that can be waited for with poll.
///
/// Any thread may use it. Its descriptor does not block ([`O_NONBLOCK`](rustix::fs::OFlags::NONBLOCK)),
/// which all who share it share; waiting is done by poll. A signal handler that runs meanwhile does not end a wait.
#[derive(Debug)]
#[doc(alias = "eventfd")]
pub struct Event {
    fd: OwnedFd,
}

impl Event {
    /// Makes one that counts from 0 and gives all at once.
    ///
    /// # Errors
    /// As [`Options::anonymous`].
    pub fn anonymous() -> Result<Self> {
        Options::new().anonymous()
    }

    /// Takes one that was inherited or passed to us.
    ///
    /// # Errors
    /// `BadInput` when it is no event counter.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let event = Event { fd };
        if event.info()?.is_none() {
            return Err(FACILITY.error(
                Kind::BadInput,
                "take",
                "",
                "the descriptor is no event counter",
            ));
        }
        let failed = |errno| FACILITY.failed("take", "", errno);
        let flags = rustix::fs::fcntl_getfl(&event.fd).map_err(failed)?;
        rustix::fs::fcntl_setfl(&event.fd, flags | rustix::fs::OFlags::NONBLOCK).map_err(failed)?;
        Ok(event)
    }

    /// Adds to the count, waking those who wait; waits while the sum would be greater than can be counted.
    ///
    /// # Errors
    /// `BadInput` for `u64::MAX`, which cannot be added.
    #[inline]
    pub fn add(&self, count: u64) -> Result<()> {
        self.add_within(count, Deadline::Never)
    }

    /// Adds to the count if the sum can be counted.
    ///
    /// # Errors
    /// As [`add`](Self::add); `WouldBlock`.
    #[inline]
    pub fn try_add(&self, count: u64) -> Result<()> {
        self.add_within(count, Deadline::Now)
    }

    /// Takes the count, or one of it in semaphore mode, waiting until it is not 0. Returns how many were taken.
    ///
    /// # Errors
    /// None of an intact counter.
    #[inline]
    pub fn take(&self) -> Result<u64> {
        self.take_within(Deadline::Never)
    }

    /// Takes what there is; `None` when the count is 0.
    ///
    /// # Errors
    /// None of an intact counter.
    #[inline]
    pub fn try_take(&self) -> Result<Option<u64>> {
        match self.read() {
            Ok(count) => Ok(Some(count)),
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(failed("take from", errno)),
        }
    }

    /// Takes what there is, waiting so long at most.
    ///
    /// # Errors
    /// `TimedOut`.
    pub fn take_timeout(&self, limit: Duration) -> Result<u64> {
        self.take_within(Wait::For(limit).into())
    }

    /// The count now, without taking it; `None` where `/proc` does not tell.
    ///
    /// # Errors
    /// What reading `/proc` says.
    pub fn value(&self) -> Result<Option<u64>> {
        self.info()
    }

    /// A second descriptor of the same counter, to be passed on.
    ///
    /// # Errors
    /// `Limit` when there are too many.
    pub fn try_clone(&self) -> Result<Self> {
        let fd = self
            .fd
            .try_clone()
            .map_err(|cause| FACILITY.failed("duplicate", "", cause))?;
        Ok(Event { fd })
    }

    /// The kernel tells in hexadecimal, and tells it of event counters only.
    fn info(&self) -> Result<Option<u64>> {
        let path = format!(
            "/proc/self/fdinfo/{}",
            std::os::fd::AsRawFd::as_raw_fd(&self.fd)
        );
        let text =
            std::fs::read_to_string(path).map_err(|cause| FACILITY.failed("inspect", "", cause))?;
        Ok(text.lines().find_map(|line| {
            u64::from_str_radix(line.strip_prefix("eventfd-count:")?.trim(), 16).ok()
        }))
    }

    #[inline]
    fn read(&self) -> Result<u64, Errno> {
        let mut bytes = [0; 8];
        loop {
            match rustix::io::read(&self.fd, &mut bytes) {
                Ok(_) => return Ok(u64::from_ne_bytes(bytes)),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    #[inline]
    fn take_within(&self, deadline: Deadline) -> Result<u64> {
        loop {
            match self.read() {
                Ok(count) => return Ok(count),
                Err(Errno::AGAIN) => self.wait(PollFlags::IN, deadline, "take from")?,
                Err(errno) => return Err(failed("take from", errno)),
            }
        }
    }

    #[inline]
    fn add_within(&self, count: u64, deadline: Deadline) -> Result<()> {
        loop {
            match rustix::io::write(&self.fd, &count.to_ne_bytes()) {
                Ok(_) => return Ok(()),
                Err(Errno::AGAIN) if count == 1 => self.wait(PollFlags::OUT, deadline, "add to")?,
                // Ready for writing means that 1 can be added, not that `count` can: nothing to poll for.
                Err(Errno::AGAIN) if deadline.passed() => {
                    return Err(failed("add to", deadline.errno()));
                }
                Err(Errno::AGAIN) => {
                    interrupt::again().map_err(|errno| failed("add to", errno))?;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("add to", errno)),
            }
        }
    }

    #[cold]
    fn wait(&self, until: PollFlags, deadline: Deadline, action: &'static str) -> Result<()> {
        loop {
            let left = deadline.remaining();
            if left == Some(Duration::ZERO) {
                return Err(failed(action, deadline.errno()));
            }
            // A Duration too long for the kernel's time is for ever.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&self.fd, until)], left.as_ref()) {
                Ok(0) => {}
                Err(Errno::INTR) => interrupt::again().map_err(|errno| failed(action, errno))?,
                Ok(_) => return Ok(()),
                Err(errno) => return Err(failed(action, errno)),
            }
        }
    }
}

#[cold]
fn failed(action: &'static str, errno: Errno) -> Error {
    match errno {
        Errno::INVAL => FACILITY.error(
            Kind::BadInput,
            action,
            "",
            "18446744073709551615 cannot be added, the greatest count is one less",
        ),
        errno => FACILITY.failed(action, "", errno),
    }
}

impl Gate for Event {
    fn acquire_with(&self, mode: Mode, wait: Wait) -> Result<()> {
        if mode == Mode::Shared {
            let why = "an event counter has no shared mode";
            return Err(FACILITY.error(Kind::BadInput, "take from", "", why));
        }
        self.take_within(wait.into()).map(drop)
    }

    fn release(&self) -> Result<()> {
        self.add(1)
    }

    fn available(&self) -> Result<Option<u64>> {
        self.value()
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Event> for OwnedFd {
    fn from(event: Event) -> OwnedFd {
        event.fd
    }
}
