//! Message: byte messages, each in a slot of its own, up to a sixteenth of the channel's capacity.

use std::ops::Deref;
use std::time::Duration;

use super::{Full, Receiver, Sender};
use crate::error::{Kind, Result};
use crate::sys::copy::copy;
use crate::wait::{Deadline, Wait};

/// How many messages there is room for.
pub(super) const SLOTS: u64 = 16;
/// The word of the slot, and the length of the message.
pub(super) const BEFORE: usize = 16;

/// The longest message of a channel with this capacity.
pub(super) fn longest(capacity: u64) -> usize {
    ((capacity / SLOTS) as usize).saturating_sub(BEFORE)
}

impl Sender<[u8]> {
    /// The longest message that fits.
    #[must_use]
    pub fn longest(&self) -> usize {
        longest(self.capacity())
    }

    /// Sends one message; waits for room, unless the channel was made otherwise ([`Full`]).
    ///
    /// # Errors
    /// `TooBig` for one longer than [`longest`](Self::longest); `Disconnected` when it is full and all receivers have left or were
    /// killed; `WouldBlock` when it is full and was made to fail.
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

    /// Sends one message if there is room, and says whether.
    ///
    /// # Errors
    /// `TooBig`.
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<bool> {
        self.fits(message.len())?;
        let Some(position) = self.side.try_claim() else {
            if self.side.full() == Full::DropNewest {
                self.side.lose();
            }
            return Ok(false);
        };
        self.put(position, message);
        Ok(true)
    }

    #[inline]
    fn send_until(&mut self, message: &[u8], deadline: Deadline) -> Result<()> {
        self.fits(message.len())?;
        if let Some(position) = self.side.room(deadline)? {
            self.put(position, message);
        }
        Ok(())
    }

    fn fits(&self, len: usize) -> Result<()> {
        if len <= self.longest() {
            return Ok(());
        }
        let why = format!("{len} bytes do not fit, at most {} do", self.longest());
        Err(self
            .side
            .error(Kind::TooBig, why)
            .with_hint("make the channel with more capacity: a message has at most a sixteenth"))
    }

    #[inline]
    fn put(&mut self, position: u64, message: &[u8]) {
        let place = self.side.place(position);
        // SAFETY: a slot that this end has claimed, at least as long as the message, as was checked; `message` is no part of it.
        // The length lies in the eight bytes before; volatile, because a peer may break the rules.
        unsafe {
            place
                .sub(8)
                .cast::<u64>()
                .write_volatile(message.len() as u64);
            if self.side.wary {
                copy(place, message.as_ptr(), message.len());
            } else {
                place.copy_from_nonoverlapping(message.as_ptr(), message.len());
            }
        }
        self.side.done(position);
    }
}

impl Receiver<[u8]> {
    /// Receives the oldest message that no other receiver has, in place; waits for it.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and all senders have left or were killed; `Corrupt`.
    #[inline]
    pub fn recv(&mut self) -> Result<Message<'_>> {
        let position = self.side.claim(Deadline::Never)?;
        self.take(position)
    }

    /// Receives one message if there is one.
    ///
    /// # Errors
    /// `Corrupt`. Senders that are gone are told by the forms that wait, and by [`is_connected`](Self::is_connected).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Message<'_>>> {
        match self.side.try_claim() {
            Some(position) => self.take(position).map(Some),
            None => Ok(None),
        }
    }

    /// Receives one message, waiting no longer than `limit`.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv), and `TimedOut`.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Message<'_>> {
        let position = self.side.claim(Wait::For(limit).into())?;
        self.take(position)
    }

    #[inline]
    fn take(&mut self, position: u64) -> Result<Message<'_>> {
        let mut bytes = self.side.place(position).cast_const();
        // SAFETY: the eight bytes before those of the message; a peer may write meanwhile, so it is one volatile copy.
        let len = unsafe { bytes.sub(8).cast::<u64>().read_volatile() };
        let longest = longest(self.capacity());
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= longest) else {
            // It is not worth keeping.
            self.side.done(position);
            let why = format!("a message claims {len} bytes, a slot has {longest}");
            return Err(self.side.error(Kind::Corrupt, why));
        };
        self.side.hold(position);
        if self.side.wary {
            let room = self.scratch.len().max(len.div_ceil(8));
            self.scratch.resize(room, 0);
            let private = self.scratch.as_mut_ptr().cast::<u8>();
            // SAFETY: inside the slot, and private memory.
            unsafe { copy(private, bytes, len) };
            bytes = private;
        }
        Ok(Message {
            receiver: self,
            bytes,
            len,
            position,
        })
    }
}

/// A message in the ring; its place is given back when this is dropped.
#[derive(Debug)]
pub struct Message<'a> {
    receiver: &'a mut Receiver<[u8]>,
    bytes: *const u8,
    len: usize,
    position: u64,
}

impl Deref for Message<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: a full slot that this end holds, or private memory.
        unsafe { std::slice::from_raw_parts(self.bytes, self.len) }
    }
}

impl Drop for Message<'_> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.side.done(self.position);
    }
}
