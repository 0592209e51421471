//! Thirds: a waiter is woken and killed while a third has taken the gate, and the third is killed too.
//!
//! That is what strands a waiter for ever at glibc's robust mutex: the wake-up died with the first, and the third does not
//! know that anybody waits. The mutex's own scenes are in `mutex.rs`. A lock whose waiters look and never sleep is not woken;
//! there the waiter is killed in line. A barrier has no third to barge in; there he is one of those who meet.

use super::hall::{
    Hall, LIMIT, Pair, TAKEN, condvar_aftermath, mend, monitor_aftermath, of, robust_aftermath,
    rwlock_aftermath, scene, semaphore_aftermath, spin_verdict, survivor, ticket_aftermath, waiter,
};
use super::scene::{Scene, Stage, Verdict};
use super::step::{At, Victim};
use crate::process::Child;

pub const SCENES: &[Scene] = &[
    scene(
        "semaphore",
        "woken waiter, a third barged in",
        20,
        |stage, hall| {
            let semaphore = &of(hall).semaphore;
            let (victim, mut waiter) = two_wait(stage, "semaphore-both", "semaphore-waits");
            semaphore.release(1).expect("room");
            let third = semaphore.try_acquire();
            let done = killed_as_it_wakes(stage, victim);
            drop(third);
            supply(of(hall));
            survivor(&mut waiter, done, || semaphore_aftermath(of(hall)))
        },
    ),
    scene(
        "semaphore",
        "woken waiter and the third",
        20,
        |stage, hall| {
            let mut third = third(stage, "semaphore-third");
            let (victim, mut waiter) = two_wait(stage, "semaphore-both", "semaphore-waits");
            of(hall).semaphore.release(1).expect("room");
            barge_in(&mut third);
            let done = killed_as_it_wakes(stage, victim);
            third.kill();
            supply(of(hall));
            survivor(&mut waiter, done, || semaphore_aftermath(of(hall)))
        },
    ),
    scene(
        "robust semaphore",
        "woken waiter, a third barged in",
        20,
        |stage, hall| {
            let robust = &of(hall).robust;
            let (one, other) = (robust.try_acquire(), robust.try_acquire());
            let (victim, mut waiter) = two_wait(stage, "robust-both", "robust-waits");
            drop(one);
            let third = robust.try_acquire();
            let done = killed_as_it_wakes(stage, victim);
            drop(third);
            let verdict = survivor(&mut waiter, done, || Verdict::Good);
            drop(other);
            also(verdict, || robust_aftermath(of(hall)))
        },
    ),
    scene(
        "robust semaphore",
        "woken waiter and the third",
        20,
        |stage, hall| {
            let robust = &of(hall).robust;
            let (one, other) = (robust.try_acquire(), robust.try_acquire());
            let mut third = third(stage, "robust-third");
            let (victim, mut waiter) = two_wait(stage, "robust-both", "robust-waits");
            drop(one);
            barge_in(&mut third);
            let done = killed_as_it_wakes(stage, victim);
            third.kill();
            let verdict = survivor(&mut waiter, done, || Verdict::Good);
            drop(other);
            also(verdict, || robust_aftermath(of(hall)))
        },
    ),
    scene(
        "spin lock",
        "waiter, a third barged in",
        20,
        |stage, hall| {
            let Ok(held) = of(hall).spin.lock() else {
                return Verdict::Stuck;
            };
            let (victim, at) = waits_until(stage, "spin-briefly");
            let mut waiter = starts(stage, "spin-waits");
            drop(held.or_repair(mend));
            let Ok(third) = of(hall).spin.lock_timeout(LIMIT) else {
                return Verdict::Stuck;
            };
            victim.kill();
            drop(third.or_repair(mend));
            survivor(&mut waiter, at == At::End, || spin_verdict(of(hall)))
        },
    ),
    scene("spin lock", "waiter and the third", 20, |stage, hall| {
        let Ok(held) = of(hall).spin.lock() else {
            return Verdict::Stuck;
        };
        let (victim, at) = waits_until(stage, "spin-briefly");
        let mut third = third(stage, "spin-third");
        let mut waiter = starts(stage, "spin-waits");
        drop(held.or_repair(mend));
        barge_in(&mut third);
        victim.kill();
        third.kill();
        survivor(&mut waiter, at == At::End, || spin_verdict(of(hall)))
    }),
    scene(
        "ticket lock",
        "in line, and the holder",
        20,
        |stage, hall| {
            let mut holder = stage.actor("ticket-holder");
            holder.says("holds");
            let (victim, at) = waits_until(stage, "ticket-briefly");
            let mut waiter = starts(stage, "ticket-waits");
            victim.kill();
            holder.kill();
            survivor(&mut waiter, at == At::End, || ticket_aftermath(of(hall)))
        },
    ),
    scene(
        "condition variable",
        "woken waiter, a third barged in",
        20,
        |stage, hall| {
            let hall = of(hall);
            let (victim, mut waiter) = two_wait(stage, "condvar-waits-stepped", "condvar-waits");
            if !set(hall) {
                return Verdict::Stuck;
            }
            let Ok(third) = hall.flag.lock_timeout(LIMIT) else {
                return Verdict::Stuck;
            };
            let mut third = third.or_repair(|_| ());
            if !third.is_multiple_of(TAKEN) {
                *third += TAKEN - 1;
            }
            let done = killed_as_it_wakes(stage, victim);
            *third += 1;
            hall.changed.signal_unlock(third);
            survivor(&mut waiter, done, || condvar_aftermath(hall))
        },
    ),
    scene(
        "condition variable",
        "woken waiter and the third",
        20,
        |stage, hall| {
            let hall = of(hall);
            let mut third = third(stage, "flag-third");
            let (victim, mut waiter) = two_wait(stage, "condvar-waits-stepped", "condvar-waits");
            if !set(hall) {
                return Verdict::Stuck;
            }
            barge_in(&mut third);
            let done = killed_as_it_wakes(stage, victim);
            third.kill();
            if !set(hall) {
                return Verdict::Stuck;
            }
            survivor(&mut waiter, done, || condvar_aftermath(hall))
        },
    ),
    scene(
        "readers-writer lock",
        "woken reader, a third barged in",
        20,
        |stage, hall| third_writes(stage, of(hall), "reader", "writer-waits"),
    ),
    scene(
        "readers-writer lock",
        "woken reader and the third",
        20,
        |stage, hall| third_is_killed_writing(stage, of(hall), "reader", "writer-waits"),
    ),
    scene(
        "readers-writer lock",
        "woken writer, a third barged in",
        20,
        |stage, hall| third_writes(stage, of(hall), "writer", "reader-waits"),
    ),
    scene(
        "readers-writer lock",
        "woken writer and the third",
        20,
        |stage, hall| third_is_killed_writing(stage, of(hall), "writer", "reader-waits"),
    ),
    scene(
        "monitor",
        "woken waiter, another waits",
        20,
        |stage, hall| {
            let hall = of(hall);
            let (victim, mut waiter) = two_wait(stage, "monitor-waits-stepped", "monitor-waits");
            let Ok(entry) = hall.monitor.enter_timeout(LIMIT) else {
                return Verdict::Stuck;
            };
            *entry.or_repair(mend) = Pair { a: 1, b: 1 };
            victim.returns();
            let done = !stage.kill(victim);
            survivor(&mut waiter, done, || monitor_aftermath(hall))
        },
    ),
    scene(
        "monitor",
        "woken waiter, a third barged in",
        20,
        |stage, hall| {
            let hall = of(hall);
            let (victim, mut waiter) = two_wait(stage, "monitor-waits-stepped", "monitor-waits");
            let Ok(entry) = hall.monitor.enter_timeout(LIMIT) else {
                return Verdict::Stuck;
            };
            *entry.or_repair(mend) = Pair { a: 1, b: 1 };
            let Ok(third) = hall.monitor.enter_timeout(LIMIT) else {
                return Verdict::Stuck;
            };
            let done = killed_as_it_wakes(stage, victim);
            drop(third.or_repair(mend));
            survivor(&mut waiter, done, || monitor_aftermath(hall))
        },
    ),
    scene(
        "monitor",
        "woken waiter and the third",
        20,
        |stage, hall| {
            let hall = of(hall);
            let mut third = third(stage, "inside-third");
            let (victim, mut waiter) = two_wait(stage, "monitor-waits-stepped", "monitor-waits");
            let Ok(entry) = hall.monitor.enter_timeout(LIMIT) else {
                return Verdict::Stuck;
            };
            *entry.or_repair(mend) = Pair { a: 1, b: 1 };
            barge_in(&mut third);
            let done = killed_as_it_wakes(stage, victim);
            third.kill();
            survivor(&mut waiter, done, || monitor_aftermath(hall))
        },
    ),
    scene(
        "barrier",
        "woken, the others meet again",
        20,
        |stage, hall| {
            let mut waiter = stage.actor("barrier-waits-twice");
            waiter.says("joined");
            let Ok(ours) = of(hall).barrier.join() else {
                return Verdict::Stuck;
            };
            let victim = stage.victim("barrier-arrives");
            victim.run_into_futex();
            waiter.tell("go on");
            if ours.wait_timeout(LIMIT).is_err() {
                return Verdict::Stuck;
            }
            victim.returns();
            let done = !stage.kill(victim);
            match ours.wait_timeout(LIMIT) {
                Ok(passed) if passed.lost() == 1 => survivor(&mut waiter, done, || Verdict::Good),
                Ok(_) => Verdict::Torn,
                Err(_) => Verdict::Stuck,
            }
        },
    ),
    scene(
        "barrier",
        "woken, and one who let it go on",
        20,
        |stage, hall| {
            let mut waiter = stage.actor("barrier-waits-twice");
            waiter.says("joined");
            let mut third = third(stage, "barrier-third");
            third.tell("sit down");
            third.says("joined");
            let victim = stage.victim("barrier-arrives");
            victim.run_into_futex();
            waiter.tell("go on");
            barge_in(&mut third);
            victim.returns();
            let done = !stage.kill(victim);
            third.kill();
            let verdict = survivor(&mut waiter, done, || Verdict::Good);
            match of(hall).barrier.rounds() {
                Ok(2) => verdict,
                _ => Verdict::Stuck,
            }
        },
    ),
];

