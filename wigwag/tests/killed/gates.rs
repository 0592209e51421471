//! Semaphores, spin lock, condition variable, readers-writer lock, monitor and barrier.
//!
//! Each scene leaves a survivor who must obtain the gate by itself: where a wake-up is lost with the
//! victim, nobody sends another.

use super::hall::{
    LIMIT, Pair, condvar_aftermath, mend, monitor_aftermath, of, robust_aftermath,
    rwlock_aftermath, scene, semaphore_aftermath, spin_verdict, survivor, ticket_aftermath, waiter,
};
use super::scene::{Scene, Verdict};
use super::step::{At, Victim};

pub const SEMAPHORE: &[Scene] = &[
    scene("semaphore", "acquires and releases", 30, |stage, hall| {
        let semaphore = &of(hall).semaphore;
        semaphore.release(1).expect("room");
        if !stage.kill(stage.victim("semaphore-both")) {
            return Verdict::Complete;
        }
        semaphore_aftermath(of(hall))
    }),
    scene("semaphore", "releases, one waits", 30, |stage, hall| {
        let mut waiter = waiter(stage, "semaphore-waits");
        let done = !stage.kill(stage.victim("semaphore-releases"));
        // Killed before it gave the permit there is none; then ours is for the waiter.
        if of(hall).semaphore.value() == 0 {
            of(hall).semaphore.release(1).expect("room");
        }
        survivor(&mut waiter, done, || semaphore_aftermath(of(hall)))
    }),
    scene(
        "semaphore",
        "woken waiter, another waits",
        30,
        |stage, hall| {
            let victim = stage.victim("semaphore-both");
            victim.run_into_futex();
            let mut waiter = waiter(stage, "semaphore-waits");
            of(hall).semaphore.release(1).expect("room");
            victim.returns();
            let done = !stage.kill(victim);
            // What the victim took is gone; one permit for the waiter, if it was taken.
            if of(hall).semaphore.value() == 0 {
                of(hall).semaphore.release(1).expect("room");
            }
            survivor(&mut waiter, done, || semaphore_aftermath(of(hall)))
        },
    ),
];

pub const ROBUST_SEMAPHORE: &[Scene] = &[
    scene(
        "robust semaphore",
        "acquires and releases",
        40,
        |stage, hall| {
            if !stage.kill(stage.victim("robust-both")) {
                return Verdict::Complete;
            }
            robust_aftermath(of(hall))
        },
    ),
    scene(
        "robust semaphore",
        "releases, one waits",
        30,
        |stage, hall| {
            let mut holder = stage.actor("robust-holder");
            holder.says("holds");
            let ours = of(hall).robust.try_acquire();
            let mut waiter = waiter(stage, "robust-waits");
            holder.tell("go on");
            let done = !stage.kill(Victim::of(holder));
            let verdict = survivor(&mut waiter, done, || Verdict::Good);
            drop(ours);
            if verdict == Verdict::Good {
                robust_aftermath(of(hall))
            } else {
                verdict
            }
        },
    ),
    scene(
        "robust semaphore",
        "woken waiter, another waits",
        30,
        |stage, hall| {
            let robust = &of(hall).robust;
            let both = (robust.try_acquire(), robust.try_acquire());
            let victim = stage.victim("robust-both");
            victim.run_into_futex();
            let mut waiter = waiter(stage, "robust-waits");
            drop(both.0);
            victim.returns();
            let done = !stage.kill(victim);
            let verdict = survivor(&mut waiter, done, || Verdict::Good);
            drop(both.1);
            if verdict == Verdict::Good {
                robust_aftermath(of(hall))
            } else {
                verdict
            }
        },
    ),
];

