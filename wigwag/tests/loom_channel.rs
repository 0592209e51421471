//! The channel under loom: its weakenings are `one-to-one-…` (the ring) and `bell-…` (sleeping and waking).
#![cfg(loom)]

mod loom_ends;

use loom::thread;
use loom_ends::{a_sender_leaves, check, values_go_through};
use wigwag::pattern::channel::one_to_one::cursor::model::Model;

/// Each value is written where nobody reads and read where nobody writes, in order; a sender that sleeps because the ring
/// is full and a receiver that sleeps because it is empty are woken.
#[test]
fn values_go_through_a_ring_of_one() {
    check(|| {
        let (sender, receiver) = Model::pair(1);
        values_go_through(2, sender, receiver);
    });
}

/// A sender that must be careful looks behind a fence, so that it sees who has marked its word.
#[test]
fn a_careful_sender_wakes_who_sleeps() {
    check(|| {
        let (sender, receiver) = Model::pair(2);
        values_go_through(1, sender.careful(false), receiver);
    });
}

/// One that becomes careless sees who marks its word meanwhile, or is seen to be careless.
#[test]
fn a_sender_that_becomes_careless_forgets_nobody() {
    check(|| {
        let (sender, receiver) = Model::pair(2);
        values_go_through(2, sender.careful(true), receiver);
    });
}

/// A receiver gets all that was sent before it learns that the sender has left; and it does learn that.
#[test]
fn a_sender_that_leaves_is_noticed_after_its_values() {
    check(|| {
        let (sender, receiver) = Model::pair(2);
        a_sender_leaves(sender, receiver);
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
