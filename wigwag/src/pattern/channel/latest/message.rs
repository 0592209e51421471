//! Message: the newest of byte messages of any length up to the capacity.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::board::{bytes, copy_out};
use super::{Receiver, Sender};
use crate::error::{Kind, Result};
use crate::sys::copy::copy;
use crate::wait::{Deadline, Wait};

impl Sender<[u8]> {
    /// The longest message that fits.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.side.region().plan().capacity as usize
    }

    /// Makes this the newest message. Never waits.
    ///
    /// # Errors
    /// `TooBig`; `Corrupt` when somebody took its memory away.
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.fits(message.len())?;
        let buffer = self.side.begin()?;
        self.put(buffer, message.as_ptr(), message.len());
        Ok(())
    }

    /// The same, and says that there was room: there always is.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn try_send(&mut self, message: &[u8]) -> Result<bool> {
        self.send(message).map(|()| true)
    }

    /// The same as [`send`](Self::send): it never waits, so no time is ever over.
    ///
    /// # Errors
    /// As there.
    pub fn send_timeout(&mut self, message: &[u8], _: Duration) -> Result<()> {
        self.send(message)
    }

    /// A place for the next message of `len` bytes, to be filled and sent; they are anything before. Never waits.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn loan(&mut self, len: usize) -> Result<MessageLoan<'_>> {
        self.fits(len)?;
        let begun = self.side.begin()?;
        let place = match self.side.wary {
            true => self.scratch.bytes(len),
            false => bytes(begun).as_ptr(),
        };
        Ok(MessageLoan {
            sender: self,
            begun,
            place,
            len,
        })
    }

    /// The same: there is always room.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn try_loan(&mut self, len: usize) -> Result<Option<MessageLoan<'_>>> {
        self.loan(len).map(Some)
    }

    fn fits(&self, len: usize) -> Result<()> {
        if len <= self.longest() {
            return Ok(());
        }
        let why = format!("{len} bytes do not fit, at most {} do", self.longest());
        let error = self.side.region().error(Kind::TooBig, "send to", why);
        Err(error.with_hint("make the channel with more capacity"))
    }

    fn put(&mut self, buffer: *mut u8, from: *const u8, len: usize) {
        // SAFETY: it fits, as was checked; `from` is private memory, or the caller's.
        unsafe { copy(bytes(buffer).as_ptr(), from, len) };
        self.finish(buffer, len);
    }

    fn finish(&mut self, buffer: *mut u8, len: usize) {
        let len = len as u64;
        // SAFETY: a buffer begins with the length of its message.
        unsafe { copy(buffer, (&raw const len).cast(), size_of::<u64>()) };
        self.side.publish();
    }
}

/// A place for the next message; given up when dropped.
#[must_use = "a loan that is not sent is given up"]
#[derive(Debug)]
pub struct MessageLoan<'a> {
    sender: &'a mut Sender<[u8]>,
    /// The buffer.
    begun: *mut u8,
    place: *mut u8,
    len: usize,
}

impl MessageLoan<'_> {
    /// Makes what was filled in the newest message.
    pub fn send(self) {
        let sender = self.sender;
        if sender.side.wary {
            sender.put(self.begun, self.place, self.len);
        } else {
            sender.finish(self.begun, self.len);
        }
    }

    /// Makes it shorter: the length may turn out while it is filled.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Deref for MessageLoan<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: private memory, or a buffer that nobody else writes, at an address that only the sender uses: receivers
        // copy from the second mapping and discard what was written meanwhile.
        unsafe { std::slice::from_raw_parts(self.place, self.len) }
    }
}

impl DerefMut for MessageLoan<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and exclusively borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.place, self.len) }
    }
}

impl Receiver<[u8]> {
    /// The longest message that can come.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.side.region().plan().capacity as usize
    }

    /// The newest message, seen before or not; `None` when nothing was ever sent. Never waits, and needs no living sender.
    ///
    /// # Errors
    /// `WouldBlock` when more receivers than it has buffers, less two, are overtaken at once and this one ten thousand times
    /// in a row; `Corrupt`.
    pub fn latest(&mut self) -> Result<Option<Message<'_>>> {
        Ok(self.copy()?.map(|copied| self.received(copied)))
    }

    /// Where the copy lies, how long it is, and how many were missed.
    fn copy(&mut self) -> Result<Option<((*const u8, usize), u64)>> {
        let longest = self.longest();
        let scratch = &mut self.scratch;
        self.side.copy(|buffer| {
            let mut len = 0_u64;
            // SAFETY: a buffer begins with the length of its message; any bytes are a number.
            unsafe { copy_out((&raw mut len).cast(), buffer, size_of::<u64>()) };
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if len > longest {
                return Err(format!(
                    "a message claims {len} bytes, at most {longest} fit"
                ));
            }
            let private = scratch.bytes(len);
            // SAFETY: no longer than a buffer, as was just checked of the copy; and the private memory is as long.
            unsafe { copy_out(private, bytes(buffer.cast_mut()).as_ptr(), len) };
            Ok((private.cast_const(), len))
        })
    }

    fn received(&mut self, ((start, len), missed): ((*const u8, usize), u64)) -> Message<'_> {
        Message {
            // SAFETY: a whole copy, in memory that stays as it is while this receiver is borrowed.
            bytes: unsafe { std::slice::from_raw_parts(start, len) },
            missed,
        }
    }

    /// The newest message, when it is newer than the last that was received; waits for one.
    ///
    /// # Errors
    /// `Disconnected` when there is none and the sender has left or was killed; `WouldBlock` and `Corrupt` as for [`latest`](Self::latest).
    #[doc(alias = "changed")]
    pub fn recv(&mut self) -> Result<Message<'_>> {
        self.newer(Deadline::Never)
    }

    /// The same if there is one.
    ///
    /// # Errors
    /// `Disconnected` when there is none and the sender has left or was killed; `WouldBlock` and `Corrupt` as for [`latest`](Self::latest).
    pub fn try_recv(&mut self) -> Result<Option<Message<'_>>> {
        if !self.side.may_have_newer()? {
            return Ok(None);
        }
        self.latest()
    }

    /// The same, waiting no longer than `limit`.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv), and `TimedOut`.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Message<'_>> {
        self.newer(Wait::For(limit).into())
    }

    fn newer(&mut self, deadline: Deadline) -> Result<Message<'_>> {
        if !self.side.has_newer() {
            self.side.wait(deadline)?;
        }
        match self.copy()? {
            Some(copied) => Ok(self.received(copied)),
            None => Err(self.side.impossible()),
        }
    }
}

/// A whole copy of a message.
#[derive(Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    missed: u64,
}

impl Message<'_> {
    /// How many messages came and went since the one that this receiver received before.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}
