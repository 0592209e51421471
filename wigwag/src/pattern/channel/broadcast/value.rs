//! Value: values of one type, written in place, and read in place or as a copy that is known to be whole.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::subscribed::ATTEMPTS;
use super::{Full, Receiver, Sender};
use crate::error::{Kind, Result};
use crate::shared::Plain;
use crate::sys::copy::copy;
use crate::wait::{Deadline, Wait};

/// Positions are values, so each of them is a boundary.
fn boundary(_: u64, needed: u64) -> u64 {
    needed
}

impl<T: Plain> Sender<T> {
    /// Sends one value to all; waits for room, unless the channel was made otherwise ([`Full`]).
    ///
    /// # Errors
    /// `WouldBlock` when it is full and was made to fail; `Corrupt`.
    #[inline(always)]
    pub fn send(&mut self, value: T) -> Result<()> {
        if !self.side.has_room(1) && !self.side.room(1, Deadline::Never, boundary)? {
            return Ok(());
        }
        self.put(value);
        Ok(())
    }

    /// Sends one value if there is room, and says whether.
    ///
    /// # Errors
    /// `Corrupt`.
    #[inline(always)]
    pub fn try_send(&mut self, value: T) -> Result<bool> {
        if !self.side.has_room(1) && !self.try_room()? {
            return Ok(false);
        }
        self.put(value);
        Ok(true)
    }

    /// The same as [`send`](Self::send), waiting no longer than `limit`.
    ///
    /// # Errors
    /// As there, and `TimedOut`.
    pub fn send_timeout(&mut self, value: T, limit: Duration) -> Result<()> {
        let deadline = Wait::For(limit).into();
        if !self.side.has_room(1) && !self.side.room(1, deadline, boundary)? {
            return Ok(());
        }
        self.put(value);
        Ok(())
    }

