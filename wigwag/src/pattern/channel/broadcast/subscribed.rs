//! Subscribed: a receiver's side, whose cursor is all that it ever writes.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;

use super::super::bell::{Ringer, Waiter, Wake};
use super::super::ends::{End, Role, Seat};
use super::super::full::Full;
use super::super::region::Region;
use super::super::waiting::Waiting;
use super::course::{ABSENT, END, Follower, Front};
use super::publishing::{cursor, impossible};
use super::{SENDER, Words};
use crate::error::{Error, Kind, Result};
use crate::interrupt::{self, ENDED};
use crate::memory::mapping::page;
use crate::memory::segment::Trust;
use crate::sys::atomic::Ordering;
use crate::sys::keeper::State;
use crate::wait::Deadline;

/// A receiver that is overtaken this often in a row says that there is nothing, and who waits looks at the clock.
pub(super) const ATTEMPTS: u32 = 64;
/// How often one that joins looks where.
const JOINS: u32 = 10_000;

/// A receiver's side.
#[derive(Debug)]
pub(super) struct Subscribed {
    follower: Follower,
    capacity: u64,
    ring: NonNull<u8>,
    front: NonNull<Front>,
    end: NonNull<End>,
    ringer: Ringer,
    waiter: Waiter,
    /// Whether the sender may overtake.
    pub(super) overtaken: bool,
    /// Whether values are copied before anybody looks at them.
    pub(super) copies: bool,
    /// How many were missed, and how many of them since the last that was received.
    missed: u64,
    untold: u64,
    seat: Seat,
}

// SAFETY: the pointers lead to atomics of a region that the seat keeps mapped; the side is used by one thread at a time.
unsafe impl Send for Subscribed {}
// SAFETY: `&Subscribed` gives nothing but counts, read from atomics.
unsafe impl Sync for Subscribed {}

impl Subscribed {
    /// Takes a seat for a receiver.
    pub(super) fn sit(region: &Arc<Region>) -> Result<Seat> {
        let seats = SENDER + 1..region.ends().len();
        Seat::take(
            region,
            Role::Receiver,
            seats,
            |_, _| Ok(()),
            |_, end| {
                // What the last one protected is free; and nobody may take it for ours.
                cursor(end).set(ABSENT);
                Ok(())
            },
        )
    }

    /// Begins at the position that `choose(tail, floor)` says, with what else it says; of what it read from the ring, only
    /// what was not overwritten counts.
    pub(super) fn join(seat: &Seat, choose: impl Fn(u64, u64) -> (u64, u64)) -> Result<(u64, u64)> {
        let region = seat.region();
        let words: &Words = region.control();
        let front = &words.front;
        let seats = seat.index() as u64 + 1;
        words.seats.0.fetch_max(seats, Ordering::AcqRel);
        let (capacity, more) = (region.plan().capacity, Cell::new(0));
        let choose = |tail: u64, floor: u64| {
            let (start, of) = choose(tail, floor.max(tail.saturating_sub(capacity)));
            more.set(of);
            start
        };
        let start = if region.plan().full == Full::OverwriteOldest {
            // Nobody looks at its cursor.
            let attempt = || {
                let tail = front.tail();
                let floor = front.floor_after_reading().min(tail);
                let start = choose(tail, floor).clamp(floor, tail);
                (front.floor_after_reading() <= start).then_some(start)
            };
            let start = (0..JOINS).find_map(|_| attempt());
            // The sender laps it again and again. Of values it knows which it missed; of messages it could not.
            start.or_else(|| Some(front.tail()).filter(|_| more.get() == 0))
        } else {
            cursor(seat.end()).join(front, choose)
        };
        match start.filter(|start| *start < END) {
            Some(start) => Ok((start, more.get())),
            None => Err(impossible(region, "attach to")),
        }
    }

    /// One that begins at `start`.
    pub(super) fn new(seat: Seat, start: u64, waiting: Waiting) -> Self {
        let region = seat.region();
        let overtaken = region.plan().full == Full::OverwriteOldest;
        Subscribed {
            follower: Follower::new(start),
            capacity: region.plan().capacity,
            ring: alias(region),
            front: NonNull::from(&region.control::<Words>().front),
            end: NonNull::from(seat.end()),
            ringer: Ringer::default(),
            waiter: Waiter::among_many(waiting),
            overtaken,
            copies: overtaken || region.trust() == Trust::Nobody,
            missed: 0,
            untold: 0,
            seat,
        }
    }

    /// The size of the ring in the units of the positions; a power of two.
    #[inline(always)]
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The channel.
    pub(super) fn region(&self) -> &Arc<Region> {
        self.seat.region()
    }

    /// The first byte of the ring of values, as receivers address it: by the second mapping. So the sender, who fills values in place
    /// that a receiver may be copying, writes to an object of its own as far as the compiler can know.
    #[inline(always)]
    pub(super) fn ring(&self) -> NonNull<u8> {
        self.ring
    }

    /// Where the next record begins.
    #[inline(always)]
    pub(super) fn at(&self) -> u64 {
        self.follower.at()
    }

    /// How much is published from there on.
    #[inline(always)]
    pub(super) fn published(&mut self) -> Result<u64> {
        // SAFETY: it lies in the region, which the seat keeps mapped.
        let published = self.follower.published(unsafe { self.front.as_ref() });
        if published > self.capacity() && (!self.overtaken || self.at() + published >= END) {
            return Err(impossible(self.region(), "receive from"));
        }
        Ok(published)
    }

