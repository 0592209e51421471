//! Bell: sleeping until a peer has done something, at no cost for the peer while nobody sleeps.
//!
//! Who waits for an end sleeps on its life word: the owner rings it, and the kernel does when the owner is killed. The
//! order is that of an event count, so no ring is lost: mark the word, look once more, sleep only if the word
//! is still what the mark left.
//!
//! Looking after the mark needs a full barrier on both sides: "I mark, then look at your change" against "I change, then look
//! at your mark". The owner, who makes a hundred million changes a second, would pay twenty cycles for each. It
//! pays nothing while [`careful`](Life::careful) is 0: whoever wants to sleep sets it first and lets all processors go through a barrier
//! (`membarrier(2)`). The owner, once it has been careful often and in vain, becomes careless again.
//!
//! Where several wait for one end, the mark is not enough: between the last look of one and his sleep the owner may ring, which
//! takes the mark away, and another may set it again; then the word is what the first left, and he would sleep although
//! it was rung. So they ([`Waiter::among_many`]) sleep on the number of rings too.
//!
//! | careful | owner after a change | who wants to sleep |
//! |---|---|---|
//! | 0 | looks at `careful` only | sets 1, then a barrier on all processors |
//! | 1 | a fence, then looks at the mark | marks, fence |
//! | 2 | the same, as long as its process takes no part in membarriers | the same |

use std::sync::atomic::{Ordering::SeqCst, compiler_fence};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::ends::{ALWAYS, CAREFUL, CARELESS, End};
use super::region::Region;
use super::waiting::Waiting;
use crate::sys::atomic::{Ordering, fence, model_fence, mutated, relax};
use crate::sys::futex::{Sleep, wait_any};
use crate::sys::keeper::{Life, Mark, State};
use crate::sys::membarrier;
use crate::wait::Deadline;

/// How often an owner looks in vain before it becomes careless again.
const IN_VAIN: u32 = 4096;
/// How long one sleeps who could not make the others careful in time.
pub(super) const NAP: Duration = Duration::from_millis(20);
/// How long one sleeps whom nobody may wake: of many, as he whom the kernel woke at the owner's death may be killed before he tells the
/// others; and over memory that somebody may truncate.
pub(super) const ROUND: Duration = Duration::from_millis(500);

/// Who has slept so short a time ago is in an exchange; the coarse clock goes on every 4 ms at most, or 10.
const LIVELY: Duration = Duration::from_millis(20);

/// One who changes what others wait for.
#[derive(Debug, Default)]
pub(crate) struct Ringer {
    in_vain: u32,
}

impl Ringer {
    /// One that becomes careless the next time it looks in vain.
    #[cfg(loom)]
    pub(crate) fn weary() -> Self {
        Ringer {
            in_vain: IN_VAIN - 1,
        }
    }

    /// To be called after each change that somebody may wait for; costs one load while nobody has slept lately.
    #[inline(always)]
    pub(crate) fn ring(&mut self, end: &End) {
        let own = &end.life;
        // The processor may let the load overtake the store of the change; the sleeper's membarrier forbids
        // it where it matters. The compiler must be told.
        compiler_fence(SeqCst);
        let mut careful = own.careful.load(Ordering::Relaxed);
        if cfg!(loom) && careful == CARELESS {
            // The membarrier comes before the change or before the second look.
            model_fence();
            careful = own.careful.load(Ordering::Relaxed);
        }
        if careful != CARELESS {
            self.look(end, careful);
        }
    }

    #[cold]
    #[inline(never)]
    fn look(&mut self, end: &End, careful: u32) {
        let own = &end.life;
        if !mutated("bell-fence") {
            fence(Ordering::SeqCst);
        }
        if own.is_marked() {
            self.in_vain = 0;
            end.cpu.store(cpu(), Ordering::Relaxed);
            // Before the mark goes: another may set it anew before who slept here last looks at the word.
            if !mutated("bell-rings") {
                end.rings.fetch_add(1, Ordering::SeqCst);
            }
            if !mutated("bell-ring") {
                own.ring();
            }
            return;
        }
        self.in_vain += 1;
        // A process whose registration was still under way is careful until then.
        if self.in_vain >= IN_VAIN && (careful == CAREFUL || membarrier::registered()) {
            self.in_vain = 0;
            become_careless(own);
        }
    }
}

