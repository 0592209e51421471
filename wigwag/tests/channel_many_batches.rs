//! Batches of values and of messages through the many-to-many channel.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)] // what tests share is test too

mod process;

use std::sync::Mutex;
use std::time::Duration;

use wigwag::Kind;
use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::many_to_many::Channel;
use wigwag::pattern::channel::{Full, Options, Waiting};

/// Waits in tests are bounded by this and end long before.
const LIMIT: Duration = Duration::from_secs(20);
const VALUES: u64 = 20_000;

/// What each of two receivers saw of each of three senders, in its order.
fn each_once(seen: &[Vec<(u64, u64)>]) {
    let mut all = Vec::new();
    for seen in seen {
        for sender in 0..3 {
            let own: Vec<u64> = seen.iter().filter(|v| v.0 == sender).map(|v| v.1).collect();
            assert!(own.is_sorted(), "the order of a sender is kept");
        }
        all.extend(seen.iter().copied());
    }
    all.sort_unstable();
    let expected = (0..3).flat_map(|sender| (0..VALUES).map(move |n| (sender, n)));
    assert!(all.into_iter().eq(expected));
}

#[test]
fn batches_of_values_arrive_once_and_in_their_senders_order() {
    for (waiting, trust) in [
        (Waiting::Adaptive, Trust::Peers),
        (Waiting::Block, Trust::Nobody),
    ] {
        let options = Options::new().capacity(32).waiting(waiting).trust(trust);
        let channel: Channel<[u64; 2]> = options.anonymous().unwrap();
        let receivers = [channel.receiver().unwrap(), channel.receiver().unwrap()];
        let seen = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for from in 0..3 {
                let mut sender = channel.sender().unwrap();
                scope.spawn(move || {
                    let values: Vec<[u64; 2]> = (0..VALUES).map(|n| [from, n]).collect();
                    let mut rest = &values[..];
                    while !rest.is_empty() {
                        let some = &rest[..rest.len().min(1 + rest.len() % 50)];
                        let sent = match rest.len() % 3 {
                            0 => sender.send_many(some).unwrap(),
                            1 => sender.try_send_many(some).unwrap(),
                            _ => {
                                let mut loan = sender.loan_many(some.len()).unwrap();
                                let count = loan.len().min(some.len()).div_ceil(2);
                                loan[..count].copy_from_slice(&some[..count]);
                                loan.send(count);
                                count
                            }
                        };
                        rest = &rest[sent..];
                    }
                });
            }
            for mut receiver in receivers {
                let seen = &seen;
                scope.spawn(move || {
                    let mut own = Vec::new();
                    let gone = loop {
                        match receiver.recv_many() {
                            Ok(batch) => own.extend(batch.iter().map(|[from, n]| (*from, *n))),
                            Err(error) => break error,
                        }
                    };
                    assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
                    seen.lock().unwrap().push(own);
                });
            }
        });
        each_once(&seen.into_inner().unwrap());
    }
}

fn message(from: u64, n: u64) -> Vec<u8> {
    let mut message = vec![n as u8; 16 + (from * 7 + n * 13) as usize % 300];
    message[..8].copy_from_slice(&from.to_ne_bytes());
    message[8..16].copy_from_slice(&n.to_ne_bytes());
    message
}

#[test]
fn batches_of_messages_arrive_once_whole_and_in_their_senders_order() {
    for (waiting, trust) in [
        (Waiting::Adaptive, Trust::Peers),
        (Waiting::Block, Trust::Nobody),
    ] {
        let options = Options::new().capacity(4096).waiting(waiting).trust(trust);
        let channel: Channel<[u8]> = options.anonymous().unwrap();
        let receivers = [channel.receiver().unwrap(), channel.receiver().unwrap()];
        let seen = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for from in 0..3 {
                let mut sender = channel.sender().unwrap();
                scope.spawn(move || {
                    let messages: Vec<_> = (0..VALUES).map(|n| message(from, n)).collect();
                    let mut rest = &messages[..];
                    while !rest.is_empty() {
                        let some = &rest[..rest.len().min(1 + rest.len() % 50)];
                        let sent = match rest.len() % 2 {
                            0 => sender.send_many(some).unwrap(),
                            _ => sender.try_send_many(some).unwrap(),
                        };
                        rest = &rest[sent..];
                    }
                });
            }
            for mut receiver in receivers {
                let seen = &seen;
                scope.spawn(move || {
                    let mut own = Vec::new();
                    let gone = loop {
                        let mut batch = match receiver.recv_many() {
                            Ok(batch) => batch,
                            Err(error) => break error,
                        };
                        while let Some(bytes) = batch.next().unwrap() {
                            let word =
                                |at| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
                            let (from, n) = (word(0), word(8));
                            assert!(bytes == message(from, n), "torn");
                            own.push((from, n));
                            // At times it takes the next from a new batch.
                            if n % 17 == 0 {
                                break;
                            }
                        }
                    };
                    assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
                    seen.lock().unwrap().push(own);
                });
            }
        });
        each_once(&seen.into_inner().unwrap());
    }
}

