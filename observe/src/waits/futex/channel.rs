//! Channel: an end that sleeps on the life word of another, which that one rings, or the kernel when it dies.
//!
//! The word holds the thread id of the keeper of the other end's process, a thread that does nothing: it is no owner that could give
//! anything back, any thread of that process is.

use super::{Place, Word};
use crate::graph::{Clause, Outside, Waker};
use crate::waits::ask::{Ask, Need, add};

/// What a segment begins with, and where it says what it holds.
const MAGIC: [u8; 8] = *b"wigwag\r\n";
const NAME: usize = 80;
const HEADER: usize = 176;
/// Where it counts who came, and where the seats of the ends begin.
const JOINS: u64 = 4224;
const SEATS: u64 = 4352;
const SEAT: u64 = 128;
/// In a seat: the life word, and from it to the holder.
const LIFE: u64 = 8;
const HOLDER: u64 = 8;
/// Bits of the holder: process id; at last the role.
const ID: u64 = (1 << 22) - 1;

/// As many words as `futex_waitv(2)` takes; one of them is 24 bytes: value, address, flags.
const MOST: u64 = 128;
const ENTRY: usize = 24;

/// What an end waits for that sleeps on several words at a time: any of the ends that it waits for.
pub(super) fn any(ask: &Ask<'_>) -> Option<Need> {
    let count = usize::try_from(ask.arg(1).min(MOST)).ok()?;
    let list = ask.bytes(ask.arg(0), count * ENTRY)?;
    let number = |bytes: &[u8]| {
        let (low, _) = bytes.split_first_chunk::<8>()?;
        Some(u64::from_ne_bytes(*low))
    };
    let mut all: Option<Need> = None;
    for entry in list.chunks_exact(ENTRY) {
        let (value, address) = (number(entry)?, number(&entry[8..])?);
        let private = number(&entry[16..])? & u64::from(super::PRIVATE) != 0;
        let one = need(&Word {
            expected: value as u32,
            command: super::WAIT,
            ..Word::at(ask, address, private)
        })?;
        match &mut all {
            None => all = Some(one),
            Some(all) => {
                for waker in one.clause.wakers {
                    add(&mut all.clause.wakers, waker);
                }
                all.clause = std::mem::take(&mut all.clause).outside(one.clause.outside);
            }
        }
    }
    all
}

/// What an end of a channel waits for.
pub(super) fn need(word: &Word<'_>) -> Option<Need> {
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
    if offset == JOINS {
        let why = "waits for somebody to come to a channel";
        return Some(word.anybody("channel", why, "may come"));
    }
    if offset < SEATS || offset % SEAT != LIFE {
        return None;
    }
    let words = word.ask.words::<2>(word.address + HOLDER)?;
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
        word.resource(word.address),
        why,
        clause,
    ))
}
