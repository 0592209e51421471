//! Gates in shared memory between two processes, with holders and waiters killed.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, unreachable_pub)]

mod process;

use std::time::{Duration, Instant};

use process::Child;
use wigwag::gate::{
    Barrier, Condvar, Monitor, Mutex, RobustSemaphore, RwLock, Semaphore, SpinLock, TicketLock,
};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;
use wigwag::{Kind, Wait};

wigwag::shared! {
    /// One of each.
    struct Hall {
        spin: SpinLock<[u64; 2]>,
        ticket: TicketLock<[u64; 2], 4>,
        semaphore: Semaphore,
        robust: RobustSemaphore<4>,
        mutex: Mutex<u64>,
        changed: Condvar,
        barrier: Barrier<3>,
        rwlock: RwLock<[u64; 2]>,
        monitor: Monitor<[u64; 2]>,
    }
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);

fn hall(name: &str) -> Segment<Hall> {
    let hall = Hall {
        spin: SpinLock::new([0; 2]),
        ticket: TicketLock::new([0; 2]),
        semaphore: Semaphore::new(0),
        robust: RobustSemaphore::new(2),
        mutex: Mutex::new(0),
        changed: Condvar::new(),
        barrier: Barrier::new(),
        rwlock: RwLock::new([0; 2]),
        monitor: Monitor::new([0; 2]),
    };
    Options::new().temporary(true).create(name, hall).unwrap()
}

/// Starts a process that does what it is told with the hall.
fn actor(test: &str, name: &str) -> Child {
    process::play(test, "actor", &[("NAME", name)]).start()
}

fn tell(child: &mut Child, command: &str) {
    child.tell(command);
    child.says("ok");
}

/// Waits until the child sleeps at a gate: all its threads do, since its harness sleeps in a futex anyway.
fn sleeps(child: &Child) {
    let tasks = format!("/proc/{}/task", child.pid());
    process::eventually("the child sleeps", || {
        std::fs::read_dir(&tasks).is_ok_and(|mut tasks| {
            tasks.all(|task| {
                let path = task.map(|task| task.path().join("syscall"));
                let text = path.and_then(std::fs::read_to_string);
                text.is_ok_and(|text| process::is_in(&text, libc::SYS_futex))
            })
        })
    });
}

/// In a child: acts until there is nothing more to hear. Whether this was one.
fn acted() -> bool {
    if process::part().is_none() {
        return false;
    }
    let hall = Segment::<Hall>::open(process::argument("NAME")).unwrap();
    let hall = &*hall;
    let seat = std::cell::OnceCell::new();
    loop {
        let command = process::hear();
        match &command[..] {
            "" => return true,
            "spin" => {
                let mut guard = hall.spin.lock().unwrap().or_repair(|_| ());
                guard[0] += 1;
                std::mem::forget(guard);
            }
            "spin-count" => {
                for _ in 0..20_000 {
                    let mut both = hall.spin.lock().unwrap().or_repair(|_| ());
                    assert_eq!(both[0], both[1]);
                    both[0] += 1;
                    both[1] += 1;
                }
            }
            "ticket" => {
                let mut guard = hall.ticket.lock().unwrap().or_repair(|_| ());
                guard[0] += 1;
                std::mem::forget(guard);
            }
            "ticket-count" => {
                for _ in 0..20_000 {
                    let mut both = hall.ticket.lock().unwrap().or_repair(|_| ());
                    assert_eq!(both[0], both[1]);
                    both[0] += 1;
                    both[1] += 1;
                }
            }
            "acquire" => hall.semaphore.acquire().unwrap().forget(),
            "release" => hall.semaphore.release(1).unwrap(),
            "permit" => hall.robust.acquire().unwrap().forget(),
            "permit-waits" => drop(hall.robust.acquire().unwrap()),
            "lock" => std::mem::forget(hall.mutex.lock().unwrap()),
            "set" => *hall.mutex.lock().unwrap().or_repair(|_| ()) = 1,
            "signal" => {
                let mut guard = hall.mutex.lock().unwrap().or_repair(|_| ());
                *guard = 1;
                hall.changed.signal_unlock(guard);
            }
            "wait" => {
                let guard = hall.mutex.lock().unwrap().or_repair(|_| ());
                let lock = hall.changed.wait_while(guard, |set| *set == 0).unwrap();
                *lock.or_repair(|_| ()) = 0;
            }
            "join" => assert!(seat.set(hall.barrier.join().unwrap()).is_ok()),
            "arrive" => {
                let passed = seat.get().unwrap().wait().unwrap();
                process::say(&format!("lost {}", passed.lost()));
                continue;
            }
            "read" => std::mem::forget(hall.rwlock.read().unwrap()),
            "read-waits" => drop(hall.rwlock.read().unwrap()),
            "write" => {
                let mut guard = hall.rwlock.write().unwrap().or_repair(|_| ());
                guard[0] += 1;
                std::mem::forget(guard);
            }
            "write-waits" => drop(hall.rwlock.write().unwrap()),
            "inside" => {
                let mut inside = hall.monitor.enter().unwrap().or_repair(|_| ());
                inside[0] += 1;
                std::mem::forget(inside);
            }
            "consume" => {
                let inside = hall.monitor.enter().unwrap().or_repair(|_| ());
                let entry = inside.when(|[full, _]| *full > 0).unwrap();
                let mut inside = entry.or_repair(|_| ());
                inside[0] -= 1;
                inside[1] += 1;
            }
            other => panic!("what is {other}?"),
        }
        process::say("ok");
    }
}

