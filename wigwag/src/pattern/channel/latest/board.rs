//! Board: the two sides of the buffers, one that writes and the many that copy.

use std::ptr::NonNull;
use std::sync::Arc;

use super::super::bell::{Ringer, Waiter, Wake};
use super::super::ends::{Role, Seat};
use super::super::region::Region;
use super::super::waiting::Waiting;
use super::guests::{Guests, stays};
use super::version::{Attempt, Stay, Tag, attempt};
use super::{SENDER, Shape, Words};
use crate::error::{Error, Kind, Result};
use crate::interrupt::{self, ENDED};
use crate::memory::mapping::page;
use crate::memory::segment::Trust;
use crate::sys::atomic::{AtomicU64, Ordering, relax};
use crate::sys::copy::copy;
use crate::sys::keeper::State;
use crate::wait::Deadline;

/// How often a reader is overtaken before it asks the sender to leave a buffer alone.
const EAGER: u32 = 3;
/// How often it is overtaken, and how often it looks at what is not complete, before it says that it cannot keep up; and how often
/// it looks before it stays at another buffer: its sender may have been killed or stopped while it wrote there.
const COPIES: u32 = 10_000;
const LOOKS: u32 = 1_000_000;
const PATIENCE: u32 = 1000;

/// The sender's side.
#[derive(Debug)]
pub(super) struct Writing {
    version: u64,
    /// The buffer of that version, and that of the next once it was begun.
    at: u64,
    next: Option<u64>,
    shape: Shape,
    guests: Guests,
    ringer: Ringer,
    /// Whether peers are not trusted.
    pub(super) wary: bool,
    seat: Seat,
}

impl Writing {
    /// Takes the seat of the sender.
    pub(super) fn take(region: &Arc<Region>, shape: Shape) -> Result<Self> {
        let seat = Seat::take(
            region,
            Role::Sender,
            SENDER..SENDER + 1,
            |_, _| Ok(()),
            |_, _| Ok(()),
        )?;
        let words: &Words = region.control();
        let (version, at) = words.version.get();
        if version > 1 << 57 || at >= shape.count {
            return Err(impossible(region, "send to"));
        }
        // What one before left unfinished has the number of what we write next. To be killed here is to be cleared up after.
        for buffer in 0..shape.count {
            if version == 0 || buffer != at {
                tag(region, shape, 0, buffer).clear();
            }
        }
        // He may have been asked, too.
        words.asked.0.store(1, Ordering::Relaxed);
        Ok(Writing {
            version,
            at,
            next: None,
            shape,
            guests: Guests::new(shape.count),
            ringer: Ringer::default(),
            wary: region.trust() == Trust::Nobody,
            seat,
        })
    }

    /// The newest version.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Whether there is a newest.
    pub(super) fn level(&self) -> u64 {
        self.version.min(1)
    }

    /// It is never full.
    pub(super) fn lost(&self) -> u64 {
        0
    }

    /// Whether any receiver lives.
    pub(super) fn is_connected(&self) -> bool {
        self.region().count(Role::Receiver) > 0
    }

    /// The buffer for the next version, of [`stride`](super::Shape) bytes; to be written by copies, or by references at the addresses
    /// that only the sender uses. The same again until it is published.
    #[inline(always)]
    pub(super) fn begin(&mut self) -> Result<*mut u8> {
        self.region().is_there("send to")?;
        let buffer = match self.next {
            Some(buffer) => buffer,
            None => self.choose(),
        };
        self.next = Some(buffer);
        let region = self.seat.region();
        tag(region, self.shape, 0, buffer).begin(self.version + 1);
        Ok(place(region, self.shape, 0, buffer))
    }

    /// A buffer that neither holds the newest version nor is stayed at; of those the one that was written longest ago.
    #[inline(always)]
    fn choose(&mut self) -> u64 {
        let region = self.seat.region();
        let asked = &region.control::<Words>().asked.0;
        if asked.load(Ordering::Relaxed) != 0 || !self.guests.is_empty() {
            self.guests.look(asked, region.ends());
        }
        let mut buffer = (self.at + 1) % self.shape.count;
        while self.guests.stay_at(buffer) {
            buffer = (buffer + 1) % self.shape.count;
        }
        buffer
    }

    /// Makes the next version, which was begun, the newest.
    #[inline(always)]
    pub(super) fn publish(&mut self) {
        let Some(buffer) = self.next.take() else {
            return;
        };
        self.version += 1;
        self.at = buffer;
        let words: &Words = self.seat.region().control();
        words.version.publish(self.version, buffer);
        self.ringer.ring(self.seat.end());
    }

    /// The channel.
    pub(super) fn region(&self) -> &Arc<Region> {
        self.seat.region()
    }
}

