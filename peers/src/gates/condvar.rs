//! Condition variable: a turn under a mutex that goes there and back, against `pthread_cond_t`.

use std::io;

use super::Bench;
use super::arena::{Arena, Ours, checked};
use super::exchange::{Exchange, exchange};
use super::partner::{Act, Part};
use crate::cores::Place;
use crate::row::Must;

pub const PARTS: [Part; 2] = [
    (
        "ours-condvar",
        Act::Forever(|arena| ours_take_turns(arena, false)),
    ),
    (
        "theirs-condvar",
        Act::Forever(|arena| theirs_take_turns(arena, false)),
    ),
];

/// Its rows.
pub fn rows(bench: &mut Bench<'_>, place: Place) -> io::Result<()> {
    let name = format!("condition variable: there and back, {place}");
    bench.add(&name.clone(), |bench| {
        bench.arena.init_theirs();
        let what = Exchange {
            name,
            peer: "pthread_cond_t, shared",
            must: Must::AtMost(match place {
                Place::OneCore => 0.7,
                // Not slower, as far as that can be seen.
                Place::TwoCores => 1.03,
            }),
            deeds: [
                |arena| ours_take_turns(arena, true),
                |arena| theirs_take_turns(arena, true),
            ],
            parts: ["ours-condvar", "theirs-condvar"],
        };
        exchange(bench.arena, bench.name, bench.effort, place, what)
    })
}

/// Makes `turn` odd if `ping`, tells the other, and with `ping` waits until it is even again; else the other way about.
fn ours_take_turns(arena: &Arena, ping: bool) -> io::Result<()> {
    let Ours {
        turn,
        pinged,
        ponged,
        ..
    } = &*arena.ours;
    let (mine, other) = if ping {
        (ponged, pinged)
    } else {
        (pinged, ponged)
    };
    let is_mine = |turn: u64| turn.is_multiple_of(2) == ping;
    let guard = turn.lock()?.or_repair(|_| ());
    let mut guard = mine
        .wait_while(guard, |turn| !is_mine(*turn))?
        .or_repair(|_| ());
    *guard += 1;
    other.signal_unlock(guard);
    if ping {
        let guard = turn.lock()?.or_repair(|_| ());
        drop(mine.wait_while(guard, |turn| !is_mine(*turn))?);
    }
    Ok(())
}

/// The same with POSIX threads; it signals without the lock too, which is their faster way.
fn theirs_take_turns(arena: &Arena, ping: bool) -> io::Result<()> {
    let theirs = arena.theirs;
    // SAFETY: initialised objects of POSIX threads; the turn belongs to who has the lock.
    unsafe {
        let (mine, other) = if ping {
            (&raw mut (*theirs).ponged.0, &raw mut (*theirs).pinged.0)
        } else {
            (&raw mut (*theirs).pinged.0, &raw mut (*theirs).ponged.0)
        };
        let lock = &raw mut (*theirs).lock.0.0;
        let turn = &raw mut (*theirs).lock.0.1;
        checked(libc::pthread_mutex_lock(lock))?;
        while turn.read_volatile().is_multiple_of(2) != ping {
            checked(libc::pthread_cond_wait(mine, lock))?;
        }
        *turn += 1;
        checked(libc::pthread_mutex_unlock(lock))?;
        checked(libc::pthread_cond_signal(other))?;
        if ping {
            checked(libc::pthread_mutex_lock(lock))?;
            while !turn.read_volatile().is_multiple_of(2) {
                checked(libc::pthread_cond_wait(mine, lock))?;
            }
            checked(libc::pthread_mutex_unlock(lock))?;
        }
    }
    Ok(())
}
