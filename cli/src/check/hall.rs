//! Hall: one gate of each kind in a segment, and two processes that go through one of them.
//!
//! What shuts others out is tried as every other gate is, by a count that is wrong when two are inside at once. At a
//! barrier each counts its own rounds, and both counts are equal whenever both have met.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wigwag::gate::barrier::Participant;
use wigwag::gate::{Barrier, Condvar, Monitor, Mutex, RwLock, Semaphore, SpinLock};
use wigwag::memory::{Region, Segment};

use super::gate::{Contest, Door};
use super::peer::Side;
use super::play::{About, Fault, PATIENCE, Play, Result};
use super::sample::Samples;

wigwag::shared! {
    /// One of each.
    pub(crate) struct Hall {
        semaphore: Semaphore,
        mutex: Mutex<()>,
        rwlock: RwLock<()>,
        spin: SpinLock<()>,
        /// Whether somebody is inside, where a condition variable says when that changes.
        busy: Mutex<u64>,
        changed: Condvar,
        monitor: Monitor<u64>,
        barrier: Barrier<2>,
        /// How often each side has been at the barrier.
        rounds: [AtomicU64; 2],
    }
}

impl Hall {
    pub(crate) fn new() -> Self {
        Hall {
            semaphore: Semaphore::new(1),
            mutex: Mutex::new(()),
            rwlock: RwLock::new(()),
            spin: SpinLock::new(()),
            busy: Mutex::new(0),
            changed: Condvar::new(),
            monitor: Monitor::new(0),
            barrier: Barrier::new(),
            rounds: [const { AtomicU64::new(0) }; 2],
        }
    }
}

/// Two processes at the gate of this facility.
pub(crate) fn play(
    id: &'static str,
    side: Side,
    hall: Segment<Hall>,
    counters: Box<dyn Region>,
) -> Result<Box<dyn Play>> {
    if id != "barrier" {
        return Ok(Box::new(Contest::new(
            Box::new(Chamber { hall, id }),
            counters,
        )));
    }
    // A seat borrows its barrier; both stay to the end of this process.
    let hall: &'static Hall = Box::leak(Box::new(hall));
    let seat = hall.barrier.join()?;
    Ok(Box::new(Rounds { hall, seat, side }))
}

/// What lies behind one gate of the hall.
struct Chamber {
    hall: Segment<Hall>,
    id: &'static str,
}

impl Door for Chamber {
    fn inside(&self, act: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        let hall = &*self.hall;
        // Whoever dies ends the check, so nobody is there to repair after.
        match self.id {
            "semaphore" => {
                let _permit = hall.semaphore.acquire_timeout(PATIENCE)?;
                act()
            }
            "mutex" => {
                let _guard = hall.mutex.lock_timeout(PATIENCE)?.or_repair(|()| ());
                act()
            }
            "rwlock" => {
                let guard = hall.rwlock.write_timeout(PATIENCE)?.or_repair(|()| ());
                act()?;
                drop(guard);
                // A reader comes in as well, beside the other process or not.
                drop(hall.rwlock.read_timeout(PATIENCE)?.or_repair(|()| ()));
                Ok(())
            }
            "spin" => {
                let _guard = hall.spin.lock_timeout(PATIENCE)?.or_repair(|()| ());
                act()
            }
            "condvar" => {
                let free = hall.busy.lock_timeout(PATIENCE)?.or_repair(|_| ());
                let (lock, late) = hall
                    .changed
                    .wait_while_timeout(free, PATIENCE, |busy| *busy != 0)?;
                let mut busy = lock.or_repair(|_| ());
                if late {
                    return Err(Fault("no signal came".into()));
                }
                *busy = 1;
                drop(busy);
                act()?;
                let mut busy = hall.busy.lock_timeout(PATIENCE)?.or_repair(|_| ());
                *busy = 0;
                hall.changed.signal_unlock(busy);
                Ok(())
            }
            "monitor" => {
                let inside = hall.monitor.enter_timeout(PATIENCE)?.or_repair(|_| ());
                let entry = inside.when_timeout(PATIENCE, |busy| *busy == 0)?;
                *entry.or_repair(|_| ()) = 1;
                act()?;
                *hall.monitor.enter_timeout(PATIENCE)?.or_repair(|_| ()) = 0;
                Ok(())
            }
            id => Err(Fault(format!("there is no {id} in the hall"))),
        }
    }
}

/// Two processes that meet at a barrier.
struct Rounds {
    hall: &'static Hall,
    seat: Participant<'static, 2>,
    side: Side,
}

impl Rounds {
    fn go(&self, count: u64, mut took: impl FnMut(Duration)) -> Result<()> {
        let (ours, theirs) = match self.side {
            Side::First => (0, 1),
            Side::Second => (1, 0),
        };
        for _ in 0..count {
            let start = Instant::now();
            let round = self.hall.rounds[ours].fetch_add(1, Ordering::Relaxed) + 1;
            let met = self.seat.wait_timeout(PATIENCE)?;
            took(start.elapsed());
            if met.lost() != 0 {
                return Err(Fault("the other process is told to be dead".into()));
            }
            let other = self.hall.rounds[theirs].load(Ordering::Relaxed);
            if other != round {
                return Err(Fault(format!(
                    "it opened in round {round} while the other process was in round {other}"
                )));
            }
            // Nobody begins the next round before both have looked.
            let _ = self.seat.wait_timeout(PATIENCE)?;
        }
        Ok(())
    }
}

impl Play for Rounds {
    fn ask(&mut self, count: u64, _: usize, samples: &mut Samples) -> Result<()> {
        self.go(count, |time| samples.add(time))
    }

    fn answer(&mut self, count: u64, _: usize) -> Result<()> {
        self.go(count, drop)
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
        let [ours, theirs] = self
            .hall
            .rounds
            .each_ref()
            .map(|side| side.load(Ordering::Relaxed));
        if ours != theirs || ours + theirs != entries {
            return Err(Fault(format!(
                "{entries} arrivals, {ours} of one process and {theirs} of the other were counted"
            )));
        }
        Ok(entries)
    }
}
