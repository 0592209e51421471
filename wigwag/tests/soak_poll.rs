//! Soak of ends that are polled: random kills among senders and receivers of every flavour, all of which sleep in `poll(2)`.
//!
//! Some seconds, or `WIGWAG_SOAK` seconds.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)] // what tests share is test too

mod flavours;
mod process;
mod soaking;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use flavours::Face;
use process::PATIENCE;
use soaking::{next, seconds};
use wigwag::memory::{Segment, segment};
use wigwag::pattern::channel::{Options, Pollable, Waitable, select};
use wigwag::{Error, Kind, Wait};

/// So many numbers are told apart.
const NUMBERS: u64 = 1 << 22;
const WORDS: usize = (NUMBERS / 64) as usize;

wigwag::shared! {
    /// What the children have seen.
    struct Book {
        /// The number that is sent next.
        next: AtomicU64,
        /// A bit for each number that was accepted, and for each that was received.
        accepted: [AtomicU64; WORDS],
        received: [AtomicU64; WORDS],
        doubled: AtomicU64,
        /// What each child has done.
        done: [AtomicU64; 4],
        /// The longest that any slept, in milliseconds.
        longest: AtomicU64,
    }
}

/// Notes a number; whether it was noted before.
fn note(bits: &[AtomicU64], number: u64) -> bool {
    let bit = 1 << (number % 64);
    bits[(number / 64) as usize].fetch_or(bit, SeqCst) & bit != 0
}

/// Until the seat of a dead one is free: its process may take a moment to be gone.
fn seat<E: Waitable>(mut take: impl FnMut() -> Result<E, Error>) -> Pollable<E> {
    let start = Instant::now();
    loop {
        match take() {
            Ok(seat) => return Pollable::new(seat).unwrap(),
            Err(error) if error.kind() == Kind::Limit && start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_micros(100));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn sleep<E: Waitable>(end: &Pollable<E>, book: &Book) {
    let start = Instant::now();
    select(&[end], Wait::For(PATIENCE)).expect("it sleeps on");
    let slept = start.elapsed().as_millis() as u64;
    book.longest.fetch_max(slept, SeqCst);
}

/// Until somebody comes to the other side.
fn gone(error: &Error) {
    assert_eq!(error.kind(), Kind::Disconnected, "{error}");
    std::thread::sleep(Duration::from_micros(100));
}

fn sends<F: Face>(channel: &F, book: &Book, own: usize) {
    let mut sender = seat(|| channel.sender());
    while let number @ ..NUMBERS = book.next.fetch_add(1, SeqCst) {
        loop {
            match sender.attempt(|end| F::try_send(end, number)) {
                Ok(true) => break,
                Ok(false) => sleep(&sender, book),
                Err(error) => gone(&error),
            }
        }
        note(&book.accepted, number);
        book.done[own].fetch_add(1, SeqCst);
    }
}

fn receives<F: Face>(channel: &F, book: &Book, own: usize, last: bool) {
    let mut receiver = seat(|| channel.receiver());
    let mut before = None;
    loop {
        // Noted before it is given back.
        let attempt = receiver.attempt(|end| {
            F::try_recv_noted(end, |number| {
                if note(&book.received, number) {
                    book.doubled.fetch_add(1, SeqCst);
                }
            })
        });
        match attempt {
            Ok(Some(number)) => {
                if F::is_broadcast() || F::is_latest() {
                    assert!(before < Some(number), "{number} after {before:?}");
                    before = Some(number);
                }
                book.done[own].fetch_add(1, SeqCst);
            }
            Ok(None) => sleep(&receiver, book),
            Err(error) if last => return assert_eq!(error.kind(), Kind::Disconnected, "{error}"),
            Err(error) => gone(&error),
        }
    }
}

fn plays<F: Face>(part: &str) {
    let name = process::argument("OBJECT");
    let book = Segment::<Book>::open(format!("{name}-book")).unwrap();
    let channel = F::open(&Options::new(), &name);
    let own = process::argument("OWN").parse().unwrap();
    process::say("comes");
    match part {
        "send" => sends(&channel, &book, own),
        _ => receives(&channel, &book, own, false),
    }
}

fn soaks<F: Face>(test: &str) {
    let name = format!("/{}", process::unique("soak"));
    let book = segment::Options::new()
        .temporary(true)
        .create_zeroed::<Book>(format!("{name}-book"))
        .unwrap();
    let channel = F::create(&Options::new().temporary(true), &name);
    let parts: &[&str] = match F::NAME.split(' ').next() {
        Some("one-to-one") => &["send", "receive"],
        Some("many-to-many") => &["send", "receive", "send", "receive"],
        _ => &["send", "receive", "receive"],
    };
    let start = |own: usize| {
        let number = own.to_string();
        let told = [
            ("OBJECT", &name[..]),
            ("FLAVOUR", F::NAME),
            ("OWN", &number),
        ];
        let mut child = process::play(test, parts[own], &told).start();
        child.says("comes");
        child
    };
    let mut children: Vec<_> = (0..parts.len()).map(start).collect();
    let (mut kills, begin) = (0_u64, Instant::now());
    let mut random = u64::from(std::process::id()) | 1;
    let room = || book.next.load(SeqCst) < NUMBERS * 7 / 8;
    while begin.elapsed() < seconds(16) / 8 && room() {
        std::thread::sleep(Duration::from_micros(next(&mut random) % 10_000));
        let victim = (next(&mut random) >> 20) as usize % children.len();
        children[victim].kill();
        children[victim] = start(victim);
        kills += 1;
    }
    // None sleeps for ever.
    let before: Vec<_> = book.done.iter().map(|done| done.load(SeqCst)).collect();
    let goes_on = |own: usize| book.done[own].load(SeqCst) > before[own] + 20;
    process::eventually("all go on", || !room() || (0..parts.len()).all(goes_on));
    children.iter_mut().for_each(process::Child::kill);
    if !F::is_broadcast() && !F::is_latest() {
        receives(&channel, &book, 1, true);
        let lost = book.accepted.iter().zip(&book.received);
        let lost: u64 = lost
            .map(|(sent, got)| u64::from((sent.load(SeqCst) & !got.load(SeqCst)).count_ones()))
            .sum();
        assert_eq!(lost, 0, "{} after {kills} kills", F::NAME);
        let doubled = book.doubled.load(SeqCst);
        assert!(doubled <= kills + 4, "{}: {doubled} of {kills}", F::NAME);
    }
    println!(
        "{}: {} sent, {kills} kills, longest sleep {} ms",
        F::NAME,
        book.next.load(SeqCst),
        book.longest.load(SeqCst)
    );
}

#[test]
fn ends_that_are_polled_go_on_and_lose_nothing_whoever_is_killed() {
    let test = "ends_that_are_polled_go_on_and_lose_nothing_whoever_is_killed";
    if let Some(part) = process::part() {
        return for_the_flavour!(process::argument("FLAVOUR"), plays, &part);
    }
    for_each_flavour!(soaks, test);
}
