//! Guard: what a reader or a writer holds, and what it does when it lets go.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::{LEFT, OPEN, RwLock, UNUSABLE};
use crate::gate::mutex;
use crate::sys::atomic::{AtomicU64, Ordering, mutated};
use crate::sys::holder::Holder;
use crate::wait::Deadline;

/// A reader's lock, or a dead writer's.
#[must_use = "it is unlocked at once if it is not kept"]
pub enum Read<'a, T, const READERS: usize = 16> {
    /// The value is whole.
    Clean(ReadGuard<'a, T, READERS>),
    /// A writer died while it wrote: the value may be half changed, and this thread is alone with it.
    Orphaned(Orphan<'a, T, READERS>),
}

/// The writer's lock, and whether another writer died with it.
#[must_use = "it is unlocked at once if it is not kept"]
pub enum Write<'a, T, const READERS: usize = 16> {
    /// The value is whole.
    Clean(WriteGuard<'a, T, READERS>),
    /// A writer died while it wrote: the value may be half changed.
    Orphaned(Orphan<'a, T, READERS>),
}

impl<'a, T, const READERS: usize> Read<'a, T, READERS> {
    /// The reader's lock, after `mend` where a writer died.
    pub fn or_repair(self, mend: impl FnOnce(&mut T)) -> ReadGuard<'a, T, READERS> {
        match self {
            Read::Clean(guard) => guard,
            Read::Orphaned(mut orphan) => {
                mend(&mut orphan);
                orphan.repaired().downgrade()
            }
        }
    }

    /// Whether a writer died.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        matches!(self, Read::Orphaned(_))
    }
}

impl<'a, T, const READERS: usize> Write<'a, T, READERS> {
    /// The writer's lock, after `mend` where another writer died.
    pub fn or_repair(self, mend: impl FnOnce(&mut T)) -> WriteGuard<'a, T, READERS> {
        match self {
            Write::Clean(guard) => guard,
            Write::Orphaned(mut orphan) => {
                mend(&mut orphan);
                orphan.repaired()
            }
        }
    }

    /// Whether a writer died.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        matches!(self, Write::Orphaned(_))
    }
}

/// A reader's lock, until it is dropped. It stays in its thread.
#[must_use = "it is unlocked at once if it is not kept"]
pub struct ReadGuard<'a, T, const READERS: usize = 16> {
    pub(super) lock: &'a RwLock<T, READERS>,
    pub(super) slot: &'a AtomicU64,
    pub(super) me: Holder,
    pub(super) not_send: PhantomData<*const ()>,
}

impl<T, const READERS: usize> Deref for ReadGuard<'_, T, READERS> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: as long as this thread has a slot no writer touches the value.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T, const READERS: usize> Drop for ReadGuard<'_, T, READERS> {
    #[inline]
    fn drop(&mut self) {
        // In the child of a fork the slot is still its parent's.
        if !self.me.is_current() {
            return;
        }
        // With the look at `waiters` this is "I store mine, then look at yours"; so is the writer's side.
        self.slot.store(self.me.word() | LEFT, Ordering::SeqCst);
        if self.lock.waiters.any() {
            self.lock.left.fetch_add(1, Ordering::SeqCst);
            if !mutated("rwlock-wake") {
                self.lock.waiters.wake(&self.lock.left, u32::MAX);
            }
        }
    }
}

/// The writer's lock, until it is dropped. It stays in its thread.
#[must_use = "it is unlocked at once if it is not kept"]
pub struct WriteGuard<'a, T, const READERS: usize = 16> {
    pub(super) lock: &'a RwLock<T, READERS>,
    /// There, except while it is dropped.
    pub(super) turn: Option<mutex::Guard<'a, ()>>,
    /// Whether the door may be opened.
    pub(super) is_whole: bool,
    /// Whether the thread was unwinding already when it took it.
    pub(super) panicking: bool,
    pub(super) not_send: PhantomData<*const ()>,
}

impl<'a, T, const READERS: usize> WriteGuard<'a, T, READERS> {
    /// Goes on as a reader, letting no writer in between.
    #[must_use = "it is unlocked at once if it is not kept"]
    pub fn downgrade(self) -> ReadGuard<'a, T, READERS> {
        let lock = self.lock;
        let me = Holder::thread();
        loop {
            // A reader that found the door closed may be in a slot for an instant, and may be killed there.
            let found = || lock.take_slot(me);
            if let Ok(guard) = lock.await_readers("read-lock", Deadline::Never, found) {
                drop(self);
                return guard;
            }
            std::thread::yield_now();
        }
    }
}

impl<T, const READERS: usize> Deref for WriteGuard<'_, T, READERS> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the turn is this thread's, the door is closed and the slots were empty after that.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T, const READERS: usize> DerefMut for WriteGuard<'_, T, READERS> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and the guard is borrowed alone.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T, const READERS: usize> WriteGuard<'_, T, READERS> {
    /// Says what the door is to say to those who come.
    fn leave(&self, door: u32) {
        // In the child of a fork the turn is still its parent's, and without the turn it was given away already.
        if self.turn.is_none() || self.lock.turn.owner() != Some(Holder::thread().id()) {
            return;
        }
        let order = if mutated("rwlock-open") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        self.lock.door.store(door, order);
    }
}

impl<T, const READERS: usize> Drop for WriteGuard<'_, T, READERS> {
    fn drop(&mut self) {
        // Who panics with it leaves the value half changed, as if it had died.
        if self.is_whole && (self.panicking || !std::thread::panicking()) {
            self.leave(OPEN);
        }
        drop(self.turn.take());
    }
}

/// The lock after a writer's death. Dropped without [`repaired`](Self::repaired), nobody can lock it again.
#[must_use = "dropping it makes the lock unusable for everybody"]
pub struct Orphan<'a, T, const READERS: usize = 16>(pub(super) WriteGuard<'a, T, READERS>);

impl<'a, T, const READERS: usize> Orphan<'a, T, READERS> {
    /// Says that the value is whole again.
    pub fn repaired(mut self) -> WriteGuard<'a, T, READERS> {
        WriteGuard {
            lock: self.0.lock,
            turn: self.0.turn.take(),
            is_whole: true,
            panicking: self.0.panicking,
            not_send: PhantomData,
        }
    }
}

impl<T, const READERS: usize> Drop for Orphan<'_, T, READERS> {
    fn drop(&mut self) {
        // Who panics while it repairs has not decided: the next one may try. Who has repaired has no turn here any more.
        if !std::thread::panicking() {
            self.0.leave(UNUSABLE);
        }
    }
}

impl<T, const READERS: usize> Deref for Orphan<'_, T, READERS> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T, const READERS: usize> DerefMut for Orphan<'_, T, READERS> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
