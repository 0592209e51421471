//! Ticket lock: a spin lock that serves its waiters in the order of their arrival, and skips the dead among them.
//!
//! Fair, and for that slower: the lock goes to the next in line even if that one has no core at the moment. Read
//! [when not to use a spin lock](super::spin) first; all of it applies here, twice.
//!
//! A plain ticket lock (a counter to draw from, a counter that is served) waits for ever for a thread that
//! drew a number and was killed, since nobody knows whose number it was. Here the number is a place in a ring, and
//! it is drawn by writing one's name there: one instruction, so no number is ever without a name.
//!
//! | ticket at position p | state |
//! |---|---|
//! | lap of p | free: p may be drawn |
//! | `TAKEN`, a holder | drawn; it waits, or is about to enter if `serving` is p |
//! | `TAKEN`, `ENTERED`, a holder | inside |
//! | `TAKEN`, lap of p, nobody | given up by one whose time was over: to be skipped |
//! | lap of p, plus one | served |
//!
//! `tail` and `serving` only follow: whoever finds them behind the tickets moves them on.
//!
//! J. M. Mellor-Crummey, M. L. Scott, *Algorithms for scalable synchronization on shared-memory multiprocessors*,
//! 1991; T. E. Anderson's array lock, 1990.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
#[cfg(not(loom))]
use std::mem::offset_of;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::spin::{Patience, pause};
use super::watch::may_look_around;
use crate::error::{Error, Kind, Result};
#[cfg(not(loom))]
use crate::shared::{Layout, Plain, Shared, Sort, Visit, layout};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering, mutated, relax};
use crate::sys::holder::{Holder, MARKS};
use crate::wait::{Deadline, Wait};

const NOUN: &str = "ticket lock";
const TAKEN: u64 = 1 << 63;
const ENTERED: u64 = 1 << 62;
/// Looks before it yields: about a microsecond.
const TURNS: u32 = if cfg!(loom) { 1 } else { 100 };

const WHOLE: u32 = 0;
const TORN: u32 = 1;
const UNUSABLE: u32 = 2;

/// A value that one thread at a time may use, in the order of arrival. `QUEUE`, a power of two, is how many may wait;
/// more than these wait for a place to wait.
///
/// ```
/// use wigwag::gate::TicketLock;
///
/// let lock = TicketLock::<u64>::new(0);
/// *lock.lock()?.or_repair(|_| ()) += 1;
/// assert_eq!(*lock.lock()?.or_repair(|_| ()), 1);
/// # Ok::<(), wigwag::Error>(())
/// ```
#[repr(C, align(64))]
pub struct TicketLock<T, const QUEUE: usize = 16> {
    serving: AtomicU32,
    tail: AtomicU32,
    /// Whether the value may be half changed, or must not be used any more.
    value: AtomicU32,
    reserved: AtomicU32,
    tickets: [AtomicU64; QUEUE],
    data: UnsafeCell<T>,
}

// SAFETY: the lock gives `&mut T` to one thread at a time, so sharing it moves `T` between threads.
unsafe impl<T: Send, const QUEUE: usize> Sync for TicketLock<T, QUEUE> {}

// SAFETY: repr(C): atomics of which any value is checked or a state, and plain data that only a holder touches.
#[cfg(not(loom))]
unsafe impl<T: Plain, const QUEUE: usize> Shared for TicketLock<T, QUEUE> {
    const LAYOUT: Layout =
        layout::<Self>("TicketLock").field("value", offset_of!(Self, data), T::LAYOUT);
    const WARY: bool = false;
    const GATES: bool = true;
    const ZEROS: bool = true;

    fn survey(&self, path: &str, visit: &mut Visit<'_>) {
        visit(
            path,
            Sort::TicketLock,
            std::ptr::from_ref(&self.serving).cast(),
        );
    }
}

impl<T, const QUEUE: usize> TicketLock<T, QUEUE> {
    #[cfg(not(loom))]
    /// A free one.
    #[must_use]
    pub const fn new(value: T) -> Self {
        const {
            assert!(
                QUEUE.is_power_of_two(),
                "positions must wrap around with the ring"
            )
        };
        TicketLock {
            serving: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            value: AtomicU32::new(WHOLE),
            reserved: AtomicU32::new(0),
            tickets: [const { AtomicU64::new(0) }; QUEUE],
            data: UnsafeCell::new(value),
        }
    }