    /// A place for the next value, to be filled and sent; it holds anything before. Waits for room like [`send`](Self::send).
    ///
    /// # Errors
    /// As there; a channel that drops the newest counts it as dropped and says `WouldBlock`.
    #[inline(always)]
    pub fn loan(&mut self) -> Result<Loan<'_, T>> {
        if !self.side.has_room(1) && !self.side.room(1, Deadline::Never, boundary)? {
            return Err(self.side.in_vain(Deadline::Now));
        }
        Ok(self.lend())
    }

    /// The same if there is room.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn try_loan(&mut self) -> Result<Option<Loan<'_, T>>> {
        Ok((self.row(1)? > 0).then(|| self.lend()))
    }

    /// Sends many, which the receivers see in steps as large as there is room. How many were sent: all, unless the channel was
    /// made to drop.
    ///
    /// # Errors
    /// As for [`send`](Self::send); some of them may have been sent.
    pub fn send_many(&mut self, values: &[T]) -> Result<usize> {
        let (mut sent, mut rest) = (0, values);
        while !rest.is_empty() {
            let now = self.put_many(rest)?;
            sent += now;
            rest = &rest[now..];
            if now == 0 && !self.side.room(1, Deadline::Never, boundary)? {
                rest = &rest[1..];
            }
        }
        Ok(sent)
    }

    /// Sends as many as there is room for, and says how many.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn try_send_many(&mut self, values: &[T]) -> Result<usize> {
        let mut sent = 0;
        while sent < values.len() {
            match self.put_many(&values[sent..])? {
                0 => break,
                now => sent += now,
            }
        }
        Ok(sent)
    }

    /// Places for up to `most` values that lie side by side, at least one; waits for room like [`send`](Self::send).
    ///
    /// In a channel that overwrites the oldest, room is made for all of them, also if fewer are sent.
    ///
    /// # Errors
    /// As for [`loan`](Self::loan); `BadInput` for none.
    pub fn loan_many(&mut self, most: usize) -> Result<LoanMany<'_, T>> {
        if most == 0 {
            let why = "a loan is of one value at least";
            return Err(self.side.error(Kind::BadInput, why));
        }
        let mut count = self.row(most)?;
        if count == 0 {
            if !self.side.room(1, Deadline::Never, boundary)? {
                return Err(self.side.in_vain(Deadline::Now));
            }
            count = self.row(most)?;
        }
        let place = match self.side.wary {
            true => self.scratch.values(count),
            false => self.slot(),
        };
        Ok(LoanMany {
            sender: self,
            place,
            count,
        })
    }

    /// How many of `most` values have room side by side, without waiting; those that are overwritten make room.
    #[inline]
    fn row(&mut self, most: usize) -> Result<usize> {
        let index = self.side.tail() & (self.side.capacity() - 1);
        let row = (self.side.capacity() - index).min(most as u64);
        if !self.side.has_room(row) {
            if self.side.overwrites {
                self.side.room(row, Deadline::Now, boundary)?;
            } else if !self.side.may_have(row)? && self.side.known() == 0 {
                // Not for so many; what there is for fewer, it says behind this.
                let _ = self.side.look(1);
            }
        }
        Ok(row.min(self.side.known()) as usize)
    }

    /// Sends as many as have room side by side.
    fn put_many(&mut self, values: &[T]) -> Result<usize> {
        let count = self.row(values.len())?;
        if count > 0 {
            self.put_row(&values[..count]);
        }
        Ok(count)
    }

    #[cold]
    #[inline(never)]
    fn try_room(&mut self) -> Result<bool> {
        match self.side.full() {
            Full::Wait | Full::Fail => self.side.may_have(1),
            Full::DropNewest | Full::OverwriteOldest => self.side.room(1, Deadline::Now, boundary),
        }
    }

    /// Where the next value lies.
    #[inline(always)]
    fn slot(&self) -> *mut T {
        let index = self.side.tail() & (self.side.capacity() - 1);
        // SAFETY: the ring has `capacity` values, a power of two, and the index is less.
        unsafe { self.side.ring().cast::<T>().as_ptr().add(index as usize) }
    }

    #[inline(always)]
    fn put(&mut self, value: T) {
        let slot = self.slot();
        if self.side.overwrites || self.side.wary {
            // SAFETY: a slot of the ring; whoever else looks at it, or writes there, does so by such copies, and believes nothing
            // that was written meanwhile.
            unsafe { copy(slot.cast(), (&raw const value).cast(), size_of::<T>()) };
        } else {
            // SAFETY: a free slot of the ring: each receiver has given it back, and none looks before it is published.
            unsafe { slot.write(value) };
        }
        self.side.publish(self.side.tail() + 1);
    }

    /// Values that lie side by side; there is room.
    fn put_row(&mut self, values: &[T]) {
        // SAFETY: as for one; the caller has seen that they do not go beyond the end of the ring.
        unsafe {
            copy(
                self.slot().cast(),
                values.as_ptr().cast(),
                size_of_val(values),
            )
        };
        self.side.publish(self.side.tail() + values.len() as u64);
    }

    #[inline(always)]
    fn lend(&mut self) -> Loan<'_, T> {
        let place = match self.side.wary {
            true => self.scratch.values(1),
            false => self.slot(),
        };
        Loan {
            sender: self,
            place,
        }
    }
}

/// A place for one value in the ring, not yet sent; given up when dropped.
#[must_use = "a loan that is not sent is given up"]
#[derive(Debug)]
pub struct Loan<'a, T: Plain> {
    sender: &'a mut Sender<T>,
    place: *mut T,
}

impl<T: Plain> Loan<'_, T> {
    /// Sends what was filled in.
    #[inline(always)]
    pub fn send(self) {
        let sender = self.sender;
        if sender.side.wary {
            // SAFETY: as for sending by value.
            unsafe { copy(sender.slot().cast(), self.place.cast(), size_of::<T>()) };
        }
        sender.side.publish(sender.side.tail() + 1);
    }
}

impl<T: Plain> Deref for Loan<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: private memory, or a slot that nobody else writes, at an address that only the sender uses: a receiver
        // that is being overtaken copies from the second mapping and discards what it got. Any bytes are a `T`.
        unsafe { &*self.place }
    }
}

