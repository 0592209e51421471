//! Message: byte messages of any length up to the ring's, each in one piece because the ring is mapped twice in a row.
//!
//! A record is its length in four bytes, then its bytes, then nothing up to a multiple of eight.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::link::Side;
use super::{Full, Receiver, Sender};
use crate::error::{Kind, Result};
use crate::sys::copy::copy;
use crate::wait::{Deadline, Wait};

/// Bytes before those of the message.
const LENGTH: usize = 4;

/// A record is a multiple of so many bytes.
pub(super) const RECORD: u64 = 8;

/// The bytes that a message of `len` takes in the ring.
#[inline(always)]
fn record(len: usize) -> u64 {
    (len as u64 + LENGTH as u64).next_multiple_of(RECORD)
}

/// The longest message that fits into a ring of so many bytes; more than 4 GiB have no length.
#[inline(always)]
pub(super) fn longest(capacity: u64) -> usize {
    (capacity as usize - LENGTH).min(u32::MAX as usize - 8)
}

/// Where the record at a position begins; all of it lies behind this.
#[inline(always)]
fn place(side: &Side, position: u64) -> *mut u8 {
    let offset = position & (side.capacity() - 1);
    // SAFETY: inside the ring, which is mapped twice in a row.
    unsafe { side.ring().as_ptr().add(offset as usize) }
}

/// Writes the length of a record.
///
/// # Safety
/// `place` begins a free record.
#[inline(always)]
unsafe fn write_length(place: *mut u8, len: usize) {
    // SAFETY: records begin at multiples of eight; volatile, because a peer may break the rules.
    unsafe { place.cast::<u32>().write_volatile(len as u32) };
}

impl Sender<[u8]> {
    /// The longest message that fits.
    #[must_use]
    #[inline(always)]
    pub fn longest(&self) -> usize {
        longest(self.side.capacity())
    }

