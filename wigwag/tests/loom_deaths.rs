//! Deaths under loom: a holder is killed, and of all the survivors one at a time takes over, in every interleaving.
//!
//! `.ci/models` runs it once as it is, and once for each of its weakenings, which it must find. The model has no time: who
//! naps sleeps until it is woken, and looks around once after a death.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use wigwag::gate::{
    self, Barrier, Monitor, Mutex, OnceCell, RobustSemaphore, RwLock, SpinLock, TicketLock,
};

/// One takes what `holds` takes and is killed; two others do `goes_on`, and what they share is as `ends` says.
fn survived<T: Send + Sync + 'static>(
    preemptions: usize,
    new: impl Fn() -> T + Send + Sync + 'static,
    holds: impl Fn(&T) + Copy + Send + Sync + 'static,
    goes_on: impl Fn(&T) + Copy + Send + Sync + 'static,
    ends: impl Fn(&T) + Send + Sync + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(move || {
        let shared = Arc::new(new());
        let (first, second) = (shared.clone(), shared.clone());
        let victim = thread::spawn(move || {
            holds(&first);
            gate::die();
        });
        let other = thread::spawn(move || goes_on(&second));
        goes_on(&shared);
        other.join().expect("a survivor");
        victim.join().expect("the victim");
        ends(&shared);
    });
}

/// A number that loom watches: two inside at once, or one that does not see what the other did, is an error.
struct Number(UnsafeCell<u32>);

// SAFETY: the models use it under their gates only, and loom checks that they do.
unsafe impl Sync for Number {}

impl Number {
    fn new() -> Self {
        Number(UnsafeCell::new(0))
    }

    fn add(&self) {
        self.0.with_mut(|number| {
            // SAFETY: the caller is inside the gate.
            unsafe { *number += 1 }
        });
    }

    fn is(&self, expected: u32) {
        // SAFETY: the caller is inside the gate.
        assert_eq!(self.0.with(|number| unsafe { *number }), expected);
    }
}

#[test]
fn a_watched_mutex_goes_to_one_survivor_at_a_time() {
    survived(
        2,
        || Mutex::watched(Number::new()),
        |mutex| {
            let guard = mutex.lock().expect("lock").or_repair(|_| ());
            guard.add();
            std::mem::forget(guard);
        },
        |mutex| mutex.lock().expect("lock").or_repair(|_| ()).add(),
        |mutex| mutex.lock().expect("lock").or_repair(|_| ()).is(3),
    );
}

#[test]
fn a_permit_of_the_dead_goes_to_one_survivor_at_a_time() {
    survived(
        2,
        || (RobustSemaphore::<1>::new(1), Number::new()),
        |(semaphore, number)| {
            let permit = semaphore.acquire().expect("acquire");
            number.add();
            permit.forget();
        },
        |(semaphore, number)| {
            let permit = semaphore.acquire().expect("acquire");
            number.add();
            drop(permit);
        },
        |(semaphore, number)| {
            assert!(semaphore.acquire().is_ok());
            number.is(3);
        },
    );
}

#[test]
fn a_spin_lock_goes_to_one_survivor_at_a_time() {
    survived(
        1,
        || SpinLock::new(Number::new()),
        |lock| {
            let guard = lock.lock().expect("lock").or_repair(|_| ());
            guard.add();
            std::mem::forget(guard);
        },
        |lock| lock.lock().expect("lock").or_repair(|_| ()).add(),
        |lock| lock.lock().expect("lock").or_repair(|_| ()).is(3),
    );
}

#[test]
fn a_spin_lock_is_taken_over_from_the_dead_by_one_of_two_who_see_it() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let shared = Arc::new((SpinLock::new(Number::new()), AtomicU32::new(0)));
        let (first, second) = (shared.clone(), shared.clone());
        let victim = thread::spawn(move || {
            let guard = first.0.lock().expect("lock").or_repair(|_| ());
            guard.add();
            std::mem::forget(guard);
            gate::die();
        });
        victim.join().expect("the victim");
        let goes_on = |(lock, told): &(SpinLock<Number>, AtomicU32)| {
            let lock = lock.lock().expect("lock");
            told.fetch_add(u32::from(lock.is_orphaned()), Ordering::Relaxed);
            lock.or_repair(|_| ()).add();
        };
        let other = thread::spawn(move || goes_on(&second));
        goes_on(&shared);
        other.join().expect("a survivor");
        assert_eq!(shared.1.load(Ordering::Relaxed), 1, "one is told");
        shared.0.lock().expect("lock").or_repair(|_| ()).is(3);
    });
}

