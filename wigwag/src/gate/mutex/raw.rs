//! Raw: the lock without the value, and the one place where its protocol stands.
//!
//! | word | state |
//! |---|---|
//! | 0 | free |
//! | id | held by that thread |
//! | id, `WAITERS` | held, and its unlock must wake one |
//! | `DIED` (and `WAITERS`) | its holder died or panicked, or nobody repaired it; to be taken like a free one |
//!
//! That is the format of the kernel's robust futexes, and the kernel makes the last state of the second and third when a
//! thread ends. `waiters` counts who is about to sleep or asleep. It repairs what the word alone cannot:
//! a waiter that is woken and killed takes the wake-up with it, and if meanwhile a third thread took the lock with a
//! plain CAS, the mark `WAITERS` is gone and the second waiter is stranded for ever (glibc's robust mutex has
//! that fault). Here the third sees the count and puts the mark back. A kill leaves the count too high, never too low;
//! an unlock that wakes nobody often enough takes it back to zero.
//!
//! Among those who are awake, the one whose core has the cache line would take it again and again. So who tries in vain says
//! so ([`courtesy`]), and then everybody leaves it free for an instant now and then.
//!
//! A mutex that inherits priorities has the same words and another protocol, that of the kernel: [`inheriting`].
//!
//! Both marks are set before any sleep, the kernel compares the whole word before it lets anybody sleep,
//! and every sleep ends after [`LONGEST_NAP`](crate::gate::watch::LONGEST_NAP) at most.

mod courtesy;
mod inheriting;
mod waiter;

use self::waiter::Waiter;
use crate::error::{Error, Kind, Result};
use crate::gate::watch::{self, Watch, Woken};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering, const_unless_loom, mutated};
use crate::sys::futex;
use crate::sys::holder::{self, Holder};
use crate::sys::process;
use crate::sys::robust::{self, Current, Link, NEXT, WORD};
use crate::wait::{Deadline, Wait};

const TID: u32 = 0x3fff_ffff;
const DIED: u32 = 0x4000_0000;
const WAITERS: u32 = 0x8000_0000;

/// `waiters`: the count below, the number of arrivals above, so that two equal values mean that nobody came.
const COUNT: u32 = 0x7fff;
/// In `waiters` too: somebody tries to take it without sleeping. No more than a hint, which a kill may leave there.
const TRIES: u32 = 0x8000;
const ARRIVAL: u32 = 0x1_0001;
/// So many unlocks that woke nobody, with nobody arriving, and the count is what a killed waiter left.
const STRIKES: u32 = 1000;

/// `mode`: who shares the lock, and how a death is noticed.
const PROCESS: u32 = 0;
const KERNEL: u32 = 1;
const WATCHED: u32 = 2;
/// Added to those: the kernel hands it over, and lends its owner the priority of who waits.
const INHERITS: u32 = 4;

/// `cause`: why `DIED` is set.
const DEATH: u32 = 0;
const PANIC: u32 = 1;
const UNUSABLE: u32 = 2;
/// `cause`, while it is held: the holder was unwinding already when it took it, so its panic is not about this lock.
const UNWINDING: u32 = 3;

pub(in crate::gate) const NOUN: &str = "mutex";

/// How the lock was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Taken {
    Clean,
    Orphaned,
}

/// Why the last holder left it unrepaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its process was killed or ended, or its thread did.
    Death,
    /// It panicked.
    Panic,
}

/// The lock without the value. Its layout is part of the library's C interface.
///
/// Without `LIST` it keeps no pointers in the memory and follows none, whatever the memory says.
#[repr(C)]
pub(in crate::gate) struct Raw<const LIST: bool> {
    #[cfg(not(target_env = "musl"))]
    word: AtomicU32,
    waiters: AtomicU32,
    #[cfg(target_env = "musl")]
    word: AtomicU32,
    mode: AtomicU32,
    cause: AtomicU32,
    /// In `WATCHED` mode: the holder with its start time.
    holder: AtomicU64,
    link: Link,
    strikes: AtomicU32,
    /// How often a waiter went to sleep: contention, for who looks from outside.
    sleeps: AtomicU32,
}

