//! Hall: one of every gate, what the victims and helpers of the scenes do there, and what survivors find.

use std::any::Any;
use std::time::Duration;

use wigwag::gate::{
    Barrier, Condvar, Monitor, Mutex, RobustSemaphore, RwLock, Semaphore, SpinLock, TicketLock,
};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;

use super::scene::{Scene, Stage, Verdict};
use super::step::{begin, end};
use crate::process::{self, Child};

wigwag::plain! {
    /// Two numbers that are equal whenever nobody is inside.
    pub struct Pair { pub a: u64, pub b: u64 }
}
wigwag::shared! {
    pub struct Hall {
        pub semaphore: Semaphore,
        pub robust: RobustSemaphore<4>,
        pub spin: SpinLock<Pair>,
        pub ticket: TicketLock<Pair, 4>,
        pub flag: Mutex<u64>,
        pub changed: Condvar,
        pub rwlock: RwLock<Pair, 4>,
        pub monitor: Monitor<Pair>,
        pub barrier: Barrier<3>,
    }
}

/// A scene whose victim and helpers are told by the names of their parts what to do.
pub(super) const fn scene(
    gate: &'static str,
    name: &'static str,
    sample: usize,
    course: fn(&Stage<'_>, &dyn Any) -> Verdict,
) -> Scene {
    Scene {
        gate,
        name,
        sample,
        make,
        act,
        course,
    }
}

/// Longer than the longest nap, and than anything on a loaded machine.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// Of the robust semaphore.
const PERMITS: u32 = 2;

pub(super) fn make(name: &str) -> Box<dyn Any> {
    let zero = Pair { a: 0, b: 0 };
    let hall = Hall {
        semaphore: Semaphore::new(0),
        robust: RobustSemaphore::new(PERMITS),
        spin: SpinLock::new(zero),
        ticket: TicketLock::new(zero),
        flag: Mutex::new(0),
        changed: Condvar::new(),
        rwlock: RwLock::new(zero),
        monitor: Monitor::new(zero),
        barrier: Barrier::new(),
    };
    let options = Options::new().temporary(true);
    Box::new(options.create(format!("/{name}"), hall).expect("create"))
}

pub(super) fn of(object: &dyn Any) -> &Hall {
    object.downcast_ref::<Segment<Hall>>().expect("the hall")
}

#[inline(never)]
fn change(pair: &mut Pair) {
    // SAFETY: two ordinary stores, kept apart so that a kill can come between them.
    unsafe {
        std::ptr::write_volatile(&raw mut pair.a, pair.a + 1);
        std::ptr::write_volatile(&raw mut pair.b, pair.b + 1);
    }
}

pub(super) fn mend(pair: &mut Pair) {
    pair.b = pair.a;
}

/// What is told of a pair that nobody is at.
fn whole(pair: &Pair) -> Verdict {
    if pair.a == pair.b {
        Verdict::Good
    } else {
        Verdict::Torn
    }
}

pub(super) fn act(part: &str, object: &str) {
    let hall = Segment::<Hall>::open(format!("/{object}")).expect("open");
    let hall = &*hall;
    // What a thread does once only is not what is looked at.
    drop(SpinLock::new(()).lock());
    drop(RobustSemaphore::<1>::new(1).acquire());
    drop(Mutex::new(()).lock());
    let holds = || {
        process::say("holds");
        process::hear();
        begin();
    };
    match part {
        "semaphore-both" => {
            begin();
            drop(hall.semaphore.acquire());
        }
        "semaphore-releases" => {
            begin();
            drop(hall.semaphore.release(1));
        }
        "robust-both" => {
            begin();
            drop(hall.robust.acquire());
        }
        "robust-holder" => {
            let permit = hall.robust.acquire();
            holds();
            drop(permit);
        }
        "spin" => {
            begin();
            change(&mut hall.spin.lock().expect("lock").or_repair(mend));
        }
        "spin-holder" => {
            let mut pair = hall.spin.lock().expect("lock").or_repair(mend);
            holds();
            change(&mut pair);
            drop(pair);
        }
        "ticket" => {
            begin();
            change(&mut hall.ticket.lock().expect("lock").or_repair(mend));
        }
        "ticket-briefly" => {
            begin();
            drop(hall.ticket.lock_timeout(Duration::from_nanos(1)));
        }
        "ticket-holder" => {
            let mut pair = hall.ticket.lock().expect("lock").or_repair(mend);
            holds();
            change(&mut pair);
            drop(pair);
        }
        "condvar-signals" => {
            begin();
            let mut flag = hall.flag.lock().expect("lock").or_repair(|_| ());
            *flag = 1;
            hall.changed.signal_unlock(flag);
        }
        "condvar-waits-stepped" => {
            begin();
            condvar_waits(hall);
        }
        "reader" => {
            begin();
            drop(hall.rwlock.read());
        }
        "reader-holds" => {
            let read = hall.rwlock.read();
            holds();
            drop(read);
        }
        "writer" => {
            begin();
            change(&mut hall.rwlock.write().expect("lock").or_repair(mend));
        }
        "writer-holds" => {
            let mut pair = hall.rwlock.write().expect("lock").or_repair(mend);
            holds();
            change(&mut pair);
            drop(pair);
        }
        "inside" => {
            begin();
            change(&mut hall.monitor.enter().expect("enter").or_repair(mend));
        }
        "barrier-arrives" => {
            let seat = hall.barrier.join().expect("a seat");
            begin();
            let _ = seat.wait();
            // It keeps the seat: giving it up is another scene.
            end();
        }
        "barrier-joins" => {
            begin();
            drop(hall.barrier.join());
        }
        "spin-briefly" => {
            begin();
            drop(hall.spin.lock_timeout(Duration::from_nanos(1)));
        }
        "monitor-waits-stepped" => {
            begin();
            monitor_waits(hall);
        }
        third if third.ends_with("-third") => return barges_in(hall, third),
        waits => return process::say(outcome(hall, waits)),
    }
    end();
}

/// A third, who takes the gate as soon as it is told to, and keeps it; killed there.
fn barges_in(hall: &Hall, third: &str) {
    let at_least = |taken: bool| {
        process::say(if taken { "holds" } else { "missed" });
        process::hear();
    };
    process::say("ready");
    process::hear();
    match third {
        "semaphore-third" => {
            let permit = hall.semaphore.try_acquire();
            at_least(permit.is_some());
        }
        "robust-third" => {
            let permit = hall.robust.try_acquire();
            at_least(permit.is_some());
        }
        "spin-third" => {
            let lock = hall.spin.lock_timeout(LIMIT);
            at_least(lock.is_ok());
        }
        "flag-third" => {
            let mut flag = hall.flag.lock().expect("lock").or_repair(|_| ());
            if !flag.is_multiple_of(TAKEN) {
                *flag += TAKEN - 1;
            }
            at_least(true);
        }
        "writer-third" => {
            let mut pair = hall.rwlock.write().expect("lock").or_repair(mend);
            pair.a += 1;
            at_least(true);
        }
        "inside-third" => {
            let mut inside = hall.monitor.enter().expect("enter").or_repair(mend);
            inside.a += 1;
            at_least(true);
        }
        "barrier-third" => {
            let seat = hall.barrier.join().expect("a seat");
            process::say("joined");
            process::hear();
            let passed = seat.wait_timeout(LIMIT);
            at_least(passed.is_ok());
        }
        part => panic!("no part {part}"),
    }
}

/// The flag counts below this what may be taken, above it what was.
pub(super) const TAKEN: u64 = 1 << 32;

fn condvar_waits(hall: &Hall) -> bool {
    let guard = hall.flag.lock().expect("lock").or_repair(|_| ());
    let mut guard = guard;
    loop {
        let waited = hall
            .changed
            .wait_while_timeout(guard, LIMIT, |flag| flag.is_multiple_of(TAKEN));
        let (lock, late) = waited.expect("wait");
        guard = lock.or_repair(|_| ());
        if !guard.is_multiple_of(TAKEN) {
            *guard += TAKEN - 1;
            return true;
        }
        if late {
            return false;
        }
    }
}

/// What one who waits finds.
fn outcome(hall: &Hall, waits: &str) -> &'static str {
    if let Some(rounds) = waits.strip_prefix("barrier-waits") {
        let seat = hall.barrier.join().expect("a seat");
        process::say("joined");
        process::hear();
        if rounds == "-twice" && seat.wait_timeout(LIMIT).is_err() {
            return "stuck";
        }
        let passed = seat.wait_timeout(LIMIT);
        // The seat is not given up before the test has seen what the others found.
        process::say(if passed.is_ok() { "good" } else { "stuck" });
        process::hear();
        return "gone";
    }
    process::say("waits");
    let verdict = match waits {
        "semaphore-waits" => match hall.semaphore.acquire_timeout(LIMIT) {
            Ok(permit) => {
                permit.forget();
                Verdict::Good
            }
            Err(_) => Verdict::Stuck,
        },
        "robust-waits" => match hall.robust.acquire_timeout(LIMIT) {
            Ok(_) => Verdict::Good,
            Err(_) => Verdict::Stuck,
        },
        "spin-waits" => spin_verdict(hall),
        "ticket-waits" => ticket_verdict(hall),
        "condvar-waits" if condvar_waits(hall) => Verdict::Good,
        "condvar-waits" => Verdict::Stuck,
        "reader-waits" => read_verdict(hall),
        "writer-waits" => write_verdict(hall),
        "monitor-waits" => monitor_waits(hall),
        part => panic!("no part {part}"),
    };
    match verdict {
        Verdict::Good => "good",
        Verdict::Torn => "torn",
        _ => "stuck",
    }
}

