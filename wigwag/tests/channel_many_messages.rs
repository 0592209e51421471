//! Byte messages of any length through the many-to-many channel, between several processes.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)] // what tests share is test too

mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::many_to_many::{self, Channel, Receiver};
use wigwag::pattern::channel::{Full, Options, Waiting};
use wigwag::{Error, Kind};

/// Waits in tests are bounded by this and end long before.
const LIMIT: Duration = Duration::from_secs(20);
const MESSAGES: u64 = 5_000;
/// The smallest ring.
const CAPACITY: usize = 4096;

fn named(stem: &str) -> String {
    format!("/{}", process::unique(stem))
}

fn options() -> Options {
    Options::new().capacity(CAPACITY as u64)
}

fn anonymous(options: &Options) -> Channel<[u8]> {
    options.anonymous().unwrap()
}

/// Bytes of which each tells where it belongs.
fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (seed * 31 + at * 7) as u8).collect()
}

/// That a message is this one.
#[track_caller]
fn is(message: &[u8], expected: &[u8]) {
    // They are too long to be shown.
    let first = message
        .iter()
        .zip(expected)
        .position(|(one, other)| one != other);
    assert_eq!((message.len(), first), (expected.len(), None));
}

/// All that is there.
fn rest(receiver: &mut Receiver<[u8]>) -> Vec<usize> {
    let mut found = Vec::new();
    loop {
        match receiver.try_recv() {
            Ok(Some(message)) => {
                is(&message, &pattern(message.len(), message.len()));
                found.push(message.len());
            }
            Ok(None) => return found,
            Err(error) => {
                assert_eq!(error.kind(), Kind::Disconnected, "{error}");
                return found;
            }
        }
    }
}

#[test]
fn every_length_up_to_the_whole_ring_arrives_whole_wherever_it_begins() {
    for trust in [Trust::Peers, Trust::Nobody] {
        let channel = anonymous(&options().trust(trust));
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        assert_eq!(sender.longest(), CAPACITY);
        for len in 0..=CAPACITY {
            let message = pattern(len, len);
            assert!(sender.try_send(&message).unwrap(), "{len}");
            is(&receiver.recv().unwrap(), &message);
            // The next begins elsewhere.
            assert!(sender.try_send(b"x").unwrap());
            is(&receiver.recv().unwrap(), b"x");
        }
        let refused = sender.send(&vec![0; CAPACITY + 1]).unwrap_err();
        assert_eq!(refused.kind(), Kind::TooBig, "{refused}");
        assert_eq!((sender.level(), sender.lost()), (0, 0));
    }
}

#[test]
fn a_ring_is_full_when_its_cells_are() {
    let channel = anonymous(&options());
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    for len in [0, 1, 64] {
        for _ in 0..64 {
            assert!(sender.try_send(&pattern(len, len)).unwrap());
        }
        assert!(!sender.try_send(b"").unwrap());
        assert_eq!(sender.level(), 4096);
        assert_eq!(rest(&mut receiver), [len; 64]);
    }
    for len in [65, 128] {
        for _ in 0..32 {
            assert!(sender.try_send(&pattern(len, len)).unwrap());
        }
        assert!(!sender.try_send(b"").unwrap());
        assert_eq!(rest(&mut receiver), [len; 32]);
    }
}

/// Marsaglia's xorshift.
fn next(random: &mut u64) -> usize {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random >> 11) as u32 as usize
}

/// Mostly short, sometimes as long as can be.
fn length(random: &mut u64) -> usize {
    let most = [20, 100, 100, 1000, CAPACITY][next(random) % 5];
    next(random) % (most + 1)
}

/// Who is too short to say more consists of the sender's number.
const SHORT: usize = 16;

fn message(from: u64, n: u64, len: usize) -> Vec<u8> {
    if len < SHORT {
        return vec![from as u8; len];
    }
    let mut message = pattern((from + 3 * n) as usize, len);
    message[..8].copy_from_slice(&from.to_ne_bytes());
    message[8..16].copy_from_slice(&n.to_ne_bytes());
    message
}

