//! wigwag: this library's gates; the mutex keeps its owner in the word, and all waiters wake from time to time to look for the dead.
//!
//! Such a nap has a time limit that is none: whoever wakes sleeps again. It shows in the call: a nap is a `FUTEX_WAIT`,
//! whose limit is relative, and the caller's own limit is the absolute one of a `FUTEX_WAIT_BITSET`.

use super::{Place, TID, WAIT, WAITERS, Word};
use crate::graph::{Outside, Tier};
use crate::waits::ask::Need;
use std::time::Duration;

/// The longest nap (`wigwag::gate::watch::LONGEST_NAP`).
const LONGEST_NAP: Duration = Duration::from_millis(500);
/// The first bytes of every segment.
const MAGIC: [u8; 8] = *b"wigwag\r\n";

/// The gate of ours that the word belongs to.
pub(super) fn need(word: &Word<'_>) -> Option<Need> {
    // Ours never call a word private.
    let ours = word.command == WAIT && !word.private && word.limited;
    if !ours {
        return None;
    }
    let nap = nap(word)?;
    if nap > LONGEST_NAP {
        return None;
    }
    let mut need = mutex(word).or_else(|| gate(word, nap))?;
    need.naps = true;
    Some(need)
}

fn mutex(word: &Word<'_>) -> Option<Need> {
    if word.expected & WAITERS == 0 {
        return None;
    }
    // Word, waiters, mode, cause of a death.
    let [lock, _, mode, cause] = word.ask.words::<4>(word.address)?;
    if lock != word.expected || mode > 2 || cause > 2 {
        return None;
    }
    let owner = word.living_owner(lock & TID)?;
    Some(word.owned("mutex", word.address, owner))
}

/// Any other gate: it records no owner, or not in its word.
fn gate(word: &Word<'_>, nap: Duration) -> Option<Need> {
    let in_a_segment = match word.place {
        // Private memory that is not called private is a sign by itself.
        Place::Private { .. } => true,
        Place::Shared { file, .. } => {
            let layout = word.ask.machine.layout(word.ask.seen);
            let first = layout
                .mappings
                .iter()
                .find(|mapping| mapping.file == file && mapping.offset == 0)?;
            word.ask.bytes(first.start, MAGIC.len())? == MAGIC
        }
    };
    if !in_a_segment || nap != LONGEST_NAP {
        return None;
    }
    let mut need = word.anybody(
        "gate",
        "waits at a gate of this library that records no owner",
        "may open it",
    );
    // A limit of half a second would look the same: no more than a suspicion.
    need.clause = need.clause.outside(Outside::Anyone);
    for waker in &mut need.clause.wakers {
        waker.tier = Tier::Hint;
    }
    Some(need)
}

/// How long it sleeps at most.
fn nap(word: &Word<'_>) -> Option<Duration> {
    let [seconds, _, nanoseconds, _] = word.ask.words::<4>(word.ask.arg(3))?;
    Some(Duration::new(seconds.into(), nanoseconds))
}
