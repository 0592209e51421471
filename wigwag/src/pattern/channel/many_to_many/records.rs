//! Records: how senders and receivers come to a part of a ring of bytes that is theirs, as long as a message needs it.
//!
//! Positions count cells, for ever. A record begins at a cell and takes as many as its message needs; beside the ring each
//! cell has a [word](Record), and all that is decided about a record is decided by a swap of that of its first cell.
//! A claim says in one step where a record begins and ends, so a claimant that is killed leaves no gap of unknown length.
//!
//! From the position of any record one comes to the next as long as its word is of the lap of that position. The first
//! position of which that is an earlier lap is the tail. It stays so, as nobody claims what lies behind an unclaimed cell,
//! until that very word changes; hence the swap that claims needs no other word to be sure of the place. A later lap
//! tells that the position is out of date.
//!
//! `floor` is a position before which all is done. Only senders that find no room raise it, over what is done by then;
//! a record fits when it ends at most a ring's length behind it. `tail` and `head` are hints where to begin to look: positions of
//! records, never ahead of the truth; one that comes late and sets a hint back costs others a few looks.
//!
//! Who waits for the room of a long message would wait for ever among others that fill each gap with short ones. So it
//! takes a place in the line: a claim of yet unknown length at the tail, behind which nobody claims anything.
//!
//! | step | what a kill after it leaves |
//! |---|---|
//! | sender swaps its place → claimed | a claim without a living owner: whoever waits there undoes it, nothing was sent |
//! | sender swaps its place → in line | the same, of one cell |
//! | sender writes the message | the same |
//! | sender stores full (release) | a message sent |
//! | receiver swaps full → held | a message held by nobody alive: whoever notices makes it full again |
//! | receiver stores done (release) | a message received |
//!
//! A cell in which for long no record began has a word of long ago. So that its lap is not taken for a new one when laps
//! have come round, now and then those inside a record are written too.

use std::ptr::NonNull;

use super::super::region::Region;
use super::claim::{Line, Words};
use super::queue::{Attempt, Broken, Queue};
use super::record::{CELL, Measure, Record, State};
use super::word::Owner;
use crate::sys::atomic::{AtomicU64, Ordering, mutated};

/// What the model checker runs.
#[cfg(loom)]
pub mod model;
#[cfg(all(test, not(loom)))]
mod tests;

/// In every so manieth lap the words inside a record are written.
const REFRESH: u64 = 1024;

/// The control words; the words of the cells follow.
#[repr(C)]
pub(super) struct Front {
    pub(super) words: Words,
    /// Before it all is done. It only grows.
    pub(super) floor: Line,
}

/// Where the words are.
pub(super) trait Cells {
    /// The control words.
    fn front(&self) -> &Front;

    /// The word of cell `index`, which is less than their number.
    fn word(&self, index: u64) -> &AtomicU64;
}

/// A record that was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Of its first cell.
    pub(super) position: u64,
    /// The bytes of its message.
    pub(super) len: usize,
    /// The cells that are taken.
    size: u64,
}

impl Place {
    /// The same for a shorter message.
    pub(super) fn with_len(self, len: usize) -> Self {
        let len = len.min(self.len);
        Place { len, ..self }
    }
}

/// Where one end looks next, and how it claims.
#[derive(Debug)]
pub(super) struct Cursor {
    next: u64,
    returned: u64,
    /// Whether it looks behind the head, for messages that were returned.
    behind: bool,
    measure: Measure,
    owner: Owner,
    /// Whether it takes a place in the line when there is no room.
    patient: bool,
    /// Its place in the line.
    line: Option<u64>,
    /// Whether it only looks: what it finds it leaves to others.
    guest: bool,
}

fn weakened(what: &str, order: Ordering) -> Ordering {
    match mutated(what) {
        true => Ordering::Relaxed,
        false => order,
    }
}

