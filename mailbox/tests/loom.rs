//! Models: every interleaving of one poster and one fetcher, under the memory model of C11.
//!
//! `.ci/models` runs them, and then again with one thing weakened at a time (`WIGWAG_MUTATION`
//! is `publish`, `observe`, `fence` or `again`), when one of them must fail.
#![cfg(loom)]

use std::sync::Arc;

use loom::sync::atomic::Ordering;
use wigwag_mailbox::{Called, Doorbell, Fault, Mailbox, Polled, Side, Word, forget, size_for};

/// A futex as loom can see it: whether one sleeps is decided under a lock, as in the kernel.
#[derive(Default)]
struct Futex {
    rung: loom::sync::Mutex<u32>,
    bell: loom::sync::Condvar,
}

impl Doorbell for Futex {
    fn ring(&self, _: Side, _: &Word) {
        *self.rung.lock().unwrap() += 1;
        self.bell.notify_all();
    }

    fn wait(&self, _: Side, flag: &Word, seen: u32, _: u32) -> Called {
        let rung = self.rung.lock().unwrap();
        // FUTEX_WAIT compares under the lock of its queue, so that a ring is before or after.
        if flag.load(Ordering::Relaxed) == seen {
            drop(self.bell.wait(rung).unwrap());
        }
        Called::Again
    }
}

const SIZE: usize = size_for(4);

fn mailbox() -> Mailbox {
    // SAFETY: under loom the address only stands for a row of words.
    unsafe { Mailbox::attach(64 as *mut u8, SIZE) }.unwrap()
}

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 10_000;
    builder.check(move || {
        forget();
        // SAFETY: as above.
        unsafe { Mailbox::format(64 as *mut u8, SIZE, 4) }.unwrap();
        run();
    });
}

#[test]
fn two_letters_arrive_whole_and_in_order() {
    model(|| {
        let poster = loom::thread::spawn(|| {
            let bell = Polled::new(3);
            let first = mailbox().post(1, b"aaaa", &bell);
            if first.is_ok() {
                let _ = mailbox().post(2, b"bb", &bell);
            }
        });
        let (mut letter, mut last) = ([0; 4], 0);
        for _ in 0..2 {
            match mailbox().fetch(&mut letter, &Polled::new(3)) {
                Ok(got) => {
                    let whole: &[u8] = if got.kind == 1 { b"aaaa" } else { b"bb" };
                    assert_eq!(&letter[..got.length], whole);
                    assert_eq!(got.kind, last + 1);
                    assert_eq!(got.number, got.kind);
                    last = got.kind;
                }
                Err(fault) => assert_eq!(fault, Fault::Empty),
            }
        }
        poster.join().unwrap();
    });
}

#[test]
fn no_bell_is_missed() {
    model(|| {
        let bell = Arc::new(Futex::default());
        let theirs = Arc::clone(&bell);
        let poster = loom::thread::spawn(move || mailbox().post(5, b"news", &*theirs).unwrap());
        // A missed bell is a sleep without end: loom reports a deadlock.
        let mut letter = [0; 4];
        assert_eq!(mailbox().fetch(&mut letter, &*bell).unwrap().kind, 5);
        poster.join().unwrap();
    });
}

/// The bell of one who is killed before he rings.
struct Killed;

impl Doorbell for Killed {
    fn ring(&self, _: Side, _: &Word) {}

    fn wait(&self, _: Side, _: &Word, _: u32, _: u32) -> Called {
        Called::GiveUp
    }
}

#[test]
fn a_successor_rings_for_one_who_died_before_he_rang() {
    model(|| {
        let bell = Arc::new(Futex::default());
        let theirs = Arc::clone(&bell);
        let poster = loom::thread::spawn(move || {
            mailbox().post(5, b"last", &Killed).unwrap();
            mailbox().ring_again(Side::Fetcher, &*theirs).unwrap();
        });
        let mut letter = [0; 4];
        assert_eq!(mailbox().fetch(&mut letter, &*bell).unwrap().kind, 5);
        poster.join().unwrap();
    });
}
