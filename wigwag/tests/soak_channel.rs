//! Soak of the one-to-one channel: random kills, and long races between who falls asleep and who wakes.
//!
//! A few seconds each, or `WIGWAG_SOAK` seconds.
#![cfg(not(loom))]

mod process;
mod soaking;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use process::PATIENCE;
use soaking::{next, seat, seconds};
use wigwag::Kind;
use wigwag::memory::Segment;
use wigwag::memory::segment;
use wigwag::pattern::channel::one_to_one::Channel;
use wigwag::pattern::channel::{Options, Waiting};

const INCARNATIONS: usize = 1 << 16;

/// A value: which sender, its count, and both again so that a torn one shows.
type Value = [u64; 8];

wigwag::shared! {
    /// What the children have seen.
    struct Book {
        /// How many senders there were.
        senders: AtomicU64,
        /// The last number that each was told to be accepted.
        accepted: [AtomicU64; INCARNATIONS],
        /// The sender and the number of the last value that was received.
        last_sender: AtomicU64,
        last_number: AtomicU64,
        received: AtomicU64,
        faults: AtomicU64,
    }
}

fn send(channel: &Channel<Value>, book: &Book) {
    let mut sender = seat(|| channel.sender());
    // After each loss of the receiver it counts as another, which begins at 1.
    let next = || (book.senders.fetch_add(1, SeqCst) + 1, 1);
    let (mut me, mut number) = next();
    loop {
        let value = [me, number, me, number, me, number, me, number];
        match sender.send_timeout(value, PATIENCE) {
            Ok(()) => {
                book.accepted[me as usize % INCARNATIONS].store(number, SeqCst);
                number += 1;
            }
            Err(error) if error.kind() == Kind::Disconnected => {
                // Until the next receiver comes.
                std::thread::sleep(Duration::from_micros(100));
                (me, number) = next();
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn receive(channel: &Channel<Value>, book: &Book) {
    let mut receiver = seat(|| channel.receiver());
    let mut first = true;
    loop {
        let value = match receiver.recv_timeout(PATIENCE) {
            Ok(value) => value,
            Err(error) if error.kind() == Kind::Disconnected => {
                std::thread::sleep(Duration::from_micros(100));
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let [sender, number, ..] = *value;
        let whole = *value
            == [
                sender, number, sender, number, sender, number, sender, number,
            ];
        let (last_sender, last_number) =
            (book.last_sender.load(SeqCst), book.last_number.load(SeqCst));
        let follows = sender == last_sender && number == last_number + 1;
        // The last receiver noted it and was killed before it gave it back.
        let again = first && sender == last_sender && number == last_number;
        // A sender may be killed, or told that nobody receives, before any value of it.
        let of_next = sender > last_sender
            && number == 1
            && (last_sender..sender).all(|gone| {
                let accepted = book.accepted[gone as usize % INCARNATIONS].load(SeqCst);
                accepted <= if gone == last_sender { last_number } else { 0 }
            });
        if !(whole && (follows || again || of_next)) {
            eprintln!("fault: {value:?} after {last_sender}, {last_number}");
            book.faults.fetch_add(1, SeqCst);
        }
        first = false;
        // Both, or a kill between them looks like a fault: the number is 0 until it is known.
        if sender != last_sender {
            book.last_number.store(0, SeqCst);
            book.last_sender.store(sender, SeqCst);
        }
        book.last_number.store(number, SeqCst);
        book.received.fetch_add(1, SeqCst);
    }
}

#[test]
fn nothing_accepted_is_lost_or_doubled_by_random_kills() {
    let test = "nothing_accepted_is_lost_or_doubled_by_random_kills";
    if let Some(part) = process::part() {
        let name = process::argument("OBJECT");
        let book = Segment::<Book>::open(format!("{name}-book")).expect("open");
        let channel: Channel<Value> = Options::new().open(&name).expect("open");
        process::say("comes");
        match part.as_str() {
            "send" => send(&channel, &book),
            _ => receive(&channel, &book),
        }
        return;
    }
    let name = format!("/{}", process::unique("soak"));
    let book = segment::Options::new()
        .temporary(true)
        .create_zeroed::<Book>(format!("{name}-book"))
        .expect("create");
    let _channel: Channel<Value> = Options::new()
        .capacity(8)
        .temporary(true)
        .create(&name)
        .expect("create");
    let start = |part| {
        let mut child = process::play(test, part, &[("OBJECT", &name)]).start();
        child.says("comes");
        child
    };
    let mut children = [start("send"), start("receive")];
    let (begin, mut kills, mut random) = (Instant::now(), 0, u64::from(std::process::id()) | 1);
    while begin.elapsed() < seconds(8) {
        std::thread::sleep(Duration::from_micros(next(&mut random) % 10_000));
        let victim = (next(&mut random) >> 20) as usize % 2;
        children[victim].kill();
        children[victim] = start(["send", "receive"][victim]);
        kills += 1;
        assert_eq!(book.faults.load(SeqCst), 0, "after {kills} kills");
    }
    let before = book.received.load(SeqCst);
    process::eventually("it goes on", || book.received.load(SeqCst) > before + 100);
    let received = book.received.load(SeqCst);
    assert!(
        kills > 20 && received > 1000,
        "{kills} kills, {received} received"
    );
    println!(
        "{received} received, {kills} kills in {:?}",
        begin.elapsed()
    );
}

#[test]
fn whatever_a_killed_process_leaves_the_next_can_create() {
    let test = "whatever_a_killed_process_leaves_the_next_can_create";
    let options = || Options::new().capacity(64).waiting(Waiting::Block);
    if process::part().is_some() {
        let name = process::argument("OBJECT");
        process::say("begins");
        loop {
            let channel: Channel<Value> = match options().create(&name) {
                Ok(channel) => channel,
                Err(error) => {
                    process::say(&format!("fails: {error}"));
                    return;
                }
            };
            let (mut sender, mut receiver) = (
                channel.sender().expect("a sender"),
                channel.receiver().expect("a receiver"),
            );
            sender.send([1; 8]).expect("send");
            assert_eq!(*receiver.recv().expect("receive"), [1; 8]);
            drop((sender, receiver));
            // Half of them remove it in order, half leave it to the next.
            if std::process::id().is_multiple_of(2) {
                let _ = std::fs::remove_file(format!("/dev/shm{name}"));
            } else {
                process::say("leaves it");
                process::hear();
            }
        }
    }
    let name = format!("/{}", process::unique("kills"));
    let (mut random, begin) = (u64::from(std::process::id()) | 1, Instant::now());
    let (length, mut kills) = (seconds(6), 0);
    while begin.elapsed() < length {
        let mut child = process::play(test, "create", &[("OBJECT", &name)]).start();
        child.says("begins");
        std::thread::sleep(Duration::from_micros(next(&mut random) % 800));
        child.kill();
        let last = child.line_or_end();
        assert!(!last.starts_with("fails"), "after {kills} kills: {last}");
        kills += 1;
    }
    let channel: Channel<Value> = options().temporary(true).create(&name).expect("create");
    drop(channel);
    let left: Vec<_> = std::fs::read_dir("/dev/shm")
        .expect("the names")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|entry| entry.contains(&name[1..]))
        .collect();
    assert!(
        left.is_empty() && kills > 50,
        "{left:?} after {kills} kills"
    );
    println!("{kills} kills in {:?}", begin.elapsed());
}

#[test]
fn no_wake_up_is_lost_however_sleepers_and_wakers_race() {
    let test = "no_wake_up_is_lost_however_sleepers_and_wakers_race";
    let waiting = |name: &str| match name {
        "block" => Waiting::Block,
        _ => Waiting::Adaptive,
    };
    if let Some(part) = process::part() {
        let name = process::argument("OBJECT");
        let channel: Channel<u64> = Options::new()
            .waiting(waiting(&part))
            .open(&name)
            .expect("open");
        let mut sender = channel.sender().expect("a sender");
        let (start, length) = (Instant::now(), seconds(6) / 2);
        let (mut count, mut random) = (0, u64::from(std::process::id()) | 1);
        while start.elapsed() < length {
            // Single values, bursts that fill it, long streams after which the sender is careless again.
            let burst = match next(&mut random) >> 20 & 15 {
                0 => 10_000,
                1..4 => 30,
                _ => 1,
            };
            for _ in 0..burst {
                count += 1;
                sender.send_timeout(count, PATIENCE).expect("room in time");
            }
            for _ in 0..next(&mut random) >> 20 & 0x7ff {
                std::hint::spin_loop();
            }
        }
        sender
            .send_timeout(u64::MAX, PATIENCE)
            .expect("room in time");
        return;
    }
    for part in ["block", "adaptive"] {
        for capacity in [1, 16] {
            let name = format!("/{}", process::unique("race"));
            let channel: Channel<u64> = Options::new()
                .capacity(capacity)
                .waiting(waiting(part))
                .temporary(true)
                .create(&name)
                .expect("create");
            let mut receiver = channel.receiver().expect("a receiver");
            let child = process::play(test, part, &[("OBJECT", &name)]).start();
            let (mut count, mut random) = (0, 7);
            loop {
                let value = *receiver.recv_timeout(PATIENCE).expect("a value in time");
                if value == u64::MAX {
                    break;
                }
                count += 1;
                assert_eq!(value, count);
                if next(&mut random) >> 20 & 63 == 0 {
                    for _ in 0..next(&mut random) >> 20 & 0x7ff {
                        std::hint::spin_loop();
                    }
                }
            }
            child.succeeds();
            println!("{part}, {capacity}: {count} values");
        }
    }
}
