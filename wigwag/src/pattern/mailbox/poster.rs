//! Poster: the one that puts letters into a mailbox.

use std::sync::Arc;
use std::time::Duration;

use wigwag_mailbox::{Fault, Side};

use super::bell::{Bell, Futex, Waiting};
use super::part::Part;
use super::{Mailbox, Shared};
use crate::error::{Error, Kind, Result};
use crate::wait::{Deadline, Wait};

/// The one that puts letters into a mailbox.
///
/// Its claim ends when it is dropped. A child that is forked shares the claim: only one of the two may go on posting.
pub struct Poster<B = Futex> {
    shared: Arc<Shared>,
    bell: B,
    _part: Part,
}

impl<B: Bell> Poster<B> {
    pub(super) fn new(shared: Arc<Shared>, part: Part, bell: B) -> Self {
        Poster {
            shared,
            bell,
            _part: part,
        }
    }

    /// Puts a letter in, waiting for the mailbox to be empty.
    ///
    /// # Errors
    /// `TooBig` when the letter is longer than [`Mailbox::max_len`]; `Corrupt` when the other side broke the mailbox or took
    /// its memory away; whatever the bell says.
    pub fn post(&mut self, letter: &[u8]) -> Result<()> {
        self.post_with(0, letter, Wait::Forever)
    }

    /// Puts a letter in if the mailbox is empty.
    ///
    /// # Errors
    /// As [`post`](Self::post); `WouldBlock`.
    #[inline]
    pub fn try_post(&mut self, letter: &[u8]) -> Result<()> {
        self.post_with(0, letter, Wait::Not)
    }

    /// Puts a letter in, waiting so long at most.
    ///
    /// # Errors
    /// As [`post`](Self::post); `TimedOut`.
    pub fn post_timeout(&mut self, letter: &[u8], limit: Duration) -> Result<()> {
        self.post_with(0, letter, Wait::For(limit))
    }

    /// Puts a letter of a kind in, the program's own word that comes with it; waits as told.
    ///
    /// # Errors
    /// As [`post`](Self::post); `WouldBlock`, `TimedOut`.
    pub fn post_with(&mut self, kind: u32, letter: &[u8], wait: Wait) -> Result<()> {
        let deadline = wait.into();
        let bell = Waiting::new(&self.bell, deadline);
        let outcome = match deadline {
            Deadline::Now => self.shared.core.try_post(kind, letter, &bell),
            _ => self.shared.core.post(kind, letter, &bell),
        };
        match outcome {
            Ok(()) => self.shared.is_there("post to"),
            Err(fault) => {
                let told = bell.told();
                Err(self.refused(letter.len(), deadline, fault, told))
            }
        }
    }

    /// Wants the bell when the mailbox becomes empty; whether it is empty now, and no bell will come. For a bell with a
    /// descriptor that is polled; it lasts until the next call that waits.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn listen(&self) -> Result<bool> {
        let empty = self.shared.core.listen(Side::Poster);
        self.shared.done("post to", empty)
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
    fn refused(&self, len: usize, deadline: Deadline, fault: Fault, told: Option<Error>) -> Error {
        if let Err(gone) = self.shared.is_there("post to") {
            return gone;
        }
        match (fault, told) {
            (Fault::Full, Some(told)) => told,
            (Fault::Full, None) if !matches!(deadline, Deadline::Now) => {
                let why = "a letter lies in it that nobody fetched within the time";
                self.shared.error(Kind::TimedOut, "post to", why)
            }
            (Fault::TooBig, _) => {
                let longest = self.shared.core.capacity();
                let why = format!("the letter has {len} bytes, the longest has {longest}");
                self.shared.error(Kind::TooBig, "post to", why)
            }
            (fault, _) => self.shared.refused("post to", fault),
        }
    }
}

impl<B> std::fmt::Debug for Poster<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poster")
            .field("name", self.shared.name())
            .finish_non_exhaustive()
    }
}
