//! Streams: every byte in order, in both directions, and the end of the file at the end.

use std::time::Instant;

use wigwag::stream::Stream;

use super::pattern::{PIECE, Pattern};
use super::play::{Fault, Play, Result};
use super::sample::Samples;

/// One stream with two ways, or two with one.
pub(crate) enum Ends {
    TwoWay(Box<dyn Stream>),
    OneWay {
        out: Box<dyn Stream>,
        back: Box<dyn Stream>,
    },
}

impl Ends {
    fn out(&mut self) -> &mut dyn Stream {
        match self {
            Ends::TwoWay(both) => &mut **both,
            Ends::OneWay { out, .. } => &mut **out,
        }
    }

    fn back(&mut self) -> &mut dyn Stream {
        match self {
            Ends::TwoWay(both) => &mut **both,
            Ends::OneWay { back, .. } => &mut **back,
        }
    }
}

pub(crate) struct Streams {
    ends: Ends,
    pattern: Pattern,
    sent: u64,
    received: u64,
    buffer: Vec<u8>,
}

impl Streams {
    pub(crate) fn new(ends: Ends) -> Self {
        Streams {
            ends,
            pattern: Pattern::new(),
            sent: 0,
            received: 0,
            buffer: vec![0; PIECE],
        }
    }

    fn put(&mut self, size: usize) -> Result<()> {
        let mut left = size;
        while left > 0 {
            let piece = self.pattern.piece(self.sent, left);
            self.ends.out().write_all(piece)?;
            self.sent += piece.len() as u64;
            left -= piece.len();
        }
        Ok(self.ends.out().flush()?)
    }

    fn take(&mut self, size: usize) -> Result<()> {
        let mut left = size;
        while left > 0 {
            let room = left.min(PIECE);
            // Whatever has come, not until the buffer is full: so it is measured what the stream does.
            let read = self.ends.back().read(&mut self.buffer[..room])?;
            if read == 0 {
                return Err(Fault(format!("the stream ended, {left} bytes early")));
            }
            self.pattern.check(self.received, &self.buffer[..read])?;
            self.received += read as u64;
            left -= read;
        }
        Ok(())
    }
}

impl Play for Streams {
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
        (0..count).try_for_each(|_| self.put(size))
    }

    fn drain(&mut self, count: u64, size: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.take(size))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        Ok(self.ends.out().finish()?)
    }

    fn ended(&mut self) -> Result<()> {
        match self.ends.back().read(&mut self.buffer)? {
            0 => Ok(()),
            more => Err(Fault(format!("{more} bytes came where the end should be"))),
        }
    }

    fn large(&self) -> usize {
        PIECE
    }
}
