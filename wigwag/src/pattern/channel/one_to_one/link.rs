//! Link: the two positions that a sender and a receiver share, and how each waits for the other.
//!
//! `tail` counts what was sent, `head` what was given back, both for ever; what lies between is in the ring. Each side
//! keeps its own position in private and remembers the other's as it last saw it, so that it reads the other's cache
//! line only when what it remembers is used up.
//!
//! | step | what a kill after it leaves |
//! |---|---|
//! | sender writes into the ring | nothing: it lies beyond `tail` |
//! | sender stores `tail` (release) | a value sent |
//! | receiver reads the value | a value that the next receiver gets again |
//! | receiver stores `head` (release) | a value given back |

use std::ptr::NonNull;
use std::sync::Arc;

use super::super::bell::{Ringer, Waiter, Wake};
use super::super::ends::{End, Role, Seat};
use super::super::full::Full;
use super::super::region::Region;
use super::super::waiting::Waiting;
use crate::error::{Error, Kind, Result};
use crate::memory::segment::Trust;
use crate::sys::atomic::{AtomicU64, Ordering, mutated};
use crate::sys::keeper::State;
use crate::wait::Deadline;

/// The seats.
pub(crate) const SENDER: usize = 0;
pub(crate) const RECEIVER: usize = 1;

/// One cache line (two, because they are fetched in pairs) that one side writes.
#[repr(C, align(128))]
pub(super) struct Line {
    position: AtomicU64,
    /// Of the sender: how many values were dropped for want of room.
    lost: AtomicU64,
}

/// The control words of a one-to-one channel.
#[repr(C)]
pub(crate) struct Words {
    tail: Line,
    head: Line,
}

/// One side: its own position in private, and that of the other as it was last seen.
#[derive(Debug)]
pub(super) struct Side {
    own: u64,
    /// For the sender: up to where there is room. For the receiver: up to where there is something.
    limit: u64,
    capacity: u64,
    ring: NonNull<u8>,
    mine: NonNull<Line>,
    life: NonNull<End>,
    ringer: Ringer,
    /// Whether values are copied in private before anybody looks at them.
    pub(super) wary: bool,
    role: Role,
    waiter: Waiter,
    seat: Seat,
}

// SAFETY: the pointers lead to atomics and to the ring of a region that the seat keeps mapped; the side is used by one
// thread at a time.
unsafe impl Send for Side {}
// SAFETY: `&Side` gives nothing but counts, read from atomics.
unsafe impl Sync for Side {}

impl Side {
    /// Takes the seat of the sender or of the receiver. Positions are multiples of `unit`.
    pub(super) fn take(
        region: &Arc<Region>,
        role: Role,
        waiting: Waiting,
        unit: u64,
    ) -> Result<Side> {
        let index = match role {
            Role::Sender => SENDER,
            Role::Receiver => RECEIVER,
        };
        // A dead one leaves nothing to clear: what counts is the position that it published.
        let seat = Seat::take(region, role, index..index + 1, |_, _| Ok(()), |_, _| Ok(()))?;
        let words: &Words = region.control();
        let (tail, head) = positions(words);
        let capacity = region.plan().capacity;
        if tail.wrapping_sub(head) > capacity || (tail | head) & (unit - 1) != 0 {
            return Err(corrupt(region, tail, head));
        }
        let (own, limit, mine) = match role {
            Role::Sender => (tail, head.wrapping_add(capacity), &words.tail),
            Role::Receiver => (head, tail, &words.head),
        };
        Ok(Side {
            own,
            limit,
            capacity,
            ring: region.ring(),
            mine: NonNull::from(mine),
            life: NonNull::from(seat.end()),
            ringer: Ringer::default(),
            wary: region.trust() == Trust::Nobody,
            role,
            waiter: Waiter::new(waiting),
            seat,
        })
    }

    /// Its position: the next to be written, or to be read.
    #[inline(always)]
    pub(super) fn position(&self) -> u64 {
        self.own
    }

    /// How much there is, as far as is known: room for the sender, something for the receiver.
    #[inline(always)]
    pub(super) fn known(&self) -> u64 {
        self.limit.wrapping_sub(self.own)
    }

    /// The size of the ring in the units of the positions; a power of two.
    #[inline(always)]
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The first byte of the ring.
    #[inline(always)]
    pub(super) fn ring(&self) -> NonNull<u8> {
        self.ring
    }

    /// Publishes `count` more: sent, or given back.
    #[inline(always)]
    pub(super) fn advance(&mut self, count: u64) {
        debug_assert!(count <= self.known());
        self.own = self.own.wrapping_add(count);
        // SAFETY: the line and the seat lie in the region, which the seat keeps mapped.
        let (mine, end) = unsafe { (self.mine.as_ref(), self.life.as_ref()) };
        let order = if mutated("one-to-one-publish") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        mine.position.store(self.own, order);
        self.ringer.ring(end);
    }

    /// Whether there are `count` of what this side needs, without waiting.
    #[inline(always)]
    pub(super) fn has(&mut self, count: u64) -> Result<bool> {
        if self.known() >= count {
            return Ok(true);
        }
        self.look(count)
    }

