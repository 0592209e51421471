//! The mutex under loom: every interleaving of a few threads that the memory model allows.
//!
//! `.ci/models` runs it once as it is, and once for each of its weakenings, which it must find: `mutex-acquire`,
//! `mutex-release`, `mutex-wake`, `mutex-waiters`.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use wigwag::gate::{Lock, Mutex};

fn model(threads: usize, rounds: usize, bound: Option<usize>) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound;
    builder.check(move || {
        // loom's cell notices two threads inside at once, and one that does not see what the other did.
        let mutex = Arc::new(Mutex::new(UnsafeCell::new(0)));
        let work = move |mutex: &Mutex<UnsafeCell<usize>>| {
            for _ in 0..rounds {
                let count = mutex.lock().expect("lock").or_repair(|_| unreachable!());
                count.with_mut(|count| {
                    // SAFETY: the lock is held.
                    unsafe { *count += 1 }
                });
            }
        };
        let others: Vec<_> = (1..threads)
            .map(|_| {
                let mutex = mutex.clone();
                thread::spawn(move || work(&mutex))
            })
            .collect();
        work(&mutex);
        for other in others {
            other.join().expect("a thread");
        }
        let count = mutex.lock().expect("lock").or_repair(|_| unreachable!());
        // SAFETY: the lock is held.
        assert_eq!(count.with(|count| unsafe { *count }), threads * rounds);
        assert_eq!(mutex.waiters(), 0);
    });
}

#[test]
fn two_threads_exclude_each_other_and_both_get_in() {
    model(2, 2, Some(3));
}

#[test]
fn three_threads_exclude_each_other_and_all_get_in() {
    model(3, 1, Some(2));
}

#[test]
fn a_waiter_hears_that_the_holder_gave_up() {
    loom::model(|| {
        let mutex = Arc::new(Mutex::new(0));
        let other = {
            let mutex = mutex.clone();
            thread::spawn(move || match mutex.lock() {
                Ok(Lock::Clean(_)) => {}
                Ok(Lock::Orphaned(orphan)) => drop(orphan.repaired()),
                Err(error) => panic!("{error}"),
            })
        };
        drop(mutex.lock().expect("lock"));
        other.join().expect("a thread");
    });
}
