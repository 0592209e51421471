//! Message: byte messages of any length up to the ring's, each in one piece because the ring is mapped twice in a row.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::records::Place;
use super::{Receiver, Sender};
use crate::error::{Kind, Result};
use crate::sys::copy::copy;
use crate::wait::{Deadline, Wait};

/// The longest message of a channel with this capacity.
pub(super) fn longest(capacity: u64) -> usize {
    usize::try_from(capacity).unwrap_or(usize::MAX)
}

impl Sender<[u8]> {
    /// The longest message that fits: as long as the channel has capacity.
    #[must_use]
    pub fn longest(&self) -> usize {
        longest(self.capacity())
    }

    /// Sends one message; waits for room, unless the channel was made otherwise ([`Full`](super::super::Full)).
    ///
    /// # Errors
    /// `TooBig` for one longer than [`longest`](Self::longest); `Disconnected` when there is no room and all receivers have left or were
    /// killed; `WouldBlock` when there is none and it was made to fail; `Corrupt`.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.send_until(message, Deadline::Never)
    }

    /// The same, waiting no longer than `limit`.
    ///
    /// # Errors
    /// As there, and `TimedOut`.
    pub fn send_timeout(&mut self, message: &[u8], limit: Duration) -> Result<()> {
        self.send_until(message, Wait::For(limit).into())
    }

    /// Sends one message if there is room, and says whether. A channel that overwrites the oldest makes room.
    ///
    /// # Errors
    /// `TooBig`; `Disconnected` when there is no room and all receivers have left or were killed; `Corrupt`.
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<bool> {
        self.wants(message.len())?;
        let Some(place) = self.side.try_room()? else {
            return Ok(false);
        };
        self.put(place, message);
        Ok(true)
    }

    /// A place for a message of `len` bytes, to be filled and sent; they are anything before. Waits for room like
    /// [`send`](Self::send). Messages are received in the order of their places: one that is filled slowly holds up those behind it.
    ///
    /// # Errors
    /// As there; a channel that drops the newest counts it as dropped and says `WouldBlock`.
    pub fn loan(&mut self, len: usize) -> Result<MessageLoan<'_>> {
        self.wants(len)?;
        match self.side.room(Deadline::Never)? {
            Some(place) => Ok(self.lend(place)),
            None => Err(self.side.in_vain(Deadline::Now)),
        }
    }

    /// The same if there is room.
    ///
    /// # Errors
    /// As for [`try_send`](Self::try_send).
    pub fn try_loan(&mut self, len: usize) -> Result<Option<MessageLoan<'_>>> {
        self.wants(len)?;
        let place = self.side.may_lend()?;
        Ok(place.map(|place| self.lend(place)))
    }

    /// Sends one message if there is room. If there is none it has a place in the line until another attempt finds some, or until it
    /// [thinks better of it](Self::leave_line).
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(crate) fn send_in_line(&mut self, message: &[u8]) -> Result<bool> {
        self.wants(message.len())?;
        let Some(place) = self.side.claim_in_line()? else {
            return Ok(false);
        };
        self.put(place, message);
        Ok(true)
    }

    /// It gives up its place in the line.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(crate) fn leave_line(&mut self) {
        self.side.leave_line();
    }

    #[inline]
    fn send_until(&mut self, message: &[u8], deadline: Deadline) -> Result<()> {
        self.wants(message.len())?;
        if let Some(place) = self.side.room(deadline)? {
            self.put(place, message);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn wants(&mut self, len: usize) -> Result<()> {
        if len > self.longest() {
            return Err(self.too_big(len));
        }
        self.side.want(len);
        Ok(())
    }

    #[cold]
    fn too_big(&self, len: usize) -> crate::Error {
        let why = format!("{len} bytes do not fit, at most {} do", self.longest());
        self.side
            .error(Kind::TooBig, why)
            .with_hint("make the channel with more capacity")
    }

    #[inline]
    fn put(&mut self, place: Place, message: &[u8]) {
        self.fill(place, message);
        self.side.done(place);
    }

    /// Writes a message into a claimed record.
    #[inline]
    pub(super) fn fill(&mut self, place: Place, message: &[u8]) {
        let bytes = self.side.bytes(place);
        // SAFETY: a record that this end has claimed for as many bytes; nobody looks into it before it is full, and a
        // peer that does gets, or leaves, wrong bytes. `message` is no part of it.
        unsafe {
            if self.side.wary {
                copy(bytes, message.as_ptr(), message.len());
            } else {
                bytes.copy_from_nonoverlapping(message.as_ptr(), message.len());
            }
        }
    }

    fn lend(&mut self, place: Place) -> MessageLoan<'_> {
        self.side.hold(place);
        let bytes = match self.side.wary {
            true => self.scratch.bytes(place.len),
            false => self.side.bytes(place),
        };
        MessageLoan {
            sender: self,
            bytes,
            len: place.len,
            place,
        }
    }
}