fn plays(part: &str) {
    let (kind, number) = part.split_once(' ').unwrap();
    let number: u64 = number.parse().unwrap();
    let waiting = match process::argument("WAITING").as_str() {
        "block" => Waiting::Block,
        _ => Waiting::Adaptive,
    };
    let trust = match process::argument("TRUST").as_str() {
        "nobody" => Trust::Nobody,
        _ => Trust::Peers,
    };
    let options = Options::new().waiting(waiting).trust(trust);
    let channel: Channel<[u8]> = options.open(process::argument("OBJECT")).unwrap();
    if kind == "send" {
        let mut sender = channel.sender().unwrap();
        process::say("ready");
        process::hear();
        let mut random = number * 7919;
        for n in 0..MESSAGES {
            let bytes = message(number, n, length(&mut random));
            match n % 3 {
                0 => sender.send(&bytes).unwrap(),
                1 => {
                    let mut loan = sender.loan(bytes.len()).unwrap();
                    loan.copy_from_slice(&bytes);
                    loan.send();
                }
                _ => {
                    // More than turns out to be needed.
                    let room = (bytes.len() + next(&mut random) % 500).min(CAPACITY);
                    let mut loan = sender.loan(room).unwrap();
                    loan[..bytes.len()].copy_from_slice(&bytes);
                    loan.truncate(bytes.len());
                    loan.send();
                }
            }
        }
        return;
    }
    let mut receiver = channel.receiver().unwrap();
    process::say("ready");
    process::hear();
    // Of each sender: the number of messages, their bytes, the last.
    let mut seen = BTreeMap::<u64, (u64, u64, u64)>::new();
    let gone = loop {
        match receiver.recv() {
            Ok(bytes) => {
                let (from, n) = match bytes.len() {
                    0 => (0, 0),
                    1..SHORT => (u64::from(bytes[0]), 0),
                    _ => {
                        let word = |at| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
                        (word(0), word(8))
                    }
                };
                is(&bytes, &message(from, n, bytes.len()));
                let (count, sum, last) = seen.entry(from).or_default();
                if bytes.len() >= SHORT {
                    assert!(*last <= n, "{n} of {from} came after {last}");
                    *last = n + 1;
                }
                (*count, *sum) = (*count + 1, *sum + bytes.len() as u64);
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

/// What a sender sends, as its receivers count it: the empty ones are nobody's.
fn sent(number: u64, totals: &mut BTreeMap<u64, (u64, u64)>) {
    let mut random = number * 7919;
    for n in 0..MESSAGES {
        let len = length(&mut random);
        if n % 3 == 2 {
            next(&mut random);
        }
        let (count, sum) = totals.entry(if len == 0 { 0 } else { number }).or_default();
        (*count, *sum) = (*count + 1, *sum + len as u64);
    }
}

/// Three send and two receive through so small a ring that all wait for each other.
#[test]
fn messages_of_all_lengths_arrive_once_whole_and_in_their_senders_order() {
    const TEST: &str = "messages_of_all_lengths_arrive_once_whole_and_in_their_senders_order";
    if let Some(part) = process::part() {
        return plays(&part);
    }
    for (how, whom) in [
        ("adaptive", "peers"),
        ("block", "peers"),
        ("block", "nobody"),
    ] {
        let name = named("many-messages");
        let made = options().trust(match whom {
            "nobody" => Trust::Nobody,
            _ => Trust::Peers,
        });
        let _channel: Channel<[u8]> = made.temporary(true).create(&name).unwrap();
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
        let mut seen = BTreeMap::<u64, (u64, u64)>::new();
        for mut receiver in receivers {
            loop {
                let line = receiver.line();
                if line == "end" {
                    break;
                }
                let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
                let (count, sum) = seen.entry(numbers[0]).or_default();
                (*count, *sum) = (*count + numbers[1], *sum + numbers[2]);
            }
            receiver.succeeds();
        }
        for sender in senders {
            sender.succeeds();
        }
        let mut expected = BTreeMap::new();
        (1..4).for_each(|number| sent(number, &mut expected));
        assert_eq!(seen, expected, "{how} {whom}");
    }
}

/// Whoever fills each gap with short messages does not keep a long one waiting.
#[test]
fn a_message_as_long_as_the_ring_gets_through_among_short_ones() {
    for waiting in [Waiting::Adaptive, Waiting::Block] {
        let channel = anonymous(&options().waiting(waiting));
        let mut long = channel.sender().unwrap();
        let mut receiver = channel.receiver().unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let (mut short, stop) = (channel.sender().unwrap(), &stop);
                scope.spawn(move || {
                    while !stop.load(SeqCst) {
                        short.send(&pattern(9, 9)).unwrap();
                    }
                });
            }
            scope.spawn(move || {
                loop {
                    match receiver.recv_timeout(LIMIT) {
                        Ok(message) => {
                            is(&message, &pattern(message.len(), message.len()));
                            // Slower than those who send, so that it is never empty by itself.
                            let start = Instant::now();
                            while start.elapsed() < Duration::from_micros(20) {}
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), Kind::Disconnected, "{error}");
                            break;
                        }
                    }
                }
            });
            let outcome: Result<(), Error> =
                (0..5).try_for_each(|_| long.send_timeout(&pattern(CAPACITY, CAPACITY), LIMIT));
            stop.store(true, SeqCst);
            drop(long);
            outcome.unwrap();
        });
    }
}

