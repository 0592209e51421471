//! Gates: one at a time, counted in memory by two processes that both want in.
//!
//! The count is read, kept for a moment, and written back, without any atomic operation: when both
//! are inside at once, an entry is lost, and the sum is wrong.

use std::time::Instant;

use wigwag::Wait;
use wigwag::gate::{Gate, Mode};
use wigwag::memory::Region;

use super::play::{About, Fault, PATIENCE, Play, Result};
use super::sample::Samples;

/// Where the number of entries is.
const ENTRIES: usize = 0;
/// Where it says who was inside last.
const LAST: usize = 64;
/// Where it is counted how often another process came in than was inside before.
const HAND_OVERS: usize = 128;

/// What is entered and left again.
pub(crate) trait Door {
    /// Does something inside.
    fn inside(&self, act: &mut dyn FnMut() -> Result<()>) -> Result<()>;
}

impl Door for Box<dyn Gate> {
    fn inside(&self, act: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        self.acquire_with(Mode::Exclusive, Wait::For(PATIENCE))?;
        act()?;
        Ok(self.release()?)
    }
}

pub(crate) struct Contest {
    door: Box<dyn Door>,
    counters: Box<dyn Region>,
    us: u64,
}

impl Contest {
    pub(crate) fn new(door: Box<dyn Door>, counters: Box<dyn Region>) -> Self {
        Contest {
            door,
            counters,
            us: std::process::id().into(),
        }
    }

    fn get(&self, offset: usize) -> Result<u64> {
        let mut bytes = [0; 8];
        self.counters.read_at(offset, &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn set(&self, offset: usize, value: u64) -> Result<()> {
        Ok(self.counters.write_at(offset, &value.to_ne_bytes())?)
    }

    fn enter(&self) -> Result<()> {
        self.door.inside(&mut || {
            let entries = self.get(ENTRIES)?;
            if self.get(LAST)? != self.us {
                self.set(HAND_OVERS, self.get(HAND_OVERS)? + 1)?;
                self.set(LAST, self.us)?;
            }
            // Long enough that the other one would come in if the gate let it.
            for _ in 0..32 {
                std::hint::spin_loop();
            }
            self.set(ENTRIES, entries + 1)
        })
    }
}

impl Play for Contest {
    fn ask(&mut self, count: u64, _: usize, samples: &mut Samples) -> Result<()> {
        for _ in 0..count {
            let start = Instant::now();
            self.enter()?;
            samples.add(start.elapsed());
        }
        Ok(())
    }

    fn answer(&mut self, count: u64, _: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.enter())
    }

    fn pour(&mut self, _: u64, _: usize) -> Result<()> {
        Ok(())
    }

    fn drain(&mut self, _: u64, _: usize) -> Result<()> {
        Ok(())
    }

    fn about(&self) -> About {
        About::Entries
    }

    fn settle(&mut self, entries: u64) -> Result<u64> {
        let counted = self.get(ENTRIES)?;
        if counted != entries {
            return Err(Fault(format!(
                "it let in two at once: {entries} entries, {counted} counted"
            )));
        }
        self.get(HAND_OVERS)
    }
}