#[test]
fn a_ticket_lock_goes_to_the_next_in_line_who_is_told() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let lock = Arc::new(TicketLock::<Number, 2>::new(Number::new()));
        let there = lock.clone();
        let victim = thread::spawn(move || {
            let guard = there.lock().expect("lock").or_repair(|_| ());
            guard.add();
            std::mem::forget(guard);
            gate::die();
        });
        let mut told = false;
        lock.lock().expect("lock").or_repair(|_| told = true).add();
        victim.join().expect("the victim");
        let last = lock.lock().expect("lock");
        assert_ne!(told, last.is_orphaned(), "one of the two is told");
        last.or_repair(|_| ()).is(2);
    });
}

#[test]
fn a_writer_goes_on_without_a_dead_reader_and_beside_no_living_one() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let shared = Arc::new((RwLock::<(), 1>::new(()), Number::new()));
        let (first, second) = (shared.clone(), shared.clone());
        let victim = thread::spawn(move || {
            std::mem::forget(first.0.read().expect("lock").or_repair(|_| ()));
            gate::die();
        });
        let writer = thread::spawn(move || {
            let write = second.0.write().expect("lock").or_repair(|_| ());
            second.1.add();
            drop(write);
        });
        let read = shared.0.read().expect("lock").or_repair(|_| ());
        // SAFETY: the lock is held; loom checks that nobody writes.
        shared.1.0.with(|number| assert!(unsafe { *number } < 2));
        drop(read);
        writer.join().expect("the writer");
        victim.join().expect("the victim");
    });
}

#[test]
fn a_slot_that_was_a_dead_readers_is_taken_from_no_living_one() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let lock = Arc::new(RwLock::<(), 2>::new(()));
        let (first, second) = (lock.clone(), lock.clone());
        let victim = thread::spawn(move || {
            std::mem::forget(first.read().expect("lock").or_repair(|_| ()));
            gate::die();
        });
        let outer = lock.read().expect("lock").or_repair(|_| ());
        victim.join().expect("the victim");
        let writer = thread::spawn(move || {
            let write = second.try_write().expect("lock");
            assert!(write.is_none(), "somebody reads all the time");
        });
        // Who reads already needs no turn to read again: it buries the dead reader beside the writer that does.
        let inner = lock.read().expect("lock").or_repair(|_| ());
        drop(outer);
        writer.join().expect("the writer");
        drop(inner);
    });
}

#[test]
fn a_value_whose_maker_died_is_made_once() {
    survived(
        2,
        || (OnceCell::<u32>::new(), Number::new()),
        |(cell, _)| cell.begin_and_never_end(),
        |(cell, number)| {
            cell.get_or_init(|| {
                number.add();
                7
            })
            .expect("a value");
        },
        |(cell, number)| {
            assert_eq!(cell.get(), Some(&7));
            number.is(1);
        },
    );
}

#[test]
fn a_barrier_goes_on_without_the_dead() {
    survived(
        1,
        Barrier::<3>::new,
        |barrier| std::mem::forget(barrier.join().expect("a seat")),
        |barrier| {
            let seat = barrier.join().expect("a seat");
            // The victim may have died before all sat down, and its seat been taken again.
            let passed = seat.wait().expect("wait");
            assert!(passed.lost() <= 1);
            std::mem::forget(seat);
        },
        |barrier| assert_eq!(barrier.rounds().expect("lock"), 1),
    );
}

#[test]
fn who_leaves_a_barrier_is_not_waited_for() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let barrier = Arc::new(Barrier::<2>::new());
        let (there, seat) = (barrier.clone(), barrier.join().expect("a seat"));
        let other = thread::spawn(move || {
            let seat = there.join().expect("a seat");
            let _ = seat.wait().expect("wait");
            std::mem::forget(seat);
        });
        drop(seat);
        // Its seat may be the one that the other got; then a second one is missing still.
        let again = barrier.join().expect("a seat");
        drop(again);
        other.join().expect("the other");
    });
}

#[test]
fn a_change_before_a_wait_in_a_monitor_is_told_to_the_others() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let monitor = Arc::new(Monitor::new(0));
        let there = monitor.clone();
        // Each waits for what the other did before it waited.
        let other = thread::spawn(move || {
            let inside = there.enter().expect("enter").or_repair(|_| ());
            let mut inside = inside
                .when(|turn| *turn == 1)
                .expect("wait")
                .or_repair(|_| ());
            *inside = 2;
        });
        let mut inside = monitor.enter().expect("enter").or_repair(|_| ());
        *inside = 1;
        drop(
            inside
                .when(|turn| *turn == 2)
                .expect("wait")
                .or_repair(|_| ()),
        );
        other.join().expect("the other");
    });
}
