//! The broadcast channel between several processes.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)] // what tests share is test too

mod process;

use std::time::{Duration, Instant};

use wigwag::Kind;
use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::broadcast::{self, Channel};
use wigwag::pattern::channel::{Full, Options, Waiting};

/// Waits in tests are bounded by this and end long before.
const LIMIT: Duration = Duration::from_secs(20);

fn named(stem: &str) -> String {
    format!("/{}", process::unique(stem))
}

fn trust(whom: &str) -> Trust {
    match whom {
        "nobody" => Trust::Nobody,
        _ => Trust::Peers,
    }
}

#[test]
fn every_receiver_sees_every_value_in_order() {
    const COUNT: u64 = 50_000;
    let test = "every_receiver_sees_every_value_in_order";
    if process::part().is_some() {
        let options = Options::new().trust(trust(&process::argument("TRUST")));
        let channel: Channel<[u64; 4]> = options.open(process::argument("OBJECT")).unwrap();
        let mut receiver = channel.receiver().unwrap();
        process::say("joined");
        for n in 0..COUNT {
            assert_eq!(*receiver.recv().unwrap(), [n, n + 1, n + 2, n + 3]);
        }
        let gone = receiver.recv().unwrap_err();
        assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
        return;
    }
    for whom in ["peers", "nobody"] {
        let name = named("order");
        let channel: Channel<[u64; 4]> = Options::new()
            .trust(trust(whom))
            .capacity(64)
            .temporary(true)
            .create(&name)
            .unwrap();
        let mut sender = channel.sender().unwrap();
        let mut children: Vec<_> = (0..3)
            .map(|_| process::play(test, "receive", &[("OBJECT", &name), ("TRUST", whom)]).start())
            .collect();
        children.iter_mut().for_each(|child| child.says("joined"));
        assert_eq!(channel.receivers(), 3);
        for n in 0..COUNT {
            sender
                .send_timeout([n, n + 1, n + 2, n + 3], LIMIT)
                .unwrap();
        }
        drop(sender);
        children.into_iter().for_each(process::Child::succeeds);
        assert_eq!((channel.receivers(), channel.senders()), (0, 0), "{whom}");
    }
}

#[test]
fn every_receiver_sees_every_message_whole() {
    const COUNT: usize = 20_000;
    let test = "every_receiver_sees_every_message_whole";
    let length = |n: usize, longest: usize| {
        if n.is_multiple_of(1000) {
            longest
        } else {
            n * 7 % 300
        }
    };
    if process::part().is_some() {
        let channel: Channel<[u8]> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut receiver = channel.receiver().unwrap();
        process::say("joined");
        for n in 0..COUNT {
            let longest = receiver.longest();
            let message = receiver.recv().unwrap();
            assert_eq!(message.len(), length(n, longest));
            assert!(message.iter().all(|byte| *byte == n as u8));
        }
        return;
    }
    let name = named("messages");
    let channel: Channel<[u8]> = Options::new()
        .capacity(8192)
        .temporary(true)
        .create(&name)
        .unwrap();
    let mut sender = channel.sender().unwrap();
    let mut children: Vec<_> = (0..2)
        .map(|_| process::play(test, "receive", &[("OBJECT", &name)]).start())
        .collect();
    children.iter_mut().for_each(|child| child.says("joined"));
    assert_eq!(sender.longest(), 8192 - 32);
    for n in 0..COUNT {
        let mut loan = sender.loan(length(n, sender.longest())).unwrap();
        loan.fill(n as u8);
        loan.send();
    }
    children.into_iter().for_each(process::Child::succeeds);
    assert_eq!(
        sender.send(&[0; 8192 - 31]).unwrap_err().kind(),
        Kind::TooBig
    );
}

