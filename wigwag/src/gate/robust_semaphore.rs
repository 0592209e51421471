//! Robust semaphore: N numbered permits that know their holders, so that those of a killed process come back.
//!
//! Each permit is one word: 0 is free, else it names the process that has it. It is taken and
//! given back by one instruction, so at no instant it is with nobody: a kill cannot lose it.
//! A permit has a number, so it can stand for a certain resource: a buffer, a port, a worker.
//!
//! | a permit's word | state |
//! |---|---|
//! | 0 | free |
//! | a holder | taken by that process; free again for who finds it dead |
//! | all ones | not in use: there are fewer permits than N |
//!
//! A waiter finds the dead when it has waited [a nap](super::watch), and at least every half second; [`reclaim`] looks
//! at once. Who gets a dead holder's permit is told ([`Permit::from_dead`]): the resource may be half used.
//!
//! It costs 8 bytes a permit, and a search: up to about a hundred permits. For events, where one
//! process releases what another acquires, use [`Semaphore`](super::semaphore::Semaphore).
//!
//! [`reclaim`]: RobustSemaphore::reclaim

use std::time::Duration;

use super::waiters::Waiters;
use super::watch::{Watch, Woken, look, may_look_around};
use crate::error::{Error, Kind, Result};
use crate::interrupt::{self, ENDED};
#[cfg(not(loom))]
use crate::shared::{Layout, Shared, Sort, Visit, layout};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering, mutated};
use crate::sys::holder::Holder;
use crate::wait::{Deadline, Wait};

const NOUN: &str = "robust semaphore";
const FREE: u64 = 0;
const UNUSED: u64 = u64::MAX;

/// At most `N` permits, whose holders are known.
///
/// ```
/// use wigwag::gate::RobustSemaphore;
///
/// let buffers = RobustSemaphore::<8>::new(3);
/// let permit = buffers.acquire()?;
/// assert!(permit.number() < 3 && permit.from_dead().is_none());
/// assert_eq!(buffers.holders().count(), 1);
/// # Ok::<(), wigwag::Error>(())
/// ```
#[repr(C)]
#[derive(Debug)]
pub struct RobustSemaphore<const N: usize> {
    /// Counts releases; waiters sleep on it.
    released: AtomicU32,
    reserved: AtomicU32,
    waiters: Waiters,
    permits: [AtomicU64; N],
}

// SAFETY: repr(C): atomics, of which any values are states.
#[cfg(not(loom))]
unsafe impl<const N: usize> Shared for RobustSemaphore<N> {
    const LAYOUT: Layout = layout::<Self>("RobustSemaphore");
    const WARY: bool = true;
    const GATES: bool = true;

    fn survey(&self, path: &str, visit: &mut Visit<'_>) {
        visit(
            path,
            Sort::RobustSemaphore,
            std::ptr::from_ref(&self.released).cast(),
        );
    }
}

impl<const N: usize> RobustSemaphore<N> {
    #[cfg(not(loom))]
    /// One with `permits` permits, at most `N`.
    #[must_use]
    pub const fn new(permits: u32) -> Self {
        let mut words = [const { AtomicU64::new(FREE) }; N];
        let mut unused = permits as usize;
        while unused < N {
            words[unused] = AtomicU64::new(UNUSED);
            unused += 1;
        }
        RobustSemaphore {
            released: AtomicU32::new(0),
            reserved: AtomicU32::new(0),
            waiters: Waiters::new(),
            permits: words,
        }
    }

    #[cfg(loom)]
    /// One with `permits` permits, at most `N`.
    #[must_use]
    pub fn new(permits: u32) -> Self {
        let word = |number| {
            if number < permits as usize {
                FREE
            } else {
                UNUSED
            }
        };
        RobustSemaphore {
            released: AtomicU32::new(0),
            reserved: AtomicU32::new(0),
            waiters: Waiters::new(),
            permits: std::array::from_fn(|number| AtomicU64::new(word(number))),
        }
    }