    /// The same for one who will not wait: it is an error when there is nothing and nobody who could change that.
    #[inline(always)]
    pub(super) fn may_have(&mut self) -> Result<u64> {
        match self.published()? {
            0 => self.look_around(),
            published => Ok(published),
        }
    }

    #[cold]
    #[inline(never)]
    fn look_around(&mut self) -> Result<u64> {
        self.region().is_there("receive from")?;
        if !self.region().ends()[SENDER].is_left() {
            return Ok(0);
        }
        // What it sent before it went.
        match self.published()? {
            0 => Err(self.disconnected()),
            published => Ok(published),
        }
    }

    /// Looks how much is published now, also when it knows of some.
    pub(super) fn look(&mut self) {
        // SAFETY: as above.
        self.follower.look(unsafe { self.front.as_ref() });
    }

    /// Up to where it may have been overwritten, if that is behind what was read from the present position on.
    #[inline(always)]
    pub(super) fn overtaken_to(&self) -> Option<u64> {
        // SAFETY: as above.
        let floor = unsafe { self.front.as_ref() }.floor_after_reading();
        (self.overtaken && floor > self.at()).then_some(floor)
    }

    /// Where to go on after having been overtaken up to `floor` for the n-th time in a row: at the oldest value that is there,
    /// or, when it was gone again before it was read, nearer to the end. With the tail.
    pub(super) fn catch_up(&self, floor: u64, attempt: u32) -> Result<(u64, u64)> {
        // SAFETY: as above.
        let tail = unsafe { self.front.as_ref() }.tail();
        if floor > tail || tail >= END {
            return Err(impossible(self.region(), "receive from"));
        }
        Ok(match attempt {
            0 => (floor, tail),
            1 => (floor + (tail - floor) / 2, tail),
            _ => (tail.saturating_sub(1).max(floor), tail),
        })
    }

    /// Counts what was missed.
    pub(super) fn miss(&mut self, count: u64) {
        self.missed = self.missed.wrapping_add(count);
        self.untold = self.untold.wrapping_add(count);
    }

    /// How many were missed since this was asked last.
    #[inline(always)]
    pub(super) fn tell_missed(&mut self) -> u64 {
        std::mem::take(&mut self.untold)
    }

    /// How many never came.
    pub(super) fn lost(&self) -> u64 {
        if self.overtaken {
            return self.missed;
        }
        let lost = &self.region().control::<Words>().lost.0;
        lost.load(Ordering::Relaxed)
    }

    /// Goes on at `to`, without giving up what is before it.
    #[inline(always)]
    pub(super) fn skip(&mut self, to: u64) {
        self.follower.go(to);
    }

    /// Goes on at `to` and gives up all before it.
    #[inline(always)]
    pub(super) fn advance(&mut self, to: u64) {
        self.follower.go(to);
        // SAFETY: it lies in the region, which the seat keeps mapped.
        let end = unsafe { self.end.as_ref() };
        cursor(end).set(to);
        self.ringer.ring(end);
    }

    /// Waits until something is published.
    #[cold]
    #[inline(never)]
    pub(super) fn wait(&mut self, deadline: Deadline) -> Result<()> {
        self.seat.check_owner()?;
        self.region().is_there("receive from")?;
        let region = self.seat.region().clone();
        let (own, peer) = (self.seat.end(), &region.ends()[SENDER]);
        let (follower, front) = (&mut self.follower, &region.control::<Words>().front);
        let there = || (follower.published(front) > 0).then_some(());
        let waited = match region.await_first(peer, &mut self.waiter, deadline) {
            Wake::Found(()) => self.waiter.wait(own, peer, deadline, there),
            woken => woken,
        };
        match waited {
            Wake::Found(()) => Ok(()),
            Wake::Gone => Err(self.disconnected()),
            Wake::TimedOut => Err(self.in_vain(deadline)),
        }
    }

    /// How far it is behind.
    pub(super) fn level(&self) -> u64 {
        let front = &self.region().control::<Words>().front;
        front.tail().saturating_sub(self.at()).min(self.capacity())
    }

    /// Whether the sender lives.
    pub(super) fn is_connected(&self) -> bool {
        self.region().ends()[SENDER].life.state() == State::Alive
    }

    #[cold]
    fn disconnected(&self) -> Error {
        let why = "it is empty, and its sender has left or was killed";
        self.error(Kind::Disconnected, why)
    }

    #[cold]
    pub(super) fn error(&self, kind: Kind, why: impl Into<String>) -> Error {
        self.region().error(kind, "receive from", why)
    }

    #[cold]
    pub(super) fn in_vain(&self, deadline: Deadline) -> Error {
        match deadline {
            _ if interrupt::ended() => self.error(Kind::Interrupted, ENDED),
            Deadline::Now => self.error(Kind::WouldBlock, "it is empty"),
            _ => self.error(Kind::TimedOut, "nothing came until the time was over"),
        }
    }
}

/// The first byte of the ring in its second mapping.
fn alias(region: &Region) -> NonNull<u8> {
    let len = (region.plan().ring as usize).next_multiple_of(page());
    // SAFETY: the ring is the last of the object's pages, and is mapped again behind them.
    unsafe { region.ring().add(len) }
}
