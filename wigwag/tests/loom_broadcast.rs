//! Broadcast under loom: what the sender and each subscriber may touch, and what they see.
//!
//! Its weakenings are `broadcast-publish`, `-observe`, `-free`, `-slowest`, `-join`, `-raise` and `-again` for the lossless
//! course, `-floor` and `-check` for the overwriting one, and `bell-rings` where several sleep.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;
use wigwag::pattern::channel::broadcast::course::{ABSENT, Cursor, Follower, Front, Publisher};
use wigwag::pattern::channel::broadcast::model::Model;

/// Explores `run` with at most `preemptions` switches that no thread asked for.
fn explore(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(run);
}

/// Two slots of one byte each, which loom watches, and two places for subscribers.
struct Lossless {
    front: Front,
    slots: [UnsafeCell<u64>; 2],
    cursors: [AtomicU64; 2],
    killed: AtomicBool,
}

// SAFETY: the slots are used as the course allows, and loom checks that they are.
unsafe impl Sync for Lossless {}

impl Lossless {
    fn new() -> Self {
        Lossless {
            front: Front::new(),
            slots: [UnsafeCell::new(0), UnsafeCell::new(0)],
            cursors: [AtomicU64::new(ABSENT), AtomicU64::new(ABSENT)],
            killed: AtomicBool::new(false),
        }
    }

    /// The least cursor; the second place counts unless its subscriber was killed.
    fn slowest(&self) -> u64 {
        let other = Cursor(&self.cursors[1]).get();
        let other = match self.killed.load(Ordering::Acquire) {
            true => ABSENT,
            false => other,
        };
        Cursor(&self.cursors[0]).get().min(other)
    }

    fn send(&self, publisher: &mut Publisher, value: u64) {
        while !publisher.has_room(1)
            && publisher
                .make_room(&self.front, 1, || self.slowest())
                .is_err()
        {
            thread::yield_now();
        }
        let at = publisher.tail();
        // SAFETY: the course says that nobody reads it.
        self.slots[at as usize % 2].with_mut(|slot| unsafe { *slot = value });
        publisher.publish(&self.front, at + 1);
    }

    fn read(&self, at: u64) -> u64 {
        // SAFETY: the course says that it is published and protected.
        self.slots[at as usize % 2].with(|slot| unsafe { *slot })
    }

    /// Reads `count` values from `at` on.
    fn receive(&self, cursor: &AtomicU64, at: u64, count: u64) {
        let mut follower = Follower::new(at);
        for _ in 0..count {
            while follower.published(&self.front) == 0 {
                thread::yield_now();
            }
            let at = follower.at();
            assert_eq!(self.read(at), at + 100);
            follower.go(at + 1);
            Cursor(cursor).set(at + 1);
        }
    }
}

#[test]
fn each_subscriber_reads_each_value_and_none_is_overwritten_before() {
    explore(3, || {
        let shared = Arc::new(Lossless::new());
        for cursor in &shared.cursors {
            assert_eq!(Cursor(cursor).join(&shared.front, |tail, _| tail), Some(0));
        }
        let there = shared.clone();
        let subscriber = thread::spawn(move || there.receive(&there.cursors[0], 0, 3));
        let mut publisher = Publisher::resume(&shared.front, 2).expect("an empty ring");
        for value in 100..103 {
            shared.send(&mut publisher, value);
            shared.receive(&shared.cursors[1], value - 100, 1);
        }
        subscriber.join().expect("a thread");
    });
}

#[test]
fn who_joins_while_the_sender_runs_protects_what_he_reads() {
    explore(3, || {
        let shared = Arc::new(Lossless::new());
        let there = shared.clone();
        // He wants all that is there, so he races for the oldest value.
        let late = thread::spawn(move || {
            let cursor = Cursor(&there.cursors[0]);
            let start = cursor.join(&there.front, |_, floor| floor).expect("sane");
            if there.front.tail() > start {
                assert_eq!(there.read(start), start + 100);
            }
            cursor.set(ABSENT);
        });
        let mut publisher = Publisher::resume(&shared.front, 2).expect("an empty ring");
        for value in 100..104 {
            shared.send(&mut publisher, value);
        }
        late.join().expect("a thread");
    });
}

