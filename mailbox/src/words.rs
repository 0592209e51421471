//! Words: memory as little-endian 32-bit words that another processor may read and write at any time.

use core::sync::atomic::Ordering;

use crate::Word;
use place::Place;

/// The order of a store that hands over.
fn publish_order() -> Ordering {
    if mutated("publish") {
        Ordering::Relaxed
    } else {
        Ordering::Release
    }
}

/// The order of the load that takes over.
fn observe_order() -> Ordering {
    if mutated("observe") {
        Ordering::Relaxed
    } else {
        Ordering::Acquire
    }
}

/// Whether a model is to fail because this one thing is weakened; never outside models.
pub(crate) fn mutated(_what: &str) -> bool {
    #[cfg(loom)]
    return std::env::var("WIGWAG_MUTATION").is_ok_and(|mutation| mutation == _what);
    #[cfg(not(loom))]
    false
}

/// A row of words. Every access is atomic and of one width, so a foreign writer makes values
/// meaningless, never the program undefined.
#[derive(Debug)]
pub(crate) struct Words(Place);

impl Words {
    /// `None` when the memory is not aligned to a word.
    ///
    /// # Safety
    /// `memory` is valid for reads and writes of `size` bytes as long as this lives, and nobody holds a
    /// Rust reference to it that is not to atomics.
    pub(crate) unsafe fn new(memory: *mut u8, size: usize) -> Option<Self> {
        // SAFETY: the caller's promise.
        unsafe { Place::new(memory, size) }.map(Words)
    }

    /// The word itself, for a doorbell that waits on it.
    pub(crate) fn word(&self, at: usize) -> &Word {
        self.0.word(at)
    }

    pub(crate) fn load(&self, at: usize) -> u32 {
        u32::from_le(self.word(at).load(Ordering::Relaxed))
    }

    pub(crate) fn store(&self, at: usize, value: u32) {
        self.word(at).store(value.to_le(), Ordering::Relaxed);
    }

    /// Loads a word and with it all that was stored before it was published.
    pub(crate) fn observe(&self, at: usize) -> u32 {
        u32::from_le(self.word(at).load(observe_order()))
    }

    /// Stores a word after everything before it.
    pub(crate) fn publish(&self, at: usize, value: u32) {
        self.word(at).store(value.to_le(), publish_order());
    }

    /// Writes bytes in whole words; the last is filled with zeros.
    pub(crate) fn copy_in(&self, at: usize, bytes: &[u8]) {
        for (index, chunk) in bytes.chunks(4).enumerate() {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            // The bytes keep their order in memory on any processor.
            self.word(at + index)
                .store(u32::from_ne_bytes(word), Ordering::Relaxed);
        }
    }

    pub(crate) fn copy_out(&self, at: usize, bytes: &mut [u8]) {
        for (index, chunk) in bytes.chunks_mut(4).enumerate() {
            let word = self.word(at + index).load(Ordering::Relaxed).to_ne_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// No load after it is done before any store ahead of it.
pub(crate) fn fence() {
    if mutated("fence") {
        return;
    }
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
    #[cfg(not(loom))]
    core::sync::atomic::fence(Ordering::SeqCst);
}

#[cfg(not(loom))]
mod place {
    use core::ptr::NonNull;

    use crate::Word;

    /// Where the words lie: memory somebody else has mapped.
    #[derive(Debug)]
    pub(super) struct Place {
        first: NonNull<Word>,
        count: usize,
    }

    // SAFETY: all access goes through atomics.
    unsafe impl Send for Place {}
    // SAFETY: as above.
    unsafe impl Sync for Place {}

    impl Place {
        /// # Safety
        /// See [`Words::new`](super::Words::new).
        pub(super) unsafe fn new(memory: *mut u8, size: usize) -> Option<Self> {
            let first = NonNull::new(memory.cast::<Word>()).filter(|first| first.is_aligned())?;
            Some(Place {
                first,
                count: size / 4,
            })
        }

        #[inline]
        pub(super) fn word(&self, at: usize) -> &Word {
            assert!(at < self.count);
            // SAFETY: `at` is inside the memory that `new` was promised, which is aligned and outlives self.
            unsafe { self.first.add(at).as_ref() }
        }
    }
}

#[cfg(loom)]
mod place {
    use std::boxed::Box;
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use crate::Word;

    /// Where the words lie in a model: loom's atomics have no place in raw memory, so each address stands
    /// for a row of its own, shared by all who attach to it within one run of the model.
    #[derive(Debug, Clone)]
    pub(super) struct Place(Arc<Box<[Word]>>);

    // loom runs all threads of a model on the one thread that checks it: models that are checked side by side share nothing.
    std::thread_local! {
        static ROWS: RefCell<BTreeMap<usize, Place>> = const { RefCell::new(BTreeMap::new()) };
    }

    impl Place {
        pub(super) unsafe fn new(memory: *mut u8, size: usize) -> Option<Self> {
            let new = || Place(Arc::new((0..size / 4).map(|_| Word::new(0)).collect()));
            Some(
                ROWS.with_borrow_mut(|rows| {
                    rows.entry(memory as usize).or_insert_with(new).clone()
                }),
            )
        }

        pub(super) fn word(&self, at: usize) -> &Word {
            &self.0[at]
        }
    }

    /// Forgets all rows, at the start of each run of a model.
    pub fn forget() {
        ROWS.with_borrow_mut(BTreeMap::clear);
    }
}

#[cfg(loom)]
pub use place::forget;
