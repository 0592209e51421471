//! Record: what one 64-bit word says about a cell of a ring of bytes: which record began there last, how long it is, and who has it.
//!
//! | bits | meaning |
//! |---|---|
//! | 0–1 | done, claimed by a sender, full, or held by a receiver |
//! | 2–9 | the seat of who claimed or holds it |
//! | 10–17 | which sitter of that seat, so that a dead one's claim is not taken for that of its successor |
//! | 18–x | the bytes of the message; all ones of a place in the line, whose length nobody knows yet |
//! | x–63 | the lap: the position of the record, divided by the number of cells, plus one |
//!
//! `x` is such that a length up to the capacity of the ring has room. The laps of a cell only grow, so a word never
//! comes again. One of an earlier lap than that of the position at which one looks says that nothing has begun there yet:
//! a word of zeros is a cell that has never been used.
//!
//! | from | to | by |
//! |---|---|---|
//! | any of an earlier lap | claimed r | a sender (compare and swap) |
//! | any of an earlier lap | in line r | a sender for whose message there is no room yet (compare and swap) |
//! | in line r | claimed r | that sender, when there is room |
//! | in line r | done r, of one cell | that sender, who waits no longer; of a dead one anybody |
//! | claimed r | full r | the claimant, who has written the message |
//! | claimed r | done r | the claimant, who thought better of it; of a dead one anybody |
//! | full r | held r | a receiver, or a sender that overwrites (compare and swap) |
//! | held r | done r | the holder, who has read the message |
//! | held r | full r | of a dead one anybody: the message is received again |

use super::word::{OWNER_BITS, Owner};

/// A record begins at a multiple of so many bytes.
pub(super) const CELL: u64 = 64;
/// The most bytes of a ring: more leave too few bits for the laps.
pub(super) const MOST: u64 = 1 << 32;

/// In which state a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Done,
    Claimed,
    Full,
    Held,
}

/// What a word says to who knows the size of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record(pub(super) u64);

/// The size of a ring: positions count cells, for ever.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    /// Of the number of cells, the logarithm.
    cells: u32,
}

/// Where the length is.
const LENGTH: u32 = OWNER_BITS;

impl Measure {
    /// That of a ring of so many bytes, a power of two.
    pub(super) fn of(capacity: u64) -> Self {
        debug_assert!(capacity.is_power_of_two() && (CELL..=MOST).contains(&capacity));
        let cells = (capacity / CELL).trailing_zeros();
        Measure { cells }
    }

    /// How many cells it has.
    #[inline(always)]
    pub(super) fn cells(self) -> u64 {
        1 << self.cells
    }

    /// How many bytes.
    #[inline(always)]
    pub(super) fn capacity(self) -> u64 {
        self.cells() * CELL
    }

    /// The cell of a position.
    #[inline(always)]
    pub(super) fn index(self, position: u64) -> u64 {
        position & (self.cells() - 1)
    }

    /// How often the ring has been gone through at a position; 0 is never.
    #[inline(always)]
    pub(super) fn lap(self, position: u64) -> u64 {
        (position >> self.cells).wrapping_add(1)
    }

    /// The cells that a message of so many bytes takes.
    #[inline(always)]
    pub(super) fn size(self, len: usize) -> u64 {
        (len as u64).div_ceil(CELL).max(1)
    }

    /// Where the lap is.
    #[inline(always)]
    fn laps(self) -> u32 {
        // One bit more than the logarithm of the capacity.
        LENGTH + self.cells + CELL.trailing_zeros() + 1
    }

    /// All ones.
    #[inline(always)]
    fn unknown(self) -> u64 {
        2 * self.capacity() - 1
    }

    #[inline(always)]
    fn word(self, position: u64, len: u64, state: State) -> u64 {
        // What is shifted out of a lap does not count.
        self.lap(position) << self.laps() | len << LENGTH | state as u64
    }

    #[inline(always)]
    pub(super) fn done(self, position: u64, len: usize) -> Record {
        Record(self.word(position, len as u64, State::Done))
    }

    #[inline(always)]
    pub(super) fn claimed(self, position: u64, len: usize, owner: Owner) -> Record {
        Record(self.word(position, len as u64, State::Claimed) | owner.bits())
    }

    /// A place in the line of those for whose messages there is no room: nobody claims anything behind it.
    #[inline(always)]
    pub(super) fn in_line(self, position: u64, owner: Owner) -> Record {
        Record(self.word(position, self.unknown(), State::Claimed) | owner.bits())
    }

    #[inline(always)]
    pub(super) fn full(self, position: u64, len: usize) -> Record {
        Record(self.word(position, len as u64, State::Full))
    }

    #[inline(always)]
    pub(super) fn held(self, position: u64, len: usize, owner: Owner) -> Record {
        Record(self.word(position, len as u64, State::Held) | owner.bits())
    }

