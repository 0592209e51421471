//! Queue: how an end claims a place in the ring, which is another matter for values, all of one size, than for messages.

use std::fmt::Debug;

use super::super::region::Region;
use super::word::Owner;

/// The words of the ring are what no honest peer leaves.
#[derive(Debug)]
pub struct Broken;

/// What came of an attempt: a place, or none now.
pub type Attempt<P> = Result<Option<P>, Broken>;

/// The ring of a channel as one end uses it.
pub trait Queue: Debug + Sized {
    /// What is claimed: to be filled and published, or read and freed.
    type Place: Copy + Debug;

    /// That of a region; a slot of a value has so many bytes, of which so many are before the value.
    fn of(region: &Region, owner: Owner, slot: (usize, usize)) -> Self;

    /// One that only looks: what it says to have claimed is still there for others.
    fn guest(&self) -> Self;

    /// Claims the next free place, for a sender of so many bytes.
    fn claim_free(&mut self, len: usize) -> Attempt<Self::Place>;

    /// Claims the oldest full place, for a receiver.
    fn claim_full(&mut self) -> Attempt<Self::Place>;

    /// Claims the oldest full place, for a sender that makes room.
    fn claim_oldest(&self) -> Attempt<Self::Place>;

    /// Makes a claimed place full.
    fn publish(&self, place: Self::Place);

    /// Done with a place: it was read, or nothing was written.
    fn free(&self, place: Self::Place);

    /// Makes a place full again that was claimed from full.
    fn put_back(&self, place: Self::Place);

    /// From now on a sender keeps others from taking the room that it needs itself.
    fn stand_in_line(&mut self) {}

    /// No longer; whether somebody may have waited for that.
    fn leave_line(&mut self) -> bool {
        false
    }

    /// Undoes what dead sitters of a seat had claimed. `is_dead` is asked after a claim was seen.
    fn bury(&self, seat: usize, is_dead: impl Fn() -> bool);

    /// Where the bytes of a claimed place lie.
    fn bytes(&self, place: Self::Place) -> *mut u8;

    /// About how many values, or bytes, are full.
    fn level(&self) -> u64;
}
