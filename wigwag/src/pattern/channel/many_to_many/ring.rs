//! Ring: the slots of values, each with its word before it.

use std::ptr::NonNull;

use super::super::region::Region;
use super::claim::{self, Cursor, Slots, Words, undo};
use super::queue::{Attempt, Queue};
use super::word::{Owner, Word};
use crate::sys::atomic::{AtomicU64, Ordering};

/// Where the slots are.
#[derive(Debug, Clone, Copy)]
struct Row {
    first: NonNull<u8>,
    stride: usize,
}

impl Slots for Row {
    #[inline(always)]
    fn word(&self, index: u64) -> &AtomicU64 {
        // SAFETY: a slot begins with its word, aligned; the index is less than the number of slots that were mapped.
        unsafe {
            self.first
                .byte_add(index as usize * self.stride)
                .cast()
                .as_ref()
        }
    }
}

/// The ring of values of one size.
#[derive(Debug)]
pub struct Ring {
    cursor: Cursor,
    row: Row,
    /// From the word of a slot to its value.
    offset: usize,
    words: NonNull<Words>,
}

impl Ring {
    #[inline(always)]
    fn words(&self) -> &Words {
        // SAFETY: they lie in the region, which the seat of the end keeps mapped.
        unsafe { self.words.as_ref() }
    }
}

fn position(attempt: claim::Attempt) -> Option<u64> {
    match attempt {
        claim::Attempt::Claimed(position) => Some(position),
        claim::Attempt::Blocked(..) => None,
    }
}

impl Queue for Ring {
    type Place = u64;

    fn of(region: &Region, owner: Owner, (stride, offset): (usize, usize)) -> Self {
        let first = region.ring();
        Ring {
            cursor: Cursor::new(region.plan().capacity, owner),
            row: Row { first, stride },
            offset,
            words: NonNull::from(region.control::<Words>()),
        }
    }

    fn guest(&self) -> Self {
        Ring {
            cursor: self.cursor.guest(),
            ..*self
        }
    }

    #[inline(always)]
    fn claim_free(&mut self, _: usize) -> Attempt<u64> {
        // SAFETY: as above; the borrow must not be of all of `self`.
        let words = unsafe { self.words.as_ref() };
        Ok(position(self.cursor.claim_free(&self.row, words)))
    }

    #[inline(always)]
    fn claim_full(&mut self) -> Attempt<u64> {
        // SAFETY: as above.
        let words = unsafe { self.words.as_ref() };
        Ok(position(self.cursor.claim_full(&self.row, words)))
    }

    fn claim_oldest(&self) -> Attempt<u64> {
        let mut cursor = self.cursor.at_head();
        Ok(position(cursor.claim_full(&self.row, self.words())))
    }

    #[inline(always)]
    fn publish(&self, position: u64) {
        self.cursor.publish(&self.row, position);
    }

    #[inline(always)]
    fn free(&self, position: u64) {
        self.cursor.free(&self.row, position);
    }

    fn put_back(&self, position: u64) {
        self.cursor.put_back(&self.row, self.words(), position);
    }

    fn bury(&self, seat: usize, is_dead: impl Fn() -> bool) {
        for index in 0..self.cursor.slots() {
            let word = Word(self.row.word(index).load(Ordering::Acquire));
            if word.undone().is_some() && word.seat() == seat && is_dead() {
                undo(&self.row, self.words(), index, word);
            }
        }
        // Who was killed when a value was full again, and this not yet counted, is made up for.
        self.words().returned.0.fetch_add(1, Ordering::AcqRel);
    }

    #[inline(always)]
    fn bytes(&self, position: u64) -> *mut u8 {
        let index = self.cursor.index(position) as usize;
        // SAFETY: inside the slot.
        unsafe {
            self.row
                .first
                .byte_add(index * self.row.stride + self.offset)
                .as_ptr()
        }
    }

    fn level(&self) -> u64 {
        let head = self.words().head.0.load(Ordering::Relaxed);
        let tail = self.words().tail.0.load(Ordering::Relaxed);
        tail.saturating_sub(head).min(self.cursor.slots())
    }
}
