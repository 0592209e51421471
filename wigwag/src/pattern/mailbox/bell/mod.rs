//! Bell: how one side of a mailbox tells the other that the flag has changed, and waits to be told.
//!
//! | need | use | both sides need |
//! |---|---|---|
//! | nothing special, on one machine | [`Futex`] | the memory |
//! | a descriptor to poll beside others | [`Eventfd`] | the two counters, inherited or passed |
//! | a process that is to be interrupted | [`Signal`] | each other's process id |
//! | the other side rings no bell, or none in common | [`Polled`] | nothing |
//! | a register of the hardware, anything else | [`Function`] | what the function needs |
//!
//! Both sides use bells of one kind, and each mailbox its own; a side that only looks now and then needs none. A bell is rung
//! only for a side that sleeps.

use std::cell::Cell;
use std::time::Duration;

use wigwag_mailbox::{Called, Doorbell, Side, Word};

use crate::error::{Error, Result};
use crate::wait::Deadline;

mod eventfd;
mod function;
mod futex;
mod polled;
mod signal;

pub use eventfd::Eventfd;
pub use function::Function;
pub use futex::Futex;
pub use polled::Polled;
pub use signal::Signal;

/// How one side tells the other.
pub trait Bell: Send + Sync {
    /// Rings for `side`, which sleeps or is about to. That nobody hears it is no error: the letter lies there.
    fn ring(&self, side: Side, flag: &Word);

    /// Waits on behalf of `side` until the bell may have rung, at most `limit` (`None`: as long as it takes). The flag held
    /// `seen`, as it lies in memory, when last looked at. It may return too early, never too late: a ring after `flag`
    /// had another value must end it.
    ///
    /// # Errors
    /// When it can wait no more.
    fn wait(&self, side: Side, flag: &Word, seen: u32, limit: Option<Duration>) -> Result<()>;
}

/// A bell within one call, which has a deadline, and keeps what the bell said when it failed.
pub(super) struct Waiting<'a, B> {
    bell: &'a B,
    deadline: Deadline,
    failed: Cell<Option<Error>>,
}

impl<'a, B: Bell> Waiting<'a, B> {
    pub(super) fn new(bell: &'a B, deadline: Deadline) -> Self {
        Waiting {
            bell,
            deadline,
            failed: Cell::new(None),
        }
    }

    /// Why it could wait no more, unless the time was over.
    pub(super) fn told(self) -> Option<Error> {
        self.failed.into_inner()
    }
}

impl<B: Bell> Doorbell for Waiting<'_, B> {
    fn ring(&self, side: Side, flag: &Word) {
        self.bell.ring(side, flag);
    }

    fn wait(&self, side: Side, flag: &Word, seen: u32, _: u32) -> Called {
        let limit = self.deadline.remaining();
        if limit == Some(Duration::ZERO) {
            return Called::GiveUp;
        }
        match self.bell.wait(side, flag, seen, limit) {
            Ok(()) => Called::Again,
            Err(error) => {
                self.failed.set(Some(error));
                Called::GiveUp
            }
        }
    }
}
