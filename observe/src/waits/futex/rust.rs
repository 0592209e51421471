//! Rust: std's locks are one word without an owner, parking_lot parks each thread on a word of its own: any other thread may
//! be the one that holds the lock.

use super::{WAIT, WAIT_BITSET, Word};
use crate::waits::ask::Need;

/// What of Rust the word belongs to.
pub(super) fn need(word: &Word<'_>) -> Option<Need> {
    // std waits with a mask and the monotonic clock; glibc with no time limit always says real time.
    if word.command == WAIT_BITSET && !word.realtime {
        let [value] = word.ask.words::<1>(word.address)?;
        if let Some(need) = writer(word) {
            return Some(need);
        }
        return Some(match (word.expected, value) {
            (2, 2) => word.anybody(
                "mutex",
                "is locked; Rust's Mutex does not record by whom",
                "may own it",
            ),
            // A reader behind a writer may expect the same, if others wait, too; being parked is more usual.
            (u32::MAX, _) => word.anybody("park", "is parked", "may unpark it"),
            (expected, _) if expected & TAKEN == TAKEN => word.anybody(
                "rwlock",
                "is locked for writing; Rust's RwLock does not record by whom",
                "may own it",
            ),
            (expected, _) if expected & WAITING != 0 && expected & TAKEN != 0 => word.anybody(
                "rwlock",
                "is locked for reading; Rust's RwLock does not record by whom",
                "may own it",
            ),
            _ => word.anybody(
                "condvar",
                "waits for a signal on a Condvar, or for another thread",
                "may signal",
            ),
        });
    }
    if word.command == WAIT && word.private && word.expected == 1 {
        return Some(parked(word));
    }
    None
}

/// A thread parked by parking_lot sleeps on a word of its own, beside which it keeps the address of what it waits for. That is
/// a mutex if the byte there says locked, with threads parked.
fn parked(word: &Word<'_>) -> Need {
    let around = word.address.wrapping_sub(AROUND as u64 / 2);
    let near = word.ask.bytes(around & !7, AROUND).unwrap_or_default();
    let lock = near
        .chunks_exact(8)
        .filter_map(|bytes| Some(u64::from_ne_bytes(bytes.try_into().ok()?)))
        .find(|&address| {
            address > 0xffff
                && word
                    .ask
                    .bytes(address, 1)
                    .is_some_and(|byte| byte == [LOCKED | PARKED])
        });
    match lock {
        Some(lock) => {
            let mut need = word.anybody(
                "mutex",
                "is locked; parking_lot's Mutex does not record by whom",
                "may own it",
            );
            need.resource = format!("{lock:#x} in process {}", word.ask.seen.pid);
            need
        }
        None => word.anybody(
            "futex",
            "is parked, by parking_lot or a lock like it",
            "may wake it",
        ),
    }
}

/// Bytes looked at around the word.
const AROUND: usize = 128;
/// The bits of parking_lot's mutex.
const LOCKED: u8 = 1;
const PARKED: u8 = 2;

/// A writer sleeps on a counter behind the lock's state, which says that writers wait.
fn writer(word: &Word<'_>) -> Option<Need> {
    let base = word.address.checked_sub(4)?;
    let [state, counter] = word.ask.words::<2>(base)?;
    if state & WRITERS_WAIT == 0 || state & TAKEN == 0 || counter != word.expected {
        return None;
    }
    let why = match state & TAKEN {
        TAKEN => "is locked for writing; Rust's RwLock does not record by whom".to_owned(),
        readers => format!("is locked by {readers} readers; Rust's RwLock does not record by whom"),
    };
    let mut need = word.anybody("rwlock", &why, "may own it");
    need.resource = word.resource(base);
    Some(need)
}

/// A writer waits.
const WRITERS_WAIT: u32 = 0x8000_0000;
/// The reader count of an RwLock; all ones: a writer.
const TAKEN: u32 = 0x3fff_ffff;
/// Readers or writers wait.
const WAITING: u32 = 0xc000_0000;
