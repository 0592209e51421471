//! Readers-writer lock: many readers or one writer; either may be killed, and readers never write the same cache line.
//!
//! Each reader takes a slot of its own, one cache line wide, and writes its name into it; a writer first closes the door,
//! then waits until nobody reads in any slot. A slot remembers who read in it last, and others take another one while
//! there is one: so as long as there are no more reading threads than slots, each comes back to a line that only it writes.
//! That is the trade-off, and `READERS` is where to choose:
//!
//! | | `RwLock<T, 16>` | one counter (`pthread_rwlock_t`) |
//! |---|---|---|
//! | size | 1 KiB and the value | 56 bytes and the value |
//! | readers on different cores | do not disturb each other | take the line from each other |
//! | writer | looks at all slots | looks at the counter |
//! | a reader is killed | its slot tells; the writer goes on | the writer waits for ever |
//! | more readers at once than `READERS` | wait for each other | no bound |
//! | two processes read on two cores | 88 million a second | 38 million a second |
//!
//! (The last row from `cargo run --release -p peers -- gates readers`, two cores of a virtual AMD EPYC.)
//!
//! | `door` | slots | state |
//! |---|---|---|
//! | 0 open | any | readers come and go |
//! | 1 closed | some taken | a writer waits for these readers, or died waiting; no new ones come in |
//! | 2 inside | empty | a writer writes, or died doing it |
//! | 3 unusable | empty | a writer died, and who was told did not repair it |
//!
//! Writers, and readers that find the door closed, take turns at a [`Mutex`] inside. A writer that dies leaves
//! that mutex to the next of them; if the door then says 2 the value may be half changed, and who comes first, reader
//! or writer, gets [`Read::Orphaned`] or [`Write::Orphaned`] and repairs, or gives up and so makes the lock unusable for all.
//! A reader's death changes nothing.
//!
//! A thread may read while it reads, and leave the one before the other: so what a writer finds empty slot by slot is empty only if
//! nobody took a second slot meanwhile, which `left` tells. Reading while it writes, or the other way about, is an error and not a hang.
//!
//! *Big-reader locks*: W. C. Hsieh, W. E. Weihl, *Scalable reader-writer locks for parallel systems*, 1992.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
#[cfg(not(loom))]
use std::mem::offset_of;
use std::time::Duration;

pub use self::guard::{Orphan, Read, ReadGuard, Write, WriteGuard};
use super::mutex::{self, Mutex};

use super::waiters::Waiters;
use super::watch::{Watch, Woken, look, may_look_around};
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
#[cfg(not(loom))]
use crate::shared::{Death, Layout, Plain, Shared, Sort, Visit, layout};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering, fence, model_fence, mutated};
use crate::sys::holder::Holder;
use crate::wait::{Deadline, Wait};

mod guard;

const NOUN: &str = "readers-writer lock";
const FREE: u64 = 0;
/// In a slot: who read there last, and reads no longer.
const LEFT: u64 = 1 << 63;
const OPEN: u32 = 0;
const CLOSED: u32 = 1;
const INSIDE: u32 = 2;
const UNUSABLE: u32 = 3;

/// One reader, on a cache line of its own.
#[repr(C, align(64))]
struct Slot(AtomicU64);

/// Whether nobody reads in a slot with this word.
#[inline]
fn is_vacant(word: u64) -> bool {
    word == FREE || word & LEFT != 0
}

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "rwlock",
    title: "readers–writer lock",
    noun: "readers-writer lock",
    carries: "many readers or one owner; survives their death",
    man: "futex(7)",
    ..super::IN_A_SEGMENT
};

