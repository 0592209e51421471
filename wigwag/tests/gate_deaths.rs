//! Deaths at gates, for those who only try, who wait in short turns, who waited long already, and where a whole line died.
//!
//! Nobody buries the dead here unless it says so: a corpse in the process table holds nothing either.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, unreachable_pub)]

mod process;

use std::time::{Duration, Instant};

use process::{Child, PATIENCE};
use rustix::process::Signal;
use wigwag::gate::{
    Barrier, Monitor, Mutex, OnceCell, RobustSemaphore, RwLock, SpinLock, TicketLock,
};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;
use wigwag::shared::Death;
use wigwag::{Kind, Wait};

const LINE: usize = 24;

wigwag::shared! {
    /// One of each that has holders.
    struct Hall {
        mutex: Mutex<u64>,
        inheriting: Mutex<u64>,
        spin: SpinLock<u64>,
        ticket: TicketLock<u64, 32>,
        robust: RobustSemaphore<1>,
        read: RwLock<u64, 2>,
        slots: RwLock<u64, 2>,
        write: RwLock<u64, 2>,
        monitor: Monitor<u64>,
        barrier: Barrier<2>,
        once: OnceCell<u64>,
    }
}

fn hall(name: &str, death: Death) -> Segment<Hall> {
    let hall = Hall {
        mutex: Mutex::new(0),
        inheriting: Mutex::inheriting(0),
        spin: SpinLock::new(0),
        ticket: TicketLock::new(0),
        robust: RobustSemaphore::new(1),
        read: RwLock::new(0),
        slots: RwLock::new(0),
        write: RwLock::new(0),
        monitor: Monitor::new(0),
        barrier: Barrier::new(),
        once: OnceCell::new(),
    };
    let options = Options::new().temporary(true).death(death);
    options.create(name, hall).unwrap()
}

/// In a child: takes what its part says, says so, and keeps it. Whether this was one.
fn holds() -> bool {
    let Some(part) = process::part() else {
        return false;
    };
    let hall: &'static Segment<Hall> = Box::leak(Box::new(
        Segment::<Hall>::open(process::argument("NAME")).unwrap(),
    ));
    let (made, making) = std::sync::mpsc::channel();
    match &part[..] {
        "everything" => {
            std::mem::forget(hall.mutex.lock().unwrap());
            std::mem::forget(hall.inheriting.lock().unwrap());
            std::mem::forget(hall.spin.lock().unwrap());
            std::mem::forget(hall.ticket.lock().unwrap());
            hall.robust.acquire().unwrap().forget();
            std::mem::forget(hall.read.read().unwrap());
            std::mem::forget((hall.slots.read().unwrap(), hall.slots.read().unwrap()));
            std::mem::forget(hall.write.write().unwrap());
            std::mem::forget(hall.monitor.enter().unwrap());
            std::mem::forget(hall.barrier.join().unwrap());
            std::thread::spawn(move || {
                let _ = hall.once.get_or_init(|| {
                    made.send(()).unwrap();
                    loop {
                        std::thread::park();
                    }
                });
            });
            making.recv().unwrap();
        }
        "line" => {
            for _ in 0..LINE {
                std::thread::spawn(|| drop(hall.ticket.lock()));
            }
            // Each has drawn its number when it naps between its looks.
            process::eventually("all stand in line", || in_line(std::process::id()) == LINE);
        }
        part => panic!("no part {part}"),
    }
    process::say("holds");
    process::hear();
    true
}

/// How many threads of the process nap in `clock_nanosleep(2)`.
fn in_line(pid: u32) -> usize {
    let naps = format!("{} ", libc::SYS_clock_nanosleep);
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let call = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("syscall")).ok()
    };
    tasks
        .filter_map(call)
        .filter(|text| text.starts_with(&naps))
        .count()
}

fn holder(test: &str, part: &str, name: &str) -> Child {
    let mut child = process::play(test, part, &[("NAME", name)]).start();
    child.says("holds");
    child
}

/// Kills it, and leaves the corpse.
fn slay(child: &Child) {
    child.signal(Signal::KILL);
    let stat = format!("/proc/{}/stat", child.pid());
    process::eventually("the child is a corpse", || {
        std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "))
    });
}

