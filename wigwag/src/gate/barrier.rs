//! Barrier: N participants wait for each other, round by round; one that dies is reported and not waited for.
//!
//! Each participant has a seat. A round is over when every seat that was ever taken has arrived, was given up, or
//! belongs to a dead thread; seats that nobody has taken yet are waited for.
//!
//! | seat | state |
//! |---|---|
//! | empty | nobody has joined it yet: the round waits |
//! | joined | waited for until it arrives |
//! | left | given up or found dead: not waited for until somebody joins it again |
//!
//! A death is found when somebody has waited [a nap](super::watch), and at least every half second; every
//! participant of the round is told ([`Passed::lost`]).
//!
//! All state lies under a [`Mutex`]; each step of it is complete or not there, so a death inside needs no repair.
//!
//! `pthread_barrier_wait(3p)`.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::condvar::Condvar;
use super::mutex::{Guard, Mutex};
use super::watch::{Watch, Woken};
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
#[cfg(not(loom))]
use crate::shared::{Death, Layout, Plain, Shared, Sort, Visit, layout};
use crate::sys::atomic::mutated;
use crate::sys::holder::Holder;
use crate::wait::{Deadline, Wait};

const NOUN: &str = "barrier";
const EMPTY: u32 = 0;
const JOINED: u32 = 1;
const LEFT: u32 = 2;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Seat {
    holder: u64,
    state: u32,
    /// The round in which it arrived last, counted from 1.
    arrived: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct State<const N: usize> {
    /// Rounds that are over.
    rounds: u32,
    /// Deaths found in the last of them.
    lost: u32,
    /// Deaths found since.
    found: u32,
    reserved: u32,
    seats: [Seat; N],
}

// SAFETY: repr(C), numbers only, and no padding: 16 bytes a seat after 16.
#[cfg(not(loom))]
unsafe impl<const N: usize> Plain for State<N> {
    const LAYOUT: Layout = layout::<Self>("BarrierState");
}

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "barrier",
    title: "barrier",
    noun: "barrier",
    carries: "all meet, round by round",
    man: "futex(7)",
    ..super::IN_A_SEGMENT
};

/// A meeting point of `N` threads of any processes.
///
/// ```
/// use wigwag::gate::Barrier;
///
/// let barrier = Barrier::<2>::new();
/// std::thread::scope(|scope| {
///     let other = scope.spawn(|| barrier.join()?.wait());
///     let passed = barrier.join()?.wait()?;
///     assert_eq!(passed.lost(), 0);
///     let other = other.join().expect("no panic")?;
///     assert!(passed.is_leader() != other.is_leader());
///     Ok::<(), wigwag::Error>(())
/// })?;
/// # Ok::<(), wigwag::Error>(())
/// ```
#[doc(alias = "pthread_barrier_t")]
#[repr(C)]
pub struct Barrier<const N: usize> {
    state: Mutex<State<N>>,
    moved: Condvar,
}

// SAFETY: repr(C), and both fields are Shared.
#[cfg(not(loom))]
unsafe impl<const N: usize> Shared for Barrier<N> {
    const LAYOUT: Layout = layout::<Self>("Barrier").with(<Mutex<State<N>> as Shared>::LAYOUT);
    const WARY: bool = <Mutex<State<N>> as Shared>::WARY;
    const GATES: bool = true;
    const ZEROS: bool = true;

    fn settle(&self, death: Death) {
        self.state.settle(death);
    }

    fn in_use(&self) -> bool {
        self.state.in_use()
    }

    fn survey(&self, path: &str, visit: &mut Visit<'_>) {
        visit(
            path,
            Sort::Barrier,
            std::ptr::from_ref(self.state.word()).cast(),
        );
    }
}

impl<const N: usize> State<N> {
    const NEW: Self = State {
        rounds: 0,
        lost: 0,
        found: 0,
        reserved: 0,
        seats: [Seat {
            holder: 0,
            state: EMPTY,
            arrived: 0,
        }; N],
    };

    /// The round that is going on.
    fn round(&self) -> u32 {
        self.rounds.wrapping_add(1)
    }

    /// Gives up the seats of the dead.
    fn bury(&mut self) {
        for seat in &mut self.seats {
            let holder = Holder::in_word(seat.holder);
            if seat.state == JOINED
                && !holder.is_some_and(Holder::thread_is_alive)
                && !mutated("barrier-bury")
            {
                self.found = self.found.wrapping_add(1);
                seat.state = LEFT;
            }
        }
    }

