//! Batch: many values at a time. The slots have words between them, so a batch lies side by side in private memory, and is copied.
//!
//! A batch is no unit: its values go to any receivers, others' values may be between them, and of a batch whose sender is killed those
//! that were sent before are there. What it saves is telling the peers of each one.

use std::ops::{Deref, DerefMut};

use super::{Receiver, Sender};
use crate::error::{Kind, Result};
use crate::shared::Plain;
use crate::sys::copy::copy;
use crate::wait::Deadline;

impl<T: Plain> Sender<T> {
    /// Sends many, each as soon as there is room for it. How many were sent: all, unless the channel was made to drop.
    ///
    /// # Errors
    /// As for [`send`](Self::send); some of them may have been sent.
    pub fn send_many(&mut self, values: &[T]) -> Result<usize> {
        let sent = values.iter().try_fold(0, |sent, value| {
            let Some(position) = self.side.next_room()? else {
                return Ok(sent);
            };
            self.fill(position, value);
            self.side.publish(position);
            Ok(sent + 1)
        });
        self.side.ring();
        sent
    }

    /// Sends as many as there is room for, and says how many. A channel that overwrites the oldest makes room.
    ///
    /// # Errors
    /// `Disconnected` when there is no room and all receivers have left or were killed.
    pub fn try_send_many(&mut self, values: &[T]) -> Result<usize> {
        let Some(first) = values.first() else {
            return Ok(0);
        };
        let Some(position) = self.side.may_lend()? else {
            return Ok(0);
        };
        self.fill(position, first);
        self.side.publish(position);
        let mut sent = 1;
        for value in &values[1..] {
            let Ok(Some(position)) = self.side.try_next_room() else {
                break;
            };
            self.fill(position, value);
            self.side.publish(position);
            sent += 1;
        }
        self.side.ring();
        Ok(sent)
    }

    /// Places for up to `most` values, at least one; waits for room like [`send`](Self::send). The values of others that
    /// came between are received between them; all behind them are held up until they are sent.
    ///
    /// # Errors
    /// As for [`loan`](Self::loan); `BadInput` for none.
    pub fn loan_many(&mut self, most: usize) -> Result<LoanMany<'_, T>> {
        if most == 0 {
            let why = "a loan is of one value at least";
            return Err(self.side.error(Kind::BadInput, why));
        }
        let Some(first) = self.side.room(Deadline::Never)? else {
            return Err(self.side.in_vain(Deadline::Now));
        };
        self.side.hold(first);
        while self.side.count_held() < most && self.side.hold_another()?.is_some() {}
        let count = self.side.count_held();
        let values = self.scratch.values(count);
        Ok(LoanMany {
            sender: self,
            values,
            count,
        })
    }
}

/// Places for values, not yet sent; given up when dropped.
#[must_use = "a loan that is not sent is given up"]
#[derive(Debug)]
pub struct LoanMany<'a, T: Plain> {
    sender: &'a mut Sender<T>,
    values: *mut T,
    count: usize,
}

impl<T: Plain> LoanMany<'_, T> {
    /// Sends the first `count` of them (all, when it has fewer).
    pub fn send(self, count: usize) {
        let side = &mut self.sender.side;
        for (number, position) in side.held().take(count).enumerate() {
            // SAFETY: a slot that this end has claimed, and one of the private values; nobody looks into the slot before it
            // is full, and a peer that does gets, or leaves, wrong bytes.
            unsafe {
                let value = self.values.add(number).cast();
                copy(side.bytes(position), value, size_of::<T>());
            }
        }
        // What drop does afterwards finds nothing held.
        side.done_with(count);
    }
}

impl<T: Plain> Drop for LoanMany<'_, T> {
    fn drop(&mut self) {
        self.sender.side.give_up();
    }
}

impl<T: Plain> Deref for LoanMany<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: private memory for so many; any bytes are a `T`.
        unsafe { std::slice::from_raw_parts(self.values, self.count) }
    }
}

impl<T: Plain> DerefMut for LoanMany<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and exclusively borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.values, self.count) }
    }
}

impl<T: Plain> Receiver<T> {
    /// Receives all values that are there and that no other receiver has, up to the capacity of the channel; waits for the first.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_many(&mut self) -> Result<Batch<'_, T>> {
        let first = self.side.claim(Deadline::Never)?;
        self.take_many(first)
    }

    /// The same if there is one.
    ///
    /// # Errors
    /// As for [`try_recv`](Self::try_recv).
    pub fn try_recv_many(&mut self) -> Result<Option<Batch<'_, T>>> {
        match self.side.may_claim()? {
            Some(first) => self.take_many(first).map(Some),
            None => Ok(None),
        }
    }

    fn take_many(&mut self, first: u64) -> Result<Batch<'_, T>> {
        self.side.hold(first);
        let most = usize::try_from(self.capacity()).unwrap_or(usize::MAX);
        while self.side.count_held() < most && self.side.hold_another()?.is_some() {}
        let count = self.side.count_held();
        let values: *mut T = self.scratch.values(count);
        for (number, position) in self.side.held().enumerate() {
            // SAFETY: a full slot that this end holds, and one of the private values; whatever the bytes are, they are a value.
            unsafe {
                let value = values.add(number).cast();
                copy(value, self.side.bytes(position), size_of::<T>());
            }
        }
        Ok(Batch {
            receiver: self,
            values,
            count,
        })
    }
}

/// Values that were received; their places are given back when this is dropped.
#[derive(Debug)]
pub struct Batch<'a, T: Plain> {
    receiver: &'a mut Receiver<T>,
    values: *const T,
    count: usize,
}

impl<T: Plain> Deref for Batch<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: private memory in which so many values were put.
        unsafe { std::slice::from_raw_parts(self.values, self.count) }
    }
}

impl<T: Plain> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        self.receiver.side.done_with(self.count);
    }
}