#[test]
fn who_only_tries_or_waits_in_short_turns_gets_what_the_dead_held() {
    if holds() {
        return;
    }
    let test = "who_only_tries_or_waits_in_short_turns_gets_what_the_dead_held";
    let turn = Duration::from_millis(3);
    for death in [Death::Kernel, Death::Watched] {
        let name = format!("/{}", process::unique("deaths"));
        let hall = hall(&name, death);
        let again = |what: &str, attempt: &dyn Fn(&Hall) -> bool| {
            process::eventually(&format!("{what} {death:?}"), || attempt(&hall));
        };
        let child = holder(test, "everything", &name);
        assert!(hall.spin.try_lock().unwrap().is_none(), "it lives");
        assert!(hall.read.try_write().unwrap().is_none(), "it lives");
        slay(&child);
        again("mutex", &|hall| {
            hall.mutex.try_lock().unwrap().is_some_and(|lock| {
                assert!(lock.is_orphaned());
                drop(lock.or_repair(|_| ()));
                true
            })
        });
        again("inheriting mutex", &|hall| {
            hall.inheriting.try_lock().unwrap().is_some()
        });
        again("spin lock", &|hall| hall.spin.try_lock().unwrap().is_some());
        again("ticket lock", &|hall| {
            hall.ticket.try_lock().unwrap().is_some()
        });
        again("robust semaphore", &|hall| {
            hall.robust.try_acquire().is_some()
        });
        again("readers-writer lock, for writing", &|hall| {
            hall.read.try_write().unwrap().is_some()
        });
        again("its slots", &|hall| {
            hall.slots.try_read().unwrap().is_some()
        });
        again("readers-writer lock, for reading", &|hall| {
            hall.write.try_read().unwrap().is_some()
        });
        again("monitor", &|hall| {
            hall.monitor.try_enter().unwrap().is_some()
        });
        again("once cell", &|hall| {
            hall.once.get_or_init_with(Wait::Not, || 1).is_ok()
        });
        let seat = hall.barrier.join().unwrap();
        again("barrier", &|_| {
            seat.wait_timeout(turn)
                .is_ok_and(|passed| passed.lost() == 1)
        });
        drop(child);

        let child = {
            let hall = self::hall(&format!("{name}-b"), death);
            let child = holder(test, "everything", &format!("{name}-b"));
            slay(&child);
            let again = |what: &str, attempt: &dyn Fn(&Hall) -> bool| {
                process::eventually(&format!("{what} {death:?}"), || attempt(&hall));
            };
            again("mutex", &|hall| hall.mutex.lock_timeout(turn).is_ok());
            again("spin lock", &|hall| hall.spin.lock_timeout(turn).is_ok());
            again("ticket lock", &|hall| {
                hall.ticket.lock_timeout(turn).is_ok()
            });
            again("permit", &|hall| hall.robust.acquire_timeout(turn).is_ok());
            again("writer", &|hall| hall.read.write_timeout(turn).is_ok());
            again("slots", &|hall| hall.slots.read_timeout(turn).is_ok());
            again("reader", &|hall| hall.write.read_timeout(turn).is_ok());
            again("monitor", &|hall| hall.monitor.enter_timeout(turn).is_ok());
            child
        };
        drop(child);
    }
}

#[test]
fn a_ticket_lock_is_free_soon_after_a_whole_line_died_at_it() {
    if holds() {
        return;
    }
    let name = format!("/{}", process::unique("deaths"));
    let hall = hall(&name, Death::Kernel);
    let test = "a_ticket_lock_is_free_soon_after_a_whole_line_died_at_it";
    let held = hall.ticket.lock().unwrap();
    slay(&holder(test, "line", &name));
    drop(held);
    let lock = hall.ticket.lock_timeout(PATIENCE).unwrap();
    assert!(!lock.is_orphaned(), "none of them was inside");
}

#[test]
fn a_death_is_found_soon_however_long_one_waited_before() {
    if holds() {
        return;
    }
    let name = format!("/{}", process::unique("deaths"));
    let hall = hall(&name, Death::Kernel);
    let test = "a_death_is_found_soon_however_long_one_waited_before";
    let child = holder(test, "everything", &name);
    std::thread::scope(|scope| {
        let waiters = [
            scope.spawn(|| hall.spin.lock().map(|_| Instant::now())),
            scope.spawn(|| hall.ticket.lock().map(|_| Instant::now())),
        ];
        std::thread::sleep(Duration::from_millis(4400));
        slay(&child);
        let dead = Instant::now();
        for waiter in waiters {
            let late = waiter.join().unwrap().unwrap() - dead;
            assert!(late < Duration::from_secs(2), "{late:?}");
        }
    });
}

#[test]
fn a_time_out_in_a_monitor_holds_though_another_stays_inside() {
    let monitor = Monitor::new(0);
    std::thread::scope(|scope| {
        let (waits, waiting) = std::sync::mpsc::channel();
        let monitor = &monitor;
        let waiter = scope.spawn(move || {
            let inside = monitor.enter().unwrap().or_repair(|_| ());
            waits.send(()).unwrap();
            inside
                .when_timeout(Duration::from_millis(50), |_| false)
                .map(drop)
        });
        waiting.recv().unwrap();
        let inside = monitor.enter().unwrap();
        // It must come back while this one is inside.
        let late = waiter.join().unwrap().err().unwrap();
        assert_eq!(late.kind(), Kind::TimedOut);
        drop(inside);
    });
}
