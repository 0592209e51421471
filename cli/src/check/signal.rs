//! Signals: numbers with a word of data, each one and in the order in which they were queued.

use std::time::Instant;

use wigwag::signal::{self, Receiver, Signal};

use super::play::{About, Fault, PATIENCE, Play, Result};
use super::sample::Samples;

/// A real-time signal, of which each is queued; the first ones are often taken by libraries.
const OURS: u32 = 7;

/// How many may be queued before the other side says that it has them (`RLIMIT_SIGPENDING`).
const WINDOW: u64 = 64;

pub(crate) struct Signals {
    other: i32,
    ours: Signal,
    receiver: Receiver,
    sent: i32,
    received: i32,
}

impl Signals {
    /// With that process.
    pub(crate) fn with(other: i32) -> Result<Self> {
        Ok(Signals {
            other,
            ours: Signal::realtime(OURS)?,
            receiver: Signals::held_back()?,
            sent: 0,
            received: 0,
        })
    }

    /// Receives it, and holds it back in this thread and those that it starts.
    pub(super) fn held_back() -> Result<Receiver> {
        Ok(Receiver::open(Signal::realtime(OURS)?)?)
    }

    fn put(&mut self) -> Result<()> {
        self.sent = self.sent.wrapping_add(1);
        Ok(signal::queue(self.other, self.ours, self.sent)?)
    }

    fn take(&mut self) -> Result<()> {
        let received = self.receiver.recv_timeout(PATIENCE)?;
        self.received = self.received.wrapping_add(1);
        if received.value != Some(self.received) || received.pid != self.other {
            let expected = self.received;
            return Err(Fault(format!(
                "{received:?} came instead of the value {expected}"
            )));
        }
        Ok(())
    }
}

impl Play for Signals {
    fn ask(&mut self, count: u64, _: usize, samples: &mut Samples) -> Result<()> {
        for _ in 0..count {
            let start = Instant::now();
            self.put()?;
            self.take()?;
            samples.add(start.elapsed());
        }
        Ok(())
    }

    fn answer(&mut self, count: u64, _: usize) -> Result<()> {
        for _ in 0..count {
            self.take()?;
            self.put()?;
        }
        Ok(())
    }

    fn pour(&mut self, count: u64, _: usize) -> Result<()> {
        for number in 1..=count {
            self.put()?;
            if number % WINDOW == 0 {
                self.take()?;
            }
        }
        Ok(())
    }

    fn drain(&mut self, count: u64, _: usize) -> Result<()> {
        for number in 1..=count {
            self.take()?;
            if number % WINDOW == 0 {
                self.put()?;
            }
        }
        Ok(())
    }

    fn about(&self) -> About {
        About::Signals
    }
}
