//! Ends: who takes part in a channel, in which role, and who is gone.
//!
//! Each end has a seat in the shared memory. The holder word of a seat names the process and its role:
//!
//! | holder | bits 62–63 | meaning |
//! |---|---|---|
//! | 0 | | free |
//! | process | 0 | is sitting down, or clearing up after a dead one |
//! | process | 1 | a sender |
//! | process | 2 | a receiver |
//! | all ones | | the channel is given up: nobody sits down any more |
//!
//! A seat is taken and left in an order that a kill can cut anywhere: a holder that is dead is found by the next who looks
//! for a seat, who clears up and sits down. The life word beside it tells those who sleep at once.

use std::ops::Range;
use std::sync::Arc;

use super::bell;
use super::region::Region;
use crate::error::{Kind, Result};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys::futex::{self, Sleep};
use crate::sys::holder::{Holder, MARKS};
use crate::sys::keeper::{Alive, Life, State};
use crate::sys::membarrier;
use crate::wait::Deadline;

/// What an end does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// It puts values in.
    Sender,
    /// It takes values out.
    Receiver,
}

impl Role {
    fn mark(self) -> u64 {
        match self {
            Role::Sender => 1 << 62,
            Role::Receiver => 2 << 62,
        }
    }

    /// The one at the other side.
    pub(crate) fn other(self) -> Role {
        match self {
            Role::Sender => Role::Receiver,
            Role::Receiver => Role::Sender,
        }
    }

    /// In words.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Role::Sender => "sender",
            Role::Receiver => "receiver",
        }
    }
}

/// A channel that is given up.
const GIVEN_UP: u64 = u64::MAX;

/// [`Life::careful`]: its owner need not look at the word.
pub(crate) const CARELESS: u32 = 0;
/// It must, after each change, behind a fence.
pub(crate) const CAREFUL: u32 = 1;
/// The same as long as the owner's process takes no part in `membarrier(2)`.
pub(crate) const ALWAYS: u32 = 2;

/// One seat, in shared memory. Its first cache line is written rarely.
#[repr(C, align(128))]
pub(crate) struct End {
    /// On it sleep those who wait for this end.
    pub(crate) life: Life,
    pub(crate) holder: AtomicU64,
    /// How many have sat here.
    pub(crate) generation: AtomicU32,
    /// On which processor its thread was when it last had to wait or ring; plus one.
    pub(crate) cpu: AtomicU32,
    /// How often its owner rang: what tells a ring from none where several sleep.
    pub(crate) rings: AtomicU32,
    spare: AtomicU32,
    line: AtomicU64,
    /// The same as `life`, but never rung: on it sleep those of the same side, who wait for nothing but the death of its
    /// holder. Only in flavours where that matters.
    pub(crate) grave: Life,
    /// For the flavour: alone in a cache line, zero when the seat has never been taken.
    pub(crate) own: [AtomicU64; 8],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<End>() == 128 && std::mem::offset_of!(End, own) == 64);

impl End {
    /// One that nobody has taken.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        let word = || AtomicU64::new(0);
        End {
            life: Life::new(),
            holder: word(),
            generation: AtomicU32::new(0),
            cpu: AtomicU32::new(0),
            rings: AtomicU32::new(0),
            spare: AtomicU32::new(0),
            line: word(),
            grave: Life::new(),
            own: std::array::from_fn(|_| word()),
        }
    }

    /// A thread of the model sits there in this role.
    #[cfg(loom)]
    pub(crate) fn sit_down(&self, role: Role) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.holder.store(1 | role.mark(), Ordering::Release);
    }

    /// What its present holder does there; nobody when it is free, or its holder has not yet sat down.
    #[inline]
    pub(crate) fn role(&self) -> Option<Role> {
        let word = self.holder.load(Ordering::Acquire);
        [Role::Sender, Role::Receiver]
            .into_iter()
            .find(|role| word != GIVEN_UP && word & MARKS == role.mark())
    }

    /// Whether somebody lives there in this role.
    pub(crate) fn is(&self, role: Role) -> bool {
        self.role() == Some(role) && self.life.state_in_doubt() == State::Alive
    }

    /// Whether its holder is dead: nothing of that process runs any more, so what it held may be taken.
    pub(crate) fn is_abandoned(&self) -> bool {
        let word = self.holder.load(Ordering::Acquire);
        word != GIVEN_UP && Holder::in_word(word).is_some_and(|holder| !holder.process_is_alive())
    }

    /// Whether somebody was here and nobody is.
    #[inline]
    pub(crate) fn is_left(&self) -> bool {
        self.life.state() != State::Alive && self.generation.load(Ordering::Acquire) != 0
    }

    /// Its process, if there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self.holder.load(Ordering::Acquire) {
            GIVEN_UP => None,
            word => Holder::in_word(word).map(Holder::id),
        }
    }
}

/// Who comes and goes, in shared memory.
#[repr(C, align(128))]
pub(crate) struct Roster {
    /// Counts who sat down: those who wait for anybody at all sleep on it.
    pub(crate) joins: AtomicU32,
    /// How many of them were senders, and how many receivers: tells of those, too, who have gone meanwhile.
    came: [AtomicU32; 2],
}

impl Roster {
    fn joined(&self, role: Role) {
        self.came(role).fetch_add(1, Ordering::SeqCst);
        self.stir();
    }

    /// Counts who came in this role.
    pub(crate) fn came(&self, role: Role) -> &AtomicU32 {
        let [senders, receivers] = &self.came;
        match role {
            Role::Sender => senders,
            Role::Receiver => receivers,
        }
    }

