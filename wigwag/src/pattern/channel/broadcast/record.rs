//! Record: how a byte message lies in the ring: a header of 16 bytes, its bytes, and nothing up to a multiple of eight.
//!
//! | bytes | field | written |
//! |---|---|---|
//! | 0–7 | sequence: how many messages were sent before it | with the message before it |
//! | 8–11 | back: the size of the record before it; 0 for the first | with the message before it |
//! | 12–15 | length of the message | with its bytes |
//!
//! So behind the last record its successor's header stands half-finished: a new sender learns from it how to go on, whoever joins late walks
//! back from it, and whoever was overtaken learns how much he missed.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::region::Region;
use super::Words;
use super::publishing::{Publishing, impossible};
use crate::error::Result;

/// Bytes of a header.
pub(super) const HEADER: u64 = 16;
/// A record is a multiple of so many bytes.
const UNIT: u64 = 8;

/// The header of a record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Header {
    pub(super) sequence: u64,
    pub(super) back: u32,
    pub(super) len: u32,
}

impl Header {
    /// That of the record which begins `bytes`, if there are as many as it has. It may be anything.
    ///
    /// # Safety
    /// There are `len` bytes, at a multiple of eight.
    #[inline]
    pub(super) unsafe fn in_bytes(bytes: *const u8, len: usize) -> Option<Header> {
        if (len as u64) < HEADER {
            return None;
        }
        // Records begin at multiples of eight; what claims to begin elsewhere is taken for one that does.
        let words: *const u64 = bytes.map_addr(|place| place & !7).cast();
        // SAFETY: inside, as was just checked, and aligned; a peer may write meanwhile, so each half is one volatile copy.
        let (sequence, sizes) = unsafe { (words.read_volatile(), words.add(1).read_volatile()) };
        Some(Header {
            sequence,
            back: sizes as u32,
            len: (sizes >> 32) as u32,
        })
    }
}

/// The bytes of the ring, mapped twice in a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ring {
    base: NonNull<u8>,
    mask: u64,
}

// SAFETY: it is used by one end, which keeps the region, and leads to atomics or to what the course guards.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    /// That of a channel, valid as long as its region.
    pub(super) fn of(region: &Region) -> Self {
        Ring {
            base: region.ring(),
            mask: region.plan().capacity - 1,
        }
    }

    /// Where a position lies; as many bytes as the ring has lie behind it.
    #[inline(always)]
    pub(super) fn place(self, position: u64) -> *mut u8 {
        // SAFETY: inside the ring.
        unsafe { self.base.as_ptr().add((position & self.mask) as usize) }
    }

    /// A half of the header at a position: an aligned word that sender and receivers only ever access as this.
    #[inline(always)]
    fn word(&self, position: u64) -> &AtomicU64 {
        // Records begin at multiples of eight; what claims to begin elsewhere is taken for one that does.
        let place = self.place(position & !7);
        // SAFETY: inside the ring and aligned; atomic, because others may read or write it meanwhile.
        unsafe { AtomicU64::from_ptr(place.cast()) }
    }

    /// The header at a position, which may be anything.
    #[inline(always)]
    pub(super) fn header(self, position: u64) -> Header {
        let sequence = self.word(position).load(Ordering::Relaxed);
        let sizes = self.word(position + 8).load(Ordering::Relaxed);
        Header {
            sequence,
            back: sizes as u32,
            len: (sizes >> 32) as u32,
        }
    }

    /// Writes the sizes of the header at a position.
    #[inline(always)]
    pub(super) fn set_sizes(self, position: u64, back: u32, len: u32) {
        let sizes = u64::from(back) | u64::from(len) << 32;
        self.word(position + 8).store(sizes, Ordering::Relaxed);
    }

    /// Writes the number of the record at a position.
    #[inline(always)]
    pub(super) fn set_sequence(self, position: u64, sequence: u64) {
        self.word(position).store(sequence, Ordering::Relaxed);
    }
}

/// The bytes that a message of `len` takes in the ring.
#[inline(always)]
pub(super) fn record(len: usize) -> u64 {
    (len as u64 + HEADER).next_multiple_of(UNIT)
}

/// The room that sending it takes: also the header of the next.
#[inline(always)]
pub(super) fn need(len: usize) -> u64 {
    record(len) + HEADER
}

/// The longest message of a ring of `capacity` bytes.
pub(super) fn longest(capacity: u64) -> usize {
    // More than 4 GiB have no length.
    (capacity - 2 * HEADER).min(u64::from(u32::MAX) - 64) as usize
}

/// The half-finished header of the message that is sent next.
pub(super) fn next(side: &Publishing) -> Result<Header> {
    if !side.tail().is_multiple_of(UNIT) {
        return Err(impossible(side.region(), "send to"));
    }
    Ok(Ring::of(side.region()).header(side.tail()))
}

/// The first record that begins at `needed` or behind it, given that one begins at `floor`.
pub(super) fn boundary(ring: Ring, floor: u64, needed: u64) -> u64 {
    let mut at = floor;
    while at < needed {
        // Also when it is nonsense it gets on; who reads checks for himself.
        at += record(ring.header(at).len as usize);
    }
    at
}

/// The position and the number of the message `count` before the tail, or of the oldest that is there.
pub(super) fn walk_back(region: &Region, tail: u64, floor: u64, count: u64) -> (u64, u64) {
    let front = &region.control::<Words>().front;
    let ring = Ring::of(region);
    let (mut at, mut last) = (tail, ring.header(tail));
    for _ in 0..count {
        let back = u64::from(last.back);
        let whole = front.floor_after_reading() <= at;
        if !whole || back < HEADER || !back.is_multiple_of(UNIT) || back > at - floor.min(at) {
            break;
        }
        let before = ring.header(at - back);
        if front.floor_after_reading() > at - back {
            break;
        }
        (at, last) = (at - back, before);
    }
    (at, last.sequence)
}
