//! Inheriting: the mutex whose owner runs with the priority of the most urgent of those who wait, since the kernel hands it over.
//!
//! | word | state |
//! |---|---|
//! | 0 | free |
//! | id | held by that thread; who comes goes to the kernel, which adds `WAITERS` |
//! | id, `WAITERS` | held, and given back through the kernel, which makes the most urgent waiter the owner at once |
//! | `DIED` with anything | the last holder died, and nobody was told yet; who gets it is told, and erases the mark |
//!
//! The word is the whole of it: the kernel has the queue, so no count of waiters is needed, no wake-up can be lost with whom it woke,
//! and nobody naps. What the holder leaves behind (a panic, a repair not made) stands in `cause`, since the kernel writes the word
//! anew when it hands it over.
//!
//! Without a robust list (`Death::Watched`, and always with musl) the kernel tells who waits of a death all the same, and who comes later
//! gets ESRCH for an owner that does not exist; that it is not another thread by the same number, the start time tells.
//!
//! `futex(2)`, *Priority-inheritance futexes*; `Documentation/locking/pi-futex.rst` of the kernel.

use super::{
    DEATH, DIED, INHERITS, KERNEL, NOUN, PANIC, PROCESS, Raw, TID, Taken, UNUSABLE, WAITERS,
    WATCHED, late, unusable,
};
use crate::error::{Error, Kind, Result};
use crate::gate::watch::may_look_around;
use crate::sys::atomic::{Ordering, const_unless_loom, mutated};
use crate::sys::futex::{self, Handover};
use crate::sys::holder::Holder;
use crate::sys::robust::Current;
use crate::wait::{Deadline, Wait};

/// So many times the word may disagree with what the kernel knows before it is called corrupt: it does for an instant, as
/// an owner dies.
const DISAGREEMENTS: u32 = 10_000;

impl<const LIST: bool> Raw<LIST> {
    const_unless_loom! {
        pub(in crate::gate) const fn inheriting() -> Self {
            Self::in_mode(PROCESS | INHERITS)
        }
    }

    /// Takes it, waiting if it must.
    pub(super) fn wait_inheriting(&self, me: Current, mode: u32, wait: Wait) -> Result<Taken> {
        let listed = mode & !INHERITS == KERNEL;
        if listed {
            // SAFETY: the caller saw that the thread has a list; the link is that of this lock, which outlives the call.
            unsafe { me.begin(self.link.inheriting()) };
        }
        let taken = self.get_inheriting(me, mode, wait);
        let taken = taken.and_then(|died| {
            if listed {
                // SAFETY: between begin and end, the lock is ours and not linked; a guard keeps it mapped.
                unsafe { me.link(self.link.inheriting()) };
            } else if mode & !INHERITS == WATCHED {
                self.sign();
            }
            self.what_was_left(me, died)
        });
        if listed {
            // SAFETY: as above.
            unsafe { me.end() };
        }
        taken
    }

    /// Makes the word ours; whether it came from the dead.
    fn get_inheriting(&self, me: Current, mode: u32, wait: Wait) -> Result<bool> {
        let deadline = Deadline::from(wait);
        let mut disagreements = 0;
        loop {
            let word = self.word.load(Ordering::SeqCst);
            if word & (TID | WAITERS) == 0 {
                if self.exchange(word, me.tid() | word) {
                    return Ok(word & DIED != 0);
                }
                continue;
            }
            let owner = word & TID;
            if owner == me.tid() && !self.is_of_a_dead_namesake_inheriting(mode, word) {
                let why = "this thread holds it already";
                return Err(Error::new(Kind::Deadlock, "lock", NOUN, "", why));
            }
            if owner != 0 && deadline.passed() {
                if (wait != Wait::Not || may_look_around(self)) && self.bury(word) {
                    continue;
                }
                return Err(late(wait));
            }
            if owner != 0 && mode & !INHERITS == WATCHED && self.is_left_by_the_dead(word) {
                continue;
            }
            self.sleeps.fetch_add(1, Ordering::Relaxed);
            match futex::lock_inheriting(&self.word, me.tid(), deadline) {
                Handover::Ours => {
                    let died = self.word.load(Ordering::SeqCst) & DIED != 0;
                    return Ok(died && !mutated("inheriting-died"));
                }
                Handover::Again => {}
                Handover::TimedOut if owner == 0 => return Err(late(wait)),
                // The deadline is for the next turn to find.
                Handover::TimedOut => {}
                Handover::NoOwner => drop(self.bury(word)),
                Handover::Cycle => {
                    let why = "its holder waits, through others perhaps, for a mutex that this thread holds";
                    return Err(Error::new(Kind::Deadlock, "lock", NOUN, "", why));
                }
                Handover::Disagrees => {
                    disagreements += 1;
                    if disagreements > DISAGREEMENTS {
                        let why = "its word names an owner that the kernel knows not to have it";
                        return Err(Error::new(Kind::Corrupt, "lock", NOUN, "", why));
                    }
                    std::thread::yield_now();
                }
                Handover::Gone => {
                    let why = "the memory it lies in is gone";
                    return Err(Error::new(Kind::Corrupt, "lock", NOUN, "", why));
                }
                Handover::Unsupported => {
                    let why = "this kernel has no priority inheritance (CONFIG_FUTEX_PI)";
                    return Err(Error::new(Kind::Unsupported, "lock", NOUN, "", why));
                }
            }
        }
    }

    /// What the last holder left, now that it is ours.
    fn what_was_left(&self, me: Current, died: bool) -> Result<Taken> {
        let cause = self.cause.load(Ordering::Relaxed);
        if cause == UNUSABLE {
            self.leave_inheriting(me, self.mode());
            return Err(unusable());
        }
        if died {
            if cause != PANIC {
                self.cause.store(DEATH, Ordering::Relaxed);
            }
            // From here on a death is ours.
            self.word.fetch_and(!DIED, Ordering::SeqCst);
            return Ok(Taken::Orphaned);
        }
        Ok(if cause == PANIC {
            Taken::Orphaned
        } else {
            Taken::Clean
        })
    }

    /// Frees it, or has the kernel hand it over; the caller has seen that it is this thread's.
    #[cold]
    #[inline(never)]
    pub(super) fn leave_inheriting(&self, me: Current, mode: u32) {
        let listed = mode & !INHERITS == KERNEL;
        if listed {
            // SAFETY: this thread took it in this mode, so it has a list and linked the lock, through this reference.
            unsafe {
                me.begin_again(self.link.inheriting());
                me.unlink(self.link.inheriting());
            }
        } else if mode & !INHERITS == WATCHED {
            self.holder.store(0, Ordering::Relaxed);
        }
        if mutated("inheriting-unlock") {
            self.word.store(0, Ordering::SeqCst);
        } else if !self.exchange(me.tid(), 0) {
            futex::unlock_inheriting(&self.word);
        }
        if listed {
            // SAFETY: as above.
            unsafe { me.end() };
        }
    }

    /// Whether the holder signed, is dead, and the word was freed for that; one who did not sign is the kernel's to find.
    fn is_left_by_the_dead(&self, word: u32) -> bool {
        let holder = Holder::in_word(self.holder.load(Ordering::SeqCst));
        holder.is_some_and(|who| who.id() == word & TID && !who.thread_is_alive())
            && self.bury(word)
    }

    /// Whether the thread id in the word is ours by reuse only.
    fn is_of_a_dead_namesake_inheriting(&self, mode: u32, word: u32) -> bool {
        mode & !INHERITS == WATCHED
            && self.holder.load(Ordering::SeqCst) != Holder::thread().word()
            && self.bury(word)
    }
}