#[test]
fn a_spin_lock_excludes_two_processes_and_loses_no_increment() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("spin"));
    let hall = hall(&name);
    let mut child = actor(
        "a_spin_lock_excludes_two_processes_and_loses_no_increment",
        &name,
    );
    child.tell("spin-count");
    for _ in 0..20_000 {
        let mut both = hall.spin.lock().unwrap().or_repair(|_| ());
        assert_eq!(both[0], both[1]);
        both[0] += 1;
        both[1] += 1;
    }
    child.says("ok");
    assert_eq!(*hall.spin.lock().unwrap().or_repair(|_| ()), [40_000; 2]);
}

#[test]
fn the_next_holder_of_a_spin_lock_learns_of_the_death() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("spin"));
    let hall = hall(&name);
    let mut child = actor("the_next_holder_of_a_spin_lock_learns_of_the_death", &name);
    tell(&mut child, "spin");
    assert!(hall.spin.try_lock().unwrap().is_none());
    let late = hall.spin.lock_timeout(SHORT).err().unwrap();
    assert_eq!(late.kind(), Kind::TimedOut);
    child.kill();
    let lock = hall.spin.lock_timeout(LONG).unwrap();
    assert!(lock.is_orphaned());
    assert_eq!(*lock.or_repair(|both| both[1] = both[0]), [1, 1]);
    let mut child = actor("the_next_holder_of_a_spin_lock_learns_of_the_death", &name);
    tell(&mut child, "spin");
    child.kill();
    drop(hall.spin.lock_timeout(LONG).unwrap());
    assert_eq!(hall.spin.lock().err().unwrap().kind(), Kind::Corrupt);
    assert_eq!(hall.spin.try_lock().err().unwrap().kind(), Kind::Corrupt);
}

#[test]
fn a_panic_with_the_lock_is_told_to_the_next() {
    let spin = SpinLock::new(0);
    let rwlock = RwLock::<_>::new(0);
    std::thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            let _spin = spin.lock().unwrap();
            let _write = rwlock.write().unwrap();
            panic!("on purpose");
        });
        assert!(panicking.join().is_err());
    });
    let lock = spin.try_lock().unwrap().unwrap();
    assert!(lock.is_orphaned());
    drop(lock.or_repair(|_| ()));
    assert!(!spin.lock().unwrap().is_orphaned());
    let lock = rwlock.read().unwrap();
    assert!(lock.is_orphaned());
    drop(lock.or_repair(|_| ()));
    assert!(!rwlock.read().unwrap().is_orphaned());
    let twice = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _write = rwlock.write().unwrap();
        panic!("on purpose");
    }));
    assert!(twice.is_err());
    let mending = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(rwlock.write().unwrap().or_repair(|_| panic!("on purpose")));
    }));
    assert!(mending.is_err());
    assert!(rwlock.read().unwrap().is_orphaned(), "nothing was decided");
    // Who was told has dropped it unrepaired.
    for error in [
        rwlock.read().err(),
        rwlock.try_read().err(),
        rwlock.write_timeout(SHORT).err(),
        rwlock.try_write().err(),
    ] {
        assert_eq!(error.unwrap().kind(), Kind::Corrupt);
    }
}

