//! Word: what one 64-bit word says about a slot: how often the ring has come round to it, and who has it.
//!
//! | bits | meaning |
//! |---|---|
//! | 0–1 | free, claimed by a sender, full, or held by a receiver |
//! | 2–9 | the seat of who claimed or holds it |
//! | 10–17 | which sitter of that seat, so that a dead one's claim is not taken for that of its successor |
//! | 18–63 | the round: the position of its value, divided by the number of slots |
//!
//! A word of zeros is a free slot of round 0, so new memory is an empty ring. Only these changes are made, each by the one named:
//!
//! | from | to | by |
//! |---|---|---|
//! | free r | claimed r | a sender (compare and swap) |
//! | claimed r | full r | the claimant, who has written the value |
//! | claimed r | free r+1 | the claimant, who thought better of it; of a dead one anybody |
//! | full r | held r | a receiver, or a sender that overwrites (compare and swap) |
//! | held r | free r+1 | the holder, who has read the value |
//! | held r | full r | of a dead one anybody: the value is received again |

/// In which state a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Free,
    Claimed,
    Full,
    Held,
}

/// The most seats: one can sleep on 128 words at a time, of which each peer has two.
pub(super) const SEATS: u32 = 60;

const SEAT: u32 = 2;
const SITTER: u32 = 10;
/// How many bits the state and the owner take, in every kind of word.
pub(super) const OWNER_BITS: u32 = 18;
const ROUND: u32 = OWNER_BITS;
/// A round is counted modulo this, for ever.
const ROUNDS: u64 = 1 << (64 - ROUND);

/// A state word, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

/// Who claims: a seat and which of its sitters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(u64);

impl Owner {
    pub(super) fn new(seat: usize, generation: u32) -> Self {
        Owner(((seat as u64) & 0xff) << SEAT | u64::from(generation & 0xff) << SITTER)
    }

    /// Where they stand in a word.
    #[inline(always)]
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    /// The seat that a word names.
    pub(super) fn seat(word: u64) -> usize {
        (word >> SEAT & 0xff) as usize
    }
}

impl Word {
    #[inline(always)]
    pub(super) fn free(round: u64) -> Self {
        Word(round << ROUND)
    }

    #[inline(always)]
    pub(super) fn claimed(round: u64, owner: Owner) -> Self {
        Word(round << ROUND | owner.0 | State::Claimed as u64)
    }

    #[inline(always)]
    pub(super) fn full(round: u64) -> Self {
        Word(round << ROUND | State::Full as u64)
    }

    #[inline(always)]
    pub(super) fn held(round: u64, owner: Owner) -> Self {
        Word(round << ROUND | owner.0 | State::Held as u64)
    }

    #[inline(always)]
    pub(super) fn state(self) -> State {
        match self.0 & 3 {
            0 => State::Free,
            1 => State::Claimed,
            2 => State::Full,
            _ => State::Held,
        }
    }

    /// The seat of who claimed or holds it.
    pub(super) fn seat(self) -> usize {
        Owner::seat(self.0)
    }

    /// By how many rounds the slot is ahead of this one.
    #[inline(always)]
    pub(super) fn ahead_of(self, round: u64) -> i64 {
        // The difference of two counters that wrap, with its sign.
        ((self.0 & !(ROUNDS_BELOW)).wrapping_sub(round << ROUND) as i64) >> ROUND
    }

    /// What it becomes when a dead one's claim is undone.
    pub(super) fn undone(self) -> Option<Self> {
        let round = self.0 >> ROUND;
        match self.state() {
            State::Claimed => Some(Word::free((round + 1) % ROUNDS)),
            State::Held => Some(Word::full(round)),
            State::Free | State::Full => None,
        }
    }
}

const ROUNDS_BELOW: u64 = (1 << ROUND) - 1;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_was_put_into_it() {
        let owner = Owner::new(59, 0x1_23);
        for (word, state) in [
            (Word::claimed(7, owner), State::Claimed),
            (Word::held(7, owner), State::Held),
        ] {
            assert_eq!((word.state(), word.seat()), (state, 59));
            assert_ne!(word, Word::claimed(7, Owner::new(59, 0x1_24)));
            assert_ne!(word, Word::held(7, Owner::new(58, 0x1_23)));
            assert_eq!(word.ahead_of(7), 0);
        }
        assert_eq!(Word(0), Word::free(0));
        assert_eq!(Word::full(3).state(), State::Full);
    }

    #[test]
    fn rounds_are_compared_across_their_end() {
        assert_eq!(Word::free(5).ahead_of(3), 2);
        assert_eq!(Word::full(3).ahead_of(5), -2);
        assert_eq!(Word::free(0).ahead_of(ROUNDS - 1), 1);
        assert_eq!(Word::free(ROUNDS - 1).ahead_of(0), -1);
        let last = Word::claimed(ROUNDS - 1, Owner::new(1, 1));
        assert_eq!(last.undone(), Some(Word::free(0)));
    }

    #[test]
    fn only_a_claim_is_undone() {
        let owner = Owner::new(1, 1);
        assert_eq!(Word::claimed(4, owner).undone(), Some(Word::free(5)));
        assert_eq!(Word::held(4, owner).undone(), Some(Word::full(4)));
        assert_eq!(Word::free(4).undone(), None);
        assert_eq!(Word::full(4).undone(), None);
    }
}
