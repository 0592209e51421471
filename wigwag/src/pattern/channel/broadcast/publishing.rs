//! Publishing: the sender's side, which waits for the slowest of those who live, and for nobody else.

use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::super::bell::{Ringer, Waiter, Wake};
use super::super::ends::{End, Role, Seat};
use super::super::full::Full;
use super::super::region::Region;
use super::super::waiting::Waiting;
use super::course::{ABSENT, Cursor, Front, Publisher};
use super::{SENDER, Words};
use crate::error::{Error, Kind, Result};
use crate::interrupt::{self, ENDED};
use crate::memory::segment::Trust;
use crate::sys::atomic::{Ordering, relax};
use crate::sys::keeper::State;
use crate::wait::Deadline;

/// How long the last threads of a killed process may take to stop.
const LAST_BREATH: Duration = Duration::from_millis(1);
/// Looks, of some 10 ns, until one that reads has made more room.
const A_WHILE: u32 = 100;

/// The sender's side.
#[derive(Debug)]
pub(super) struct Publishing {
    publisher: Publisher,
    capacity: u64,
    ring: NonNull<u8>,
    front: NonNull<Front>,
    end: NonNull<End>,
    ringer: Ringer,
    waiter: Waiter,
    /// Whether peers are not trusted.
    pub(super) wary: bool,
    /// Whether a receiver may be looking at what is written.
    pub(super) overwrites: bool,
    graves: Graves,
    /// Where the slowest has to get for the attempt that failed last.
    pub(super) wanted: u64,
    seat: Seat,
}

// SAFETY: the pointers lead to atomics and to the ring of a region that the seat keeps mapped; the side is used by one
// thread at a time.
unsafe impl Send for Publishing {}
// SAFETY: `&Publishing` gives nothing but counts, read from atomics.
unsafe impl Sync for Publishing {}

impl Publishing {
    /// Takes the seat of the sender.
    pub(super) fn take(region: &Arc<Region>, waiting: Waiting) -> Result<Self> {
        // A dead one leaves nothing to clear: what counts is the position that it published.
        let seat = Seat::take(
            region,
            Role::Sender,
            SENDER..SENDER + 1,
            |_, _| Ok(()),
            |_, end| {
                cursor(end).set(ABSENT);
                Ok(())
            },
        )?;
        let words: &Words = region.control();
        let publisher = Publisher::resume(&words.front, region.plan().capacity);
        Ok(Publishing {
            publisher: publisher.ok_or_else(|| impossible(region, "send to"))?,
            capacity: region.plan().capacity,
            ring: region.ring(),
            front: NonNull::from(&words.front),
            end: NonNull::from(seat.end()),
            ringer: Ringer::default(),
            waiter: Waiter::new(waiting).over(region),
            wary: region.trust() == Trust::Nobody,
            overwrites: region.plan().full == Full::OverwriteOldest,
            graves: Graves::default(),
            wanted: 1,
            seat,
        })
    }

    /// The size of the ring in the units of the positions; a power of two.
    #[inline(always)]
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Where the next record begins.
    #[inline(always)]
    pub(super) fn tail(&self) -> u64 {
        self.publisher.tail()
    }

    /// The first byte of the ring, as the sender addresses it.
    #[inline(always)]
    pub(super) fn ring(&self) -> NonNull<u8> {
        self.ring
    }

    /// Whether there is room for `need`, as far as is known.
    #[inline(always)]
    pub(super) fn has_room(&self, need: u64) -> bool {
        self.publisher.has_room(need)
    }

    /// For how much there is room, as far as is known.
    #[inline(always)]
    pub(super) fn known(&self) -> u64 {
        self.publisher.room()
    }

    /// Room for `need`, at most the capacity, as the channel was made: `false` when the value was dropped. `boundary` as in
    /// [`Publisher::take_room`].
    #[cold]
    #[inline(never)]
    pub(super) fn room(
        &mut self,
        need: u64,
        deadline: Deadline,
        boundary: impl FnOnce(u64, u64) -> u64,
    ) -> Result<bool> {
        self.region().is_there("send to")?;
        let full = self.seat.region().plan().full;
        loop {
            let needed = match self.look(need) {
                Ok(()) => return Ok(true),
                Err(needed) => needed,
            };
            match full {
                Full::OverwriteOldest => {
                    let front = &self.seat.region().control::<Words>().front;
                    self.publisher.take_room(front, need, boundary);
                    return Ok(true);
                }
                Full::Wait => {
                    self.wait(needed, deadline)?;
                    // Nobody is behind whose cursor is gone.
                    self.region().is_there("send to")?;
                    if deadline.passed() && self.look(need).is_err() {
                        return Err(self.in_vain(deadline));
                    }
                }
                Full::DropNewest => {
                    self.lose();
                    return Ok(false);
                }
                Full::Fail => return Err(self.in_vain(Deadline::Now)),
            }
        }
    }

    /// Whether there is room for `need` without waiting or loss; where the slowest has to get, if not.
    pub(super) fn look(&mut self, need: u64) -> Result<(), u64> {
        if self.publisher.has_room(need) {
            return Ok(());
        }
        if self.overwrites {
            return Err(0);
        }
        let region = self.seat.region();
        let words: &Words = region.control();
        let graves = &mut self.graves;
        let least = || {
            let protected = words.seats(region).iter().enumerate().map(|(seat, end)| {
                if end.life.state() == State::Nobody || graves.is_dead(seat, end) {
                    return ABSENT;
                }
                cursor(end).get()
            });
            protected.min().unwrap_or(ABSENT)
        };
        let made = self.publisher.make_room(&words.front, need, least);
        made.inspect_err(|needed| self.wanted = *needed)
    }