/// Where a buffer lies, in the mapping that begins `mapping` bytes behind the ring.
#[inline(always)]
fn place(region: &Region, shape: Shape, mapping: usize, buffer: u64) -> *mut u8 {
    let offset = mapping + (buffer * shape.stride) as usize;
    // SAFETY: the ring has `count` buffers of `stride` bytes, and is mapped again behind the object's pages, of which it
    // is the last.
    unsafe { region.ring().as_ptr().add(offset) }
}

/// The word of a buffer, its last eight bytes.
#[inline(always)]
fn tag(region: &Region, shape: Shape, mapping: usize, buffer: u64) -> Tag<'_> {
    let word = place(region, shape, mapping, buffer);
    // SAFETY: buffers begin at multiples of 64 and are as long; their last bytes are accessed as this only, by atomics.
    Tag(unsafe { &*word.add(shape.stride as usize - 8).cast() })
}

/// A receiver's side.
#[derive(Debug)]
pub(super) struct Reading {
    /// The version that was received last.
    seen: u64,
    /// How many were skipped.
    lost: u64,
    shape: Shape,
    /// From the ring to its second mapping.
    alias: usize,
    waiter: Waiter,
    seat: Seat,
}

/// How an attempt to copy ended: with what was copied, or with the reason why it is nonsense if it was whole.
pub(super) type Copied<R> = std::result::Result<R, String>;

/// Stays nowhere when dropped.
struct Stays<'a>(&'a AtomicU64);

impl Drop for Stays<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

impl Reading {
    /// Takes a seat for a receiver.
    pub(super) fn take(region: &Arc<Region>, shape: Shape, waiting: Waiting) -> Result<Self> {
        let seats = SENDER + 1..region.ends().len();
        let seat = Seat::take(
            region,
            Role::Receiver,
            seats,
            |_, _| Ok(()),
            |_, end| {
                // One who was killed may have stayed somewhere.
                stays(end).store(0, Ordering::Relaxed);
                Ok(())
            },
        )?;
        Ok(Reading {
            seen: 0,
            lost: 0,
            shape,
            alias: (region.plan().ring as usize).next_multiple_of(page()),
            waiter: Waiter::among_many(waiting),
            seat,
        })
    }

    /// Copies the newest version by `read`, which gets its buffer, until it is whole; `None` when nothing was ever sent.
    /// With it, how many versions were skipped since the last.
    ///
    /// The buffer is that of the second mapping: so the sender, who fills another buffer in place and may get to this one, writes to an
    /// object of its own as far as the compiler can know.
    #[inline(always)]
    pub(super) fn copy<R>(
        &mut self,
        mut read: impl FnMut(*const u8) -> Copied<R>,
    ) -> Result<Option<(R, u64)>> {
        for _ in 0..EAGER {
            match self.attempt(None, &mut read) {
                Attempt::Whole(version, copied) => return self.accept(version, copied),
                Attempt::Nothing => return self.nothing(),
                Attempt::Overwritten | Attempt::Unfinished => {}
                Attempt::Impossible => return Err(self.impossible()),
            }
        }
        self.copy_as_guest(&mut read)
    }

    /// The same, with a buffer that the sender leaves alone as soon as it sees that it is asked.
    #[cold]
    #[inline(never)]
    fn copy_as_guest<R>(
        &mut self,
        read: &mut impl FnMut(*const u8) -> Copied<R>,
    ) -> Result<Option<(R, u64)>> {
        let region = self.seat.region().clone();
        let words: &Words = region.control();
        let stays = Stays(stays(&region.ends()[self.seat.index()]));
        let (mut copies, mut looks) = (0, 0);
        while copies < COPIES && looks < LOOKS {
            // Whatever comes into its buffer later is newer.
            let (version, buffer) = words.version.get();
            stays.0.store(buffer + 1, Ordering::Relaxed);
            words.asked.0.store(1, Ordering::Release);
            let patience = looks + PATIENCE;
            while copies < COPIES && looks < patience {
                match self.attempt(Some((buffer, version)), read) {
                    Attempt::Whole(version, copied) => return self.accept(version, copied),
                    Attempt::Nothing => return self.nothing(),
                    Attempt::Overwritten => copies += 1,
                    Attempt::Unfinished => {
                        looks += 1;
                        relax();
                    }
                    Attempt::Impossible => return Err(self.impossible()),
                }
            }
        }
        let why = "it changes faster than it can be copied";
        Err(self.error(Kind::WouldBlock, why).with_hint(
            "make it with more capacity: that many receivers less two copy undisturbed at a time",
        ))
    }

