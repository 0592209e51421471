//! Once cell: a value made by whoever needs it first, once for all processes; if he dies at it, by the next.
//!
//! | word | state |
//! |---|---|
//! | 0 | empty |
//! | a holder | that thread makes the value; if it is dead, whoever finds that makes it instead |
//! | all ones | the value is there and never changes again |
//!
//! A maker that is killed half-way has changed nothing that anybody sees; what it did *outside* the cell must bear
//! being done twice. For initialisation without a value use `OnceCell<()>`.
//!
//! ```
//! use wigwag::gate::OnceCell;
//!
//! static STARTED: OnceCell<u64> = OnceCell::new();
//! let first = *STARTED.get_or_init(|| 42)?;
//! assert_eq!((first, *STARTED.get_or_init(|| 43)?), (42, 42));
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `pthread_once(3)`.

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;
#[cfg(not(loom))]
use std::mem::offset_of;

use super::watch::{Watch, Woken};
use crate::error::{Error, Kind, Result};
#[cfg(not(loom))]
use crate::shared::{Layout, Plain, Shared, Sort, Visit, layout};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering, const_unless_loom, mutated};
use crate::sys::futex;
use crate::sys::holder::Holder;
use crate::wait::{Deadline, Wait};

const EMPTY: u64 = 0;
const DONE: u64 = u64::MAX;

/// A value that is made once.
#[doc(alias("Once", "pthread_once_t"))]
#[repr(C)]
pub struct OnceCell<T> {
    state: AtomicU64,
    /// Counts ends of making, for those who sleep until one.
    ends: AtomicU32,
    _gap: u32,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written by one thread, before the state says so, and only read afterwards; it is moved from
// the thread that made it to the one that drops it.
unsafe impl<T: Send + Sync> Sync for OnceCell<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for OnceCell<T> {}

// SAFETY: repr(C); words of which any value is one of their states, and plain data that does not change once it is there.
#[cfg(not(loom))]
unsafe impl<T: Plain> Shared for OnceCell<T> {
    const LAYOUT: Layout =
        layout::<Self>("OnceCell").field("value", offset_of!(Self, value), T::LAYOUT);
    const WARY: bool = false;
    const GATES: bool = true;
    const ZEROS: bool = true;

    fn survey(&self, path: &str, visit: &mut Visit<'_>) {
        visit(path, Sort::OnceCell, std::ptr::from_ref(&self.state).cast());
    }
}

impl<T> OnceCell<T> {
    const_unless_loom! {
        /// An empty one.
        #[must_use]
        pub const fn new() -> Self {
            OnceCell {
                state: AtomicU64::new(EMPTY),
                ends: AtomicU32::new(0),
                _gap: 0,
                value: UnsafeCell::new(MaybeUninit::uninit()),
            }
        }
    }

    /// The value, if it is there.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        let order = if mutated("once-acquire") {
            Ordering::Relaxed
        } else {
            Ordering::Acquire
        };
        // SAFETY: the state says that it was written, and it is not changed any more.
        (self.state.load(order) == DONE).then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// The value; made now if it is not there. Of several at once, one makes it and the others wait.
    ///
    /// # Errors
    /// `Deadlock` when `make` asks for the same cell.
    #[inline]
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> Result<&T> {
        self.get_or_init_with(Wait::Forever, make)
    }

