//! Value: the newest value of one type.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::board::copy_out;
use super::{Receiver, Sender};
use crate::error::Result;
use crate::shared::Plain;
use crate::sys::copy::copy;
use crate::wait::{Deadline, Wait};

impl<T: Plain> Sender<T> {
    /// Makes this the newest value. Never waits.
    ///
    /// # Errors
    /// `Corrupt` when somebody took its memory away.
    #[inline(always)]
    pub fn send(&mut self, value: T) -> Result<()> {
        let buffer = self.side.begin()?;
        // SAFETY: a buffer has room for a `T`; who looks at it meanwhile does so by such copies, and discards them.
        unsafe { copy(buffer, (&raw const value).cast(), size_of::<T>()) };
        self.side.publish();
        Ok(())
    }

    /// The same, and says that there was room: there always is.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    #[inline(always)]
    pub fn try_send(&mut self, value: T) -> Result<bool> {
        self.send(value).map(|()| true)
    }

    /// The same as [`send`](Self::send): it never waits, so no time is ever over.
    ///
    /// # Errors
    /// As there.
    pub fn send_timeout(&mut self, value: T, _: Duration) -> Result<()> {
        self.send(value)
    }

    /// A place for the next value, to be filled and sent; it holds anything before. Never waits.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    #[inline(always)]
    pub fn loan(&mut self) -> Result<Loan<'_, T>> {
        let begun = self.side.begin()?;
        let place = match self.side.wary {
            true => self.scratch.values(1),
            false => begun.cast(),
        };
        Ok(Loan {
            sender: self,
            place,
            begun,
        })
    }

    /// The same: there is always room.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    #[inline(always)]
    pub fn try_loan(&mut self) -> Result<Option<Loan<'_, T>>> {
        self.loan().map(Some)
    }
}

/// A place for the next value; given up when dropped.
#[must_use = "a loan that is not sent is given up"]
#[derive(Debug)]
pub struct Loan<'a, T: Plain> {
    sender: &'a mut Sender<T>,
    place: *mut T,
    /// The buffer.
    begun: *mut u8,
}

impl<T: Plain> Loan<'_, T> {
    /// Makes what was filled in the newest value.
    #[inline(always)]
    pub fn send(self) {
        let side = &mut self.sender.side;
        if side.wary {
            // SAFETY: as for sending by value.
            unsafe { copy(self.begun, self.place.cast(), size_of::<T>()) };
        }
        side.publish();
    }
}

impl<T: Plain> Deref for Loan<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: private memory, or a buffer that nobody else writes, at an address that only the sender uses: receivers
        // copy from the second mapping and discard what was written meanwhile. Any bytes are a `T`.
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
    /// The newest value, seen before or not; `None` when nothing was ever sent. Never waits, and needs no living sender.
    ///
    /// # Errors
    /// `WouldBlock` when more receivers than it has buffers, less two, are overtaken at once and this one ten thousand times
    /// in a row; `Corrupt`.
    #[inline(always)]
    pub fn latest(&mut self) -> Result<Option<Received<'_, T>>> {
        Ok(self.copy()?.map(|copied| self.received(copied)))
    }

    /// Where the copy lies, and how many were missed.
    #[inline(always)]
    fn copy(&mut self) -> Result<Option<(*const T, u64)>> {
        let private: *mut T = self.scratch.values(1);
        let copied = self.side.copy(|buffer| {
            // SAFETY: a buffer has room for a `T`, and so has the private memory.
            unsafe { copy_out(private.cast(), buffer, size_of::<T>()) };
            Ok(())
        })?;
        Ok(copied.map(|((), missed)| (private.cast_const(), missed)))
    }

    #[inline(always)]
    fn received(&mut self, (copy, missed): (*const T, u64)) -> Received<'_, T> {
        Received {
            // SAFETY: a whole copy, in memory that stays as it is while this receiver is borrowed.
            value: unsafe { &*copy },
            missed,
        }
    }

    /// The newest value, when it is newer than the last that was received; waits for one.
    ///
    /// # Errors
    /// `Disconnected` when there is none and the sender has left or was killed; `WouldBlock` and `Corrupt` as for [`latest`](Self::latest).
    #[inline(always)]
    #[doc(alias = "changed")]
    pub fn recv(&mut self) -> Result<Received<'_, T>> {
        self.newer(Deadline::Never)
    }

    /// The same if there is one.
    ///
    /// # Errors
    /// `Disconnected` when there is none and the sender has left or was killed; `WouldBlock` and `Corrupt` as for [`latest`](Self::latest).
    #[inline(always)]
    pub fn try_recv(&mut self) -> Result<Option<Received<'_, T>>> {
        if !self.side.may_have_newer()? {
            return Ok(None);
        }
        self.latest()
    }

    /// The same, waiting no longer than `limit`.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv), and `TimedOut`.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Received<'_, T>> {
        self.newer(Wait::For(limit).into())
    }

    #[inline(always)]
    fn newer(&mut self, deadline: Deadline) -> Result<Received<'_, T>> {
        if !self.side.has_newer() {
            self.side.wait(deadline)?;
        }
        match self.copy()? {
            Some(copied) => Ok(self.received(copied)),
            None => Err(self.side.impossible()),
        }
    }
}

/// A whole copy of a value.
#[derive(Debug)]
pub struct Received<'a, T> {
    value: &'a T,
    missed: u64,
}

impl<T> Received<'_, T> {
    /// How many values came and went since the one that this receiver received before.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

impl<T> Deref for Received<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.value
    }
}