    #[cfg(loom)]
    /// A free one.
    #[must_use]
    pub fn new(value: T) -> Self {
        TicketLock {
            serving: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            value: AtomicU32::new(WHOLE),
            reserved: AtomicU32::new(0),
            tickets: std::array::from_fn(|_| AtomicU64::new(0)),
            data: UnsafeCell::new(value),
        }
    }

    /// Locks it, waiting as long as it takes.
    ///
    /// # Errors
    /// `Deadlock` when this thread has it; `Corrupt` when a holder died and who was told did not repair it.
    pub fn lock(&self) -> Result<Lock<'_, T, QUEUE>> {
        self.lock_with(Wait::Forever)
    }

    /// Locks it if nobody has it or waits for it.
    ///
    /// # Errors
    /// `Corrupt` as for [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Option<Lock<'_, T, QUEUE>>> {
        match self.lock_with(Wait::Not) {
            Ok(lock) => Ok(Some(lock)),
            // This thread having it counts as somebody.
            Err(error) if matches!(error.kind(), Kind::WouldBlock | Kind::Deadlock) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Locks it, waiting at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`; otherwise as for [`lock`](Self::lock).
    pub fn lock_timeout(&self, limit: Duration) -> Result<Lock<'_, T, QUEUE>> {
        self.lock_with(Wait::For(limit))
    }

    /// Locks it, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`; otherwise as for [`lock`](Self::lock).
    pub fn lock_with(&self, wait: Wait) -> Result<Lock<'_, T, QUEUE>> {
        let me = Holder::thread();
        let first = self.serving.load(Ordering::SeqCst);
        // Alone: the place that is served next is free.
        if self.draw(first, TAKEN | ENTERED | me.word()) {
            return self.entered(first);
        }
        if self.tickets.iter().any(|ticket| is_of(ticket, me)) {
            let cause = "this thread has it already";
            return Err(Error::new(Kind::Deadlock, "lock", NOUN, "", cause));
        }
        let deadline = Deadline::from(wait);
        let mut turn = Turn::new();
        if wait == Wait::Not && may_look_around(self) {
            turn.patience.get_or_insert_with(Patience::new).end();
        }
        let position = loop {
            self.move_on(&mut turn);
            // In this order: a taken ticket within a lap of what was served before is the one at the tail.
            let serving = self.serving.load(Ordering::SeqCst);
            let tail = self.tail.load(Ordering::SeqCst);
            let waiting = tail.wrapping_sub(serving).cast_signed();
            if (wait != Wait::Not || waiting == 0) && self.draw(tail, TAKEN | me.word()) {
                break tail;
            }
            let is_drawn = || self.ticket(tail).load(Ordering::SeqCst) & TAKEN != 0;
            if waiting < 0 || waiting < QUEUE as i32 && is_drawn() {
                self.follow(&self.tail, tail);
            }
            // Not to wait at all still means to step over those who gave up.
            if wait == Wait::Not && turn.count as usize > QUEUE
                || wait != Wait::Not && deadline.passed()
            {
                return Err(late(wait));
            }
            turn.next(deadline);
        };
        self.wait(position, me, wait, deadline)
    }

    fn wait(
        &self,
        position: u32,
        me: Holder,
        wait: Wait,
        deadline: Deadline,
    ) -> Result<Lock<'_, T, QUEUE>> {
        let mut turn = Turn::new();
        while self.serving.load(Ordering::SeqCst) != position {
            self.move_on(&mut turn);
            if turn.count % 16 == 15 && (wait == Wait::Not || deadline.passed()) {
                self.ticket(position)
                    .store(Self::given_up(position), Ordering::SeqCst);
                return Err(late(wait));
            }
            turn.next(deadline);
        }
        self.ticket(position)
            .store(TAKEN | ENTERED | me.word(), Ordering::SeqCst);
        self.entered(position)
    }

    fn entered(&self, position: u32) -> Result<Lock<'_, T, QUEUE>> {
        let guard = Guard {
            lock: self,
            position,
            panicking: std::thread::panicking(),
            not_send: PhantomData,
        };
        match self.value.load(Ordering::Relaxed) {
            WHOLE => Ok(Lock::Clean(guard)),
            TORN => Ok(Lock::Orphaned(Orphan(guard))),
            _ => {
                let cause = "a holder died with it, and who was told did not repair what it guards";
                Err(Error::new(Kind::Corrupt, "lock", NOUN, "", cause))
            }
        }
    }

    fn ticket(&self, position: u32) -> &AtomicU64 {
        &self.tickets[position as usize % QUEUE]
    }

    /// What a ticket is while its position is free.
    fn lap(position: u32) -> u64 {
        u64::from(position / QUEUE as u32)
    }

    /// What it is when its position was served: free in the next lap.
    fn served(position: u32) -> u64 {
        Self::lap(position.wrapping_add(QUEUE as u32))
    }

    /// What it is when its thread went away before it was served: of no holder, and of no other position.
    fn given_up(position: u32) -> u64 {
        TAKEN | Self::lap(position) << 22
    }

    fn draw(&self, position: u32, name: u64) -> bool {
        let drawn = self.ticket(position).compare_exchange(
            Self::lap(position),
            name,
            Ordering::SeqCst,
            Ordering::Relaxed,
        );
        if drawn.is_ok() {
            self.follow(&self.tail, position);
        }
        drawn.is_ok()
    }

    /// Moves a counter from `position` to the next, unless somebody has.
    fn follow(&self, counter: &AtomicU32, position: u32) {
        let next = position.wrapping_add(1);
        let _ = counter.compare_exchange(position, next, Ordering::SeqCst, Ordering::Relaxed);
    }

    /// Skips whoever is served and will not come, and what a killed one left undone.
    fn move_on(&self, turn: &mut Turn) {
        let serving = self.serving.load(Ordering::SeqCst);
        let ticket = self.ticket(serving);
        let word = ticket.load(Ordering::SeqCst);
        if self.serving.load(Ordering::SeqCst) != serving {
            // The word may be of the next lap.
            return;
        }
        if word == Self::served(serving) {
            self.follow(&self.serving, serving);
        } else if word == Self::given_up(serving) || turn.is_over() && is_of_a_dead(word) {
            // A whole process may have died in line: the next one is asked after at once.
            turn.patience.iter_mut().for_each(Patience::end);
            if word & ENTERED != 0 && !mutated("ticket-torn") {
                // Before the next one can enter; a word too many makes it repair what is whole.
                let _ =
                    self.value
                        .compare_exchange(WHOLE, TORN, Ordering::SeqCst, Ordering::Relaxed);
            }
            let next = Self::served(serving);
            if ticket
                .compare_exchange(word, next, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
            {
                self.follow(&self.serving, serving);
            }
        }
    }
}

