//! Mailbox: one letter and a full/empty flag in memory that two unlike processors see.
//!
//! The classic two variables. Of the flag's two values each side only ever makes the other:
//!
//! | flag | who may act | what it does | how it ends |
//! |---|---|---|---|
//! | 0 empty | the poster | writes length, kind, number and bytes of the letter | stores 1, with release |
//! | 1 full | the fetcher | copies the letter out | stores 0, with release |
//!
//! So there is no state in which a killed process leaves the other waiting for it: a poster that dies
//! before its store has posted nothing, and its successor writes over what it began; a fetcher that
//! dies before its store has taken nothing, and its successor finds the letter again (its number tells whether
//! it was dealt with). No instruction beyond loads, stores and barriers is needed: processors
//! on one bus share a mailbox even where no atomic exchange crosses it.
//!
//! One poster and one fetcher at a time: who may be which is agreed on outside.
//!
//! # Layout, version 1
//!
//! Little-endian 32-bit words, no pointers, nothing whose size depends on the processor.
//! `include/wigwag_mailbox.h` has the same for C.
//!
//! | offset | word | written by |
//! |---|---|---|
//! | 0 | magic, the bytes `WBOX`, last of all at set-up | creator |
//! | 4 | version, 1 | creator |
//! | 8 | capacity: bytes of the longest letter, a multiple of 4 | creator |
//! | 12..64 | zero | |
//! | 64 | **flag**: 0 empty, 1 full | both, as above |
//! | 68 | length of the letter in bytes | poster |
//! | 72 | kind of the letter, the program's own | poster |
//! | 76 | number of the letter, counts up and wraps | poster |
//! | 80 | 1 while the fetcher sleeps and wants the bell | fetcher |
//! | 84 | 1 while the poster sleeps and wants the bell | poster |
//! | 88..128 | zero | |
//! | 128.. | **letter**, in whole words: the last is filled with zeros | poster |
//!
//! # Example
//!
//! ```
//! use wigwag_mailbox::{Mailbox, Polled, size_for};
//!
//! #[repr(align(64))]
//! struct Memory([u8; size_for(64)]);
//! let mut memory = Memory([0; size_for(64)]);
//! // SAFETY: the memory outlives the mailbox and nobody else touches it.
//! let mailbox = unsafe { Mailbox::format(memory.0.as_mut_ptr(), memory.0.len(), 64) }?;
//!
//! mailbox.post(7, b"all is well", &Polled::new(1000))?;
//! let mut letter = [0; 64];
//! let fetched = mailbox.fetch(&mut letter, &Polled::new(1000))?;
//! assert_eq!((fetched.kind, &letter[..fetched.length]), (7, &b"all is well"[..]));
//! # Ok::<(), wigwag_mailbox::Fault>(())
//! ```
#![no_std]

#[cfg(loom)]
extern crate std;

/// The word a doorbell waits on.
#[cfg(not(loom))]
pub use core::sync::atomic::AtomicU32 as Word;
#[cfg(loom)]
pub use loom::sync::atomic::AtomicU32 as Word;

mod doorbell;
mod fault;
mod words;

pub use doorbell::{Called, Doorbell, Polled, Side};
pub use fault::Fault;

use words::Words;

#[cfg(loom)]
#[doc(hidden)]
pub use words::forget;

/// Where the letter begins, in bytes: the size of everything else.
pub const HEADER: usize = 128;

const MAGIC: u32 = u32::from_le_bytes(*b"WBOX");
const VERSION: u32 = 1;

// Indices of 32-bit words.
const MAGIC_AT: usize = 0;
const VERSION_AT: usize = 1;
const CAPACITY_AT: usize = 2;
const FLAG_AT: usize = 16;
const LENGTH_AT: usize = 17;
const KIND_AT: usize = 18;
const NUMBER_AT: usize = 19;
const FETCHER_SLEEPS_AT: usize = 20;
const POSTER_SLEEPS_AT: usize = 21;
const LETTER_AT: usize = HEADER / 4;

const EMPTY: u32 = 0;
const FULL: u32 = 1;

/// The bytes of memory that a mailbox for letters of up to `capacity` bytes takes.
#[must_use]
pub const fn size_for(capacity: usize) -> usize {
    HEADER + capacity.next_multiple_of(4)
}

/// The first bytes of an empty mailbox for letters of up to `capacity` bytes, for whoever writes a file before others map it:
/// behind them come [`size_for`]` - `[`HEADER`] bytes of any value. `None` when `capacity` is more than 32 bits can count.
#[must_use]
pub const fn header(capacity: usize) -> Option<[u8; HEADER]> {
    let rounded = capacity.next_multiple_of(4);
    if rounded as u64 > u32::MAX as u64 {
        return None;
    }
    let words = [MAGIC, VERSION, rounded as u32];
    let mut header = [0; HEADER];
    let mut at = 0;
    while at < 4 * words.len() {
        header[at] = words[at / 4].to_le_bytes()[at % 4];
        at += 1;
    }
    Some(header)
}

