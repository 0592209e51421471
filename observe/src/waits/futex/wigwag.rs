//! wigwag: this library's gates; the mutex keeps its owner in the word, and all waiters wake from time to time to look for the dead.
//!
//! Such a nap has a time limit that is none: whoever wakes sleeps again. A real limit cannot be told from a nap by one
//! sleep, but naps grow to half a second and stay so, and a real one is never that long unless the wait is longer still.

use super::{Place, TID, WAIT_BITSET, WAITERS, Word};
use crate::graph::{Outside, Tier};
use crate::proc::SchedClock;
use crate::waits::ask::Need;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The longest nap (`wigwag::gate::watch::LONGEST_NAP`).
const LONGEST_NAP: Duration = Duration::from_millis(500);
/// How exactly the time a thread fell asleep is known: the scheduler's clock may differ between the processors of a
/// virtual machine. The nap before the longest is 320 ms.
const BLUR: Duration = Duration::from_millis(80);
/// The first bytes of every segment.
const MAGIC: [u8; 8] = *b"wigwag\r\n";

/// The gate of ours that the word belongs to.
pub(super) fn need(word: &Word<'_>) -> Option<Need> {
    // Ours never call a word private, and measure time by the monotonic clock.
    let ours = word.command == WAIT_BITSET && !word.realtime && !word.private && word.limited;
    if !ours {
        return None;
    }
    let left = left(word)?;
    if left > LONGEST_NAP {
        return None;
    }
    let mut need = mutex(word).or_else(|| gate(word, left))?;
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
fn gate(word: &Word<'_>, left: Duration) -> Option<Need> {
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
    if !in_a_segment || (slept(word)? + left).abs_diff(LONGEST_NAP) > BLUR {
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

/// Time left of the nap.
fn left(word: &Word<'_>) -> Option<Duration> {
    let [seconds, _, nanoseconds, _] = word.ask.words::<4>(word.ask.arg(3))?;
    let now = clock_gettime(ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.try_into().ok()?, now.tv_nsec.try_into().ok()?);
    Some(Duration::new(seconds.into(), nanoseconds).saturating_sub(now))
}

/// How long the thread has slept.
fn slept(word: &Word<'_>) -> Option<Duration> {
    let machine = word.ask.machine;
    let process = machine.open(word.ask.seen.pid).ok()?;
    let last_ran = process
        .task(word.ask.thread.tid)
        .last_ran(&mut machine.scratch())
        .ok()?;
    Some(
        SchedClock::now(&mut machine.scratch())
            .ok()?
            .since(last_ran),
    )
}
