//! Channel: who sends and receives through a channel of wigwag's, and how full it is, as its memory says.
//!
//! It is a segment whose type name says so. On the page behind the header lies the setup, then the seats of the ends:
//!
//! | offset | what |
//! |---|---|
//! | 4096 | capacity, policy, number of seats, creator; each 8 bytes |
//! | 4352.. | seats of 128 bytes: at 8 the life word, at 16 the holder, whose highest bits are its role; at 64 a broadcast receiver's cursor |
//! | then | the words of the flavour |
//! | next page | the ring; of one-to-one messages: length in 4 bytes, bytes, up to a multiple of 8 |
//!
//! | flavour | its words |
//! |---|---|
//! | one-to-one | tail, how much was dropped; at 128 head |
//! | many-to-many | tail; at 128 head; at 384 how much was dropped; of messages at 640 floor, from 768 on a word for each 64 bytes of the ring |
//! | broadcast | tail; at 64 how much was dropped |
//! | latest | how many were sent, times 64 |

use super::segments::Segment;
use crate::object::{Fill, Object, Unit, Value};
use crate::proc::{ProcFs, Scratch};

/// Where the setup is, and the first seat.
const SETUP: u64 = 4096;
const SEATS: u64 = 4352;
const SEAT: usize = 128;
/// More are not looked at.
const MOST: u64 = 512;
/// What goes through a channel of bytes, in words.
const MESSAGES: &str = "messages";
/// How a policy is called.
const POLICIES: [&str; 4] = ["wait", "fail", "drop-newest", "overwrite-oldest"];
/// Bits of a holder's word: thread or process id, then the lower bits of its start; at last the role.
const ID: u64 = (1 << 22) - 1;
const ROLE: u32 = 62;
/// Of a life word: its owner was killed.
const DIED: u32 = 1 << 30;

/// What a channel says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Channel {
    segment: Segment,
    flavour: String,
    element: String,
    capacity: u64,
    full: u64,
    seats: Vec<Seat>,
    inside: Option<Inside>,
}

/// What waits in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inside {
    /// What makes a sender wait; of broadcast, for the slowest receiver.
    fill: Fill,
    /// Messages, where that is bytes and they could be counted.
    messages: Option<u64>,
    /// Values or messages that were dropped.
    lost: Option<u64>,
    /// How many were ever sent, where that is counted.
    sent: Option<u64>,
}

/// One end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seat {
    pid: u32,
    sends: bool,
    killed: bool,
    /// Of a receiver of a broadcast: how far it is.
    cursor: u64,
}

impl Channel {
    /// The channel that a segment is; `read` reads bytes at an offset of its memory.
    pub(super) fn of(
        segment: &Segment,
        read: impl Fn(u64, &mut [u8]) -> Option<()>,
    ) -> Option<Channel> {
        let (flavour, element) = segment.type_name().split_once(" channel of ")?;
        let mut setup = [0; 32];
        read(SETUP, &mut setup)?;
        let [capacity, full, count, _] = words(&setup)?;
        let count = count.min(MOST);
        let mut bytes = vec![0; count as usize * SEAT];
        read(SEATS, &mut bytes)?;
        let words = SEATS + count * SEAT as u64;
        let seats: Vec<Seat> = bytes.chunks_exact(SEAT).filter_map(Seat::parse).collect();
        let of_messages = element == MESSAGES;
        let inside = match flavour {
            "one-to-one" => Inside::one_to_one(words, capacity, of_messages, &read),
            "many-to-many" => Inside::many_to_many(words, capacity, of_messages, &read),
            "broadcast" => Inside::broadcast(words, capacity, of_messages, &seats, &read),
            "latest" => Inside::latest(words, &read),
            _ => None,
        };
        Some(Channel {
            segment: segment.clone(),
            flavour: flavour.into(),
            element: element.into(),
            capacity,
            full,
            seats,
            inside,
        })
    }

