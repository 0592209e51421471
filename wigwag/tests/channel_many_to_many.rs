//! The many-to-many channel between several processes.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)] // what tests share is test too

mod process;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wigwag::Kind;
use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::many_to_many::Channel;
use wigwag::pattern::channel::{Full, Options, Waiting};

/// Waits in tests are bounded by this and end long before.
const LIMIT: Duration = Duration::from_secs(20);
const VALUES: u64 = 20_000;

fn named(stem: &str) -> String {
    format!("/{}", process::unique(stem))
}

/// Sender's number, its count, and both again to see that they are whole.
type Value = [u64; 4];

/// What all processes of the first test do with a channel.
fn plays(part: &str) {
    let (kind, number) = part.split_once(' ').expect("a kind and a number");
    let number: u64 = number.parse().expect("a number");
    let channel: Channel<Value> = Options::new()
        .waiting(waiting(&process::argument("WAITING")))
        .trust(trust(&process::argument("TRUST")))
        .open(process::argument("OBJECT"))
        .expect("open");
    if kind == "send" {
        let mut sender = channel.sender().expect("a seat");
        process::say("ready");
        process::hear();
        for n in 0..VALUES {
            if n % 2 == 0 {
                sender.send([number, n, number, n]).expect("send");
            } else {
                let mut loan = sender.loan().expect("a loan");
                *loan = [number, n, number, n];
                loan.send();
            }
        }
    } else {
        let mut receiver = channel.receiver().expect("a seat");
        process::say("ready");
        process::hear();
        // Of each sender: the number of values, their sum, the last.
        let mut seen = BTreeMap::<u64, (u64, u64, u64)>::new();
        let gone = loop {
            match receiver.recv() {
                Ok(value) => {
                    let [from, n, again, n_again] = *value;
                    assert_eq!((from, n), (again, n_again), "torn");
                    let (count, sum, last) = seen.entry(from).or_default();
                    assert!(*count == 0 || *last < n, "{n} of {from} came after {last}");
                    (*count, *sum, *last) = (*count + 1, *sum + n, n);
                }
                Err(error) => break error,
            }
        };
        assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
        for (from, (count, sum, _)) in seen {
            process::say(&format!("{from} {count} {sum}"));
        }
        process::say("end");
    }
}

fn waiting(word: &str) -> Waiting {
    match word {
        "spin" => Waiting::Spin,
        "block" => Waiting::Block,
        _ => Waiting::Adaptive,
    }
}

fn trust(word: &str) -> Trust {
    match word {
        "nobody" => Trust::Nobody,
        _ => Trust::Peers,
    }
}

/// Three send and two receive through so few places that all wait for each other.
#[test]
fn every_value_arrives_once_whole_and_in_its_senders_order() {
    const TEST: &str = "every_value_arrives_once_whole_and_in_its_senders_order";
    if let Some(part) = process::part() {
        return plays(&part);
    }
    for (how, whom, capacity) in [
        ("adaptive", "peers", 64),
        ("block", "peers", 1),
        ("block", "nobody", 8),
        ("adaptive", "peers", 2),
    ] {
        let name = named("many");
        let _channel: Channel<Value> = Options::new()
            .capacity(capacity)
            .trust(trust(whom))
            .temporary(true)
            .create(&name)
            .unwrap();
        let told = [("OBJECT", &name[..]), ("WAITING", how), ("TRUST", whom)];
        let start = |part: &str| process::play(TEST, part, &told).start();
        let mut senders: Vec<_> = (1..4).map(|n| start(&format!("send {n}"))).collect();
        let mut receivers: Vec<_> = (0..2).map(|n| start(&format!("receive {n}"))).collect();
        for child in senders.iter_mut().chain(&mut receivers) {
            child.says("ready");
        }
        for child in senders.iter_mut().chain(&mut receivers) {
            child.tell("go");
        }
        let mut seen = BTreeMap::<String, (u64, u64)>::new();
        for mut receiver in receivers {
            loop {
                let line = receiver.line();
                if line == "end" {
                    break;
                }
                let words: Vec<_> = line.split(' ').collect();
                let [from, count, sum] = words[..] else {
                    panic!("the receiver says {line}");
                };
                let (counts, sums) = seen.entry(from.to_owned()).or_default();
                *counts += count.parse::<u64>().unwrap();
                *sums += sum.parse::<u64>().unwrap();
            }
            receiver.succeeds();
        }
        for sender in senders {
            sender.succeeds();
        }
        let all = (VALUES, VALUES * (VALUES - 1) / 2);
        let expected = (1..4).map(|from| (from.to_string(), all)).collect();
        assert_eq!(seen, expected, "{how} {whom} {capacity}");
    }
}

