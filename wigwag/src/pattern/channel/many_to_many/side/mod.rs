//! Side: one end of a channel, which is its seat, how it claims places, and how it waits for those at the other side.

use std::ptr::NonNull;
use std::sync::Arc;

mod waiting;

use super::super::bell::Ringer;
use super::super::ends::{End, Role, Seat};
use super::super::full::Full;
use super::super::region::Region;
use super::super::waiting::Waiting;
use super::claim::Words;
use super::queue::{Broken, Queue};
use super::undertaker::Undertaker;
use super::word::Owner;
use crate::error::{Error, Kind, Result};
use crate::interrupt::{self, ENDED};
use crate::memory::segment::Trust;
use crate::sys::atomic::Ordering;
use crate::sys::keeper::{Alive, State};
use crate::wait::Deadline;

/// One end.
#[derive(Debug)]
pub(super) struct Side<Q: Queue> {
    queue: Q,
    /// The bytes of what it wants to send, where that differs.
    want: usize,
    words: NonNull<Words>,
    end: NonNull<End>,
    ringer: Ringer,
    /// Whether values are copied in private before anybody looks at them.
    pub(super) wary: bool,
    /// A place that is ours as long as a guard lives; one that was forgotten is given up with the next call.
    held: Option<Q::Place>,
    /// More places of the same guard.
    more: Vec<Q::Place>,
    role: Role,
    waiting: Waiting,
    undertaker: Undertaker,
    // Goes before the seat, whose memory it is in.
    _grave: Option<Alive>,
    seat: Seat,
}

// SAFETY: the pointers lead to atomics and to the ring of a region that the seat keeps mapped; the side is used by one
// thread at a time.
unsafe impl<Q: Queue> Send for Side<Q> {}
// SAFETY: `&Side` gives nothing but counts, read from atomics.
unsafe impl<Q: Queue> Sync for Side<Q> {}

impl<Q: Queue> Side<Q> {
    /// Takes a seat. A slot of a value has so many bytes, of which so many are before the value.
    pub(super) fn take(
        region: &Arc<Region>,
        role: Role,
        waiting: Waiting,
        slot: (usize, usize),
    ) -> Result<Self> {
        let seats = region.ends().len();
        let words: &Words = region.control();
        let clear = |index: usize, _: &End| {
            Q::of(region, Owner::new(index, 0), slot).bury(index, || true);
            Ok(())
        };
        let mut grave = None;
        // Before others see the end, or they would not know whom to listen to.
        let settle = |_: usize, end: &End| {
            // SAFETY: the region stays mapped as long as the seat, which is dropped after this; the seat is ours alone.
            let dug = unsafe { Alive::at(&end.grave) };
            grave = Some(dug.map_err(|cause| region.failed("attach to", cause))?);
            Ok(())
        };
        let seat = Seat::take(region, role, 0..seats, clear, settle)?;
        // Not before others see the end, or they would take one that is just coming for one that has left.
        words.met.0.fetch_or(1 << role as u32, Ordering::SeqCst);
        let generation = seat.end().generation.load(Ordering::Acquire);
        Ok(Side {
            queue: Q::of(region, Owner::new(seat.index(), generation), slot),
            want: 0,
            words: NonNull::from(words),
            end: NonNull::from(seat.end()),
            ringer: Ringer::default(),
            wary: region.trust() == Trust::Nobody,
            held: None,
            more: Vec::new(),
            role,
            waiting,
            undertaker: Undertaker::new(seats, seat.index()),
            _grave: grave,
            seat,
        })
    }

    #[inline(always)]
    fn words(&self) -> &Words {
        // SAFETY: they lie in the region, which the seat keeps mapped.
        unsafe { self.words.as_ref() }
    }

    /// From now on it wants to send so many bytes.
    #[inline(always)]
    pub(super) fn want(&mut self, len: usize) {
        self.want = len;
    }

    /// Tries to claim what this side needs: a free place to send, a full one to receive.
    #[inline(always)]
    fn attempt(&mut self) -> Result<Option<Q::Place>> {
        let attempt = match self.role {
            Role::Sender => self.queue.claim_free(self.want),
            Role::Receiver => self.queue.claim_full(),
        };
        attempt.map_err(|Broken| self.broken())
    }

    /// A place, if there is one at once.
    #[inline(always)]
    pub(super) fn try_claim(&mut self) -> Result<Option<Q::Place>> {
        if self.held.is_some() {
            self.give_up();
        }
        self.attempt()
    }

    /// The same for one who will not wait: it is an error when there is none and nobody who could change that.
    #[inline(always)]
    pub(super) fn may_claim(&mut self) -> Result<Option<Q::Place>> {
        match self.try_claim()? {
            Some(place) => Ok(Some(place)),
            None => self.look_around(),
        }
    }

    /// Another attempt, after what the dead had claimed is undone.
    #[cold]
    #[inline(never)]
    fn look_around(&mut self) -> Result<Option<Q::Place>> {
        let region = self.seat.region().clone();
        let dying = self.undertaker.undertake(&self.queue, &region);
        // Who overwrites waits at most for other senders.
        let alone = !dying && !self.overwrites() && is_alone(&region, self.role);
        region.is_there("use")?;
        // What they did before they went.
        match self.attempt()? {
            None if alone => Err(self.disconnected()),
            claimed => Ok(claimed),
        }
    }

