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

use super::super::region::Region;
use super::Words;
use super::publishing::{Publishing, impossible};
use crate::error::Result;
use crate::sys::copy::copy;

/// Bytes of a header.
pub(super) const HEADER: u64 = 16;
/// A record is a multiple of so many bytes.
const UNIT: u64 = 8;

/// The header of a record.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Header {
    pub(super) sequence: u64,
    pub(super) back: u32,
    pub(super) len: u32,
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

/// Where a position of the ring lies; as many bytes as the ring has lie behind it.
#[inline(always)]
pub(super) fn place(region: &Region, position: u64) -> *mut u8 {
    let offset = position & (region.plan().capacity - 1);
    // SAFETY: inside the ring, which is mapped twice in a row.
    unsafe { region.ring().as_ptr().add(offset as usize) }
}

/// A copy of the header at a position, which may be anything.
#[inline(always)]
pub(super) fn header(region: &Region, position: u64) -> Header {
    let mut header = Header::default();
    // SAFETY: inside the ring; any bytes are a header.
    unsafe {
        copy(
            (&raw mut header).cast(),
            place(region, position),
            size_of::<Header>(),
        )
    };
    header
}

/// The number of the message that is sent next.
pub(super) fn next_sequence(side: &Publishing) -> Result<u64> {
    if !side.tail().is_multiple_of(UNIT) {
        return Err(impossible(side.region(), "send to"));
    }
    Ok(header(side.region(), side.tail()).sequence)
}

/// The first record that begins at `needed` or behind it, given that one begins at `floor`.
pub(super) fn boundary(region: &Region, floor: u64, needed: u64) -> u64 {
    let mut at = floor;
    while at < needed {
        // Also when it is nonsense it gets on; who reads checks for himself.
        at += record(header(region, at).len as usize);
    }
    at
}

/// The position and the number of the message `count` before the tail, or of the oldest that is there.
pub(super) fn walk_back(region: &Region, tail: u64, floor: u64, count: u64) -> (u64, u64) {
    let front = &region.control::<Words>().front;
    let (mut at, mut last) = (tail, header(region, tail));
    for _ in 0..count {
        let back = u64::from(last.back);
        let whole = front.floor_after_reading() <= at;
        if !whole || back < HEADER || !back.is_multiple_of(UNIT) || back > at - floor.min(at) {
            break;
        }
        let before = header(region, at - back);
        if front.floor_after_reading() > at - back {
            break;
        }
        (at, last) = (at - back, before);
    }
    (at, last.sequence)
}