/// A value that at most `READERS` threads may read at once, or one may write.
///
/// ```
/// use wigwag::gate::RwLock;
///
/// let table = RwLock::<[u32; 4]>::new([0; 4]);
/// table.write()?.or_repair(|table| *table = [0; 4])[2] = 7;
/// let one = table.read()?.or_repair(|_| ());
/// let other = table.read()?.or_repair(|_| ());
/// assert_eq!(one[2] + other[2], 14);
/// assert_eq!(table.write().err().map(|error| error.kind()), Some(wigwag::Kind::Deadlock));
/// # Ok::<(), wigwag::Error>(())
/// ```
#[doc(alias = "pthread_rwlock_t")]
#[repr(C, align(64))]
pub struct RwLock<T, const READERS: usize = 16> {
    /// Held while writing, or passing the closed door.
    turn: Mutex<()>,
    door: AtomicU32,
    /// Counts readers who left while somebody waited for that, and those who read already and took a second slot.
    left: AtomicU32,
    waiters: Waiters,
    data: UnsafeCell<T>,
    slots: [Slot; READERS],
}

// SAFETY: it gives `&mut T` to one thread at a time, and `&T` to several at once.
unsafe impl<T: Send + Sync, const READERS: usize> Sync for RwLock<T, READERS> {}

// SAFETY: repr(C): a Mutex that is Shared, atomics of which any values are states, and plain data behind the lock.
#[cfg(not(loom))]
unsafe impl<T: Plain, const READERS: usize> Shared for RwLock<T, READERS> {
    const LAYOUT: Layout = layout::<Self>("RwLock")
        .with(<Mutex<()> as Shared>::LAYOUT)
        .field("value", offset_of!(Self, data), T::LAYOUT);
    const WARY: bool = false;
    const GATES: bool = true;
    const ZEROS: bool = true;

    fn settle(&self, death: Death) {
        self.turn.settle(death);
    }

    fn in_use(&self) -> bool {
        self.turn.in_use()
    }

    fn survey(&self, path: &str, visit: &mut Visit<'_>) {
        visit(
            path,
            Sort::RwLock,
            std::ptr::from_ref(self.turn.word()).cast(),
        );
    }
}

impl<T, const READERS: usize> RwLock<T, READERS> {
    #[cfg(not(loom))]
    /// A free one.
    #[must_use]
    pub const fn new(value: T) -> Self {
        const { assert!(READERS > 0, "there must be a slot for a reader") };
        RwLock {
            turn: Mutex::new(()),
            door: AtomicU32::new(OPEN),
            left: AtomicU32::new(0),
            waiters: Waiters::new(),
            data: UnsafeCell::new(value),
            slots: [const { Slot(AtomicU64::new(FREE)) }; READERS],
        }
    }

    #[cfg(loom)]
    /// A free one.
    #[must_use]
    pub fn new(value: T) -> Self {
        RwLock {
            turn: Mutex::new(()),
            door: AtomicU32::new(OPEN),
            left: AtomicU32::new(0),
            waiters: Waiters::new(),
            data: UnsafeCell::new(value),
            slots: std::array::from_fn(|_| Slot(AtomicU64::new(FREE))),
        }
    }