impl<T: Plain> DerefMut for Loan<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and exclusively borrowed.
        unsafe { &mut *self.place }
    }
}

/// Places for values side by side, not yet sent; given up when dropped.
#[must_use = "a loan that is not sent is given up"]
#[derive(Debug)]
pub struct LoanMany<'a, T: Plain> {
    sender: &'a mut Sender<T>,
    place: *mut T,
    count: usize,
}

impl<T: Plain> LoanMany<'_, T> {
    /// Sends the first `count` of them (all, when it has fewer).
    pub fn send(self, count: usize) {
        let count = count.min(self.count);
        let sender = self.sender;
        if sender.side.wary {
            let len = count * size_of::<T>();
            // SAFETY: as for sending by value.
            unsafe { copy(sender.slot().cast(), self.place.cast(), len) };
        }
        if count > 0 {
            sender.side.publish(sender.side.tail() + count as u64);
        }
    }
}

impl<T: Plain> Deref for LoanMany<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: as for one, `count` times.
        unsafe { std::slice::from_raw_parts(self.place, self.count) }
    }
}

impl<T: Plain> DerefMut for LoanMany<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and exclusively borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.place, self.count) }
    }
}

/// What was taken: values from a place on, not yet given back.
struct Taken<T> {
    place: *const T,
    count: u64,
    missed: u64,
}

