//! The slots of a many-to-many channel under loom: its weakenings are `many-…`.
#![cfg(loom)]

mod loom_ends;

use loom::thread;
use loom_ends::{
    all_comes_when_two_bury, check, each_has_one, explore, recv, what_was_held_comes_again,
};
use wigwag::pattern::channel::many_to_many::claim::model::{End, Model};
use wigwag::pattern::channel::many_to_many::model;

fn send(end: &mut End, value: u64) {
    while !end.try_send(value) {
        thread::yield_now();
    }
}

/// A value is written where nobody else writes or reads and read where nobody writes, round after round of one slot.
#[test]
fn a_slot_belongs_to_one_at_a_time() {
    check(|| {
        let model = Model::new(1);
        let (mut sender, mut receiver) = (End::new(&model, 0), End::new(&model, 1));
        let sending = thread::spawn(move || {
            send(&mut sender, 1);
            send(&mut sender, 2);
        });
        assert_eq!(recv(&mut receiver), 1);
        assert_eq!(recv(&mut receiver), 2);
        sending.join().expect("a thread");
    });
}

/// Two senders have different slots, and each value is received once.
#[test]
fn two_senders_claim_different_slots() {
    check(|| {
        let model = Model::new(2);
        let senders = [1, 2].map(|n| {
            let mut sender = End::new(&model, n);
            thread::spawn(move || assert!(sender.try_send(n as u64)))
        });
        let mut receiver = End::new(&model, 0);
        let first = recv(&mut receiver);
        let second = recv(&mut receiver);
        assert!(matches!((first, second), (1, 2) | (2, 1)));
        assert_eq!(receiver.try_recv(), None);
        for sender in senders {
            sender.join().expect("a thread");
        }
    });
}

/// Two receivers have different values.
#[test]
fn two_receivers_have_different_values() {
    check(|| {
        let model = Model::new(2);
        let mut sender = End::new(&model, 0);
        assert!(sender.try_send(1) && sender.try_send(2));
        each_has_one(End::new(&model, 2), End::new(&model, 1));
        // The places are free again.
        assert!(sender.try_send(3) && sender.try_send(4));
    });
}

/// Nobody gets what a dead sender had not sent, and its place holds up nobody.
#[test]
fn the_claim_of_a_dead_sender_is_undone() {
    check(|| {
        let model = Model::new(2);
        let (dead, mut other) = (End::new(&model, 0), End::new(&model, 1));
        dead.die_sending();
        assert!(other.try_send(5));
        all_comes_when_two_bury(End::new(&model, 2), End::new(&model, 3), 5);
        assert!(other.try_send(6) && other.try_send(7));
    });
}

/// What a dead receiver held is received by another who looks all the while, though it is past that place.
#[test]
fn what_a_dead_receiver_held_is_received_again() {
    check(|| {
        let model = Model::new(2);
        let mut sender = End::new(&model, 0);
        assert!(sender.try_send(1) && sender.try_send(2));
        assert_eq!(End::new(&model, 1).die_receiving(), Some(1));
        what_was_held_comes_again(End::new(&model, 2), End::new(&model, 3));
        assert!(sender.try_send(3) && sender.try_send(4));
    });
}

/// Of two who sleep on the same senders each is woken for what the other has not.
#[test]
fn two_who_sleep_have_a_value_each() {
    explore(2, || {
        let (mut senders, receivers) = model::Model::new(2, 1, 2);
        let receiving: Vec<_> = receivers
            .into_iter()
            .map(|mut receiver| thread::spawn(move || receiver.recv()))
            .collect();
        senders[0].send(1);
        senders[0].send(2);
        let came: Vec<u64> = receiving
            .into_iter()
            .map(|receiver| receiver.join().expect("a thread"))
            .collect();
        assert!(matches!(came[..], [1, 2] | [2, 1]));
    });
}

/// One who sleeps on two senders hears both.
#[test]
fn one_who_sleeps_hears_every_sender() {
    explore(2, || {
        let (senders, mut receivers) = model::Model::new(2, 2, 1);
        let sending: Vec<_> = senders
            .into_iter()
            .enumerate()
            .map(|(n, mut sender)| {
                thread::spawn(move || {
                    sender.send(n as u64);
                    sender
                })
            })
            .collect();
        let came = (receivers[0].recv(), receivers[0].recv());
        assert!(matches!(came, (0, 1) | (1, 0)));
        for sender in sending {
            drop(sender.join().expect("a thread"));
        }
    });
}
