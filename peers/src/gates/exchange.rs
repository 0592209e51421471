//! Exchange: two processes that wake each other in turn, both on one core or each on its own.
//!
//! Bursts at our gate and at theirs alternate. The first few exchanges of a burst wake the side that slept while the
//! other was timed; they are not timed. Those bursts count in which the machine did nothing else where it matters.

use std::io;
use std::time::Duration;

use wigwag::gate::watch;

use super::arena::Arena;
use super::partner::Partner;
use crate::clock::nanoseconds;
use crate::cores::{Place, allowed, delay, run_on, run_time};
use crate::duel::{Effort, median};
use crate::row::{Must, Row};

/// How long a burst takes: shorter than a time slice.
const BURST: Duration = Duration::from_micros(400);
/// Exchanges that are made before it: who has slept a while tries this and that until it knows how to wait best.
const BEFORE: u32 = 24;
/// For each burst that counts, so many are made.
const ATTEMPTS: u32 = 2;

/// One process's part in an exchange: it calls, and waits for the answer; or the other way about.
type Deed = fn(&Arena) -> io::Result<()>;

/// What is exchanged, by ours and by theirs.
pub struct Exchange {
    pub name: String,
    pub peer: &'static str,
    pub must: Must,
    pub deeds: [Deed; 2],
    /// What the partners do.
    pub parts: [&'static str; 2],
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    nanoseconds: f64,
    away: Duration,
}

/// Times it.
pub fn exchange(
    arena: &Arena,
    name: &str,
    effort: Effort,
    place: Place,
    exchange: Exchange,
) -> io::Result<Row> {
    let [core, partners] = place.cores()?;
    run_on(&[core])?;
    // As in a process that has just started: what the last row taught is not for this one.
    watch::set_spin(watch::DEFAULT_SPIN);
    let partners = [
        Partner::start(exchange.parts[0], partners, name)?,
        Partner::start(exchange.parts[1], partners, name)?,
    ];
    let burst = |side: usize, count: u32| -> io::Result<Seen> {
        let deed = exchange.deeds[side];
        for _ in 0..BEFORE {
            deed(arena)?;
        }
        let pids = [std::process::id(), partners[side].pid()];
        let before = Clocks::read(pids)?;
        let start = nanoseconds();
        for _ in 0..count {
            deed(arena)?;
        }
        let wall = Duration::from_nanos(nanoseconds() - start);
        let away = Clocks::read(pids)?.away_since(&before, place, wall);
        Ok(Seen {
            nanoseconds: wall.as_nanos() as f64 / f64::from(count),
            away,
        })
    };
    let mut counts = [1_u32; 2];
    for (side, count) in counts.iter_mut().enumerate() {
        let enough = BURST.as_nanos() as f64;
        while burst(side, *count)?.nanoseconds * f64::from(*count) < enough {
            *count *= 2;
        }
    }
    let mut rounds = Vec::new();
    for turn in 0..ATTEMPTS * effort.rounds {
        let first = turn as usize % 2;
        let one = burst(first, counts[first])?;
        let other = burst(1 - first, counts[1 - first])?;
        rounds.push(if first == 0 {
            [one, other]
        } else {
            [other, one]
        });
    }
    run_on(allowed())?;
    rounds.sort_by_key(|sides| sides[0].away.max(sides[1].away));
    rounds.truncate(effort.rounds as usize);
    let all = |of: fn(&[Seen; 2]) -> f64| median(&mut rounds.iter().map(of).collect::<Vec<_>>());
    Ok(Row {
        name: exchange.name,
        peer: exchange.peer.into(),
        ours: all(|sides| sides[0].nanoseconds),
        theirs: all(|sides| sides[1].nanoseconds),
        unit: "ns",
        ratio: all(|sides| sides[0].nanoseconds / sides[1].nanoseconds),
        must: exchange.must,
    })
}

/// What the kernel has counted of two processes.
struct Clocks {
    delays: [Duration; 2],
    run_times: [Duration; 2],
}

impl Clocks {
    fn read([one, other]: [u32; 2]) -> io::Result<Self> {
        Ok(Clocks {
            delays: [delay(one)?, delay(other)?],
            run_times: [run_time(one)?, run_time(other)?],
        })
    }

    /// How long other work was in their way: on one core neither ran, on two one of them could have run and did not.
    fn away_since(&self, before: &Clocks, place: Place, wall: Duration) -> Duration {
        let [one, other] = [0, 1].map(|side| match place {
            Place::OneCore => self.run_times[side] - before.run_times[side],
            Place::TwoCores => self.delays[side].saturating_sub(before.delays[side]),
        });
        match place {
            Place::OneCore => wall.saturating_sub(one + other),
            Place::TwoCores => one.max(other),
        }
    }
}