#[cfg(not(loom))]
const _: () = {
    assert!(std::mem::offset_of!(Raw<true>, word) == WORD);
    assert!(std::mem::offset_of!(Raw<true>, link) == NEXT - 8);
    assert!(size_of::<Raw<true>>() == 48);
};

impl<const LIST: bool> Raw<LIST> {
    /// The word that says whose it is, for who looks from outside.
    #[cfg(not(loom))]
    pub(in crate::gate) fn word(&self) -> &AtomicU32 {
        &self.word
    }

    const_unless_loom! {
        pub(in crate::gate) const fn new() -> Self {
            Self::in_mode(PROCESS)
        }
    }

    #[cfg(loom)]
    pub(in crate::gate) fn watched() -> Self {
        Self::in_mode(WATCHED)
    }

    const_unless_loom! {
        const fn in_mode(mode: u32) -> Self {
            Raw {
                word: AtomicU32::new(0),
                waiters: AtomicU32::new(0),
                mode: AtomicU32::new(mode),
                cause: AtomicU32::new(DEATH),
                holder: AtomicU64::new(0),
                link: Link::new(),
                strikes: AtomicU32::new(0),
                sleeps: AtomicU32::new(0),
            }
        }
    }

    /// It lies in shared memory now, free whatever it was before.
    #[cfg(not(loom))]
    pub(in crate::gate) fn settle(&self, death: crate::shared::Death) {
        self.word.store(0, Ordering::Relaxed);
        self.waiters.store(0, Ordering::Relaxed);
        self.holder.store(0, Ordering::Relaxed);
        self.cause.store(DEATH, Ordering::Relaxed);
        let inherits = self.mode.load(Ordering::Relaxed) & INHERITS;
        let mode = match death {
            // musl walks the list itself when a thread ends, and knows nothing of such locks in it.
            crate::shared::Death::Kernel if cfg!(target_env = "musl") && inherits != 0 => WATCHED,
            crate::shared::Death::Kernel => KERNEL,
            crate::shared::Death::Watched => WATCHED,
        };
        self.mode.store(mode | inherits, Ordering::Release);
    }

    #[inline(always)]
    fn mode(&self) -> u32 {
        if LIST {
            self.mode.load(Ordering::Relaxed)
        } else {
            WATCHED
        }
    }

    /// Takes it if it is free and nobody waits, with one compare-and-swap.
    #[inline(always)]
    pub(in crate::gate) fn take(&self, me: Current) -> bool {
        let mode = self.mode();
        if self.waiters.load(Ordering::Relaxed) & (COUNT | TRIES) != 0 && !mutated("mutex-mark") {
            return false;
        }
        if mode != KERNEL {
            if mode & INHERITS != 0 {
                return false;
            }
            let taken = self.exchange(0, me.tid());
            if taken {
                self.taken(me, mode, 0);
            }
            return taken;
        }
        if !me.has_room() {
            return false;
        }
        // SAFETY: room means a list. The link is that of this lock, which outlives the call.
        unsafe { me.begin(self.link.plain()) };
        let taken = self.exchange(0, me.tid());
        if taken {
            self.taken(me, KERNEL, 0);
        } else {
            // SAFETY: as above.
            unsafe { me.end() };
        }
        taken
    }

    /// The mark that the word must have because somebody waits, as far as this thread can see.
    #[inline(always)]
    fn mark(&self) -> u32 {
        if self.waiters.load(Ordering::Relaxed) & COUNT == 0 || mutated("mutex-mark") {
            0
        } else {
            WAITERS
        }
    }

    #[inline(always)]
    fn exchange(&self, from: u32, to: u32) -> bool {
        self.try_exchange(from, to).is_ok()
    }

