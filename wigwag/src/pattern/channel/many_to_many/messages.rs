//! Messages: many byte messages at a time, each of which is looked at where it lies.
//!
//! A batch is no unit, as that of values is none.

use super::records::Place;
use super::{Receiver, Sender};
use crate::error::Result;
use crate::wait::Deadline;

impl Sender<[u8]> {
    /// Sends many, each as soon as there is room for it. How many were sent: all, unless the channel was made to drop.
    ///
    /// # Errors
    /// As for [`send`](Self::send); some of them may have been sent.
    pub fn send_many<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize> {
        let sent = messages.iter().try_fold(0, |sent, message| {
            let message = message.as_ref();
            self.wants(message.len())?;
            let Some(place) = self.side.next_room()? else {
                return Ok(sent);
            };
            self.fill(place, message);
            self.side.publish(place);
            Ok(sent + 1)
        });
        self.side.ring();
        sent
    }

    /// Sends the first of them, as many as there is room for, and says how many. A channel that overwrites the oldest makes room.
    ///
    /// # Errors
    /// `TooBig` for the first; `Disconnected` when there is no room for it and all receivers have left or were killed; `Corrupt`.
    pub fn try_send_many<M: AsRef<[u8]>>(&mut self, messages: &[M]) -> Result<usize> {
        let Some(first) = messages.first() else {
            return Ok(0);
        };
        self.wants(first.as_ref().len())?;
        let Some(place) = self.side.may_lend()? else {
            return Ok(0);
        };
        self.fill(place, first.as_ref());
        self.side.publish(place);
        let mut sent = 1;
        for message in messages[1..].iter().map(AsRef::as_ref) {
            if self.wants(message.len()).is_err() {
                break;
            }
            let Ok(Some(place)) = self.side.try_next_room() else {
                break;
            };
            self.fill(place, message);
            self.side.publish(place);
            sent += 1;
        }
        self.side.ring();
        Ok(sent)
    }
}

impl Receiver<[u8]> {
    /// Receives the messages that are there and that no other receiver has, one after the other, in place; waits for the first.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    pub fn recv_many(&mut self) -> Result<Messages<'_>> {
        let first = self.side.claim(Deadline::Never)?;
        Ok(self.take_many(first))
    }

    /// The same if there is one.
    ///
    /// # Errors
    /// As for [`try_recv`](Self::try_recv).
    pub fn try_recv_many(&mut self) -> Result<Option<Messages<'_>>> {
        let first = self.side.may_claim()?;
        Ok(first.map(|first| self.take_many(first)))
    }

    fn take_many(&mut self, first: Place) -> Messages<'_> {
        self.side.hold(first);
        Messages {
            receiver: self,
            first: Some(first),
        }
    }
}

/// Messages one after the other in the ring. What [`next`](Self::next) gave is given back when this is dropped;
/// what it did not goes to whoever receives next.
#[derive(Debug)]
pub struct Messages<'a> {
    receiver: &'a mut Receiver<[u8]>,
    /// Not given yet.
    first: Option<Place>,
}

impl Messages<'_> {
    /// The next of them: also one that came meanwhile, until it has given a whole ring.
    ///
    /// # Errors
    /// `Corrupt`.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "what it lends ends with it")]
    pub fn next(&mut self) -> Result<Option<&[u8]>> {
        let place = match self.first.take() {
            Some(first) => first,
            None => match self.receiver.side.hold_another()? {
                Some(place) => place,
                None => return Ok(None),
            },
        };
        let bytes = self.receiver.look_into(place);
        // SAFETY: a full record that this end holds, or private memory until the next call.
        Ok(Some(unsafe {
            std::slice::from_raw_parts(bytes, place.len)
        }))
    }
}

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        let side = &mut self.receiver.side;
        let given = match self.first {
            Some(_) => 0,
            None => side.count_held(),
        };
        side.done_with(given);
    }
}
