//! Claim: how senders and receivers come to a slot of their own.
//!
//! Every slot has a state [`Word`]; to claim one is to swap its word, which decides and orders at once. `tail` and
//! `head` are hints where to begin to look: never ahead of the truth, since a position is only passed when all before it
//! have been claimed; so they may be plain stores, and one that comes late and sets a hint back costs others a few looks.
//!
//! A value that a dead receiver held becomes full again *behind* the head. `returned` counts that: a receiver that sees it
//! changed looks through the last round once more.
//!
//! | step | what a kill after it leaves |
//! |---|---|
//! | sender swaps free → claimed | a claim without a living owner: whoever waits there undoes it, nothing was sent |
//! | sender writes the value | the same |
//! | sender stores full (release) | a value sent |
//! | receiver swaps full → held | a value held by nobody alive: whoever notices makes it full again |
//! | receiver stores free of the next round (release) | a value received |

use super::word::{Owner, State, Word};
use crate::sys::atomic::{AtomicU64, Ordering, mutated};

/// One cache line (two, because they are fetched in pairs).
#[repr(C, align(128))]
pub(super) struct Line(pub(super) AtomicU64);

/// The control words of a many-to-many channel.
#[repr(C)]
pub(crate) struct Words {
    pub(super) tail: Line,
    pub(super) head: Line,
    /// How often a value became full again that a dead receiver held.
    pub(super) returned: Line,
    /// How many values were dropped, new ones or old ones.
    pub(super) lost: Line,
    /// Bit 0: there has been a sender; bit 1: a receiver.
    pub(super) met: Line,
}

/// Where the words of the slots are.
pub(super) trait Slots {
    /// That of slot `index`, which is less than their number.
    fn word(&self, index: u64) -> &AtomicU64;
}

/// Where one end looks next, and how it claims.
#[derive(Debug)]
pub(super) struct Cursor {
    next: u64,
    returned: u64,
    /// Whether it looks behind the head, for values that were returned.
    behind: bool,
    /// Their number is a power of two.
    slots: u64,
    shift: u32,
    owner: Owner,
    /// Whether it only looks: what it finds it leaves to others.
    guest: bool,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The slot of this position is ours.
    Claimed(u64),
    /// The slot at which it is to go on is not ready; its index and what its word says.
    Blocked(u64, Word),
}

impl Cursor {
    pub(super) fn new(slots: u64, owner: Owner) -> Self {
        debug_assert!(slots.is_power_of_two());
        Cursor {
            next: 0,
            // Its first look is at the whole ring.
            returned: u64::MAX,
            behind: false,
            slots,
            shift: slots.trailing_zeros(),
            owner,
            guest: false,
        }
    }

