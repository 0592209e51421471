//! Guests: readers that were overtaken again and again, and at whose buffers the sender leaves what is there.
//!
//! A reader that cannot keep up writes into its seat at which buffer it stays, and then that it has asked. The sender looks at one word
//! with each value, and at the seats only when somebody has asked; as long as a guest stays, it writes elsewhere. So a reader needs
//! one more copy than it takes the sender to see its wish, however fast the sender is. Nothing depends on it but that: whether a copy is
//! whole its tag says, so a guest may be killed, stopped or lie, and costs a buffer at most.
//!
//! | word | written by | says |
//! |---|---|---|
//! | stays, in a reader's seat | reader | 0, or one more than the buffer at which it is |
//! | asked | reader, sender | there is a guest whom the sender may not have seen |
//!
//! All but two buffers can be taken by guests: of the others one holds the newest value and one is written. Who comes when all are
//! taken is next when somebody leaves or is killed; meanwhile it tries as if it were none.

use super::SENDER;
use super::version::MOST;
use crate::pattern::channel::ends::End;
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::keeper::State;

/// The word of a seat.
#[inline]
pub(super) fn stays(end: &End) -> &AtomicU64 {
    &end.own[0]
}

/// Whom the sender has seen.
#[derive(Debug)]
pub(super) struct Guests {
    seats: Vec<usize>,
    /// Their buffers, a bit each.
    taken: u64,
    /// How many buffers there are.
    count: u64,
    /// The seat behind the one that came last, and whether somebody waits for his turn.
    turn: usize,
    waits: bool,
}

const _: () = assert!(MOST <= 64);

impl Guests {
    /// None, of a channel with so many buffers.
    pub(super) fn new(count: u64) -> Self {
        Guests {
            seats: Vec::new(),
            taken: 0,
            count,
            turn: 0,
            waits: false,
        }
    }

    /// Whether there is nobody to look after.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Whether somebody stays at a buffer.
    #[inline(always)]
    pub(super) fn stay_at(&self, buffer: u64) -> bool {
        self.taken >> buffer & 1 != 0
    }

    /// Looks who left and, if somebody has asked, who came.
    #[cold]
    #[inline(never)]
    pub(super) fn look(&mut self, asked: &AtomicU64, ends: &[End]) {
        let anew = asked.load(Ordering::Relaxed) != 0 && asked.swap(0, Ordering::AcqRel) != 0;
        let count = self.count;
        let at = |seat: usize| {
            let stays = stays(&ends[seat]).load(Ordering::Relaxed);
            let there = (1..=count).contains(&stays) && ends[seat].life.state() == State::Alive;
            there.then(|| stays - 1)
        };
        let before = self.seats.len();
        self.seats.retain(|seat| at(*seat).is_some());
        if anew || self.waits && self.seats.len() < before {
            self.waits = false;
            let around = (self.turn..ends.len()).chain(0..self.turn);
            for seat in around.filter(|seat| *seat != SENDER) {
                if at(seat).is_none() || self.seats.contains(&seat) {
                    continue;
                }
                if self.seats.len() as u64 + 2 >= count {
                    self.waits = true;
                    break;
                }
                self.seats.push(seat);
                self.turn = seat + 1;
            }
        }
        let buffers = self.seats.iter().filter_map(|seat| at(*seat));
        self.taken = buffers.fold(0, |taken, buffer| taken | 1 << buffer);
    }
}
