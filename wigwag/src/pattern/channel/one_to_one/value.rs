//! Value: values of one type, written and read in place, one or many at a time.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::link::Side;
use super::{Full, Receiver, Sender};
use crate::error::{Kind, Result};
use crate::shared::Plain;
use crate::sys::copy::copy;
use crate::wait::{Deadline, Wait};

/// Where the value at a position lies, and how many follow it without a break.
#[inline(always)]
fn slot<T: Plain>(side: &Side, position: u64) -> (*mut T, u64) {
    let index = position & (side.capacity() - 1);
    // SAFETY: the ring has `capacity` values, a power of two, and the index is less.
    let slot = unsafe { side.ring().cast::<T>().as_ptr().add(index as usize) };
    (slot, side.capacity() - index)
}

/// Private room for `count` values.
fn scratch<T: Plain>(room: &mut Vec<u64>, count: usize) -> *mut T {
    // More than the alignment of a u64 is made up for by leaving bytes out.
    let bytes = count * size_of::<T>() + align_of::<T>();
    room.resize(room.len().max(bytes.div_ceil(8)), 0);
    let start = room.as_mut_ptr().cast::<u8>();
    // SAFETY: at most the alignment, for which there is room.
    unsafe { start.add(start.align_offset(align_of::<T>())).cast() }
}

impl<T: Plain> Sender<T> {
    /// Sends one value; waits for room, unless the channel was made otherwise ([`Full`]).
    ///
    /// # Errors
    /// `Disconnected` when it is full and the receiver has left or was killed; `WouldBlock` when it is full and was made to fail;
    /// `Corrupt`.
    #[inline(always)]
    pub fn send(&mut self, value: T) -> Result<()> {
        if self.side.known() == 0 && !self.room(1, Deadline::Never)? {
            return Ok(());
        }
        self.put(value);
        Ok(())
    }

    /// Sends one value if there is room, and says whether.
    ///
    /// # Errors
    /// `Disconnected` when it is full and the receiver has left or was killed; `Corrupt`.
    #[inline(always)]
    pub fn try_send(&mut self, value: T) -> Result<bool> {
        if self.side.known() == 0 && !self.try_room()? {
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
        if self.side.known() == 0 && !self.room(1, Wait::For(limit).into())? {
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
        if self.side.known() == 0 && !self.room(1, Deadline::Never)? {
            return Err(self.side.in_vain(Deadline::Now));
        }
        Ok(self.lend())
    }

    /// The same if there is room.
    ///
    /// # Errors
    /// As for [`try_send`](Self::try_send).
    #[inline(always)]
    pub fn try_loan(&mut self) -> Result<Option<Loan<'_, T>>> {
        Ok(self.side.may_have(1)?.then(|| self.lend()))
    }

    /// Sends many; the receiver sees them in steps as large as there is room. How many were sent: all, unless the channel was made to drop.
    ///
    /// # Errors
    /// As for [`send`](Self::send); some of them may have been sent.
    pub fn send_many(&mut self, values: &[T]) -> Result<usize> {
        let mut rest = values;
        while !rest.is_empty() {
            if self.side.known() == 0 && !self.room(1, Deadline::Never)? {
                rest.iter().skip(1).for_each(|_| self.side.lose());
                break;
            }
            let sent = self.put_many(rest);
            rest = &rest[sent..];
        }
        Ok(values.len() - rest.len())
    }

    /// Sends as many as there is room for, and says how many.
    ///
    /// # Errors
    /// `Disconnected` when there is room for none and the receiver has left or was killed; `Corrupt`.
    pub fn try_send_many(&mut self, values: &[T]) -> Result<usize> {
        if !self.side.has(values.len() as u64)? && !values.is_empty() && !self.side.may_have(1)? {
            return Ok(0);
        }
        let first = self.put_many(values);
        // The rest may lie at the start of the ring.
        Ok(first + self.put_many(&values[first..]))
    }

    /// Places for up to `most` values that lie side by side, at least one; waits for room like [`send`](Self::send).
    ///
    /// # Errors
    /// As for [`loan`](Self::loan); `BadInput` for none.
    pub fn loan_many(&mut self, most: usize) -> Result<LoanMany<'_, T>> {
        if most == 0 {
            return Err(self
                .side
                .error(Kind::BadInput, "a loan is of one value at least"));
        }
        let _ = self.side.has(most as u64)?;
        if self.side.known() == 0 && !self.room(1, Deadline::Never)? {
            return Err(self.side.in_vain(Deadline::Now));
        }
        let (mut place, row) = slot::<T>(&self.side, self.side.position());
        let count = row.min(self.side.known()).min(most as u64) as usize;
        if self.side.wary {
            place = scratch(&mut self.scratch, count);
        }
        Ok(LoanMany {
            sender: self,
            place,
            count,
        })
    }

