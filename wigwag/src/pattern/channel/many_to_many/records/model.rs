//! Model: what the model checker runs of the records of one channel, in its memory.

use loom::cell::UnsafeCell;
use loom::sync::Arc;

use super::*;

/// A channel of messages that consist of one number, as often as they have cells.
pub struct Model {
    front: Front,
    cells: Vec<(AtomicU64, UnsafeCell<u64>)>,
}

// SAFETY: the cells are guarded by the words, which is what is modelled.
unsafe impl Sync for Model {}
// SAFETY: as above.
unsafe impl Send for Model {}

impl Cells for Model {
    fn front(&self) -> &Front {
        &self.front
    }

    fn word(&self, index: u64) -> &AtomicU64 {
        &self.cells[index as usize].0
    }
}

/// One end of it.
pub struct End {
    model: Arc<Model>,
    cursor: Cursor,
}

impl Model {
    /// One with a power of two of cells.
    pub fn new(cells: usize) -> Arc<Model> {
        let line = || Line(AtomicU64::new(0));
        let cell = || (AtomicU64::new(0), UnsafeCell::new(0));
        Arc::new(Model {
            front: Front {
                words: Words {
                    tail: line(),
                    head: line(),
                    returned: line(),
                    lost: line(),
                    met: line(),
                },
                floor: line(),
            },
            cells: (0..cells).map(|_| cell()).collect(),
        })
    }
}

impl End {
    /// The end of a seat.
    pub fn new(model: &Arc<Model>, seat: usize) -> End {
        let measure = Measure::of(model.cells.len() as u64 * CELL);
        let mut cursor = Cursor::new(measure, Owner::new(seat, 1));
        // What was returned before it came is nothing here.
        cursor.returned = 0;
        let model = model.clone();
        End { model, cursor }
    }

    /// Sends a message of so many cells if there is room.
    pub fn try_send(&mut self, size: usize, number: u64) -> bool {
        let Some(place) = self.claim(size) else {
            return false;
        };
        self.put(place, number);
        self.cursor.publish(&*self.model, place);
        true
    }

    /// Claims so many cells, and needs but the first.
    pub fn try_send_shortened(&mut self, size: usize, number: u64) -> bool {
        let Some(place) = self.claim(size) else {
            return false;
        };
        let place = place.with_len(CELL as usize);
        self.put(Place { size: 1, ..place }, number);
        self.cursor.publish(&*self.model, place);
        true
    }

    /// Takes a place in the line for the next messages.
    pub fn stand_in_line(&mut self) {
        self.cursor.stand_in_line();
    }

    /// Leaves it.
    pub fn leave_line(&mut self) -> bool {
        self.cursor.leave_line(&*self.model)
    }

    /// Claims room and writes half of a message, as one does who is killed then.
    pub fn die_sending(mut self, size: usize) {
        if let Some(place) = self.claim(size) {
            self.put(place, u64::MAX);
        }
    }

    fn claim(&mut self, size: usize) -> Option<Place> {
        let claimed = self.cursor.claim_free(&*self.model, size * CELL as usize);
        claimed.expect("words that honest ends leave")
    }

    fn cells_of(&self, place: Place) -> impl Iterator<Item = &UnsafeCell<u64>> {
        let index = move |cell| self.cursor.measure.index(place.position.wrapping_add(cell));
        (0..place.size).map(move |cell| &self.model.cells[index(cell) as usize].1)
    }

    fn put(&self, place: Place, number: u64) {
        for cell in self.cells_of(place) {
            // SAFETY: the record is claimed, which is what is modelled.
            cell.with_mut(|cell| unsafe { *cell = number });
        }
    }

    /// Receives a message if there is one.
    pub fn try_recv(&mut self) -> Option<u64> {
        let (place, number) = self.take()?;
        self.cursor.free(&*self.model, place);
        Some(number)
    }

    /// Holds a message and looks at it, as one does who is killed then.
    pub fn die_receiving(mut self) -> Option<u64> {
        self.take().map(|(_, number)| number)
    }

    fn take(&mut self) -> Option<(Place, u64)> {
        let claimed = self.cursor.claim_full(&*self.model);
        let place = claimed.expect("words that honest ends leave")?;
        // SAFETY: the record is held, which is what is modelled.
        let numbers = self
            .cells_of(place)
            .map(|cell| cell.with(|cell| unsafe { *cell }));
        let numbers: Vec<u64> = numbers.collect();
        assert!(numbers.iter().all(|number| *number == numbers[0]), "torn");
        Some((place, numbers[0]))
    }

    /// Undoes what the dead one of a seat had claimed.
    pub fn bury(&self, seat: usize) {
        self.cursor.bury(&*self.model, seat, || true);
    }
}