    /// Asks the other's position anew.
    #[inline]
    fn look(&mut self, count: u64) -> Result<bool> {
        let words: &Words = self.seat.region().control();
        self.limit =
            seen(self.role, words, self.own, self.capacity).ok_or_else(|| self.corrupt())?;
        Ok(self.known() >= count)
    }

    /// Waits until there are `count`. At the deadline it is `WouldBlock` or `TimedOut`.
    #[cold]
    #[inline(never)]
    pub(super) fn wait(&mut self, count: u64, deadline: Deadline) -> Result<()> {
        let region = self.seat.region().clone();
        self.seat.check_owner()?;
        let (own, peer) = match self.role {
            Role::Sender => (SENDER, RECEIVER),
            Role::Receiver => (RECEIVER, SENDER),
        };
        let (own, peer) = (&region.ends()[own], &region.ends()[peer]);
        let words: &Words = region.control();
        let (role, position, capacity) = (self.role, self.own, self.capacity);
        let found = || match seen(role, words, position, capacity) {
            Some(limit) if limit.wrapping_sub(position) >= count => Some(Some(limit)),
            Some(_) => None,
            None => Some(None),
        };
        match self.waiter.wait_for(&region, own, peer, deadline, found) {
            Wake::Found(Some(limit)) => {
                self.limit = limit;
                Ok(())
            }
            Wake::Found(None) => Err(self.corrupt()),
            Wake::Gone => Err(self.disconnected()),
            Wake::TimedOut => Err(self.in_vain(deadline)),
        }
    }

    /// The ends it belongs to.
    pub(super) fn region(&self) -> &Arc<Region> {
        self.seat.region()
    }

    /// Whether somebody lives at the other end.
    pub(super) fn is_connected(&self) -> bool {
        let peer = match self.role {
            Role::Sender => RECEIVER,
            Role::Receiver => SENDER,
        };
        self.region().ends()[peer].life.state() == State::Alive
    }

    /// What becomes of a value without room.
    pub(super) fn full(&self) -> Full {
        self.region().plan().full
    }

    /// Counts one value that was dropped.
    pub(super) fn lose(&mut self) {
        let words: &Words = self.region().control();
        let lost = &words.tail.lost;
        // Only the sender writes it.
        lost.store(
            lost.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }

    /// How many values were dropped so far.
    pub(super) fn lost(&self) -> u64 {
        self.region()
            .control::<Words>()
            .tail
            .lost
            .load(Ordering::Relaxed)
    }

    /// How much is in the ring now.
    pub(super) fn len(&self) -> u64 {
        let (tail, head) = positions(self.region().control());
        tail.wrapping_sub(head).min(self.capacity)
    }

    #[cold]
    pub(super) fn error(&self, kind: Kind, why: impl Into<String>) -> Error {
        let action = match self.role {
            Role::Sender => "send to",
            Role::Receiver => "receive from",
        };
        self.region().error(kind, action, why)
    }

    #[cold]
    pub(super) fn in_vain(&self, deadline: Deadline) -> Error {
        let (what, kind) = match (self.role, deadline) {
            (Role::Sender, Deadline::Now) => ("it is full", Kind::WouldBlock),
            (Role::Receiver, Deadline::Now) => ("it is empty", Kind::WouldBlock),
            (Role::Sender, _) => ("it stayed full until the time was over", Kind::TimedOut),
            (Role::Receiver, _) => ("nothing came until the time was over", Kind::TimedOut),
        };
        self.error(kind, what)
    }

    #[cold]
    pub(super) fn disconnected(&self) -> Error {
        let why = match self.role {
            Role::Sender => "it is full, and its receiver has left or was killed",
            Role::Receiver => "it is empty, and its sender has left or was killed",
        };
        self.error(Kind::Disconnected, why)
    }

    #[cold]
    fn corrupt(&self) -> Error {
        let (tail, head) = positions(self.region().control());
        corrupt(self.region(), tail, head)
    }
}

/// The limit that the other's position sets to a side at `own`; `None` when no peer that keeps the rules wrote it.
#[inline(always)]
fn seen(role: Role, words: &Words, own: u64, capacity: u64) -> Option<u64> {
    let order = if mutated("one-to-one-observe") {
        Ordering::Relaxed
    } else {
        Ordering::Acquire
    };
    let limit = match role {
        Role::Sender => words.head.position.load(order).wrapping_add(capacity),
        Role::Receiver => words.tail.position.load(order),
    };
    (limit.wrapping_sub(own) <= capacity).then_some(limit)
}

fn positions(words: &Words) -> (u64, u64) {
    // In this order it never seems that more was given back than was sent.
    let head = words.head.position.load(Ordering::Acquire);
    (words.tail.position.load(Ordering::Acquire), head)
}

#[cold]
fn corrupt(region: &Region, tail: u64, head: u64) -> Error {
    let why = format!("its positions cannot be: {tail} sent, {head} given back");
    region
        .error(Kind::Corrupt, "use", why)
        .with_hint("a peer wrote where it must not; make the channel anew")
}
