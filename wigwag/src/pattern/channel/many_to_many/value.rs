//! Value: values of one type, written and read in place.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::{Receiver, Sender};
use crate::error::Result;
use crate::shared::Plain;
use crate::sys::copy::copy;
use crate::wait::{Deadline, Wait};

impl<T: Plain> Sender<T> {
    /// Sends one value; waits for room, unless the channel was made otherwise ([`Full`](super::super::Full)).
    ///
    /// # Errors
    /// `Disconnected` when it is full and all receivers have left or were killed; `WouldBlock` when it is full and was made to fail.
    #[inline(always)]
    pub fn send(&mut self, value: T) -> Result<()> {
        match self.side.try_claim()? {
            Some(position) => self.put(position, &value),
            None => {
                if let Some(position) = self.side.room(Deadline::Never)? {
                    self.put(position, &value);
                }
            }
        }
        Ok(())
    }

    /// Sends one value if there is room, and says whether. A channel that overwrites the oldest makes room.
    ///
    /// # Errors
    /// `Disconnected` when it is full and all receivers have left or were killed.
    #[inline(always)]
    pub fn try_send(&mut self, value: T) -> Result<bool> {
        let Some(position) = self.side.try_room()? else {
            return Ok(false);
        };
        self.put(position, &value);
        Ok(true)
    }

    /// The same as [`send`](Self::send), waiting no longer than `limit`.
    ///
    /// # Errors
    /// As there, and `TimedOut`.
    pub fn send_timeout(&mut self, value: T, limit: Duration) -> Result<()> {
        if let Some(position) = self.side.room(Wait::For(limit).into())? {
            self.put(position, &value);
        }
        Ok(())
    }

    /// A place for a value, to be filled and sent; it holds anything before. Waits for room like [`send`](Self::send). Values
    /// are received in the order of their places: one that is filled slowly holds up those behind it.
    ///
    /// # Errors
    /// As there; a channel that drops the newest counts it as dropped and says `WouldBlock`.
    #[inline(always)]
    pub fn loan(&mut self) -> Result<Loan<'_, T>> {
        match self.side.room(Deadline::Never)? {
            Some(position) => Ok(self.lend(position)),
            None => Err(self.side.in_vain(Deadline::Now)),
        }
    }

    /// The same if there is room.
    ///
    /// # Errors
    /// As for [`try_send`](Self::try_send).
    #[inline(always)]
    pub fn try_loan(&mut self) -> Result<Option<Loan<'_, T>>> {
        let position = self.side.may_lend()?;
        Ok(position.map(|position| self.lend(position)))
    }

    #[inline(always)]
    fn put(&mut self, position: u64, value: &T) {
        self.fill(position, value);
        self.side.done(position);
    }

    /// Writes a value into a claimed slot.
    #[inline(always)]
    pub(super) fn fill(&mut self, position: u64, value: &T) {
        let place = self.side.bytes(position);
        if self.side.wary {
            // SAFETY: a slot that nobody else may use; a peer that does gets, or leaves, wrong bytes.
            unsafe { copy(place, std::ptr::from_ref(value).cast(), size_of::<T>()) };
        } else {
            // SAFETY: a slot that this end has claimed; nobody looks into it before it is full.
            unsafe { place.cast::<T>().write(*value) };
        }
    }

    #[inline(always)]
    fn lend(&mut self, position: u64) -> Loan<'_, T> {
        self.side.hold(position);
        let place = if self.side.wary {
            self.scratch.values(1)
        } else {
            self.side.bytes(position).cast()
        };
        Loan {
            sender: self,
            place,
            position,
        }
    }
}

/// A place for one value in the ring, not yet sent; given up when dropped.
#[must_use = "a loan that is not sent is given up"]
#[derive(Debug)]
pub struct Loan<'a, T: Plain> {
    sender: &'a mut Sender<T>,
    place: *mut T,
    position: u64,
}

impl<T: Plain> Loan<'_, T> {
    /// Sends what was filled in.
    #[inline(always)]
    pub fn send(self) {
        let side = &mut self.sender.side;
        if side.wary {
            // SAFETY: as for sending by value.
            unsafe { copy(side.bytes(self.position), self.place.cast(), size_of::<T>()) };
        }
        // What drop does afterwards finds nothing held.
        side.done(self.position);
    }
}

impl<T: Plain> Drop for Loan<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.sender.side.holds() {
            self.sender.side.give_up();
        }
    }
}

impl<T: Plain> Deref for Loan<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a slot that this end has claimed, or private memory; any bytes are a `T`.
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

impl<T: Plain> Receiver<T> {
    /// Receives the oldest value that no other receiver has, in place; waits for it.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and all senders have left or were killed.
    #[inline(always)]
    pub fn recv(&mut self) -> Result<Received<'_, T>> {
        let position = self.side.claim(Deadline::Never)?;
        Ok(self.take(position))
    }

    /// Receives one value if there is one.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and all senders have left or were killed.
    #[inline(always)]
    pub fn try_recv(&mut self) -> Result<Option<Received<'_, T>>> {
        let position = self.side.may_claim()?;
        Ok(position.map(|position| self.take(position)))
    }

    /// Receives one value, waiting no longer than `limit`.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv), and `TimedOut`.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Received<'_, T>> {
        let position = self.side.claim(Wait::For(limit).into())?;
        Ok(self.take(position))
    }

    #[inline(always)]
    fn take(&mut self, position: u64) -> Received<'_, T> {
        self.side.hold(position);
        let mut place: *mut T = self.side.bytes(position).cast();
        if self.side.wary {
            let private: *mut T = self.scratch.values(1);
            // SAFETY: a slot of the ring, and private memory; whatever the bytes are, they are a value.
            unsafe { copy(private.cast(), place.cast(), size_of::<T>()) };
            place = private;
        }
        Received {
            receiver: self,
            place,
            position,
        }
    }
}

/// A value in the ring; its place is given back when this is dropped.
#[derive(Debug)]
pub struct Received<'a, T: Plain> {
    receiver: &'a mut Receiver<T>,
    place: *const T,
    position: u64,
}

impl<T: Plain> Deref for Received<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a full slot that this end holds, or private memory; any bytes are a `T`.
        unsafe { &*self.place }
    }
}

impl<T: Plain> Drop for Received<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.receiver.side.done(self.position);
    }
}