    /// The same; what the word is, if it is not `from`.
    #[inline(always)]
    fn try_exchange(&self, from: u32, to: u32) -> std::result::Result<u32, u32> {
        let order = if mutated("mutex-acquire") {
            Ordering::Relaxed
        } else {
            Ordering::SeqCst
        };
        self.word
            .compare_exchange(from, to, order, Ordering::Relaxed)
    }

    /// What is left to do between the exchange and the end of the bracket.
    #[inline(always)]
    fn taken(&self, me: Current, mode: u32, waiters: u32) {
        // Somebody who came while we took it is served by the unlock; with the mark, also by our death.
        if waiters == 0
            && self.waiters.load(Ordering::SeqCst) & COUNT != 0
            && !mutated("mutex-mark")
        {
            self.remember();
        }
        if mode == KERNEL {
            // SAFETY: between begin and end, the lock is ours and not linked; a guard keeps it mapped.
            unsafe { me.link(self.link.plain()) };
        } else if mode == WATCHED {
            self.sign();
        }
    }

    /// Says which thread it is, beyond the id in the word.
    #[cold]
    #[inline(never)]
    fn sign(&self) {
        let me = Holder::thread();
        self.holder.store(me.word(), Ordering::Relaxed);
    }

    #[inline(always)]
    fn remember(&self) {
        self.word.fetch_or(WAITERS, Ordering::Relaxed);
    }

    /// Frees it, if this thread has it; in the child of a `fork` it is still its parent's.
    #[inline(always)]
    pub(in crate::gate) fn free(&self, me: Current) {
        self.leave(me, 0);
    }

    /// Frees it, as one to be repaired if its holder panics meanwhile. A call of its own: so the guard stays in a register.
    #[inline(never)]
    pub(in crate::gate) fn unlock(&self) {
        // First, so that nothing has to survive the calls it may make.
        if std::thread::panicking() {
            self.free_in_panic();
        } else {
            self.free(robust::known());
        }
    }

    /// Notes that the holder is unwinding already.
    #[cold]
    #[inline(never)]
    pub(in crate::gate) fn taken_in_panic(&self) {
        self.cause.store(UNWINDING, Ordering::Relaxed);
    }

    /// Frees it while its holder unwinds.
    #[cold]
    #[inline(never)]
    pub(in crate::gate) fn free_in_panic(&self) {
        let me = robust::known();
        if self.word.load(Ordering::Relaxed) & TID != me.tid() {
        } else if self.cause.load(Ordering::Relaxed) == UNWINDING {
            self.cause.store(DEATH, Ordering::Relaxed);
            self.free(me);
        } else {
            self.abandon(me, Some(Cause::Panic));
        }
    }

    /// Frees it as one whose value must be repaired.
    #[cold]
    pub(in crate::gate) fn abandon(&self, me: Current, cause: Option<Cause>) {
        if self.word.load(Ordering::Relaxed) & TID != me.tid() {
            return;
        }
        let cause = match cause {
            Some(Cause::Death) => DEATH,
            Some(Cause::Panic) => PANIC,
            None => UNUSABLE,
        };
        self.cause.store(cause, Ordering::Relaxed);
        self.leave(me, DIED);
    }

    #[inline(always)]
    fn leave(&self, me: Current, word: u32) {
        if self.word.load(Ordering::Relaxed) & TID != me.tid() {
            return;
        }
        let mode = self.mode();
        if mode != KERNEL {
            if mode & INHERITS != 0 {
                return self.leave_inheriting(me, mode);
            }
            if mode == WATCHED {
                self.holder.store(0, Ordering::Relaxed);
            }
            if self.swap(word) {
                self.wake();
            }
            return;
        }
        // SAFETY: this thread took it in this mode, so it has a list and linked the lock, through this reference.
        unsafe {
            me.begin_again(self.link.plain());
            me.unlink(self.link.plain());
        }
        if self.swap(word) {
            return self.wake_and_end(me);
        }
        // SAFETY: as above.
        unsafe { me.end() };
    }

