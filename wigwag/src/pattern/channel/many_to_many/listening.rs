//! Listening: the words on which one sleeps who waits for many, marked before the last look, so that nothing that comes after it is missed.

use super::super::bell;
use super::super::ends::End;
use crate::sys::atomic::{AtomicU32, Ordering, mutated};
use crate::sys::keeper::State;

/// What is listened to.
#[derive(Debug)]
pub(super) struct Listening<'a> {
    pub(super) words: Vec<(&'a AtomicU32, u32)>,
    /// Whether all whom it listens to are certain to ring.
    pub(super) sure: bool,
    /// Whether none of those who could help lives.
    pub(super) alone: bool,
}

impl<'a> Listening<'a> {
    /// To nobody yet, with room for so many words.
    pub(super) fn with_capacity(words: usize) -> Self {
        Listening {
            words: Vec::with_capacity(words),
            sure: true,
            alone: true,
        }
    }

    /// To one who could help: it rings, or dies.
    pub(super) fn to(&mut self, end: &'a End) {
        // Others may sleep on the same word: the number of rings tells what its mark does not.
        let rings = end.rings.load(Ordering::SeqCst);
        let (state, mark, certain) = bell::mark(&end.life);
        if state != State::Alive {
            // The kernel woke one; the others are to know too.
            end.life.pass_on();
            return;
        }
        self.alone = false;
        self.sure &= certain;
        self.words.push(end.life.watched(mark));
        if !mutated("many-rings") {
            self.words.push((&end.rings, rings));
        }
    }

    /// To one at the same side: it dies, and leaves what it had.
    pub(super) fn for_death_of(&mut self, end: &'a End) {
        let (state, mark) = end.grave.mark();
        match state {
            State::Alive => self.words.push(end.grave.watched(mark)),
            _ => end.grave.pass_on(),
        }
    }
}