#[test]
fn a_sender_who_takes_over_protects_who_joined_meanwhile() {
    explore(3, || {
        let shared = Arc::new(Lossless::new());
        let mut first = Publisher::resume(&shared.front, 2).expect("an empty ring");
        for value in 100..102 {
            shared.send(&mut first, value);
        }
        let there = shared.clone();
        let late = thread::spawn(move || {
            let cursor = Cursor(&there.cursors[0]);
            let start = cursor.join(&there.front, |_, floor| floor).expect("sane");
            if there.front.tail() > start {
                assert_eq!(there.read(start), start + 100);
            }
            cursor.set(ABSENT);
        });
        // The first is killed after he raised the floor: he does not send what he made room for.
        let _ = first.make_room(&shared.front, 1, || ABSENT);
        let mut second = Publisher::resume(&shared.front, 2).expect("sane");
        shared.send(&mut second, 102);
        late.join().expect("a thread");
    });
}

#[test]
fn a_killed_subscriber_is_waited_for_no_longer() {
    explore(3, || {
        let shared = Arc::new(Lossless::new());
        let cursor = &shared.cursors[1];
        assert_eq!(Cursor(cursor).join(&shared.front, |tail, _| tail), Some(0));
        let there = shared.clone();
        let victim = thread::spawn(move || {
            there.receive(&there.cursors[1], 0, 1);
            // The second he was reading.
            there.killed.store(true, Ordering::Release);
        });
        let mut publisher = Publisher::resume(&shared.front, 2).expect("an empty ring");
        for value in 100..104 {
            shared.send(&mut publisher, value);
        }
        victim.join().expect("a thread");
    });
}

/// Two slots of two words each.
struct Overwriting {
    front: Front,
    slots: [[AtomicU64; 2]; 2],
}

#[test]
fn an_overwritten_value_is_never_taken_and_each_loss_is_counted() {
    explore(3, || {
        let shared = Arc::new(Overwriting {
            front: Front::new(),
            slots: Default::default(),
        });
        let there = shared.clone();
        let subscriber = thread::spawn(move || {
            let (mut follower, mut seen, mut lost) = (Follower::new(0), 0, 0);
            while follower.at() < 4 {
                if follower.published(&there.front) == 0 {
                    thread::yield_now();
                    continue;
                }
                let at = follower.at();
                let slot = &there.slots[at as usize % 2];
                let copy = [0, 1].map(|word: usize| slot[word].load(Ordering::Relaxed));
                let floor = there.front.floor_after_reading();
                if floor > at {
                    lost += floor - at;
                    follower.go(floor);
                    continue;
                }
                assert_eq!(copy, [at + 100, at + 100], "torn");
                seen += 1;
                follower.go(at + 1);
            }
            assert_eq!(seen + lost, 4);
        });
        let mut publisher = Publisher::resume(&shared.front, 2).expect("an empty ring");
        for value in 100..104 {
            publisher.take_room(&shared.front, 1, |_, needed| needed);
            let at = publisher.tail();
            for word in &shared.slots[at as usize % 2] {
                word.store(value, Ordering::Relaxed);
            }
            publisher.publish(&shared.front, at + 1);
        }
        subscriber.join().expect("a thread");
    });
}

/// Between the last look of one and his sleep the sender may ring and the other mark the word again.
#[test]
fn two_who_sleep_on_one_bell_are_both_woken() {
    explore(3, || {
        let (mut sender, receivers) = Model::new();
        let receivers = receivers.map(|mut receiver| {
            thread::spawn(move || {
                assert!(receiver.recv());
                receiver
            })
        });
        sender.send();
        // It stays until both have it.
        for receiver in receivers {
            receiver.join().expect("a thread");
        }
    });
}
