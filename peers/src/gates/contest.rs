//! Contest: two processes at one gate at the same time, each on a core of its own, for so long.
//!
//! Both do the same and look at the same clock; neither says anything to the other while it lasts. Contests
//! at our gate and at theirs alternate. As root they run before other work. Those count in which the machine kept neither process from its core: else the
//! other has the gate for itself, which is fast and proves nothing.

use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use super::arena::Arena;
use super::partner::{Act, Part, Partner};
use super::{mutex, rwlock};
use crate::clock::nanoseconds;
use crate::cores::{Place, allowed, delay, run_first, run_on};
use crate::duel::{Effort, median};
use crate::row::{Must, Row};

pub const PARTS: [Part; 1] = [("contest", Act::Once(play))];

/// What both do: once, as number 0 or 1.
type Deed = fn(&Arena, u64) -> io::Result<()>;
/// What is counted of a gate besides: how often it went from one to the other.
type HandOvers = fn(&Arena) -> io::Result<u64>;

/// Ours and theirs, and how long a contest takes.
pub struct Pair {
    pub deeds: [Deed; 2],
    pub hand_overs: [HandOvers; 2],
    pub time: Duration,
}

static PAIRS: [&Pair; 2] = [&mutex::PAIR, &rwlock::PAIR];

/// So many are held for each that counts, at most.
const ATTEMPTS: u32 = 8;
/// In one that counts, each was on its core all the time but for this part of it: a wake-up takes some, but no time slice fits in.
const AWAY: f64 = 0.05;

wigwag::shared! {
    /// What starts a contest.
    pub struct Whistle {
        /// Its number, for the partner; 0 none.
        contest: AtomicU32,
        /// The contest for which the partner is there.
        there: AtomicU32,
        /// When it ends; 0 before it begins.
        until: AtomicU64,
        /// How often the partner was inside.
        count: AtomicU64,
    }
}

impl Whistle {
    pub const fn new() -> Self {
        Whistle {
            contest: AtomicU32::new(0),
            there: AtomicU32::new(0),
            until: AtomicU64::new(0),
            count: AtomicU64::new(0),
        }
    }
}

fn deed(contest: u32) -> Deed {
    let index = contest as usize - 1;
    PAIRS[index / 2].deeds[index % 2]
}

/// The partner's side of all contests, until it is killed.
fn play(arena: &Arena, ready: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
    let whistle = &arena.ours.whistle;
    run_first(true);
    ready()?;
    loop {
        let contest = whistle.contest.load(Acquire);
        if contest == 0 {
            std::thread::sleep(Duration::from_micros(100));
            continue;
        }
        whistle.there.store(contest, Release);
        let until = loop {
            match whistle.until.load(Acquire) {
                0 => std::hint::spin_loop(),
                until => break until,
            }
        };
        let count = rally(arena, deed(contest), 1, until)?;
        whistle.count.store(count, Relaxed);
        whistle.there.store(0, Release);
    }
}

/// Does it until then; how often.
fn rally(arena: &Arena, deed: Deed, who: u64, until: u64) -> io::Result<u64> {
    let mut count = 0;
    while nanoseconds() < until {
        for _ in 0..16 {
            deed(arena, who)?;
        }
        count += 16;
    }
    Ok(count)
}

/// What was seen of one contest.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Millions of times a second that either was inside.
    rate: f64,
    /// Thousands of times a second that it went from one to the other.
    hand_overs: f64,
    /// The ratio of the one who was there less often to the other.
    fairness: f64,
    /// The part of the time for which either wanted to run and could not, because the machine did something else.
    away: f64,
}

fn hold(arena: &Arena, partner: &mut Partner, contest: u32) -> io::Result<Seen> {
    let index = contest as usize - 1;
    let pair = PAIRS[index / 2];
    let whistle = &arena.ours.whistle;
    whistle.until.store(0, Relaxed);
    whistle.contest.store(contest, Release);
    partner.until(|| whistle.there.load(Acquire) == contest)?;
    whistle.contest.store(0, Relaxed);
    let delays =
        |partner: &Partner| Ok::<_, io::Error>([delay(std::process::id())?, delay(partner.pid())?]);
    let hand_overs = pair.hand_overs[index % 2];
    let (before, delays_before) = (hand_overs(arena)?, delays(partner)?);
    let start = nanoseconds();
    let until = start + pair.time.as_nanos() as u64;
    whistle.until.store(until, Release);
    let mine = rally(arena, deed(contest), 0, until)?;
    let seconds = (nanoseconds() - start) as f64 / 1e9;
    partner.until(|| whistle.there.load(Acquire) == 0)?;
    let delays = delays(partner)?;
    let away = |side: usize| (delays[side] - delays_before[side]).as_secs_f64() / seconds;
    let other = whistle.count.load(Relaxed);
    Ok(Seen {
        rate: (mine + other) as f64 / seconds / 1e6,
        hand_overs: (hand_overs(arena)? - before) as f64 / seconds / 1e3,
        fairness: mine.min(other) as f64 / mine.max(other).max(1) as f64,
        away: away(0).max(away(1)),
    })
}

/// What came of many contests: ours and theirs of each count, and the median of their ratios.
pub struct Outcome {
    pub rate: [f64; 3],
    pub hand_overs: [f64; 3],
    pub fairness: [f64; 3],
}

impl Outcome {
    pub fn row(
        &self,
        name: &str,
        peer: &str,
        unit: &'static str,
        must: Must,
        [ours, theirs, ratio]: [f64; 3],
    ) -> Row {
        let (name, peer) = (name.into(), peer.into());
        Row {
            name,
            peer,
            ours,
            theirs,
            unit,
            ratio,
            must,
        }
    }
}

/// Holds the contests of a pair.
pub fn contests(
    arena: &Arena,
    name: &str,
    effort: Effort,
    pair: &'static Pair,
) -> io::Result<Outcome> {
    let place = PAIRS.iter().position(|known| std::ptr::eq(*known, pair));
    let first = 2 * place.unwrap_or(0) as u32 + 1;
    let [core, partners] = Place::TwoCores.cores()?;
    let mut partner = Partner::start("contest", partners, name)?;
    run_on(&[core])?;
    run_first(true);
    let counting = (effort.rounds / 3).max(5) as usize;
    let mut held = Vec::new();
    let mut undisturbed = 0;
    for turn in 0..ATTEMPTS * counting as u32 {
        let one = hold(arena, &mut partner, first + turn % 2)?;
        let other = hold(arena, &mut partner, first + 1 - turn % 2)?;
        let sides = if turn % 2 == 0 {
            [one, other]
        } else {
            [other, one]
        };
        undisturbed += usize::from(away(&sides) <= AWAY);
        held.push(sides);
        if undisturbed == counting {
            break;
        }
    }
    run_first(false);
    run_on(allowed())?;
    held.sort_by(|one, other| away(one).total_cmp(&away(other)));
    held.truncate(counting);
    let outcome = |of: fn(&Seen) -> f64| {
        let all = |value: &dyn Fn(&[Seen; 2]) -> f64| {
            median(&mut held.iter().map(value).collect::<Vec<_>>())
        };
        [
            all(&|sides| of(&sides[0])),
            all(&|sides| of(&sides[1])),
            all(&|sides| of(&sides[0]) / of(&sides[1])),
        ]
    };
    Ok(Outcome {
        rate: outcome(|seen| seen.rate),
        hand_overs: outcome(|seen| seen.hand_overs),
        fairness: outcome(|seen| seen.fairness),
    })
}

fn away(sides: &[Seen; 2]) -> f64 {
    sides[0].away.max(sides[1].away)
}