    /// Wakes all who listen to it: something happened that no peer of theirs tells them.
    pub(crate) fn stir(&self) {
        self.joins.fetch_add(1, Ordering::SeqCst);
        futex::wake(&self.joins, u32::MAX);
    }
}

/// A seat that this process has taken; left when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    region: Arc<Region>,
    index: usize,
    word: u64,
    // Goes first when the seat is left, see `drop`.
    alive: Option<Alive>,
}

impl Seat {
    /// Takes one of `seats`. `clear` is called with the seat of a dead one before it is taken over, and again if who
    /// clears up dies too: it must bear repetition. `settle` prepares the seat; after it others see the end.
    ///
    /// # Errors
    /// `Limit` when all are taken by living processes; `Removed` when the channel was given up.
    pub(crate) fn take(
        region: &Arc<Region>,
        role: Role,
        seats: Range<usize>,
        mut clear: impl FnMut(usize, &End) -> Result<()>,
        settle: impl FnOnce(usize, &End) -> Result<()>,
    ) -> Result<Seat> {
        let own = Holder::process().word();
        let mut others = Vec::new();
        for index in seats {
            let end = &region.ends()[index];
            let before = end.holder.load(Ordering::Acquire);
            if before == GIVEN_UP {
                let why = "it was removed, or made anew under its name";
                return Err(region
                    .error(Kind::Removed, "attach to", why)
                    .with_hint("open it again"));
            }
            if before != 0 && !end.is_abandoned() {
                others.extend(end.pid());
                continue;
            }
            let won = end
                .holder
                .compare_exchange(before, own, Ordering::AcqRel, Ordering::Acquire);
            if won.is_err() {
                continue;
            }
            let mut sitting = Sitting(Some(end));
            if before != 0 {
                clear(index, end)?;
            }
            settle(index, end)?;
            end.cpu.store(bell::cpu(), Ordering::Relaxed);
            // SAFETY: the region stays mapped as long as the seat, which drops this first; the seat is ours alone.
            let alive = unsafe { Alive::at(&end.life) }
                .map_err(|cause| region.failed("attach to", cause))?;
            // The keeper registers the process; that may take it a while.
            let careful = if membarrier::registered() {
                CARELESS
            } else {
                ALWAYS
            };
            end.life.careful.store(careful, Ordering::SeqCst);
            end.generation.fetch_add(1, Ordering::AcqRel);
            let word = own | role.mark();
            end.holder.store(word, Ordering::Release);
            sitting.0 = None;
            region.roster().joined(role);
            return Ok(Seat {
                region: region.clone(),
                index,
                word,
                alive: Some(alive),
            });
        }
        others.dedup();
        let why = format!(
            "it has no seat for another {}: taken by process {}",
            role.noun(),
            others
                .iter()
                .map(u32::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        );
        Err(region.error(Kind::Limit, "attach to", why))
    }

    /// Which seat it is.
    #[allow(dead_code)] // for the flavours with many ends
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The seat in shared memory.
    #[inline]
    pub(crate) fn end(&self) -> &End {
        &self.region.ends()[self.index]
    }

    /// That it is not used by the child of a fork, whose parent has it too.
    ///
    /// # Errors
    /// `BadInput` in such a child.
    pub(crate) fn check_owner(&self) -> Result<()> {
        if self.word & !MARKS == Holder::process().word() {
            return Ok(());
        }
        let why = "this end belongs to the parent process";
        Err(self
            .region
            .error(Kind::BadInput, "use", why)
            .with_hint("open the channel in the child, by name or descriptor"))
    }

    /// The channel it belongs to.
    #[inline]
    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }
}

/// Frees a seat again when sitting down failed or panicked.
struct Sitting<'a>(Option<&'a End>);

impl Drop for Sitting<'_> {
    fn drop(&mut self) {
        if let Some(end) = self.0 {
            end.holder.store(0, Ordering::Release);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // In the child of a fork the seat is the parent's, and `Alive` knows that too.
        let ours = self.word & !MARKS == Holder::process().word();
        drop(self.alive.take());
        if ours {
            self.end().holder.store(0, Ordering::Release);
        }
    }
}

impl Region {
    /// Sleeps until somebody sits down after `seen` was read from the roster's `joins`.
    pub(crate) fn await_join(&self, seen: u32, deadline: Deadline) -> Sleep {
        let joins = &self.roster().joins;
        let slept = futex::wait_any(&[(joins, seen)], deadline, self.vigil());
        match slept {
            _ if self.is_there("use").is_err() => Sleep::Gone,
            Sleep::TimedOut if !deadline.passed() => Sleep::Woken,
            slept => slept,
        }
    }

    /// How many live in this role.
    pub(crate) fn count(&self, role: Role) -> usize {
        self.ends().iter().filter(|end| end.is(role)).count()
    }

    /// Gives the channel up, if nobody lives in it: no seat can be taken afterwards. Whether it is.
    pub(crate) fn give_up(&self) -> bool {
        let free = |end: &End| {
            let word = end.holder.load(Ordering::Acquire);
            word == 0 || word == GIVEN_UP || end.is_abandoned()
        };
        if !self.ends().iter().all(free) {
            return false;
        }
        let mut taken = Vec::new();
        for end in self.ends() {
            let word = end.holder.load(Ordering::Acquire);
            let swapped = word == GIVEN_UP
                || free(end)
                    && end
                        .holder
                        .compare_exchange(word, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire)
                        .is_ok();
            if !swapped {
                // Somebody came meanwhile.
                for (end, word) in taken {
                    let end: &End = end;
                    end.holder.store(word, Ordering::Release);
                }
                return false;
            }
            if word != GIVEN_UP {
                taken.push((end, word));
            }
        }
        true
    }
}
