//! Polled: no bell at all, for a side that cannot ring.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;
use wigwag_mailbox::{Side, Word};

use super::{Bell, Futex};
use crate::error::Result;
use crate::sys::patience;
use crate::wait::Wait;

/// No bell to hear: looks at the flag again and again, first at once, then after sleeps that double from 50 µs to 10 ms.
/// It rings as the [`Futex`](super::Futex) does, for a side that hears that.
#[derive(Debug, Clone, Copy, Default)]
pub struct Polled;

impl Bell for Polled {
    fn ring(&self, side: Side, flag: &Word) {
        Futex.ring(side, flag);
    }

    fn wait(&self, _: Side, flag: &Word, seen: u32, limit: Option<Duration>) -> Result<()> {
        let look = || match flag.load(Ordering::Relaxed) {
            flag if flag == seen => Err(Errno::AGAIN),
            _ => Ok(()),
        };
        // That the time is over is told by whoever asked.
        let _ = patience::look_again(Wait::from(limit).into(), look);
        Ok(())
    }
}
