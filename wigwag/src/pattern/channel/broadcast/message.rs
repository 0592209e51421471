//! Message: byte messages of any length up to the ring's, each in one piece because the ring is mapped twice in a row.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::record::{self, HEADER, Header, need, record};
use super::subscribed::ATTEMPTS;
use super::{Full, Receiver, Sender};
use crate::error::{Error, Kind, Result};
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

/// What was taken, not yet given back.
struct Taken {
    bytes: *const u8,
    len: usize,
    missed: u64,
}

impl Receiver<[u8]> {
    /// The longest message that can come.
    #[must_use]
    pub fn longest(&self) -> usize {
        record::longest(self.side.capacity())
    }

    /// Receives one message; waits for it.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and the sender has left or was killed; `Corrupt`.
    #[inline(always)]
    pub fn recv(&mut self) -> Result<Message<'_>> {
        let taken = self.take_waiting(Deadline::Never)?;
        Ok(self.received(taken))
    }

    /// Receives one message if there is one.
    ///
    /// # Errors
    /// `Disconnected` when it is empty and the sender has left or was killed; `Corrupt`.
    #[inline(always)]
    pub fn try_recv(&mut self) -> Result<Option<Message<'_>>> {
        if self.side.may_have()? == 0 {
            return Ok(None);
        }
        let taken = self.take()?;
        Ok(taken.map(|taken| self.received(taken)))
    }

    /// Receives one message, waiting no longer than `limit`.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv), and `TimedOut`.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Message<'_>> {
        let taken = self.take_waiting(Wait::For(limit).into())?;
        Ok(self.received(taken))
    }

    /// Receives all messages that are there, in place or as one copy; waits for the first.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_many(&mut self) -> Result<Messages<'_>> {
        self.side.look();
        loop {
            if let Some(taken) = self.take_many()? {
                return Ok(self.several(taken));
            }
            self.side.wait(Deadline::Never)?;
        }
    }

    /// The same if there is one at least.
    ///
    /// # Errors
    /// As for [`try_recv`](Self::try_recv).
    pub fn try_recv_many(&mut self) -> Result<Option<Messages<'_>>> {
        self.side.look();
        if self.side.may_have()? == 0 {
            return Ok(None);
        }
        let taken = self.take_many()?;
        Ok(taken.map(|taken| self.several(taken)))
    }

    fn several(&mut self, taken: Taken) -> Messages<'_> {
        Messages {
            receiver: self,
            taken,
            done: 0,
        }
    }

    /// Takes all records that are published, where they lie or as a copy; `bytes` is where the first begins.
    fn take_many(&mut self) -> Result<Option<Taken>> {
        for attempt in 0..ATTEMPTS {
            let published = self.side.published()?;
            if published == 0 {
                return Ok(None);
            }
            let at = self.side.at();
            if let Some(floor) = self.side.overtaken_to() {
                self.catch_up(floor, attempt)?;
                continue;
            }
            let mut len = published.min(self.side.capacity()) as usize;
            let mut bytes = self.ring.place(at).cast_const();
            if self.side.copies {
                let private = self.scratch.bytes(len);
                // SAFETY: a published part of the ring, which is mapped twice in a row, and private memory.
                unsafe { copy(private, bytes, len) };
                let gone = match self.side.overtaken_to() {
                    None => 0,
                    // The front of the batch is gone, the rest is whole and begins with a record.
                    Some(floor) if floor - at < len as u64 => (floor - at) as usize,
                    Some(floor) => {
                        self.catch_up(floor, attempt)?;
                        continue;
                    }
                };
                self.side.skip(at + gone as u64);
                // SAFETY: fewer than were copied.
                bytes = unsafe { private.add(gone) };
                len -= gone;
            }
            // SAFETY: `len` bytes of the ring or private, which is more than none.
            let first = unsafe { Header::in_bytes(bytes, len) };
            let missed = first.map(|first| first.sequence.wrapping_sub(self.sequence));
            match missed {
                Some(0) => {}
                Some(missed) if missed <= 1 << 62 && self.side.overtaken => {
                    self.side.miss(missed);
                    self.sequence = self.sequence.wrapping_add(missed);
                }
                _ => return Err(self.torn(first.unwrap_or_default(), len as u64)),
            }
            return Ok(Some(Taken {
                bytes,
                len,
                missed: self.side.tell_missed(),
            }));
        }
        Ok(None)
    }

    #[inline(always)]
    fn received(&mut self, taken: Taken) -> Message<'_> {
        Message {
            receiver: self,
            taken,
        }
    }

    #[inline(always)]
    fn take_waiting(&mut self, deadline: Deadline) -> Result<Taken> {
        loop {
            if let Some(taken) = self.take()? {
                return Ok(taken);
            }
            self.side.wait(deadline)?;
            if self.side.overtaken && deadline.passed() {
                return Err(self.side.in_vain(deadline));
            }
        }
    }

    #[inline(always)]
    fn take(&mut self) -> Result<Option<Taken>> {
        for attempt in 0..ATTEMPTS {
            let published = self.side.published()?;
            if published == 0 {
                return Ok(None);
            }
            let at = self.side.at();
            let header = self.ring.header(at);
            if let Some(floor) = self.side.overtaken_to() {
                self.catch_up(floor, attempt)?;
                continue;
            }
            // What comes in order has the next number; behind a gap, a later one.
            let missed = header.sequence.wrapping_sub(self.sequence);
            let len = header.len as usize;
            // One that was overtaken may see more published than the ring has.
            let most = published.min(self.side.capacity());
            if record(len) > most || missed > 1 << 62 || missed != 0 && !self.side.overtaken {
                return Err(self.torn(header, published));
            }
            let mut bytes = self.ring.place(at + HEADER).cast_const();
            if self.side.copies {
                let private = self.scratch.bytes(len);
                // SAFETY: a published record, and private memory.
                unsafe { copy(private, bytes, len) };
                if let Some(floor) = self.side.overtaken_to() {
                    self.catch_up(floor, attempt)?;
                    continue;
                }
                bytes = private;
            }
            self.side.miss(missed);
            self.sequence = header.sequence;
            return Ok(Some(Taken {
                bytes,
                len,
                missed: self.side.tell_missed(),
            }));
        }
        Ok(None)
    }

    /// Goes on behind what was overwritten; how many that were the next header says.
    #[cold]
    fn catch_up(&mut self, floor: u64, attempt: u32) -> Result<()> {
        let (to, tail) = self.side.catch_up(floor, attempt)?;
        // Records are found from the oldest on, or at the end.
        self.side.skip(if attempt == 0 { to } else { tail });
        Ok(())
    }

    #[cold]
    fn torn(&self, header: Header, published: u64) -> Error {
        let why = format!(
            "a message claims to be number {} of {} bytes, where number {} is due and {published} bytes are in the ring",
            header.sequence, header.len, self.sequence
        );
        self.side.error(Kind::Corrupt, why)
    }
}

