//! Message: byte messages of any length up to the ring's as a receiver gets them, in place or as a copy.

use std::ops::Deref;
use std::time::Duration;

use super::Receiver;
use super::record::{self, HEADER, Header, record};
use super::subscribed::ATTEMPTS;
use crate::error::{Error, Kind, Result};
use crate::sys::copy::copy;
use crate::wait::{Deadline, Wait};

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
