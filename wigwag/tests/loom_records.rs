//! The records of messages in a many-to-many channel under loom: its weakenings are `records-…`.
#![cfg(loom)]

mod loom_ends;

use loom::thread;
use loom_ends::{all_comes_when_two_bury, check, each_has_one, recv, what_was_held_comes_again};
use wigwag::pattern::channel::many_to_many::records::model::{End, Model};

fn send(end: &mut End, size: usize, number: u64) {
    while !end.try_send(size, number) {
        thread::yield_now();
    }
}

/// A message is written where nobody else writes or reads and read where nobody writes, whatever lengths follow each other.
#[test]
fn a_part_of_the_ring_belongs_to_one_at_a_time() {
    check(|| {
        let model = Model::new(2);
        let (mut sender, mut receiver) = (End::new(&model, 0), End::new(&model, 1));
        let sending = thread::spawn(move || {
            send(&mut sender, 1, 1);
            send(&mut sender, 2, 2);
            send(&mut sender, 1, 3);
        });
        assert_eq!(recv(&mut receiver), 1);
        assert_eq!(recv(&mut receiver), 2);
        assert_eq!(recv(&mut receiver), 3);
        sending.join().expect("a thread");
    });
}

/// Room that one sender found done is room for the other: what the receiver read is over for both.
#[test]
fn two_senders_fill_what_a_receiver_gives_back() {
    check(|| {
        let model = Model::new(2);
        let mut first = End::new(&model, 0);
        assert!(first.try_send(1, 1) && first.try_send(1, 2));
        let mut receiver = End::new(&model, 1);
        let receiving = thread::spawn(move || {
            assert_eq!(recv(&mut receiver), 1);
            assert_eq!(recv(&mut receiver), 2);
            receiver
        });
        let mut second = End::new(&model, 2);
        let sending = thread::spawn(move || second.try_send(1, 4));
        let sent = [first.try_send(1, 3), sending.join().expect("a thread")];
        let mut receiver = receiving.join().expect("a thread");
        let came: Vec<u64> = std::iter::from_fn(|| receiver.try_recv()).collect();
        assert_eq!(came.len(), sent.iter().filter(|sent| **sent).count());
    });
}

/// The same when one finds it done and does not claim it: also what is behind the first cell was read to the end.
#[test]
fn what_one_sender_finds_done_another_fills() {
    check(|| {
        let model = Model::new(4);
        let (mut first, mut receiver) = (End::new(&model, 0), End::new(&model, 1));
        for (size, number) in [(1, 1), (1, 2), (2, 3)] {
            assert!(first.try_send(size, number));
        }
        assert_eq!(receiver.try_recv(), Some(1));
        let mut second = End::new(&model, 2);
        let sending = thread::spawn(move || second.try_send(2, 4));
        let raising = thread::spawn(move || assert!(!first.try_send(3, 9), "no room for three"));
        assert_eq!(receiver.try_recv(), Some(2));
        let sent = sending.join().expect("a thread");
        raising.join().expect("a thread");
        assert_eq!(receiver.try_recv(), Some(3));
        assert_eq!(receiver.try_recv(), sent.then_some(4));
    });
}

/// Two receivers have different messages.
#[test]
fn two_receivers_have_different_messages() {
    check(|| {
        let model = Model::new(4);
        let mut sender = End::new(&model, 0);
        assert!(sender.try_send(3, 1) && sender.try_send(1, 2));
        each_has_one(End::new(&model, 2), End::new(&model, 1));
        // All is free again.
        assert!(sender.try_send(4, 3));
    });
}

/// Two senders claim different parts, one of them longer than it needs, and the rest is passed over.
#[test]
fn two_senders_claim_different_parts() {
    check(|| {
        let model = Model::new(4);
        let (mut one, mut other) = (End::new(&model, 1), End::new(&model, 2));
        let sending = thread::spawn(move || assert!(other.try_send_shortened(3, 2)));
        assert!(one.try_send(1, 1));
        let mut receiver = End::new(&model, 0);
        let came = (recv(&mut receiver), recv(&mut receiver));
        assert!(matches!(came, (1, 2) | (2, 1)));
        assert_eq!(receiver.try_recv(), None);
        sending.join().expect("a thread");
        assert!(one.try_send(4, 3));
    });
}

