//! The channel under loom: its weakenings are `one-to-one-…` (the ring) and `bell-…` (sleeping and waking).
#![cfg(loom)]

use loom::thread;
use wigwag::pattern::channel::one_to_one::cursor::model::Model;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Each value is written where nobody reads and read where nobody writes, in order; a sender that sleeps because the ring
/// is full and a receiver that sleeps because it is empty are woken.
#[test]
fn values_go_through_a_ring_of_one() {
    check(|| {
        let (mut sender, mut receiver) = Model::pair(1);
        let sending = thread::spawn(move || {
            assert!(sender.send(1) && sender.send(2));
            // It stays until the receiver has both.
            sender
        });
        assert_eq!(receiver.recv(), Some(1));
        assert_eq!(receiver.recv(), Some(2));
        drop(receiver);
        drop(sending.join().expect("a thread"));
    });
}

/// A sender that must be careful looks behind a fence, so that it sees who has marked its word.
#[test]
fn a_careful_sender_wakes_who_sleeps() {
    check(|| {
        let (sender, mut receiver) = Model::pair(2);
        let mut sender = sender.careful(false);
        let sending = thread::spawn(move || {
            assert!(sender.send(1));
            sender
        });
        assert_eq!(receiver.recv(), Some(1));
        drop(receiver);
        drop(sending.join().expect("a thread"));
    });
}

/// One that becomes careless sees who marks its word meanwhile, or is seen to be careless.
#[test]
fn a_sender_that_becomes_careless_forgets_nobody() {
    check(|| {
        let (sender, mut receiver) = Model::pair(2);
        let mut sender = sender.careful(true);
        let sending = thread::spawn(move || {
            assert!(sender.send(1) && sender.send(2));
            sender
        });
        assert_eq!(receiver.recv(), Some(1));
        assert_eq!(receiver.recv(), Some(2));
        drop(receiver);
        drop(sending.join().expect("a thread"));
    });
}

/// A receiver gets all that was sent before it learns that the sender has left; and it does learn that.
#[test]
fn a_sender_that_leaves_is_noticed_after_its_values() {
    check(|| {
        let (mut sender, mut receiver) = Model::pair(2);
        let sending = thread::spawn(move || assert!(sender.send(1)));
        assert_eq!(receiver.recv(), Some(1));
        assert_eq!(receiver.recv(), None);
        sending.join().expect("a thread");
    });
}

/// A sender that waits for room learns that the receiver has left.
#[test]
fn a_receiver_that_leaves_is_noticed() {
    check(|| {
        let (mut sender, mut receiver) = Model::pair(1);
        let receiving = thread::spawn(move || assert_eq!(receiver.recv(), Some(1)));
        assert!(sender.send(1));
        let _ = sender.send(2);
        assert!(!sender.send(3) && !sender.send(4));
        receiving.join().expect("a thread");
    });
}