    /// Adds what it says to the object it is in.
    pub(super) fn describe(&self, object: &mut Object, proc: &ProcFs, scratch: &mut Scratch) {
        if !super::patterns::become_pattern(object, "channel") {
            return;
        }
        if let Some(inside) = self.inside {
            object.fill.insert(0, inside.fill);
            if let Some(messages) = inside.messages {
                object.fill.insert(1, Fill::new(messages, Unit::Messages));
            }
            let lost = match POLICIES.get(self.full as usize) {
                Some(&"overwrite-oldest") => "overwritten",
                _ => "dropped",
            };
            for (name, count) in [(lost, inside.lost), ("sent", inside.sent)] {
                if let Some(count) = count {
                    let count = i64::try_from(count).unwrap_or(i64::MAX);
                    object.detail(name, Value::Number(count));
                }
            }
        }
        object.detail("flavour", Value::Text(self.flavour.clone()));
        object.detail("carries", Value::Text(self.element.clone()));
        let capacity = i64::try_from(self.capacity).unwrap_or(i64::MAX);
        object.detail("capacity", Value::Number(capacity));
        let policy = usize::try_from(self.full)
            .ok()
            .and_then(|full| POLICIES.get(full));
        object.detail("when_full", Value::Text((*policy.unwrap_or(&"?")).into()));
        let of = |sends: bool, killed: bool| {
            let seats = self.seats.iter().filter(move |seat| seat.sends == sends);
            let pids = seats.filter(move |seat| seat.killed == killed);
            Value::Numbers(pids.map(|seat| seat.pid.into()).collect())
        };
        // Their numbers mean nothing in another pid namespace.
        if self.segment.means_here(proc, scratch) {
            object.detail("senders", of(true, false));
            object.detail("receivers", of(false, false));
            if self.seats.iter().any(|seat| seat.killed) {
                let dead = self.seats.iter().filter(|seat| seat.killed);
                let dead = dead.map(|seat| seat.pid.into()).collect();
                object.detail("killed", Value::Numbers(dead));
            }
        }
    }
}

impl Inside {
    fn one_to_one(
        at: u64,
        capacity: u64,
        of_messages: bool,
        read: impl Fn(u64, &mut [u8]) -> Option<()>,
    ) -> Option<Inside> {
        let mut lines = [0; 256];
        read(at, &mut lines)?;
        let [tail, lost] = words(&lines)?;
        let [head] = words(&lines[128..])?;
        let level = tail.wrapping_sub(head);
        if level > capacity || !capacity.is_power_of_two() {
            return None;
        }
        let messages = of_messages.then(|| {
            let page = rustix::param::page_size() as u64;
            let ring = (at + lines.len() as u64).next_multiple_of(page);
            count_messages(head, tail, |position, length| {
                read(ring + (position & (capacity - 1)), length)
            })
        });
        Some(Inside {
            fill: filled(level, capacity, of_messages)?,
            messages: messages.flatten(),
            lost: Some(lost),
            sent: None,
        })
    }

    fn many_to_many(
        at: u64,
        capacity: u64,
        of_messages: bool,
        read: impl Fn(u64, &mut [u8]) -> Option<()>,
    ) -> Option<Inside> {
        let mut lines = [0; 512];
        read(at, &mut lines)?;
        let [tail] = words(&lines)?;
        let [head] = words(&lines[128..])?;
        let [lost] = words(&lines[384..])?;
        let (level, messages) = match of_messages {
            true => {
                let (bytes, messages) = records(at, capacity, &read)?;
                (bytes, Some(messages))
            }
            false => {
                // Both are hints: one may be a little behind.
                let level = tail.wrapping_sub(head);
                let level = if level > u64::MAX / 2 { 0 } else { level };
                (level.min(capacity), None)
            }
        };
        Some(Inside {
            fill: filled(level, capacity, of_messages)?,
            messages,
            lost: Some(lost),
            sent: None,
        })
    }

    fn broadcast(
        at: u64,
        capacity: u64,
        of_messages: bool,
        seats: &[Seat],
        read: impl Fn(u64, &mut [u8]) -> Option<()>,
    ) -> Option<Inside> {
        let mut lines = [0; 128];
        read(at, &mut lines)?;
        let [tail] = words(&lines)?;
        let [lost] = words(&lines[64..])?;
        let living = seats.iter().filter(|seat| !seat.sends && !seat.killed);
        // Who has just sat down has no cursor yet.
        let behind = living.map(|seat| tail.wrapping_sub(seat.cursor));
        let slowest = behind.filter(|behind| *behind <= capacity).max();
        Some(Inside {
            fill: filled(slowest.unwrap_or(0), capacity, of_messages)?,
            messages: None,
            lost: Some(lost),
            sent: None,
        })
    }

