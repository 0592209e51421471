//! The latest value under loom; its weakenings are `latest-observe`, `-publish`, `-begin`, `-check` and `-slack`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use wigwag::pattern::channel::latest::version::Version;

/// Buffers of two words each.
struct Board<const BUFFERS: usize> {
    version: Version,
    buffers: [[AtomicU64; 2]; BUFFERS],
}

impl<const BUFFERS: usize> Board<BUFFERS> {
    fn new() -> Self {
        Board {
            version: Version::new(),
            buffers: std::array::from_fn(|_| Default::default()),
        }
    }

    fn write(&self, version: u64, words: usize) {
        self.version.begin();
        for word in &self.buffers[version as usize % BUFFERS][..words] {
            word.store(version + 100, Ordering::Relaxed);
        }
    }

    fn send(&self, version: u64) {
        self.write(version, 2);
        self.version.publish(version);
    }

    /// What is there, if it stayed whole, and which version it is.
    fn read(&self) -> (u64, Option<[u64; 2]>) {
        let newest = self.version.newest();
        let buffer = &self.buffers[newest as usize % BUFFERS];
        let copy = [0, 1].map(|word: usize| buffer[word].load(Ordering::Relaxed));
        let whole = self.version.is_whole(newest, BUFFERS as u64);
        (newest, whole.then_some(copy))
    }
}

fn explore<const BUFFERS: usize>(run: impl Fn(Arc<Board<BUFFERS>>) + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(4);
    builder.check(move || run(Arc::new(Board::new())));
}

/// Sends `1..=count` while a reader reads twice.
fn race<const BUFFERS: usize>(count: u64) {
    explore::<BUFFERS>(move |board| {
        let there = board.clone();
        let reader = thread::spawn(move || {
            let mut last = 0;
            for _ in 0..2 {
                let (version, copy) = there.read();
                assert!(version >= last, "back in time");
                last = version;
                if let (1.., Some(copy)) = (version, copy) {
                    assert_eq!(copy, [version + 100; 2], "torn");
                }
            }
        });
        for version in 1..=count {
            board.send(version);
        }
        reader.join().expect("a thread");
        assert_eq!(board.read(), (count, Some([count + 100; 2])));
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

#[test]
fn a_writer_killed_in_the_middle_leaves_the_value_before_and_another_takes_over() {
    explore::<2>(|board| {
        board.send(1);
        let there = board.clone();
        let reader = thread::spawn(move || {
            let (version, copy) = there.read();
            if let Some(copy) = copy {
                assert_eq!(copy, [version + 100; 2], "torn");
            }
        });
        board.write(2, 1);
        assert_eq!(board.read(), (1, Some([101; 2])));
        // The next one.
        let next = board.version.newest() + 1;
        board.send(next);
        board.send(next + 1);
        reader.join().expect("a thread");
    });
}
