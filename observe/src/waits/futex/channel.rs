//! Channel: an end that sleeps on the life word of another, which that one rings, or the kernel when it dies.
//!
//! The word holds the thread id of the keeper of the other end's process, a thread that does nothing: it is no owner that could give
//! anything back, any thread of that process is.

use super::{Place, Word};
use crate::graph::{Clause, Outside, Waker};
use crate::waits::ask::Need;

/// What a segment begins with, and where it says what it holds.
const MAGIC: [u8; 8] = *b"wigwag\r\n";
const NAME: usize = 80;
const HEADER: usize = 176;
/// Where it counts who came, and where the seats of the ends begin.
const JOINS: u64 = 4224;
const SEATS: u64 = 4352;
const SEAT: u64 = 128;
/// In a seat: the life word, the holder, and how often the owner rang, which those sleep on besides who are not alone.
const LIFE: u64 = 8;
const HOLDER: u64 = 16;
const RINGS: u64 = 32;
/// A life word that is never rung: on it sleep those of the same side, who are told of a death and of nothing else.
const GRAVE: u64 = 56;
/// Bits of the holder: process id; at last the role.
const ID: u64 = (1 << 22) - 1;

/// Where in the memory of a channel it is.
fn place(word: &Word<'_>) -> Option<u64> {
    let Place::Shared { file, offset } = word.place else {
        return None;
    };
    let layout = word.ask.machine.layout(word.ask.seen);
    let first = layout
        .mappings
        .iter()
        .find(|mapping| mapping.file == file && mapping.offset == 0)?;
    let header = word.ask.bytes(first.start, HEADER)?;
    let name = &header[NAME..];
    let is_channel = name.windows(12).any(|part| part == b" channel of ");
    if !header.starts_with(&MAGIC) || !is_channel {
        return None;
    }
    Some(offset)
}

/// Whether nothing that the owner of this word does, but his death, ends the sleep.
pub(super) fn is_grave(word: &Word<'_>) -> bool {
    let inside = place(word).and_then(|offset| offset.checked_sub(SEATS));
    inside.is_some_and(|inside| inside % SEAT == GRAVE)
}

/// What an end of a channel waits for.
pub(super) fn need(word: &Word<'_>) -> Option<Need> {
    let offset = place(word)?;
    if offset == JOINS {
        let why = "waits for somebody to come to a channel";
        return Some(word.anybody("channel", why, "may come"));
    }
    let inside = offset.checked_sub(SEATS)? % SEAT;
    if !matches!(inside, LIFE | RINGS) {
        return None;
    }
    let seat = word.address.checked_sub(inside)?;
    let words = word.ask.words::<2>(seat + HOLDER)?;
    let holder = u64::from(words[1]) << 32 | u64::from(words[0]);
    let pid = (holder & ID) as u32;
    let (why, role) = match holder >> 62 {
        1 => ("waits for a message of a channel's sender", "sends"),
        2 => ("waits for room, from a channel's receiver", "receives"),
        _ => return Some(word.anybody("channel", "waits for an end of a channel", "may be it")),
    };
    let mut clause = Clause::one(Waker::process(pid).role(role));
    if word.mapping.as_ref().is_some_and(|(_, named)| *named) {
        // When that one leaves, another may come.
        clause = clause.outside(Outside::Named);
    }
    Some(Need::new(
        "channel",
        word.resource(seat + LIFE),
        why,
        clause,
    ))
}