#[test]
fn who_is_overtaken_is_told_exactly_how_many_it_missed() {
    const COUNT: u64 = 200_000;
    let test = "who_is_overtaken_is_told_exactly_how_many_it_missed";
    if process::part().is_some() {
        let channel: Channel<[u64; 8]> = Options::new().open(process::argument("OBJECT")).unwrap();
        let messages: Channel<[u8]> = Options::new().open(process::argument("OTHER")).unwrap();
        let (mut receiver, mut other) = (channel.receiver().unwrap(), messages.receiver().unwrap());
        process::say("joined");
        let (mut next, mut lost) = (0, 0);
        loop {
            match receiver.recv() {
                Ok(value) => {
                    next += value.missed();
                    lost += value.missed();
                    assert_eq!(*value, [next; 8], "torn or not counted");
                    next += 1;
                }
                Err(gone) => break assert_eq!(gone.kind(), Kind::Disconnected, "{gone}"),
            }
        }
        assert_eq!((next, receiver.lost()), (COUNT, lost));
        let (mut next, mut lost) = (0, 0);
        loop {
            match other.recv() {
                Ok(message) => {
                    next += message.missed();
                    lost += message.missed();
                    assert_eq!(message[..8], next.to_le_bytes(), "not counted");
                    assert!(message[8..].iter().all(|byte| *byte == next as u8), "torn");
                    assert_eq!(message.len() as u64, 8 + next % 100);
                    next += 1;
                }
                Err(gone) => break assert_eq!(gone.kind(), Kind::Disconnected, "{gone}"),
            }
        }
        assert_eq!((next, other.lost()), (COUNT, lost));
        return;
    }
    let (name, other) = (named("overtaken"), named("overtaken"));
    let options = Options::new().full(Full::OverwriteOldest).temporary(true);
    let values: Channel<[u64; 8]> = options.clone().capacity(16).create(&name).unwrap();
    let messages: Channel<[u8]> = options.capacity(4096).create(&other).unwrap();
    let (mut sender, mut second) = (values.sender().unwrap(), messages.sender().unwrap());
    let mut children: Vec<_> = (0..2)
        .map(|_| process::play(test, "receive", &[("OBJECT", &name), ("OTHER", &other)]).start())
        .collect();
    children.iter_mut().for_each(|child| child.says("joined"));
    for n in 0..COUNT {
        if n % 2 == 0 {
            let mut loan = sender.loan().unwrap();
            *loan = [n; 8];
            loan.send();
        } else {
            assert!(sender.try_send([n; 8]).unwrap());
        }
        let mut loan = second.loan(8 + (n % 100) as usize).unwrap();
        loan[..8].copy_from_slice(&n.to_le_bytes());
        loan[8..].fill(n as u8);
        loan.send();
    }
    drop((sender, second));
    children.into_iter().for_each(process::Child::succeeds);
}

#[test]
fn overwriting_keeps_the_newest_and_counts_the_rest() {
    let options = Options::new().full(Full::OverwriteOldest);
    let channel: Channel<u32> = options.clone().capacity(4).anonymous().unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    for n in 0..10 {
        sender.send(n).unwrap();
    }
    let first = receiver.recv().unwrap();
    assert_eq!((*first, first.missed()), (6, 6));
    drop(first);
    sender.send_many(&[10, 11]).unwrap();
    let batch = receiver.recv_many().unwrap();
    assert_eq!((&*batch, batch.missed()), (&[8, 9, 10, 11][..], 1));
    drop(batch);
    assert_eq!((receiver.lost(), receiver.level()), (7, 0));

    let channel: Channel<[u8]> = options.capacity(4096).anonymous().unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    // Records of 1,016 bytes: four of them fit, with the header of the next.
    for n in 0..10 {
        sender.send(&[n; 1000]).unwrap();
    }
    let first = receiver.recv().unwrap();
    assert_eq!((first[0], first.missed()), (6, 6));
    drop(first);
    assert_eq!(receiver.recv().unwrap()[0], 7);
    assert_eq!(receiver.lost(), 6);
}

