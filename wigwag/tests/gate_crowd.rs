//! Crowds at gates, and a time-out at the instant of the wake-up: thousands get through in bounded time, and of what was given
//! nothing is lost and nothing doubled.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, unreachable_pub)]

mod hall;
mod process;

use std::sync::Barrier as Meeting;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hall::{HELD, hall};
use process::{DEATHS, PATIENCE};
use wigwag::gate::{
    Barrier, Condvar, Monitor, Mutex, OnceCell, RobustSemaphore, RwLock, Semaphore, SpinLock,
    TicketLock, WaryMutex,
};
use wigwag::shared::Death;
use wigwag::{Kind, Result, Wait};

/// Longer than thousands take to pass one after the other.
const LONG: Duration = Duration::from_secs(100);

/// Marsaglia's xorshift.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

/// Up to a tenth of a millisecond of being busy.
fn linger(random: &mut u64) {
    let (start, time) = (Instant::now(), Duration::from_nanos(next(random) % 100_000));
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Again and again one waits, for some instants at most, while the other `opens` what it waits for at about the same instant; then
/// `check` looks, told whether the first got it. Until both have happened often enough, or the machine is too busy for that.
fn races<H>(
    what: &str,
    close: impl Fn() -> H + Sync,
    open: impl Fn(H) + Sync,
    wait: impl Fn(Duration) -> Result<()> + Sync,
    check: impl Fn(bool) + Sync,
) {
    let (meet, over) = (Meeting::new(2), AtomicBool::new(false));
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = 0x1234_5678_9abc_def1;
            loop {
                let closed = close();
                meet.wait();
                if over.load(Ordering::SeqCst) {
                    return open(closed);
                }
                linger(&mut random);
                open(closed);
                meet.wait();
                meet.wait();
            }
        });
        // Shorter when it got it, longer when it did not: so it stays near the instant.
        let (mut limit, mut came) = (Duration::from_micros(50), [0_u32; 2]);
        loop {
            let enough = came.iter().all(|often| *often >= 100);
            let late = start.elapsed() > PATIENCE;
            over.store(enough || late, Ordering::SeqCst);
            meet.wait();
            if enough || late {
                println!("{what}: {came:?} in {:?}", start.elapsed());
                assert_ne!(
                    came.iter().min(),
                    Some(&0),
                    "{what}: got it and did not: {came:?}"
                );
                return;
            }
            let got = match wait(limit) {
                Ok(()) => true,
                Err(error) if error.kind() == Kind::TimedOut => false,
                Err(error) => panic!("{what}: {error}"),
            };
            meet.wait();
            check(got);
            came[usize::from(got)] += 1;
            limit = match got {
                true => limit * 7 / 8,
                false => limit * 9 / 8 + Duration::from_micros(1),
            };
            meet.wait();
        }
    });
}

#[test]
fn a_permit_that_comes_as_the_time_ends_is_taken_or_stays() {
    let permits = Semaphore::new(0);
    races(
        "semaphore",
        || (),
        |()| permits.release(1).unwrap(),
        |limit| permits.acquire_timeout(limit).map(|permit| permit.forget()),
        |got| {
            assert_eq!(permits.value(), u32::from(!got));
            assert_eq!(
                permits
                    .try_acquire()
                    .map(|permit| permit.forget())
                    .is_some(),
                !got
            );
            assert_eq!(permits.waiters(), 0);
        },
    );
    let robust = RobustSemaphore::<1>::new(1);
    races(
        "robust semaphore",
        || robust.acquire().unwrap(),
        drop,
        |limit| robust.acquire_timeout(limit).map(drop),
        |_| assert_eq!((robust.value(), robust.waiters()), (1, 0)),
    );
}