#[test]
fn what_a_killed_receiver_held_goes_to_another_that_sleeps() {
    if process::part().is_some() {
        let channel: Channel<u64> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut receiver = channel.receiver().unwrap();
        let held = receiver.recv().unwrap();
        assert_eq!(*held, 1);
        process::say("holds");
        process::hear();
        return;
    }
    for waiting in [Waiting::Adaptive, Waiting::Block, Waiting::Spin] {
        let name = named("held");
        let options = Options::new().waiting(waiting).temporary(true);
        let channel: Channel<u64> = options.create(&name).unwrap();
        let mut sender = channel.sender().unwrap();
        sender.send(1).unwrap();
        let mut child = process::play(
            "what_a_killed_receiver_held_goes_to_another_that_sleeps",
            "hold",
            &[("OBJECT", &name)],
        )
        .start();
        child.says("holds");
        let mut receiver = channel.receiver().unwrap();
        assert!(receiver.try_recv().unwrap().is_none());
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            child.kill();
        });
        assert_eq!(*receiver.recv_timeout(LIMIT).unwrap(), 1, "{waiting:?}");
        killer.join().unwrap();
    }
}

#[test]
fn a_killed_senders_place_is_skipped() {
    if process::part().is_some() {
        let channel: Channel<u64> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut sender = channel.sender().unwrap();
        let mut loan = sender.loan().unwrap();
        *loan = 9;
        process::say("claimed");
        process::hear();
        loan.send();
        return;
    }
    for waiting in [Waiting::Adaptive, Waiting::Block, Waiting::Spin] {
        let name = named("skip");
        let options = Options::new().waiting(waiting).temporary(true);
        let channel: Channel<u64> = options.create(&name).unwrap();
        let mut receiver = channel.receiver().unwrap();
        let mut child = process::play(
            "a_killed_senders_place_is_skipped",
            "claim",
            &[("OBJECT", &name)],
        )
        .start();
        child.says("claimed");
        let mut sender = channel.sender().unwrap();
        sender.send(2).unwrap();
        // It keeps its place as long as it lives.
        let early = receiver
            .recv_timeout(Duration::from_millis(50))
            .unwrap_err();
        assert_eq!(early.kind(), Kind::TimedOut, "{early}");
        let start = Instant::now();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            child.kill();
        });
        assert_eq!(*receiver.recv_timeout(LIMIT).unwrap(), 2, "{waiting:?}");
        assert!(start.elapsed() >= Duration::from_millis(90));
        killer.join().unwrap();
    }
}

#[test]
fn a_loan_that_is_dropped_or_forgotten_holds_up_nobody() {
    let channel: Channel<u64> = Options::new().capacity(1).anonymous().unwrap();
    let mut one = channel.sender().unwrap();
    let mut other = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    drop(one.loan().unwrap());
    assert!(other.try_send(1).unwrap());
    assert_eq!(*receiver.recv().unwrap(), 1);
    std::mem::forget(one.loan().unwrap());
    assert!(!other.try_send(2).unwrap());
    drop(one);
    assert!(other.try_send(2).unwrap());
    // A value that was looked at and forgotten comes again.
    std::mem::forget(receiver.recv().unwrap());
    assert_eq!(*receiver.recv().unwrap(), 2);
    std::mem::forget(receiver.try_recv().unwrap());
}

#[test]
fn a_sender_that_waits_for_a_loan_to_be_given_up_is_woken() {
    let options = Options::new().capacity(1).waiting(Waiting::Block);
    let channel: Channel<u64> = options.anonymous().unwrap();
    let mut one = channel.sender().unwrap();
    let mut other = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    let loan = one.loan().unwrap();
    let waits = std::thread::spawn(move || other.send_timeout(3, LIMIT));
    std::thread::sleep(Duration::from_millis(50));
    drop(loan);
    waits.join().unwrap().unwrap();
    assert_eq!(*receiver.recv_timeout(LIMIT).unwrap(), 3);
}