#[test]
fn who_joins_late_gets_the_last_values_it_asks_for() {
    for full in [Full::Wait, Full::OverwriteOldest] {
        let channel: Channel<u32> = Options::new().full(full).capacity(16).anonymous().unwrap();
        let messages: Channel<[u8]> = Options::new()
            .full(full)
            .capacity(4096)
            .anonymous()
            .unwrap();
        assert_eq!(
            channel
                .receiver_with_last(3)
                .unwrap()
                .try_recv()
                .unwrap()
                .map(|n| *n),
            None
        );
        assert!(
            messages
                .receiver_with_last(3)
                .unwrap()
                .try_recv()
                .unwrap()
                .is_none()
        );
        let (mut sender, mut other) = (channel.sender().unwrap(), messages.sender().unwrap());
        for n in 0..100_u32 {
            sender.send(n).unwrap();
            other
                .send(&n.to_le_bytes().repeat(1 + n as usize % 5))
                .unwrap();
        }
        let mut late = channel.receiver_with_last(3).unwrap();
        let mut text = messages.receiver_with_last(3).unwrap();
        for n in 97..100_u32 {
            assert_eq!(*late.recv().unwrap(), n);
            let message = text.recv().unwrap();
            assert_eq!(*message, *n.to_le_bytes().repeat(1 + n as usize % 5));
            assert_eq!(message.missed(), 0);
        }
        assert!(late.try_recv().unwrap().is_none() && text.try_recv().unwrap().is_none());
        // All that is there.
        let all = channel.receiver_with_last(u64::MAX).unwrap();
        assert!((14..=16).contains(&all.level()), "{full}: {}", all.level());
        let mut all = messages.receiver_with_last(u64::MAX).unwrap();
        let mut numbers = Vec::new();
        while let Some(message) = all.try_recv().unwrap() {
            numbers.push(u32::from_le_bytes(message[..4].try_into().unwrap()));
        }
        let first = numbers[0];
        assert!(first <= 25, "{full}: {first}");
        assert!(numbers.iter().copied().eq(first..100));
        // And nothing without asking.
        assert!(channel.receiver().unwrap().try_recv().unwrap().is_none());
    }
}

#[test]
fn a_full_channel_does_what_it_was_made_for() {
    let make =
        |full| -> Channel<u32> { Options::new().full(full).capacity(4).anonymous().unwrap() };
    let channel = make(Full::Fail);
    let (mut sender, _receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    (0..4).for_each(|n| sender.send(n).unwrap());
    assert_eq!(sender.send(4).unwrap_err().kind(), Kind::WouldBlock);
    assert!(!sender.try_send(4).unwrap());
    assert_eq!(sender.level(), 4);

    let channel = make(Full::DropNewest);
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    (0..6).for_each(|n| sender.send(n).unwrap());
    assert_eq!((sender.lost(), receiver.lost()), (2, 2));
    assert_eq!(*receiver.recv_many().unwrap(), [0, 1, 2, 3]);

    let channel = make(Full::Wait);
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    assert_eq!(sender.send_many(&[0, 1, 2, 3]).unwrap(), 4);
    assert!(sender.try_loan().unwrap().is_none());
    let late = sender
        .send_timeout(4, Duration::from_millis(20))
        .unwrap_err();
    assert_eq!(late.kind(), Kind::TimedOut, "{late}");
    let thread = std::thread::spawn(move || {
        sender.send(4).unwrap();
        sender
    });
    std::thread::sleep(Duration::from_millis(50));
    for n in 0..5 {
        assert_eq!(*receiver.recv_timeout(LIMIT).unwrap(), n);
    }
    let mut sender = thread.join().unwrap();
    // A receiver that leaves is waited for no longer.
    (0..4).for_each(|n| sender.send(n).unwrap());
    drop(receiver);
    (0..40).for_each(|n| sender.send(n).unwrap());
    assert!(!sender.is_connected());
}

#[test]
fn a_killed_receiver_is_waited_for_no_longer_and_its_seat_is_free() {
    let test = "a_killed_receiver_is_waited_for_no_longer_and_its_seat_is_free";
    if process::part().is_some() {
        let channel: Channel<u64> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut receiver = channel.receiver().unwrap();
        process::say("joined");
        let held = receiver.recv().unwrap();
        process::say("holds");
        process::hear();
        drop(held);
    }
    for waiting in [Waiting::Spin, Waiting::Adaptive, Waiting::Block] {
        let name = named("killed");
        let channel: Channel<u64> = Options::new()
            .capacity(4)
            .seats(3)
            .waiting(waiting)
            .temporary(true)
            .create(&name)
            .unwrap();
        let (mut sender, mut other) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let mut child = process::play(test, "hold", &[("OBJECT", &name)]).start();
        child.says("joined");
        assert_eq!(channel.receivers(), 2);
        (0..4).for_each(|n| sender.send(n).unwrap());
        child.says("holds");
        assert_eq!(*other.recv_many().unwrap(), [0, 1, 2, 3]);
        let full = channel.receiver().unwrap_err();
        assert_eq!(full.kind(), Kind::Limit, "{full}");
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            child.kill();
        });
        let start = Instant::now();
        sender.send_timeout(4, LIMIT).unwrap();
        assert!(
            start.elapsed() >= Duration::from_millis(90),
            "it does not wait"
        );
        killer.join().unwrap();
        for n in 4..20 {
            assert_eq!(*other.recv().unwrap(), n);
            sender.send(n + 1).unwrap();
        }
        assert_eq!(channel.receivers(), 1);
        channel.receiver().unwrap();
    }
}