fn is_of(ticket: &AtomicU64, me: Holder) -> bool {
    let word = ticket.load(Ordering::Relaxed);
    word & TAKEN != 0 && word & !MARKS == me.word()
}

fn is_of_a_dead(word: u64) -> bool {
    word & TAKEN != 0 && Holder::in_word(word).is_some_and(|holder| !holder.thread_is_alive())
}

#[cold]
fn late(wait: Wait) -> Error {
    match wait {
        Wait::Not => Error::new(Kind::WouldBlock, "lock", NOUN, "", "it is taken"),
        _ => Error::new(Kind::TimedOut, "lock", NOUN, "", "timed out"),
    }
}

/// One waiter's looks: when to let others run, and when to ask whether the holder lives.
struct Turn {
    count: u32,
    patience: Option<Patience>,
}

impl Turn {
    fn new() -> Self {
        Turn {
            count: 0,
            patience: None,
        }
    }

    fn next(&mut self, deadline: Deadline) {
        relax();
        self.count = self.count.saturating_add(1);
        if self.count > TURNS {
            self.patience.get_or_insert_with(Patience::new);
            pause(self.count - TURNS, deadline);
        }
    }

    /// Whether it is time to ask whether the holder lives.
    fn is_over(&mut self) -> bool {
        self.patience.as_mut().is_some_and(Patience::is_over)
    }
}