    /// Takes a permit, waiting until one is free or its holder is dead.
    ///
    /// # Errors
    /// `Corrupt` when the memory is gone.
    #[doc(alias = "P")]
    pub fn acquire(&self) -> Result<Permit<'_, N>> {
        self.acquire_with(Wait::Forever)
    }

    /// Takes a permit if one is free. In vain it looks for dead holders too, but not each time; [`reclaim`](Self::reclaim) does.
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_, N>> {
        self.acquire_with(Wait::Not).ok()
    }

    /// Takes a permit, waiting at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`; `Corrupt` when the memory is gone.
    pub fn acquire_timeout(&self, limit: Duration) -> Result<Permit<'_, N>> {
        self.acquire_with(Wait::For(limit))
    }

    /// Takes a permit, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`; `Corrupt` when the memory is gone.
    pub fn acquire_with(&self, wait: Wait) -> Result<Permit<'_, N>> {
        let me = Holder::process();
        match self.take(me) {
            Some(permit) => Ok(permit),
            None => self.wait(me, wait),
        }
    }

    /// Frees the permits whose holders are dead, wakes as many waiters, and says how many there were.
    pub fn reclaim(&self) -> u32 {
        let mut freed = 0;
        for word in &self.permits {
            if let Some((dead, _)) = dead_holder(word)
                && word
                    .compare_exchange(dead, FREE, Ordering::SeqCst, Ordering::Relaxed)
                    .is_ok()
            {
                freed += 1;
            }
        }
        if freed > 0 {
            self.announce(freed);
        }
        freed
    }

    /// How many permits are free; old by the time it is read.
    #[must_use]
    pub fn value(&self) -> u32 {
        let free = |word: &&AtomicU64| word.load(Ordering::Relaxed) == FREE;
        self.permits.iter().filter(free).count() as u32
    }

    /// How many wait; too high for a while by those who were killed waiting.
    #[must_use]
    pub fn waiters(&self) -> u32 {
        self.waiters.count()
    }

    /// The process ids of those who have permits, one for each permit; old by the time it is read.
    pub fn holders(&self) -> impl Iterator<Item = u32> {
        self.permits
            .iter()
            .map(|word| word.load(Ordering::Relaxed))
            .filter(|word| *word != UNUSED)
            .filter_map(Holder::in_word)
            .map(Holder::id)
    }

    #[inline]
    fn take(&self, me: Holder) -> Option<Permit<'_, N>> {
        // Each process starts at another place, so that they seldom meet.
        let start = me.id() as usize;
        for step in 0..N {
            let number = start.wrapping_add(step) % N;
            let word = &self.permits[number];
            // The last look before a sleep must see what a releaser stored before it looked for waiters.
            if word.load(Ordering::SeqCst) == FREE
                && word
                    .compare_exchange(FREE, me.word(), Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return Some(self.permit(number, None));
            }
        }
        None
    }

    fn permit(&self, number: usize, from_dead: Option<u32>) -> Permit<'_, N> {
        Permit {
            semaphore: self,
            number,
            from_dead,
        }
    }

    #[cold]
    fn wait(&self, me: Holder, wait: Wait) -> Result<Permit<'_, N>> {
        if wait == Wait::Not {
            let from_dead = may_look_around(self).then(|| self.inherit(me));
            return from_dead.flatten().ok_or_else(|| late(wait));
        }
        if let Some(permit) = look(|| self.take(me)) {
            return Ok(permit);
        }
        let mut watch = Watch::until(Deadline::from(wait));
        let mut waiter = self.waiters.waiter();
        loop {
            waiter.count();
            let released = self.released.load(Ordering::SeqCst);
            if let Some(permit) = self.take(me) {
                return Ok(permit);
            }
            match watch.sleep(&self.released, released) {
                Woken::Perhaps if interrupt::ended() => {
                    return Err(Error::new(Kind::Interrupted, "acquire", NOUN, "", ENDED));
                }
                Woken::Perhaps => {}
                Woken::LookAround => {
                    if let Some(permit) = self.inherit(me) {
                        return Ok(permit);
                    }
                }
                Woken::TimedOut => return Err(late(wait)),
                Woken::Gone => {
                    return Err(Error::new(
                        Kind::Corrupt,
                        "acquire",
                        NOUN,
                        "",
                        "its memory is gone",
                    ));
                }
            }
        }
    }

    /// Takes the permit of a dead holder.
    fn inherit(&self, me: Holder) -> Option<Permit<'_, N>> {
        self.permits.iter().enumerate().find_map(|(number, word)| {
            let (dead, id) = dead_holder(word)?;
            let taken = if mutated("robust-semaphore-inherit") {
                word.store(me.word(), Ordering::SeqCst);
                true
            } else {
                word.compare_exchange(dead, me.word(), Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            };
            taken.then(|| self.permit(number, Some(id)))
        })
    }

    #[inline]
    fn announce(&self, permits: u32) {
        if !mutated("robust-semaphore-count") {
            self.released.fetch_add(1, Ordering::SeqCst);
        }
        if self.waiters.any() && !mutated("robust-semaphore-wake") {
            self.waiters.wake(&self.released, permits);
        }
    }
}

/// The word and the pid of its holder, if that is dead.
fn dead_holder(word: &AtomicU64) -> Option<(u64, u32)> {
    let taken = word.load(Ordering::Relaxed);
    if taken == UNUSED {
        return None;
    }
    let holder = Holder::in_word(taken)?;
    (!holder.process_is_alive()).then_some((taken, holder.id()))
}

#[cold]
fn late(wait: Wait) -> Error {
    match wait {
        Wait::Not => Error::new(Kind::WouldBlock, "acquire", NOUN, "", "no permit is free"),
        _ => Error::new(Kind::TimedOut, "acquire", NOUN, "", "timed out"),
    }
}

/// A permit, given back when it is dropped; any thread of the process may have it.
#[must_use = "it is given back at once if it is not kept"]
#[derive(Debug)]
pub struct Permit<'a, const N: usize> {
    semaphore: &'a RobustSemaphore<N>,
    number: usize,
    from_dead: Option<u32>,
}

impl<const N: usize> Permit<'_, N> {
    /// Which permit it is, below `N`. Nobody else has this number.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The process that died with it, if that is how it became free.
    #[must_use]
    pub fn from_dead(&self) -> Option<u32> {
        self.from_dead
    }

    /// Keeps it until this process ends.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl<const N: usize> Drop for Permit<'_, N> {
    fn drop(&mut self) {
        let word = &self.semaphore.permits[self.number];
        // In the child of a fork the permit is still its parent's.
        let me = Holder::process().word();
        if word
            .compare_exchange(me, FREE, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
        {
            self.semaphore.announce(1);
        }
    }
}