impl<T: Plain> Receiver<T> {
    /// Receives one value; waits for it.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and the sender has left or was killed; `Corrupt`.
    #[inline(always)]
    pub fn recv(&mut self) -> Result<Received<'_, T>> {
        self.next(Deadline::Never)
    }

    /// Receives one value if there is one.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and the sender has left or was killed; `Corrupt`.
    #[inline(always)]
    pub fn try_recv(&mut self) -> Result<Option<Received<'_, T>>> {
        if self.side.may_have()? == 0 {
            return Ok(None);
        }
        if self.side.copies {
            return Ok(self.copy_out(1)?.map(|taken| self.copied(&taken)));
        }
        Ok(Some(self.in_place()))
    }

    /// Receives one value, waiting no longer than `limit`.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv), and `TimedOut`.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Received<'_, T>> {
        self.next(Wait::For(limit).into())
    }

    /// Receives all values that are there and lie side by side; waits for the first.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_many(&mut self) -> Result<Batch<'_, T>> {
        self.side.look();
        let taken = self.take_waiting(u64::MAX, Deadline::Never)?;
        Ok(Batch {
            receiver: self,
            taken,
        })
    }

    /// The same if there is one at least.
    ///
    /// # Errors
    /// As for [`try_recv`](Self::try_recv).
    pub fn try_recv_many(&mut self) -> Result<Option<Batch<'_, T>>> {
        self.side.look();
        if self.side.may_have()? == 0 {
            return Ok(None);
        }
        let taken = self.take(u64::MAX)?;
        Ok(taken.map(|taken| Batch {
            receiver: self,
            taken,
        }))
    }

    #[inline(always)]
    fn next(&mut self, deadline: Deadline) -> Result<Received<'_, T>> {
        if self.side.copies {
            let taken = self.take_waiting(1, deadline)?;
            return Ok(self.copied(&taken));
        }
        if self.side.published()? == 0 {
            self.side.wait(deadline)?;
        }
        Ok(self.in_place())
    }

    /// The next value where it lies.
    #[inline(always)]
    fn in_place(&mut self) -> Received<'_, T> {
        Received {
            place: self.slot().0,
            missed: 0,
            receiver: self,
        }
    }

    #[inline(always)]
    fn copied(&mut self, taken: &Taken<T>) -> Received<'_, T> {
        Received {
            place: taken.place,
            missed: taken.missed,
            receiver: self,
        }
    }

    fn take_waiting(&mut self, most: u64, deadline: Deadline) -> Result<Taken<T>> {
        loop {
            if let Some(taken) = self.take(most)? {
                return Ok(taken);
            }
            self.side.wait(deadline)?;
            if self.side.overtaken && deadline.passed() {
                return Err(self.side.in_vain(deadline));
            }
        }
    }

    /// Takes up to `most`, where they lie or as a copy.
    fn take(&mut self, most: u64) -> Result<Option<Taken<T>>> {
        let published = self.side.published()?;
        if published == 0 {
            return Ok(None);
        }
        if self.side.copies {
            return self.copy_out(most);
        }
        let (place, row) = self.slot();
        Ok(Some(Taken {
            place,
            count: row.min(published).min(most),
            missed: 0,
        }))
    }

    #[inline(never)]
    fn copy_out(&mut self, most: u64) -> Result<Option<Taken<T>>> {
        for attempt in 0..ATTEMPTS {
            let published = self.side.published()?;
            if published == 0 {
                return Ok(None);
            }
            let (place, row) = self.slot();
            let count = row.min(published).min(most);
            let private: *mut T = self.scratch.values(count as usize);
            // SAFETY: slots of the ring, and private memory; whatever the bytes are, they are values.
            unsafe {
                copy(
                    private.cast(),
                    place.cast(),
                    count as usize * size_of::<T>(),
                )
            };
            let at = self.side.at();
            let gone = match self.side.overtaken_to() {
                None => 0,
                // The front of the batch is gone, the rest is whole.
                Some(floor) if floor - at < count => floor - at,
                Some(floor) => {
                    let (to, _) = self.side.catch_up(floor, attempt)?;
                    self.side.miss(to - at);
                    self.side.skip(to);
                    continue;
                }
            };
            self.side.miss(gone);
            self.side.skip(at + gone);
            return Ok(Some(Taken {
                // SAFETY: fewer than were copied.
                place: unsafe { private.add(gone as usize) },
                count: count - gone,
                missed: self.side.tell_missed(),
            }));
        }
        Ok(None)
    }

    /// Where the next value lies, and how many follow without a break.
    #[inline(always)]
    fn slot(&self) -> (*const T, u64) {
        let capacity = self.side.capacity();
        let index = self.side.at() & (capacity - 1);
        // SAFETY: the ring has `capacity` values, a power of two, and the index is less.
        let slot = unsafe { self.side.ring().cast::<T>().as_ptr().add(index as usize) };
        (slot, capacity - index)
    }

    #[inline(always)]
    fn give_back(&mut self, count: u64) {
        self.side.advance(self.side.at() + count);
    }
}

/// A value in the ring, or a copy of it where it might be overwritten; given back when this is dropped.
pub struct Received<'a, T: Plain> {
    receiver: &'a mut Receiver<T>,
    place: *const T,
    missed: u64,
}

impl<T: Plain> Received<'_, T> {
    /// How many values were overwritten before this receiver came to them, since the one that it received before this.
    #[must_use]
    #[doc(alias = "lagged")]
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

impl<T: Plain> Deref for Received<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a published slot that the sender leaves alone until it is given back, or private memory; any bytes are a `T`.
        unsafe { &*self.place }
    }
}

impl<T: Plain> Drop for Received<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.receiver.give_back(1);
    }
}

impl<T: Plain + std::fmt::Debug> std::fmt::Debug for Received<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

/// Values side by side, in the ring or copied; given back when this is dropped.
pub struct Batch<'a, T: Plain> {
    receiver: &'a mut Receiver<T>,
    taken: Taken<T>,
}

impl<T: Plain> Batch<'_, T> {
    /// How many values were overwritten before the first of these.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.taken.missed
    }
}

impl<T: Plain> Deref for Batch<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: as for one, `count` times.
        unsafe { std::slice::from_raw_parts(self.taken.place, self.taken.count as usize) }
    }
}

impl<T: Plain> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        self.receiver.give_back(self.taken.count);
    }
}

impl<T: Plain + std::fmt::Debug> std::fmt::Debug for Batch<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}