#[test]
fn a_killed_sender_is_told_to_all_and_another_goes_on() {
    let test = "a_killed_sender_is_told_to_all_and_another_goes_on";
    if process::part().is_some() {
        let channel: Channel<[u8]> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut sender = channel.sender().unwrap();
        sender.send(b"first").unwrap();
        let mut loan = sender.loan(100).unwrap();
        loan.fill(9);
        process::say("sent");
        process::hear();
    }
    let name = named("successor");
    let channel: Channel<[u8]> = Options::new().temporary(true).create(&name).unwrap();
    let mut receivers = [channel.receiver().unwrap(), channel.receiver().unwrap()];
    let mut child = process::play(test, "send", &[("OBJECT", &name)]).start();
    child.says("sent");
    let sleepers = receivers.each_mut().map(|receiver| {
        assert_eq!(&*receiver.recv_timeout(LIMIT).unwrap(), b"first");
        receiver
    });
    std::thread::scope(|scope| {
        for receiver in sleepers {
            scope.spawn(|| {
                let gone = receiver.recv_timeout(LIMIT).unwrap_err();
                assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
            });
        }
        std::thread::sleep(Duration::from_millis(50));
        child.kill();
    });
    let mut sender = channel.sender().unwrap();
    sender.send(b"second").unwrap();
    for receiver in &mut receivers {
        assert_eq!(&*receiver.recv_timeout(LIMIT).unwrap(), b"second");
    }
}

#[test]
fn the_name_of_what_is_refused_and_why_is_told() {
    let (mut sender, _receiver) = broadcast::pair::<u8>(1).unwrap();
    sender.send(1).unwrap();
    assert!(!sender.try_send(2).unwrap());
    let name = named("refused");
    let channel: Channel<u64> = Options::new().temporary(true).create(&name).unwrap();
    let _sender = channel.sender().unwrap();
    let taken = channel.sender().unwrap_err();
    assert_eq!(taken.kind(), Kind::Limit);
    assert!(
        taken.to_string().contains(&std::process::id().to_string()),
        "{taken}"
    );
    let other = Options::new().open::<Channel<i32>>(&name).unwrap_err();
    assert_eq!(other.kind(), Kind::BadInput, "{other}");
    let few = Options::new()
        .seats(1)
        .anonymous::<Channel<u64>>()
        .unwrap_err();
    assert_eq!(few.kind(), Kind::BadInput, "{few}");
}

