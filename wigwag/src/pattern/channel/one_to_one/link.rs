//! Link: one side of a channel, which is its cursor, its seat, and the way to the shared memory.

use std::ptr::NonNull;
use std::sync::Arc;

use super::super::bell::{Waiter, Wake};
use super::super::ends::{End, Role, Seat};
use super::super::full::Full;
use super::super::region::Region;
use super::super::waiting::Waiting;
use super::cursor::{Cursor, Impossible, Line, Words};
use crate::error::{Error, Kind, Result};
use crate::interrupt::{self, ENDED};
use crate::memory::segment::Trust;
use crate::sys::atomic::Ordering;
use crate::sys::keeper::State;
use crate::wait::Deadline;

/// The seats.
pub(crate) const SENDER: usize = 0;
pub(crate) const RECEIVER: usize = 1;

/// One side of a channel.
#[derive(Debug)]
pub(super) struct Side {
    cursor: Cursor,
    ring: NonNull<u8>,
    line: NonNull<Line>,
    end: NonNull<End>,
    /// Whether values are copied in private before anybody looks at them.
    pub(super) wary: bool,
    waiter: Waiter,
    /// Where the other must get for the attempt that failed last.
    wanted: u64,
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
        let (index, _) = seats(role);
        // A dead one leaves nothing to clear: what counts is the position that it published.
        let seat = Seat::take(region, role, index..index + 1, |_, _| Ok(()), |_, _| Ok(()))?;
        let words: &Words = region.control();
        let (tail, head) = words.positions();
        let cursor = Cursor::new(role, words, region.plan().capacity)
            .ok()
            .filter(|_| (tail | head) & (unit - 1) == 0)
            .ok_or_else(|| impossible(region))?;
        let line = match role {
            Role::Sender => &words.tail,
            Role::Receiver => &words.head,
        };
        Ok(Side {
            cursor,
            ring: region.ring(),
            line: NonNull::from(line),
            end: NonNull::from(seat.end()),
            wary: region.trust() == Trust::Nobody,
            waiter: Waiter::new(waiting).over(region),
            wanted: 1,
            seat,
        })
    }

    /// Its position: the next to be written, or to be read.
    #[inline(always)]
    pub(super) fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// How much there is, as far as is known: room for the sender, something for the receiver.
    #[inline(always)]
    pub(super) fn known(&self) -> u64 {
        self.cursor.known()
    }

    /// The size of the ring in the units of the positions; a power of two.
    #[inline(always)]
    pub(super) fn capacity(&self) -> u64 {
        self.cursor.capacity()
    }

    /// The first byte of the ring.
    #[inline(always)]
    pub(super) fn ring(&self) -> NonNull<u8> {
        self.ring
    }

    /// Publishes `count` more: sent, or given back.
    #[inline(always)]
    pub(super) fn advance(&mut self, count: u64) {
        // SAFETY: the line and the seat lie in the region, which the seat keeps mapped.
        let (line, end) = unsafe { (self.line.as_ref(), self.end.as_ref()) };
        self.cursor.advance(count, line, end);
    }

    /// Whether there are `count` of what this side needs, without waiting.
    #[inline(always)]
    pub(super) fn has(&mut self, count: u64) -> Result<bool> {
        if self.known() >= count {
            return Ok(true);
        }
        self.look(count)
    }

    /// The same for one who will not wait: it is an error when there is nothing and nobody who could change that.
    #[inline]
    pub(super) fn may_have(&mut self, count: u64) -> Result<bool> {
        if self.known() >= count || self.look(count)? {
            return Ok(true);
        }
        self.region().is_there("use")?;
        let (_, peer) = seats(self.cursor.role());
        if !self.region().ends()[peer].is_left() {
            return Ok(false);
        }
        // What it did before it went.
        if self.look(count)? {
            return Ok(true);
        }
        Err(self.disconnected())
    }

    /// Asks the other's position anew.
    #[inline]
    fn look(&mut self, count: u64) -> Result<bool> {
        let words: &Words = self.seat.region().control();
        match self.cursor.look(words) {
            Ok(()) if self.known() >= count => Ok(true),
            Ok(()) => {
                self.wanted = self.cursor.goal(count);
                Ok(false)
            }
            Err(Impossible) => Err(impossible(self.region())),
        }
    }

    /// Waits until there are `count`. At the deadline it is `WouldBlock` or `TimedOut`.
    #[cold]
    #[inline(never)]
    pub(super) fn wait(&mut self, count: u64, deadline: Deadline) -> Result<()> {
        self.seat.check_owner()?;
        let region = self.seat.region().clone();
        let (own, peer) = seats(self.cursor.role());
        let ends = [own, peer].map(|seat| &region.ends()[seat]);
        let waited = match region.await_first(ends[1], &mut self.waiter, deadline) {
            Wake::Found(()) => {
                self.cursor
                    .wait(count, region.control(), &mut self.waiter, ends, deadline)
            }
            woken => Ok(woken),
        };
        match waited {
            Ok(Wake::Found(())) => Ok(()),
            Ok(Wake::Gone) => Err(self.disconnected()),
            Ok(Wake::TimedOut) => Err(self.in_vain(deadline)),
            Err(Impossible) => Err(impossible(&region)),
        }
    }

    /// The ends it belongs to.
    pub(super) fn region(&self) -> &Arc<Region> {
        self.seat.region()
    }

    /// Whether somebody lives at the other end.
    pub(super) fn is_connected(&self) -> bool {
        let (_, peer) = seats(self.cursor.role());
        self.region().ends()[peer].life.state() == State::Alive
    }

    /// Where the other must get for the attempt that failed last.
    pub(super) fn wanted(&self) -> u64 {
        self.wanted
    }

    /// A poller sleeps for the same peer.
    pub(super) fn among_many(&mut self) {
        self.waiter.join_many();
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
    pub(super) fn level(&self) -> u64 {
        let (tail, head) = self.region().control::<Words>().positions();
        tail.wrapping_sub(head).min(self.capacity())
    }

    #[cold]
    pub(super) fn error(&self, kind: Kind, why: impl Into<String>) -> Error {
        let action = match self.cursor.role() {
            Role::Sender => "send to",
            Role::Receiver => "receive from",
        };
        self.region().error(kind, action, why)
    }

    #[cold]
    pub(super) fn in_vain(&self, deadline: Deadline) -> Error {
        let (what, kind) = match (self.cursor.role(), deadline) {
            _ if interrupt::ended() => (ENDED, Kind::Interrupted),
            (Role::Sender, Deadline::Now) => ("it is full", Kind::WouldBlock),
            (Role::Receiver, Deadline::Now) => ("it is empty", Kind::WouldBlock),
            (Role::Sender, _) => ("it stayed full until the time was over", Kind::TimedOut),
            (Role::Receiver, _) => ("nothing came until the time was over", Kind::TimedOut),
        };
        self.error(kind, what)
    }

    #[cold]
    pub(super) fn disconnected(&self) -> Error {
        let why = match self.cursor.role() {
            Role::Sender => "it is full, and its receiver has left or was killed",
            Role::Receiver => "it is empty, and its sender has left or was killed",
        };
        self.error(Kind::Disconnected, why)
    }
}

/// Its own seat and the other's.
fn seats(role: Role) -> (usize, usize) {
    match role {
        Role::Sender => (SENDER, RECEIVER),
        Role::Receiver => (RECEIVER, SENDER),
    }
}

#[cold]
fn impossible(region: &Region) -> Error {
    let (tail, head) = region.control::<Words>().positions();
    let why = format!("its positions cannot be: {tail} sent, {head} given back");
    region
        .error(Kind::Corrupt, "use", why)
        .with_hint("a peer wrote where it must not; make the channel anew")
}