    #[cold]
    #[inline(never)]
    fn try_room(&mut self) -> Result<bool> {
        if self.side.full() != Full::DropNewest {
            return self.side.may_have(1);
        }
        let has = self.side.has(1)?;
        if !has {
            self.side.lose();
        }
        Ok(has)
    }

    /// Room, as the channel was made: `false` when the value was dropped.
    #[cold]
    #[inline(never)]
    fn room(&mut self, count: u64, deadline: Deadline) -> Result<bool> {
        if self.side.has(count)? {
            return Ok(true);
        }
        match self.side.full() {
            Full::Wait => self.side.wait(count, deadline).map(|()| true),
            Full::DropNewest => {
                self.side.lose();
                Ok(false)
            }
            _ => Err(self.side.in_vain(Deadline::Now)),
        }
    }

    #[inline(always)]
    fn put(&mut self, value: T) {
        let (place, _) = slot::<T>(&self.side, self.side.position());
        if self.side.wary {
            // SAFETY: a slot of the ring that nobody else may use; a peer that does gets, or leaves, wrong bytes.
            unsafe { copy(place.cast(), (&raw const value).cast(), size_of::<T>()) };
        } else {
            // SAFETY: a free slot of the ring: the receiver has given it back, and does not look before `advance`.
            unsafe { place.write(value) };
        }
        self.side.advance(1);
    }

    /// As many as are known to have room side by side.
    fn put_many(&mut self, values: &[T]) -> usize {
        let (place, row) = slot::<T>(&self.side, self.side.position());
        let count = row.min(self.side.known()).min(values.len() as u64) as usize;
        if count == 0 {
            return 0;
        }
        if self.side.wary {
            // SAFETY: as for one.
            unsafe { copy(place.cast(), values.as_ptr().cast(), count * size_of::<T>()) };
        } else {
            // SAFETY: as for one; `values` is no part of the ring, to which no reference is given out.
            unsafe { place.copy_from_nonoverlapping(values.as_ptr(), count) };
        }
        self.side.advance(count as u64);
        count
    }

    #[inline(always)]
    fn lend(&mut self) -> Loan<'_, T> {
        let (mut place, _) = slot::<T>(&self.side, self.side.position());
        if self.side.wary {
            place = scratch(&mut self.scratch, 1);
        }
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
        let side = &mut self.sender.side;
        if side.wary {
            let (slot, _) = slot::<T>(side, side.position());
            // SAFETY: as for sending by value.
            unsafe { copy(slot.cast(), self.place.cast(), size_of::<T>()) };
        }
        side.advance(1);
    }
}

impl<T: Plain> Deref for Loan<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a free slot of the ring that peers leave alone, or private memory; any bytes are a `T`.
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
        let side = &mut self.sender.side;
        if side.wary {
            let (slot, _) = slot::<T>(side, side.position());
            // SAFETY: as for sending by value.
            unsafe { copy(slot.cast(), self.place.cast(), count * size_of::<T>()) };
        }
        side.advance(count as u64);
    }
}

