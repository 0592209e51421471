//! Undertaker: who undoes what the dead had claimed; anybody may, and several at once.

use super::super::region::Region;
use super::queue::Queue;
use crate::sys::atomic::Ordering;
use crate::sys::keeper::State;

/// One who has seen which of the dead have left nothing.
#[derive(Debug)]
pub(super) struct Undertaker {
    /// Which sitter of each seat was dead when its claims were undone.
    buried: Vec<Option<u32>>,
    /// Its own seat.
    own: usize,
}

impl Undertaker {
    pub(super) fn new(seats: usize, own: usize) -> Self {
        let buried = vec![None; seats];
        Undertaker { buried, own }
    }

    /// Undoes the claims of the dead. Whether somebody is dying, of whom something may still run.
    pub(super) fn undertake(&mut self, queue: &impl Queue, region: &Region) -> bool {
        let mut dying = false;
        let mut undone = false;
        for (index, end) in region.ends().iter().enumerate() {
            let generation = end.generation.load(Ordering::Acquire);
            // The kernel marks the words of a dead one by and by.
            dying |= index != self.own
                && end.grave.state() == State::Killed
                && end.life.state() == State::Alive;
            if index == self.own
                || end.life.state() != State::Killed
                || self.buried[index] == Some(generation)
            {
                continue;
            }
            if !end.is_abandoned() {
                // Taken over meanwhile, or not dead yet.
                dying |= end.life.state() == State::Killed;
                continue;
            }
            let holder = end.holder.load(Ordering::Acquire);
            queue.bury(index, || end.is_abandoned());
            if end.holder.load(Ordering::Acquire) == holder {
                self.buried[index] = Some(generation);
            } else {
                // A successor clears up, and may be killed before it has.
                dying = true;
            }
            undone = true;
        }
        if undone {
            region.roster().stir();
        }
        dying
    }
}