#[test]
fn permits_cross_processes_and_a_waiter_sleeps_until_one_comes() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("semaphore"));
    let hall = hall(&name);
    let mut child = actor(
        "permits_cross_processes_and_a_waiter_sleeps_until_one_comes",
        &name,
    );
    for _ in 0..50 {
        child.tell("acquire");
        sleeps(&child);
        assert_eq!(hall.semaphore.waiters(), 1);
        hall.semaphore.release(1).unwrap();
        child.says("ok");
    }
    for _ in 0..50 {
        child.tell("release");
        hall.semaphore.acquire_timeout(LONG).unwrap().forget();
        child.says("ok");
    }
    assert_eq!((hall.semaphore.value(), hall.semaphore.waiters()), (0, 0));
    assert!(hall.semaphore.try_acquire().is_none());
    let start = Instant::now();
    let late = hall.semaphore.acquire_timeout(SHORT).err().unwrap();
    assert_eq!(late.kind(), Kind::TimedOut);
    assert_eq!(late.to_string(), "cannot acquire semaphore: timed out");
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn a_killed_waiter_takes_no_permit_with_it() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("semaphore"));
    let hall = hall(&name);
    let test = "a_killed_waiter_takes_no_permit_with_it";
    let (mut first, mut second) = (actor(test, &name), actor(test, &name));
    first.tell("acquire");
    sleeps(&first);
    second.tell("acquire");
    sleeps(&second);
    first.kill();
    hall.semaphore.release(1).unwrap();
    second.says("ok");
    assert_eq!(hall.semaphore.value(), 0);
}

#[test]
fn a_full_semaphore_says_so() {
    let binary = Semaphore::binary(true);
    let error = binary.release(1).err().unwrap();
    assert_eq!(error.kind(), Kind::Limit);
    assert_eq!(
        error.to_string(),
        "cannot release semaphore: it may have at most 1 permits"
    );
    let permit = binary.try_acquire().unwrap();
    assert!(binary.try_acquire().is_none());
    drop(permit);
    let full = Semaphore::new(u32::MAX);
    assert_eq!(full.value(), Semaphore::MOST);
    assert_eq!(full.release(u32::MAX).err().unwrap().kind(), Kind::Limit);
}

#[test]
fn the_permits_of_a_killed_process_come_back_and_name_it() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("robust"));
    let hall = hall(&name);
    let test = "the_permits_of_a_killed_process_come_back_and_name_it";
    let mut child = actor(test, &name);
    tell(&mut child, "permit");
    let ours = hall.robust.acquire().unwrap();
    assert_eq!(ours.from_dead(), None);
    let mut holders: Vec<u32> = hall.robust.holders().collect();
    holders.sort_unstable();
    let mut both = [std::process::id(), child.pid().cast_unsigned()];
    both.sort_unstable();
    assert_eq!(holders, both);
    assert!(hall.robust.try_acquire().is_none());
    assert_eq!(hall.robust.reclaim(), 0, "both live");
    let late = hall.robust.acquire_timeout(SHORT).err().unwrap();
    assert_eq!(late.kind(), Kind::TimedOut);
    let pid = child.pid().cast_unsigned();
    child.kill();
    let theirs = hall.robust.acquire_timeout(LONG).unwrap();
    assert_eq!(theirs.from_dead(), Some(pid));
    assert_ne!(theirs.number(), ours.number());
    drop(theirs);

    let mut child = actor(test, &name);
    tell(&mut child, "permit");
    child.kill();
    assert_eq!(hall.robust.value(), 0);
    assert_eq!(hall.robust.reclaim(), 1);
    assert_eq!(hall.robust.value(), 1);

    // A permit freed here wakes a waiter there.
    let other = hall.robust.acquire().unwrap();
    let mut child = actor(test, &name);
    child.tell("permit-waits");
    sleeps(&child);
    drop(other);
    child.says("ok");
    assert_eq!(hall.robust.value(), 1);
}

