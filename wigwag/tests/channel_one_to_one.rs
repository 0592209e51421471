//! The one-to-one channel between two processes.
#![cfg(not(loom))]

mod process;

use std::time::{Duration, Instant};

use wigwag::Kind;
use wigwag::pattern::channel::one_to_one::{self, Channel};
use wigwag::pattern::channel::{Full, Options, Waiting};

/// Waits in tests are bounded by this and end long before.
const LIMIT: Duration = Duration::from_secs(20);

fn named(stem: &str) -> String {
    format!("/{}", process::unique(stem))
}

#[test]
fn values_arrive_in_order_and_whole() {
    if process::part().is_some() {
        let channel: Channel<[u64; 4]> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut sender = channel.sender().unwrap();
        for n in 0..100_000 {
            sender.send([n, n + 1, n + 2, n + 3]).unwrap();
        }
        return;
    }
    let name = named("order");
    let channel: Channel<[u64; 4]> = Options::new()
        .capacity(64)
        .temporary(true)
        .create(&name)
        .unwrap();
    let mut receiver = channel.receiver().unwrap();
    let child = process::play(
        "values_arrive_in_order_and_whole",
        "send",
        &[("OBJECT", &name)],
    )
    .start();
    for n in 0..100_000 {
        let value = receiver.recv_timeout(LIMIT).unwrap();
        assert_eq!(*value, [n, n + 1, n + 2, n + 3]);
    }
    let gone = receiver.recv_timeout(LIMIT).unwrap_err();
    assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
    child.succeeds();
}

#[test]
fn messages_of_any_length_arrive_whole() {
    if process::part().is_some() {
        let channel: Channel<[u8]> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut sender = channel.sender().unwrap();
        let longest = sender.longest();
        for n in 0..20_000usize {
            let len = if n % 1000 == 0 { longest } else { n * 7 % 300 };
            let mut loan = sender.loan(len).unwrap();
            loan.fill(n as u8);
            loan.send();
        }
        return;
    }
    let name = named("messages");
    let channel: Channel<[u8]> = Options::new()
        .capacity(8192)
        .temporary(true)
        .create(&name)
        .unwrap();
    let mut receiver = channel.receiver().unwrap();
    let child = process::play(
        "messages_of_any_length_arrive_whole",
        "send",
        &[("OBJECT", &name)],
    )
    .start();
    for n in 0..20_000usize {
        let len = if n % 1000 == 0 { 8188 } else { n * 7 % 300 };
        let message = receiver.recv_timeout(LIMIT).unwrap();
        assert_eq!(message.len(), len);
        assert!(message.iter().all(|byte| *byte == n as u8));
    }
    child.succeeds();
}

#[test]
fn a_killed_sender_is_told_at_once_to_a_receiver_that_sleeps() {
    if process::part().is_some() {
        let channel: Channel<u64> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut sender = channel.sender().unwrap();
        sender.send(7).unwrap();
        process::say("sent");
        process::hear();
        return;
    }
    for waiting in [Waiting::Spin, Waiting::Adaptive, Waiting::Block] {
        let name = named("killed");
        let channel: Channel<u64> = Options::new()
            .waiting(waiting)
            .temporary(true)
            .create(&name)
            .unwrap();
        let mut receiver = channel.receiver().unwrap();
        let mut child = process::play(
            "a_killed_sender_is_told_at_once_to_a_receiver_that_sleeps",
            "send",
            &[("OBJECT", &name)],
        )
        .start();
        child.says("sent");
        assert_eq!(*receiver.recv().unwrap(), 7);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            child.kill();
        });
        let start = Instant::now();
        let gone = receiver.recv().unwrap_err();
        assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
        assert!(start.elapsed() >= Duration::from_millis(90));
        killer.join().unwrap();
    }
}

#[test]
fn a_killed_receiver_is_told_at_once_to_a_sender_that_waits_and_its_values_go_to_the_next() {
    if process::part().is_some() {
        let channel: Channel<u64> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut receiver = channel.receiver().unwrap();
        let held = receiver.recv().unwrap();
        process::say(&held.to_string());
        process::hear();
        return;
    }
    let name = named("killed");
    let channel: Channel<u64> = Options::new()
        .capacity(4)
        .temporary(true)
        .create(&name)
        .unwrap();
    let mut sender = channel.sender().unwrap();
    let mut child = process::play(
        "a_killed_receiver_is_told_at_once_to_a_sender_that_waits_and_its_values_go_to_the_next",
        "receive",
        &[("OBJECT", &name)],
    )
    .start();
    sender.send(1).unwrap();
    child.says("1");
    for n in 2..5 {
        sender.send(n).unwrap();
    }
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        child.kill();
    });
    let gone = sender.send(5).unwrap_err();
    assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
    killer.join().unwrap();
    process::eventually("the seat is free", || channel.receiver().is_ok());
    let mut receiver = channel.receiver().unwrap();
    for n in 1..5 {
        assert_eq!(*receiver.recv().unwrap(), n);
    }
}

#[test]
fn a_full_channel_does_what_it_was_made_for() {
    for (full, expected) in [
        (Full::Fail, Some(Kind::WouldBlock)),
        (Full::DropNewest, None),
    ] {
        let channel: Channel<u64> = Options::new().capacity(2).full(full).anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        assert_eq!(sender.send(3).map_err(|error| error.kind()).err(), expected);
        assert_eq!(receiver.lost(), u64::from(full == Full::DropNewest));
        assert_eq!(*receiver.recv().unwrap(), 1);
        assert!(sender.try_send(4).unwrap());
    }
    let refused = Options::new()
        .full(Full::OverwriteOldest)
        .anonymous::<Channel<u64>>()
        .unwrap_err();
    assert_eq!(refused.kind(), Kind::BadInput, "{refused}");
    let (mut sender, _receiver) = one_to_one::pair::<u64>(2).unwrap();
    sender.send_many(&[1, 2]).unwrap();
    let late = sender
        .send_timeout(3, Duration::from_millis(50))
        .unwrap_err();
    assert_eq!(late.kind(), Kind::TimedOut, "{late}");
}
