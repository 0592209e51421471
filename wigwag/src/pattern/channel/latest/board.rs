//! Board: the two sides of the buffers, one that writes and the many that copy.

use std::ptr::NonNull;
use std::sync::Arc;

use super::super::bell::{Ringer, Waiter, Wake};
use super::super::ends::{Role, Seat};
use super::super::region::Region;
use super::super::waiting::Waiting;
use super::{SENDER, Words};
use crate::error::{Error, Kind, Result};
use crate::interrupt::{self, ENDED};
use crate::memory::mapping::page;
use crate::memory::segment::Trust;
use crate::sys::copy::copy;
use crate::sys::keeper::State;
use crate::wait::Deadline;

/// How often a copy is made again before a reader says that it cannot keep up.
const ATTEMPTS: u32 = 10_000;

/// The sender's side.
#[derive(Debug)]
pub(super) struct Writing {
    version: u64,
    count: u64,
    stride: u64,
    ringer: Ringer,
    /// Whether peers are not trusted.
    pub(super) wary: bool,
    seat: Seat,
}

impl Writing {
    /// Takes the seat of the sender.
    pub(super) fn take(region: &Arc<Region>, (count, stride): (u64, u64)) -> Result<Self> {
        // A dead one leaves nothing to clear: he began a version that is begun again.
        let seat = Seat::take(
            region,
            Role::Sender,
            SENDER..SENDER + 1,
            |_, _| Ok(()),
            |_, _| Ok(()),
        )?;
        let words: &Words = region.control();
        let version = words.version.newest();
        if version > 1 << 62 {
            return Err(impossible(region, "send to"));
        }
        Ok(Writing {
            version,
            count,
            stride,
            ringer: Ringer::default(),
            wary: region.trust() == Trust::Nobody,
            seat,
        })
    }

    /// The newest version.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The buffer for the next version, of [`stride`](super::buffers) bytes; to be written by copies, or by references at the addresses that
    /// only the sender uses.
    #[inline(always)]
    pub(super) fn begin(&mut self) -> *mut u8 {
        self.seat.region().control::<Words>().version.begin();
        let offset = (self.version + 1) % self.count * self.stride;
        // SAFETY: the ring has `count` buffers of `stride` bytes.
        unsafe { self.seat.region().ring().as_ptr().add(offset as usize) }
    }

    /// Makes the next version the newest.
    #[inline(always)]
    pub(super) fn publish(&mut self) {
        self.version += 1;
        let words: &Words = self.seat.region().control();
        words.version.publish(self.version);
        self.ringer.ring(self.seat.end());
    }

    /// The channel.
    pub(super) fn region(&self) -> &Arc<Region> {
        self.seat.region()
    }
}

/// A receiver's side.
#[derive(Debug)]
pub(super) struct Reading {
    /// The version that was received last.
    seen: u64,
    count: u64,
    stride: u64,
    waiter: Waiter,
    seat: Seat,
}

/// How an attempt to copy ended: with what was copied, or with the reason why it is nonsense if it was whole.
pub(super) type Copied<R> = std::result::Result<R, String>;

impl Reading {
    /// Takes a seat for a receiver.
    pub(super) fn take(
        region: &Arc<Region>,
        (count, stride): (u64, u64),
        waiting: Waiting,
    ) -> Result<Self> {
        let seats = SENDER + 1..region.ends().len();
        Ok(Reading {
            seen: 0,
            count,
            stride,
            waiter: Waiter::among_many(waiting),
            seat: Seat::take(region, Role::Receiver, seats, |_, _| Ok(()), |_, _| Ok(()))?,
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
        let region = self.seat.region();
        let version = &region.control::<Words>().version;
        let alias = (region.plan().ring as usize).next_multiple_of(page());
        for _ in 0..ATTEMPTS {
            let newest = version.newest();
            if newest == 0 {
                return Ok(None);
            }
            if newest < self.seen {
                return Err(impossible(region, "receive from"));
            }
            let offset = (newest % self.count * self.stride) as usize;
            // SAFETY: the ring has `count` buffers of `stride` bytes, and is mapped again behind the object's pages, of which
            // it is the last.
            let copied = read(unsafe { region.ring().as_ptr().add(alias + offset) });
            if !version.is_whole(newest, self.count) {
                continue;
            }
            let skipped = (newest - self.seen).saturating_sub(1);
            self.seen = newest;
            return match copied {
                Ok(copied) => Ok(Some((copied, skipped))),
                Err(why) => Err(self.error(Kind::Corrupt, why)),
            };
        }
        let why = "it changes faster than it can be copied";
        Err(self
            .error(Kind::WouldBlock, why)
            .with_hint("make it with more capacity: each buffer gives a reader more time"))
    }

    /// Whether there is a newer one than was received last.
    #[inline(always)]
    pub(super) fn has_newer(&self) -> bool {
        self.level() > 0
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
            Wake::Gone => Err(self.error(
                Kind::Disconnected,
                "nothing new will come: its sender has left or was killed",
            )),
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

    /// That what had been sent was taken back, which nobody does who keeps the rules.
    #[cold]
    pub(super) fn emptied(&self) -> Error {
        impossible(self.region(), "receive from")
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