    fn latest(at: u64, read: impl Fn(u64, &mut [u8]) -> Option<()>) -> Option<Inside> {
        let mut line = [0; 8];
        read(at, &mut line)?;
        let [newest] = words(&line)?;
        // The lowest bits name its buffer.
        let sent = newest >> 6;
        Some(Inside {
            fill: Fill::new(sent.min(1), Unit::Messages),
            messages: None,
            lost: None,
            sent: Some(sent),
        })
    }
}

/// How full a ring is; nothing when the numbers cannot be.
fn filled(level: u64, capacity: u64, in_bytes: bool) -> Option<Fill> {
    let unit = if in_bytes {
        Unit::Bytes
    } else {
        Unit::Messages
    };
    (level <= capacity).then(|| Fill::of(level, capacity, unit))
}

/// How many bytes of a ring of records are taken, and how many messages are in it, unless they are too many to count or its words
/// are not what they should be. A word: state, owner, length of the message, lap of its cell.
fn records(
    at: u64,
    capacity: u64,
    read: impl Fn(u64, &mut [u8]) -> Option<()>,
) -> Option<(u64, u64)> {
    const CELL: u64 = 64;
    const ENOUGH: u32 = 10_000;
    const DONE: u64 = 0;
    const CLAIMED: u64 = 1;
    if !capacity.is_power_of_two() || !(CELL..=1 << 32).contains(&capacity) {
        return None;
    }
    let cells = capacity / CELL;
    let word = |at| {
        let mut bytes = [0; 8];
        read(at, &mut bytes)?;
        Some(u64::from_ne_bytes(bytes))
    };
    let lengths = capacity.trailing_zeros() + 1;
    let mut floor = word(at + 640)?;
    let (mut position, mut messages) = (floor, 0);
    for _ in 0..ENOUGH {
        let record = word(at + 768 + (position & (cells - 1)) * 8)?;
        let lap = (position / cells).wrapping_add(1);
        let is_here = record >> (18 + lengths) == lap & (u64::MAX >> (18 + lengths));
        let state = record & 3;
        let len = record >> 18 & ((1 << lengths) - 1);
        // Behind a place in the line, whose length is not known, is nothing.
        if !is_here || state == CLAIMED && len > capacity || position.wrapping_sub(floor) >= cells {
            let taken = position.wrapping_sub(floor).min(cells);
            return Some((taken * CELL, messages));
        }
        if len > capacity {
            return None;
        }
        let next = position.wrapping_add(len.div_ceil(CELL).max(1));
        match state {
            // What is done at the front is as good as free.
            DONE if floor == position => floor = next,
            DONE | CLAIMED => {}
            _ => messages += 1,
        }
        position = next;
    }
    None
}

/// How many records lie between two positions, unless they are too many to count or not what they should be.
fn count_messages(
    head: u64,
    tail: u64,
    length: impl Fn(u64, &mut [u8]) -> Option<()>,
) -> Option<u64> {
    const ENOUGH: u64 = 10_000;
    let (mut position, mut count) = (head, 0);
    while position != tail {
        let mut bytes = [0; 4];
        length(position, &mut bytes)?;
        let record = (u64::from(u32::from_ne_bytes(bytes)) + 4).next_multiple_of(8);
        if record > tail.wrapping_sub(position) || count == ENOUGH {
            return None;
        }
        position = position.wrapping_add(record);
        count += 1;
    }
    Some(count)
}

impl Seat {
    fn parse(bytes: &[u8]) -> Option<Seat> {
        let [_, life, holder] = words::<3>(bytes)?;
        let sends = match holder >> ROLE {
            1 => true,
            2 => false,
            // Free, or not yet sat down, or given up.
            _ => return None,
        };
        Some(Seat {
            pid: (holder & ID) as u32,
            sends,
            killed: life as u32 & DIED != 0,
            cursor: words::<1>(bytes.get(64..)?)?[0],
        })
    }
}

/// The first words of 8 bytes.
fn words<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().ok()?);
    }
    (bytes.len() >= 8 * N).then_some(words)
}