#[test]
fn batches_go_both_ways_in_every_kind_of_channel() {
    for full in [
        Full::Wait,
        Full::Fail,
        Full::DropNewest,
        Full::OverwriteOldest,
    ] {
        for trust in [Trust::Peers, Trust::Nobody] {
            batches_of_values(Options::new().full(full).trust(trust), full);
            batches_of_messages(Options::new().full(full).trust(trust), full);
        }
    }
}

fn batches_of_values(options: Options, full: Full) {
    let channel: Channel<u32> = options.capacity(8).anonymous().unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    assert!(receiver.try_recv_many().unwrap().is_none());
    let mut loan = sender.loan_many(5).unwrap();
    assert_eq!(loan.len(), 5);
    loan.copy_from_slice(&[0, 1, 2, 3, 99]);
    loan.send(4);
    drop(sender.loan_many(3).unwrap());
    sender.loan_many(3).unwrap().send(0);
    let none = sender.loan_many(0).unwrap_err();
    assert_eq!(none.kind(), Kind::BadInput, "{none}");
    assert_eq!(*receiver.try_recv_many().unwrap().unwrap(), [0, 1, 2, 3]);
    // It goes round the end of the ring.
    let values: Vec<u32> = (4..12).collect();
    assert_eq!(sender.try_send_many(&values).unwrap(), 8);
    if full == Full::OverwriteOldest {
        assert_eq!(sender.try_send_many(&[12, 13]).unwrap(), 2);
        let batch = receiver.recv_many().unwrap();
        assert_eq!((&*batch, batch.missed()), (&[6, 7][..], 2));
        drop(batch);
        assert_eq!(*receiver.recv_many().unwrap(), [8, 9, 10, 11, 12, 13]);
        return;
    }
    assert_eq!(sender.try_send_many(&[12, 13]).unwrap(), 0);
    assert!(sender.try_loan().unwrap().is_none());
    assert_eq!(sender.lost(), 0, "nothing was given to be sent");
    assert_eq!(*receiver.recv_many().unwrap(), [4, 5, 6, 7]);
    assert_eq!(sender.try_send_many(&[12, 13, 14, 15, 16]).unwrap(), 4);
    assert_eq!(
        *receiver.recv_many().unwrap(),
        [8, 9, 10, 11, 12, 13, 14, 15]
    );
    drop(sender);
    let gone = receiver.try_recv_many().unwrap_err();
    assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
}

fn batches_of_messages(options: Options, full: Full) {
    let channel: Channel<[u8]> = options.capacity(4096).anonymous().unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    assert!(receiver.try_recv_many().unwrap().is_none());
    // Records of 1,016 bytes: four of them fit, with the header of the next.
    let messages: Vec<_> = (0..5_u8).map(|n| vec![n; 1000]).collect();
    let sent = sender.try_send_many(&messages).unwrap();
    let mut batch = receiver.try_recv_many().unwrap().unwrap();
    if full == Full::OverwriteOldest {
        assert_eq!((sent, batch.missed()), (5, 1));
        for n in 1..5 {
            assert_eq!(batch.next().unwrap(), Some(&[n; 1000][..]));
        }
    } else {
        assert_eq!((sent, batch.missed()), (4, 0));
        assert_eq!(batch.next().unwrap(), Some(&[0; 1000][..]));
        drop(batch);
        // What was not looked at comes again.
        batch = receiver.recv_many().unwrap();
        for n in 1..4 {
            assert_eq!(batch.next().unwrap(), Some(&[n; 1000][..]));
        }
    }
    assert_eq!(batch.next().unwrap(), None);
    drop(batch);
    assert_eq!(sender.send_many(&[&b""[..], b"a", b"bc"]).unwrap(), 3);
    assert_eq!(&*receiver.recv().unwrap(), b"");
    let mut batch = receiver.recv_many().unwrap();
    assert_eq!(batch.next().unwrap(), Some(&b"a"[..]));
    assert_eq!(batch.next().unwrap(), Some(&b"bc"[..]));
    drop(batch);
    if full != Full::OverwriteOldest {
        assert_eq!(sender.try_send_many(&messages).unwrap(), 4);
        assert!(sender.try_loan(1000).unwrap().is_none());
        assert_eq!(sender.lost(), 0, "nothing was given to be sent");
    }
    let big = sender.try_send_many(&[vec![0; 5000]]).unwrap_err();
    assert_eq!(big.kind(), Kind::TooBig, "{big}");
}