    /// A poller sleeps for the same receivers.
    pub(super) fn among_many(&mut self) {
        self.waiter.join_many();
    }

    /// The same for one who does not ask where.
    pub(super) fn may_have(&mut self, need: u64) -> Result<bool> {
        self.region().is_there("send to")?;
        Ok(self.look(need).is_ok())
    }

    /// Waits until all who live have got to `needed`.
    fn wait(&mut self, needed: u64, deadline: Deadline) -> Result<()> {
        self.seat.check_owner()?;
        let region = self.seat.region().clone();
        let words: &Words = region.control();
        // As far as they all can get without anything new, at most a step: not to come here for each value.
        let goal = (needed + self.capacity() / 8).min(self.tail());
        // All of them must get there, so it does not matter for whom we wait first.
        for (seat, end) in words.seats(&region).iter().enumerate() {
            let behind = |at| cursor(end).get() < at;
            if !behind(needed) {
                continue;
            }
            while end.life.state() != State::Nobody && behind(needed) {
                if self.graves.is_dead(seat, end) {
                    break;
                }
                if end.life.state() == State::Killed {
                    std::thread::sleep(LAST_BREATH);
                }
                let there = || (!behind(needed)).then_some(());
                match self.waiter.wait(self.seat.end(), end, deadline, there) {
                    Wake::Found(()) | Wake::Gone => {}
                    Wake::TimedOut => return Err(self.in_vain(deadline)),
                }
                if deadline.passed() && behind(needed) {
                    return Err(self.in_vain(deadline));
                }
            }
            // It is reading now. No longer than this: it may stop for something that we send next.
            for _ in 0..A_WHILE {
                if !behind(goal) {
                    break;
                }
                relax();
            }
        }
        Ok(())
    }

    /// Publishes all up to `tail`.
    #[inline(always)]
    pub(super) fn publish(&mut self, tail: u64) {
        // SAFETY: the line and the seat lie in the region, which the seat keeps mapped.
        let (front, end) = unsafe { (self.front.as_ref(), self.end.as_ref()) };
        self.publisher.publish(front, tail);
        self.ringer.ring(end);
    }

    /// What becomes of a value without room.
    pub(super) fn full(&self) -> Full {
        self.seat.region().plan().full
    }

    /// The channel.
    pub(super) fn region(&self) -> &Arc<Region> {
        self.seat.region()
    }

    /// Counts one value that was dropped.
    pub(super) fn lose(&mut self) {
        let lost = &self.seat.region().control::<Words>().lost.0;
        // Only the sender writes it.
        let more = lost.load(Ordering::Relaxed).wrapping_add(1);
        lost.store(more, Ordering::Relaxed);
    }

    /// How many values were dropped so far.
    pub(super) fn lost(&self) -> u64 {
        let lost = &self.seat.region().control::<Words>().lost.0;
        lost.load(Ordering::Relaxed)
    }

    /// Whether any receiver lives.
    pub(super) fn is_connected(&self) -> bool {
        self.region().count(Role::Receiver) > 0
    }

    /// How far the slowest is behind.
    pub(super) fn level(&self) -> u64 {
        let ends = self.seat.region().ends().iter();
        let alive = ends.filter(|end| end.life.state() == State::Alive);
        let least = alive.map(|end| cursor(end).get()).min();
        self.tail()
            .saturating_sub(least.unwrap_or(ABSENT))
            .min(self.capacity())
    }

    #[cold]
    pub(super) fn error(&self, kind: Kind, why: impl Into<String>) -> Error {
        self.seat.region().error(kind, "send to", why)
    }

    #[cold]
    pub(super) fn in_vain(&self, deadline: Deadline) -> Error {
        match deadline {
            _ if interrupt::ended() => self.error(Kind::Interrupted, ENDED),
            Deadline::Now => self.error(Kind::WouldBlock, "it is full"),
            _ => self.error(
                Kind::TimedOut,
                "a receiver was too far behind until the time was over",
            ),
        }
    }
}

/// The cursor of an end.
#[inline(always)]
pub(super) fn cursor(end: &End) -> Cursor<'_> {
    Cursor(&end.own[0])
}

/// Those known to be dead, by seat: to find it out takes files of `/proc`.
#[derive(Debug, Default)]
pub(super) struct Graves(Vec<u64>);

impl Graves {
    /// Whether the holder of a seat was killed and nothing of its process runs any more: until then it may still be reading.
    pub(super) fn is_dead(&mut self, seat: usize, end: &End) -> bool {
        if end.life.state() != State::Killed {
            return false;
        }
        let holder = end.holder.load(Ordering::Acquire);
        if holder == 0 || self.0.get(seat) == Some(&holder) {
            return true;
        }
        let dead = end.is_abandoned() && end.holder.load(Ordering::Acquire) == holder;
        if dead {
            self.0.resize(self.0.len().max(seat + 1), 0);
            self.0[seat] = holder;
        }
        dead
    }
}

#[cold]
pub(super) fn impossible(region: &Region, action: &'static str) -> Error {
    let why = "its positions make no sense: a process has written where it must not";
    region.error(Kind::Corrupt, action, why)
}
