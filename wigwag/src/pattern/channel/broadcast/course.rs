//! Course: how far the sender and each subscriber are in the ring, in bytes counted up for ever, and who may touch what.
//!
//! The sender's two words stand alone in a line, each subscriber's cursor in one of his own, so that as long as
//! nobody is full or empty each of them reads no line but that of the sender.
//!
//! | word | written by | says |
//! |---|---|---|
//! | `tail` | sender | all before it is published; stored last |
//! | `floor` | sender | he may be writing over all before it; stored *before* he does |
//! | `cursor` | subscriber | he has read all before it and protects what follows; [`ABSENT`] protects nothing |
//!
//! `floor ≤ tail ≤ floor + window`, and the sender writes between `tail` and `floor + window` only.
//!
//! *Lossless*: he raises the floor in steps, after he has looked at all cursors: up to the least of them. Who joins at that
//! moment writes his cursor first and looks at the floor then, and the sender looks at the cursors once more after he wrote the
//! floor: with a full barrier between the two on both sides at least one sees the other. *Overwriting*: the
//! floor is raised by as much as is needed and no cursor is looked at; a subscriber copies, and then looks whether the
//! floor has passed what he copied. It is a sequence lock over the whole ring (Boehm, "Can seqlocks get along with programming language
//! memory models?", 2012: a release fence after the floor is stored, an acquire fence before it is loaded).

use crate::sys::atomic::{AtomicU64, Ordering, fence, mutated};

/// The cursor of nobody.
pub const ABSENT: u64 = u64::MAX;

/// No ring gets so far in its life; a position from here on was written by somebody who does not keep the rules.
pub const END: u64 = 1 << 62;

/// The sender's words.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Front {
    tail: AtomicU64,
    floor: AtomicU64,
}

impl Front {
    /// Of a ring in which nothing was published.
    #[cfg_attr(not(loom), allow(dead_code))]
    pub fn new() -> Self {
        Front {
            tail: AtomicU64::new(0),
            floor: AtomicU64::new(0),
        }
    }

    /// Up to where it is published.
    #[inline]
    pub fn tail(&self) -> u64 {
        self.tail.load(when("broadcast-observe", Ordering::Acquire))
    }

    /// Up to where it may be overwritten, after what was read so far.
    #[inline]
    pub fn floor_after_reading(&self) -> u64 {
        if !mutated("broadcast-check") {
            fence(Ordering::Acquire);
        }
        self.floor.load(Ordering::Relaxed)
    }
}

/// A cursor, alone in a line of shared memory.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a>(pub &'a AtomicU64);

impl Cursor<'_> {
    /// What it protects.
    pub fn get(self) -> u64 {
        self.0.load(when("broadcast-slowest", Ordering::Acquire))
    }

    /// Gives up all before `to`.
    #[inline]
    pub fn set(self, to: u64) {
        self.0.store(to, when("broadcast-free", Ordering::Release));
    }

    /// Protects all from `choose(tail, floor)` on, which is not before the floor; where it was, or `None` when what
    /// was read makes no sense.
    pub fn join(self, front: &Front, choose: impl Fn(u64, u64) -> u64) -> Option<u64> {
        let mut floor = front.floor.load(Ordering::Acquire);
        loop {
            let tail = front.tail();
            if floor > tail || tail >= END {
                return None;
            }
            let start = choose(tail, floor).clamp(floor, tail);
            self.0.store(start, Ordering::Release);
            if !mutated("broadcast-join") {
                fence(Ordering::SeqCst);
            }
            floor = front.floor.load(Ordering::Acquire);
            if floor <= start {
                return Some(start);
            }
        }
    }
}

/// A subscriber's own view.
#[derive(Debug)]
pub struct Follower {
    at: u64,
    /// Where the sender's was when he looked last.
    tail: u64,
}

impl Follower {
    /// Of one who begins at `at`.
    pub fn new(at: u64) -> Self {
        Follower { at, tail: at }
    }

    /// Where the next record begins.
    #[inline]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// How many bytes from there on are published; he looks at the sender's line only when he knows of none.
    #[inline]
    pub fn published(&mut self, front: &Front) -> u64 {
        if self.tail <= self.at {
            self.look(front);
        }
        // He who was overtaken may know a later floor than tail.
        self.tail.saturating_sub(self.at)
    }