    /// Gives the word away; whether somebody is to be woken.
    #[inline(always)]
    fn swap(&self, word: u32) -> bool {
        let order = if mutated("mutex-release") {
            Ordering::Relaxed
        } else {
            Ordering::SeqCst
        };
        let old = self.word.swap(word, order);
        old & WAITERS != 0 || self.waiters.load(Ordering::SeqCst) & COUNT != 0
    }

    #[cold]
    #[inline(never)]
    fn wake_and_end(&self, me: Current) {
        self.wake();
        // SAFETY: as in `leave`, which ends here.
        unsafe { me.end() };
    }

    #[cold]
    #[inline(never)]
    fn wake(&self) {
        if mutated("mutex-wake") {
            return;
        }
        let before = self.waiters.load(Ordering::SeqCst);
        if futex::wake(&self.word, 1) != 0 || before & COUNT == 0 {
            self.strikes.store(0, Ordering::Relaxed);
            return;
        }
        // Nobody slept, but somebody counts: on the way to sleep or back, or killed there.
        if self.strikes.fetch_add(1, Ordering::Relaxed) >= STRIKES {
            self.strikes.store(0, Ordering::Relaxed);
            let none = before & !COUNT;
            // A waiter that lives notices that it counts no longer before its next sleep.
            let _ =
                self.waiters
                    .compare_exchange(before, none, Ordering::SeqCst, Ordering::Relaxed);
        }
    }

    /// Takes it, waiting if it must.
    #[cold]
    pub(in crate::gate) fn wait(&self, me: Current, wait: Wait) -> Result<Taken> {
        let mode = self.mode();
        if mode & !INHERITS == KERNEL {
            if !me.has_list() {
                let why = "the kernel has no robust list of this thread";
                return Err(Error::new(Kind::Unsupported, "lock", NOUN, "", why)
                    .with_hint("lock it in a thread that libc made, or create the segment with Death::Watched"));
            }
            if !me.has_room() {
                let why = format!("this thread holds {} mutexes already", robust::MOST_HELD);
                return Err(Error::new(Kind::Limit, "lock", NOUN, "", why));
            }
        }
        if mode & INHERITS != 0 {
            return self.wait_inheriting(me, mode, wait);
        }
        if mode == KERNEL {
            // SAFETY: it has a list; the link is that of this lock, which outlives the call.
            unsafe { me.begin(self.link.plain()) };
        }
        let mut waiter = Waiter {
            raw: self,
            counts: false,
        };
        let taken = self.wait_inside(me, mode, wait, &mut waiter);
        waiter.leave();
        if taken.is_err() {
            // The wake-up that ended our last sleep may have been meant for the lock; pass it on.
            let word = self.word.load(Ordering::SeqCst);
            if word & TID == 0 && (word & WAITERS != 0 || self.mark() != 0) {
                futex::wake(&self.word, 1);
            }
        }
        if mode == KERNEL {
            // SAFETY: as above.
            unsafe { me.end() };
        }
        taken
    }

