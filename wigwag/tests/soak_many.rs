//! Soak of the many-to-many channel: random kills among several senders and receivers.
//!
//! A few seconds, or `WIGWAG_SOAK` seconds.
#![cfg(not(loom))]

mod process;
mod soaking;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use process::PATIENCE;
use soaking::{next, seat, seconds};
use wigwag::memory::Segment;
use wigwag::memory::segment;
use wigwag::pattern::channel::many_to_many::{Channel, Receiver, Sender};
use wigwag::pattern::channel::{Element, Options, Waiting};
use wigwag::{Error, Kind};

/// Senders that are told apart, and the values of each: who has sent so many is a new one.
const LIVES: usize = 1 << 15;
const VALUES: usize = 1 << 10;

/// A value: which sender, its count, and both again so that a torn one shows.
type Value = [u64; 8];

type Note = Option<(u64, u64)>;

/// What goes through the channel: values, or messages of many lengths.
trait Carried: Element {
    /// Room for a few.
    const CAPACITY: u64;

    fn send(sender: &mut Sender<Self>, me: u64, number: u64) -> Result<(), Error>;

    /// Which sender's it is and its count is noted before it is given back; none of a torn one.
    fn receive(receiver: &mut Receiver<Self>, note: impl FnOnce(Note)) -> Result<(), Error>;
}

impl Carried for Value {
    const CAPACITY: u64 = 8;

    fn send(sender: &mut Sender<Self>, me: u64, number: u64) -> Result<(), Error> {
        let value = [me, number].repeat(4);
        sender.send_timeout(value.try_into().expect("eight words"), PATIENCE)
    }

    fn receive(receiver: &mut Receiver<Self>, note: impl FnOnce(Note)) -> Result<(), Error> {
        let value = receiver.recv_timeout(PATIENCE)?;
        let [me, number, ..] = *value;
        note((value[..] == [me, number].repeat(4)).then_some((me, number)));
        Ok(())
    }
}

fn message(me: u64, number: u64) -> Vec<u8> {
    let mut random = me << 20 | number | 1 << 60;
    for _ in 0..3 {
        next(&mut random);
    }
    // Mostly a few cells, at times the whole ring.
    let len = match random % 64 {
        0 => 4096,
        _ => 16 + random as usize / 64 % 500,
    };
    let words = [me, number].map(u64::to_ne_bytes).concat();
    let mut message = words.repeat(len / words.len());
    message.resize(len, number as u8);
    message
}

impl Carried for [u8] {
    const CAPACITY: u64 = 4096;

    fn send(sender: &mut Sender<Self>, me: u64, number: u64) -> Result<(), Error> {
        sender.send_timeout(&message(me, number), PATIENCE)
    }

    fn receive(receiver: &mut Receiver<Self>, note: impl FnOnce(Note)) -> Result<(), Error> {
        let bytes = receiver.recv_timeout(PATIENCE)?;
        let word = |at| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let sent = word(0).zip(word(8));
        note(sent.filter(|(me, number)| *bytes == message(*me, *number)));
        Ok(())
    }
}

wigwag::shared! {
    /// What the children have seen.
    struct Book {
        lives: AtomicU64,
        /// The last number that each was told to be accepted.
        accepted: [AtomicU64; LIVES],
        /// A bit for each value that was received.
        received: [AtomicU64; LIVES * VALUES / 64],
        count: AtomicU64,
        doubled: AtomicU64,
        torn: AtomicU64,
    }
}

