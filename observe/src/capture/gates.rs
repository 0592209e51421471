//! Gates: what the locks and semaphores in a segment of wigwag's say of themselves.
//!
//! The creator of a segment leaves a table at offset 1024: the number of records (8 bytes), then for each gate that there was
//! room for 32 bytes: its sort in the highest byte of 8 and the offset of its word in the others, and its path. Any program
//! that has the memory may have written there: each offset is checked, and each word is one moment's.

use crate::object::Gate;

const TABLE: u64 = 1024;
/// Before the value there is no gate.
const VALUE: u64 = 4096;
const RECORD: usize = 32;
const MOST: usize = (4096 - TABLE as usize - 8) / RECORD;
const OFFSET: u64 = (1 << 56) - 1;

/// Of the word of a mutex: who waits, and that its owner died.
const WAITERS: u32 = 1 << 31;
const DIED: u32 = 1 << 30;
/// Of the word of a spin lock.
const ID: u64 = (1 << 22) - 1;

/// The gates in memory of `len` bytes, of which `read` reads some at an offset.
pub(super) fn table(len: u64, read: impl Fn(u64, &mut [u8]) -> Option<()>) -> Vec<Gate> {
    let mut bytes = [0; 8 + MOST * RECORD];
    if read(TABLE, &mut bytes).is_none() {
        return Vec::new();
    }
    let (count, records) = bytes.split_at(8);
    let count = u64::from_ne_bytes(std::array::from_fn(|n| count[n]));
    let count = usize::try_from(count).unwrap_or(MOST).min(MOST);
    records
        .chunks(RECORD)
        .take(count)
        .filter_map(|record| {
            let place = u64::from_ne_bytes(std::array::from_fn(|n| record[n]));
            let (sort, offset) = ((place >> 56) as u8, place & OFFSET);
            let kind = kind(sort)?;
            let mut word = [0; 8];
            (offset >= VALUE && offset.checked_add(8)? <= len).then_some(())?;
            read(offset, &mut word)?;
            let path = record[8..].iter().take_while(|byte| **byte != 0);
            let shown = |byte: &u8| match byte {
                b'!'..=b'~' => char::from(*byte),
                _ => '?',
            };
            let gate = Gate {
                kind,
                path: path.map(shown).collect(),
                offset,
                owner: None,
                orphaned: false,
                waited_for: None,
                permits: None,
            };
            Some(said(gate, sort, u64::from_ne_bytes(word)))
        })
        .collect()
}

/// With what its word says.
fn said(mut gate: Gate, sort: u8, word: u64) -> Gate {
    let low = word as u32;
    let owner = |id: u32| (id != 0).then_some(id);
    match sort {
        MUTEX | BARRIER | MONITOR | RWLOCK => {
            gate.orphaned = low & DIED != 0;
            gate.owner = owner(low & !(WAITERS | DIED)).filter(|_| !gate.orphaned);
            gate.waited_for = Some(low & WAITERS != 0);
        }
        SEMAPHORE => gate.permits = Some(low),
        SPIN => gate.owner = owner((word & ID) as u32),
        _ => {}
    }
    gate
}

const MUTEX: u8 = 1;
const SEMAPHORE: u8 = 2;
const BARRIER: u8 = 5;
const MONITOR: u8 = 6;
const RWLOCK: u8 = 7;
const SPIN: u8 = 8;

/// The numbers are those of `wigwag::shared::Sort`.
fn kind(sort: u8) -> Option<&'static str> {
    Some(match sort {
        MUTEX => "mutex",
        SEMAPHORE => "semaphore",
        3 => "robust semaphore",
        4 => "condition variable",
        BARRIER => "barrier",
        MONITOR => "monitor",
        RWLOCK => "readers-writer lock",
        SPIN => "spin lock",
        9 => "ticket lock",
        10 => "once",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_any_bytes_is_read_within_its_bounds() {
        for filling in [0, 1, 7, 0x80, 0xff] {
            for len in [0, 1024, 4096, 4104, 8192, u64::MAX] {
                let gates = table(len, |at, bytes| {
                    assert!(at.checked_add(bytes.len() as u64).is_some());
                    bytes.fill(filling);
                    Some(())
                });
                assert!(gates.len() <= MOST);
                gates
                    .iter()
                    .for_each(|gate| assert!(!gate.to_string().is_empty()));
            }
        }
    }
}