    fn wait_inside(
        &self,
        me: Current,
        mode: u32,
        wait: Wait,
        waiter: &mut Waiter<'_, LIST>,
    ) -> Result<Taken> {
        let deadline = Deadline::from(wait);
        let mut watch = Watch::until(deadline);
        let mut looked = wait == Wait::Not;
        if !looked {
            self.let_others_try();
        }
        for turn in 0_u64.. {
            // A peer that does not keep the rules may change the word all the time.
            if turn > 100 && deadline.passed() {
                return Err(late(wait));
            }
            let word = self.word.load(Ordering::SeqCst);
            let owner = word & TID;
            if owner == 0 {
                if self.cause.load(Ordering::Relaxed) == UNUSABLE && word & DIED != 0 {
                    return Err(unusable());
                }
                if let Some(taken) = self.seize(me, mode, word, waiter) {
                    return Ok(taken);
                }
                continue;
            }
            if owner == me.tid() && !self.is_of_a_dead_namesake(mode) {
                let why = "this thread holds it already";
                return Err(Error::new(Kind::Deadlock, "lock", NOUN, "", why));
            }
            if deadline.passed() {
                // A dead owner is not waited for, not even for a time.
                if (wait != Wait::Not || watch::may_look_around(self)) && self.bury(word) {
                    continue;
                }
                return Err(late(wait));
            }
            if !looked {
                looked = true;
                let seized = self.spin(me, mode, waiter);
                match seized {
                    Some(Some(taken)) => return Ok(taken),
                    Some(None) => continue,
                    None => {}
                }
            }
            waiter.count();
            let marked = word | WAITERS;
            if mutated("mutex-waiters") {
                // Sleeps without a word to anybody.
            } else if word != marked
                && self
                    .word
                    .compare_exchange(word, marked, Ordering::SeqCst, Ordering::Relaxed)
                    .is_err()
            {
                continue;
            }
            let asleep = if mutated("mutex-waiters") {
                word
            } else {
                marked
            };
            self.sleeps.fetch_add(1, Ordering::Relaxed);
            match watch.sleep(&self.word, asleep) {
                // Who was faster than the one who was woken may be about to free it.
                Woken::Perhaps => looked = false,
                Woken::TimedOut => {}
                Woken::LookAround => drop(self.bury(asleep)),
                Woken::Gone => {
                    let why = "the memory it lies in is gone";
                    return Err(Error::new(Kind::Corrupt, "lock", NOUN, "", why));
                }
            }
        }
        Err(late(wait))
    }

    /// Tries to take it, as long as that seems worth while; `Some(None)` when its holder died.
    ///
    /// It does not look before it tries: on another core that would fetch the cache line twice, and whoever has the line
    /// takes the lock again and again meanwhile.
    fn spin(&self, me: Current, mode: u32, waiter: &mut Waiter<'_, LIST>) -> Option<Option<Taken>> {
        let mut mark = waiter.mark_for_others();
        watch::look_seldom(|| match self.try_exchange(0, me.tid() | mark) {
            Ok(_) => {
                waiter.leave();
                self.taken(me, mode, mark);
                Some(Some(Taken::Clean))
            }
            Err(word) if word & TID == 0 => Some(None),
            Err(_) => {
                mark = waiter.mark_for_others();
                self.ask_for_it();
                None
            }
        })
    }

    /// Takes it, if the word, which says that nobody has it, still is that.
    fn seize(
        &self,
        me: Current,
        mode: u32,
        word: u32,
        waiter: &mut Waiter<'_, LIST>,
    ) -> Option<Taken> {
        let mark = word & WAITERS | waiter.mark_for_others();
        if !self.exchange(word, me.tid() | mark) {
            return None;
        }
        waiter.leave();
        self.taken(me, mode, mark);
        Some(if word & DIED == 0 {
            Taken::Clean
        } else {
            Taken::Orphaned
        })
    }

    /// What the kernel does when the holder is killed.
    #[cfg(loom)]
    pub(in crate::gate) fn die(&self) {
        if self.mode() & INHERITS != 0 {
            return futex::bury_inheriting(&self.word);
        }
        let word = self.word.load(Ordering::SeqCst);
        if self
            .word
            .compare_exchange(
                word,
                DIED | word & WAITERS,
                Ordering::SeqCst,
                Ordering::SeqCst,
            )
            .is_err()
        {
            return self.die();
        }
        if word & WAITERS != 0 {
            futex::wake(&self.word, 1);
        }
    }

