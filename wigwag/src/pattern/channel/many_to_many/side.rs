//! Side: one end of a channel, which is its cursor, its seat, and how it waits for those at the other side.

use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::super::bell::{self, Ringer};
use super::super::ends::{End, Role, Seat};
use super::super::full::Full;
use super::super::region::Region;
use super::super::waiting::Waiting;
use super::claim::{Attempt, Cursor, Slots, Words, undo};
use super::word::{Owner, Word};
use crate::error::{Error, Kind, Result};
use crate::memory::segment::Trust;
use crate::sys::atomic::{AtomicU64, Ordering, relax};
use crate::sys::futex::{self, Sleep};
use crate::sys::keeper::State;
use crate::wait::Deadline;

/// How long one sleeps who has to look around by itself: for a dead one at its own side, whom nobody rings.
const ROUND: Duration = Duration::from_millis(100);
/// The same while a process is dying, of which something may still run.
const DYING: Duration = Duration::from_millis(1);

/// Looks of some 10 ns before a waiter that adapts lets others have its core.
const LOOKS: u32 = 64;
/// How often it does that before it sleeps.
const TURNS: u32 = 8;
/// After so many a spinning waiter looks at the clock and at its peers.
const SPINS: u32 = 1000;

/// The slots of a ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ring {
    first: NonNull<u8>,
    stride: usize,
}

impl Slots for Ring {
    #[inline(always)]
    fn word(&self, index: u64) -> &AtomicU64 {
        // SAFETY: a slot begins with its word, aligned; the index is less than the number of slots that were mapped.
        unsafe {
            self.first
                .byte_add(index as usize * self.stride)
                .cast()
                .as_ref()
        }
    }
}

/// One end.
#[derive(Debug)]
pub(super) struct Side {
    cursor: Cursor,
    ring: Ring,
    /// From the word of a slot to its value.
    offset: usize,
    words: NonNull<Words>,
    end: NonNull<End>,
    ringer: Ringer,
    /// Whether values are copied in private before anybody looks at them.
    pub(super) wary: bool,
    /// A position that is ours as long as a guard lives; one that was forgotten is given up with the next call.
    held: Option<u64>,
    role: Role,
    waiting: Waiting,
    /// Which sitter of each seat was dead when its claims were undone.
    buried: Vec<Option<u32>>,
    seat: Seat,
}

// SAFETY: the pointers lead to atomics and to the ring of a region that the seat keeps mapped; the side is used by one
// thread at a time.
unsafe impl Send for Side {}
// SAFETY: `&Side` gives nothing but counts, read from atomics.
unsafe impl Sync for Side {}

/// Undoes what dead sitters of a seat had claimed. `is_dead` is asked after a claim was seen.
fn bury(ring: &Ring, region: &Region, seat: usize, is_dead: impl Fn() -> bool, slots: u64) {
    let words: &Words = region.control();
    for index in 0..slots {
        let word = Word(ring.word(index).load(Ordering::Acquire));
        if word.undone().is_some() && word.seat() == seat && is_dead() {
            undo(ring, words, index, word);
        }
    }
    // Who was killed when a value was full again, and this not yet counted, is made up for.
    words.returned.0.fetch_add(1, Ordering::AcqRel);
}

impl Side {
    /// Takes a seat. A slot has `stride` bytes, its value begins at `offset`.
    pub(super) fn take(
        region: &Arc<Region>,
        role: Role,
        waiting: Waiting,
        (stride, offset): (usize, usize),
        slots: u64,
    ) -> Result<Side> {
        let first = region.ring();
        let ring = Ring { first, stride };
        let seats = region.ends().len();
        let words: &Words = region.control();
        let clear = |index: usize, _: &End| {
            bury(&ring, region, index, || true, slots);
            Ok(())
        };
        let settle = |_: usize, _: &End| {
            words.met.0.fetch_or(1 << role as u32, Ordering::SeqCst);
            Ok(())
        };
        let seat = Seat::take(region, role, 0..seats, clear, settle)?;
        let generation = seat.end().generation.load(Ordering::Acquire);
        Ok(Side {
            cursor: Cursor::new(slots, Owner::new(seat.index(), generation)),
            ring,
            offset,
            words: NonNull::from(words),
            end: NonNull::from(seat.end()),
            ringer: Ringer::default(),
            wary: region.trust() == Trust::Nobody,
            held: None,
            role,
            waiting,
            buried: vec![None; seats],
            seat,
        })
    }

    #[inline(always)]
    fn words(&self) -> &Words {
        // SAFETY: they lie in the region, which the seat keeps mapped.
        unsafe { self.words.as_ref() }
    }

