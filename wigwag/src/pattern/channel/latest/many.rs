//! Many: the calls for many at a time, as the other flavours have them; but of many only the last can be the newest, so many are one.

use std::ops::{Deref, DerefMut};

use super::{Loan, Message, Received, Receiver, Sender};
use crate::error::{Kind, Result};
use crate::shared::Plain;

impl<T: Plain> Sender<T> {
    /// Makes each of these the newest value, one after the other; a receiver sees the last, and may see others on the way. How many
    /// they are. Never waits.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn send_many(&mut self, values: &[T]) -> Result<usize> {
        values.iter().try_for_each(|value| self.send(*value))?;
        Ok(values.len())
    }

    /// The same: there is always room.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn try_send_many(&mut self, values: &[T]) -> Result<usize> {
        self.send_many(values)
    }

    /// A place for one value, however many are wanted. Never waits.
    ///
    /// # Errors
    /// As for [`loan`](Self::loan); `BadInput` for none.
    pub fn loan_many(&mut self, most: usize) -> Result<LoanMany<'_, T>> {
        if most == 0 {
            let why = "a loan is of one value at least";
            let region = self.side.region();
            return Err(region.error(Kind::BadInput, "send to", why));
        }
        self.loan().map(LoanMany)
    }
}

/// A place for one value, not yet sent; given up when dropped.
#[must_use = "a loan that is not sent is given up"]
#[derive(Debug)]
pub struct LoanMany<'a, T: Plain>(Loan<'a, T>);

impl<T: Plain> LoanMany<'_, T> {
    /// Makes it the newest value, unless `count` is 0.
    pub fn send(self, count: usize) {
        if count > 0 {
            self.0.send();
        }
    }
}

impl<T: Plain> Deref for LoanMany<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        std::slice::from_ref(&*self.0)
    }
}

impl<T: Plain> DerefMut for LoanMany<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        std::slice::from_mut(&mut *self.0)
    }
}

impl<T: Plain> Receiver<T> {
    /// The newest value as a slice of one, when it is newer than the last that was received; waits for one.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_many(&mut self) -> Result<Batch<'_, T>> {
        self.recv().map(Batch)
    }

    /// The same if there is one.
    ///
    /// # Errors
    /// As for [`try_recv`](Self::try_recv).
    pub fn try_recv_many(&mut self) -> Result<Option<Batch<'_, T>>> {
        Ok(self.try_recv()?.map(Batch))
    }
}

/// A whole copy of one value.
#[derive(Debug)]
pub struct Batch<'a, T>(Received<'a, T>);

impl<T> Batch<'_, T> {
    /// How many values came and went since the one that this receiver received before.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.0.missed()
    }
}

impl<T> Deref for Batch<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        std::slice::from_ref(&*self.0)
    }
}

impl Sender<[u8]> {
    /// Makes each of these the newest message, one after the other; a receiver sees the last, and may see others on the way. How
    /// many they are. Never waits.
    ///
    /// # Errors
    /// As for [`send`](Self::send); those before it have been sent.
    pub fn send_many<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize> {
        let mut each = messages.iter();
        each.try_for_each(|message| self.send(message.as_ref()))?;
        Ok(messages.len())
    }

    /// The same: there is always room.
    ///
    /// # Errors
    /// As for [`send_many`](Self::send_many).
    pub fn try_send_many<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize> {
        self.send_many(messages)
    }
}

impl Receiver<[u8]> {
    /// The newest message as the only one of several, when it is newer than the last that was received; waits for one.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_many(&mut self) -> Result<Messages<'_>> {
        self.recv().map(Messages::of)
    }

    /// The same if there is one.
    ///
    /// # Errors
    /// As for [`try_recv`](Self::try_recv).
    pub fn try_recv_many(&mut self) -> Result<Option<Messages<'_>>> {
        Ok(self.try_recv()?.map(Messages::of))
    }
}

/// A whole copy of one message, received with it.
#[derive(Debug)]
pub struct Messages<'a> {
    message: Message<'a>,
    is_given: bool,
}

impl<'a> Messages<'a> {
    fn of(message: Message<'a>) -> Self {
        Messages {
            message,
            is_given: false,
        }
    }

    /// How many messages came and went since the one that this receiver received before.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.message.missed()
    }

    /// The message, the first time.
    ///
    /// # Errors
    /// None: that it is whole is known.
    #[expect(clippy::should_implement_trait, reason = "as in the other flavours")]
    pub fn next(&mut self) -> Result<Option<&[u8]>> {
        let first = !std::mem::replace(&mut self.is_given, true);
        Ok(first.then_some(&*self.message))
    }
}
