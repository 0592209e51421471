//! The mutex that inherits priorities, between processes: who holds it is lent the priority of who waits.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

mod process;

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use process::{Child, PATIENCE};
use wigwag::Kind;
use wigwag::gate::mutex::Cause;
use wigwag::gate::{Lock, Mutex};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;
use wigwag::shared::Death;

wigwag::shared! {
    struct Desk {
        /// The one that is tried: inheriting, or a plain one for comparison.
        mutex: Mutex<u64>,
        other: Mutex<u64>,
        /// 1 while the one of middle priority uses the core, 2 after that.
        middle: AtomicU32,
    }
}

const SHORT: Duration = Duration::from_millis(30);
/// How long the one of middle priority keeps the core: shorter than what the kernel lets real-time threads have of a second.
const BUSY: Duration = Duration::from_millis(500);
/// How long the one of low priority works with the lock.
const WORK: Duration = Duration::from_millis(100);

fn desk(name: &str, death: Death, mutex: Mutex<u64>) -> Segment<Desk> {
    let options = Options::new().temporary(true).death(death);
    let desk = Desk {
        mutex,
        other: Mutex::inheriting(0),
        middle: AtomicU32::new(0),
    };
    options.create(format!("/{name}"), desk).unwrap()
}

fn actor(test: &str, part: &str, name: &str) -> Child {
    process::play(test, part, &[("OBJECT", &format!("/{name}"))]).start()
}

fn opened() -> Segment<Desk> {
    Segment::open(process::argument("OBJECT")).unwrap()
}

/// The first core, and this real-time priority.
fn become_urgent(priority: i32) {
    // SAFETY: a set of numbers and a structure of one; the calls get their addresses and sizes.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        assert_eq!(
            libc::sched_setaffinity(0, size_of_val(&set), &raw const set),
            0
        );
        // The system call itself: musl's function of that name only says that it does not work.
        assert_eq!(
            libc::syscall(
                libc::SYS_sched_setscheduler,
                0,
                libc::SCHED_FIFO,
                &raw const priority
            ),
            0,
            "a real-time priority: run the tests as root, or with `ulimit -r 10`"
        );
    }
}

fn works(for_so_long: Duration) {
    let spent = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let spent = || Duration::try_from(spent()).unwrap();
    let start = spent();
    while spent() - start < for_so_long {
        std::hint::spin_loop();
    }
}

/// Field 18 of its line: -1 minus the real-time priority with which it runs now.
fn priority_of(tid: u32) -> i32 {
    let line = std::fs::read_to_string(format!("/proc/{tid}/stat")).unwrap();
    let fields = line.rsplit_once(") ").unwrap().1;
    -1 - fields.split(' ').nth(15).unwrap().parse::<i32>().unwrap()
}

/// A thread of low priority holds the mutex, one of high priority waits, and one of middle priority keeps them from the core:
/// with what priority the first runs meanwhile, and whether the high one came before the middle one was ready.
fn inversion(test: &str, mutex: Mutex<u64>) -> (i32, bool) {
    let name = process::unique("inversion");
    let desk = desk(&name, process::DEATHS[0], mutex);
    let mut low = actor(test, "low", &name);
    low.says("holds");
    let owner = desk.mutex.owner().unwrap();
    assert_eq!(priority_of(owner), 1);
    let mut high = actor(test, "high", &name);
    high.says("locks");
    process::eventually("the urgent one waits", || desk.mutex.waiters() == 1);
    let start = Instant::now();
    let mut lent = priority_of(owner);
    while lent == 1 && start.elapsed() < Duration::from_millis(200) {
        lent = priority_of(owner);
    }
    let mut middle = actor(test, "middle", &name);
    middle.says("ready");
    middle.tell("go");
    process::eventually("the middle one runs", || desk.middle.load(SeqCst) != 0);
    low.tell("work");
    let in_time = high.line() == "in time";
    (lent, in_time)
}

fn plays_inversion() -> bool {
    let Some(part) = process::part() else {
        return false;
    };
    let desk = opened();
    match &part[..] {
        "low" => {
            become_urgent(1);
            let guard = desk.mutex.lock().unwrap().or_repair(|_| ());
            process::say("holds");
            process::hear();
            works(WORK);
            drop(guard);
        }
        "high" => {
            become_urgent(3);
            process::say("locks");
            let _guard = desk.mutex.lock_timeout(PATIENCE).unwrap().or_repair(|_| ());
            let middle = desk.middle.load(SeqCst);
            process::say(if middle == 2 { "late" } else { "in time" });
        }
        _ => {
            become_urgent(2);
            process::say("ready");
            process::hear();
            desk.middle.store(1, SeqCst);
            works(BUSY);
            desk.middle.store(2, SeqCst);
        }
    }
    true
}

