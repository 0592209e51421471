//! Signals: numbers with a word of data, in the order in which they were queued.

use super::play::{About, Fault, Play, Result};
use super::sample::Samples;

pub(crate) struct Signals;

impl Signals {
    pub(crate) fn new(_: i32) -> Result<Self> {
        Err(Fault("not yet".into()))
    }
}

impl Play for Signals {
    fn ask(&mut self, _: u64, _: usize, _: &mut Samples) -> Result<()> {
        Ok(())
    }
    fn answer(&mut self, _: u64, _: usize) -> Result<()> {
        Ok(())
    }
    fn pour(&mut self, _: u64, _: usize) -> Result<()> {
        Ok(())
    }
    fn drain(&mut self, _: u64, _: usize) -> Result<()> {
        Ok(())
    }
    fn about(&self) -> About {
        About::Signals
    }
}