/// Where a side says that it sleeps, and which flag lets it go on.
const fn of(side: Side) -> (usize, u32) {
    match side {
        Side::Poster => (POSTER_SLEEPS_AT, EMPTY),
        Side::Fetcher => (FETCHER_SLEEPS_AT, FULL),
    }
}

/// What came with a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Letter {
    /// Its bytes, now in the buffer.
    pub length: usize,
    /// The program's own word.
    pub kind: u32,
    /// Counts up with each letter and wraps; the same number twice is the same letter.
    pub number: u32,
}

/// A mailbox in memory that outlives it.
#[derive(Debug)]
pub struct Mailbox {
    words: Words,
    capacity: u32,
}

impl Mailbox {
    /// Makes an empty mailbox for letters of up to `capacity` bytes, whatever the memory held.
    ///
    /// # Errors
    /// [`Fault::Memory`] when `memory` is not aligned to 4 or `size` is less than [`size_for`].
    ///
    /// # Safety
    /// `memory` is valid for reads and writes of `size` bytes as long as the mailbox lives. It is
    /// touched meanwhile only through mailboxes, by other processors too, and by no Rust reference.
    pub unsafe fn format(memory: *mut u8, size: usize, capacity: usize) -> Result<Self, Fault> {
        let rounded = u32::try_from(capacity.next_multiple_of(4)).map_err(|_| Fault::Memory)?;
        if size < size_for(capacity) {
            return Err(Fault::Memory);
        }
        // SAFETY: the caller's promise.
        let words = unsafe { Words::new(memory, size) }.ok_or(Fault::Memory)?;
        for at in 0..LETTER_AT {
            words.store(at, 0);
        }
        words.store(VERSION_AT, VERSION);
        words.store(CAPACITY_AT, rounded);
        // A reader that sees the magic sees all of the above.
        words.publish(MAGIC_AT, MAGIC);
        Ok(Mailbox {
            words,
            capacity: rounded,
        })
    }

    /// Finds a mailbox that another has made.
    ///
    /// # Errors
    /// [`Fault::NotYet`] while the magic is missing (the creator may be at it), [`Fault::Version`],
    /// [`Fault::Memory`] when it claims more than `size` bytes.
    ///
    /// # Safety
    /// As for [`format`](Mailbox::format).
    pub unsafe fn attach(memory: *mut u8, size: usize) -> Result<Self, Fault> {
        if size < HEADER {
            return Err(Fault::Memory);
        }
        // SAFETY: the caller's promise.
        let words = unsafe { Words::new(memory, size) }.ok_or(Fault::Memory)?;
        if words.observe(MAGIC_AT) != MAGIC {
            return Err(Fault::NotYet);
        }
        match words.load(VERSION_AT) {
            VERSION => {}
            other => return Err(Fault::Version(other)),
        }
        let capacity = words.load(CAPACITY_AT);
        if capacity % 4 != 0 || capacity as usize > size - HEADER {
            return Err(Fault::Memory);
        }
        Ok(Mailbox { words, capacity })
    }

    /// The longest letter in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Whether a letter lies in it; old by the time it is known.
    ///
    /// # Errors
    /// [`Fault::Corrupt`] when the flag is neither.
    pub fn is_full(&self) -> Result<bool, Fault> {
        match self.words.observe(FLAG_AT) {
            EMPTY => Ok(false),
            FULL => Ok(true),
            _ => Err(Fault::Corrupt),
        }
    }

    /// Puts a letter in if it is empty, and rings where the fetcher sleeps.
    ///
    /// # Errors
    /// [`Fault::Full`]; [`Fault::TooBig`]; [`Fault::Corrupt`] when the flag is neither value.
    pub fn try_post(&self, kind: u32, letter: &[u8], bell: &impl Doorbell) -> Result<(), Fault> {
        if letter.len() > self.capacity() {
            return Err(Fault::TooBig);
        }
        if self.is_full()? {
            return Err(Fault::Full);
        }
        self.words.copy_in(LETTER_AT, letter);
        self.words.store(LENGTH_AT, letter.len() as u32);
        self.words.store(KIND_AT, kind);
        self.words
            .store(NUMBER_AT, self.words.load(NUMBER_AT).wrapping_add(1));
        self.hand_over(FULL, FETCHER_SLEEPS_AT, Side::Fetcher, bell);
        Ok(())
    }

    /// Copies a letter out if there is one, leaves the mailbox empty, and rings where the poster sleeps.
    ///
    /// # Errors
    /// [`Fault::Empty`]; [`Fault::TooBig`] when it is longer than `buffer`, and then it stays;
    /// [`Fault::Corrupt`] when the flag or the length cannot be.
    pub fn try_fetch(&self, buffer: &mut [u8], bell: &impl Doorbell) -> Result<Letter, Fault> {
        let letter = self.peek(buffer)?;
        self.hand_over(EMPTY, POSTER_SLEEPS_AT, Side::Poster, bell);
        Ok(letter)
    }