#[test]
fn a_lock_that_is_left_as_the_time_ends_is_had_or_free() {
    /// One kind of mutex, by the lock and by what its waiters counted is at the end.
    macro_rules! lock {
        ($what:literal, $lock:expr, |$guard:ident| $clean:expr) => {{
            let lock = $lock;
            races(
                $what,
                || lock.lock_with(Wait::Forever).unwrap(),
                drop,
                |limit| lock.lock_with(Wait::For(limit)).map(drop),
                |_| {
                    let $guard = lock.lock_with(Wait::Not).unwrap();
                    assert!($clean, $what);
                },
            );
        }};
    }
    let mutex = Mutex::new(0);
    lock!("mutex", &mutex, |lock| !lock.is_orphaned());
    assert_eq!(mutex.waiters(), 0);
    lock!("inheriting mutex", Mutex::inheriting(0), |lock| !lock
        .is_orphaned());
    lock!("wary mutex", WaryMutex::new(0), |lock| !lock.1);
    lock!("spin lock", SpinLock::new(0), |lock| !lock.is_orphaned());
    lock!("ticket lock", TicketLock::<_>::new(0), |lock| !lock
        .is_orphaned());
    for readers in [false, true] {
        let lock = RwLock::<u8, 1>::new(0);
        races(
            "readers-writer lock",
            || match readers {
                true => (Some(lock.read().unwrap()), None),
                false => (None, Some(lock.write().unwrap())),
            },
            drop,
            |limit| match readers {
                true => lock.write_timeout(limit).map(drop),
                false => lock.read_timeout(limit).map(drop),
            },
            |_| {
                assert!(!lock.try_write().unwrap().unwrap().is_orphaned());
                assert!(!lock.try_read().unwrap().unwrap().is_orphaned());
            },
        );
    }
}

#[test]
fn a_change_that_comes_as_the_time_ends_is_seen_by_one() {
    // A second waiter, which has time: what the first does not take is for it.
    let (tokens, changed) = (Mutex::new(0_u32), Condvar::new());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let free = tokens.lock().unwrap().or_repair(|_| ());
                let until = Duration::from_millis(100);
                let waited = changed.wait_while_timeout(free, until, |tokens| *tokens == 0);
                if let (lock, false) = waited.unwrap() {
                    *lock.or_repair(|_| ()) -= 1;
                }
            }
        });
        races(
            "condition variable",
            || (),
            |()| {
                let mut tokens = tokens.lock().unwrap().or_repair(|_| ());
                *tokens += 1;
                changed.signal_unlock(tokens);
            },
            |limit| {
                let free = tokens.lock()?.or_repair(|_| ());
                let waited = changed.wait_while_timeout(free, limit, |tokens| *tokens == 0)?;
                match waited {
                    (lock, false) => {
                        *lock.or_repair(|_| ()) -= 1;
                        Ok(())
                    }
                    // The kind that says so to `races`.
                    (_, true) => Semaphore::new(0).acquire_timeout(Duration::ZERO).map(drop),
                }
            },
            |_| {
                process::eventually("the token is taken", || {
                    *tokens.lock().unwrap().or_repair(|_| ()) == 0
                });
            },
        );
        over.store(true, Ordering::SeqCst);
    });

    let monitor = Monitor::new(0_u32);
    races(
        "monitor",
        || *monitor.enter().unwrap().or_repair(|_| ()) = 0,
        |()| *monitor.enter().unwrap().or_repair(|_| ()) = 1,
        |limit| {
            let inside = monitor.enter()?.or_repair(|_| ());
            inside.when_timeout(limit, |value| *value == 1).map(drop)
        },
        |_| assert_eq!(*monitor.enter().unwrap().or_repair(|_| ()), 1),
    );
}

#[test]
fn a_value_that_is_made_as_the_time_ends_is_made_once() {
    for turn in 0..300_u64 {
        let (cell, meet) = (OnceCell::new(), Meeting::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let made = cell.get_or_init(|| {
                    meet.wait();
                    linger(&mut (turn * 7919 + 1));
                    1
                });
                assert_eq!(made.unwrap(), &1);
            });
            meet.wait();
            let limit = Wait::For(Duration::from_nanos(turn * 7907 % 150_000));
            match cell.get_or_init_with(limit, || 2) {
                Ok(value) => assert_eq!(value, &1),
                Err(error) => assert_eq!(error.kind(), Kind::TimedOut),
            }
        });
        assert_eq!(cell.get(), Some(&1));
    }
}