pub const SPIN: &[Scene] = &[
    scene("spin lock", "holder, nobody waits", 40, |stage, hall| {
        if !stage.kill(stage.victim("spin")) {
            return Verdict::Complete;
        }
        spin_verdict(of(hall))
    }),
    scene("spin lock", "holder, one waits", 30, |stage, hall| {
        let mut holder = stage.actor("spin-holder");
        holder.says("holds");
        let mut waiter = stage.actor("spin-waits");
        waiter.says("waits");
        holder.tell("go on");
        let done = !stage.kill(Victim::of(holder));
        survivor(&mut waiter, done, || spin_verdict(of(hall)))
    }),
];

pub const TICKET: &[Scene] = &[
    scene("ticket lock", "holder, nobody waits", 40, |stage, hall| {
        if !stage.kill(stage.victim("ticket")) {
            return Verdict::Complete;
        }
        ticket_aftermath(of(hall))
    }),
    scene("ticket lock", "holder, one waits", 30, |stage, hall| {
        let mut holder = stage.actor("ticket-holder");
        holder.says("holds");
        let mut waiter = stage.actor("ticket-waits");
        waiter.says("waits");
        holder.tell("go on");
        let done = !stage.kill(Victim::of(holder));
        survivor(&mut waiter, done, || ticket_aftermath(of(hall)))
    }),
    scene(
        "ticket lock",
        "in line before another",
        40,
        |stage, hall| {
            let Ok(held) = of(hall).ticket.lock() else {
                return Verdict::Stuck;
            };
            let victim = stage.victim("ticket-briefly");
            let at = victim.step(stage.point);
            victim.kill();
            let mut waiter = stage.actor("ticket-waits");
            waiter.says("waits");
            drop(held.or_repair(mend));
            survivor(&mut waiter, at == At::End, || ticket_aftermath(of(hall)))
        },
    ),
];

pub const CONDVAR: &[Scene] = &[
    scene(
        "condition variable",
        "signaller, one waits",
        40,
        |stage, hall| {
            let mut waiter = waiter(stage, "condvar-waits");
            let done = !stage.kill(stage.victim("condvar-signals"));
            // Killed before it set the flag nobody did; then we do. Else it is the waiter's to notice.
            let flag = of(hall).flag.lock_timeout(LIMIT);
            let Ok(flag) = flag else {
                return Verdict::Stuck;
            };
            let mut flag = flag.or_repair(|_| ());
            if *flag == 0 {
                *flag = 1;
                of(hall).changed.signal_unlock(flag);
            } else {
                drop(flag);
            }
            survivor(&mut waiter, done, || condvar_aftermath(of(hall)))
        },
    ),
    scene(
        "condition variable",
        "woken waiter, another waits",
        40,
        |stage, hall| {
            let victim = stage.victim("condvar-waits-stepped");
            victim.run_into_futex();
            let mut waiter = waiter(stage, "condvar-waits");
            let Ok(lock) = of(hall).flag.lock_timeout(LIMIT) else {
                return Verdict::Stuck;
            };
            let mut flag = lock.or_repair(|_| ());
            // Enough for both, but one signal only: it dies with the victim.
            *flag = 2;
            of(hall).changed.signal_unlock(flag);
            victim.returns();
            let done = !stage.kill(victim);
            survivor(&mut waiter, done, || condvar_aftermath(of(hall)))
        },
    ),
    scene("condition variable", "begins to wait", 40, |stage, hall| {
        let victim = stage.victim("condvar-waits-stepped");
        let inside = victim.step_until_asleep(stage.point);
        victim.kill();
        let mut waiter = waiter(stage, "condvar-waits");
        let Ok(lock) = of(hall).flag.lock_timeout(LIMIT) else {
            return Verdict::Stuck;
        };
        let mut flag = lock.or_repair(|_| ());
        *flag = 1;
        of(hall).changed.signal_unlock(flag);
        survivor(&mut waiter, !inside, || condvar_aftermath(of(hall)))
    }),
];