    /// By how many laps a word is ahead of a position.
    #[inline(always)]
    pub(super) fn ahead(self, record: Record, position: u64) -> i64 {
        let laps = self.laps();
        // The difference of two counters that wrap, with its sign.
        let lap = record.0 & !((1 << laps) - 1);
        (lap.wrapping_sub(self.lap(position) << laps) as i64) >> laps
    }

    /// Whether it is a place in the line.
    #[inline(always)]
    pub(super) fn is_in_line(self, record: Record) -> bool {
        record.state() == State::Claimed && self.raw_len(record) == self.unknown()
    }

    #[inline(always)]
    fn raw_len(self, record: Record) -> u64 {
        record.0 >> LENGTH & self.unknown()
    }

    /// The bytes of the message, unless that is more than there can be.
    #[inline(always)]
    pub(super) fn len(self, record: Record) -> Option<usize> {
        let len = self.raw_len(record);
        (len <= self.capacity()).then_some(len as usize)
    }

    /// What it becomes when a dead one's claim is undone.
    pub(super) fn undone(self, record: Record) -> Option<Record> {
        let lap = record.0 >> self.laps() << self.laps();
        let len = match self.is_in_line(record) {
            true => 0,
            false => self.raw_len(record),
        };
        let state = match record.state() {
            State::Claimed => State::Done,
            State::Held => State::Full,
            State::Done | State::Full => return None,
        };
        Some(Record(lap | len << LENGTH | state as u64))
    }
}

impl Record {
    #[inline(always)]
    pub(super) fn state(self) -> State {
        match self.0 & 3 {
            0 => State::Done,
            1 => State::Claimed,
            2 => State::Full,
            _ => State::Held,
        }
    }

    /// The seat of who claimed or holds it.
    pub(super) fn seat(self) -> usize {
        Owner::seat(self.0)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// From the smallest to the largest.
    fn measures() -> impl Iterator<Item = Measure> {
        (6..=32).map(|bits| Measure::of(1 << bits))
    }

    #[test]
    fn a_word_says_what_was_put_into_it() {
        let owner = Owner::new(59, 0x1_23);
        for measure in measures() {
            let position = 7 * measure.cells() + 3;
            for len in [0, 1, measure.capacity() as usize] {
                for (record, state) in [
                    (measure.claimed(position, len, owner), State::Claimed),
                    (measure.held(position, len, owner), State::Held),
                ] {
                    assert_eq!((record.state(), record.seat()), (state, 59));
                    assert_eq!(measure.len(record), Some(len));
                    assert_eq!(measure.ahead(record, position), 0);
                    assert!(!measure.is_in_line(record));
                }
                let full = measure.full(position, len);
                assert_eq!((full.state(), measure.len(full)), (State::Full, Some(len)));
                let next = Owner::new(59, 0x1_24);
                let held = |owner| measure.held(position, len, owner);
                assert_ne!(held(owner), held(next));
            }
            let line = measure.in_line(position, owner);
            assert!(measure.is_in_line(line));
            assert_eq!(measure.len(line), None);
        }
    }

    #[test]
    fn a_cell_that_was_never_used_is_of_an_earlier_lap() {
        for measure in measures() {
            assert!(measure.ahead(Record(0), 0) < 0);
            assert!(measure.ahead(Record(0), measure.cells() - 1) < 0);
        }
    }

    #[test]
    fn laps_are_compared_across_their_end() {
        for measure in measures() {
            let laps = 1 << (64 - measure.laps());
            for lap in [1, 5, laps - 2, laps - 1, laps, 3 * laps + 7] {
                let position = lap * measure.cells();
                let record = measure.full(position, 1);
                assert_eq!(measure.ahead(record, position), 0);
                assert_eq!(measure.ahead(record, position - measure.cells()), 1);
                assert_eq!(measure.ahead(record, position + 2 * measure.cells()), -2);
            }
        }
    }

    #[test]
    fn only_a_claim_is_undone() {
        let owner = Owner::new(1, 1);
        for measure in measures() {
            let at = 9 * measure.cells();
            let undone = |record| measure.undone(record);
            let done = |len| Some(measure.done(at, len));
            assert_eq!(undone(measure.claimed(at, 50, owner)), done(50));
            assert_eq!(undone(measure.in_line(at, owner)), done(0));
            let held = measure.held(at, 50, owner);
            assert_eq!(undone(held), Some(measure.full(at, 50)));
            assert_eq!(undone(measure.done(at, 50)), None);
            assert_eq!(undone(measure.full(at, 50)), None);
        }
    }

    #[test]
    fn a_message_takes_whole_cells_and_at_least_one() {
        let measure = Measure::of(4096);
        for (len, cells) in [(0, 1), (1, 1), (64, 1), (65, 2), (4095, 64), (4096, 64)] {
            assert_eq!(measure.size(len), cells);
        }
    }
}