    /// Sends one message; waits for room, unless the channel was made otherwise ([`Full`]).
    ///
    /// # Errors
    /// `TooBig` for one longer than [`longest`](Self::longest); `Disconnected` when there is no room and the receiver has left or was
    /// killed; `WouldBlock` when there is none and it was made to fail; `Corrupt`.
    #[inline(always)]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        if self.side.known() < record(message.len())
            && !self.room(message.len(), Deadline::Never)?
        {
            return Ok(());
        }
        self.put(message);
        Ok(())
    }

    /// Sends one message if there is room, and says whether.
    ///
    /// # Errors
    /// `TooBig`; `Disconnected` when there is no room and the receiver has left or was killed; `Corrupt`.
    #[inline(always)]
    pub fn try_send(&mut self, message: &[u8]) -> Result<bool> {
        if self.side.known() < record(message.len()) && !self.try_room(message.len())? {
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
        if self.side.known() < record(message.len())
            && !self.room(message.len(), Wait::For(limit).into())?
        {
            return Ok(());
        }
        self.put(message);
        Ok(())
    }

    /// A place for a message of `len` bytes, to be filled and sent; they are anything before. Waits like [`send`](Self::send).
    ///
    /// # Errors
    /// As there; a channel that drops the newest counts it as dropped and says `WouldBlock`.
    #[inline(always)]
    pub fn loan(&mut self, len: usize) -> Result<MessageLoan<'_>> {
        if self.side.known() < record(len) && !self.room(len, Deadline::Never)? {
            return Err(self.side.in_vain(Deadline::Now));
        }
        Ok(self.lend(len))
    }

    /// The same if there is room.
    ///
    /// # Errors
    /// `TooBig`; `Disconnected` when there is no room and the receiver has left or was killed; `Corrupt`.
    #[inline(always)]
    pub fn try_loan(&mut self, len: usize) -> Result<Option<MessageLoan<'_>>> {
        if self.side.known() < record(len) && !self.may_have_room(len)? {
            return Ok(None);
        }
        Ok(Some(self.lend(len)))
    }

    /// Sends many, which the receiver sees in steps as large as there is room. How many were sent: all, unless the channel was
    /// made to drop.
    ///
    /// # Errors
    /// As for [`send`](Self::send); some of them may have been sent.
    pub fn send_many<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize> {
        let (mut sent, mut filled) = (0, 0);
        for message in messages {
            let message = message.as_ref();
            if self.side.known() < filled + record(message.len()) {
                // Before waiting, and before an error, what is there goes.
                self.flush(&mut filled);
                if !self.room(message.len(), Deadline::Never)? {
                    continue;
                }
            }
            self.fill(filled, message);
            filled += record(message.len());
            sent += 1;
        }
        self.flush(&mut filled);
        Ok(sent)
    }

    /// Sends as many, from the first on, as there is room for, and says how many.
    ///
    /// # Errors
    /// As for [`try_send`](Self::try_send); those before it have been sent.
    pub fn try_send_many<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize> {
        let (mut sent, mut filled) = (0, 0);
        for message in messages {
            let message = message.as_ref();
            if self.side.known() < filled + record(message.len()) {
                self.flush(&mut filled);
                let gone = |error: &crate::Error| error.kind() == Kind::Disconnected && sent > 0;
                match self.may_have_room(message.len()) {
                    Ok(true) => {}
                    Ok(false) => break,
                    // Those that went are told first.
                    Err(error) if gone(&error) => break,
                    Err(error) => return Err(error),
                }
            }
            self.fill(filled, message);
            filled += record(message.len());
            sent += 1;
        }
        self.flush(&mut filled);
        Ok(sent)
    }

    fn flush(&mut self, filled: &mut u64) {
        if *filled > 0 {
            self.side.advance(std::mem::take(filled));
        }
    }

    /// Room, as the channel was made: `false` when the message was dropped.
    #[cold]
    #[inline(never)]
    fn room(&mut self, len: usize, deadline: Deadline) -> Result<bool> {
        self.fits(len)?;
        if self.side.has(record(len))? {
            return Ok(true);
        }
        match self.side.full() {
            Full::Wait => self.side.wait(record(len), deadline).map(|()| true),
            Full::DropNewest => {
                self.side.lose();
                Ok(false)
            }
            _ => Err(self.side.in_vain(Deadline::Now)),
        }
    }

    /// Room without waiting; nothing is dropped for want of it.
    #[inline(never)]
    fn may_have_room(&mut self, len: usize) -> Result<bool> {
        self.fits(len)?;
        self.side.may_have(record(len))
    }

    #[inline(never)]
    fn try_room(&mut self, len: usize) -> Result<bool> {
        if self.side.full() != Full::DropNewest {
            return self.may_have_room(len);
        }
        self.fits(len)?;
        let has = self.side.has(record(len))?;
        if !has {
            self.side.lose();
        }
        Ok(has)
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
        self.fill(0, message);
        self.side.advance(record(message.len()));
    }

    /// Writes a record, `ahead` bytes behind what was sent; there is room.
    #[inline(always)]
    fn fill(&mut self, ahead: u64, message: &[u8]) {
        let place = place(&self.side, self.side.position().wrapping_add(ahead));
        // SAFETY: a free part of the ring, at least as long as the record, of which the receiver sees nothing before
        // `advance`; `message` is no part of it.
        unsafe {
            write_length(place, message.len());
            let to = place.add(LENGTH);
            if self.side.wary {
                copy(to, message.as_ptr(), message.len());
            } else {
                to.copy_from_nonoverlapping(message.as_ptr(), message.len());
            }
        }
    }

    #[inline(always)]
    fn lend(&mut self, len: usize) -> MessageLoan<'_> {
        let bytes = if self.side.wary {
            scratch(&mut self.scratch, len)
        } else {
            // SAFETY: inside the record.
            unsafe { place(&self.side, self.side.position()).add(LENGTH) }
        };
        MessageLoan {
            sender: self,
            bytes,
            len,
        }
    }
}

fn scratch(room: &mut Vec<u64>, len: usize) -> *mut u8 {
    room.resize(room.len().max(len.div_ceil(8)), 0);
    room.as_mut_ptr().cast()
}

/// A place for one message in the ring, not yet sent; given up when dropped.
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
        let side = &mut self.sender.side;
        let place = place(side, side.position());
        // SAFETY: the free record that was lent.
        unsafe {
            write_length(place, self.len);
            if side.wary {
                copy(place.add(LENGTH), self.bytes, self.len);
            }
        }
        side.advance(record(self.len));
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
        // SAFETY: a free part of the ring that peers leave alone, or private memory.
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

impl Receiver<[u8]> {
    /// The longest message that can come.
    #[must_use]
    pub fn longest(&self) -> usize {
        longest(self.side.capacity())
    }

