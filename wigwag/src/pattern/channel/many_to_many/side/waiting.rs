//! Waiting: how one end sleeps until a place is there for it, and who all can bring that about.

use std::time::Duration;

use super::super::listening::Listening;
use super::super::queue::Queue;
use super::{Side, has_met, others};
use crate::error::Result;
use crate::pattern::channel::bell::{self, ROUND};
use crate::pattern::channel::waiting::Waiting;
use crate::sys::atomic::{Ordering, relax};
use crate::sys::futex::{self, Sleep};
use crate::sys::keeper::State;
use crate::wait::Deadline;

/// The same while a process is dying, of which something may still run.
const DYING: Duration = Duration::from_millis(1);

/// Looks of some 10 ns before a waiter that adapts lets others have its core.
const LOOKS: u32 = 64;
/// How often it does that before it sleeps.
const TURNS: u32 = 8;
/// After so many a spinning waiter looks at the clock and at its peers.
const SPINS: u32 = 1000;

impl<Q: Queue> Side<Q> {
    /// Waits until a place is claimed. At the deadline it is `WouldBlock` or `TimedOut`.
    #[cold]
    #[inline(never)]
    pub(super) fn wait(&mut self, deadline: Deadline) -> Result<Q::Place> {
        self.seat.check_owner()?;
        let region = self.seat.region().clone();
        let other = self.role.other();
        loop {
            if let Some(place) = self.look()? {
                return Ok(place);
            }
            if deadline.passed() {
                let last = self.look_around()?;
                return last.ok_or_else(|| self.in_vain(deadline));
            }
            let joins = region.roster().joins.load(Ordering::SeqCst);
            let met = has_met(&region, other);
            let mut listening = Listening::with_capacity(2 * region.ends().len());
            // Who overwrites also waits for what other senders are writing.
            let overwrites = self.overwrites();
            let peers = region.ends().iter().enumerate().filter(|(index, end)| {
                end.role() == Some(other)
                    || overwrites && end.role().is_some() && *index != self.seat.index()
            });
            for (_, end) in peers {
                match self.waiting {
                    Waiting::Spin => listening.alone &= end.life.state() != State::Alive,
                    _ => listening.to(end),
                }
            }
            if !overwrites && self.waiting != Waiting::Spin {
                let neighbours = others(&region, self.role, self.seat.index());
                neighbours.for_each(|end| listening.for_death_of(end));
            }
            region.is_there("use")?;
            // The last look: for what came before the marks, or before a death.
            let dying = self.undertaker.undertake(&self.queue, &region);
            if let Some(place) = self.retry()? {
                return Ok(place);
            }
            if listening.alone && met && !dying {
                return Err(self.disconnected());
            }
            if self.waiting == Waiting::Spin {
                continue;
            }
            listening.words.push((&region.roster().joins, joins));
            let most = if dying {
                DYING
            } else if !listening.sure {
                bell::NAP
            } else if others(&region, self.role, self.seat.index())
                .next()
                .is_some()
            {
                ROUND
            } else {
                region.vigil()
            };
            match futex::wait_any(&listening.words, deadline, most) {
                Sleep::Gone => return Err(self.disconnected()),
                Sleep::Interrupted => return Err(self.in_vain(deadline)),
                _ => {}
            }
            // Of all who slept on a word the kernel wakes one when its owner dies, even if that one finds what it wants now.
            for end in region.ends() {
                for word in [&end.life, &end.grave] {
                    if word.state() == State::Killed {
                        word.pass_on();
                    }
                }
            }
        }
    }

    /// Looks as long as that seems worth while.
    fn look(&mut self) -> Result<Option<Q::Place>> {
        match self.waiting {
            Waiting::Block => self.retry(),
            Waiting::Spin => self.look_often(SPINS),
            Waiting::Adaptive => {
                for _ in 0..TURNS {
                    if let Some(place) = self.look_often(LOOKS)? {
                        return Ok(Some(place));
                    }
                    // Whoever could change something may be waiting for this core.
                    std::thread::yield_now();
                }
                self.retry()
            }
        }
    }

    fn look_often(&mut self, looks: u32) -> Result<Option<Q::Place>> {
        for _ in 0..looks {
            relax();
            if let Some(place) = self.retry()? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }
}