/// A place for one message in the ring, not yet sent; given up when dropped.
#[must_use = "a loan that is not sent is given up"]
#[derive(Debug)]
pub struct MessageLoan<'a> {
    sender: &'a mut Sender<[u8]>,
    bytes: *mut u8,
    len: usize,
    place: Place,
}

impl MessageLoan<'_> {
    /// Sends what was filled in.
    pub fn send(self) {
        let side = &mut self.sender.side;
        if side.wary {
            // SAFETY: as for sending by value.
            unsafe { copy(side.bytes(self.place), self.bytes, self.len) };
        }
        // What drop does afterwards finds nothing held.
        side.done(self.place.with_len(self.len));
    }

    /// Makes it shorter: the length may turn out while it is filled.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Drop for MessageLoan<'_> {
    fn drop(&mut self) {
        if self.sender.side.holds() {
            self.sender.side.give_up();
        }
    }
}

impl Deref for MessageLoan<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: a record that this end has claimed, or private memory.
        unsafe { std::slice::from_raw_parts(self.bytes, self.len) }
    }
}

impl DerefMut for MessageLoan<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and exclusively borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.bytes, self.len) }
    }
}

impl Receiver<[u8]> {
    /// The longest message that can come.
    #[must_use]
    pub fn longest(&self) -> usize {
        longest(self.capacity())
    }

    /// Receives the oldest message that no other receiver has, in place; waits for it.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and all senders have left or were killed; `Corrupt`.
    #[inline]
    pub fn recv(&mut self) -> Result<Message<'_>> {
        let place = self.side.claim(Deadline::Never)?;
        Ok(self.take(place))
    }

    /// Receives one message if there is one.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and all senders have left or were killed; `Corrupt`.
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Message<'_>>> {
        let place = self.side.may_claim()?;
        Ok(place.map(|place| self.take(place)))
    }

    /// Receives one message, waiting no longer than `limit`.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv), and `TimedOut`.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Message<'_>> {
        let place = self.side.claim(Wait::For(limit).into())?;
        Ok(self.take(place))
    }

    #[inline]
    fn take(&mut self, place: Place) -> Message<'_> {
        self.side.hold(place);
        let bytes = self.look_into(place);
        Message {
            receiver: self,
            bytes,
            place,
        }
    }

    /// Where the bytes of a record that is held can be looked at.
    #[inline]
    pub(super) fn look_into(&mut self, place: Place) -> *const u8 {
        let bytes = self.side.bytes(place).cast_const();
        if !self.side.wary {
            return bytes;
        }
        let private = self.scratch.bytes(place.len);
        // SAFETY: a record of so many bytes, as was checked when it was claimed, and private memory.
        unsafe { copy(private, bytes, place.len) };
        private
    }
}

/// A message in the ring; its place is given back when this is dropped.
#[derive(Debug)]
pub struct Message<'a> {
    receiver: &'a mut Receiver<[u8]>,
    bytes: *const u8,
    place: Place,
}

impl Deref for Message<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: a full record that this end holds, or private memory.
        unsafe { std::slice::from_raw_parts(self.bytes, self.place.len) }
    }
}

impl Drop for Message<'_> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.side.done(self.place);
    }
}
