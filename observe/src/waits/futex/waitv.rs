//! Waitv: a sleep on up to 128 words, any of which ends it, so whoever may wake at one of them may wake.
//!
//! No C library sleeps so, nor Rust's std: what looks like a mutex of theirs is none. Only words that tell by themselves what
//! they are count as more than a word that anybody may change.

use super::{PRIVATE, WAIT, Word, channel, mailbox};
use crate::graph::State;
use crate::waits::ask::{Ask, Need, live};
use crate::waits::multiplex::any_of;

/// In the sixth register of a `futex_waitv` of this library that ends only to look around (`wigwag::sys::futex`).
const NAPS: u64 = 0x6e61_7073;

/// `FUTEX_WAITV_MAX`, and the bytes of a `struct futex_waitv`: value, address, flags; the same in a 32-bit program.
const MOST: u64 = 128;
const ENTRY: usize = 24;

/// Blocked in futex_waitv(list, count, flags, limit, clock).
pub(super) fn waiting(ask: &Ask<'_>) -> State {
    let Some(needs) = needs(ask) else {
        return live("waits for several futexes, whose list cannot be read");
    };
    let ours = |need: &Need| matches!(need.facility, "channel" | "mailbox");
    let ours = needs.iter().any(ours);
    let naps = ours && ask.arg(5) == NAPS;
    let limited = ask.arg(3) != 0 && !naps;
    if limited && !ask.machine.detail && !ours {
        return live("waits for several futexes with a time limit");
    }
    let mut need = together(needs).limited(limited);
    need.naps = naps;
    need.wait()
}

/// What each of the words is waited for, the same but once.
fn needs(ask: &Ask<'_>) -> Option<Vec<Need>> {
    let count = ask.arg(1);
    if !(1..=MOST).contains(&count) {
        return None;
    }
    let list = ask.bytes(ask.arg(0), usize::try_from(count).ok()? * ENTRY)?;
    let mut needs: Vec<Need> = Vec::new();
    for entry in list.as_chunks::<ENTRY>().0 {
        let [value, address, flags] =
            [0, 8, 16].map(|at| u64::from_ne_bytes(std::array::from_fn(|byte| entry[at + byte])));
        // FUTEX2_PRIVATE is the bit of FUTEX_PRIVATE_FLAG; who waits here has no clock and no limit of its own.
        let word = Word {
            expected: value as u32,
            command: WAIT,
            ..Word::at(ask, address, flags & u64::from(PRIVATE) != 0)
        };
        if channel::is_grave(&word) {
            continue;
        }
        let need = channel::need(&word)
            .or_else(|| mailbox::need(&word))
            .or_else(|| word.owned_word())
            .unwrap_or_else(|| word.unknown());
        let same = |known: &Need| {
            (known.facility, &known.resource, &known.why)
                == (need.facility, &need.resource, &need.why)
        };
        if !needs.iter().any(same) {
            needs.push(need);
        }
    }
    (!needs.is_empty()).then_some(needs)
}

/// Any of them.
fn together(mut needs: Vec<Need>) -> Need {
    if needs.len() == 1 {
        return needs.remove(0);
    }
    let first = needs[0].facility;
    let facility = if needs.iter().all(|need| need.facility == first) {
        first
    } else if needs.iter().any(|need| need.facility == "channel") {
        // Its ends are listened to together with a bell of one's own.
        "channel"
    } else {
        "futex"
    };
    let mut reasons: Vec<String> = Vec::new();
    for need in &needs {
        if !reasons.contains(&need.why) {
            reasons.push(need.why.clone());
        }
    }
    let count = needs.len();
    let mut need = any_of(facility, needs);
    need.why = format!("sleeps on {count} words: {}", reasons.join(", or "));
    need
}
