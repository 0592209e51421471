//! The mutex under loom: every interleaving of a few threads that the memory model allows.
//!
//! `.ci/models` runs it once as it is, and once for each of its weakenings, which it must find: `mutex-acquire`,
//! `mutex-release`, `mutex-wake`, `mutex-waiters`, `mutex-mark`, `mutex-tries`, `inheriting-unlock`, `inheriting-died`.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use wigwag::gate::Mutex;

fn model(threads: usize, rounds: usize, bound: Option<usize>) {
    model_of(Mutex::new, threads, rounds, bound);
}

fn model_of(
    new: fn(UnsafeCell<usize>) -> Mutex<UnsafeCell<usize>>,
    threads: usize,
    rounds: usize,
    bound: Option<usize>,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound;
    builder.check(move || {
        // loom's cell notices two threads inside at once, and one that does not see what the other did.
        let mutex = Arc::new(new(UnsafeCell::new(0)));
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

/// The case that glibc's robust mutex gets wrong: one waiter takes the wake-up into its grave while a third
/// thread has the lock, which then unlocks it or is killed, too.
fn a_killed_waiter(third: fn(&Mutex<()>)) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.lock().expect("lock");
        let [dying, waiting] = [mutex.clone(), mutex.clone()];
        let dies = thread::spawn(move || dying.wait_and_die());
        let waits = thread::spawn(move || drop(waiting.lock().expect("lock").or_repair(|()| {})));
        drop(held);
        third(&mutex);
        dies.join().expect("a thread");
        waits.join().expect("a thread");
    });
}

#[test]
fn a_killed_waiter_strands_nobody() {
    a_killed_waiter(|mutex| drop(mutex.lock().expect("lock").or_repair(|()| {})));
}

#[test]
fn a_killed_waiter_and_a_killed_third_strand_nobody() {
    a_killed_waiter(|mutex| {
        std::mem::forget(mutex.lock().expect("lock"));
        mutex.die();
    });
}

#[test]
fn threads_exclude_each_other_where_the_kernel_hands_over() {
    model_of(Mutex::inheriting, 2, 2, Some(3));
    model_of(Mutex::inheriting, 3, 1, Some(2));
}

/// The holder is killed while another waits, or comes later: it is told in either case, and the one after it is not.
#[test]
fn the_one_to_whom_the_kernel_hands_a_dead_holders_lock_is_told() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let mutex = Arc::new(Mutex::inheriting(()));
        let waiting = mutex.clone();
        std::mem::forget(mutex.lock().expect("lock"));
        let waits = thread::spawn(move || {
            let lock = waiting.lock().expect("lock");
            let told = lock.is_orphaned();
            drop(lock.or_repair(|()| {}));
            told
        });
        mutex.die();
        assert!(waits.join().expect("a thread"));
        assert!(!mutex.lock().expect("lock").is_orphaned());
    });
}
