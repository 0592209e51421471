//! Semaphore: a permit there and one back, against `sem_t`.

use std::io;

use super::Bench;
use super::arena::Arena;
use super::exchange::{Exchange, exchange};
use super::partner::{Act, Part};
use crate::cores::Place;
use crate::row::Must;

pub const PARTS: [Part; 2] = [
    ("ours-semaphore", Act::Forever(ours_pongs)),
    ("theirs-semaphore", Act::Forever(theirs_pongs)),
];

/// Its rows.
pub fn rows(bench: &mut Bench<'_>, place: Place) -> io::Result<()> {
    let name = format!("semaphore: there and back, {place}");
    bench.add(&name.clone(), |bench| {
        let what = Exchange {
            name,
            peer: "sem_t, shared",
            // Not slower, as far as that can be seen.
            must: Must::AtMost(1.03),
            deeds: [ours_pings, theirs_pings],
            parts: ["ours-semaphore", "theirs-semaphore"],
        };
        exchange(bench.arena, bench.name, bench.effort, place, what)
    })
}

fn ours_pings(arena: &Arena) -> io::Result<()> {
    arena.ours.ping.release(1)?;
    arena.ours.pong.acquire()?.forget();
    Ok(())
}

fn ours_pongs(arena: &Arena) -> io::Result<()> {
    arena.ours.ping.acquire()?.forget();
    Ok(arena.ours.pong.release(1)?)
}

fn theirs_pings(arena: &Arena) -> io::Result<()> {
    // SAFETY: initialised semaphores.
    unsafe {
        libc::sem_post(&raw mut (*arena.theirs).ping.0);
        while libc::sem_wait(&raw mut (*arena.theirs).pong.0) != 0 {}
    }
    Ok(())
}

fn theirs_pongs(arena: &Arena) -> io::Result<()> {
    // SAFETY: initialised semaphores.
    unsafe {
        while libc::sem_wait(&raw mut (*arena.theirs).ping.0) != 0 {}
        libc::sem_post(&raw mut (*arena.theirs).pong.0);
    }
    Ok(())
}
