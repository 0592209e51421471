//! Mailbox: a side that sleeps at the flag; whoever has the memory may be the other side.
//!
//! The flag lies 64 bytes behind the magic of `wigwag_mailbox`. Our processes say who is poster and who fetcher by a lock, but
//! a side in another language need not: so no more is believed than that it takes the memory to go on.

use super::{Place, Word};
use crate::waits::ask::Need;

/// Magic and version of the layout.
const MAILBOX: [u32; 2] = [u32::from_le_bytes(*b"WBOX"), 1];
/// From the magic to the flag.
const FLAG: u64 = 64;

/// What a side of a mailbox waits for.
pub(super) fn need(word: &Word<'_>) -> Option<Need> {
    let Place::Shared { offset, .. } = word.place else {
        return None;
    };
    let base = word.address.checked_sub(FLAG)?;
    if offset < FLAG || word.ask.words::<2>(base)?.map(u32::from_le) != MAILBOX {
        return None;
    }
    let (why, role) = match u32::from_le(word.expected) {
        0 => ("waits for a letter", "may post one"),
        1 => ("waits for its letter to be fetched", "may fetch it"),
        _ => return None,
    };
    Some(word.anybody("mailbox", why, role))
}