    fn is_complete(&self) -> bool {
        let round = self.round();
        self.seats
            .iter()
            .all(|seat| seat.state == LEFT || seat.state == JOINED && seat.arrived == round)
    }
}

impl<const N: usize> Barrier<N> {
    #[cfg(not(loom))]
    /// One that `N` will join.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0, "a barrier without participants would never open") };
        Barrier {
            state: Mutex::new(State::NEW),
            moved: Condvar::new(),
        }
    }

    #[cfg(loom)]
    /// One that `N` will join.
    #[must_use]
    pub fn new() -> Self {
        Barrier {
            state: Mutex::new(State::NEW),
            moved: Condvar::new(),
        }
    }

    /// Takes a seat for the calling thread: an empty one, one that was given up, or a dead thread's.
    ///
    /// # Errors
    /// `Limit` when all seats are taken by living threads.
    pub fn join(&self) -> Result<Participant<'_, N>> {
        let mut state = self.lock()?;
        let free = |state: &State<N>| {
            let find = |wanted| state.seats.iter().position(|seat| seat.state == wanted);
            find(EMPTY).or_else(|| find(LEFT))
        };
        if free(&state).is_none() {
            state.bury();
        }
        let Some(number) = free(&state) else {
            let cause = format!("all {N} seats are taken");
            return Err(Error::new(Kind::Limit, "join", NOUN, "", cause));
        };
        let round = state.round();
        let seat = &mut state.seats[number];
        seat.holder = Holder::thread().word();
        seat.arrived = round.wrapping_sub(1);
        seat.state = JOINED;
        Ok(Participant {
            barrier: self,
            number,
            standing: Cell::new(None),
            not_send: PhantomData,
        })
    }

    /// How many rounds are over; old by the time it is read.
    ///
    /// # Errors
    /// Those of [`Mutex::lock`].
    pub fn rounds(&self) -> Result<u32> {
        Ok(self.lock()?.rounds)
    }

    fn lock(&self) -> Result<Guard<'_, State<N>>> {
        Ok(self.state.lock()?.or_repair(|_| ()))
    }
}

impl<const N: usize> Default for Barrier<N> {
    fn default() -> Self {
        Barrier::new()
    }
}

impl<const N: usize> fmt::Debug for Barrier<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("seats", &N)
            .finish_non_exhaustive()
    }
}

#[cold]
fn timed_out() -> Error {
    Error::new(Kind::TimedOut, "wait at", NOUN, "", "timed out")
}

/// A seat, given up when it is dropped. It stays in its thread.
#[must_use = "the seat is given up at once if it is not kept"]
#[derive(Debug)]
pub struct Participant<'a, const N: usize> {
    barrier: &'a Barrier<N>,
    number: usize,
    /// The round for which it still stands as arrived, since its time was over while another had the lock inside.
    standing: Cell<Option<u32>>,
    not_send: PhantomData<*const ()>,
}

/// What a round came to.
#[must_use = "somebody may have died"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    is_leader: bool,
    lost: u32,
}

impl Passed {
    /// Whether this is the one participant of the round that ended it.
    #[doc(alias = "PTHREAD_BARRIER_SERIAL_THREAD")]
    #[must_use]
    pub fn is_leader(self) -> bool {
        self.is_leader
    }

    /// How many participants were found dead in this round. They are not waited for again.
    #[must_use]
    pub fn lost(self) -> u32 {
        self.lost
    }
}

