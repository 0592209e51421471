//! The gates in memory under loom: every interleaving of a few threads that the memory model allows.
//!
//! `.ci/models` runs it once as it is, and once for each of its weakenings, which it must find. The model has no
//! time-outs, so no waiter looks around: a wake-up that is lost is a deadlock.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use wigwag::gate::{
    Barrier, Condvar, Monitor, Mutex, RobustSemaphore, RwLock, Semaphore, SpinLock, TicketLock,
};

/// Explores `run` with at most `preemptions` switches that no thread asked for.
fn explore(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

/// What two threads do at once, each once, with what they share.
fn both<T: Send + Sync + 'static>(
    shared: T,
    one: impl FnOnce(&T) + Send + 'static,
    other: impl FnOnce(&T),
) -> Arc<T> {
    let shared = Arc::new(shared);
    let there = shared.clone();
    let thread = thread::spawn(move || one(&there));
    other(&shared);
    thread.join().expect("a thread");
    shared
}

/// A number that loom watches: two writers at once, or one that does not see the other, is an error.
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

    fn get(&self) -> u32 {
        // SAFETY: the caller is inside the gate.
        self.0.with(|number| unsafe { *number })
    }
}

#[test]
fn a_semaphore_excludes_and_wakes() {
    explore(5, || {
        let inside = |(gate, number): &(Semaphore, Number)| {
            let permit = gate.acquire().expect("acquire");
            number.add();
            drop(permit);
        };
        let shared = both((Semaphore::new(1), Number::new()), inside, inside);
        assert_eq!((shared.0.value(), shared.0.waiters()), (1, 0));
        let _permit = shared.0.acquire().expect("acquire");
        assert_eq!(shared.1.get(), 2);
    });
}

#[test]
fn one_release_of_two_permits_wakes_two() {
    explore(3, || {
        let gate = Arc::new(Semaphore::new(0));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let gate = gate.clone();
                thread::spawn(move || gate.acquire().expect("acquire").forget())
            })
            .collect();
        gate.release(2).expect("room");
        for waiter in waiters {
            waiter.join().expect("a thread");
        }
        assert_eq!((gate.value(), gate.waiters()), (0, 0));
    });
}

#[test]
fn a_robust_semaphore_excludes_and_wakes() {
    explore(4, || {
        let inside = |(gate, number): &(RobustSemaphore<1>, Number)| {
            let permit = gate.acquire().expect("acquire");
            number.add();
            drop(permit);
        };
        let shared = both((RobustSemaphore::new(1), Number::new()), inside, inside);
        assert_eq!((shared.0.value(), shared.0.waiters()), (1, 0));
        let _permit = shared.0.acquire().expect("acquire");
        assert_eq!(shared.1.get(), 2);
    });
}

#[test]
fn a_spin_lock_excludes() {
    explore(4, || {
        let inside = |lock: &SpinLock<Number>| {
            lock.lock()
                .expect("lock")
                .or_repair(|_| unreachable!())
                .add()
        };
        let lock = both(SpinLock::new(Number::new()), inside, inside);
        assert_eq!(
            lock.lock()
                .expect("lock")
                .or_repair(|_| unreachable!())
                .get(),
            2
        );
    });
}

#[test]
fn a_ticket_lock_excludes() {
    explore(2, || {
        let inside = |lock: &TicketLock<Number, 2>| {
            lock.lock()
                .expect("lock")
                .or_repair(|_| unreachable!())
                .add()
        };
        let lock = both(TicketLock::new(Number::new()), inside, inside);
        assert_eq!(
            lock.lock()
                .expect("lock")
                .or_repair(|_| unreachable!())
                .get(),
            2
        );
    });
}

#[test]
fn a_signal_wakes_who_waits_for_it() {
    explore(4, || {
        let shared = (Mutex::new(0), Condvar::new());
        let signal = |(mutex, changed): &(Mutex<u32>, Condvar)| {
            let mut guard = mutex.lock().expect("lock").or_repair(|_| unreachable!());
            *guard = 1;
            changed.signal_unlock(guard);
        };
        let shared = both(shared, signal, |(mutex, changed)| {
            let guard = mutex.lock().expect("lock").or_repair(|_| unreachable!());
            let lock = changed.wait_while(guard, |flag| *flag == 0).expect("wait");
            assert_eq!(*lock.or_repair(|_| unreachable!()), 1);
        });
        assert_eq!(shared.1.waiters(), 0);
    });
}

#[test]
fn a_change_inside_a_monitor_wakes_who_waits_inside() {
    explore(3, || {
        let produce = |monitor: &Monitor<u32>| {
            *monitor
                .enter()
                .expect("enter")
                .or_repair(|_| unreachable!()) += 1
        };
        let monitor = both(Monitor::new(0), produce, |monitor| {
            let inside = monitor
                .enter()
                .expect("enter")
                .or_repair(|_| unreachable!());
            let entry = inside.when(|full| *full > 0).expect("wait");
            *entry.or_repair(|_| unreachable!()) -= 1;
        });
        assert_eq!(
            *monitor
                .enter()
                .expect("enter")
                .or_repair(|_| unreachable!()),
            0
        );
    });
}

#[test]
fn a_writer_is_alone_and_readers_see_all_it_wrote() {
    explore(4, || {
        let shared = both(
            (RwLock::<(), 2>::new(()), Number::new()),
            |(lock, number)| {
                let write = lock.write().expect("lock").or_repair(|_| unreachable!());
                number.add();
                drop(write);
            },
            |(lock, number)| {
                let read = lock.read().expect("lock").or_repair(|_| unreachable!());
                assert!(number.get() <= 1);
                drop(read);
            },
        );
        assert_eq!(shared.0.readers().count(), 0);
    });
}

#[test]
fn two_writers_take_turns() {
    explore(3, || {
        let write = |(lock, number): &(RwLock<(), 1>, Number)| {
            let write = lock.write().expect("lock").or_repair(|_| unreachable!());
            number.add();
            drop(write);
        };
        let shared = both((RwLock::new(()), Number::new()), write, write);
        let _read = shared.0.read().expect("lock").or_repair(|_| unreachable!());
        assert_eq!(shared.1.get(), 2);
    });
}

#[test]
fn a_barrier_lets_two_go_on_together() {
    explore(3, || {
        let meet = |barrier: &Barrier<2>| {
            let seat = barrier.join().expect("a seat");
            assert_eq!(seat.wait().expect("wait").lost(), 0);
            // A seat that is given up before the other sat down would be taken twice.
            std::mem::forget(seat);
        };
        let barrier = both(Barrier::new(), meet, meet);
        assert_eq!(barrier.rounds().expect("lock"), 1);
    });
}
