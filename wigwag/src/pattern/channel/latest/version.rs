//! Version: which buffer holds the newest value, and whether one that was copied stayed whole meanwhile.
//!
//! | word | written by | says |
//! |---|---|---|
//! | newest | sender | version *n* is complete and lies in this buffer; stored after the last byte of it |
//! | tag of a buffer | sender | whose bytes are in it, or are being written; stored before the first byte of them |
//!
//! So a copy from a buffer is whole if its tag, loaded after the copy, names a version that *newest* had reached before it. That is a
//! sequence lock for each buffer (Boehm, "Can seqlocks get along with programming language memory models?", 2012, for the fences);
//! a reader copies again only when the sender has come round to the very buffer that it was copying.
//!
//! A sender who is killed leaves *newest* and its buffer as they were. Who comes after him writes the same version
//! again, perhaps elsewhere, and therefore first [clears](Tag::clear) the tags of all other buffers.

use crate::sys::atomic::{AtomicU64, Ordering, fence, mutated};

/// A channel has at most so many buffers.
pub const MOST: u64 = 1 << BITS;
/// Bits of the word that name the buffer; the others count on for decades.
const BITS: u32 = 6;

/// The newest version and where it lies, in shared memory.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Newest(AtomicU64);

impl Newest {
    /// Of something that was never written.
    #[cfg_attr(not(loom), allow(dead_code))]
    pub fn new() -> Self {
        Newest(AtomicU64::new(0))
    }

    /// The newest version, 0 for none, and its buffer, less than [`MOST`].
    #[inline(always)]
    pub fn get(&self) -> (u64, u64) {
        let word = self.0.load(when("latest-observe", Ordering::Acquire));
        (word >> BITS, word % MOST)
    }

    /// The newest version alone.
    #[inline(always)]
    pub fn newest(&self) -> u64 {
        self.get().0
    }

    /// Makes this version, which lies in this buffer, the newest.
    #[inline(always)]
    pub fn publish(&self, version: u64, buffer: u64) {
        let word = version << BITS | buffer;
        self.0
            .store(word, when("latest-publish", Ordering::Release));
    }
}

/// The word of a buffer, in shared memory.
#[derive(Debug, Clone, Copy)]
pub struct Tag<'a>(pub &'a AtomicU64);

impl Tag<'_> {
    /// What the sender calls before he writes a version.
    #[inline(always)]
    pub fn begin(self, version: u64) {
        if !mutated("latest-tag") {
            self.0.store(version, Ordering::Relaxed);
        }
        // What he writes now may not be seen before the tag.
        if !mutated("latest-begin") {
            fence(Ordering::Release);
        }
    }

    /// What was begun here is nothing: for a new sender, before he publishes.
    pub fn clear(self) {
        if !mutated("latest-clear") {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    fn get(self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn after_reading(self) -> u64 {
        if !mutated("latest-check") {
            fence(Ordering::Acquire);
        }
        self.0.load(Ordering::Relaxed)
    }
}

/// A buffer at which a reader stays, because its sender will leave it alone, and the least version that it takes from there.
pub type Stay = (u64, u64);

/// How an attempt to copy ended.
#[derive(Debug)]
pub enum Attempt<R> {
    /// With this version.
    Whole(u64, R),
    /// The sender came to it meanwhile.
    Overwritten,
    /// What is in the buffer is not complete, or too old.
    Unfinished,
    /// Nothing was ever sent.
    Nothing,
    /// The buffer is none: a process has written where it must not.
    Impossible,
}

/// Copies the newest version by `copy`, or, staying at a buffer, what is in that; `tag` gives the word of a buffer that there is.
#[inline(always)]
pub fn attempt<'t, R>(
    newest: &Newest,
    stay: Option<Stay>,
    tag: impl Fn(u64) -> Option<Tag<'t>>,
    copy: impl FnOnce(u64) -> R,
) -> Attempt<R> {
    let (mut version, mut buffer) = newest.get();
    if version == 0 {
        return Attempt::Nothing;
    }
    if let Some((at, _)) = stay {
        buffer = at;
    }
    let Some(tag) = tag(buffer) else {
        return Attempt::Impossible;
    };
    if let Some((_, least)) = stay {
        let there = tag.get();
        let finished = there <= version || mutated("latest-finished");
        if !finished || there < least.max(1) {
            return Attempt::Unfinished;
        }
        version = there;
    }
    let copied = copy(buffer);
    if tag.after_reading() != version {
        return Attempt::Overwritten;
    }
    Attempt::Whole(version, copied)
}

/// `ordering`, or none in a model that weakens `what`.
#[inline(always)]
fn when(what: &str, ordering: Ordering) -> Ordering {
    if mutated(what) {
        Ordering::Relaxed
    } else {
        ordering
    }
}