pub const RWLOCK: &[Scene] = &[
    scene(
        "readers-writer lock",
        "reader, nobody waits",
        40,
        |stage, hall| {
            if !stage.kill(stage.victim("reader")) {
                return Verdict::Complete;
            }
            rwlock_aftermath(of(hall), false)
        },
    ),
    scene(
        "readers-writer lock",
        "reader, a writer waits",
        30,
        |stage, hall| {
            let mut reader = stage.actor("reader-holds");
            reader.says("holds");
            let mut waiter = waiter(stage, "writer-waits");
            reader.tell("go on");
            let done = !stage.kill(Victim::of(reader));
            survivor(&mut waiter, done, || rwlock_aftermath(of(hall), false))
        },
    ),
    scene(
        "readers-writer lock",
        "writer, nobody waits",
        50,
        |stage, hall| {
            if !stage.kill(stage.victim("writer")) {
                return Verdict::Complete;
            }
            rwlock_aftermath(of(hall), true)
        },
    ),
    scene(
        "readers-writer lock",
        "writer, a reader waits",
        40,
        |stage, hall| {
            let mut writer = stage.actor("writer-holds");
            writer.says("holds");
            let mut waiter = waiter(stage, "reader-waits");
            writer.tell("go on");
            let done = !stage.kill(Victim::of(writer));
            survivor(&mut waiter, done, || rwlock_aftermath(of(hall), true))
        },
    ),
    scene(
        "readers-writer lock",
        "woken writer, a reader waits",
        40,
        |stage, hall| {
            let Ok(read) = of(hall).rwlock.read() else {
                return Verdict::Stuck;
            };
            let victim = stage.victim("writer");
            victim.run_into_futex();
            let mut waiter = waiter(stage, "reader-waits");
            drop(read.or_repair(|_| ()));
            victim.returns();
            let done = !stage.kill(victim);
            survivor(&mut waiter, done, || rwlock_aftermath(of(hall), true))
        },
    ),
];

pub const MONITOR: &[Scene] = &[
    scene("monitor", "inside, nobody waits", 40, |stage, hall| {
        if !stage.kill(stage.victim("inside")) {
            return Verdict::Complete;
        }
        monitor_aftermath(of(hall))
    }),
    scene(
        "monitor",
        "changes, one waits for that",
        40,
        |stage, hall| {
            let mut waiter = waiter(stage, "monitor-waits");
            let done = !stage.kill(stage.victim("inside"));
            let Ok(entry) = of(hall).monitor.enter_timeout(LIMIT) else {
                return Verdict::Stuck;
            };
            // Killed before the change nobody made it; then we do. Else it is the waiter's to notice.
            let mut inside = entry.or_repair(|pair| pair.b = pair.a);
            if inside.a == 0 {
                *inside = Pair { a: 1, b: 1 };
            }
            drop(inside);
            survivor(&mut waiter, done, || monitor_aftermath(of(hall)))
        },
    ),
];

pub const BARRIER: &[Scene] = &[
    scene("barrier", "arrives, two wait", 40, |stage, hall| {
        let barrier = &of(hall).barrier;
        let mut waiter = stage.actor("barrier-waits");
        waiter.says("joined");
        let Ok(ours) = barrier.join() else {
            return Verdict::Stuck;
        };
        let victim = stage.victim("barrier-arrives");
        waiter.tell("go on");
        let at = victim.step_until_asleep(stage.point);
        victim.kill();
        match ours.wait_timeout(LIMIT) {
            Ok(_) => survivor(&mut waiter, !at, || Verdict::Good),
            Err(_) => Verdict::Stuck,
        }
    }),
    scene(
        "barrier",
        "takes a seat and gives it up",
        40,
        |stage, hall| {
            if !stage.kill(stage.victim("barrier-joins")) {
                return Verdict::Complete;
            }
            let seats: Vec<_> = (0..3).map(|_| of(hall).barrier.join()).collect();
            if seats.iter().all(Result::is_ok) {
                Verdict::Good
            } else {
                Verdict::Leaked
            }
        },
    ),
];