#[test]
fn the_holder_runs_with_the_priority_of_who_waits_and_a_middle_one_cannot_delay_both() {
    if plays_inversion() {
        return;
    }
    let test = "the_holder_runs_with_the_priority_of_who_waits_and_a_middle_one_cannot_delay_both";
    assert_eq!(inversion(test, Mutex::inheriting(0)), (3, true));
    // The plain one has the trouble that this one is for: else the test would prove nothing.
    assert_eq!(inversion(test, Mutex::new(0)), (1, false));
}

#[test]
fn a_killed_holder_is_told_of_and_all_forms_of_locking_keep_their_promises() {
    let test = "a_killed_holder_is_told_of_and_all_forms_of_locking_keep_their_promises";
    if process::part().is_some() {
        let desk = opened();
        let _guard = desk.mutex.lock().unwrap().or_repair(|_| ());
        process::say("holds");
        process::hear();
        return;
    }
    for &death in process::DEATHS {
        let name = process::unique("promises");
        let desk = desk(&name, death, Mutex::inheriting(0));
        let guard = desk
            .mutex
            .lock()
            .unwrap()
            .or_repair(|_| panic!("nobody died"));
        assert_eq!(desk.mutex.lock().unwrap_err().kind(), Kind::Deadlock);
        drop(guard);
        let mut holder = actor(test, "holder", &name);
        holder.says("holds");
        assert!(desk.mutex.try_lock().unwrap().is_none());
        let start = Instant::now();
        assert_eq!(
            desk.mutex.lock_timeout(SHORT).unwrap_err().kind(),
            Kind::TimedOut
        );
        assert!(start.elapsed() >= SHORT);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| match desk.mutex.lock_timeout(PATIENCE).unwrap() {
                Lock::Clean(_) => panic!("its holder died"),
                Lock::Orphaned(orphan) => {
                    assert_eq!(orphan.cause(), Cause::Death);
                    *orphan.repaired() = 7;
                }
            });
            process::eventually("it waits", || desk.mutex.waiters() == 1);
            holder.kill();
            waiter.join().unwrap();
        });
        // Nobody waits when the second one dies: who comes later is told.
        let mut holder = actor(test, "holder", &name);
        holder.says("holds");
        holder.kill();
        let lock = desk.mutex.lock_timeout(PATIENCE).unwrap();
        assert!(lock.is_orphaned());
        assert_eq!(*lock.or_repair(|_| ()), 7);
        assert!(!desk.mutex.lock().unwrap().is_orphaned());
        // A panic is told, and whoever does not repair makes it unusable, also for one who waits.
        let panics = || {
            let _guard = desk.mutex.lock();
            panic!("on purpose");
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        let Lock::Orphaned(orphan) = desk.mutex.lock().unwrap() else {
            panic!("its holder panicked");
        };
        assert_eq!(orphan.cause(), Cause::Panic);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| desk.mutex.lock_timeout(PATIENCE).unwrap_err().kind());
            process::eventually("it waits", || desk.mutex.waiters() == 1);
            drop(orphan);
            assert_eq!(waiter.join().unwrap(), Kind::Corrupt);
        });
        assert_eq!(desk.mutex.try_lock().unwrap_err().kind(), Kind::Corrupt);
    }
}

#[test]
fn two_processes_that_wait_for_each_other_are_found_by_the_kernel() {
    let test = "two_processes_that_wait_for_each_other_are_found_by_the_kernel";
    if process::part().is_some() {
        let desk = opened();
        let _other = desk.other.lock().unwrap().or_repair(|_| ());
        process::say("holds");
        let _mutex = desk.mutex.lock().unwrap().or_repair(|_| ());
        process::say("has both");
        return;
    }
    let name = process::unique("circle");
    let desk = desk(&name, process::DEATHS[0], Mutex::inheriting(0));
    let guard = desk.mutex.lock().unwrap().or_repair(|_| ());
    let mut child = actor(test, "other", &name);
    child.says("holds");
    process::eventually("it waits", || desk.mutex.waiters() == 1);
    let error = desk.other.lock_timeout(PATIENCE).unwrap_err();
    assert_eq!(error.kind(), Kind::Deadlock, "{error}");
    drop(guard);
    child.says("has both");
    child.succeeds();
}

#[test]
fn many_take_turns_and_lose_nothing() {
    if process::part().is_some() {
        let desk = opened();
        for _ in 0..3_000 {
            *desk
                .mutex
                .lock()
                .unwrap()
                .or_repair(|_| panic!("nobody died")) += 1;
        }
        return;
    }
    let name = process::unique("turns");
    let desk = desk(&name, process::DEATHS[0], Mutex::inheriting(0));
    let children = [(); 3].map(|()| actor("many_take_turns_and_lose_nothing", "counts", &name));
    children.into_iter().for_each(Child::succeeds);
    assert_eq!(
        *desk
            .mutex
            .lock()
            .unwrap()
            .or_repair(|_| panic!("nobody died")),
        9_000
    );
}