    /// Looks at the sender's line.
    #[inline]
    pub fn look(&mut self, front: &Front) {
        self.tail = front.tail();
    }

    /// Goes on at `to`.
    #[inline]
    pub fn go(&mut self, to: u64) {
        self.at = to;
    }
}

/// The sender's own view.
#[derive(Debug)]
pub struct Publisher {
    tail: u64,
    /// What the floor says.
    floor: u64,
    /// Where he must look at the cursors before he writes on: at most `floor + window`.
    limit: u64,
    window: u64,
}

impl Publisher {
    /// Goes on where the last one stopped; `None` when what he left makes no sense.
    pub fn resume(front: &Front, window: u64) -> Option<Self> {
        let tail = front.tail.load(Ordering::Acquire);
        let floor = front.floor.load(Ordering::Acquire);
        let sane = floor <= tail && tail - floor <= window && tail < END;
        sane.then_some(Publisher {
            tail,
            floor,
            // The last one may have been killed between raising the floor and looking who had joined.
            limit: tail,
            window,
        })
    }

    /// Where the next record begins.
    #[inline]
    pub fn tail(&self) -> u64 {
        self.tail
    }

    /// Whether `len` bytes from the tail on may be written, by what he knows.
    #[inline]
    pub fn has_room(&self, len: u64) -> bool {
        self.limit.saturating_sub(self.tail) >= len
    }

    /// For how many bytes from the tail on there is room, by what he knows.
    #[inline]
    pub fn room(&self) -> u64 {
        self.limit.saturating_sub(self.tail)
    }

    /// Looks at the cursors for room for `len` bytes, at most the window; `slowest` is the least
    /// cursor of those who live. If there is none, returns where the slowest has to get.
    #[cold]
    pub fn make_room(
        &mut self,
        front: &Front,
        len: u64,
        mut slowest: impl FnMut() -> u64,
    ) -> Result<(), u64> {
        let needed = (self.tail + len).saturating_sub(self.window);
        let least = slowest().min(self.tail);
        if least < needed {
            return Err(needed);
        }
        // A step more than needed, so as not to look at each; not more, for who joins late wants the last values.
        self.floor = least.min(needed + self.window / 8).max(self.floor);
        // Whoever knows this floor knows a tail that is not before it.
        front.floor.store(self.floor, Ordering::Release);
        if !mutated("broadcast-raise") {
            fence(Ordering::SeqCst);
        }
        // He who joined before he could see this floor.
        let least = if mutated("broadcast-again") {
            self.floor
        } else {
            slowest().min(self.floor)
        };
        self.limit = least.saturating_add(self.window);
        if self.has_room(len) {
            Ok(())
        } else {
            Err(needed)
        }
    }

    /// Takes room for `len` bytes, at most the window, from the oldest values; `boundary` is the beginning of the first record
    /// that is not before the second position, given that one begins at the first.
    #[inline]
    pub fn take_room(&mut self, front: &Front, len: u64, boundary: impl FnOnce(u64, u64) -> u64) {
        if self.has_room(len) {
            return;
        }
        let needed = (self.tail + len).saturating_sub(self.window);
        if needed > self.floor {
            self.floor = boundary(self.floor, needed).clamp(needed, self.tail.max(needed));
            front.floor.store(self.floor, Ordering::Release);
        }
        self.limit = self.floor + self.window;
        // What is written next may not be seen before the floor.
        if !mutated("broadcast-floor") {
            fence(Ordering::Release);
        }
    }

    /// Publishes all up to `tail`.
    #[inline]
    pub fn publish(&mut self, front: &Front, tail: u64) {
        self.tail = tail;
        front
            .tail
            .store(tail, when("broadcast-publish", Ordering::Release));
    }
}

/// `ordering`, or none in a model that weakens `what`.
#[inline(always)]
fn when(what: &str, ordering: Ordering) -> Ordering {
    if mutated(what) {
        Ordering::Relaxed
    } else {
        ordering
    }
}