    /// A waiter that is killed when it has been woken, and what the kernel does about it then.
    #[cfg(loom)]
    pub(in crate::gate) fn wait_and_die(&self) {
        let mut waiter = Waiter {
            raw: self,
            counts: false,
        };
        loop {
            let word = self.word.load(Ordering::SeqCst);
            if word & TID == 0 {
                return; // too late to sleep; killed before it could take it
            }
            waiter.count();
            if self
                .word
                .compare_exchange(word, word | WAITERS, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
            {
                let slept = futex::wait(&self.word, word | WAITERS, Deadline::Never);
                if slept == futex::Sleep::Woken {
                    break;
                }
            }
        }
        if self.word.load(Ordering::SeqCst) & TID == 0 {
            futex::wake(&self.word, 1);
        }
    }

    /// Does what the kernel would have done, or has forgotten to do, if the holder is dead. It forgets when a thread
    /// that is not the first of its process calls `exec`: that changes its id before its list is walked.
    fn bury(&self, word: u32) -> bool {
        let holder = self.holder.load(Ordering::SeqCst);
        let dead = match Holder::in_word(holder) {
            Some(who) if who.id() == word & TID => !who.thread_is_alive(),
            // Not watched; or killed before it wrote its start time, or after it erased it.
            _ if self.mode() & !INHERITS == WATCHED => !holder::is_alive(word & TID),
            _ => !process::exists(word & TID),
        };
        if !dead {
            return false;
        }
        let orphaned = DIED | word & WAITERS;
        let buried = if mutated("mutex-bury") {
            self.word.store(orphaned, Ordering::SeqCst);
            true
        } else {
            self.word
                .compare_exchange(word, orphaned, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
        };
        if buried && holder != 0 {
            // So that a later thread of the same id is not taken for it before it has signed.
            let _ = self
                .holder
                .compare_exchange(holder, 0, Ordering::SeqCst, Ordering::Relaxed);
        }
        buried
    }

    /// Whether the thread id in the word is ours by reuse only.
    fn is_of_a_dead_namesake(&self, mode: u32) -> bool {
        let holder = self.holder.load(Ordering::SeqCst);
        mode == WATCHED
            && holder != Holder::thread().word()
            && self.bury(self.word.load(Ordering::SeqCst))
    }

    /// The thread that has it.
    pub(in crate::gate) fn owner(&self) -> Option<u32> {
        Some(self.word.load(Ordering::Relaxed) & TID).filter(|tid| *tid != 0)
    }

    /// Why the last holder did not leave it clean; asked while it is held.
    pub(in crate::gate) fn cause(&self) -> Cause {
        if self.cause.load(Ordering::Relaxed) == PANIC {
            Cause::Panic
        } else {
            Cause::Death
        }
    }

    /// The value is whole again; said while it is held.
    pub(in crate::gate) fn repaired(&self) {
        self.cause.store(DEATH, Ordering::Relaxed);
    }

    /// Whether a thread of this process has it.
    #[cfg(not(loom))]
    pub(in crate::gate) fn is_ours(&self) -> bool {
        self.owner().is_some_and(process::is_own_thread)
    }

    /// How many wait or were killed waiting.
    pub(in crate::gate) fn waiters(&self) -> u32 {
        if self.mode() & INHERITS != 0 {
            // Only the kernel knows how many.
            return u32::from(self.word.load(Ordering::Relaxed) & WAITERS != 0);
        }
        self.waiters.load(Ordering::Relaxed) & COUNT
    }
}

#[cold]
fn late(wait: Wait) -> Error {
    match wait {
        Wait::Not => Error::new(
            Kind::WouldBlock,
            "lock",
            NOUN,
            "",
            "another thread holds it",
        ),
        _ => Error::new(Kind::TimedOut, "lock", NOUN, "", "timed out"),
    }
}

#[cold]
fn unusable() -> Error {
    let why = "its holder died or panicked, and who was told did not repair what it guards";
    Error::new(Kind::Corrupt, "lock", NOUN, "", why)
}