/// The room that is given back one by one is kept for it.
#[test]
fn a_long_message_that_waits_is_not_overtaken() {
    let channel = anonymous(&options().waiting(Waiting::Block));
    let mut long = channel.sender().unwrap();
    let mut short = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    assert_eq!(short.try_send_many(&vec![pattern(9, 9); 60]).unwrap(), 60);
    std::thread::scope(|scope| {
        let long = scope.spawn(move || {
            let sent = long.send_timeout(&pattern(CAPACITY, CAPACITY), LIMIT);
            (sent, long)
        });
        std::thread::sleep(Duration::from_millis(100));
        for _ in 0..60 {
            assert!(!short.try_send(b"").unwrap(), "it overtook");
            is(&receiver.recv().unwrap(), &pattern(9, 9));
        }
        is(
            &receiver.recv_timeout(LIMIT).unwrap(),
            &pattern(CAPACITY, CAPACITY),
        );
        let (sent, _long) = long.join().unwrap();
        sent.unwrap();
        assert!(short.try_send(b"").unwrap());
    });
}

#[test]
fn who_waits_no_longer_in_the_line_stands_in_nobodys_way() {
    let channel = anonymous(&options().waiting(Waiting::Block));
    let mut long = channel.sender().unwrap();
    let mut short = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    short.send(&pattern(3000, 3000)).unwrap();
    let late = long.send_timeout(&pattern(2000, 2000), Duration::from_millis(20));
    assert_eq!(late.unwrap_err().kind(), Kind::TimedOut);
    assert!(short.try_send(&pattern(900, 900)).unwrap());
    assert_eq!(rest(&mut receiver), [3000, 900]);

    // The same for one who sleeps behind him meanwhile.
    short.send(&pattern(3000, 3000)).unwrap();
    std::thread::scope(|scope| {
        let waits = Duration::from_millis(200);
        let long = scope.spawn(move || long.send_timeout(&pattern(2000, 2000), waits));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!short.try_send(&pattern(900, 900)).unwrap(), "it overtook");
        let start = Instant::now();
        short.send_timeout(&pattern(900, 900), LIMIT).unwrap();
        assert!(start.elapsed() < LIMIT / 2);
        assert_eq!(long.join().unwrap().unwrap_err().kind(), Kind::TimedOut);
    });
    assert_eq!(rest(&mut receiver), [3000, 900]);
}

