//! Word size: what a 32-bit program and a 64-bit one can share, and that the rest is refused in words.
//!
//! Run by itself each test plays with children of its own word size, which are refused nothing. `./test` gives 32-bit tests
//! 64-bit children and the other way round, in this file and in those of gates and channels.
#![allow(clippy::unwrap_used)]

mod process;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use wigwag::gate::{Mutex, posix};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;
use wigwag::shared::Death;
use wigwag::{Error, Kind};

wigwag::plain! {
    /// Numbers that an i686 aligns to 4 bytes.
    struct Account { pence: i64, transfers: u64 }
}
wigwag::shared! {
    /// Means the same to all.
    struct Bank { opened: AtomicU64, account: Mutex<Account>, others: [Mutex<u128>; 2] }
    /// Does not.
    struct Sized { count: AtomicUsize }
}

fn bank() -> Bank {
    Bank {
        opened: AtomicU64::new(1),
        account: Mutex::new(Account {
            pence: i64::MIN,
            transfers: 1 << 40,
        }),
        others: [Mutex::new(1), Mutex::new(1 << 100)],
    }
}

/// What came of an attempt of the child, in words.
fn outcome<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "yes".to_owned(),
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

/// A child that tells its word size, and whether it has another than we.
fn child(test: &str, arguments: &[(&str, &str)]) -> (process::Child, bool) {
    let mut child = process::play(test, "peer", arguments).start();
    let bits: u32 = child.line().parse().unwrap();
    (child, bits != usize::BITS)
}

/// What the child says of one thing that only programs of one word size share.
fn is_refused(child: &mut process::Child, other: bool, kind: Kind, word: &str) {
    let said = child.line();
    if other {
        assert!(said.starts_with(&format!("{kind:?}: ")), "{said}");
        assert!(said.contains(word), "{said}");
    } else {
        assert_eq!(said, "yes");
    }
}

#[test]
fn a_watched_segment_means_the_same_in_both() {
    let test = "a_watched_segment_means_the_same_in_both";
    if process::part().is_some() {
        process::say(&usize::BITS.to_string());
        let bank = Segment::<Bank>::open(process::argument("NAME")).unwrap();
        assert_eq!(bank.opened.fetch_add(1, Ordering::Relaxed), 1);
        let mut account = bank.account.lock().unwrap().or_repair(|_| panic!("whole"));
        assert_eq!((account.pence, account.transfers), (i64::MIN, 1 << 40));
        account.pence = -1;
        account.transfers += 1;
        drop(account);
        let mut last = bank.others[1]
            .lock()
            .unwrap()
            .or_repair(|_| panic!("whole"));
        assert_eq!(*last, 1 << 100);
        *last = u128::MAX;
        process::say("changed");
        process::hear();
        return;
    }
    let name = format!("/{}", process::unique("word-size"));
    let options = Options::new().temporary(true).death(Death::Watched);
    let bank = options.create(&name, bank()).unwrap();
    let (mut child, _) = child(test, &[("NAME", &name)]);
    child.says("changed");
    assert_eq!(bank.opened.load(Ordering::Relaxed), 2);
    let account = bank.account.lock().unwrap().or_repair(|_| panic!("whole"));
    assert_eq!((account.pence, account.transfers), (-1, (1 << 40) + 1));
    assert_eq!(*bank.others[0].lock().unwrap().or_repair(|_| ()), 1);
    assert!(bank.others[1].try_lock().unwrap().is_none());
    // It dies with the lock of a value that takes two registers of the one and four of the other.
    child.kill();
    let orphan = bank.others[1].lock_timeout(process::PATIENCE).unwrap();
    assert!(orphan.is_orphaned());
    assert_eq!(*orphan.or_repair(|_| ()), u128::MAX);
}

#[test]
fn what_only_one_word_size_understands_is_refused() {
    let test = "what_only_one_word_size_understands_is_refused";
    if process::part().is_some() {
        process::say(&usize::BITS.to_string());
        let [kernel, sized, semaphore] = ["KERNEL", "SIZED", "SEMAPHORE"].map(process::argument);
        process::say(&outcome(Segment::<Bank>::open(&kernel)));
        process::say(&outcome(Segment::<Sized>::open(&sized)));
        process::say(&outcome(posix::Semaphore::open(&semaphore)));
        return;
    }
    let [kernel, sized, semaphore] =
        ["kernel", "sized", "semaphore"].map(|stem| format!("/{}", process::unique(stem)));
    let options = Options::new().temporary(true);
    // The way in which this word size notices deaths unless told otherwise.
    let _kernel = options.create(&kernel, bank()).unwrap();
    let count = AtomicUsize::new(1);
    let watched = options.clone().death(Death::Watched);
    let _sized = watched.create(&sized, Sized { count }).unwrap();
    let _semaphore = posix::Options::new()
        .temporary(true)
        .create(&semaphore, 1)
        .unwrap();
    let arguments = [
        ("KERNEL", kernel.as_str()),
        ("SIZED", sized.as_str()),
        ("SEMAPHORE", semaphore.as_str()),
    ];
    let (mut child, other) = child(test, &arguments);
    let listed = process::DEATHS.contains(&Death::Kernel);
    let words = "made by a 64-bit program and its locks are in robust lists";
    is_refused(&mut child, other && listed, Kind::Unsupported, words);
    is_refused(&mut child, other, Kind::BadInput, "another word size");
    is_refused(&mut child, other, Kind::Unsupported, "another word size");
    child.succeeds();
}

/// 32-bit programs have no list: what they cannot keep they do not promise.
#[test]
#[cfg(target_pointer_width = "32")]
fn a_way_of_death_that_there_is_not_is_refused() {
    let name = format!("/{}", process::unique("no-list"));
    let options = Options::new().temporary(true).death(Death::Kernel);
    let error = options.create(&name, bank()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(error.to_string().contains("robust list"), "{error}");
    assert_eq!(
        Segment::<Bank>::open(&name).unwrap_err().kind(),
        Kind::NotFound
    );
}