#[test]
fn a_condition_survives_killed_waiters_and_signallers() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("condvar"));
    let hall = hall(&name);
    let test = "a_condition_survives_killed_waiters_and_signallers";
    for _ in 0..5 {
        let (mut doomed, mut waiter) = (actor(test, &name), actor(test, &name));
        doomed.tell("wait");
        sleeps(&doomed);
        waiter.tell("wait");
        sleeps(&waiter);
        doomed.kill();
        // Where glibc loses the second signal and hangs in the third.
        for _ in 0..4 {
            hall.changed.signal();
        }
        *hall.mutex.lock().unwrap().or_repair(|_| ()) = 1;
        hall.changed.signal();
        waiter.says("ok");
    }
    // A signaller that changed the value and was killed before it signalled.
    let (mut waiter, mut signaller) = (actor(test, &name), actor(test, &name));
    waiter.tell("wait");
    sleeps(&waiter);
    tell(&mut signaller, "set");
    signaller.kill();
    waiter.says("ok");
    // A signaller killed with the lock.
    let mut signaller = actor(test, &name);
    waiter.tell("wait");
    sleeps(&waiter);
    tell(&mut signaller, "lock");
    signaller.kill();
    *hall.mutex.lock().unwrap().or_repair(|_| ()) = 1;
    waiter.says("ok");
}

#[test]
fn a_wait_that_is_in_vain_times_out_with_the_lock() {
    let (mutex, changed) = (Mutex::new(0), Condvar::new());
    let start = Instant::now();
    let guard = mutex.lock().unwrap().or_repair(|_| ());
    let (lock, timed_out) = changed
        .wait_while_timeout(guard, SHORT, |value| *value == 0)
        .unwrap();
    assert!(timed_out && start.elapsed() >= SHORT);
    let guard = lock.or_repair(|_| ());
    assert_eq!(mutex.lock().err().unwrap().kind(), Kind::Deadlock);
    let (lock, timed_out) = changed.wait_timeout(guard, SHORT).unwrap();
    assert!(timed_out && start.elapsed() >= 2 * SHORT);
    drop(lock);
    assert_eq!(changed.waiters(), 0);
}

#[test]
fn signals_cross_processes_both_ways() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("condvar"));
    let hall = hall(&name);
    let mut child = actor("signals_cross_processes_both_ways", &name);
    for _ in 0..50 {
        child.tell("wait");
        sleeps(&child);
        let mut guard = hall.mutex.lock().unwrap().or_repair(|_| ());
        *guard = 1;
        hall.changed.signal_unlock(guard);
        child.says("ok");
    }
    for _ in 0..50 {
        let guard = hall.mutex.lock().unwrap().or_repair(|_| ());
        child.tell("signal");
        let (lock, timed_out) = hall
            .changed
            .wait_while_timeout(guard, LONG, |set| *set == 0)
            .unwrap();
        assert!(!timed_out);
        *lock.or_repair(|_| ()) = 0;
        child.says("ok");
    }
}