impl<const N: usize> Participant<'_, N> {
    /// Which seat it is, below `N`.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Arrives, and waits until all have.
    ///
    /// # Errors
    /// Those of [`Mutex::lock`]; `BadInput` in the child of a `fork`, for which nobody waits.
    #[doc(alias = "pthread_barrier_wait")]
    pub fn wait(&self) -> Result<Passed> {
        self.wait_until(Deadline::Never)
    }

    /// The same for at most `limit` of monotonic time; then it has not arrived. If another has the lock inside at that
    /// very moment it stands as arrived until its next wait, which goes on with the same round.
    ///
    /// # Errors
    /// `TimedOut`; otherwise as for [`wait`](Self::wait).
    pub fn wait_timeout(&self, limit: Duration) -> Result<Passed> {
        self.wait_until(Deadline::from(Wait::For(limit)))
    }

    /// The same, waiting as long as told; with [`Wait::Not`] it passes if it is the last that was missing.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`; otherwise as for [`wait`](Self::wait).
    pub fn wait_with(&self, wait: Wait) -> Result<Passed> {
        self.wait_until(Deadline::from(wait))
            .map_err(|error| match (wait, error.kind()) {
                (Wait::Not, Kind::TimedOut) => {
                    Error::new(Kind::WouldBlock, "wait at", NOUN, "", "others are missing")
                }
                _ => error,
            })
    }

    fn wait_until(&self, deadline: Deadline) -> Result<Passed> {
        let Barrier {
            state: mutex,
            moved,
        } = self.barrier;
        let state = mutex.lock_until(deadline, timed_out)?;
        let mut state: Guard<'_, State<N>> = state.or_repair(|_| ());
        let now = state.round();
        let seat = &mut state.seats[self.number];
        if seat.holder != Holder::thread().word() {
            let cause = "the seat is of another thread";
            return Err(Error::new(Kind::BadInput, "wait at", NOUN, "", cause)
                .with_hint("join it in this process"));
        }
        let round = self.standing.take().unwrap_or(now);
        seat.arrived = round;
        let mut watch = Watch::until(deadline);
        loop {
            if state.round() != round {
                return Ok(Passed {
                    is_leader: false,
                    lost: state.lost,
                });
            }
            if state.is_complete() {
                let lost = std::mem::take(&mut state.found);
                state.lost = lost;
                state.rounds = round;
                if mutated("barrier-wake") {
                    drop(state);
                } else {
                    moved.broadcast_unlock(state);
                }
                return Ok(Passed {
                    is_leader: true,
                    lost,
                });
            }
            if deadline.passed() {
                state.seats[self.number].arrived = round.wrapping_sub(1);
                return Err(timed_out());
            }
            let ticket = moved.ticket();
            drop(state);
            let woken = moved.doze(ticket, &mut watch);
            let lock = mutex.lock_until(deadline, timed_out);
            state = lock
                .inspect_err(|_| self.standing.set(Some(round)))?
                .or_repair(|_| ());
            if woken == Woken::LookAround && state.round() == round {
                state.bury();
            }
        }
    }
}

impl<const N: usize> Drop for Participant<'_, N> {
    fn drop(&mut self) {
        let Ok(mut state) = self.barrier.lock() else {
            return;
        };
        let me = Holder::thread().word();
        let seat = &mut state.seats[self.number];
        // In the child of a fork it is still its parent's; and a dead thread's seat may have been taken.
        if seat.holder == me && seat.state == JOINED {
            seat.state = LEFT;
            // The others may have waited for this one only.
            if !mutated("barrier-leave") {
                self.barrier.moved.broadcast_unlock(state);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// One waits at the barrier for that long, and is kept from the lock inside meanwhile; whether there was time to keep it.
    fn kept_out(limit: Duration) -> bool {
        let barrier = Barrier::<2>::new();
        let (late, is_late) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let one = scope.spawn(|| {
                let seat = barrier.join().unwrap();
                let ended = seat.wait_timeout(limit);
                late.send(ended.unwrap_err().kind()).unwrap();
                // It goes on with the same round.
                seat.wait().unwrap()
            });
            let mut ended = None;
            while barrier.moved.waiters() == 0 && ended.is_none() {
                ended = is_late.try_recv().ok();
            }
            let inside = barrier.lock().unwrap();
            let kept = ended.is_none() && barrier.moved.waiters() > 0;
            assert_eq!(
                ended.or_else(|| is_late.recv_timeout(limit * 100).ok()),
                Some(Kind::TimedOut)
            );
            drop(inside);
            let passed = barrier.join().unwrap().wait().unwrap();
            assert_eq!(passed.lost() + one.join().unwrap().lost(), 0);
            assert_eq!(barrier.rounds().unwrap(), 1);
            kept
        })
    }

    #[test]
    fn a_time_out_holds_though_another_stays_at_the_lock_inside() {
        let limits = [20, 100, 500, 2500, 12500].map(Duration::from_millis);
        assert!(limits.into_iter().any(kept_out));
    }

    #[test]
    fn who_was_too_late_at_the_lock_inside_learns_that_its_round_is_over() {
        let barrier = Barrier::<2>::new();
        let (seat, other) = (barrier.join().unwrap(), barrier.join().unwrap());
        seat.standing.set(Some(1));
        barrier.lock().unwrap().seats[seat.number].arrived = 1;
        assert!(other.wait().unwrap().is_leader());
        assert!(!seat.wait().unwrap().is_leader(), "of the first round");
        let late = seat.wait_timeout(Duration::from_millis(1));
        assert_eq!(late.unwrap_err().kind(), Kind::TimedOut);
        assert_eq!(barrier.rounds().unwrap(), 1);
    }
}