/// Becomes careless, unless somebody marks the word meanwhile: either we see the mark, or its maker sees that we are careless.
pub(crate) fn become_careless(own: &Life) {
    own.careful.store(CARELESS, Ordering::SeqCst);
    if !mutated("bell-careless") {
        fence(Ordering::SeqCst);
    }
    if own.is_marked() {
        own.careful.store(CAREFUL, Ordering::SeqCst);
        own.ring();
    }
}

/// Marks the word of an end for a sleep, so that nothing the owner does from now on goes unnoticed. Look once
/// more before sleeping. What it was: there may be nobody who could ring.
pub(crate) fn mark(on: &Life) -> (State, Mark, bool) {
    let (state, mark) = on.mark();
    fence(Ordering::SeqCst);
    let mut sure = true;
    if on.careful.load(Ordering::SeqCst) == CARELESS {
        on.careful.store(CAREFUL, Ordering::SeqCst);
        if !mutated("bell-membarrier") && !membarrier::everywhere() {
            on.careful.store(ALWAYS, Ordering::SeqCst);
            sure = false;
        }
    }
    (state, mark, sure)
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake<T> {
    /// With what was waited for.
    Found(T),
    /// The end on which it waited has left or was killed, and there is nothing.
    Gone,
    /// The time is over, or a signal is to end the wait.
    TimedOut,
}

/// One who waits, and what it has learned about it.
#[derive(Debug)]
pub(crate) struct Waiter {
    how: Waiting,
    /// How many looks seem worth while.
    worth: u32,
    /// After how many waits it tries a long look, and how many of them are over.
    patience: u32,
    waits: u32,
    /// Whether others wait for the same end.
    many: bool,
    /// How long it sleeps at most before it looks around.
    vigil: Duration,
    /// When it last went to sleep, by the coarse clock.
    slept: Duration,
}

/// Looks, of some 10 ns: what a hand-over between two running threads takes.
const MOST: u32 = 500;
/// What it keeps when looking does not pay: a peer that is awake answers meanwhile.
const LEAST: u32 = 100;
/// A look longer than it takes to wake a sleeper: two who sleep in turn find out by it that neither need.
const LONG: u32 = 8000;
/// The long looks come after so many waits, and more seldom the more of them were in vain.
const SOON: u32 = 16;
const SELDOM: u32 = 1024;
/// A spinning waiter looks at the clock and at its peer this often.
const TURNS: u32 = 1000;

impl Waiter {
    pub(crate) fn new(how: Waiting) -> Self {
        Waiter {
            how,
            worth: MOST,
            patience: SOON,
            waits: 0,
            many: false,
            vigil: Duration::MAX,
            slept: Duration::ZERO,
        }
    }

    /// One that does not wait alone for its peer.
    pub(crate) fn among_many(how: Waiting) -> Self {
        let mut waiter = Waiter::new(how);
        waiter.join_many();
        waiter
    }

    /// It does not wait alone for its peer any more.
    pub(crate) fn join_many(&mut self) {
        (self.many, self.vigil) = (true, ROUND);
    }

    /// It waits for what happens in this memory.
    pub(crate) fn over(mut self, region: &Region) -> Self {
        self.vigil = self.vigil.min(region.vigil());
        self
    }

    /// Waits until `found` finds something that the owner of `peer` makes; `own` is the seat of who waits.
    pub(crate) fn wait<T>(
        &mut self,
        own: &End,
        peer: &End,
        deadline: Deadline,
        mut found: impl FnMut() -> Option<T>,
    ) -> Wake<T> {
        loop {
            if let Some(found) = self.look(own, peer, deadline, &mut found) {
                return Wake::Found(found);
            }
            if deadline.passed() {
                // Also without any time it is told that nobody is there; what that one did before comes first.
                return match (peer.life.state(), found()) {
                    (_, Some(found)) => Wake::Found(found),
                    (State::Alive, None) => Wake::TimedOut,
                    (_, None) => Wake::Gone,
                };
            }
            let rings = peer.rings.load(Ordering::SeqCst);
            let (state, mark, sure) = mark(&peer.life);
            // The last look: for what came before the mark, or before the death.
            if !mutated("bell-recheck")
                && let Some(found) = found()
            {
                return Wake::Found(found);
            }
            if state != State::Alive {
                peer.life.pass_on();
                return Wake::Gone;
            }
            if self.how == Waiting::Spin {
                continue;
            }
            let round = if sure { self.round() } else { NAP };
            let words = [peer.life.watched(mark), (&peer.rings, rings)];
            let words = &words[..if self.many { 2 } else { 1 }];
            let slept = wait_any(words, deadline, round);
            if self.many && peer.life.state() != State::Alive {
                // The kernel woke one of us. Whatever he finds, the others must be told.
                peer.life.pass_on();
            }
            if slept == Sleep::Gone {
                return Wake::Gone;
            }
            if slept == Sleep::Interrupted {
                return Wake::TimedOut;
            }
            if let Some(found) = found() {
                return Wake::Found(found);
            }
        }
    }

    /// How long it sleeps now. Of those who sleep again and again within some milliseconds none looks around for truncated memory: a timer
    /// for each sleep would cost a tenth of their round trip.
    fn round(&mut self) -> Duration {
        if self.many || self.vigil == Duration::MAX || cfg!(loom) {
            return self.vigil;
        }
        let now = clock_gettime(ClockId::MonotonicCoarse);
        let now = Duration::try_from(now).unwrap_or_default();
        let lively = now.saturating_sub(self.slept) < LIVELY;
        self.slept = now;
        if lively { Duration::MAX } else { self.vigil }
    }

    /// Looks as long as that seems worth while.
    fn look<T>(
        &mut self,
        own: &End,
        peer: &End,
        deadline: Deadline,
        found: &mut impl FnMut() -> Option<T>,
    ) -> Option<T> {
        if cfg!(loom) {
            return found();
        }
        match self.how {
            Waiting::Block => found(),
            Waiting::Spin => loop {
                for _ in 0..TURNS {
                    relax();
                    if let Some(found) = found() {
                        return Some(found);
                    }
                }
                if deadline.passed() || peer.life.state() != State::Alive {
                    return found();
                }
            },
            Waiting::Adaptive => {
                let cpu = cpu();
                own.cpu.store(cpu, Ordering::Relaxed);
                if peer.cpu.load(Ordering::Relaxed) == cpu {
                    // Nothing comes while we have the core.
                    return found();
                }
                self.waits += 1;
                let long = self.waits >= self.patience;
                let looks = if long { LONG } else { self.worth };
                for _ in 0..looks {
                    relax();
                    if let Some(found) = found() {
                        self.worth = (self.worth + self.worth / 8 + 1).min(MOST);
                        if long {
                            (self.waits, self.patience, self.worth) = (0, SOON, MOST);
                        }
                        return Some(found);
                    }
                }
                self.worth = (self.worth - self.worth / 4).max(LEAST);
                if long {
                    self.waits = 0;
                    self.patience = (self.patience * 2).min(SELDOM);
                }
                None
            }
        }
    }
}

impl Region {
    /// Waits until anybody has ever sat in the seat `peer`: before that there is no life word to sleep on.
    pub(crate) fn await_first(
        &self,
        peer: &End,
        waiter: &mut Waiter,
        deadline: Deadline,
    ) -> Wake<()> {
        loop {
            let joins = self.roster().joins.load(Ordering::SeqCst);
            let came =
                peer.life.state() != State::Nobody || peer.generation.load(Ordering::SeqCst) != 0;
            if came {
                return Wake::Found(());
            }
            if deadline.passed() {
                return Wake::TimedOut;
            }
            let slept = match waiter.how {
                Waiting::Spin if self.is_there("use").is_err() => Sleep::Gone,
                Waiting::Spin => {
                    relax();
                    Sleep::Woken
                }
                _ => self.await_join(joins, deadline),
            };
            match slept {
                Sleep::Gone => return Wake::Gone,
                Sleep::Interrupted => return Wake::TimedOut,
                _ => {}
            }
        }
    }
}

/// The processor this thread is on, plus one.
pub(crate) fn cpu() -> u32 {
    // SAFETY: takes nothing and returns a number.
    let cpu = unsafe { libc::sched_getcpu() };
    u32::try_from(cpu).map_or(0, |cpu| cpu.wrapping_add(1))
}