#[test]
fn a_barrier_goes_on_without_the_dead_and_tells_the_living() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("barrier"));
    let hall = hall(&name);
    let test = "a_barrier_goes_on_without_the_dead_and_tells_the_living";
    let (mut living, mut doomed) = (actor(test, &name), actor(test, &name));
    tell(&mut living, "join");
    let seat = hall.barrier.join().unwrap();
    // Two of three seats are taken: the third is waited for.
    let late = seat.wait_timeout(SHORT).err().unwrap();
    assert_eq!(late.kind(), Kind::TimedOut);
    tell(&mut doomed, "join");
    assert_eq!(hall.barrier.join().err().unwrap().kind(), Kind::Limit);
    for _ in 0..20 {
        living.tell("arrive");
        doomed.tell("arrive");
        assert_eq!(seat.wait_timeout(LONG).unwrap().lost(), 0);
        living.says("lost 0");
        doomed.says("lost 0");
    }
    living.tell("arrive");
    sleeps(&living);
    doomed.kill();
    assert_eq!(seat.wait_timeout(LONG).unwrap().lost(), 1);
    living.says("lost 1");
    // It is reported once, and not waited for.
    living.tell("arrive");
    assert_eq!(seat.wait_timeout(LONG).unwrap().lost(), 0);
    living.says("lost 0");
    assert_eq!(hall.barrier.rounds().unwrap(), 22);
    // Another takes its place.
    let mut heir = actor(test, &name);
    tell(&mut heir, "join");
    living.tell("arrive");
    assert_eq!(
        seat.wait_timeout(SHORT).err().unwrap().kind(),
        Kind::TimedOut
    );
    heir.tell("arrive");
    let _passed = seat.wait_timeout(LONG).unwrap();
    heir.says("lost 0");
    living.says("lost 0");
    // One that leaves is not waited for either.
    drop(seat);
    heir.tell("arrive");
    living.tell("arrive");
    heir.says("lost 0");
    living.says("lost 0");
}

#[test]
fn a_writer_goes_on_when_a_reader_is_killed() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("rwlock"));
    let hall = hall(&name);
    let test = "a_writer_goes_on_when_a_reader_is_killed";
    let mut reader = actor(test, &name);
    tell(&mut reader, "read");
    let guard = hall.rwlock.read().unwrap().or_repair(|_| ());
    assert!(hall.rwlock.try_write().unwrap().is_none());
    assert_eq!(hall.rwlock.readers().count(), 2);
    assert_eq!(hall.rwlock.write().err().unwrap().kind(), Kind::Deadlock);
    drop(guard);
    let late = hall.rwlock.write_timeout(SHORT).err().unwrap();
    assert_eq!(late.kind(), Kind::TimedOut);
    assert!(
        hall.rwlock.try_read().unwrap().is_some(),
        "the door is open again"
    );
    reader.kill();
    let lock = hall.rwlock.write_timeout(LONG).unwrap();
    assert!(!lock.is_orphaned(), "a reader changes nothing");
    let guard = lock.or_repair(|_| ());
    assert_eq!(hall.rwlock.read().err().unwrap().kind(), Kind::Deadlock);
    assert_eq!(hall.rwlock.write().err().unwrap().kind(), Kind::Deadlock);
    let mut waiter = actor(test, &name);
    waiter.tell("read-waits");
    sleeps(&waiter);
    drop(guard);
    waiter.says("ok");
    let guard = hall.rwlock.read().unwrap().or_repair(|_| ());
    waiter.tell("write-waits");
    sleeps(&waiter);
    // A writer waits, so new readers do; but who reads already may read again.
    let again = hall.rwlock.read().unwrap().or_repair(|_| ());
    std::thread::scope(|scope| {
        let other = scope.spawn(|| hall.rwlock.try_read().unwrap().is_none());
        assert!(other.join().unwrap());
    });
    drop((guard, again));
    waiter.says("ok");
}

#[test]
fn a_reader_and_a_writer_learn_that_a_writer_was_killed() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("rwlock"));
    let hall = hall(&name);
    let test = "a_reader_and_a_writer_learn_that_a_writer_was_killed";
    let mut writer = actor(test, &name);
    tell(&mut writer, "write");
    writer.kill();
    let lock = hall.rwlock.read_timeout(LONG).unwrap();
    assert!(lock.is_orphaned());
    assert_eq!(*lock.or_repair(|both| both[1] = both[0]), [1, 1]);
    assert!(!hall.rwlock.read_timeout(LONG).unwrap().is_orphaned());
    // Killed while it waits for a reader: it has changed nothing.
    let reader = hall.rwlock.read().unwrap();
    let mut writer = actor(test, &name);
    writer.tell("write");
    sleeps(&writer);
    writer.kill();
    drop(reader);
    assert!(!hall.rwlock.read_timeout(LONG).unwrap().is_orphaned());
    assert!(!hall.rwlock.write_timeout(LONG).unwrap().is_orphaned());
}

