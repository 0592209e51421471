//! Semaphore: a count of permits in memory, for resources and for events; it does not know who took them.
//!
//! | `value` | `waiters` | state |
//! |---|---|---|
//! | > 0 | 0 | permits are free |
//! | 0 | 0 | none is free, nobody waits |
//! | 0 | > 0 | none is free; the next `release` wakes |
//! | > 0 | > 0 | a waiter was woken and has not come yet |
//!
//! **Danger.** A process that is killed with a permit takes it away. Where permits stand for resources and
//! holders may be killed use [`RobustSemaphore`](super::robust_semaphore::RobustSemaphore). Nothing else can be lost: a kill at any
//! other instruction delays a waiter by at most [`LONGEST_NAP`](super::watch::LONGEST_NAP) and leaves `waiters` at worst too high for the next
//! thousand releases, each of which makes a useless wake-up call.
//!
//! `release` and `value` may be called in a signal handler.
//!
//! E. W. Dijkstra, *Cooperating sequential processes* (EWD 123), 1965; `futex(2)`.

use std::time::Duration;

use super::waiters::Waiters;
use super::watch::{Watch, Woken, look};
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
use crate::guarantees::{Guarantees, PeerDeath};
use crate::interrupt::{self, ENDED};
#[cfg(not(loom))]
use crate::shared::{Layout, Shared, Sort, Visit, layout};
use crate::sys::atomic::{AtomicU32, Ordering, const_unless_loom, mutated};
use crate::sys::holder::Holder;
use crate::wait::{Deadline, Wait};

const NOUN: &str = "semaphore";

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "semaphore",
    title: "semaphore in memory",
    noun: "semaphore",
    carries: "counting and binary permits",
    guarantees: Guarantees {
        peer_death: PeerDeath::StaysHeld,
        ..Guarantees::GATE
    },
    man: "sem_overview(7)",
    ..super::IN_A_SEGMENT
};

/// A count of permits.
///
/// ```
/// use wigwag::gate::Semaphore;
///
/// let slots = Semaphore::new(2);
/// let one = slots.acquire()?;
/// let other = slots.acquire()?;
/// assert!(slots.try_acquire().is_none());
/// drop(one); // gives it back
/// other.forget(); // does not
/// assert_eq!(slots.value(), 1);
/// # Ok::<(), wigwag::Error>(())
/// ```
#[doc(alias = "sem_t")]
#[repr(C)]
#[derive(Debug)]
pub struct Semaphore {
    value: AtomicU32,
    most: AtomicU32,
    waiters: Waiters,
}

// SAFETY: repr(C): four atomics, of which any values are states.
#[cfg(not(loom))]
unsafe impl Shared for Semaphore {
    const LAYOUT: Layout = layout::<Self>("Semaphore");
    const WARY: bool = true;
    const GATES: bool = true;

    fn survey(&self, path: &str, visit: &mut Visit<'_>) {
        visit(
            path,
            Sort::Semaphore,
            std::ptr::from_ref(&self.value).cast(),
        );
    }
}

impl Semaphore {
    /// The most permits there can be, as of POSIX semaphores.
    pub const MOST: u32 = i32::MAX as u32;

    const_unless_loom! {
        /// One with `value` permits (at most [`MOST`](Self::MOST)).
        #[must_use]
        pub const fn new(value: u32) -> Semaphore {
            Semaphore {
                value: AtomicU32::new(if value > Self::MOST { Self::MOST } else { value }),
                most: AtomicU32::new(Self::MOST),
                waiters: Waiters::new(),
            }
        }
    }

    const_unless_loom! {
        /// One that is open or closed: it never has more than one permit.
        #[must_use]
        pub const fn binary(open: bool) -> Semaphore {
            Semaphore {
                value: AtomicU32::new(open as u32),
                most: AtomicU32::new(1),
                waiters: Waiters::new(),
            }
        }
    }