    /// Copies a letter out and leaves it there.
    ///
    /// # Errors
    /// As for [`try_fetch`](Mailbox::try_fetch).
    pub fn peek(&self, buffer: &mut [u8]) -> Result<Letter, Fault> {
        if !self.is_full()? {
            return Err(Fault::Empty);
        }
        // Read once: what is checked is what is used, even if the other side writes meanwhile.
        let length = self.words.load(LENGTH_AT) as usize;
        if length > self.capacity() {
            return Err(Fault::Corrupt);
        }
        let room = buffer.get_mut(..length).ok_or(Fault::TooBig)?;
        self.words.copy_out(LETTER_AT, room);
        Ok(Letter {
            length,
            kind: self.words.load(KIND_AT),
            number: self.words.load(NUMBER_AT),
        })
    }

    /// Takes the letter out without looking at it, and rings where the poster sleeps.
    ///
    /// # Errors
    /// [`Fault::Empty`]; [`Fault::Corrupt`] when the flag is neither value.
    pub fn discard(&self, bell: &impl Doorbell) -> Result<(), Fault> {
        if !self.is_full()? {
            return Err(Fault::Empty);
        }
        self.hand_over(EMPTY, POSTER_SLEEPS_AT, Side::Poster, bell);
        Ok(())
    }

    /// Wants the bell for `side` at the next change, as one who sleeps, until that side has waited in
    /// [`post`](Mailbox::post) or [`fetch`](Mailbox::fetch). Whether that side can go on already, so that no bell will come.
    ///
    /// # Errors
    /// [`Fault::Corrupt`] when the flag is neither value.
    pub fn listen(&self, side: Side) -> Result<bool, Fault> {
        let (sleeps_at, flag) = of(side);
        self.words.store(sleeps_at, 1);
        words::fence();
        self.is_full().map(|full| u32::from(full) == flag)
    }

    /// Rings for `side` if it sleeps though it could go on: what somebody did not live to do who died between handing over
    /// and ringing. For his successor, when he begins.
    ///
    /// # Errors
    /// [`Fault::Corrupt`] when the flag is neither value.
    pub fn ring_again(&self, side: Side, bell: &impl Doorbell) -> Result<(), Fault> {
        let (sleeps_at, flag) = of(side);
        let goes_on = u32::from(self.is_full()?) == flag;
        words::fence();
        if goes_on && self.words.load(sleeps_at) != 0 && !words::mutated("again") {
            bell.ring(side, self.words.word(FLAG_AT));
        }
        Ok(())
    }

    /// Puts a letter in, waiting for the mailbox to be empty as long as `bell` does.
    ///
    /// # Errors
    /// As for [`try_post`](Mailbox::try_post); [`Fault::Full`] when `bell` gave up.
    pub fn post(&self, kind: u32, letter: &[u8], bell: &impl Doorbell) -> Result<(), Fault> {
        self.until(
            || self.try_post(kind, letter, bell),
            Fault::Full,
            Side::Poster,
            bell,
        )
    }

    /// Copies a letter out, waiting for one as long as `bell` does.
    ///
    /// # Errors
    /// As for [`try_fetch`](Mailbox::try_fetch); [`Fault::Empty`] when `bell` gave up.
    pub fn fetch(&self, buffer: &mut [u8], bell: &impl Doorbell) -> Result<Letter, Fault> {
        self.until(
            || self.try_fetch(buffer, bell),
            Fault::Empty,
            Side::Fetcher,
            bell,
        )
    }

    /// Stores the flag and rings for a sleeper. The fence stands between our store of the flag and our load of
    /// the sleeper's mark; the sleeper has one between its mark and its look at the flag: one of
    /// the two sees the other, so no bell is missed.
    fn hand_over(&self, flag: u32, sleeps_at: usize, side: Side, bell: &impl Doorbell) {
        self.words.publish(FLAG_AT, flag);
        words::fence();
        if self.words.load(sleeps_at) != 0 {
            bell.ring(side, self.words.word(FLAG_AT));
        }
    }

    fn until<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Fault>,
        not_yet: Fault,
        side: Side,
        bell: &impl Doorbell,
    ) -> Result<T, Fault> {
        let other = match side {
            Side::Poster => Side::Fetcher,
            Side::Fetcher => Side::Poster,
        };
        let (sleeps_at, _) = of(side);
        // What makes this side wait lets the other go on.
        let (other_sleeps_at, flag) = of(other);
        let mut turn = 0;
        loop {
            match attempt() {
                Err(fault) if fault == not_yet => {}
                done => return done,
            }
            self.words.store(sleeps_at, 1);
            words::fence();
            let mut called = Called::Again;
            if self.words.load(FLAG_AT) == flag {
                if self.words.load(other_sleeps_at) != 0 {
                    // It could go on and sleeps: whoever should have rung may have died before.
                    bell.ring(other, self.words.word(FLAG_AT));
                }
                called = bell.wait(side, self.words.word(FLAG_AT), flag.to_le(), turn);
            }
            self.words.store(sleeps_at, 0);
            if called == Called::GiveUp {
                // It may have come in the last instant.
                return attempt();
            }
            turn = turn.saturating_add(1);
        }
    }
}