#[test]
fn what_a_batch_does_not_use_is_given_up_and_what_was_forgotten_comes_again() {
    let channel: Channel<u64> = Options::new().capacity(8).anonymous().unwrap();
    let (mut one, mut other) = (channel.sender().unwrap(), channel.sender().unwrap());
    let mut receiver = channel.receiver().unwrap();
    let mut loan = one.loan_many(20).unwrap();
    assert_eq!(loan.len(), 8);
    loan.copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(!other.try_send(9).unwrap());
    loan.send(3);
    // The places that were given up are free when those before them are.
    assert_eq!(*receiver.recv_many().unwrap(), [1, 2, 3]);
    assert_eq!(other.try_send_many(&[1; 9]).unwrap(), 8);
    assert_eq!(receiver.recv_many().unwrap().len(), 8);
    drop(one.loan_many(8).unwrap());
    std::mem::forget(one.loan_many(8).unwrap());
    assert!(!other.try_send(9).unwrap());
    assert!(one.try_send(4).unwrap());
    assert_eq!(other.send_many(&[5, 6]).unwrap(), 2);
    std::mem::forget(receiver.recv_many().unwrap());
    assert_eq!(*receiver.recv_many().unwrap(), [4, 5, 6]);

    let channel: Channel<[u8]> = Options::new().capacity(4096).anonymous().unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    sender.send_many(&["one", "two", "three"]).unwrap();
    drop(receiver.recv_many().unwrap());
    let mut batch = receiver.recv_many().unwrap();
    assert_eq!(batch.next().unwrap(), Some(&b"one"[..]));
    assert_eq!(batch.next().unwrap(), Some(&b"two"[..]));
    std::mem::forget(batch);
    for expected in ["one", "two", "three"] {
        assert_eq!(&*receiver.recv().unwrap(), expected.as_bytes());
    }
    let refused = sender.send_many(&[vec![1; 100], vec![2; 5000]]);
    assert_eq!(refused.unwrap_err().kind(), Kind::TooBig);
    assert_eq!(receiver.recv().unwrap().len(), 100);
}

#[test]
fn a_full_channel_does_with_many_what_it_was_made_for() {
    let ten: Vec<u64> = (0..10).collect();
    for (full, all, at_once, left, lost) in [
        (Full::Fail, None, 4, 0, 0),
        (Full::DropNewest, Some(4), 4, 0, 6),
        (Full::OverwriteOldest, Some(10), 10, 6, 6),
    ] {
        let made = || -> Channel<u64> {
            let options = Options::new().capacity(4).full(full);
            options.anonymous().unwrap()
        };
        let channel = made();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        match (sender.send_many(&ten), all) {
            (Ok(sent), Some(all)) => assert_eq!(sent, all),
            (Err(error), None) => assert_eq!(error.kind(), Kind::WouldBlock),
            (outcome, _) => panic!("{full}: {outcome:?}"),
        }
        assert_eq!(
            *receiver.recv_many().unwrap(),
            ten[left..left + 4],
            "{full}"
        );
        assert_eq!(receiver.lost(), lost, "{full}");
        let channel = made();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        assert_eq!(sender.try_send_many(&ten).unwrap(), at_once, "{full}");
        assert_eq!(sender.try_send_many(&[]).unwrap(), 0);
        assert_eq!(receiver.recv_many().unwrap().len(), 4);
    }
}

#[test]
fn a_batch_that_a_killed_receiver_held_comes_again_and_one_that_was_lent_does_not() {
    const TEST: &str =
        "a_batch_that_a_killed_receiver_held_comes_again_and_one_that_was_lent_does_not";
    if let Some(part) = process::part() {
        let channel: Channel<u64> = Options::new().open(process::argument("OBJECT")).unwrap();
        if part == "receives" {
            let mut receiver = channel.receiver().unwrap();
            let batch = receiver.recv_many().unwrap();
            assert_eq!(*batch, [1, 2, 3]);
            process::say("has");
            process::hear();
        } else {
            let mut sender = channel.sender().unwrap();
            let loan = sender.loan_many(3).unwrap();
            assert_eq!(loan.len(), 3);
            process::say("has");
            process::hear();
        }
        return;
    }
    let name = format!("/{}", process::unique("batch"));
    let options = Options::new().capacity(4).waiting(Waiting::Block);
    let channel: Channel<u64> = options.temporary(true).create(&name).unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    sender.send_many(&[1, 2, 3]).unwrap();
    let mut child = process::play(TEST, "receives", &[("OBJECT", &name)]).start();
    child.says("has");
    assert!(receiver.try_recv_many().unwrap().is_none());
    child.kill();
    let mut came = Vec::new();
    while came.len() < 3 {
        came.push(*receiver.recv_timeout(LIMIT).unwrap());
    }
    assert_eq!(came, [1, 2, 3]);
    let mut child = process::play(TEST, "sends", &[("OBJECT", &name)]).start();
    child.says("has");
    sender.send(4).unwrap();
    child.kill();
    assert_eq!(*receiver.recv_timeout(LIMIT).unwrap(), 4);
    sender.send_timeout(5, LIMIT).unwrap();
    assert_eq!(*receiver.recv_timeout(LIMIT).unwrap(), 5);
}