    /// One of the same owner that only looks: what it says to have claimed is still there for others.
    pub(super) fn guest(&self) -> Self {
        Cursor {
            guest: true,
            ..self.at_head()
        }
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> u64 {
        self.slots
    }

    /// One of the same owner that begins at the head.
    pub(super) fn at_head(&self) -> Self {
        Cursor {
            guest: self.guest,
            ..Cursor::new(self.slots, self.owner)
        }
    }

    /// The slot of a position.
    #[inline(always)]
    pub(super) fn index(&self, position: u64) -> u64 {
        position & (self.slots - 1)
    }

    #[inline(always)]
    fn round(&self, position: u64) -> u64 {
        // What is shifted out of a word when this is shifted into it does not count.
        position >> self.shift
    }

    /// The first position after `at` that may be the next, when its slot is so many rounds ahead and `unknown` of these say
    /// nothing about the slots between. For a sender that is one: senders claim in order, so before the slot
    /// came to its round all others had come to the last. For a receiver it is two: a place is also made free when its
    /// sender gives it up, and values before it may not have been received yet.
    #[inline(always)]
    fn beyond(&self, at: u64, ahead: i64, unknown: i64) -> u64 {
        let rounds = (ahead - unknown).max(0) as u64;
        at.wrapping_add(rounds << self.shift).wrapping_add(1)
    }

    /// Claims the next free slot, for a sender.
    #[inline(always)]
    pub(super) fn claim_free(&mut self, slots: &impl Slots, words: &Words) -> Attempt {
        let mut at = self.next.max(words.tail.0.load(Ordering::Relaxed));
        loop {
            let (index, round) = (self.index(at), self.round(at));
            let slot = slots.word(index);
            let word = Word(slot.load(Ordering::Relaxed));
            match word.ahead_of(round) {
                0 if word.state() == State::Free => {
                    if self.guest {
                        self.next = at;
                        return Attempt::Claimed(at);
                    }
                    let ours = Word::claimed(round, self.owner);
                    let order = if mutated("many-claim") {
                        Ordering::Relaxed
                    } else {
                        Ordering::Acquire
                    };
                    let claimed = slot.compare_exchange(word.0, ours.0, order, Ordering::Relaxed);
                    if claimed.is_ok() {
                        self.next = at.wrapping_add(1);
                        words.tail.0.store(self.next, Ordering::Relaxed);
                        return Attempt::Claimed(at);
                    }
                }
                0 => at = at.wrapping_add(1),
                ahead if ahead > 0 => at = self.beyond(at, ahead, 1),
                _ => {
                    self.next = at;
                    return Attempt::Blocked(index, word);
                }
            }
        }
    }

    /// Claims the oldest value, for a receiver.
    #[inline(always)]
    pub(super) fn claim_full(&mut self, slots: &impl Slots, words: &Words) -> Attempt {
        let returned = words.returned.0.load(Ordering::Acquire);
        if returned != self.returned {
            self.returned = returned;
            self.behind = true;
            let tail = words.tail.0.load(Ordering::Relaxed);
            self.next = tail.saturating_sub(self.slots);
        }
        let mut at = self.next;
        if !self.behind {
            at = at.max(words.head.0.load(Ordering::Relaxed));
        }
        loop {
            let (index, round) = (self.index(at), self.round(at));
            let slot = slots.word(index);
            let word = Word(slot.load(Ordering::Relaxed));
            match word.ahead_of(round) {
                0 => match word.state() {
                    State::Full => {
                        if self.guest {
                            self.next = at;
                            return Attempt::Claimed(at);
                        }
                        let ours = Word::held(round, self.owner);
                        let order = if mutated("many-take") {
                            Ordering::Relaxed
                        } else {
                            Ordering::Acquire
                        };
                        let claimed =
                            slot.compare_exchange(word.0, ours.0, order, Ordering::Relaxed);
                        if claimed.is_ok() {
                            self.next = at.wrapping_add(1);
                            if !self.behind || words.head.0.load(Ordering::Relaxed) < self.next {
                                words.head.0.store(self.next, Ordering::Relaxed);
                            }
                            return Attempt::Claimed(at);
                        }
                    }
                    State::Held => at = at.wrapping_add(1),
                    State::Free | State::Claimed => {
                        (self.next, self.behind) = (at, false);
                        return Attempt::Blocked(index, word);
                    }
                },
                ahead if ahead > 0 => at = self.beyond(at, ahead, 2),
                _ => {
                    (self.next, self.behind) = (at, false);
                    return Attempt::Blocked(index, word);
                }
            }
        }
    }

    /// Makes a claimed slot full.
    #[inline(always)]
    pub(super) fn publish(&self, slots: &impl Slots, position: u64) {
        let order = if mutated("many-publish") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        let word = Word::full(self.round(position));
        slots.word(self.index(position)).store(word.0, order);
    }

    /// Makes a slot free for the next round: the value was read, or none was written.
    #[inline(always)]
    pub(super) fn free(&self, slots: &impl Slots, position: u64) {
        let order = if mutated("many-give-back") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        let word = Word::free(self.round(position).wrapping_add(1));
        slots.word(self.index(position)).store(word.0, order);
    }

    /// Makes a value that was held full again.
    pub(super) fn put_back(&self, slots: &impl Slots, words: &Words, position: u64) {
        self.publish(slots, position);
        words.returned.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Undoes one claim of a dead one: the word of a slot as it was seen before the death was known. Whether it was still that.
pub(super) fn undo(slots: &impl Slots, words: &Words, index: u64, word: Word) -> bool {
    let Some(undone) = word.undone() else {
        return false;
    };
    let slot = slots.word(index);
    let done = slot.compare_exchange(word.0, undone.0, Ordering::AcqRel, Ordering::Relaxed);
    if undone.state() == State::Full && !mutated("many-returned") {
        // After it is full, so that nobody looks too early and not again.
        words.returned.0.fetch_add(1, Ordering::AcqRel);
    }
    done.is_ok()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    impl Slots for [AtomicU64; 2] {
        fn word(&self, index: u64) -> &AtomicU64 {
            &self[index as usize]
        }
    }

    fn words() -> Words {
        let line = || Line(AtomicU64::new(0));
        Words {
            tail: line(),
            head: line(),
            returned: line(),
            lost: line(),
            met: line(),
        }
    }

    #[test]
    fn a_receiver_a_round_behind_passes_over_no_value_before_a_place_that_was_given_up() {
        let (slots, words) = ([AtomicU64::new(0), AtomicU64::new(0)], words());
        let mut ends = [0, 1, 2].map(|seat| Cursor::new(2, Owner::new(seat, 1)));
        let [sender, receiver, late] = &mut ends;
        assert!(matches!(
            late.claim_full(&slots, &words),
            Attempt::Blocked(0, _)
        ));
        for position in 0..2 {
            assert_eq!(
                sender.claim_free(&slots, &words),
                Attempt::Claimed(position)
            );
            sender.publish(&slots, position);
            assert_eq!(
                receiver.claim_full(&slots, &words),
                Attempt::Claimed(position)
            );
            receiver.free(&slots, position);
        }
        assert_eq!(sender.claim_free(&slots, &words), Attempt::Claimed(2));
        sender.publish(&slots, 2);
        assert_eq!(sender.claim_free(&slots, &words), Attempt::Claimed(3));
        sender.free(&slots, 3);
        // A hint may be as old as that.
        words.head.0.store(0, Ordering::Relaxed);
        assert_eq!(late.claim_full(&slots, &words), Attempt::Claimed(2));
    }

    #[test]
    fn a_sender_many_rounds_behind_finds_its_place_in_a_few_steps() {
        let (slots, words) = ([AtomicU64::new(0), AtomicU64::new(0)], words());
        let mut late = Cursor::new(2, Owner::new(0, 1));
        for (index, word) in slots.iter().enumerate() {
            let far = 1 << 40;
            word.store(Word::free(far + 1 - index as u64).0, Ordering::Relaxed);
        }
        // It would not end otherwise.
        assert_eq!(
            late.claim_free(&slots, &words),
            Attempt::Claimed((1 << 41) + 1)
        );
    }
}

/// What the model checker runs: the words and the slots of one channel, in its memory.
#[cfg(loom)]
pub mod model {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    use super::*;

    /// A channel of numbers.
    pub struct Model {
        words: Words,
        slots: Vec<(AtomicU64, UnsafeCell<u64>)>,
    }

    // SAFETY: the values are guarded by the words, which is what is modelled.
    unsafe impl Sync for Model {}
    // SAFETY: as above.
    unsafe impl Send for Model {}

    impl Slots for Model {
        fn word(&self, index: u64) -> &AtomicU64 {
            &self.slots[index as usize].0
        }
    }

    /// One end of it.
    pub struct End {
        model: Arc<Model>,
        cursor: Cursor,
    }

    impl Model {
        /// One with a power of two of slots.
        pub fn new(slots: usize) -> Arc<Model> {
            let line = || Line(AtomicU64::new(0));
            let slot = || (AtomicU64::new(0), UnsafeCell::new(0));
            Arc::new(Model {
                words: Words {
                    tail: line(),
                    head: line(),
                    returned: line(),
                    lost: line(),
                    met: line(),
                },
                slots: (0..slots).map(|_| slot()).collect(),
            })
        }
    }

    impl End {
        /// The end of a seat.
        pub fn new(model: &Arc<Model>, seat: usize) -> End {
            let mut cursor = Cursor::new(model.slots.len() as u64, Owner::new(seat, 1));
            // What was returned before it came is nothing here.
            cursor.returned = 0;
            let model = model.clone();
            End { model, cursor }
        }

        /// Sends if there is room.
        pub fn try_send(&mut self, value: u64) -> bool {
            let Some(position) = self.claim() else {
                return false;
            };
            self.put(position, value);
            self.cursor.publish(&*self.model, position);
            true
        }

        fn put(&self, position: u64, value: u64) {
            let slot = &self.model.slots[self.cursor.index(position) as usize].1;
            // SAFETY: the slot is claimed, which is what is modelled.
            slot.with_mut(|slot| unsafe { *slot = value });
        }

        /// Claims a slot and writes half of a value, as one does who is killed then.
        pub fn die_sending(mut self) {
            if let Some(position) = self.claim() {
                self.put(position, u64::MAX);
            }
        }

        fn claim(&mut self) -> Option<u64> {
            match self.cursor.claim_free(&*self.model, &self.model.words) {
                Attempt::Claimed(position) => Some(position),
                Attempt::Blocked(..) => None,
            }
        }

        /// Receives if there is something.
        pub fn try_recv(&mut self) -> Option<u64> {
            let (position, value) = self.take()?;
            self.cursor.free(&*self.model, position);
            Some(value)
        }

        /// Holds a value and looks at it, as one does who is killed then.
        pub fn die_receiving(mut self) -> Option<u64> {
            self.take().map(|(_, value)| value)
        }

        fn take(&mut self) -> Option<(u64, u64)> {
            match self.cursor.claim_full(&*self.model, &self.model.words) {
                Attempt::Claimed(position) => {
                    let slot = &self.model.slots[self.cursor.index(position) as usize].1;
                    // SAFETY: the slot is held, which is what is modelled.
                    Some((position, slot.with(|slot| unsafe { *slot })))
                }
                Attempt::Blocked(..) => None,
            }
        }

        /// Undoes what the dead one of a seat had claimed.
        pub fn bury(&self, seat: usize) {
            for index in 0..self.model.slots.len() as u64 {
                let word = Word(self.model.word(index).load(Ordering::Acquire));
                if word.undone().is_some() && word.seat() == seat {
                    undo(&*self.model, &self.model.words, index, word);
                }
            }
        }
    }
}