    /// Tries to claim what this side needs: a free slot to send, a full one to receive.
    #[inline(always)]
    fn attempt(&mut self) -> Attempt {
        // SAFETY: as above; the borrow must not be of all of `self`.
        let words = unsafe { self.words.as_ref() };
        match self.role {
            Role::Sender => self.cursor.claim_free(&self.ring, words),
            Role::Receiver => self.cursor.claim_full(&self.ring, words),
        }
    }

    /// A slot, if there is one at once.
    #[inline(always)]
    pub(super) fn try_claim(&mut self) -> Option<u64> {
        if self.held.is_some() {
            self.give_up();
        }
        match self.attempt() {
            Attempt::Claimed(position) => Some(position),
            Attempt::Blocked(..) => None,
        }
    }

    /// A slot; waits for it.
    #[inline(always)]
    pub(super) fn claim(&mut self, deadline: Deadline) -> Result<u64> {
        match self.try_claim() {
            Some(position) => Ok(position),
            None => self.wait(deadline),
        }
    }

    /// A slot to send, as the channel was made; `None` when the value is dropped.
    #[inline(always)]
    pub(super) fn room(&mut self, deadline: Deadline) -> Result<Option<u64>> {
        match self.try_claim() {
            Some(position) => Ok(Some(position)),
            None => self.no_room(deadline),
        }
    }

    #[cold]
    #[inline(never)]
    fn no_room(&mut self, deadline: Deadline) -> Result<Option<u64>> {
        match self.full() {
            Full::Wait => self.wait(deadline).map(Some),
            Full::Fail => Err(self.in_vain(Deadline::Now)),
            Full::DropNewest => {
                self.lose();
                Ok(None)
            }
            Full::OverwriteOldest => loop {
                if let Some(position) = self.try_claim() {
                    return Ok(Some(position));
                }
                if !self.drop_oldest() {
                    // All are held by receivers, or being written.
                    return self.wait(deadline).map(Some);
                }
            },
        }
    }

    /// Whether a guard has a slot.
    #[inline(always)]
    pub(super) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// That a guard has the slot, until it is sent or received.
    #[inline(always)]
    pub(super) fn hold(&mut self, position: u64) {
        self.held = Some(position);
    }

    /// Where the value of a claimed slot lies.
    #[inline(always)]
    pub(super) fn place(&self, position: u64) -> *mut u8 {
        let index = self.cursor.index(position) as usize;
        // SAFETY: inside the slot.
        unsafe {
            self.ring
                .first
                .byte_add(index * self.ring.stride + self.offset)
                .as_ptr()
        }
    }

    /// Done with a claimed slot: sent, or received.
    #[inline(always)]
    pub(super) fn done(&mut self, position: u64) {
        self.held = None;
        match self.role {
            Role::Sender => self.cursor.publish(&self.ring, position),
            Role::Receiver => self.cursor.free(&self.ring, position),
        }
        self.ring();
    }

    #[inline(always)]
    fn ring(&mut self) {
        // SAFETY: the seat lies in the region, which it keeps mapped.
        self.ringer.ring(unsafe { self.end.as_ref() });
    }

    /// Gives up what a guard had: nothing is sent, nothing was received.
    #[cold]
    #[inline(never)]
    pub(super) fn give_up(&mut self) {
        let Some(position) = self.held.take() else {
            return;
        };
        match self.role {
            Role::Sender => self.cursor.free(&self.ring, position),
            Role::Receiver => self.cursor.put_back(&self.ring, self.words(), position),
        }
        self.ring();
        // Those of the same side may wait for it too, who do not listen to us.
        self.region().roster().stir();
    }

