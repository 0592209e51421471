//! Soak: processes hand a mutex over as fast as they can while random ones of them are killed and started again.
//!
//! Half a minute, or `WIGWAG_SOAK` seconds.

mod process;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wigwag::gate::{Lock, Mutex};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;
use wigwag::shared::Death;

wigwag::plain! {
    struct Books { begun: u64, ended: u64, repaired: u64 }
}
wigwag::shared! {
    struct Table { books: Mutex<Books>, torn: AtomicU64 }
}

fn seconds() -> Duration {
    let given = std::env::var("WIGWAG_SOAK")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(given.unwrap_or(30))
}

/// Adds for ever.
fn add(table: &Table) {
    loop {
        let mut books = match table.books.lock().expect("lock") {
            Lock::Clean(books) => books,
            Lock::Orphaned(mut orphan) => {
                orphan.ended = orphan.begun;
                orphan.repaired += 1;
                orphan.repaired()
            }
        };
        if books.begun != books.ended {
            table.torn.fetch_add(1, Ordering::Relaxed);
        }
        books.begun += 1;
        std::hint::black_box(&mut *books);
        books.ended += 1;
    }
}

fn soak(test: &'static str, death: Death, new: fn(Books) -> Mutex<Books>, length: Duration) {
    if process::part().is_some() {
        let table = Segment::<Table>::open(process::argument("OBJECT")).expect("open");
        process::say("adds");
        add(&table);
    }
    let name = format!("/{}", process::unique("soak"));
    let value = Table {
        books: new(Books {
            begun: 0,
            ended: 0,
            repaired: 0,
        }),
        torn: AtomicU64::new(0),
    };
    let table = Options::new()
        .temporary(true)
        .death(death)
        .create(&name, value)
        .expect("create");
    let start = || {
        let mut child = process::play(test, "add", &[("OBJECT", &name)]).start();
        child.says("adds");
        child
    };
    let mut children: Vec<_> = (0..3).map(|_| start()).collect();
    let (begin, mut kills, mut last, mut random) =
        (Instant::now(), 0, 0, std::process::id() as usize | 1);
    while begin.elapsed() < length {
        // Marsaglia's xorshift: which one, and after how long.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(random as u64 % 20_000));
        let victim = random / 32_768 % children.len();
        children[victim].kill();
        kills += 1;
        children[victim] = start();
        let Ok(lock) = table.books.lock_timeout(process::PATIENCE) else {
            panic!(
                "{test}: stuck after {kills} kills, owner {:?}",
                table.books.owner()
            );
        };
        let books = lock.or_repair(|books| books.ended = books.begun);
        assert!(
            books.begun == books.ended,
            "torn and not told after {kills} kills"
        );
        assert!(books.begun >= last, "lost");
        last = books.begun;
    }
    children.clear();
    let books = table
        .books
        .lock_timeout(process::PATIENCE)
        .expect("lock")
        .or_repair(|books| books.ended = books.begun);
    assert_eq!(table.torn.load(Ordering::Relaxed), 0);
    assert!(books.begun > 1000 && kills > 5, "nothing happened");
    let Books {
        begun, repaired, ..
    } = *books;
    drop(books);
    for _ in 0..1100 {
        drop(table.books.lock());
    }
    assert_eq!(table.books.waiters(), 0);
    println!(
        "{test}: {begun} hand-overs, {kills} kills, {repaired} repairs in {:?}",
        begin.elapsed()
    );
}

#[test]
fn the_mutex_survives_random_kills() {
    soak(
        "the_mutex_survives_random_kills",
        process::DEATHS[0],
        Mutex::new,
        seconds(),
    );
}

#[test]
fn the_watched_mutex_survives_random_kills() {
    soak(
        "the_watched_mutex_survives_random_kills",
        Death::Watched,
        Mutex::new,
        seconds() / 3,
    );
}

#[test]
fn the_inheriting_mutex_survives_random_kills() {
    soak(
        "the_inheriting_mutex_survives_random_kills",
        process::DEATHS[0],
        Mutex::inheriting,
        seconds() / 3,
    );
}

#[test]
fn the_watched_inheriting_mutex_survives_random_kills() {
    soak(
        "the_watched_inheriting_mutex_survives_random_kills",
        Death::Watched,
        Mutex::inheriting,
        seconds() / 3,
    );
}