    /// Receives one message, in place; waits for it.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and the sender has left or was killed; `Corrupt`.
    #[inline(always)]
    pub fn recv(&mut self) -> Result<Message<'_>> {
        if !self.side.has(1)? {
            self.side.wait(1, Deadline::Never)?;
        }
        self.take()
    }

    /// Receives one message if there is one.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and the sender has left or was killed; `Corrupt`.
    #[inline(always)]
    pub fn try_recv(&mut self) -> Result<Option<Message<'_>>> {
        if !self.side.may_have(1)? {
            return Ok(None);
        }
        self.take().map(Some)
    }

    /// Receives one message, waiting no longer than `limit`.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv), and `TimedOut`.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Message<'_>> {
        if !self.side.has(1)? {
            self.side.wait(1, Wait::For(limit).into())?;
        }
        self.take()
    }

    /// Receives all messages that are there, in place; waits for the first.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_many(&mut self) -> Result<Messages<'_>> {
        if !self.side.has(self.side.capacity())? && self.side.known() == 0 {
            self.side.wait(1, Deadline::Never)?;
        }
        Ok(self.take_many())
    }

    /// The same if there is one at least.
    ///
    /// # Errors
    /// As for [`try_recv`](Self::try_recv).
    pub fn try_recv_many(&mut self) -> Result<Option<Messages<'_>>> {
        // Not only what is known from earlier.
        let all = self.side.has(self.side.capacity())?;
        Ok((all || self.side.may_have(1)?).then(|| self.take_many()))
    }

    fn take_many(&mut self) -> Messages<'_> {
        let bytes = self.side.known();
        let mut start = place(&self.side, self.side.position()).cast_const();
        if self.side.wary {
            let private = scratch(&mut self.scratch, bytes as usize);
            // SAFETY: a full part of the ring, and private memory.
            unsafe { copy(private, start, bytes as usize) };
            start = private;
        }
        Messages {
            receiver: self,
            start,
            bytes,
            done: 0,
        }
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Message<'_>> {
        let place = place(&self.side, self.side.position());
        // SAFETY: records begin at multiples of eight; a peer may write meanwhile, so it is one volatile copy.
        let len = unsafe { place.cast::<u32>().read_volatile() } as usize;
        if record(len) > self.side.known() {
            return Err(self.torn(len));
        }
        // SAFETY: inside what was sent, as was just checked.
        let mut bytes = unsafe { place.add(LENGTH) };
        if self.side.wary {
            let private = scratch(&mut self.scratch, len);
            // SAFETY: a full record of the ring, and private memory.
            unsafe { copy(private, bytes, len) };
            bytes = private;
        }
        Ok(Message {
            receiver: self,
            bytes,
            len,
        })
    }

    #[cold]
    fn torn(&self, len: usize) -> crate::Error {
        let why = format!(
            "a message claims {len} bytes, of {} in the ring",
            self.side.known()
        );
        self.side.error(Kind::Corrupt, why)
    }
}

/// A message in the ring; its place is given back when this is dropped.
#[derive(Debug)]
pub struct Message<'a> {
    receiver: &'a mut Receiver<[u8]>,
    bytes: *const u8,
    len: usize,
}

impl Deref for Message<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: a full part of the ring that the sender leaves alone until it is given back, or private memory.
        unsafe { std::slice::from_raw_parts(self.bytes, self.len) }
    }
}

impl Drop for Message<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.receiver.side.advance(record(self.len));
    }
}

/// Messages one after the other in the ring. What [`next`](Self::next) gave is given back when this is dropped;
/// what it did not comes again.
#[derive(Debug)]
pub struct Messages<'a> {
    receiver: &'a mut Receiver<[u8]>,
    start: *const u8,
    bytes: u64,
    done: u64,
}

impl Messages<'_> {
    /// The next of them.
    ///
    /// # Errors
    /// `Corrupt`.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "what it lends ends with it")]
    pub fn next(&mut self) -> Result<Option<&[u8]>> {
        if self.done == self.bytes {
            return Ok(None);
        }
        // SAFETY: `done` is less than the bytes that were sent, and a multiple of eight; one copy of the length.
        let (start, len) = unsafe {
            let start = self.start.add(self.done as usize);
            (start, start.cast::<u32>().read_volatile() as usize)
        };
        if record(len) > self.bytes - self.done {
            return Err(self.receiver.torn(len));
        }
        self.done += record(len);
        // SAFETY: inside what was sent, which the sender leaves alone until it is given back, or private memory.
        Ok(Some(unsafe {
            std::slice::from_raw_parts(start.add(LENGTH), len)
        }))
    }
}

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        if self.done > 0 {
            self.receiver.side.advance(self.done);
        }
    }
}