/// Both ends use batches of random lengths, in two processes.
#[test]
fn batches_keep_the_order_between_processes_and_count_what_was_overwritten() {
    const COUNT: u64 = 100_000;
    let test = "batches_keep_the_order_between_processes_and_count_what_was_overwritten";
    let message = |n: u64| n.to_le_bytes().repeat(1 + n as usize % 7);
    if process::part().is_some() {
        let options = Options::new().trust(trust(&process::argument("TRUST")));
        let values: Channel<u64> = options.open(process::argument("OBJECT")).unwrap();
        let messages: Channel<[u8]> = options.open(process::argument("OTHER")).unwrap();
        let (mut sender, mut second) = (values.sender().unwrap(), messages.sender().unwrap());
        let mut n = 0;
        while n < COUNT {
            let len = (1 + n % 37).min(COUNT - n);
            let batch: Vec<_> = (n..n + len).collect();
            if n % 2 == 0 {
                assert_eq!(sender.send_many(&batch).unwrap() as u64, len);
            } else {
                let mut sent = 0;
                while sent < batch.len() {
                    let mut loan = sender.loan_many(batch.len() - sent).unwrap();
                    let count = loan.len();
                    loan.copy_from_slice(&batch[sent..sent + count]);
                    loan.send(count);
                    sent += count;
                }
            }
            let batch: Vec<_> = batch.iter().map(|n| message(*n)).collect();
            let mut sent = second.try_send_many(&batch).unwrap();
            sent += second.send_many(&batch[sent..]).unwrap();
            assert_eq!(sent as u64, len);
            n += len;
        }
        return;
    }
    for (full, whom) in [
        (Full::Wait, "peers"),
        (Full::Wait, "nobody"),
        (Full::OverwriteOldest, "peers"),
    ] {
        let (name, other) = (named("batches"), named("batches"));
        let options = Options::new().full(full).trust(trust(whom)).temporary(true);
        let values: Channel<u64> = options.clone().capacity(64).create(&name).unwrap();
        let messages: Channel<[u8]> = options.capacity(4096).create(&other).unwrap();
        let (mut receiver, mut second) = (values.receiver().unwrap(), messages.receiver().unwrap());
        let more = [
            ("OBJECT", name.as_str()),
            ("OTHER", &other),
            ("TRUST", whom),
        ];
        let child = process::play(test, "send", &more).start();
        process::eventually("it sends", || receiver.level() > 0 || receiver.lost() > 0);
        let (mut next, mut text, mut missed) = (0, 0, 0);
        while next < COUNT || text < COUNT {
            match receiver.try_recv_many() {
                Ok(Some(batch)) => {
                    next += batch.missed();
                    missed += batch.missed();
                    for value in &*batch {
                        assert_eq!(*value, next, "{full} {whom}");
                        next += 1;
                    }
                }
                Ok(None) => {}
                Err(error) => assert_eq!(error.kind(), Kind::Disconnected, "{error}"),
            }
            match second.try_recv_many() {
                Ok(Some(mut batch)) => {
                    text += batch.missed();
                    missed += batch.missed();
                    while let Some(bytes) = batch.next().unwrap() {
                        assert_eq!(bytes, message(text), "{full} {whom}");
                        text += 1;
                    }
                }
                Ok(None) => {}
                Err(error) => assert_eq!(error.kind(), Kind::Disconnected, "{error}"),
            }
        }
        assert_eq!((next, text), (COUNT, COUNT));
        assert!(full == Full::OverwriteOldest || missed == 0);
        child.succeeds();
    }
}
