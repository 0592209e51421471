//! Memory: what one process writes the other sees, all of it.
//!
//! Memory promises no order between writes, so nobody waits for a flag and then trusts the rest:
//! whoever waits looks until every byte is what comes next.

use std::time::Instant;

use wigwag::memory::Region;

use super::pattern::Pattern;
use super::play::{Fault, PATIENCE, Play, Result};
use super::sample::Samples;

/// How many bytes the region of a check has.
pub(crate) const SIZE: usize = 4 << 20;

/// Where the one who was asked writes; the rest, from 0, is the asker's.
const ANSWERS: usize = SIZE - 4096;

pub(crate) struct Memory {
    region: Box<dyn Region>,
    pattern: Pattern,
    /// How many transfers there were; each has bytes of its own.
    turn: u64,
    buffer: Vec<u8>,
}

impl Memory {
    pub(crate) fn new(region: Box<dyn Region>) -> Result<Self> {
        if region.len() < SIZE {
            return Err(Fault(format!(
                "it has {} bytes and should have {SIZE}",
                region.len()
            )));
        }
        Ok(Memory {
            region,
            pattern: Pattern::new(),
            turn: 0,
            buffer: vec![0; SIZE],
        })
    }

    /// Far enough from the turn before that no byte is what it was, but for chance.
    fn position(&self) -> u64 {
        self.turn * 10_007
    }

    fn put(&mut self, offset: usize, size: usize) -> Result<()> {
        let mut done = 0;
        while done < size {
            let piece = self
                .pattern
                .piece(self.position() + done as u64, size - done);
            self.region.write_at(offset + done, piece)?;
            done += piece.len();
        }
        Ok(())
    }

    fn take(&mut self, offset: usize, size: usize) -> Result<()> {
        const GLANCE: usize = 8;
        let start = Instant::now();
        let mut looks = 0_u32;
        loop {
            // The last bytes first: as long as they are old, the rest is not looked at.
            let glance = size.min(GLANCE);
            let tail = size - glance;
            let buffer = &mut self.buffer[..size];
            self.region.read_at(offset + tail, &mut buffer[tail..])?;
            let position = self.turn * 10_007;
            if self
                .pattern
                .check(position + tail as u64, &buffer[tail..])
                .is_ok()
            {
                self.region.read_at(offset, buffer)?;
                match self.pattern.check(position, buffer) {
                    Ok(()) => return Ok(()),
                    Err(wrong) if start.elapsed() > PATIENCE => return Err(wrong.into()),
                    Err(_) => {}
                }
            }
            looks += 1;
            if looks.is_multiple_of(256) {
                // With one processor the other has to get it.
                std::thread::yield_now();
                if start.elapsed() > PATIENCE {
                    return Err(Fault("what the other process wrote was never seen".into()));
                }
            } else {
                std::hint::spin_loop();
            }
        }
    }
}

impl Play for Memory {
    fn ask(&mut self, count: u64, size: usize, samples: &mut Samples) -> Result<()> {
        for _ in 0..count {
            self.turn += 1;
            let start = Instant::now();
            self.put(0, size)?;
            self.take(ANSWERS, size)?;
            samples.add(start.elapsed());
        }
        Ok(())
    }

    fn answer(&mut self, count: u64, size: usize) -> Result<()> {
        for _ in 0..count {
            self.turn += 1;
            self.take(0, size)?;
            self.put(ANSWERS, size)?;
        }
        Ok(())
    }

    fn pour(&mut self, count: u64, size: usize) -> Result<()> {
        for _ in 0..count {
            self.turn += 1;
            self.put(0, size)?;
            self.take(ANSWERS, 8)?;
        }
        Ok(())
    }

    fn drain(&mut self, count: u64, size: usize) -> Result<()> {
        for _ in 0..count {
            self.turn += 1;
            self.take(0, size)?;
            self.put(ANSWERS, 8)?;
        }
        Ok(())
    }

    fn large(&self) -> usize {
        ANSWERS
    }
}