/// One who waits inside the monitor for a change.
fn monitor_waits(hall: &Hall) -> Verdict {
    let mut entry = hall.monitor.enter().expect("enter");
    loop {
        let inside = entry.or_repair(mend);
        if inside.a > 0 {
            return whole(&inside);
        }
        match inside.when_timeout(LIMIT, |pair| pair.a > 0) {
            Ok(again) => entry = again,
            Err(_) => return Verdict::Stuck,
        }
    }
}

/// A helper that sleeps at the gate.
pub(super) fn waiter(stage: &Stage<'_>, part: &str) -> Child {
    let mut waiter = stage.actor(part);
    waiter.says("waits");
    process::eventually("the waiter sleeps", || waiter_sleeps(&waiter));
    waiter
}

/// Whether all its threads sleep in futexes: that of the harness does so all the time.
fn waiter_sleeps(waiter: &Child) -> bool {
    std::fs::read_dir(format!("/proc/{}/task", waiter.pid())).is_ok_and(|mut tasks| {
        tasks.all(|task| {
            let path = task.map(|task| task.path().join("syscall"));
            let text = path.and_then(std::fs::read_to_string);
            text.is_ok_and(|text| process::is_in(&text, libc::SYS_futex))
        })
    })
}

/// What the waiter found, and the last survivor after it.
pub(super) fn survivor(
    waiter: &mut Child,
    done: bool,
    aftermath: impl FnOnce() -> Verdict,
) -> Verdict {
    let verdict = match &waiter.line()[..] {
        "good" => aftermath(),
        "torn" => Verdict::Torn,
        _ => Verdict::Stuck,
    };
    if done && verdict == Verdict::Good {
        Verdict::Complete
    } else {
        verdict
    }
}