    /// The same, waiting for another maker as long as told.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`; otherwise as for [`get_or_init`](Self::get_or_init).
    pub fn get_or_init_with(&self, wait: Wait, make: impl FnOnce() -> T) -> Result<&T> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        self.claim(wait)?;
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let making = Making(self, Holder::thread());
        let value = make();
        if making.1 != Holder::thread() {
            // The child of a fork in `make`: its parent is the maker.
            let make: Box<dyn FnOnce() -> T + '_> = Box::new(move || value);
            return self.get_or_init_with(wait, make);
        }
        // SAFETY: this thread is the maker, and nobody reads before the state says so.
        unsafe { (*self.value.get()).write(value) };
        let order = if mutated("once-release") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        self.state.store(DONE, order);
        drop(making);
        // SAFETY: just written.
        Ok(unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// For models: becomes the maker, unless there is a value, and makes nothing.
    #[cfg(loom)]
    #[doc(hidden)]
    pub fn begin_and_never_end(&self) {
        let _ = self.claim(Wait::Forever);
    }

    /// Returns when the value is there or this thread is to make it.
    #[cold]
    fn claim(&self, wait: Wait) -> Result<()> {
        let me = Holder::thread();
        let deadline = Deadline::from(wait);
        let mut watch = Watch::until(deadline);
        loop {
            let ends = self.ends.load(Ordering::Acquire);
            let state = self.state.load(Ordering::Acquire);
            let maker = Holder::in_word(state);
            match state {
                DONE => return Ok(()),
                EMPTY if self.take(EMPTY, me) => return Ok(()),
                EMPTY => continue,
                _ if maker == Some(me) => {
                    let why = "its value asks for itself";
                    return Err(Error::new(Kind::Deadlock, "make", "once cell", "", why));
                }
                _ => {}
            }
            match watch.sleep(&self.ends, ends) {
                Woken::Perhaps => {}
                looks => {
                    if maker.is_none_or(|maker| !maker.thread_is_alive()) && self.take(state, me) {
                        return Ok(());
                    }
                    let error = |kind, why| Err(Error::new(kind, "make", "once cell", "", why));
                    match looks {
                        Woken::TimedOut if wait == Wait::Not => {
                            return error(Kind::WouldBlock, "another thread is making its value");
                        }
                        Woken::TimedOut => return error(Kind::TimedOut, "timed out"),
                        Woken::Gone => {
                            return error(Kind::Corrupt, "the memory it lies in is gone");
                        }
                        Woken::Perhaps | Woken::LookAround => {}
                    }
                }
            }
        }
    }

    fn take(&self, from: u64, me: Holder) -> bool {
        if mutated("once-inherit") {
            self.state.store(me.word(), Ordering::Release);
            return true;
        }
        self.state
            .compare_exchange(from, me.word(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

/// The end of making, by a value or a panic.
struct Making<'a, T>(&'a OnceCell<T>, Holder);

impl<T> Drop for Making<'_, T> {
    fn drop(&mut self) {
        let Making(cell, maker) = *self;
        if maker != Holder::thread() {
            return;
        }
        if cell.state.load(Ordering::Relaxed) != DONE {
            cell.state.store(EMPTY, Ordering::Release);
        }
        cell.ends.fetch_add(1, Ordering::Release);
        if !mutated("once-wake") {
            futex::wake(&cell.ends, u32::MAX);
        }
    }
}

impl<T> Drop for OnceCell<T> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<T>() && self.get().is_some() {
            // SAFETY: it is there, and nobody else can reach it.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceCell").field(&self.get()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_panic_leaves_it_empty_and_a_value_is_dropped_once() {
        let cell = OnceCell::new();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = cell.get_or_init(|| panic!("on purpose"));
        }));
        assert!(panicked.is_err() && cell.get().is_none());
        let value = Arc::new(());
        assert!(Arc::ptr_eq(
            cell.get_or_init(|| value.clone()).unwrap(),
            &value
        ));
        drop(cell);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn a_value_that_asks_for_itself_is_an_error() {
        let cell = OnceCell::new();
        let inner = cell.get_or_init(|| {
            cell.get_or_init(|| unreachable!())
                .map(|_| ())
                .unwrap_err()
                .kind()
        });
        assert_eq!(*inner.unwrap(), Kind::Deadlock);
    }

    #[test]
    fn who_ended_while_making_is_replaced() {
        let cell = Arc::new(OnceCell::new());
        let other = cell.clone();
        std::thread::spawn(move || {
            other.claim(Wait::Forever).unwrap(); // and never makes it
        })
        .join()
        .unwrap();
        assert_eq!(*cell.get_or_init(|| 7).unwrap(), 7);
    }
}
