//! Mutex: alone, by two processes at once, and after its owner's death, against the robust one of POSIX threads and that of std.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::Bench;
use super::arena::{Arena, Ledger, checked, sign};
use super::contest::{Pair, contests};
use super::partner::{Act, Part, Partner};
use crate::cores::{allowed, run_first};
use crate::duel::{duel, median};
use crate::row::{Must, Row};

pub const PARTS: [Part; 1] = [("owner", Act::Once(owns))];

pub static PAIR: Pair = Pair {
    deeds: [
        |arena, who| ours_locks(arena, |ledger| sign(ledger, who)),
        |arena, who| theirs_locks(arena, |ledger| sign(ledger, who)),
    ],
    hand_overs: [
        |arena| Ok(arena.ours.mutex.lock()?.or_repair(|_| ())[1]),
        |arena| {
            let mut hand_overs = 0;
            theirs_locks(arena, |ledger| hand_overs = ledger[1])?;
            Ok(hand_overs)
        },
    ],
    // A thousand hand-overs and more, so that fairness means something, and not much more than a time slice.
    time: Duration::from_millis(5),
};

/// What an owner's death may take to reach the next owner.
const DEATH_MICROSECONDS: f64 = 200.0;
const ROBUST: &str = "pthread, robust, shared";

/// Its rows.
pub fn rows(bench: &mut Bench<'_>) -> io::Result<()> {
    let add = |ledger: &mut Ledger| ledger[1] += 1;
    let name = "inheriting mutex: lock and unlock, alone";
    bench.add(name, |bench| {
        let arena = bench.arena;
        let peer = "pthread, robust, inheriting, shared";
        let must = Must::AtMost(1.2);
        let ours = || ours_inherits(arena, add);
        duel(bench.effort, name, peer, must, ours, || {
            theirs_inherits(arena, add)
        })
    })?;
    let name = "mutex: lock and unlock, alone";
    bench.add(name, |bench| {
        let arena = bench.arena;
        let ours = || ours_locks(arena, add);
        duel(bench.effort, name, ROBUST, Must::AtMost(0.85), ours, || {
            theirs_locks(arena, add)
        })
    })?;
    bench.add(name, |bench| {
        let arena = bench.arena;
        // Two threads have been there, so that no library takes its way for programs with one.
        let std = &arena.std.0;
        std::thread::scope(|scope| drop(scope.spawn(|| drop(std.lock()))));
        let ours = || ours_locks(arena, add);
        let peer = "std::sync::Mutex";
        duel(bench.effort, name, peer, Must::AtMost(1.2), ours, || {
            std_locks(arena, add)
        })
    })?;
    let name = "mutex: owner killed, to the next owner";
    bench.add(name, |bench| death(bench.arena, bench.name, name))?;
    contested(bench)
}

fn contested(bench: &mut Bench<'_>) -> io::Result<()> {
    let names = [
        "mutex: two processes at once, hand-overs",
        "mutex: two processes at once, fairness",
        "mutex: two processes at once, locked",
    ];
    if !names.into_iter().any(bench.wanted) {
        return Ok(());
    }
    let outcome = contests(bench.arena, bench.name, bench.effort, &PAIR)?;
    let [hand_overs, fairness, rate] = names;
    let [ours, theirs, _] = outcome.fairness;
    let fair = [ours, theirs, ours / theirs];
    bench.add(hand_overs, |_| {
        let must = Must::AtLeast(1.0);
        Ok(outcome.row(hand_overs, ROBUST, "k/s", must, outcome.hand_overs))
    })?;
    bench.add(fairness, |_| {
        let must = Must::AtLeast(1.0);
        Ok(outcome.row(fairness, ROBUST, "min/max", must, fair))
    })?;
    // Who keeps it for itself is fastest: this is shown for what the hand-overs cost.
    bench.add(rate, |_| {
        Ok(outcome.row(rate, ROBUST, "M/s", Must::Shown, outcome.rate))
    })
}