/// Nobody waits, so no count may be left after the thousand calls that find that out.
fn forgets_the_dead(count: impl Fn() -> u32, turn: impl Fn()) -> Verdict {
    for _ in 0..1100 {
        turn();
    }
    if count() == 0 {
        Verdict::Good
    } else {
        Verdict::Leaked
    }
}

pub(super) fn semaphore_aftermath(hall: &Hall) -> Verdict {
    let semaphore = &hall.semaphore;
    // The victim may have taken one away, and that is all.
    if semaphore.value() > 1 || semaphore.release(1).is_err() {
        return Verdict::Leaked;
    }
    match semaphore.acquire_timeout(LIMIT) {
        Ok(permit) => permit.forget(),
        Err(_) => return Verdict::Stuck,
    }
    forgets_the_dead(
        || semaphore.waiters(),
        || {
            let _ = semaphore.release(1);
            semaphore
                .try_acquire()
                .into_iter()
                .for_each(|permit| permit.forget());
        },
    )
}

pub(super) fn robust_aftermath(hall: &Hall) -> Verdict {
    let robust = &hall.robust;
    let all: Vec<_> = (0..PERMITS)
        .map(|_| robust.acquire_timeout(LIMIT))
        .collect();
    if !all.iter().all(Result::is_ok) {
        return Verdict::Stuck;
    }
    if robust.try_acquire().is_some() {
        return Verdict::Leaked;
    }
    drop(all);
    if robust.value() != PERMITS {
        return Verdict::Leaked;
    }
    forgets_the_dead(|| robust.waiters(), || drop(robust.try_acquire()))
}