    /// Takes a permit, waiting as long as it takes. Signals do not end it.
    ///
    /// # Errors
    /// `Corrupt` when the memory is gone.
    #[doc(alias = "sem_wait")]
    #[doc(alias = "P")]
    pub fn acquire(&self) -> Result<Permit<'_>> {
        self.acquire_with(Wait::Forever)
    }

    /// Takes a permit if there is one.
    #[doc(alias = "sem_trywait")]
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.take().then(|| Permit::of(self))
    }

    /// Takes a permit, waiting at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`; `Corrupt` when the memory is gone.
    #[doc(alias = "sem_timedwait")]
    pub fn acquire_timeout(&self, limit: Duration) -> Result<Permit<'_>> {
        self.acquire_with(Wait::For(limit))
    }

    /// Takes a permit, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`; `Corrupt` when the memory is gone.
    #[inline]
    pub fn acquire_with(&self, wait: Wait) -> Result<Permit<'_>> {
        if !self.take() {
            self.wait(wait)?;
        }
        Ok(Permit::of(self))
    }

    /// Gives `permits`, which need not have been taken before, and wakes as many waiters.
    ///
    /// # Errors
    /// `Limit` when there would be more than the semaphore may have; none is given then.
    #[doc(alias = "sem_post")]
    #[doc(alias = "V")]
    #[inline]
    pub fn release(&self, permits: u32) -> Result<()> {
        let most = self.most.load(Ordering::Relaxed);
        let mut value = self.value.load(Ordering::Relaxed);
        loop {
            let Some(sum) = value.checked_add(permits).filter(|sum| *sum <= most) else {
                return Err(too_many(most));
            };
            // With the look at `waiters` this is "I store mine, then look at yours"; so is the waiter's side.
            match self.value.compare_exchange_weak(
                value,
                sum,
                if mutated("semaphore-release") {
                    Ordering::Relaxed
                } else {
                    Ordering::SeqCst
                },
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => value = now,
            }
        }
        if self.waiters.any() && !mutated("semaphore-wake") {
            self.waiters.wake(&self.value, permits);
        }
        Ok(())
    }

    /// How many permits there are; old by the time it is read.
    #[doc(alias = "sem_getvalue")]
    #[must_use]
    pub fn value(&self) -> u32 {
        self.value.load(Ordering::Relaxed)
    }

    /// How many wait; too high by those who were killed while they waited.
    #[must_use]
    pub fn waiters(&self) -> u32 {
        self.waiters.count()
    }

    #[inline]
    fn take(&self) -> bool {
        let mut value = self.value.load(Ordering::Relaxed);
        while value != 0 {
            match self.value.compare_exchange_weak(
                value,
                value - 1,
                if mutated("semaphore-acquire") {
                    Ordering::Relaxed
                } else {
                    Ordering::Acquire
                },
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => value = now,
            }
        }
        false
    }

    #[cold]
    fn wait(&self, wait: Wait) -> Result<()> {
        if wait == Wait::Not {
            return Err(late(wait));
        }
        if look(|| self.take().then_some(())).is_some() {
            return Ok(());
        }
        let mut watch = Watch::until(Deadline::from(wait));
        let mut waiter = self.waiters.waiter();
        loop {
            if !mutated("semaphore-waiters") {
                waiter.count();
            }
            if self.take() {
                return Ok(());
            }
            match watch.sleep(&self.value, 0) {
                Woken::Perhaps if interrupt::ended() => {
                    return Err(Error::new(Kind::Interrupted, "acquire", NOUN, "", ENDED));
                }
                Woken::Perhaps | Woken::LookAround => {}
                Woken::TimedOut => return Err(late(wait)),
                Woken::Gone => return Err(gone()),
            }
        }
    }
}

#[cold]
fn too_many(most: u32) -> Error {
    let cause = format!("it may have at most {most} permits");
    Error::new(Kind::Limit, "release", NOUN, "", cause)
}

#[cold]
fn late(wait: Wait) -> Error {
    match wait {
        Wait::Not => Error::new(Kind::WouldBlock, "acquire", NOUN, "", "no permit is free"),
        _ => Error::new(Kind::TimedOut, "acquire", NOUN, "", "timed out"),
    }
}

#[cold]
fn gone() -> Error {
    Error::new(Kind::Corrupt, "acquire", NOUN, "", "its memory is gone")
}

/// A permit, given back when it is dropped; not by the child of a `fork`, which has a copy only.
#[must_use = "it is given back at once if it is not kept"]
#[derive(Debug)]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    process: Holder,
}

impl<'a> Permit<'a> {
    fn of(semaphore: &'a Semaphore) -> Self {
        Permit {
            semaphore,
            process: Holder::process(),
        }
    }

    /// Keeps it for ever: for permits that count events, or that another thread or process gives back.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // Too many permits is somebody else's error: he was told.
        if self.process == Holder::process() {
            let _ = self.semaphore.release(1);
        }
    }
}