/// Who has not looked for laps finds the way.
#[test]
fn who_is_behind_by_laps_is_led_on() {
    check(|| {
        let model = Model::new(1);
        let (mut sender, mut receiver) = (End::new(&model, 0), End::new(&model, 1));
        let going = thread::spawn(move || {
            let mut sent = 0;
            let mut came = Vec::new();
            for number in 1..4 {
                sent += usize::from(sender.try_send(1, number));
                came.extend(receiver.try_recv());
            }
            (sent, came, receiver)
        });
        let mut late = End::new(&model, 2);
        // It takes nothing of an earlier lap for one of now, and finds nothing broken.
        let nine = late.try_send(1, 9);
        let (sent, mut came, mut receiver) = going.join().expect("a thread");
        came.extend(std::iter::from_fn(|| receiver.try_recv()));
        assert_eq!(came.contains(&9), nine);
        assert_eq!(came.len(), sent + usize::from(nine));
    });
}

/// A long message gets its room though a sender of short ones comes by all the time.
#[test]
fn nobody_claims_what_who_stands_in_line_needs() {
    check(|| {
        let model = Model::new(2);
        let mut long = End::new(&model, 0);
        assert!(long.try_send(1, 1));
        long.stand_in_line();
        assert!(!long.try_send(2, 2));
        let (mut short, mut receiver) = (End::new(&model, 1), End::new(&model, 2));
        let sending = thread::spawn(move || {
            assert!(!short.try_send(1, 9), "it overtook");
            short
        });
        assert_eq!(receiver.try_recv(), Some(1));
        assert!(long.try_send(2, 2));
        let mut short = sending.join().expect("a thread");
        assert_eq!(receiver.try_recv(), Some(2));
        assert!(!long.leave_line());
        // It gives up at last, and its place costs nobody anything.
        send(&mut short, 1, 3);
        long.stand_in_line();
        assert!(!long.try_send(2, 4));
        assert!(long.leave_line());
        assert_eq!(receiver.try_recv(), Some(3));
        assert!(short.try_send(2, 5));
        assert_eq!(receiver.try_recv(), Some(5));
    });
}

/// Nobody gets what a dead sender had not sent, and its part of the ring holds up nobody.
#[test]
fn the_claim_of_a_dead_sender_is_undone() {
    check(|| {
        let model = Model::new(4);
        let (dead, mut other) = (End::new(&model, 0), End::new(&model, 1));
        dead.die_sending(3);
        assert!(other.try_send(1, 5));
        all_comes_when_two_bury(End::new(&model, 2), End::new(&model, 3), 5);
        assert!(other.try_send(4, 6));
    });
}

/// Who died in the line is not waited for.
#[test]
fn the_place_of_a_dead_one_in_the_line_is_undone() {
    check(|| {
        let model = Model::new(4);
        let (mut dead, mut other) = (End::new(&model, 0), End::new(&model, 1));
        assert!(other.try_send(2, 1));
        dead.stand_in_line();
        dead.die_sending(3);
        assert!(!other.try_send(1, 2));
        let buries = End::new(&model, 3);
        let burying = thread::spawn(move || buries.bury(0));
        let mut receiver = End::new(&model, 2);
        assert_eq!(receiver.try_recv(), Some(1));
        send(&mut other, 1, 2);
        assert_eq!(recv(&mut receiver), 2);
        burying.join().expect("a thread");
        assert!(other.try_send(4, 3));
    });
}

/// What a dead receiver held is received by another who looks all the while, though it is past that place.
#[test]
fn what_a_dead_receiver_held_is_received_again() {
    check(|| {
        let model = Model::new(4);
        let mut sender = End::new(&model, 0);
        assert!(sender.try_send(3, 1) && sender.try_send(1, 2));
        assert_eq!(End::new(&model, 1).die_receiving(), Some(1));
        what_was_held_comes_again(End::new(&model, 2), End::new(&model, 3));
        assert!(sender.try_send(4, 3));
    });
}