fn send<T: Carried + ?Sized>(channel: &Channel<T>, book: &Book) {
    let mut sender = seat(|| channel.sender());
    while let me @ ..LIVES = book.lives.fetch_add(1, SeqCst) as usize {
        for number in 1..VALUES as u64 {
            loop {
                match T::send(&mut sender, me as u64, number) {
                    Ok(()) => break,
                    // Until the next receiver comes.
                    Err(error) if error.kind() == Kind::Disconnected => {
                        std::thread::sleep(Duration::from_micros(100));
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            book.accepted[me].store(number, SeqCst);
        }
    }
}

/// Receives until there is nothing and nobody who sends.
fn drain<T: Carried + ?Sized>(receiver: &mut Receiver<T>, book: &Book) {
    let note = |received: Note| {
        let Some((me, number)) = received else {
            book.torn.fetch_add(1, SeqCst);
            return;
        };
        let bit = me as usize * VALUES + number as usize;
        let before = book.received[bit / 64].fetch_or(1 << (bit % 64), SeqCst);
        // Whoever noted it was killed before it gave the value back, or it was received twice.
        book.doubled.fetch_add(before >> (bit % 64) & 1, SeqCst);
        book.count.fetch_add(1, SeqCst);
    };
    loop {
        match T::receive(receiver, note) {
            Ok(()) => {}
            Err(error) if error.kind() == Kind::Disconnected => return,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn no_value_accepted_is_lost_or_doubled_by_random_kills_among_many() {
    soak::<Value>("no_value_accepted_is_lost_or_doubled_by_random_kills_among_many");
}

#[test]
fn no_message_accepted_is_lost_or_doubled_by_random_kills_among_many() {
    soak::<[u8]>("no_message_accepted_is_lost_or_doubled_by_random_kills_among_many");
}

fn soak<T: Carried + ?Sized>(test: &'static str) {
    let options = || Options::new().capacity(T::CAPACITY).seats(8);
    if let Some(part) = process::part() {
        let name = process::argument("OBJECT");
        let book = Segment::<Book>::open(format!("{name}-book")).expect("open");
        let waiting = match process::argument("WAITING").as_str() {
            "block" => Waiting::Block,
            _ => Waiting::Adaptive,
        };
        let channel: Channel<T> = options().waiting(waiting).open(&name).expect("open");
        process::say("comes");
        if part == "send" {
            return send(&channel, &book);
        }
        let mut receiver = seat(|| channel.receiver());
        loop {
            drain(&mut receiver, &book);
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    for waiting in ["block", "adaptive"] {
        let name = format!("/{}", process::unique("soak"));
        let book = segment::Options::new()
            .temporary(true)
            .create_zeroed::<Book>(format!("{name}-book"))
            .expect("create");
        let channel: Channel<T> = options().temporary(true).create(&name).expect("create");
        let parts = ["send", "send", "receive", "receive"];
        let start = |part| {
            let told = [("OBJECT", &name[..]), ("WAITING", waiting)];
            let mut child = process::play(test, part, &told).start();
            child.says("comes");
            child
        };
        let mut children = parts.map(start);
        let (mut kills, mut of_receivers) = (0, 0);
        let (begin, mut random) = (Instant::now(), u64::from(std::process::id()) | 1);
        // As long as there is room in the book.
        let room = || book.lives.load(SeqCst) < LIVES as u64 * 7 / 8;
        while begin.elapsed() < seconds(10) / 2 && room() {
            std::thread::sleep(Duration::from_micros(next(&mut random) % 10_000));
            let victim = (next(&mut random) >> 20) as usize % 4;
            children[victim].kill();
            children[victim] = start(parts[victim]);
            kills += 1;
            of_receivers += u64::from(victim > 1);
        }
        let before = book.count.load(SeqCst);
        process::eventually("it goes on", || book.count.load(SeqCst) > before + 100);
        // All die; what they leave is received here.
        children.iter_mut().for_each(process::Child::kill);
        of_receivers += 2;
        let mut receiver = seat(|| channel.receiver());
        drain(&mut receiver, &book);
        drop(receiver);

        let mut lost = Vec::new();
        for me in 0..(book.lives.load(SeqCst) as usize).min(LIVES) {
            let accepted = book.accepted[me].load(SeqCst) as usize;
            for bit in me * VALUES + 1..me * VALUES + 1 + accepted {
                if book.received[bit / 64].load(SeqCst) >> (bit % 64) & 1 == 0 {
                    lost.push((me, bit % VALUES, accepted));
                }
            }
        }
        let (count, doubled) = (book.count.load(SeqCst), book.doubled.load(SeqCst));
        println!("{waiting}: {count} received, {doubled} twice, {kills} kills");
        assert!(lost.is_empty(), "lost: {lost:?} after {kills} kills");
        assert_eq!(book.torn.load(SeqCst), 0);
        assert!(doubled <= of_receivers, "{doubled} of {of_receivers}");
        assert!(kills > 10 && count > 1000, "{kills} kills, {count}");
    }
}
