//! The poller under loom: its weakenings are `poll-…`, and `bell-…` where it marks and sleeps as every sleeper does.
#![cfg(loom)]

use loom::thread;
use wigwag::pattern::channel::poll::model::pair;

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

/// Whatever the peer does after an attempt that found nothing, the descriptor becomes readable, and again after the next.
#[test]
fn one_that_polls_is_told_of_each_change() {
    check(2, || {
        let (mut peer, mut polling) = pair();
        let counting = thread::spawn(move || {
            peer.count();
            peer.count();
            // It stays until the other has seen both.
            peer
        });
        assert!(polling.next() && polling.next());
        drop(polling);
        drop(counting.join().expect("a thread"));
    });
}

/// A peer that leaves makes the descriptor readable, after what it did before.
#[test]
fn one_that_polls_is_told_that_the_peer_has_left() {
    check(2, || {
        let (mut peer, mut polling) = pair();
        let leaving = thread::spawn(move || {
            peer.count();
            peer.leave();
        });
        assert!(polling.next());
        assert!(!polling.next());
        drop(polling);
        leaving.join().expect("a thread");
    });
}

/// Between the poller's last look and its sleep the peer may ring and another that sleeps mark the word anew.
#[test]
fn a_poller_and_a_sleeper_for_one_peer_are_both_woken() {
    check(3, || {
        let (mut peer, mut polling) = pair();
        let mut sleeper = peer.sleeper();
        assert_eq!(polling.attempt(), None);
        let sleeping = thread::spawn(move || assert!(sleeper.wait()));
        peer.count();
        assert!((0..9).any(|_| polling.poll() == Some(true)));
        drop(polling);
        sleeping.join().expect("a thread");
        drop(peer);
    });
}