    #[inline(always)]
    fn attempt<R>(
        &self,
        stay: Option<Stay>,
        read: &mut impl FnMut(*const u8) -> Copied<R>,
    ) -> Attempt<Copied<R>> {
        let (region, shape, alias) = (&**self.seat.region(), self.shape, self.alias);
        let words: &Words = region.control();
        attempt(
            &words.version,
            stay,
            |buffer| (buffer < shape.count).then(|| tag(region, shape, alias, buffer)),
            |buffer| read(place(region, shape, alias, buffer)),
        )
    }

    #[cold]
    fn nothing<R>(&self) -> Result<Option<R>> {
        self.region().is_there("receive from")?;
        match self.seen {
            0 => Ok(None),
            _ => Err(self.impossible()),
        }
    }

    #[inline(always)]
    fn accept<R>(&mut self, version: u64, copied: Copied<R>) -> Result<Option<(R, u64)>> {
        if version < self.seen {
            return Err(self.impossible());
        }
        let skipped = (version - self.seen).saturating_sub(1);
        self.seen = version;
        self.lost = self.lost.wrapping_add(skipped);
        match copied {
            Ok(copied) => Ok(Some((copied, skipped))),
            Err(why) => Err(self.error(Kind::Corrupt, why)),
        }
    }

    /// How many were skipped so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether there is a newer one than was received last.
    #[inline(always)]
    pub(super) fn has_newer(&self) -> bool {
        self.level() > 0
    }

    /// The same for one who will not wait: it is an error when there is none and nobody who could change that.
    #[inline(always)]
    pub(super) fn may_have_newer(&self) -> Result<bool> {
        Ok(self.has_newer() || self.look_around()?)
    }

    #[cold]
    #[inline(never)]
    fn look_around(&self) -> Result<bool> {
        self.region().is_there("receive from")?;
        if !self.region().ends()[SENDER].is_left() {
            return Ok(false);
        }
        // What it sent before it went.
        match self.has_newer() {
            true => Ok(true),
            false => Err(self.disconnected()),
        }
    }

    /// The version that was received last.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// How many newer ones were sent.
    #[inline(always)]
    pub(super) fn level(&self) -> u64 {
        let words: &Words = self.seat.region().control();
        words.version.newest().saturating_sub(self.seen)
    }

    /// Waits until there is a newer one.
    #[cold]
    #[inline(never)]
    pub(super) fn wait(&mut self, deadline: Deadline) -> Result<()> {
        self.seat.check_owner()?;
        self.region().is_there("receive from")?;
        let region = self.seat.region().clone();
        let (own, peer) = (self.seat.end(), &region.ends()[SENDER]);
        let version = &region.control::<Words>().version;
        let seen = self.seen;
        let there = || (version.newest() > seen).then_some(());
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

    /// Whether the sender lives.
    pub(super) fn is_connected(&self) -> bool {
        self.region().ends()[SENDER].life.state() == State::Alive
    }

    /// The channel.
    pub(super) fn region(&self) -> &Arc<Region> {
        self.seat.region()
    }

    #[cold]
    pub(super) fn in_vain(&self, deadline: Deadline) -> Error {
        match deadline {
            _ if interrupt::ended() => self.error(Kind::Interrupted, ENDED),
            Deadline::Now => self.error(Kind::WouldBlock, "there is nothing new"),
            _ => self.error(Kind::TimedOut, "nothing new came until the time was over"),
        }
    }

    /// That what had been sent was taken back, or other nonsense, which nobody does who keeps the rules.
    #[cold]
    pub(super) fn impossible(&self) -> Error {
        impossible(self.region(), "receive from")
    }

    #[cold]
    fn disconnected(&self) -> Error {
        let why = "nothing new will come: its sender has left or was killed";
        self.error(Kind::Disconnected, why)
    }

    #[cold]
    fn error(&self, kind: Kind, why: impl Into<String>) -> Error {
        self.region().error(kind, "receive from", why)
    }
}

/// Copies out of a buffer.
///
/// # Safety
/// `from` is in a buffer that has so many bytes from there on, and `to` in private memory that has.
#[inline(always)]
pub(super) unsafe fn copy_out(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: as the caller promises; nothing is claimed but bytes.
    unsafe { copy(to, from, len) };
}

/// The first byte behind the length of a message.
#[inline(always)]
pub(super) fn bytes(buffer: *mut u8) -> NonNull<u8> {
    // SAFETY: a buffer has more bytes than its length takes, and is not null.
    unsafe { NonNull::new_unchecked(buffer.add(super::LENGTH as usize)) }
}

#[cold]
fn impossible(region: &Region, action: &'static str) -> Error {
    let why = "its version makes no sense: a process has written where it must not";
    region.error(Kind::Corrupt, action, why)
}