    /// Locks it beside other readers, waiting as long as it takes.
    ///
    /// # Errors
    /// `Deadlock` when this thread writes; `Corrupt` when a writer died and who was told gave up, or the memory is gone.
    #[doc(alias = "pthread_rwlock_rdlock")]
    #[inline]
    pub fn read(&self) -> Result<Read<'_, T, READERS>> {
        self.read_with(Wait::Forever)
    }

    /// Locks it for reading if no writer has it or waits for it.
    ///
    /// # Errors
    /// `Corrupt` as for [`read`](Self::read).
    #[doc(alias = "pthread_rwlock_tryrdlock")]
    pub fn try_read(&self) -> Result<Option<Read<'_, T, READERS>>> {
        unless_taken(self.read_with(Wait::Not))
    }

    /// Locks it for reading, waiting at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`; otherwise as for [`read`](Self::read).
    #[doc(alias = "pthread_rwlock_clockrdlock")]
    pub fn read_timeout(&self, limit: Duration) -> Result<Read<'_, T, READERS>> {
        self.read_with(Wait::For(limit))
    }

    /// Locks it for reading, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`; otherwise as for [`read`](Self::read).
    #[inline]
    pub fn read_with(&self, wait: Wait) -> Result<Read<'_, T, READERS>> {
        let me = Holder::thread();
        match self.slip_in(me) {
            Some(guard) => Ok(Read::Clean(guard)),
            None => self.queue_to_read(me, wait),
        }
    }

    /// Locks it alone, waiting as long as it takes.
    ///
    /// # Errors
    /// `Deadlock` when this thread reads or writes; `Corrupt` as for [`read`](Self::read).
    #[doc(alias = "pthread_rwlock_wrlock")]
    pub fn write(&self) -> Result<Write<'_, T, READERS>> {
        self.write_with(Wait::Forever)
    }

    /// Locks it alone if nobody has it.
    ///
    /// # Errors
    /// `Corrupt` as for [`read`](Self::read).
    #[doc(alias = "pthread_rwlock_trywrlock")]
    pub fn try_write(&self) -> Result<Option<Write<'_, T, READERS>>> {
        unless_taken(self.write_with(Wait::Not))
    }

    /// Locks it alone, waiting at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`; otherwise as for [`write`](Self::write).
    #[doc(alias = "pthread_rwlock_clockwrlock")]
    pub fn write_timeout(&self, limit: Duration) -> Result<Write<'_, T, READERS>> {
        self.write_with(Wait::For(limit))
    }

    /// Locks it alone, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`; otherwise as for [`write`](Self::write).
    pub fn write_with(&self, wait: Wait) -> Result<Write<'_, T, READERS>> {
        if self.reads(Holder::thread()) {
            let cause = "this thread reads it";
            return Err(Error::new(Kind::Deadlock, "write-lock", NOUN, "", cause));
        }
        let deadline = Deadline::from(wait);
        let turn = self.take_turn("write-lock", deadline)?;
        self.close(turn, "write-lock", deadline)
    }

    /// The thread ids of those who read; old by the time they are read.
    pub fn readers(&self) -> impl Iterator<Item = u32> {
        let holders = self
            .slots
            .iter()
            .map(|slot| slot.0.load(Ordering::Relaxed))
            .filter(|word| !is_vacant(*word))
            .filter_map(Holder::in_word);
        holders.map(Holder::id)
    }

    /// Reads if the door is open and a slot is free.
    #[inline]
    fn slip_in(&self, me: Holder) -> Option<ReadGuard<'_, T, READERS>> {
        let guard = self.take_slot(me)?;
        // With the writer's order this is "I store mine, then look at yours".
        model_fence();
        if self.door.load(Ordering::SeqCst) == OPEN || mutated("rwlock-door") {
            return Some(guard);
        }
        None
    }

    #[inline]
    fn take_slot(&self, me: Holder) -> Option<ReadGuard<'_, T, READERS>> {
        let start = favourite(me);
        // The favourite, unless somebody else came there since; then the next one that nobody reads in, and the favourite at last.
        for step in 0..=READERS {
            let place = start.wrapping_add(step) % READERS;
            let slot = &self.slots[place].0;
            let seen = slot.load(Ordering::Relaxed);
            let free = match step {
                0 => seen == FREE || seen == me.word() | LEFT,
                _ => is_vacant(seen),
            };
            if free
                && slot
                    .compare_exchange(seen, me.word(), Ordering::SeqCst, Ordering::Relaxed)
                    .is_ok()
            {
                if step > 0 {
                    keep_away(place);
                }
                return Some(ReadGuard {
                    lock: self,
                    slot,
                    me,
                    not_send: PhantomData,
                });
            }
        }
        None
    }

    fn reads(&self, me: Holder) -> bool {
        self.slots
            .iter()
            .any(|slot| slot.0.load(Ordering::Relaxed) == me.word())
    }

    #[cold]
    fn queue_to_read(&self, me: Holder, wait: Wait) -> Result<Read<'_, T, READERS>> {
        let deadline = Deadline::from(wait);
        // Who reads already keeps every writer out, the waiting one too: waiting for it would be for ever.
        if self.reads(me) {
            let guard = self.await_readers("read-lock", deadline, || self.take_slot(me))?;
            // A writer that looks through the slots may be past this one, and find the other left when it comes to it.
            if !mutated("rwlock-again") {
                self.left.fetch_add(1, Ordering::SeqCst);
            }
            return Ok(Read::Clean(guard));
        }
        let is_open = || self.door.load(Ordering::Relaxed) == OPEN;
        if wait != Wait::Not
            && let Some(guard) = look(|| is_open().then(|| self.slip_in(me)).flatten())
        {
            return Ok(Read::Clean(guard));
        }
        let turn = self.take_turn("read-lock", deadline)?;
        if !is_open() {
            return Ok(match self.close(turn, "read-lock", deadline)? {
                Write::Clean(guard) => {
                    // A reader that found the door closed may be in a slot for an instant, or be stopped or killed there.
                    let found = || self.take_slot(me);
                    let reads = self.await_readers("read-lock", deadline, found)?;
                    drop(guard);
                    Read::Clean(reads)
                }
                Write::Orphaned(orphan) => Read::Orphaned(orphan),
            });
        }
        // Nobody writes as long as this one has the turn.
        let guard = self.await_readers("read-lock", deadline, || self.take_slot(me))?;
        drop(turn);
        Ok(Read::Clean(guard))
    }

    fn take_turn(&self, action: &'static str, deadline: Deadline) -> Result<mutex::Guard<'_, ()>> {
        match self.turn.lock_with(deadline.wait()) {
            // Its death says nothing about the value: the door does.
            Ok(lock) => Ok(lock.or_repair(|()| ())),
            Err(error) => {
                let cause = match error.kind() {
                    Kind::Deadlock => "this thread writes it",
                    _ => return Err(given_up(action, deadline, error.kind())),
                };
                Err(Error::new(error.kind(), action, NOUN, "", cause))
            }
        }
    }

    /// Closes the door and waits until the readers are out; the turn is ours.
    fn close<'a>(
        &'a self,
        turn: mutex::Guard<'a, ()>,
        action: &'static str,
        deadline: Deadline,
    ) -> Result<Write<'a, T, READERS>> {
        // Whoever had the turn before opened the door again, or died.
        let door = self.door.load(Ordering::Acquire);
        if door == UNUSABLE {
            let cause = "a writer died or panicked, and who was told did not repair what it guards";
            return Err(Error::new(Kind::Corrupt, action, NOUN, "", cause));
        }
        let torn = door == INSIDE;
        if !torn {
            self.door.store(CLOSED, Ordering::SeqCst);
            model_fence();
        }
        let panicking = std::thread::panicking();
        let guard = WriteGuard {
            lock: self,
            turn: Some(turn),
            is_whole: !torn,
            panicking,
            not_send: PhantomData,
        };
        self.await_readers(action, deadline, || self.is_empty().then_some(()))?;
        // Before the value is touched, so that a death from here on tells that it may be half changed.
        self.door.store(INSIDE, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Ok(if torn {
            Write::Orphaned(Orphan(guard))
        } else {
            Write::Clean(guard)
        })
    }

    fn is_empty(&self) -> bool {
        if mutated("rwlock-readers") {
            return true;
        }
        loop {
            let left = self.left.load(Ordering::SeqCst);
            // Acquire: what the readers read was before what the writer writes.
            let vacant = |slot: &Slot| is_vacant(slot.0.load(Ordering::SeqCst));
            if !self.slots.iter().all(vacant) {
                return false;
            }
            // All at one time, unless somebody went from one to another meanwhile.
            if self.left.load(Ordering::SeqCst) == left {
                return true;
            }
        }
    }

    /// Waits for readers to leave until `found`; clears the slots of dead ones.
    fn await_readers<R>(
        &self,
        action: &'static str,
        deadline: Deadline,
        mut found: impl FnMut() -> Option<R>,
    ) -> Result<R> {
        let first = found();
        let first = if deadline.passed() {
            first
        } else {
            first.or_else(|| look(&mut found))
        };
        if let Some(found) = first {
            return Ok(found);
        }
        let mut watch = Watch::until(deadline);
        let mut waiter = self.waiters.waiter();
        loop {
            waiter.count();
            let left = self.left.load(Ordering::SeqCst);
            if let Some(found) = found() {
                return Ok(found);
            }
            match watch.sleep(&self.left, left) {
                Woken::Perhaps => {}
                Woken::LookAround => self.bury_readers(),
                Woken::TimedOut => {
                    if may_look_around(self) {
                        self.bury_readers();
                        if let Some(found) = found() {
                            return Ok(found);
                        }
                    }
                    return Err(given_up(action, deadline, Kind::TimedOut));
                }
                Woken::Gone => {
                    return Err(Error::new(
                        Kind::Corrupt,
                        action,
                        NOUN,
                        "",
                        "its memory is gone",
                    ));
                }
            }
        }
    }

    #[cold]
    fn bury_readers(&self) {
        for slot in &self.slots {
            let word = slot.0.load(Ordering::Relaxed);
            if !is_vacant(word)
                && Holder::in_word(word).is_some_and(|reader| !reader.thread_is_alive())
            {
                if mutated("rwlock-bury") {
                    continue;
                }
                if mutated("rwlock-bury-store") {
                    slot.0.store(FREE, Ordering::SeqCst);
                    continue;
                }
                let _ = slot
                    .0
                    .compare_exchange(word, FREE, Ordering::SeqCst, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(not(loom))]
thread_local! {
    /// Where this thread looks for a slot first, plus one.
    static FAVOURITE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Where this thread looks for a slot first.
#[inline]
fn favourite(me: Holder) -> usize {
    #[cfg(not(loom))]
    return match FAVOURITE.get() {
        0 => me.id() as usize,
        place => place - 1,
    };
    #[cfg(loom)]
    return me.id() as usize;
}

/// Two threads read in one slot by turns: from now on this one has another, or they would take the line from each other for ever.
#[cold]
fn keep_away(place: usize) {
    #[cfg(not(loom))]
    FAVOURITE.set(place + 1);
    let _ = place;
}

#[cold]
fn given_up(action: &'static str, deadline: Deadline, kind: Kind) -> Error {
    match (kind, deadline) {
        (Kind::WouldBlock | Kind::TimedOut, Deadline::Now) => {
            Error::new(Kind::WouldBlock, action, NOUN, "", "it is taken")
        }
        (Kind::WouldBlock | Kind::TimedOut, _) => {
            Error::new(Kind::TimedOut, action, NOUN, "", "timed out")
        }
        _ => Error::new(kind, action, NOUN, "", "its state cannot be trusted"),
    }
}

fn unless_taken<G>(result: Result<G>) -> Result<Option<G>> {
    match result {
        Ok(guard) => Ok(Some(guard)),
        // This thread having it counts as somebody.
        Err(error) if matches!(error.kind(), Kind::WouldBlock | Kind::Deadlock) => Ok(None),
        Err(error) => Err(error),
    }
}

impl<T, const READERS: usize> fmt::Debug for RwLock<T, READERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock")
            .field("door", &self.door.load(Ordering::Relaxed))
            .field("readers", &self.readers().count())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn readers_who_begin_at_one_slot_part_though_they_never_meet_in_it() {
        let lock = RwLock::<u8, 4>::new(0);
        let read = || drop(lock.read().expect("read").or_repair(|_| ()));
        let (go, last) = (std::sync::Barrier::new(3), std::sync::Mutex::new([0; 3]));
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (go, last) = (&go, &last);
                scope.spawn(move || {
                    FAVOURITE.set(1);
                    for turn in 0..30 {
                        go.wait();
                        if turn % 3 == thread {
                            read();
                            last.lock().expect("lock")[thread] = FAVOURITE.get();
                        }
                    }
                });
            }
        });
        let mut slots = last.into_inner().expect("places");
        slots.sort_unstable();
        assert!(slots.windows(2).all(|two| two[0] != two[1]), "{slots:?}");
        assert_eq!(lock.readers().count(), 0);
        drop(lock.try_write().expect("write").expect("nobody reads"));
    }
}
