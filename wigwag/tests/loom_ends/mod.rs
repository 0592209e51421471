//! What the models of channels have in common: how far they are explored, and the plays that are the same whoever plays them.
#![allow(dead_code)] // each model has its share

use loom::thread;
use wigwag::pattern::channel::many_to_many::{claim, records};
use wigwag::pattern::channel::one_to_one::cursor::model::Side;

/// With at most three switches that no thread asked for.
pub fn check(model: impl Fn() + Sync + Send + 'static) {
    explore(3, model);
}

/// With at most so many.
pub fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// One that sleeps until there is room, and says whether anybody is left who could receive.
pub trait Sends: Send + 'static {
    fn send(&mut self, value: u64) -> bool;
}

/// One that sleeps until there is something; nothing when nobody is left who could send.
pub trait Receives {
    fn recv(&mut self) -> Option<u64>;
}

impl Sends for Side {
    fn send(&mut self, value: u64) -> bool {
        Side::send(self, value)
    }
}

impl Receives for Side {
    fn recv(&mut self) -> Option<u64> {
        Side::recv(self)
    }
}

/// So many values go from one to the other; the sender stays until the receiver has them all.
pub fn values_go_through(count: u64, mut sender: impl Sends, mut receiver: impl Receives) {
    let sending = thread::spawn(move || {
        assert!((1..=count).all(|value| sender.send(value)));
        sender
    });
    for value in 1..=count {
        assert_eq!(receiver.recv(), Some(value));
    }
    drop(receiver);
    drop(sending.join().expect("a thread"));
}

/// A receiver gets what was sent before it learns that the sender has left; and it does learn that.
pub fn a_sender_leaves(mut sender: impl Sends, mut receiver: impl Receives) {
    let sending = thread::spawn(move || assert!(sender.send(1)));
    assert_eq!(receiver.recv(), Some(1));
    assert_eq!(receiver.recv(), None);
    drop(receiver);
    sending.join().expect("a thread");
}

/// One that takes what is there, and has a part in undoing what the dead of a seat had claimed.
pub trait Takes: Send + 'static {
    fn try_recv(&mut self) -> Option<u64>;
    fn bury(&self, seat: usize);
}

macro_rules! takes {
    ($($end:ty)*) => { $(
        impl Takes for $end {
            fn try_recv(&mut self) -> Option<u64> {
                <$end>::try_recv(self)
            }

            fn bury(&self, seat: usize) {
                <$end>::bury(self, seat);
            }
        }
    )* };
}
takes!(claim::model::End records::model::End);

/// Looks until there is something.
pub fn recv(end: &mut impl Takes) -> u64 {
    loop {
        match end.try_recv() {
            Some(value) => return value,
            None => thread::yield_now(),
        }
    }
}

/// Of 1 and 2, which are there, two receivers have one each.
pub fn each_has_one(mut one: impl Takes, mut other: impl Takes) {
    let receiving = thread::spawn(move || other.try_recv());
    let mine = one.try_recv();
    let theirs = receiving.join().expect("a thread");
    assert!(matches!(
        (mine, theirs),
        (Some(1), Some(2)) | (Some(2), Some(1))
    ));
}

/// What a dead one of seat 0 had claimed, two undo at once; and what another sent is received.
pub fn all_comes_when_two_bury(mut receiver: impl Takes, other: impl Takes, sent: u64) {
    let burying = thread::spawn(move || other.bury(0));
    receiver.bury(0);
    assert_eq!(recv(&mut receiver), sent);
    burying.join().expect("a thread");
}

/// What a dead one of seat 1 held, of 1 and 2, comes to another who looks all the while, though it is past that place.
pub fn what_was_held_comes_again(mut receiver: impl Takes, other: impl Takes) {
    let burying = thread::spawn(move || other.bury(1));
    let came = (recv(&mut receiver), recv(&mut receiver));
    assert!(matches!(came, (1, 2) | (2, 1)));
    burying.join().expect("a thread");
}
