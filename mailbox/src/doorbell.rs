//! Doorbell: how one side of a mailbox tells the other that the flag has changed.

use crate::Word;

/// Who is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The side that puts letters in.
    Poster,
    /// The side that takes letters out.
    Fetcher,
}

/// What a doorbell says to one who waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// Look again; it need not have changed.
    Again,
    /// Wait no longer.
    GiveUp,
}

/// How one side of a mailbox tells the other: a polled flag, a futex, an eventfd, a signal, or a
/// register of the hardware.
pub trait Doorbell {
    /// Rings for `side`, which sleeps or is about to.
    fn ring(&self, side: Side, flag: &Word);

    /// Waits on behalf of `side` until the bell may have rung, or until there is no more patience. The
    /// flag held `seen` (as it lies in memory) when last looked at; `turn` counts from 0 within one call of
    /// `post` or `fetch`. It may return too early, never too late: when `ring` was called
    /// after this side marked that it sleeps, it must return.
    fn wait(&self, side: Side, flag: &Word, seen: u32, turn: u32) -> Called;
}

impl<D: Doorbell + ?Sized> Doorbell for &D {
    fn ring(&self, side: Side, flag: &Word) {
        (**self).ring(side, flag);
    }

    fn wait(&self, side: Side, flag: &Word, seen: u32, turn: u32) -> Called {
        (**self).wait(side, flag, seen, turn)
    }
}

/// No bell at all: looks at the flag again and again, for processors that have nothing better.
#[derive(Debug, Clone, Copy)]
pub struct Polled {
    looks: u32,
}

impl Polled {
    /// Gives up after this many looks.
    #[must_use]
    pub const fn new(looks: u32) -> Self {
        Polled { looks }
    }
}

impl Doorbell for Polled {
    fn ring(&self, _: Side, _: &Word) {}

    fn wait(&self, _: Side, _: &Word, _: u32, turn: u32) -> Called {
        #[cfg(loom)]
        loom::thread::yield_now();
        core::hint::spin_loop();
        if turn < self.looks {
            Called::Again
        } else {
            Called::GiveUp
        }
    }
}