#[test]
fn a_reader_that_reads_again_and_leaves_the_first_keeps_writers_out() {
    let lock = RwLock::<[u64; 2], 64>::new([0; 2]);
    let over = std::sync::atomic::AtomicBool::new(false);
    let same = |pair: &[u64; 2]| {
        let pair = std::ptr::from_ref(pair);
        // SAFETY: aligned and live; volatile, so that it is read again each time.
        let [a, b] = unsafe { pair.read_volatile() };
        assert_eq!(a, b, "a writer is inside, too");
        a
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let start = Instant::now();
            let mut writes = 0;
            while start.elapsed() < Duration::from_millis(500) {
                let mut pair = lock.write().unwrap().or_repair(|_| ());
                pair[0] += 1;
                std::hint::black_box(&mut pair);
                std::thread::yield_now();
                pair[1] += 1;
                writes += 1;
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            writes
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    let mut outer = lock.read().unwrap().or_repair(|_| ());
                    let first = same(&outer);
                    for _ in 0..20 {
                        // Hand over hand, from slot to slot.
                        let inner = lock.read().unwrap().or_repair(|_| ());
                        outer = inner;
                        assert_eq!(same(&outer), first, "a writer was inside");
                    }
                }
            });
        }
        assert!(writer.join().unwrap() > 0);
    });
}

#[test]
fn more_readers_than_slots_wait_for_each_other() {
    let lock = RwLock::<u32, 2>::new(7);
    std::thread::scope(|scope| {
        let (first, second) = (lock.read().unwrap(), lock.read().unwrap());
        let (tried, has_tried) = std::sync::mpsc::channel();
        let lock = &lock;
        let other = scope.spawn(move || {
            assert!(lock.try_read().unwrap().is_none());
            assert_eq!(
                lock.read_timeout(SHORT).err().unwrap().kind(),
                Kind::TimedOut
            );
            tried.send(()).unwrap();
            *lock.read().unwrap().or_repair(|_| ())
        });
        has_tried.recv().unwrap();
        std::thread::sleep(SHORT);
        drop(first);
        assert_eq!(other.join().unwrap(), 7);
        drop(second);
    });
    let writer = lock.write().unwrap().or_repair(|_| ());
    let reader = writer.downgrade();
    assert!(lock.try_write().unwrap().is_none());
    assert_eq!(*lock.read().unwrap().or_repair(|_| ()) + *reader, 14);
}

#[test]
fn a_change_in_a_monitor_wakes_who_waits_inside() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("monitor"));
    let hall = hall(&name);
    let test = "a_change_in_a_monitor_wakes_who_waits_inside";
    let (mut first, mut second) = (actor(test, &name), actor(test, &name));
    for _ in 0..30 {
        first.tell("consume");
        sleeps(&first);
        second.tell("consume");
        sleeps(&second);
        hall.monitor.enter().unwrap().or_repair(|_| ())[0] += 2;
        first.says("ok");
        second.says("ok");
    }
    assert_eq!(*hall.monitor.enter().unwrap().or_repair(|_| ()), [0, 60]);
    let inside = hall.monitor.enter().unwrap().or_repair(|_| ());
    let late = inside.when_timeout(SHORT, |_| false).err().unwrap();
    assert_eq!(late.to_string(), "cannot wait in monitor: timed out");
    assert!(hall.monitor.try_enter().unwrap().is_some(), "it was left");
    // Killed while it waits, and killed inside.
    first.tell("consume");
    sleeps(&first);
    first.kill();
    second.tell("consume");
    sleeps(&second);
    let mut third = actor(test, &name);
    tell(&mut third, "inside");
    third.kill();
    let entry = hall.monitor.enter_timeout(LONG);
    // Whoever came first was told: the waiter repairs by doing nothing and consumes.
    drop(entry.unwrap().or_repair(|_| ()));
    second.says("ok");
    assert_eq!(*hall.monitor.enter().unwrap().or_repair(|_| ()), [0, 61]);
}

