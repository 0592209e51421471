//! Rust: std's locks are one word without an owner, parking_lot parks each thread on a word of its own: any other thread may
//! be the one that holds the lock. Who is likelier to be it, [`trace`] tells.

use super::{PRIVATE, REALTIME, WAIT, WAIT_BITSET, Word, trace};
use crate::waits::abi::Sys;
use crate::waits::ask::{Ask, Need};

/// What of Rust the word belongs to.
pub(super) fn need(word: &Word<'_>) -> Option<Need> {
    // std waits with a mask and the monotonic clock; glibc with no time limit always says real time.
    if word.command == WAIT_BITSET && !word.realtime {
        let [value] = word.ask.words::<1>(word.address)?;
        let owned = |facility, why: &str| {
            let need = word.anybody(facility, why, "may own it");
            trace::hint(word, word.address, need)
        };
        if let Some(need) = writer(word) {
            return Some(need);
        }
        return Some(match (word.expected, value) {
            (2, 2) => owned("mutex", "is locked; Rust's Mutex does not record by whom"),
            // A reader behind a writer may expect the same, if others wait, too; being parked is more usual.
            (u32::MAX, _) => word.anybody("park", "is parked", "may unpark it"),
            (expected, _) if expected & TAKEN == TAKEN => owned(
                "rwlock",
                "is locked for writing; Rust's RwLock does not record by whom",
            ),
            (expected, _) if expected & WAITING != 0 && expected & TAKEN != 0 => owned(
                "rwlock",
                "is locked for reading; Rust's RwLock does not record by whom",
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

/// The lock of Rust for which a thread of the process seems to wait: its address.
pub(super) fn lock_waited_for(ask: &Ask<'_>) -> Option<u64> {
    if ask.sys != Sys::Futex {
        return None;
    }
    let (address, operation) = (ask.arg(0), ask.arg(1) as u32);
    let expected = ask.arg(2) as u32;
    match operation & !(PRIVATE | REALTIME) {
        WAIT_BITSET => {
            // A writer of an RwLock sleeps behind its state.
            let state = ask.words::<1>(address.wrapping_sub(4))?[0];
            let writer = state & WRITERS_WAIT != 0 && state & TAKEN != 0 && expected != 2;
            Some(if writer { address - 4 } else { address })
        }
        WAIT if expected == 1 => parking(ask, address),
        _ => None,
    }
}

/// A thread parked by parking_lot sleeps on a word of its own, beside which it keeps the address of what it waits for. That is
/// a mutex if the byte there says locked, with threads parked.
fn parking(ask: &Ask<'_>, word: u64) -> Option<u64> {
    let around = word.wrapping_sub(AROUND as u64 / 2);
    let near = ask.bytes(around & !7, AROUND)?;
    let is_lock = |&address: &u64| {
        let byte = || ask.bytes(address, 1);
        address > 0xffff && byte().is_some_and(|byte| byte == [LOCKED | PARKED])
    };
    let words = near.as_chunks::<8>().0.iter();
    words.map(|&word| u64::from_ne_bytes(word)).find(is_lock)
}

fn parked(word: &Word<'_>) -> Need {
    let lock = parking(word.ask, word.address);
    match lock {
        Some(lock) => {
            let mut need = word.anybody(
                "mutex",
                "is locked; parking_lot's Mutex does not record by whom",
                "may own it",
            );
            need.resource = format!("{lock:#x} in process {}", word.ask.seen.pid);
            trace::hint(word, lock, need)
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
    Some(trace::hint(word, base, need))
}

/// A writer waits.
const WRITERS_WAIT: u32 = 0x8000_0000;
/// The reader count of an RwLock; all ones: a writer.
const TAKEN: u32 = 0x3fff_ffff;
/// Readers or writers wait.
const WAITING: u32 = 0xc000_0000;