// Those that lock are inlined into the loops that time them, so that none pays for a call that is the benchmark's.
#[inline(always)]
fn ours_locks(arena: &Arena, then: impl FnOnce(&mut Ledger)) -> io::Result<()> {
    let mut ledger = arena.ours.mutex.lock()?.or_repair(|_| ());
    then(&mut ledger);
    Ok(())
}

#[inline(always)]
fn std_locks(arena: &Arena, then: impl FnOnce(&mut Ledger)) -> io::Result<()> {
    let poisoned = |_| io::Error::other("poisoned");
    let mut ledger = arena.std.0.lock().map_err(poisoned)?;
    then(&mut ledger);
    Ok(())
}

#[inline(always)]
fn theirs_locks(arena: &Arena, then: impl FnOnce(&mut Ledger)) -> io::Result<()> {
    let theirs = arena.theirs;
    // SAFETY: they are live in the segment.
    unsafe { pthread_locks(&raw mut (*theirs).mutex.0, then) }
}

#[inline(always)]
fn ours_inherits(arena: &Arena, then: impl FnOnce(&mut Ledger)) -> io::Result<()> {
    let mut ledger = arena.ours.inheriting.lock()?.or_repair(|_| ());
    then(&mut ledger);
    Ok(())
}

#[inline(always)]
fn theirs_inherits(arena: &Arena, then: impl FnOnce(&mut Ledger)) -> io::Result<()> {
    let theirs = arena.theirs;
    // SAFETY: they are live in the segment.
    unsafe { pthread_locks(&raw mut (*theirs).inheriting.0, then) }
}

/// Locks, does something and unlocks.
///
/// # Safety
/// A live and initialised mutex of POSIX threads; the ledger is used by who has it.
#[inline(always)]
unsafe fn pthread_locks(
    mutex: *mut (libc::pthread_mutex_t, Ledger),
    then: impl FnOnce(&mut Ledger),
) -> io::Result<()> {
    // SAFETY: as the caller says.
    unsafe {
        checked(libc::pthread_mutex_lock(&raw mut (*mutex).0))?;
        then(&mut (*mutex).1);
        checked(libc::pthread_mutex_unlock(&raw mut (*mutex).0))
    }
}

/// Owns our mutex until it is killed.
fn owns(arena: &Arena, ready: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
    let _guard = arena.ours.mutex.lock()?.or_repair(|_| ());
    // Its end is not to wait for other work.
    run_first(true);
    ready()?;
    io::stdin().read(&mut [0]).map(drop)
}

/// How long the death of an owner takes to reach one who waits.
fn death(arena: &Arena, name: &str, row: &str) -> io::Result<Row> {
    let mutex = &arena.ours.mutex;
    let core = allowed().last().copied().unwrap_or(0);
    let mut times = Vec::new();
    for _ in 0..31 {
        let mut owner = Partner::start("owner", core, name)?;
        let took = std::thread::scope(|scope| -> io::Result<f64> {
            let waiter = scope.spawn(move || {
                run_first(true);
                let orphaned = mutex.lock().map(|lock| {
                    let now = Instant::now();
                    let orphaned = lock.is_orphaned();
                    drop(lock.or_repair(|_| ()));
                    (orphaned, now)
                });
                orphaned.map_err(io::Error::from)
            });
            while mutex.waiters() == 0 {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(1));
            let start = Instant::now();
            owner.kill()?;
            match waiter.join() {
                Ok(Ok((true, now))) => Ok((now - start).as_nanos() as f64 / 1000.0),
                Ok(Ok((false, _))) => Err(io::Error::other("the owner's death was not told")),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::Error::other("the waiter panicked")),
            }
        })?;
        times.push(took);
    }
    let ours = median(&mut times);
    Ok(Row {
        name: row.into(),
        peer: "at most 200 µs".into(),
        ours,
        theirs: DEATH_MICROSECONDS,
        unit: "µs",
        ratio: ours / DEATH_MICROSECONDS,
        must: Must::AtMost(1.0),
    })
}