impl<T: Plain> Deref for LoanMany<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: free slots of the ring that peers leave alone, or private memory; any bytes are a `T`.
        unsafe { std::slice::from_raw_parts(self.place, self.count) }
    }
}

impl<T: Plain> DerefMut for LoanMany<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and exclusively borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.place, self.count) }
    }
}

impl<T: Plain> Receiver<T> {
    /// Receives one value, in place; waits for it.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and the sender has left or was killed; `Corrupt`.
    #[inline(always)]
    pub fn recv(&mut self) -> Result<Received<'_, T>> {
        if !self.side.has(1)? {
            self.side.wait(1, Deadline::Never)?;
        }
        Ok(self.take())
    }

    /// Receives one value if there is one.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and the sender has left or was killed; `Corrupt`.
    #[inline(always)]
    pub fn try_recv(&mut self) -> Result<Option<Received<'_, T>>> {
        Ok(self.side.may_have(1)?.then(|| self.take()))
    }

    /// Receives one value, waiting no longer than `limit`.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv), and `TimedOut`.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Received<'_, T>> {
        if !self.side.has(1)? {
            self.side.wait(1, Wait::For(limit).into())?;
        }
        Ok(self.take())
    }

    /// Receives all values that are there and lie side by side, in place; waits for the first.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_many(&mut self) -> Result<Batch<'_, T>> {
        // Not only what is known from earlier.
        if !self.side.has(self.side.capacity())? && self.side.known() == 0 {
            self.side.wait(1, Deadline::Never)?;
        }
        Ok(self.take_many())
    }

    /// The same if there is one at least.
    ///
    /// # Errors
    /// As for [`try_recv`](Self::try_recv).
    pub fn try_recv_many(&mut self) -> Result<Option<Batch<'_, T>>> {
        // Not only what is known from earlier.
        let all = self.side.has(self.side.capacity())?;
        Ok((all || self.side.may_have(1)?).then(|| self.take_many()))
    }

    fn take_many(&mut self) -> Batch<'_, T> {
        let (mut place, row) = slot::<T>(&self.side, self.side.position());
        let count = row.min(self.side.known()) as usize;
        if self.side.wary {
            let private: *mut T = scratch(&mut self.scratch, count);
            // SAFETY: full slots of the ring, and private memory; whatever the bytes are, they are values.
            unsafe { copy(private.cast(), place.cast(), count * size_of::<T>()) };
            place = private;
        }
        Batch {
            receiver: self,
            place,
            count,
        }
    }

    #[inline(always)]
    fn take(&mut self) -> Received<'_, T> {
        let (mut place, _) = slot::<T>(&self.side, self.side.position());
        if self.side.wary {
            let private: *mut T = scratch(&mut self.scratch, 1);
            // SAFETY: as for many.
            unsafe { copy(private.cast(), place.cast(), size_of::<T>()) };
            place = private;
        }
        Received {
            receiver: self,
            place,
        }
    }
}

/// A value in the ring; its place is given back when this is dropped.
#[derive(Debug)]
pub struct Received<'a, T: Plain> {
    receiver: &'a mut Receiver<T>,
    place: *const T,
}

impl<T: Plain> Deref for Received<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a full slot that the sender leaves alone until it is given back, or private memory; any bytes are a `T`.
        unsafe { &*self.place }
    }
}

impl<T: Plain> Drop for Received<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.receiver.side.advance(1);
    }
}

/// Values side by side in the ring; their places are given back when this is dropped.
#[derive(Debug)]
pub struct Batch<'a, T: Plain> {
    receiver: &'a mut Receiver<T>,
    place: *const T,
    count: usize,
}

impl<T: Plain> Deref for Batch<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: as for one, `count` times.
        unsafe { std::slice::from_raw_parts(self.place, self.count) }
    }
}

impl<T: Plain> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        self.receiver.side.advance(self.count as u64);
    }
}