/// A message in the ring, or a copy of it where it might be overwritten; given back when this is dropped.
pub struct Message<'a> {
    receiver: &'a mut Receiver<[u8]>,
    taken: Taken,
}

impl Message<'_> {
    /// How many messages were overwritten before this receiver came to them, since the one that it received before this.
    #[must_use]
    #[doc(alias = "lagged")]
    pub fn missed(&self) -> u64 {
        self.taken.missed
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: a published part of the ring that the sender leaves alone until it is given back, or private memory.
        unsafe { std::slice::from_raw_parts(self.taken.bytes, self.taken.len) }
    }
}

impl Drop for Message<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        let receiver = &mut *self.receiver;
        receiver.sequence = receiver.sequence.wrapping_add(1);
        let next = receiver.side.at() + record(self.taken.len);
        receiver.side.advance(next);
    }
}

impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

/// Messages one after the other, in the ring or copied. What [`next`](Self::next) gave is given back when this is dropped;
/// what it did not comes again.
pub struct Messages<'a> {
    receiver: &'a mut Receiver<[u8]>,
    taken: Taken,
    done: usize,
}

impl Messages<'_> {
    /// How many messages were overwritten before the first of these.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.taken.missed
    }

    /// The next of them.
    ///
    /// # Errors
    /// `Corrupt`.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "what it lends ends with it")]
    pub fn next(&mut self) -> Result<Option<&[u8]>> {
        let left = self.taken.len - self.done;
        if left == 0 {
            return Ok(None);
        }
        // SAFETY: inside what was taken, `left` bytes before its end.
        let start = unsafe { self.taken.bytes.add(self.done) };
        // SAFETY: as above.
        let header = unsafe { Header::in_bytes(start, left) }.unwrap_or_default();
        let len = header.len as usize;
        let receiver = &mut *self.receiver;
        if record(len) > left as u64 || header.sequence != receiver.sequence {
            return Err(receiver.torn(header, left as u64));
        }
        receiver.sequence = receiver.sequence.wrapping_add(1);
        self.done += record(len) as usize;
        // SAFETY: inside what was taken, which the sender leaves alone until it is given back, or private memory.
        Ok(Some(unsafe {
            std::slice::from_raw_parts(start.add(HEADER as usize), len)
        }))
    }
}

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        if self.done > 0 {
            let side = &mut self.receiver.side;
            side.advance(side.at() + self.done as u64);
        }
    }
}

impl std::fmt::Debug for Messages<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages")
            .field("bytes", &(self.taken.len - self.done))
            .field("missed", &self.taken.missed)
            .finish_non_exhaustive()
    }
}
