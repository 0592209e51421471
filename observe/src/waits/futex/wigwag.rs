//! wigwag: the mutex of this library keeps its owner in the word, and its waiters wake from time to time to look for the dead.
//!
//! Such a nap has a time limit that is none: whoever wakes sleeps again.

use super::{TID, WAIT_BITSET, WAITERS, Word};
use crate::waits::ask::Need;
use rustix::time::{ClockId, clock_gettime};

/// No nap is longer (`wigwag::gate::watch::LONGEST_NAP`), in nanoseconds.
const LONGEST_NAP: i64 = 500_000_000;

/// The mutex of ours that the word belongs to.
pub(super) fn need(word: &Word<'_>) -> Option<Need> {
    // Ours never call a word private, and measure time by the monotonic clock.
    let ours = word.command == WAIT_BITSET && !word.realtime && !word.private && word.limited;
    if !ours || word.expected & WAITERS == 0 || left(word)? > LONGEST_NAP {
        return None;
    }
    // Word, waiters, mode, cause of a death.
    let [lock, _, mode, cause] = word.ask.words::<4>(word.address)?;
    if lock != word.expected || mode > 2 || cause > 2 {
        return None;
    }
    let owner = word.living_owner(lock & TID)?;
    let mut need = word.owned("mutex", word.address, owner);
    need.naps = true;
    Some(need)
}

/// Time left of the nap.
fn left(word: &Word<'_>) -> Option<i64> {
    let [seconds, _, nanoseconds, _] = word.ask.words::<4>(word.ask.arg(3))?;
    let now = clock_gettime(ClockId::Monotonic);
    let until = i64::from(seconds) * 1_000_000_000 + i64::from(nanoseconds);
    Some(until - (now.tv_sec * 1_000_000_000 + now.tv_nsec))
}