/// The victim, asleep at the gate, and behind it another.
fn two_wait(stage: &Stage<'_>, victim: &str, other: &str) -> (Victim, Child) {
    let victim = stage.victim(victim);
    victim.run_into_futex();
    (victim, waiter(stage, other))
}

/// The victim, stopped at the point of its wait.
fn waits_until(stage: &Stage<'_>, part: &str) -> (Victim, At) {
    let victim = stage.victim(part);
    let at = victim.step(stage.point);
    (victim, at)
}

/// One who waits without sleeping.
fn starts(stage: &Stage<'_>, part: &str) -> Child {
    let mut waiter = stage.actor(part);
    waiter.says("waits");
    waiter
}

/// The victim was woken; it goes on to the point, or to where it would sleep again, and is killed. Whether it could go no
/// further than the point.
fn killed_as_it_wakes(stage: &Stage<'_>, victim: Victim) -> bool {
    victim.returns();
    let inside = victim.step_until_asleep(stage.point);
    victim.kill();
    !inside
}

/// One who will take the gate as soon as it is told.
fn third(stage: &Stage<'_>, part: &str) -> Child {
    let mut third = stage.actor(part);
    third.says("ready");
    third
}

/// Tells it. The waiter, who looks around from time to time, may have been faster: then the third missed it.
fn barge_in(third: &mut Child) {
    third.tell("go on");
    let line = third.line();
    assert!(matches!(&line[..], "holds" | "missed"), "{line}");
}

