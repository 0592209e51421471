//! The latest value under loom; its weakenings are `latest-observe`, `-publish`, `-begin`, `-check`, `-tag`, `-clear` and `-finished`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use wigwag::pattern::channel::latest::version::{Attempt, Newest, Stay, Tag, attempt};

/// Buffers of two words each.
struct Board<const BUFFERS: usize> {
    newest: Newest,
    tags: [AtomicU64; BUFFERS],
    buffers: [[AtomicU64; 2]; BUFFERS],
}

impl<const BUFFERS: usize> Board<BUFFERS> {
    fn new() -> Self {
        Board {
            newest: Newest::new(),
            tags: std::array::from_fn(|_| AtomicU64::new(0)),
            buffers: std::array::from_fn(|_| Default::default()),
        }
    }

    fn write(&self, version: u64, buffer: usize, value: u64, words: usize) {
        Tag(&self.tags[buffer]).begin(version);
        for word in &self.buffers[buffer][..words] {
            word.store(value, Ordering::Relaxed);
        }
    }

    fn send(&self, version: u64, buffer: usize) {
        self.write(version, buffer, version + 100, 2);
        self.newest.publish(version, buffer as u64);
    }

    /// What is there, if it stayed whole, and which version it is.
    fn read(&self, stay: Option<Stay>) -> Option<(u64, [u64; 2])> {
        let tag = |buffer| Some(Tag(&self.tags[buffer as usize]));
        let copy = |buffer| {
            let buffer = &self.buffers[buffer as usize];
            [0, 1].map(|word: usize| buffer[word].load(Ordering::Relaxed))
        };
        match attempt(&self.newest, stay, tag, copy) {
            Attempt::Whole(version, copied) => Some((version, copied)),
            _ => None,
        }
    }

    /// Where the newest is, to stay there.
    fn stay(&self) -> Stay {
        let (version, buffer) = self.newest.get();
        (buffer, version)
    }
}

fn explore<const BUFFERS: usize>(run: impl Fn(Arc<Board<BUFFERS>>) + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(4);
    builder.check(move || run(Arc::new(Board::new())));
}

fn check((version, copy): (u64, [u64; 2]), last: &mut u64) {
    assert!(version >= *last, "back in time");
    assert_eq!(copy, [version + 100; 2], "torn");
    *last = version;
}

/// Sends `1..=count` while a reader reads twice.
fn race<const BUFFERS: usize>(count: u64) {
    explore::<BUFFERS>(move |board| {
        let there = board.clone();
        let reader = thread::spawn(move || {
            let mut last = 0;
            for _ in 0..2 {
                if let Some(read) = there.read(None) {
                    check(read, &mut last);
                }
            }
        });
        for version in 1..=count {
            board.send(version, version as usize % BUFFERS);
        }
        reader.join().expect("a thread");
        assert_eq!(board.read(None), Some((count, [count + 100; 2])));
    });
}

#[test]
fn a_copy_that_counts_is_whole_with_two_buffers() {
    race::<2>(3);
}

#[test]
fn a_copy_that_counts_is_whole_with_three_buffers() {
    race::<3>(4);
}

/// Before the sender has seen that it stays, and after: from then on it writes into the others.
#[test]
fn what_is_taken_from_a_buffer_at_which_one_stays_is_complete_and_not_older() {
    explore::<3>(|board| {
        board.send(1, 1);
        let there = board.clone();
        let reader = thread::spawn(move || {
            let mut last = 0;
            let stay = there.stay();
            for _ in 0..2 {
                if let Some(read) = there.read(Some(stay)) {
                    assert!(read.0 >= stay.1, "older than what was there");
                    check(read, &mut last);
                }
            }
        });
        for (version, buffer) in [(2, 2), (3, 1), (4, 0)] {
            board.send(version, buffer);
        }
        reader.join().expect("a thread");
    });
}

/// It was killed in its second value. The next one writes that version again, into another buffer.
fn takes_over(words: usize) {
    explore::<3>(move |board| {
        board.send(1, 1);
        let there = board.clone();
        let reader = thread::spawn(move || {
            let mut last = 0;
            // It stays where the unfinished one is.
            for stay in [Some((2, 1)), Some((2, 1)), None] {
                if let Some((version, copy)) = there.read(stay) {
                    check((version, copy), &mut last);
                }
            }
        });
        board.write(2, 2, 666, words);
        assert_eq!(board.read(None), Some((1, [101; 2])));
        let (version, at) = board.newest.get();
        for buffer in (0..3).filter(|buffer| *buffer as u64 != at) {
            Tag(&board.tags[buffer]).clear();
        }
        board.send(version + 1, 0);
        reader.join().expect("a thread");
    });
}

#[test]
fn a_sender_killed_in_the_middle_leaves_the_value_before_and_another_takes_over() {
    takes_over(1);
}

#[test]
fn a_sender_killed_before_it_published_leaves_nothing_that_counts() {
    takes_over(2);
}
