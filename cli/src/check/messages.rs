//! Messages: every one whole, in order, up to the longest that goes.

use std::time::Instant;

use wigwag::facility::Family;
use wigwag::guarantees::{Delivery, Guarantees, Overflow};
use wigwag::message::{Messages, Note};
use wigwag::{Facility, Wait};

use super::pattern::Pattern;
use super::play::{Fault, PATIENCE, Play, Result};
use super::sample::Samples;

/// One facility with two ways, or two objects.
pub(crate) enum Ends {
    TwoWay(Box<dyn Messages>),
    OneWay {
        out: Box<dyn Messages>,
        back: Box<dyn Messages>,
    },
}

pub(crate) struct Exchange {
    ends: Ends,
    /// How many bytes may be under way before the other side says that it has them:
    /// where nothing is promised we do not send more than the receiver's buffer holds.
    window: Option<usize>,
    wait: Wait,
    pattern: Pattern,
    sent: u64,
    received: u64,
    buffer: Vec<u8>,
}

/// Well below the receive buffer that a socket has by default, with the kernel's bookkeeping.
const WINDOW: usize = 64 * 1024;

impl Exchange {
    pub(crate) fn new(ends: Ends, facility: &Facility, guarantees: &Guarantees) -> Self {
        let window = match (guarantees.overflow, guarantees.delivery) {
            // The next message takes the place of one that was not received.
            (Overflow::Overwrites, _) => Some(1),
            (_, delivery) => (delivery <= Delivery::BestEffort).then_some(WINDOW),
        };
        Exchange {
            ends,
            window,
            // Where the kernel has no time-out, one costs more than the transfer; who is stuck is
            // set free by the removal of the queue.
            wait: if facility.pollable || facility.family == Family::Pattern {
                Wait::For(PATIENCE)
            } else {
                Wait::Forever
            },
            pattern: Pattern::new(),
            sent: 0,
            received: 0,
            buffer: Vec::new(),
        }
    }

    fn out(&self) -> &dyn Messages {
        match &self.ends {
            Ends::TwoWay(both) => &**both,
            Ends::OneWay { out, .. } => &**out,
        }
    }

    fn put(&mut self, size: usize) -> Result<()> {
        let note = Note::default();
        let message = self.pattern.piece(self.sent, size);
        if message.len() == size {
            self.out().send_with(message, note, self.wait)?;
        } else {
            let message = self.pattern.bytes(self.sent, size);
            self.out().send_with(&message, note, self.wait)?;
        }
        self.sent += size as u64;
        Ok(())
    }

    fn take(&mut self, size: usize) -> Result<()> {
        let back = match &self.ends {
            Ends::TwoWay(both) => both,
            Ends::OneWay { back, .. } => back,
        };
        let received = back.recv_with(&mut self.buffer, None, self.wait)?;
        if received.is_none() {
            return Err(Fault("the sender is gone".into()));
        }
        if self.buffer.len() != size {
            let len = self.buffer.len();
            return Err(Fault(format!("a message of {size} bytes came with {len}")));
        }
        self.pattern.check(self.received, &self.buffer)?;
        self.received += size as u64;
        Ok(())
    }

    /// How many messages of this size the window holds.
    fn window(&self, size: usize) -> Option<u64> {
        self.window
            .map(|window| (window / size.max(1)).max(1) as u64)
    }
}

/// The message that says that a window has been taken.
const TAKEN: usize = 8;

impl Play for Exchange {
    fn ask(&mut self, count: u64, size: usize, samples: &mut Samples) -> Result<()> {
        for _ in 0..count {
            let start = Instant::now();
            self.put(size)?;
            self.take(size)?;
            samples.add(start.elapsed());
        }
        Ok(())
    }

    fn answer(&mut self, count: u64, size: usize) -> Result<()> {
        for _ in 0..count {
            self.take(size)?;
            self.put(size)?;
        }
        Ok(())
    }

    fn pour(&mut self, count: u64, size: usize) -> Result<()> {
        let window = self.window(size);
        for number in 1..=count {
            self.put(size)?;
            if window.is_some_and(|window| number % window == 0) {
                self.take(TAKEN)?;
            }
        }
        Ok(())
    }

    fn drain(&mut self, count: u64, size: usize) -> Result<()> {
        let window = self.window(size);
        for number in 1..=count {
            self.take(size)?;
            if window.is_some_and(|window| number % window == 0) {
                self.put(TAKEN)?;
            }
        }
        Ok(())
    }

    fn large(&self) -> usize {
        const ENOUGH: usize = 1 << 20;
        self.out().max_len().min(ENOUGH)
    }
}