#[test]
fn a_round_that_is_complete_as_the_time_ends_counts_for_all_or_none() {
    const ROUNDS: u32 = 1000;
    let barrier = Barrier::<3>::new();
    let late = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let (barrier, late) = (&barrier, &late);
            scope.spawn(move || {
                let seat = barrier.join().unwrap();
                let mut random = 0x1234_5678_9abc_def1 + thread;
                for round in 1..=ROUNDS {
                    loop {
                        let limit = Duration::from_nanos(next(&mut random) % 60_000);
                        match seat.wait_timeout(limit) {
                            Ok(passed) => break assert_eq!(passed.lost(), 0),
                            Err(error) => assert_eq!(error.kind(), Kind::TimedOut, "{error}"),
                        }
                        late.fetch_add(1, Ordering::Relaxed);
                        linger(&mut random);
                    }
                    // Nobody can be more than one round ahead of one that has passed this one.
                    let rounds = barrier.rounds().unwrap();
                    assert!(
                        rounds == round || rounds == round + 1,
                        "{rounds} in {round}"
                    );
                }
                // Stays until the others have passed the last one, too.
                process::eventually("all rounds", || barrier.rounds().unwrap() == ROUNDS);
            });
        }
    });
    println!("barrier: {late:?}");
    assert!(late.into_inner() > 0);
}

/// How much of its memory a process uses, in kilobytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

#[test]
fn thousands_of_threads_pass_one_gate_in_bounded_time_and_memory() {
    const TEST: &str = "thousands_of_threads_pass_one_gate_in_bounded_time_and_memory";
    if process::part().is_none() {
        let mut child = process::play(TEST, "alone", &[]).start();
        for line in std::iter::from_fn(|| Some(child.line_or_end()).filter(|line| !line.is_empty()))
        {
            println!("{line}");
        }
        return child.succeeds();
    }
    let name = format!("/{}", process::unique("crowd"));
    let hall = hall(&name, DEATHS[0]);
    let before = resident();
    for gate in HELD {
        // A barrier has room for as many as it was made for, and who spins is not many.
        let crowd = match gate.name {
            "barrier" => continue,
            "spin lock" | "ticket lock" => 200,
            _ => 2000,
        };
        let start = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..crowd)
                .map(|_| {
                    let small = std::thread::Builder::new().stack_size(64 << 10);
                    small
                        .spawn_scoped(scope, || (gate.pass)(&hall, LONG))
                        .unwrap()
                })
                .collect();
            for thread in threads {
                assert_eq!(thread.join().unwrap(), Ok(false), "{}", gate.name);
            }
        });
        process::say(&format!("{}: {crowd} in {:?}", gate.name, start.elapsed()));
    }
    let more = resident().saturating_sub(before);
    assert!(more < 200 << 10, "{more} KiB");
    assert_eq!(
        hall.mutex.waiters() + hall.permits.waiters() + hall.robust.waiters(),
        0
    );
}

#[test]
fn a_thousand_processes_pass_one_gate_in_bounded_time() {
    const TEST: &str = "a_thousand_processes_pass_one_gate_in_bounded_time";
    const CROWD: usize = 1000;
    if process::part().is_some() {
        let hall = hall::opened();
        let children: Vec<_> = (0..CROWD)
            .map(|_| {
                // SAFETY: glibc makes its allocator usable in the child, which ends without returning.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    let passed = |gate: &hall::Gate| match gate.name {
                        "barrier" | "spin lock" | "ticket lock" => true,
                        _ => (gate.pass)(hall, LONG) == Ok(false),
                    };
                    let all = HELD.iter().all(passed);
                    // SAFETY: ends the child at once.
                    unsafe { libc::_exit(i32::from(!all)) };
                }
                assert!(child > 0, "fork");
                child
            })
            .collect();
        for child in children {
            let mut status = 0;
            // SAFETY: the pointer is valid for writing.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!(status, 0, "one did not get through");
        }
        return;
    }
    for death in DEATHS {
        let name = format!("/{}", process::unique("crowd"));
        let hall = hall(&name, *death);
        let start = Instant::now();
        // All gates are closed until many stand before them.
        let held: Vec<_> = [hall.mutex.lock().unwrap()].into();
        let mut child = process::play(TEST, "crowd", &[("NAME", &name)]).start();
        process::eventually("they stand in line", || {
            hall.mutex.waiters() > CROWD as u32 / 2
        });
        drop(held);
        while !child.has_ended() {
            assert!(start.elapsed() < LONG, "{death:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        child.succeeds();
        println!("{CROWD} processes, {death:?}: {:?}", start.elapsed());
        assert!(!hall.mutex.lock().unwrap().is_orphaned());
        if *death == Death::Kernel {
            assert_eq!(hall.mutex.waiters(), 0);
        }
    }
}