/// Then the outcome of one more look.
fn also(verdict: Verdict, look: impl FnOnce() -> Verdict) -> Verdict {
    match (verdict, look()) {
        (Verdict::Good | Verdict::Complete, bad) if bad != Verdict::Good => bad,
        (verdict, _) => verdict,
    }
}

/// A permit for the waiter, if the dead took what there was.
fn supply(hall: &Hall) {
    if hall.semaphore.value() == 0 {
        hall.semaphore.release(1).expect("room");
    }
}

/// Something to take, and one signal; whether the lock could be had.
fn set(hall: &Hall) -> bool {
    let Ok(lock) = hall.flag.lock_timeout(LIMIT) else {
        return false;
    };
    let mut flag = lock.or_repair(|_| ());
    if flag.is_multiple_of(TAKEN) {
        *flag += 1;
    }
    hall.changed.signal_unlock(flag);
    true
}

fn third_writes(stage: &Stage<'_>, hall: &Hall, victim: &str, other: &str) -> Verdict {
    let Ok(held) = hall.rwlock.write() else {
        return Verdict::Stuck;
    };
    let (victim, mut waiter) = two_wait(stage, victim, other);
    drop(held.or_repair(mend));
    let Ok(third) = hall.rwlock.write_timeout(LIMIT) else {
        return Verdict::Stuck;
    };
    let done = killed_as_it_wakes(stage, victim);
    drop(third.or_repair(mend));
    survivor(&mut waiter, done, || rwlock_aftermath(hall, true))
}

fn third_is_killed_writing(stage: &Stage<'_>, hall: &Hall, victim: &str, other: &str) -> Verdict {
    let mut third = third(stage, "writer-third");
    let Ok(held) = hall.rwlock.write() else {
        return Verdict::Stuck;
    };
    let (victim, mut waiter) = two_wait(stage, victim, other);
    drop(held.or_repair(mend));
    barge_in(&mut third);
    let done = killed_as_it_wakes(stage, victim);
    third.kill();
    survivor(&mut waiter, done, || rwlock_aftermath(hall, true))
}
