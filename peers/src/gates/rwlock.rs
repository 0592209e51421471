//! Readers–writer lock: two processes read at the same time, against `pthread_rwlock_t`.

use std::io;
use std::time::Duration;

use super::Bench;
use super::arena::{Arena, checked};
use super::contest::{Pair, contests};
use crate::row::Must;

pub static PAIR: Pair = Pair {
    deeds: [ours_reads, theirs_reads],
    hand_overs: [|_| Ok(0), |_| Ok(0)],
    // Nobody sleeps: shorter than a time slice.
    time: Duration::from_millis(2),
};

/// Its rows.
pub fn rows(bench: &mut Bench<'_>) -> io::Result<()> {
    let name = "readers-writer lock: two processes read";
    bench.add(name, |bench| {
        let outcome = contests(bench.arena, bench.name, bench.effort, &PAIR)?;
        let peer = "pthread_rwlock_t, shared";
        Ok(outcome.row(name, peer, "M/s", Must::AtLeast(1.0), outcome.rate))
    })
}

fn ours_reads(arena: &Arena, _who: u64) -> io::Result<()> {
    std::hint::black_box(*arena.ours.rwlock.read()?.or_repair(|_| ()));
    Ok(())
}

fn theirs_reads(arena: &Arena, _who: u64) -> io::Result<()> {
    let theirs = arena.theirs;
    // SAFETY: it is live in the segment, and nobody writes the value.
    unsafe {
        checked(libc::pthread_rwlock_rdlock(&raw mut (*theirs).rwlock.0.0))?;
        std::hint::black_box((*theirs).rwlock.0.1);
        checked(libc::pthread_rwlock_unlock(&raw mut (*theirs).rwlock.0.0))
    }
}