impl<T, const QUEUE: usize> fmt::Debug for TicketLock<T, QUEUE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketLock")
            .field("serving", &self.serving.load(Ordering::Relaxed))
            .field("tail", &self.tail.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// The lock, and whether its last holder left it or died with it.
#[must_use = "it is unlocked at once if it is not kept"]
pub enum Lock<'a, T, const QUEUE: usize = 16> {
    /// The last holder unlocked it.
    Clean(Guard<'a, T, QUEUE>),
    /// The last holder died or panicked with it: the value may be half changed.
    Orphaned(Orphan<'a, T, QUEUE>),
}

impl<'a, T, const QUEUE: usize> Lock<'a, T, QUEUE> {
    /// The lock, after `mend` where the last holder died with it.
    pub fn or_repair(self, mend: impl FnOnce(&mut T)) -> Guard<'a, T, QUEUE> {
        match self {
            Lock::Clean(guard) => guard,
            Lock::Orphaned(mut orphan) => {
                mend(&mut orphan);
                orphan.repaired()
            }
        }
    }

    /// Whether the last holder died with it.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        matches!(self, Lock::Orphaned(_))
    }
}

/// The lock after its holder's death. Dropped without [`repaired`](Self::repaired), nobody can lock it again.
#[must_use = "dropping it makes the lock unusable for everybody"]
pub struct Orphan<'a, T, const QUEUE: usize = 16>(Guard<'a, T, QUEUE>);

impl<'a, T, const QUEUE: usize> Orphan<'a, T, QUEUE> {
    /// Says that the value is whole again.
    pub fn repaired(self) -> Guard<'a, T, QUEUE> {
        let Guard {
            lock,
            position,
            panicking,
            ..
        } = self.0;
        std::mem::forget(self);
        lock.value.store(WHOLE, Ordering::Relaxed);
        Guard {
            lock,
            position,
            panicking,
            not_send: PhantomData,
        }
    }
}

impl<T, const QUEUE: usize> Deref for Orphan<'_, T, QUEUE> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T, const QUEUE: usize> DerefMut for Orphan<'_, T, QUEUE> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T, const QUEUE: usize> Drop for Orphan<'_, T, QUEUE> {
    fn drop(&mut self) {
        // Who panics while it repairs has not decided: the next one may try. In the child of a fork it is its parent's to decide.
        let Guard { lock, position, .. } = self.0;
        if !std::thread::panicking() && is_of(lock.ticket(position), Holder::thread()) {
            lock.value.store(UNUSABLE, Ordering::Relaxed);
        }
    }
}

/// The lock, until it is dropped. It stays in its thread.
#[must_use = "it is unlocked at once if it is not kept"]
pub struct Guard<'a, T, const QUEUE: usize = 16> {
    lock: &'a TicketLock<T, QUEUE>,
    position: u32,
    /// Whether the thread was unwinding already when it took it.
    panicking: bool,
    not_send: PhantomData<*const ()>,
}

impl<T, const QUEUE: usize> Deref for Guard<'_, T, QUEUE> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this thread's ticket is served until the guard is dropped; others keep away from the value.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T, const QUEUE: usize> DerefMut for Guard<'_, T, QUEUE> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and the guard is borrowed alone.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T, const QUEUE: usize> Drop for Guard<'_, T, QUEUE> {
    fn drop(&mut self) {
        let Guard { lock, position, .. } = *self;
        let ticket = lock.ticket(position);
        // In the child of a fork it is still its parent's.
        if !is_of(ticket, Holder::thread()) {
            return;
        }
        if !self.panicking && std::thread::panicking() {
            let _ = lock
                .value
                .compare_exchange(WHOLE, TORN, Ordering::SeqCst, Ordering::Relaxed);
        }
        let order = if mutated("ticket-release") {
            Ordering::Relaxed
        } else {
            Ordering::SeqCst
        };
        ticket.store(TicketLock::<T, QUEUE>::served(position), order);
        if mutated("ticket-release") {
            lock.serving
                .store(position.wrapping_add(1), Ordering::Relaxed);
        } else {
            lock.follow(&lock.serving, position);
        }
    }
}