#[test]
fn a_full_channel_of_messages_does_what_it_was_made_for() {
    let made = |full| anonymous(&options().full(full));
    let send = |channel: &Channel<[u8]>, lengths: &[usize]| -> Result<(), Error> {
        let mut sender = channel.sender().unwrap();
        let mut lengths = lengths.iter();
        lengths.try_for_each(|len| sender.send(&pattern(*len, *len)))
    };
    let found = |channel: &Channel<[u8]>| {
        let mut receiver = channel.receiver().unwrap();
        (rest(&mut receiver), receiver.lost())
    };
    let channel = made(Full::Fail);
    let refused = send(&channel, &[1900, 2000, 200]).unwrap_err();
    assert_eq!(refused.kind(), Kind::WouldBlock, "{refused}");
    assert_eq!(found(&channel), (vec![1900, 2000], 0));

    let channel = made(Full::DropNewest);
    // What fits is sent, whatever did not before it.
    send(&channel, &[1900, 2000, 200, 10, 200]).unwrap();
    assert_eq!(found(&channel), (vec![1900, 2000, 10], 2));

    let channel = made(Full::OverwriteOldest);
    send(&channel, &[1000, 2000, 1000, 1100]).unwrap();
    assert_eq!(found(&channel), (vec![1000, 1100], 2));
    send(&channel, &[1000, 2000, 10, 4096]).unwrap();
    assert_eq!(found(&channel), (vec![4096], 5));
    send(&channel, &[64; 100]).unwrap();
    assert_eq!(found(&channel), (vec![64; 64], 5 + 36));

    let channel = made(Full::Wait);
    send(&channel, &[4096]).unwrap();
    let mut sender = channel.sender().unwrap();
    assert!(!sender.try_send(b"").unwrap());
    let late = sender.send_timeout(b"", Duration::from_millis(20));
    assert_eq!(late.unwrap_err().kind(), Kind::TimedOut);
    drop(channel.receiver().unwrap());
    let gone = sender.send(b"").unwrap_err();
    assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
}

/// An overwriting sender of long messages makes room once, not again and again for others.
#[test]
fn who_overwrites_gets_the_room_that_it_made() {
    let channel = anonymous(&options().full(Full::OverwriteOldest));
    let mut long = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (mut short, stop) = (channel.sender().unwrap(), &stop);
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    short.send(&pattern(9, 9)).unwrap();
                }
            });
        }
        let sent: Result<(), Error> =
            (0..50).try_for_each(|_| long.send_timeout(&pattern(CAPACITY, CAPACITY), LIMIT));
        stop.store(true, SeqCst);
        sent.unwrap();
    });
    rest(&mut receiver);
}

#[test]
fn a_loan_of_a_message_is_shortened_given_up_or_forgotten() {
    for trust in [Trust::Peers, Trust::Nobody] {
        let channel = anonymous(&options().trust(trust));
        let mut one = channel.sender().unwrap();
        let mut other = channel.sender().unwrap();
        let mut receiver = channel.receiver().unwrap();
        for len in [0, 1, 63, 64, 65, 4000, 4095, 4096] {
            let mut loan = one.loan(CAPACITY).unwrap();
            assert_eq!(loan.len(), CAPACITY);
            loan.truncate(len);
            loan.truncate(CAPACITY);
            loan.copy_from_slice(&pattern(len, len));
            loan.send();
            // What it did not need is room for others.
            let room = CAPACITY - len.max(1).next_multiple_of(64);
            if room > 0 {
                is(&receiver.recv().unwrap(), &pattern(len, len));
                assert!(other.try_send(&pattern(room, room)).unwrap());
                assert_eq!(rest(&mut receiver), [room]);
            } else {
                assert!(!other.try_send(b"").unwrap());
                assert_eq!(rest(&mut receiver), [len]);
            }
        }
        drop(one.loan(CAPACITY).unwrap());
        assert!(other.try_send(&pattern(CAPACITY, CAPACITY)).unwrap());
        assert!(one.try_loan(0).unwrap().is_none());
        assert_eq!(rest(&mut receiver), [CAPACITY]);
        std::mem::forget(one.loan(CAPACITY).unwrap());
        assert!(!other.try_send(b"").unwrap());
        drop(one);
        assert!(other.try_send(&pattern(77, 77)).unwrap());
        // A message that was looked at and forgotten comes again.
        std::mem::forget(receiver.recv().unwrap());
        assert_eq!(rest(&mut receiver), [77]);
    }
}

