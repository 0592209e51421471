//! Fetcher: the one that takes letters out of a mailbox.

use std::sync::Arc;
use std::time::Duration;

use wigwag_mailbox::{Fault, Letter, Side};

use super::bell::{Bell, Futex, Waiting};
use super::part::Part;
use super::{Mailbox, Shared};
use crate::error::{Error, Kind, Result};
use crate::wait::{Deadline, Wait};

/// The one that takes letters out of a mailbox.
///
/// Its claim ends when it is dropped. A child that is forked shares the claim: only one of the two may go on fetching.
pub struct Fetcher<B = Futex> {
    shared: Arc<Shared>,
    bell: B,
    _part: Part,
}

impl<B: Bell> Fetcher<B> {
    pub(super) fn new(shared: Arc<Shared>, part: Part, bell: B) -> Self {
        Fetcher {
            shared,
            bell,
            _part: part,
        }
    }

    /// Copies the letter out and leaves the mailbox empty, waiting for one.
    ///
    /// # Errors
    /// `TooBig` when it is longer than `buffer`, and then it stays; `Corrupt` when the other side broke the mailbox or took
    /// its memory away; whatever the bell says.
    pub fn fetch(&mut self, buffer: &mut [u8]) -> Result<Letter> {
        self.fetch_with(buffer, Wait::Forever)
    }

    /// Copies the letter out and leaves the mailbox empty, if there is one.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); `WouldBlock`.
    #[inline]
    pub fn try_fetch(&mut self, buffer: &mut [u8]) -> Result<Letter> {
        self.fetch_with(buffer, Wait::Not)
    }

    /// Copies the letter out and leaves the mailbox empty, waiting so long for one at most.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); `TimedOut`.
    pub fn fetch_timeout(&mut self, buffer: &mut [u8], limit: Duration) -> Result<Letter> {
        self.fetch_with(buffer, Wait::For(limit))
    }

    /// The same, waiting as told.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); `WouldBlock`, `TimedOut`.
    pub fn fetch_with(&mut self, buffer: &mut [u8], wait: Wait) -> Result<Letter> {
        let deadline = wait.into();
        let bell = Waiting::new(&self.bell, deadline);
        let outcome = match deadline {
            Deadline::Now => self.shared.core.try_fetch(buffer, &bell),
            _ => self.shared.core.fetch(buffer, &bell),
        };
        match outcome {
            Ok(letter) => self.shared.is_there("fetch from").map(|()| letter),
            Err(fault) => {
                let told = bell.told();
                Err(self.refused(buffer.len(), deadline, fault, told))
            }
        }
    }

    /// Copies the letter out and leaves it there, until it is [discarded](Self::discard) or fetched.
    ///
    /// # Errors
    /// As [`try_fetch`](Self::try_fetch).
    pub fn peek(&mut self, buffer: &mut [u8]) -> Result<Letter> {
        let letter = self.shared.core.peek(buffer);
        letter
            .map_err(|fault| self.refused(buffer.len(), Deadline::Now, fault, None))
            .and_then(|letter| self.shared.is_there("fetch from").map(|()| letter))
    }

    /// Takes the letter out without looking at it: the acknowledgement of one that was peeked at.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; `Corrupt`.
    pub fn discard(&mut self) -> Result<()> {
        let bell = Waiting::new(&self.bell, Deadline::Now);
        let outcome = self.shared.core.discard(&bell);
        self.shared.done("fetch from", outcome)
    }

    /// Wants the bell when a letter comes; whether one lies there now, and no bell will come. For a bell with a descriptor that
    /// is polled; it lasts until the next call that waits.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn listen(&self) -> Result<bool> {
        let full = self.shared.core.listen(Side::Fetcher);
        self.shared.done("fetch from", full)
    }

    /// The mailbox.
    #[must_use]
    pub fn mailbox(&self) -> Mailbox {
        Mailbox {
            shared: self.shared.clone(),
        }
    }

    /// Its bell.
    #[must_use]
    pub fn bell(&self) -> &B {
        &self.bell
    }

    #[cold]
    fn refused(&self, room: usize, deadline: Deadline, fault: Fault, told: Option<Error>) -> Error {
        if let Err(gone) = self.shared.is_there("fetch from") {
            return gone;
        }
        match (fault, told) {
            (Fault::Empty, Some(told)) => told,
            (Fault::Empty, None) if !matches!(deadline, Deadline::Now) => {
                let why = "no letter came within the time";
                self.shared.error(Kind::TimedOut, "fetch from", why)
            }
            (Fault::TooBig, _) => {
                let why = format!("the letter is longer than the {room} bytes of the buffer");
                self.shared.error(Kind::TooBig, "fetch from", why)
            }
            (fault, _) => self.shared.refused("fetch from", fault),
        }
    }
}

impl<B> std::fmt::Debug for Fetcher<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("name", self.shared.name())
            .finish_non_exhaustive()
    }
}
