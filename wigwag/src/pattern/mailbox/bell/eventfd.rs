//! Eventfd: a bell that is a descriptor, to be polled beside others.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use wigwag_mailbox::{Side, Word};

use super::Bell;
use crate::error::{Kind, Result};
use crate::gate::event::Event;

/// Two event counters, one for each side.
///
/// Made by one process; the other inherits the descriptors, or gets them over a Unix socket. To sleep in `poll(2)` instead of in a
/// call of this library: [`listen`](super::super::Fetcher::listen), then poll the [descriptor](Self::descriptor) of the own side,
/// then [`clear`](Self::clear) and try.
#[derive(Debug)]
#[doc(alias = "eventfd")]
pub struct Eventfd {
    poster: Event,
    fetcher: Event,
}

impl Eventfd {
    /// Makes both counters.
    ///
    /// # Errors
    /// `Limit` when there are too many descriptors.
    pub fn new() -> Result<Self> {
        Ok(Eventfd {
            poster: Event::anonymous()?,
            fetcher: Event::anonymous()?,
        })
    }

    /// Takes those that the other process made.
    ///
    /// # Errors
    /// `BadInput` when one is no event counter.
    pub fn from_fds(poster: OwnedFd, fetcher: OwnedFd) -> Result<Self> {
        Ok(Eventfd {
            poster: Event::from_fd(poster)?,
            fetcher: Event::from_fd(fetcher)?,
        })
    }

    /// The descriptor that is readable when this side is rung for.
    #[must_use]
    pub fn descriptor(&self, side: Side) -> BorrowedFd<'_> {
        self.of(side).as_fd()
    }

    /// Makes it silent again.
    ///
    /// # Errors
    /// What `read(2)` says.
    pub fn clear(&self, side: Side) -> Result<()> {
        self.of(side).try_take().map(drop)
    }

    fn of(&self, side: Side) -> &Event {
        match side {
            Side::Poster => &self.poster,
            Side::Fetcher => &self.fetcher,
        }
    }
}

impl Bell for Eventfd {
    fn ring(&self, side: Side, _: &Word) {
        // A counter that is full is loud enough.
        let _ = self.of(side).try_add(1);
    }

    fn wait(&self, side: Side, _: &Word, _: u32, limit: Option<Duration>) -> Result<()> {
        let rung = match limit {
            Some(limit) => self.of(side).take_timeout(limit),
            None => self.of(side).take(),
        };
        match rung {
            Err(error) if error.kind() != Kind::TimedOut => Err(error),
            _ => Ok(()),
        }
    }
}