impl Cursor {
    pub(super) fn new(measure: Measure, owner: Owner) -> Self {
        Cursor {
            next: 0,
            // Its first look is at the whole ring.
            returned: u64::MAX,
            behind: false,
            measure,
            owner,
            patient: false,
            line: None,
            guest: false,
        }
    }

    /// One of the same owner that only looks: what it says to have claimed is still there for others.
    fn guest(&self) -> Self {
        Cursor {
            guest: true,
            ..self.at_floor()
        }
    }

    /// One of the same owner that begins at the floor.
    fn at_floor(&self) -> Self {
        Cursor {
            guest: self.guest,
            ..Cursor::new(self.measure, self.owner)
        }
    }

    fn word<'a>(&self, cells: &'a impl Cells, at: u64) -> &'a AtomicU64 {
        cells.word(self.measure.index(at))
    }

    /// So many steps lead to the tail whatever honest peers do meanwhile: a position that is behind by laps is given up for the hints.
    fn patience(&self) -> u64 {
        4 * self.measure.cells() + (1 << 16)
    }

    /// The position of the record after this one.
    #[inline(always)]
    fn after(&self, at: u64, record: Record) -> Result<u64, Broken> {
        let len = self.measure.len(record).ok_or(Broken)?;
        Ok(at.wrapping_add(self.measure.size(len)))
    }

    /// Where to go on from a position whose cell is laps ahead: not before the floor, which is beyond it, since the cell
    /// could not have been claimed again otherwise.
    #[cold]
    fn beyond(&self, cells: &impl Cells, at: u64) -> Result<u64, Broken> {
        let floor = cells.front().floor.0.load(Ordering::Acquire);
        match floor > at {
            true => Ok(floor),
            false => Err(Broken),
        }
    }

    /// Claims room for a message of so many bytes, for a sender.
    #[inline]
    pub(super) fn claim_free(&mut self, cells: &impl Cells, len: usize) -> Attempt<Place> {
        let measure = self.measure;
        let size = measure.size(len);
        if let Some(at) = self.line {
            return self.claim_in_line(cells, at, len);
        }
        let hint = &cells.front().words.tail.0;
        let mut at = self.next.max(hint.load(Ordering::Relaxed));
        for _ in 0..self.patience() {
            let word = self.word(cells, at);
            let record = Record(word.load(Ordering::Acquire));
            match measure.ahead(record, at) {
                0 if measure.is_in_line(record) && !mutated("records-line") => {
                    self.next = at;
                    let own = self.guest && record == measure.in_line(at, self.owner);
                    let place = self.place(at, len);
                    return Ok((own && self.fits(cells, place)?).then_some(place));
                }
                0 => at = self.after(at, record)?,
                ahead if ahead > 0 => {
                    at = self.beyond(cells, at)?.max(hint.load(Ordering::Relaxed));
                }
                _ => {
                    let used = at.wrapping_sub(self.floor(cells, at, size));
                    if used > measure.cells() {
                        // The floor has overtaken us.
                        at = cells.front().floor.0.load(Ordering::Acquire);
                        continue;
                    }
                    let fits = used + size <= measure.cells();
                    if self.guest {
                        self.next = at;
                        return Ok(fits.then_some(self.place(at, len)));
                    }
                    let ours = match fits {
                        true => measure.claimed(at, len, self.owner),
                        false if self.patient && used < measure.cells() => {
                            measure.in_line(at, self.owner)
                        }
                        false => {
                            self.next = at;
                            return Ok(None);
                        }
                    };
                    // Who finds this cell a lap ahead must find the floor that we have seen.
                    let order = weakened("records-claim", Ordering::Release);
                    let claimed = word.compare_exchange(record.0, ours.0, order, Ordering::Relaxed);
                    match (claimed, fits) {
                        (Ok(_), true) => return Ok(Some(self.claimed(cells, at, len))),
                        (Ok(_), false) => {
                            (self.next, self.line) = (at, Some(at));
                            return Ok(None);
                        }
                        (Err(_), _) => {}
                    }
                }
            }
        }
        Err(Broken)
    }

    /// Claims from one's place in the line.
    fn claim_in_line(&mut self, cells: &impl Cells, at: u64, len: usize) -> Attempt<Place> {
        if !self.fits(cells, self.place(at, len))? {
            return Ok(None);
        }
        let ours = self.measure.claimed(at, len, self.owner);
        self.word(cells, at).store(ours.0, Ordering::Release);
        self.line = None;
        Ok(Some(self.claimed(cells, at, len)))
    }

    /// Whether there is room for a record where a place in the line is.
    fn fits(&self, cells: &impl Cells, place: Place) -> Result<bool, Broken> {
        let Place { position, size, .. } = place;
        let used = position.wrapping_sub(self.floor(cells, position, size));
        match used <= self.measure.cells() {
            true => Ok(used + size <= self.measure.cells()),
            false => Err(Broken),
        }
    }

    /// The place of a message of so many bytes.
    #[inline(always)]
    fn place(&self, position: u64, len: usize) -> Place {
        let size = self.measure.size(len);
        Place {
            position,
            len,
            size,
        }
    }

    /// What is to be done about a new claim.
    #[inline(always)]
    fn claimed(&mut self, cells: &impl Cells, position: u64, len: usize) -> Place {
        let place = self.place(position, len);
        let size = place.size;
        self.next = position.wrapping_add(size);
        let hint = &cells.front().words.tail.0;
        hint.store(self.next, Ordering::Relaxed);
        let lap = |at| self.measure.lap(at).is_multiple_of(REFRESH);
        if size > 1 && (lap(position) || lap(self.next)) {
            for at in (1..size).map(|cell| position.wrapping_add(cell)) {
                let inside = self.measure.done(at, 0);
                self.word(cells, at).store(inside.0, Ordering::Release);
            }
        }
        place
    }

    /// The floor; raised, when a record of this size at the tail does not fit.
    #[inline(always)]
    fn floor(&self, cells: &impl Cells, at: u64, size: u64) -> u64 {
        let order = weakened("records-floor", Ordering::Acquire);
        let floor = cells.front().floor.0.load(order);
        match at.wrapping_sub(floor).wrapping_add(size) <= self.measure.cells() {
            true => floor,
            false => self.raise(cells, floor),
        }
    }

    /// Raises the floor over what is done.
    #[cold]
    #[inline(never)]
    fn raise(&self, cells: &impl Cells, floor: u64) -> u64 {
        let mut at = floor;
        while at.wrapping_sub(floor) < self.measure.cells() {
            let order = weakened("records-done", Ordering::Acquire);
            let record = Record(self.word(cells, at).load(order));
            let done = self.measure.ahead(record, at) == 0 && record.state() == State::Done;
            match self.after(at, record) {
                Ok(after) if done => at = after,
                _ => break,
            }
        }
        if at == floor {
            return floor;
        }
        let order = weakened("records-raise", Ordering::AcqRel);
        cells.front().floor.0.fetch_max(at, order).max(at)
    }

    /// From now on it takes a place in the line when there is no room.
    pub(super) fn stand_in_line(&mut self) {
        self.patient = true;
    }

    /// No longer; whether it had one.
    pub(super) fn leave_line(&mut self, cells: &impl Cells) -> bool {
        self.patient = false;
        let Some(at) = self.line.take() else {
            return false;
        };
        let left = self.measure.done(at, 0);
        self.word(cells, at).store(left.0, Ordering::Release);
        self.next = at.wrapping_add(1);
        true
    }

    /// Claims the oldest message, for a receiver.
    #[inline]
    pub(super) fn claim_full(&mut self, cells: &impl Cells) -> Attempt<Place> {
        let measure = self.measure;
        let Front { words, floor } = cells.front();
        let returned = words.returned.0.load(Ordering::Acquire);
        if returned != self.returned {
            self.returned = returned;
            self.behind = true;
            self.next = floor.0.load(Ordering::Acquire);
        }
        let mut at = self.next;
        if !self.behind {
            at = at.max(words.head.0.load(Ordering::Relaxed));
        }
        for _ in 0..self.patience() {
            let word = self.word(cells, at);
            let record = Record(word.load(weakened("records-take", Ordering::Acquire)));
            match measure.ahead(record, at) {
                0 => match record.state() {
                    State::Full => {
                        let len = measure.len(record).ok_or(Broken)?;
                        let place = self.place(at, len);
                        if self.guest {
                            self.next = at;
                            return Ok(Some(place));
                        }
                        let ours = measure.held(at, len, self.owner);
                        // The look before has seen what the sender wrote, and a word does not come again.
                        let order = Ordering::Relaxed;
                        if word
                            .compare_exchange(record.0, ours.0, order, order)
                            .is_err()
                        {
                            continue;
                        }
                        self.next = at.wrapping_add(place.size);
                        if !self.behind || words.head.0.load(Ordering::Relaxed) < self.next {
                            words.head.0.store(self.next, Ordering::Relaxed);
                        }
                        return Ok(Some(place));
                    }
                    State::Held | State::Done => at = self.after(at, record)?,
                    State::Claimed => {
                        (self.next, self.behind) = (at, false);
                        return Ok(None);
                    }
                },
                ahead if ahead > 0 => at = self.beyond(cells, at)?,
                _ => {
                    (self.next, self.behind) = (at, false);
                    return Ok(None);
                }
            }
        }
        Err(Broken)
    }

    /// Makes a claimed record full.
    #[inline]
    pub(super) fn publish(&self, cells: &impl Cells, place: Place) {
        let size = self.measure.size(place.len);
        if size < place.size {
            // What turned out not to be needed becomes a record of its own, before anybody can come to it.
            let at = place.position.wrapping_add(size);
            let rest = (place.size - size) * CELL;
            let rest = self.measure.done(at, rest as usize);
            self.word(cells, at).store(rest.0, Ordering::Release);
        }
        let full = self.measure.full(place.position, place.len);
        let order = weakened("records-publish", Ordering::Release);
        self.word(cells, place.position).store(full.0, order);
    }

    /// Done with a record: the message was read, or none was written.
    #[inline]
    pub(super) fn free(&self, cells: &impl Cells, place: Place) {
        let done = self.measure.done(place.position, place.len);
        let order = weakened("records-free", Ordering::Release);
        self.word(cells, place.position).store(done.0, order);
    }

    /// Makes a message that was held full again.
    pub(super) fn put_back(&self, cells: &impl Cells, place: Place) {
        let full = self.measure.full(place.position, place.len);
        self.word(cells, place.position)
            .store(full.0, Ordering::Release);
        let returned = &cells.front().words.returned.0;
        returned.fetch_add(1, Ordering::AcqRel);
    }

    /// Undoes what dead sitters of a seat had claimed.
    pub(super) fn bury(&self, cells: &impl Cells, seat: usize, is_dead: impl Fn() -> bool) {
        let measure = self.measure;
        let mut at = cells.front().floor.0.load(Ordering::Acquire);
        // All that the dead had claimed fitted behind the floor of then.
        let end = at.wrapping_add(measure.cells());
        while end.wrapping_sub(at).wrapping_sub(1) < measure.cells() {
            let word = self.word(cells, at);
            let record = Record(word.load(Ordering::Acquire));
            match measure.ahead(record, at) {
                0 => {
                    if let Some(undone) = measure.undone(record)
                        && record.seat() == seat
                        && is_dead()
                    {
                        let order = (Ordering::AcqRel, Ordering::Relaxed);
                        // It may be undone already.
                        let _ = word.compare_exchange(record.0, undone.0, order.0, order.1);
                    }
                    match self.after(at, record) {
                        Ok(after) => at = after,
                        // A place in the line, behind which there is nothing; or what no honest peer writes.
                        Err(Broken) => break,
                    }
                }
                ahead if ahead > 0 => match self.beyond(cells, at) {
                    Ok(floor) => at = floor,
                    Err(Broken) => break,
                },
                _ => break,
            }
        }
        // After they are full, so that nobody looks too early and not again; and whatever was found, as one who did the same
        // before may have been killed between the two.
        if !mutated("records-returned") {
            let returned = &cells.front().words.returned.0;
            returned.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// The words in the memory of a channel.
#[derive(Debug, Clone, Copy)]
struct Memory {
    front: NonNull<Front>,
    first: NonNull<AtomicU64>,
}

impl Cells for Memory {
    #[inline(always)]
    fn front(&self) -> &Front {
        // SAFETY: it lies in the region, which the seat of the end keeps mapped.
        unsafe { self.front.as_ref() }
    }

    #[inline(always)]
    fn word(&self, index: u64) -> &AtomicU64 {
        // SAFETY: as many follow the front as there are cells (see `control`), and the index is less.
        unsafe { self.first.add(index as usize).as_ref() }
    }
}

/// Bytes of the control words of a ring of so many bytes.
pub(super) fn control(capacity: u64) -> Option<usize> {
    let words = usize::try_from(capacity / CELL).ok()?;
    words
        .checked_mul(size_of::<AtomicU64>())?
        .checked_add(size_of::<Front>())
}

/// The ring of messages.
#[derive(Debug)]
pub struct Records {
    cursor: Cursor,
    memory: Memory,
    ring: NonNull<u8>,
}

impl Queue for Records {
    type Place = Place;

    fn of(region: &Region, owner: Owner, _: (usize, usize)) -> Self {
        let measure = Measure::of(region.plan().capacity);
        let front = NonNull::from(region.control::<Front>());
        let first = region.behind::<Front>().cast();
        Records {
            cursor: Cursor::new(measure, owner),
            memory: Memory { front, first },
            ring: region.ring(),
        }
    }

    #[inline]
    fn claim_free(&mut self, len: usize) -> Attempt<Place> {
        self.cursor.claim_free(&self.memory, len)
    }

    #[inline]
    fn claim_full(&mut self) -> Attempt<Place> {
        self.cursor.claim_full(&self.memory)
    }

    fn claim_oldest(&self) -> Attempt<Place> {
        self.cursor.at_floor().claim_full(&self.memory)
    }

    #[inline]
    fn publish(&self, place: Place) {
        self.cursor.publish(&self.memory, place);
    }

    #[inline]
    fn free(&self, place: Place) {
        self.cursor.free(&self.memory, place);
    }

    fn put_back(&self, place: Place) {
        self.cursor.put_back(&self.memory, place);
    }

    fn guest(&self) -> Self {
        Records {
            cursor: self.cursor.guest(),
            ..*self
        }
    }

    fn stand_in_line(&mut self) {
        self.cursor.stand_in_line();
    }

    fn leave_line(&mut self) -> bool {
        self.cursor.leave_line(&self.memory)
    }

    fn bury(&self, seat: usize, is_dead: impl Fn() -> bool) {
        self.cursor.bury(&self.memory, seat, is_dead);
    }

    #[inline]
    fn bytes(&self, place: Place) -> *mut u8 {
        let offset = self.cursor.measure.index(place.position) * CELL;
        // SAFETY: inside the ring, which is mapped twice in a row, so that a record as long as it lies behind this.
        unsafe { self.ring.as_ptr().add(offset as usize) }
    }

    fn level(&self) -> u64 {
        let words = &self.memory.front().words;
        let head = words.head.0.load(Ordering::Relaxed);
        let tail = words.tail.0.load(Ordering::Relaxed);
        let cells = tail.saturating_sub(head).min(self.cursor.measure.cells());
        cells * CELL
    }
}