#[test]
fn a_full_channel_does_what_it_was_made_for() {
    let made = |full| -> Channel<u64> {
        let options = Options::new().capacity(2).full(full);
        options.anonymous().unwrap()
    };
    let rest = |channel: &Channel<u64>| {
        let mut receiver = channel.receiver().unwrap();
        let mut found = Vec::new();
        while let Some(value) = receiver.try_recv().unwrap() {
            found.push(*value);
        }
        (found, receiver.lost())
    };
    let channel = made(Full::Fail);
    let mut sender = channel.sender().unwrap();
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    assert_eq!(sender.send(3).unwrap_err().kind(), Kind::WouldBlock);
    assert_eq!(rest(&channel), (vec![1, 2], 0));

    let channel = made(Full::DropNewest);
    let mut sender = channel.sender().unwrap();
    (1..5).for_each(|n| sender.send(n).unwrap());
    assert_eq!(rest(&channel), (vec![1, 2], 2));

    let channel = made(Full::OverwriteOldest);
    let mut sender = channel.sender().unwrap();
    (1..5).for_each(|n| sender.send(n).unwrap());
    assert_eq!(rest(&channel), (vec![3, 4], 2));

    let channel = made(Full::Wait);
    let mut sender = channel.sender().unwrap();
    (1..3).for_each(|n| sender.send(n).unwrap());
    assert!(!sender.try_send(3).unwrap());
    let late = sender.send_timeout(3, Duration::from_millis(20));
    assert_eq!(late.unwrap_err().kind(), Kind::TimedOut);
    // There was a receiver, and now there is none.
    drop(channel.receiver().unwrap());
    let gone = sender.send(3).unwrap_err();
    assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
}

/// Two make room at once: what one sees the other hold is not held for long, and nobody else would tell.
#[test]
fn senders_that_overwrite_do_not_wait_for_an_idle_receiver() {
    for waiting in [Waiting::Adaptive, Waiting::Block] {
        let options = Options::new().capacity(1).full(Full::OverwriteOldest);
        let channel: Channel<u64> = options.waiting(waiting).anonymous().unwrap();
        let receiver = channel.receiver().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let mut sender = channel.sender().unwrap();
                scope.spawn(move || {
                    for n in 0..5_000 {
                        sender.send_timeout(n, LIMIT).unwrap();
                    }
                });
            }
        });
        assert_eq!(receiver.lost(), 3 * 5_000 - 1);
    }
}

#[test]
fn seats_are_counted_and_given_back() {
    let channel: Channel<u64> = Options::new().seats(3).anonymous().unwrap();
    let ends = (
        channel.sender().unwrap(),
        channel.sender().unwrap(),
        channel.receiver().unwrap(),
    );
    assert_eq!((channel.senders(), channel.receivers()), (2, 1));
    let full = channel.receiver().unwrap_err();
    assert_eq!(full.kind(), Kind::Limit, "{full}");
    drop(ends);
    assert_eq!((channel.senders(), channel.receivers()), (0, 0));
    let refused = Options::new().seats(61).anonymous::<Channel<u64>>();
    assert_eq!(refused.unwrap_err().kind(), Kind::BadInput);
}

#[test]
fn a_receiver_waits_for_the_first_sender_and_learns_that_the_last_has_left() {
    let options = Options::new().waiting(Waiting::Block);
    let channel: Channel<u64> = options.anonymous().unwrap();
    let mut receiver = channel.receiver().unwrap();
    let late = receiver
        .recv_timeout(Duration::from_millis(20))
        .unwrap_err();
    assert_eq!(late.kind(), Kind::TimedOut, "{late}");
    let waits = std::thread::spawn(move || {
        let first = receiver.recv().map(|value| *value);
        (first, receiver.recv().map(|value| *value))
    });
    std::thread::sleep(Duration::from_millis(50));
    let mut sender = channel.sender().unwrap();
    sender.send(4).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    drop(sender);
    let (first, gone) = waits.join().unwrap();
    assert_eq!(first.unwrap(), 4);
    assert_eq!(gone.unwrap_err().kind(), Kind::Disconnected);
}