#[test]
fn one_deadline_holds_for_every_gate_and_who_is_not_to_wait_does_not() {
    let (mutex, monitor, barrier) = (Mutex::new(0), Monitor::new(0), Barrier::<2>::new());
    let (condvar, semaphore) = (Condvar::new(), Semaphore::new(0));
    let seat = barrier.join().unwrap();
    let start = Instant::now();
    let until = || Wait::from(start + SHORT);
    type Waits<'a> = (&'a dyn Fn() -> Wait, Kind);
    let waits: [Waits<'_>; 2] = [(&until, Kind::TimedOut), (&|| Wait::Not, Kind::WouldBlock)];
    for (wait, kind) in waits {
        assert_eq!(semaphore.acquire_with(wait()).err().unwrap().kind(), kind);
        assert_eq!(seat.wait_with(wait()).err().unwrap().kind(), kind);
        let inside = monitor.enter_with(wait()).unwrap().or_repair(|_| ());
        let late = inside.when_with(wait(), |_| false).err().unwrap();
        assert_eq!(late.kind(), kind);
        let guard = mutex.lock_with(wait()).unwrap().or_repair(|_| ());
        let (lock, late) = condvar.wait_while_with(guard, wait(), |_| true).unwrap();
        assert!(late);
        let (_, late) = condvar.wait_with(lock.or_repair(|_| ()), wait()).unwrap();
        assert!(late);
    }
    assert!(start.elapsed() >= SHORT);
    assert!(start.elapsed() < LONG, "it is the deadline of all together");
}

#[test]
fn a_ticket_lock_excludes_two_processes_and_loses_no_increment() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("ticket"));
    let hall = hall(&name);
    let test = "a_ticket_lock_excludes_two_processes_and_loses_no_increment";
    let mut child = actor(test, &name);
    child.tell("ticket-count");
    for _ in 0..20_000 {
        let mut both = hall.ticket.lock().unwrap().or_repair(|_| ());
        assert_eq!(both[0], both[1]);
        both[0] += 1;
        both[1] += 1;
    }
    child.says("ok");
    assert_eq!(*hall.ticket.lock().unwrap().or_repair(|_| ()), [40_000; 2]);
}

#[test]
fn a_ticket_lock_skips_the_dead_and_tells_of_a_dead_holder() {
    if acted() {
        return;
    }
    let name = format!("/{}", process::unique("ticket"));
    let hall = hall(&name);
    let test = "a_ticket_lock_skips_the_dead_and_tells_of_a_dead_holder";
    // Two killed as they wait: that is no reason to repair.
    let guard = hall.ticket.lock().unwrap().or_repair(|_| ());
    assert_eq!(hall.ticket.lock().err().unwrap().kind(), Kind::Deadlock);
    assert!(hall.ticket.try_lock().unwrap().is_none());
    let (mut first, mut second) = (actor(test, &name), actor(test, &name));
    first.tell("ticket");
    second.tell("ticket");
    let late = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| hall.ticket.lock_timeout(3 * SHORT).err().unwrap().kind());
        waiter.join().unwrap()
    });
    assert_eq!(late, Kind::TimedOut);
    first.kill();
    second.kill();
    drop(guard);
    let lock = hall.ticket.lock_timeout(LONG).unwrap();
    assert!(!lock.is_orphaned());
    drop(lock);
    let mut holder = actor(test, &name);
    tell(&mut holder, "ticket");
    let late = hall.ticket.lock_timeout(SHORT).err().unwrap();
    assert_eq!(late.kind(), Kind::TimedOut);
    holder.kill();
    let lock = hall.ticket.lock_timeout(LONG).unwrap();
    assert!(lock.is_orphaned());
    assert_eq!(*lock.or_repair(|both| both[1] = both[0]), [1, 1]);
    // Round and round the ring of four.
    for _ in 0..50 {
        drop(
            hall.ticket
                .try_lock()
                .unwrap()
                .unwrap()
                .or_repair(|_| panic!("nobody died")),
        );
    }
    drop(hall.ticket.lock().unwrap());
    let mut holder = actor(test, &name);
    tell(&mut holder, "ticket");
    holder.kill();
    drop(hall.ticket.lock_timeout(LONG).unwrap());
    assert_eq!(hall.ticket.lock().err().unwrap().kind(), Kind::Corrupt);
}
