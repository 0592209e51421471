//! Soak of broadcast and of the latest value: senders and receivers are killed at random and started again.
//!
//! A few seconds each, or `WIGWAG_SOAK` seconds. Each receiver checks the history that it sees: in a lossless channel each value of a
//! sender follows the one before it, in an overwriting one it follows after exactly as many as were told to be missed.
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
use wigwag::pattern::channel::{Full, Options, broadcast, latest};

/// The number of the value, counted over all senders, thrice; and the sender.
type Value = [u64; 4];

wigwag::shared! {
    /// What the children have seen.
    struct Book { received: AtomicU64, missed: AtomicU64, faults: AtomicU64, senders: AtomicU64 }
}

fn fault(book: &Book, what: &str) {
    eprintln!("fault: {what}");
    book.faults.fetch_add(1, SeqCst);
}

/// Runs a sender or a receiver by part, in a child; kills and restarts them in the test.
fn soak(
    test: &'static str,
    name: &str,
    children: &[&'static str],
    length: Duration,
) -> Segment<Book> {
    let book = segment::Options::new()
        .temporary(true)
        .create(
            format!("{name}-book"),
            Book {
                received: AtomicU64::new(0),
                missed: AtomicU64::new(0),
                faults: AtomicU64::new(0),
                senders: AtomicU64::new(0),
            },
        )
        .expect("create");
    let start = |part| {
        let mut child = process::play(test, part, &[("OBJECT", name)]).start();
        child.says("comes");
        child
    };
    let mut players: Vec<_> = children.iter().map(|part| start(part)).collect();
    let (begin, mut kills, mut random) = (Instant::now(), 0, u64::from(std::process::id()) | 1);
    while begin.elapsed() < length {
        std::thread::sleep(Duration::from_micros(next(&mut random) % 12_000));
        let victim = (next(&mut random) >> 20) as usize % players.len();
        // Nobody dies of anything else.
        players.iter_mut().for_each(process::Child::runs);
        players[victim].kill();
        players[victim] = start(children[victim]);
        kills += 1;
        assert_eq!(book.faults.load(SeqCst), 0, "after {kills} kills");
    }
    let before = book.received.load(SeqCst);
    process::eventually("it goes on", || {
        players.iter_mut().for_each(process::Child::runs);
        book.received.load(SeqCst) > before + 100
    });
    let (received, missed) = (book.received.load(SeqCst), book.missed.load(SeqCst));
    assert!(
        kills > 20 && received > 1000,
        "{kills} kills, {received} received"
    );
    println!(
        "{test}: {received} received, {missed} missed, {kills} kills in {:?}",
        begin.elapsed()
    );
    book
}

fn broadcast_part(part: &str, name: &str) {
    let book = Segment::<Book>::open(format!("{name}-book")).expect("open");
    let channel: broadcast::Channel<Value> = Options::new().open(name).expect("open");
    let other: broadcast::Channel<[u8]> = Options::new().open(format!("{name}-m")).expect("open");
    process::say("comes");
    if part == "send" {
        let (mut sender, mut text) = (seat(|| channel.sender()), seat(|| other.sender()));
        let me = book.senders.fetch_add(1, SeqCst) + 1;
        for n in 1.. {
            sender
                .send_timeout([n, n, n, me], PATIENCE)
                .expect("room in time");
            let message = [n.to_le_bytes(), me.to_le_bytes()].concat();
            let message = message.repeat(1 + n as usize % 9);
            text.send_timeout(&message, PATIENCE).expect("room in time");
        }
    }
    let mut receiver = seat(|| channel.receiver_with_last(3));
    let mut text = seat(|| other.receiver_with_last(3));
    // The number and the sender of the last, of each.
    let mut last: [Option<(u64, u64)>; 2] = [None, None];
    let check = |last: &mut Option<(u64, u64)>, n: u64, from: u64, missed: u64| {
        let follows = match *last {
            None => true,
            Some((number, sender)) if sender == from => n == number + 1 + missed,
            // Those that the one before sent last may be among the missed.
            Some((_, sender)) => from > sender && (n == 1 || n <= missed + 1),
        };
        if !follows {
            fault(
                &book,
                &format!("{n} of {from} after {last:?}, {missed} missed"),
            );
        }
        *last = Some((n, from));
        book.received.fetch_add(1, SeqCst);
        book.missed.fetch_add(missed, SeqCst);
    };
    loop {
        match receiver.recv_timeout(PATIENCE) {
            Ok(value) => {
                let [n, second, third, from] = *value;
                if n != second || n != third {
                    fault(&book, &format!("torn: {value:?}"));
                }
                check(&mut last[0], n, from, value.missed());
            }
            Err(error) if error.kind() == Kind::Disconnected => {}
            Err(error) => panic!("{error}"),
        }
        match text.try_recv() {
            Ok(Some(message)) => {
                let word =
                    |at: usize| u64::from_le_bytes(message[at..at + 8].try_into().expect("8"));
                let (n, from) = (word(0), word(8));
                if *message != message[..16].repeat(1 + n as usize % 9) {
                    fault(&book, &format!("torn: {message:?}"));
                }
                check(&mut last[1], n, from, message.missed());
            }
            Ok(None) => std::thread::yield_now(),
            Err(error) if error.kind() == Kind::Disconnected => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn broadcast_soak(test: &'static str, full: Full) {
    if let Some(part) = process::part() {
        return broadcast_part(&part, &process::argument("OBJECT"));
    }
    let name = format!("/{}", process::unique("soak"));
    let options = Options::new().full(full).seats(5).temporary(true);
    let channel: broadcast::Channel<Value> =
        options.clone().capacity(8).create(&name).expect("create");
    let other: broadcast::Channel<[u8]> = options
        .capacity(4096)
        .create(format!("{name}-m"))
        .expect("create");
    let book = soak(test, &name, &["send", "receive", "receive"], seconds(5));
    assert_eq!(book.faults.load(SeqCst), 0);
    if full == Full::Wait {
        assert_eq!(book.missed.load(SeqCst), 0);
    }
    // All are dead or will be; nothing of them holds a seat.
    process::eventually("all seats are free", || {
        let seats: Result<Vec<_>, _> = (0..4).map(|_| channel.receiver()).collect();
        let others: Result<Vec<_>, _> = (0..4).map(|_| other.receiver()).collect();
        seats.is_ok() && others.is_ok()
    });
}

#[test]
fn a_lossless_broadcast_survives_random_kills_without_a_gap() {
    broadcast_soak(
        "a_lossless_broadcast_survives_random_kills_without_a_gap",
        Full::Wait,
    );
}

#[test]
fn an_overwriting_broadcast_survives_random_kills_and_counts_each_loss() {
    broadcast_soak(
        "an_overwriting_broadcast_survives_random_kills_and_counts_each_loss",
        Full::OverwriteOldest,
    );
}

#[test]
fn the_latest_value_survives_random_kills_and_never_goes_back() {
    let test = "the_latest_value_survives_random_kills_and_never_goes_back";
    if let Some(part) = process::part() {
        let name = process::argument("OBJECT");
        let book = Segment::<Book>::open(format!("{name}-book")).expect("open");
        let channel: latest::Channel<[u64; 64]> = Options::new().open(&name).expect("open");
        process::say("comes");
        if part == "send" {
            let mut sender = seat(|| channel.sender());
            loop {
                let mut loan = sender.loan().expect("there");
                let n = book.senders.fetch_add(1, SeqCst) + 1;
                loan.fill(n);
                loan.send();
            }
        }
        let mut receiver = seat(|| channel.receiver());
        let mut last = 0;
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Ok(value) => {
                    if value.iter().any(|word| *word != value[0]) || value[0] <= last {
                        fault(&book, &format!("{value:?} after {last}"));
                    }
                    last = value[0];
                    book.missed.fetch_add(value.missed(), SeqCst);
                    book.received.fetch_add(1, SeqCst);
                }
                Err(error) if error.kind() == Kind::Disconnected => {
                    std::thread::sleep(Duration::from_micros(100));
                }
                // Honestly said, though not likely.
                Err(error) if error.kind() == Kind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    let name = format!("/{}", process::unique("soak"));
    let options = Options::new().temporary(true);
    let _channel: latest::Channel<[u64; 64]> = options.create(&name).expect("create");
    let book = soak(test, &name, &["send", "receive", "receive"], seconds(5));
    assert_eq!(book.faults.load(SeqCst), 0);
}
