//! Message loan: how byte messages come into the ring, filled in place or copied, each in one piece because the ring is mapped twice in a row.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::record::{self, HEADER, need, record};
use super::{Full, Sender};
use crate::error::{Kind, Result};
use crate::sys::copy::copy;
use crate::wait::{Deadline, Wait};

impl Sender<[u8]> {
    /// The longest message that fits.
    #[must_use]
    #[inline(always)]
    pub fn longest(&self) -> usize {
        record::longest(self.side.capacity())
    }

    /// Sends one message to all; waits for room, unless the channel was made otherwise ([`Full`]).
    ///
    /// # Errors
    /// `TooBig` for one longer than [`longest`](Self::longest); `WouldBlock` when it is full and was made to fail; `Corrupt`.
    #[inline(always)]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        if !self.side.has_room(need(message.len())) && !self.room(message.len(), Deadline::Never)? {
            return Ok(());
        }
        self.put(message);
        Ok(())
    }

    /// Sends one message if there is room, and says whether.
    ///
    /// # Errors
    /// `TooBig`; `Corrupt`.
    #[inline(always)]
    pub fn try_send(&mut self, message: &[u8]) -> Result<bool> {
        if !self.side.has_room(need(message.len())) && !self.try_room(message.len())? {
            return Ok(false);
        }
        self.put(message);
        Ok(true)
    }

    /// The same as [`send`](Self::send), waiting no longer than `limit`.
    ///
    /// # Errors
    /// As there, and `TimedOut`.
    pub fn send_timeout(&mut self, message: &[u8], limit: Duration) -> Result<()> {
        let deadline = Wait::For(limit).into();
        if !self.side.has_room(need(message.len())) && !self.room(message.len(), deadline)? {
            return Ok(());
        }
        self.put(message);
        Ok(())
    }

    /// A place for a message of `len` bytes, to be filled and sent; they are anything before. Waits like [`send`](Self::send).
    ///
    /// It lies in the ring, except in a channel that overwrites the oldest.
    ///
    /// # Errors
    /// As there; a channel that drops the newest counts it as dropped and says `WouldBlock`.
    #[inline(always)]
    pub fn loan(&mut self, len: usize) -> Result<MessageLoan<'_>> {
        if !self.side.has_room(need(len)) && !self.room(len, Deadline::Never)? {
            return Err(self.side.in_vain(Deadline::Now));
        }
        Ok(self.lend(len))
    }

    /// The same if there is room.
    ///
    /// # Errors
    /// `TooBig`; `Corrupt`.
    pub fn try_loan(&mut self, len: usize) -> Result<Option<MessageLoan<'_>>> {
        if !self.side.has_room(need(len)) && !self.may_have_room(len)? {
            return Ok(None);
        }
        Ok(Some(self.lend(len)))
    }

    /// Sends many. How many were sent: all, unless the channel was made to drop.
    ///
    /// # Errors
    /// As for [`send`](Self::send); some of them may have been sent.
    pub fn send_many<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize> {
        let (mut sent, mut filled) = (0, 0);
        for message in messages {
            let message = message.as_ref();
            if !self.side.has_room(filled + need(message.len())) {
                // Before waiting, and before an error, what is there goes.
                self.flush(&mut filled);
                if !self.side.has_room(need(message.len()))
                    && !self.room(message.len(), Deadline::Never)?
                {
                    continue;
                }
            }
            self.append(&mut filled, message);
            sent += 1;
        }
        self.flush(&mut filled);
        Ok(sent)
    }

    /// Sends as many, from the first on, as there is room for, and says how many.
    ///
    /// # Errors
    /// `TooBig`, and those before it have been sent; `Corrupt`.
    pub fn try_send_many<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize> {
        let (mut sent, mut filled) = (0, 0);
        for message in messages {
            let message = message.as_ref();
            if !self.side.has_room(filled + need(message.len())) {
                self.flush(&mut filled);
                if !self.side.has_room(need(message.len())) && !self.may_have_room(message.len())? {
                    break;
                }
            }
            self.append(&mut filled, message);
            sent += 1;
        }
        self.flush(&mut filled);
        Ok(sent)
    }

    /// Writes a record behind those that are filled and not yet sent; there is room.
    fn append(&mut self, filled: &mut u64, message: &[u8]) {
        let at = self.side.tail() + *filled;
        self.fill(at, message);
        self.finish(at, message.len());
        *filled += record(message.len());
    }

    fn flush(&mut self, filled: &mut u64) {
        if *filled > 0 {
            self.side.publish(self.side.tail() + std::mem::take(filled));
        }
    }

    /// Room, as the channel was made: `false` when the message was dropped.
    #[cold]
    #[inline(never)]
    fn room(&mut self, len: usize, deadline: Deadline) -> Result<bool> {
        self.fits(len)?;
        let ring = self.ring;
        let boundary = |floor, needed| record::boundary(ring, floor, needed);
        self.side.room(need(len), deadline, boundary)
    }

    #[cold]
    #[inline(never)]
    fn try_room(&mut self, len: usize) -> Result<bool> {
        let has = self.may_have_room(len)?;
        if !has && self.side.full() == Full::DropNewest {
            self.side.lose();
        }
        Ok(has)
    }

    /// Room without waiting; nothing is dropped for want of it.
    #[cold]
    #[inline(never)]
    fn may_have_room(&mut self, len: usize) -> Result<bool> {
        self.fits(len)?;
        match self.side.overwrites {
            true => self.room(len, Deadline::Now),
            false => self.side.may_have(need(len)),
        }
    }

    fn fits(&self, len: usize) -> Result<()> {
        if len <= self.longest() {
            return Ok(());
        }
        let why = format!("{len} bytes do not fit, at most {} do", self.longest());
        Err(self
            .side
            .error(Kind::TooBig, why)
            .with_hint("make the channel with more capacity"))
    }

    #[inline(always)]
    fn put(&mut self, message: &[u8]) {
        let at = self.side.tail();
        self.fill(at, message);
        self.finish(at, message.len());
        self.side.publish(at + record(message.len()));
    }

    /// Writes the bytes of the record at `at`, for which there is room.
    #[inline(always)]
    fn fill(&mut self, at: u64, message: &[u8]) {
        let to = self.ring.place(at + HEADER);
        // SAFETY: a free part of the ring, at least as long as the message, which is no part of it.
        unsafe {
            if self.side.overwrites || self.side.wary {
                copy(to, message.as_ptr(), message.len());
            } else {
                to.copy_from_nonoverlapping(message.as_ptr(), message.len());
            }
        }
    }

    /// Writes the header of the record at `at`, and begins that of the next.
    #[inline(always)]
    fn finish(&mut self, at: u64, len: usize) {
        let size = record(len);
        self.ring.set_sizes(at, self.back, len as u32);
        self.sequence = self.sequence.wrapping_add(1);
        self.back = size as u32;
        // There is room for it, see `need`.
        self.ring.set_sequence(at + size, self.sequence);
        self.ring.set_sizes(at + size, self.back, 0);
    }

    #[inline(always)]
    fn lend(&mut self, len: usize) -> MessageLoan<'_> {
        // Where a receiver may be copying, a reference would be one too many.
        let bytes = if self.side.overwrites || self.side.wary {
            self.scratch.bytes(len)
        } else {
            self.ring.place(self.side.tail() + HEADER)
        };
        MessageLoan {
            sender: self,
            bytes,
            len,
        }
    }
}

/// A place for one message, not yet sent; given up when dropped.
#[must_use = "a loan that is not sent is given up"]
#[derive(Debug)]
pub struct MessageLoan<'a> {
    sender: &'a mut Sender<[u8]>,
    bytes: *mut u8,
    len: usize,
}

impl MessageLoan<'_> {
    /// Sends what was filled in.
    #[inline(always)]
    pub fn send(self) {
        let sender = self.sender;
        let at = sender.side.tail();
        if sender.side.overwrites || sender.side.wary {
            let to = sender.ring.place(at + HEADER);
            // SAFETY: the free record that was lent, and private memory.
            unsafe { copy(to, self.bytes, self.len) };
        }
        sender.finish(at, self.len);
        sender.side.publish(at + record(self.len));
    }

    /// Makes it shorter: the length may turn out while it is filled.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Deref for MessageLoan<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: a free part of the ring that all others leave alone, or private memory.
        unsafe { std::slice::from_raw_parts(self.bytes, self.len) }
    }
}

impl DerefMut for MessageLoan<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and exclusively borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.bytes, self.len) }
    }
}