    /// Drops the oldest value, for a sender that overwrites; whether there was one.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let words = self.words();
        let mut cursor = self.cursor.at_head();
        match cursor.claim_full(&self.ring, words) {
            Attempt::Claimed(position) => {
                cursor.free(&self.ring, position);
                self.lose();
                true
            }
            Attempt::Blocked(..) => false,
        }
    }

    /// Waits until a slot is claimed. At the deadline it is `WouldBlock` or `TimedOut`.
    #[cold]
    #[inline(never)]
    fn wait(&mut self, deadline: Deadline) -> Result<u64> {
        self.seat.check_owner()?;
        let region = self.seat.region().clone();
        let other = match self.role {
            Role::Sender => Role::Receiver,
            Role::Receiver => Role::Sender,
        };
        loop {
            if let Some(position) = self.look() {
                return Ok(position);
            }
            if deadline.passed() {
                return Err(self.in_vain(deadline));
            }
            let joins = region.roster().joins.load(Ordering::SeqCst);
            let dying = self.undertake(&region);
            let mut listen = Vec::with_capacity(2 * region.ends().len());
            let mut sure = true;
            let peers = region.ends().iter().filter(|end| end.role() == Some(other));
            let mut alone = true;
            for end in peers {
                if self.waiting == Waiting::Spin {
                    alone &= end.life.state() != State::Alive;
                    continue;
                }
                // Others may sleep on the same word: the number of rings tells what its mark does not.
                let rings = end.rings.load(Ordering::SeqCst);
                let (state, mark, certain) = bell::mark(&end.life);
                if state == State::Alive {
                    alone = false;
                    sure &= certain;
                    listen.extend([end.life.watched(mark), (&end.rings, rings)]);
                } else {
                    // The kernel woke one; the others are to know too.
                    end.life.pass_on();
                }
            }
            // The last look: for what came before the marks, or before a death.
            if let Attempt::Claimed(position) = self.attempt() {
                return Ok(position);
            }
            let met = self.words().met.0.load(Ordering::SeqCst) & 1 << other as u32 != 0;
            if alone && met && !dying {
                return Err(self.disconnected());
            }
            if self.waiting == Waiting::Spin {
                continue;
            }
            listen.push((&region.roster().joins, joins));
            let most = if dying {
                DYING
            } else if !sure || region.count(self.role) > 1 {
                ROUND
            } else {
                Duration::MAX
            };
            if futex::wait_any(&listen, deadline, most) == Sleep::Gone {
                return Err(self.disconnected());
            }
            // Of all who slept on a word the kernel wakes one when its owner dies, even if that one finds what it wants now.
            for end in region.ends() {
                if end.life.state() == State::Killed {
                    end.life.pass_on();
                }
            }
        }
    }

    /// Looks as long as that seems worth while.
    fn look(&mut self) -> Option<u64> {
        let waiting = self.waiting;
        let mut claimed = || match self.attempt() {
            Attempt::Claimed(position) => Some(position),
            Attempt::Blocked(..) => None,
        };
        match waiting {
            Waiting::Block => claimed(),
            Waiting::Spin => (0..SPINS).find_map(|_| {
                relax();
                claimed()
            }),
            Waiting::Adaptive => {
                for _ in 0..TURNS {
                    for _ in 0..LOOKS {
                        relax();
                        if let Some(position) = claimed() {
                            return Some(position);
                        }
                    }
                    // Whoever could change something may be waiting for this core.
                    std::thread::yield_now();
                }
                claimed()
            }
        }
    }

    /// Undoes the claims of the dead. Whether somebody is dying, of whom something may still run.
    fn undertake(&mut self, region: &Region) -> bool {
        let slots = self.cursor.slots();
        let mut dying = false;
        let mut undone = false;
        for (index, end) in region.ends().iter().enumerate() {
            let generation = end.generation.load(Ordering::Acquire);
            if index == self.seat.index()
                || end.life.state() != State::Killed
                || self.buried[index] == Some(generation)
            {
                continue;
            }
            if !end.is_abandoned() {
                // Taken over meanwhile, or not dead yet.
                dying |= end.life.state() == State::Killed;
                continue;
            }
            let holder = end.holder.load(Ordering::Acquire);
            bury(&self.ring, region, index, || end.is_abandoned(), slots);
            if end.holder.load(Ordering::Acquire) == holder {
                self.buried[index] = Some(generation);
            } else {
                // A successor clears up, and may be killed before it has.
                dying = true;
            }
            undone = true;
        }
        if undone {
            region.roster().stir();
        }
        dying
    }

    /// The channel.
    pub(super) fn region(&self) -> &Arc<Region> {
        self.seat.region()
    }

    /// What becomes of a value without room.
    pub(super) fn full(&self) -> Full {
        self.region().plan().full
    }

    /// Counts one value that was dropped.
    pub(super) fn lose(&self) {
        self.words().lost.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many values were dropped so far.
    pub(super) fn lost(&self) -> u64 {
        self.words().lost.0.load(Ordering::Relaxed)
    }

    /// About how many values are in it.
    pub(super) fn level(&self) -> u64 {
        let head = self.words().head.0.load(Ordering::Relaxed);
        let tail = self.words().tail.0.load(Ordering::Relaxed);
        tail.saturating_sub(head).min(self.cursor.slots())
    }

    /// Whether somebody lives at the other side.
    pub(super) fn is_connected(&self) -> bool {
        let other = match self.role {
            Role::Sender => Role::Receiver,
            Role::Receiver => Role::Sender,
        };
        self.region().count(other) > 0
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
            Role::Sender => "it is full, and its receivers have left or were killed",
            Role::Receiver => "it is empty, and its senders have left or were killed",
        };
        self.error(Kind::Disconnected, why)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if self.seat.check_owner().is_ok() {
            self.give_up();
        }
    }
}