    /// A place to send without waiting, as the channel was made.
    #[inline(always)]
    pub(super) fn try_room(&mut self) -> Result<Option<Q::Place>> {
        match self.try_claim()? {
            Some(place) => Ok(Some(place)),
            None => self.try_no_room(),
        }
    }

    /// The same to be filled first: what is not there yet is not dropped either.
    #[inline(always)]
    pub(super) fn may_lend(&mut self) -> Result<Option<Q::Place>> {
        match self.full() {
            Full::OverwriteOldest => self.try_room(),
            _ => self.may_claim(),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_no_room(&mut self) -> Result<Option<Q::Place>> {
        match self.full() {
            Full::Wait | Full::Fail => {}
            Full::DropNewest => {
                self.lose();
                return Ok(None);
            }
            Full::OverwriteOldest => {
                let claimed = self.in_line(|side| side.retry())?;
                if claimed.is_some() {
                    return Ok(claimed);
                }
            }
        }
        self.look_around()
    }

    /// A place; waits for it.
    #[inline(always)]
    pub(super) fn claim(&mut self, deadline: Deadline) -> Result<Q::Place> {
        match self.try_claim()? {
            Some(place) => Ok(place),
            None => self.claim_late(deadline),
        }
    }

    /// A place to send, as the channel was made; `None` when the value is dropped.
    #[inline(always)]
    pub(super) fn room(&mut self, deadline: Deadline) -> Result<Option<Q::Place>> {
        match self.try_claim()? {
            Some(place) => Ok(Some(place)),
            None => self.no_room(deadline),
        }
    }

    /// The same for one of several: before it waits, those before it are told of.
    #[inline(always)]
    pub(super) fn next_room(&mut self) -> Result<Option<Q::Place>> {
        match self.try_claim()? {
            Some(place) => Ok(Some(place)),
            None => {
                self.ring();
                self.no_room(Deadline::Never)
            }
        }
    }

    /// The same for one of several that are not waited for.
    #[inline(always)]
    pub(super) fn try_next_room(&mut self) -> Result<Option<Q::Place>> {
        match self.full() {
            Full::OverwriteOldest => self.try_room(),
            _ => self.try_claim(),
        }
    }

    #[cold]
    #[inline(never)]
    fn no_room(&mut self, deadline: Deadline) -> Result<Option<Q::Place>> {
        match self.full() {
            Full::Wait | Full::OverwriteOldest => self.claim_late(deadline).map(Some),
            Full::Fail => Err(self.in_vain(Deadline::Now)),
            Full::DropNewest => {
                self.lose();
                Ok(None)
            }
        }
    }

    /// A place after the first attempt was in vain.
    #[cold]
    #[inline(never)]
    fn claim_late(&mut self, deadline: Deadline) -> Result<Q::Place> {
        self.in_line(|side| match side.retry()? {
            Some(place) => Ok(place),
            None => side.wait(deadline),
        })
    }

    /// Does something during which a sender takes a place in the line.
    fn in_line<P>(&mut self, run: impl FnOnce(&mut Self) -> Result<P>) -> Result<P> {
        self.queue.stand_in_line();
        let outcome = run(self);
        self.leave_line();
        outcome
    }

    /// A place to send without waiting; if there is none, a place in the line, which is kept for the next attempt.
    pub(super) fn claim_in_line(&mut self) -> Result<Option<Q::Place>> {
        if self.overwrites() {
            return self.try_room();
        }
        self.queue.stand_in_line();
        let claimed = self.may_claim();
        if !matches!(claimed, Ok(None)) {
            self.leave_line();
        }
        claimed
    }

    /// It does not want to send any more.
    pub(super) fn leave_line(&mut self) {
        if self.queue.leave_line() {
            // Those of the same side stood behind us, and do not listen to us.
            self.region().roster().stir();
        }
    }

    /// Tries to claim what this side needs, and drops what is oldest for it where that is the rule.
    fn retry(&mut self) -> Result<Option<Q::Place>> {
        loop {
            let attempt = self.attempt()?;
            if attempt.is_some() || !self.overwrites() {
                return Ok(attempt);
            }
            let Some(oldest) = self.queue.claim_oldest().map_err(|Broken| self.broken())? else {
                return Ok(None);
            };
            self.queue.free(oldest);
            self.lose();
        }
    }

    fn overwrites(&self) -> bool {
        self.role == Role::Sender && self.full() == Full::OverwriteOldest
    }

    /// Whether a guard has a place.
    #[inline(always)]
    pub(super) fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// That a guard has the place, until it is sent or received.
    #[inline(always)]
    pub(super) fn hold(&mut self, place: Q::Place) {
        self.held = Some(place);
    }

    /// Another place for the guard that has one, if there is one at once.
    pub(super) fn hold_another(&mut self) -> Result<Option<Q::Place>> {
        let place = self.attempt()?;
        self.more.extend(place);
        Ok(place)
    }

    /// All places of the guard, in the order in which it came to them.
    pub(super) fn held(&self) -> impl Iterator<Item = Q::Place> {
        self.held.into_iter().chain(self.more.iter().copied())
    }

    /// How many these are.
    pub(super) fn count_held(&self) -> usize {
        usize::from(self.held.is_some()) + self.more.len()
    }

    /// Done with the first `count` places of the guard: sent, or received; gives up the others.
    pub(super) fn done_with(&mut self, count: usize) {
        let mut more = std::mem::take(&mut self.more);
        let places = self.held.take().into_iter().chain(more.drain(..));
        let mut given_up = false;
        for (number, place) in places.enumerate() {
            given_up |= number >= count;
            match (self.role, number < count) {
                (Role::Sender, true) => self.queue.publish(place),
                (Role::Receiver, true) | (Role::Sender, false) => self.queue.free(place),
                (Role::Receiver, false) => self.queue.put_back(place),
            }
        }
        // Its memory serves the next.
        self.more = more;
        self.ring();
        if given_up {
            // Those of the same side may wait for it too, who do not listen to us.
            self.region().roster().stir();
        }
    }

    /// Where the bytes of a claimed place lie.
    #[inline(always)]
    pub(super) fn bytes(&self, place: Q::Place) -> *mut u8 {
        self.queue.bytes(place)
    }

    /// Done with a claimed place: sent, or received.
    #[inline(always)]
    pub(super) fn done(&mut self, place: Q::Place) {
        self.held = None;
        match self.role {
            Role::Sender => self.queue.publish(place),
            Role::Receiver => self.queue.free(place),
        }
        self.ring();
    }

    /// A claimed place is full; nobody is told yet.
    #[inline(always)]
    pub(super) fn publish(&mut self, place: Q::Place) {
        self.queue.publish(place);
    }

    /// Tells those who wait.
    #[inline(always)]
    pub(super) fn ring(&mut self) {
        // SAFETY: the seat lies in the region, which it keeps mapped.
        self.ringer.ring(unsafe { self.end.as_ref() });
    }

    /// Gives up what a guard had: nothing is sent, nothing was received.
    #[cold]
    #[inline(never)]
    pub(super) fn give_up(&mut self) {
        if self.held.is_some() {
            self.done_with(0);
        }
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

    /// Its ring, as another thread may look at it.
    pub(super) fn guest(&self) -> Q {
        self.queue.guest()
    }

    /// One who undoes for another thread what the dead had claimed.
    pub(super) fn undertaker(&self) -> Undertaker {
        Undertaker::new(self.region().ends().len(), self.seat.index())
    }

    /// Which seat it has.
    pub(super) fn seat(&self) -> usize {
        self.seat.index()
    }

    /// Which side it is.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The bytes of what it wanted to send last.
    pub(super) fn wanted(&self) -> u64 {
        self.want as u64
    }

    /// How many values were dropped so far.
    pub(super) fn lost(&self) -> u64 {
        self.words().lost.0.load(Ordering::Relaxed)
    }

    /// About how many values, or bytes, are in it.
    pub(super) fn level(&self) -> u64 {
        self.queue.level()
    }

    /// Whether somebody lives at the other side.
    pub(super) fn is_connected(&self) -> bool {
        let other = self.role.other();
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
    fn broken(&self) -> Error {
        let why = "its words lead nowhere: some process has overwritten them";
        self.error(Kind::Corrupt, why)
            .with_hint("remove it and make it anew")
    }

    #[cold]
    pub(super) fn in_vain(&self, deadline: Deadline) -> Error {
        let (what, kind) = match (self.role, deadline) {
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
        let why = match self.role {
            Role::Sender => "it is full, and its receivers have left or were killed",
            Role::Receiver => "it is empty, and its senders have left or were killed",
        };
        self.error(Kind::Disconnected, why)
    }
}

/// The seats of the others at its own side.
pub(super) fn others(region: &Region, role: Role, own: usize) -> impl Iterator<Item = &End> {
    let seats = region.ends().iter().enumerate();
    seats
        .filter(move |(index, end)| *index != own && end.role() == Some(role))
        .map(|(_, end)| end)
}

/// Whether there has been somebody at the other side, and nobody is.
pub(super) fn is_alone(region: &Region, role: Role) -> bool {
    let other = role.other();
    let lives = |end: &End| end.role() == Some(other) && end.life.state() == State::Alive;
    has_met(region, other) && !region.ends().iter().any(lives)
}

/// Whether there has been somebody in this role. To be asked before who lives is: one that is just coming is seen first.
fn has_met(region: &Region, role: Role) -> bool {
    let met = &region.control::<Words>().met.0;
    met.load(Ordering::SeqCst) & 1 << role as u32 != 0
}

impl<Q: Queue> Drop for Side<Q> {
    fn drop(&mut self) {
        if self.seat.check_owner().is_ok() {
            self.leave_line();
            self.give_up();
        }
    }
}