pub(super) fn spin_verdict(hall: &Hall) -> Verdict {
    match hall.spin.lock_timeout(LIMIT) {
        Err(_) => Verdict::Stuck,
        Ok(lock) => whole(&lock.or_repair(mend)),
    }
}

fn ticket_verdict(hall: &Hall) -> Verdict {
    match hall.ticket.lock_timeout(LIMIT) {
        Err(_) => Verdict::Stuck,
        Ok(lock) => whole(&lock.or_repair(mend)),
    }
}

/// All places of the ring are free again.
pub(super) fn ticket_aftermath(hall: &Hall) -> Verdict {
    let found = (0..6)
        .map(|_| ticket_verdict(hall))
        .find(|verdict| *verdict != Verdict::Good);
    match found {
        Some(verdict) => verdict,
        None if matches!(hall.ticket.try_lock(), Ok(Some(_))) => Verdict::Good,
        None => Verdict::Leaked,
    }
}

pub(super) fn condvar_aftermath(hall: &Hall) -> Verdict {
    if hall.flag.lock_timeout(LIMIT).is_err() {
        return Verdict::Stuck;
    }
    forgets_the_dead(|| hall.changed.waiters(), || hall.changed.signal())
}

fn read_verdict(hall: &Hall) -> Verdict {
    match hall.rwlock.read_timeout(LIMIT) {
        Err(_) => Verdict::Stuck,
        Ok(lock) => whole(&lock.or_repair(mend)),
    }
}

fn write_verdict(hall: &Hall) -> Verdict {
    match hall.rwlock.write_timeout(LIMIT) {
        Err(_) => Verdict::Stuck,
        Ok(lock) => whole(&lock.or_repair(mend)),
    }
}

pub(super) fn rwlock_aftermath(hall: &Hall, by_reader: bool) -> Verdict {
    let order = if by_reader {
        [read_verdict, write_verdict]
    } else {
        [write_verdict, read_verdict]
    };
    let found = order.map(|verdict| verdict(hall));
    if found != [Verdict::Good; 2] {
        return found
            .into_iter()
            .find(|verdict| *verdict != Verdict::Good)
            .unwrap_or(Verdict::Good);
    }
    if hall.rwlock.readers().count() == 0 {
        Verdict::Good
    } else {
        Verdict::Leaked
    }
}

pub(super) fn monitor_aftermath(hall: &Hall) -> Verdict {
    match hall.monitor.enter_timeout(LIMIT) {
        Err(_) => return Verdict::Stuck,
        Ok(entry) => {
            let inside = entry.or_repair(mend);
            if inside.a != inside.b {
                return Verdict::Torn;
            }
        }
    }
    forgets_the_dead(
        || hall.monitor.waiters(),
        || {
            if let Ok(entry) = hall.monitor.enter() {
                entry.or_repair(|_| ()).a += 0;
            }
        },
    )
}
