//! Tests: what takes laps without number, in a few steps.

use super::*;

/// Words without a ring.
struct Bare {
    front: Front,
    words: Vec<AtomicU64>,
}

impl Cells for Bare {
    fn front(&self) -> &Front {
        &self.front
    }

    fn word(&self, index: u64) -> &AtomicU64 {
        &self.words[index as usize]
    }
}

const CELLS: u64 = 4;

/// One through which all has gone up to a position, by messages of two cells.
fn after(position: u64) -> (Bare, Cursor, Cursor) {
    let measure = Measure::of(CELLS * CELL);
    let line = |at| Line(AtomicU64::new(at));
    let front = Front {
        words: Words {
            tail: line(position),
            head: line(position),
            returned: line(0),
            lost: line(0),
            met: line(0),
        },
        floor: line(position),
    };
    let words = (0..CELLS).map(|_| AtomicU64::new(0)).collect();
    let bare = Bare { front, words };
    for at in (position.saturating_sub(CELLS)..position).step_by(2) {
        let done = measure.done(at, 100).0;
        bare.word(measure.index(at)).store(done, Ordering::Relaxed);
    }
    let cursor = |seat| Cursor::new(measure, Owner::new(seat, 1));
    (bare, cursor(0), cursor(1))
}

fn lap(bare: &Bare, measure: Measure, index: u64, position: u64) -> i64 {
    let record = Record(bare.words[index as usize].load(Ordering::Relaxed));
    measure.ahead(record, position)
}

fn go(bare: &Bare, sender: &mut Cursor, receiver: &mut Cursor, len: usize) -> Place {
    let place = sender.claim_free(bare, len).expect("words").expect("room");
    sender.publish(bare, place);
    let taken = receiver.claim_full(bare).expect("words");
    assert_eq!(taken, Some(place));
    receiver.free(bare, place);
    place
}

#[test]
fn a_cell_inside_records_is_written_now_and_then() {
    let measure = Measure::of(CELLS * CELL);
    // The lap before one that is a multiple.
    let start = (REFRESH - 2) * CELLS;
    let (bare, mut sender, mut receiver) = after(start);
    go(&bare, &mut sender, &mut receiver, 100);
    go(&bare, &mut sender, &mut receiver, 100);
    assert!(lap(&bare, measure, 1, start) < 0, "not yet");
    let place = go(&bare, &mut sender, &mut receiver, 100);
    assert_eq!(measure.lap(place.position), REFRESH);
    assert_eq!(lap(&bare, measure, 1, place.position), 0);
    go(&bare, &mut sender, &mut receiver, 100);
    // So a record that begins there now finds a cell that is free.
    go(&bare, &mut sender, &mut receiver, 1);
    go(&bare, &mut sender, &mut receiver, 100);
    let next = go(&bare, &mut sender, &mut receiver, 256);
    assert_eq!(next.position, start + 2 * CELLS + 3);
}

#[test]
fn laps_go_round() {
    // Bits of a lap: 64 without owner, state and the length of up to 256 bytes.
    let laps = 1 << (64 - 18 - 9);
    for rounds in [laps - 3, 5 * laps - 3] {
        let (bare, mut sender, mut receiver) = after(rounds * CELLS);
        // What lies inside records is as old as it gets.
        let measure = Measure::of(CELLS * CELL);
        for index in [1, 3] {
            let old = measure.done((rounds - 2 * REFRESH) * CELLS + index, 0).0;
            bare.words[index as usize].store(old, Ordering::Relaxed);
        }
        for n in 0..40 {
            go(&bare, &mut sender, &mut receiver, 1 + n * 41 % 256);
        }
    }
}

#[test]
fn words_that_lead_nowhere_are_told() {
    for spoil in [
        u64::MAX,
        1 << 63,
        0x5555_5555_5555_5555,
        2 | 511 << 18 | 1 << 27,
    ] {
        let (bare, mut sender, mut receiver) = after(0);
        bare.words[0].store(spoil, Ordering::Relaxed);
        // Whatever they say, it ends.
        let _ = sender.claim_free(&bare, 100);
        let _ = receiver.claim_full(&bare);
        receiver.bury(&bare, 1, || true);
        for hint in [
            &bare.front.words.tail,
            &bare.front.words.head,
            &bare.front.floor,
        ] {
            hint.0.store(spoil, Ordering::Relaxed);
            let _ = sender.claim_free(&bare, 100);
            let _ = receiver.claim_full(&bare);
            receiver.bury(&bare, 1, || true);
        }
    }
    // A length that no ring has.
    let (bare, _, mut receiver) = after(0);
    bare.words[0].store(2 | 511 << 18 | 1 << 27, Ordering::Relaxed);
    assert!(receiver.claim_full(&bare).is_err());
}