/// Who is killed with a claim, in the line, or with a message that it holds, holds up nobody.
#[test]
fn what_a_killed_process_had_of_the_ring_comes_back() {
    const TEST: &str = "what_a_killed_process_had_of_the_ring_comes_back";
    if let Some(part) = process::part() {
        let channel: Channel<[u8]> = Options::new()
            .waiting(Waiting::Block)
            .open(process::argument("OBJECT"))
            .unwrap();
        match part.as_str() {
            "claims" => {
                let mut sender = channel.sender().unwrap();
                let mut loan = sender.loan(3000).unwrap();
                loan.fill(9);
                process::say("has");
                process::hear();
                loan.send();
            }
            "stands in line" => {
                let mut sender = channel.sender().unwrap();
                process::say("has");
                sender.send(&pattern(4000, 4000)).unwrap();
            }
            _ => {
                let mut receiver = channel.receiver().unwrap();
                let held = receiver.recv().unwrap();
                is(&held, &pattern(1000, 1000));
                process::say("has");
                process::hear();
            }
        }
        return;
    }
    for waiting in [Waiting::Adaptive, Waiting::Block, Waiting::Spin] {
        for part in ["claims", "stands in line", "holds"] {
            let name = named("ring");
            let made = options().waiting(waiting).temporary(true);
            let channel: Channel<[u8]> = made.create(&name).unwrap();
            let mut sender = channel.sender().unwrap();
            let mut receiver = channel.receiver().unwrap();
            sender.send(&pattern(1000, 1000)).unwrap();
            let mut child = process::play(TEST, part, &[("OBJECT", &name)]).start();
            child.says("has");
            if part == "stands in line" {
                child.sleeps_in(libc::SYS_futex_waitv);
                assert!(!sender.try_send(b"").unwrap());
            }
            let about = format!("{waiting:?} {part}");
            // What it must wait for, and what comes then.
            let (len, comes) = match part {
                "claims" => {
                    assert_eq!(rest(&mut receiver), [1000]);
                    (2500, [2500].as_slice())
                }
                "stands in line" => (100, [1000, 100].as_slice()),
                _ => (2500, [1000, 2500].as_slice()),
            };
            let killer = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                child.kill();
            });
            sender
                .send_timeout(&pattern(len, len), LIMIT)
                .expect(&about);
            let came = comes.iter().map(|_| {
                let message = receiver.recv_timeout(LIMIT).expect(&about);
                is(&message, &pattern(message.len(), message.len()));
                message.len()
            });
            // What was held comes as soon as that is known, maybe after what was behind it.
            let came: BTreeSet<usize> = came.collect();
            assert_eq!(came, comes.iter().copied().collect(), "{about}");
            sender
                .send_timeout(&pattern(4096, 4096), LIMIT)
                .expect(&about);
            assert_eq!(rest(&mut receiver), [4096], "{about}");
            killer.join().unwrap();
        }
    }
}

#[test]
fn a_ring_of_many_megabytes_carries_long_messages() {
    const LONG: usize = 5 << 20;
    let (mut sender, mut receiver) = many_to_many::pair::<[u8]>(8 << 20).unwrap();
    for round in 0..10 {
        let message = pattern(round, LONG + round * 1000);
        sender.send(&message).unwrap();
        assert!(!sender.try_send(&message).unwrap());
        assert!(*receiver.recv().unwrap() == message);
    }
    let refused = Options::new()
        .capacity((4 << 30) + 1)
        .anonymous::<Channel<[u8]>>();
    assert_eq!(refused.unwrap_err().kind(), Kind::BadInput);
}

/// A program of an earlier version does not misread it, nor this one an earlier channel.
#[test]
fn the_layout_of_messages_differs_from_that_of_values() {
    let name = named("layout");
    let _made: Channel<[u8]> = options().temporary(true).create(&name).unwrap();
    let refused = Options::new().open::<Channel<u64>>(&name).unwrap_err();
    assert_eq!(refused.kind(), Kind::BadInput, "{refused}");
}
