//! Hostile: a peer writes whatever it likes over a whole segment, header and all, while others use it.
//!
//! Errors and wrong data are allowed; a panic, a crash, or a wait beyond its time-out is not. Some seconds a segment, or
//! `WIGWAG_SOAK` seconds; each run has another seed, which a failure prints and `WIGWAG_SEED` repeats.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

mod process;

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wigwag::gate::{
    Barrier, Condvar, Monitor, Mutex, OnceCell, RobustSemaphore, RwLock, Semaphore, SpinLock,
    TicketLock, WaryMutex,
};
use wigwag::memory::Segment;
use wigwag::memory::segment::{Options, Trust};
use wigwag::shared::Shared;
use wigwag::{Kind, Result, Wait};

wigwag::shared! {
    /// Every gate that may lie where nobody is trusted.
    struct Wary {
        count: AtomicU64,
        mutex: WaryMutex<[u64; 4]>,
        changed: Condvar,
        permits: Semaphore,
        held: RobustSemaphore<4>,
    }
    /// Those that follow no pointers, but hand out references: whoever writes there without the lock breaks their promise, and
    /// still no wait.
    struct Plainly {
        count: AtomicU64,
        spin: SpinLock<[u64; 4]>,
        ticket: TicketLock<[u64; 4], 8>,
        once: OnceCell<u64>,
    }
}

const LIMIT: Duration = Duration::from_millis(5);
/// A time-out on a loaded machine.
const LATE: Duration = Duration::from_secs(20);
/// As long as an opening may wait for a creator that a peer pretends to be.
const OPENING: Duration = Duration::from_secs(12);

/// One way to use a gate once, and its name.
type Use<V> = (&'static str, fn(&V) -> Result<()>);

/// What one of these segments is and how each of its gates is used once.
trait Victim: Shared + Sized {
    const TRUST: Trust;

    fn new() -> Self;
    fn count(&self) -> &AtomicU64;
    fn uses() -> &'static [Use<Self>];

    fn options() -> Options {
        Options::new().trust(Self::TRUST)
    }
}

impl Victim for Wary {
    const TRUST: Trust = Trust::Nobody;

    fn new() -> Self {
        Wary {
            count: AtomicU64::new(0),
            mutex: WaryMutex::new([0; 4]),
            changed: Condvar::new(),
            permits: Semaphore::new(2),
            held: RobustSemaphore::new(2),
        }
    }

    fn count(&self) -> &AtomicU64 {
        &self.count
    }

    fn uses() -> &'static [Use<Self>] {
        &[
            ("mutex", |table| {
                let (guard, _) = table.mutex.lock_timeout(LIMIT)?;
                let mut value = guard.get();
                value[0] = value[0].wrapping_add(1);
                guard.set(value);
                drop(guard);
                table.changed.signal();
                Ok(())
            }),
            ("mutex, tried", |table| {
                table.mutex.lock_with(Wait::Not).map(drop)
            }),
            ("condition variable", |table| {
                let (guard, _) = table.mutex.lock_timeout(LIMIT)?;
                let odd = |value: [u64; 4]| value[0] % 2 == 1;
                guard.wait_while(&table.changed, LIMIT, odd).map(drop)
            }),
            ("broadcast", |table| {
                table.changed.broadcast();
                let _ = table.changed.waiters();
                Ok(())
            }),
            ("permit", |table| {
                table.permits.acquire_timeout(LIMIT).map(drop)
            }),
            ("permit, tried", |table| {
                drop(table.permits.try_acquire());
                // What a peer wrote may be the most already.
                let _ = table.permits.release(1);
                let _ = (table.permits.value(), table.permits.waiters());
                Ok(())
            }),
            ("robust permit", |table| {
                table.held.acquire_timeout(LIMIT).map(|permit| {
                    assert!(permit.number() < 4);
                })
            }),
            ("robust permit, tried", |table| {
                drop(table.held.try_acquire());
                table.held.reclaim();
                assert!(table.held.holders().count() <= 4 && table.held.value() <= 4);
                Ok(())
            }),
        ]
    }
}

impl Victim for Plainly {
    const TRUST: Trust = Trust::Peers;

    fn new() -> Self {
        Plainly {
            count: AtomicU64::new(0),
            spin: SpinLock::new([0; 4]),
            ticket: TicketLock::new([0; 4]),
            once: OnceCell::new(),
        }
    }

    fn count(&self) -> &AtomicU64 {
        &self.count
    }

    fn uses() -> &'static [Use<Self>] {
        &[
            ("spin lock", |table| {
                let mut value = table.spin.lock_timeout(LIMIT)?.or_repair(|_| ());
                value[0] = value[0].wrapping_add(1);
                Ok(())
            }),
            ("spin lock, tried", |table| {
                table.spin.try_lock().map(drop)?;
                let _ = table.spin.holder();
                Ok(())
            }),
            ("ticket lock", |table| {
                let mut value = table.ticket.lock_timeout(LIMIT)?.or_repair(|_| ());
                value[0] = value[0].wrapping_add(1);
                Ok(())
            }),
            ("ticket lock, tried", |table| {
                table.ticket.try_lock().map(drop)
            }),
            ("once cell", |table| {
                let value = table.once.get_or_init_with(Wait::For(LIMIT), || 7);
                value.map(|value| {
                    std::hint::black_box(*value);
                })
            }),
            ("once cell, looked at", |table| {
                std::hint::black_box(table.once.get().copied());
                Ok(())
            }),
        ]
    }
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 20) as usize % end
    }
}

fn length() -> Duration {
    let given = std::env::var("WIGWAG_SOAK").ok();
    Duration::from_secs(given.and_then(|text| text.parse().ok()).unwrap_or(4))
}

/// The peer: it keeps no rule. Puts the first state back from time to time, so that there is something to spoil again, and when the
/// users have stopped.
fn scribble(name: &str, mut random: Random) {
    let path = format!("/dev/shm{name}");
    let mut open = std::fs::OpenOptions::new();
    let file = open.read(true).write(true).open(path).unwrap();
    let first = std::fs::read(format!("/dev/shm{name}")).unwrap();
    let mut older = first.clone();
    let put = |at: usize, bytes: &[u8]| {
        let end = (at + bytes.len()).min(first.len());
        file.write_all_at(&bytes[..end - at], at as u64).unwrap();
    };
    process::say("knows it");
    let users = process::hear();
    let users: Vec<u32> = users.split(' ').map(|id| id.parse().unwrap()).collect();
    let start = Instant::now();
    while start.elapsed() < length() {
        let words = first.len() / 4;
        // The header is read at opening only; most of it all goes where the gates are.
        let place = |random: &mut Random| match random.below(8) {
            0 => random.below(words) * 4,
            _ => 4096 + random.below(words - 1024) * 4,
        };
        match random.below(10) {
            0 => put(0, &vec![0xff; first.len()]),
            1 => put(0, &vec![0; first.len()]),
            2 => put(4096, &vec![0xff; first.len() - 4096]),
            3 => put(4096, &vec![0; first.len() - 4096]),
            4 => put(0, &older),
            5 => older = std::fs::read(format!("/dev/shm{name}")).unwrap(),
            6 => {
                for _ in 0..64 {
                    let at = place(&mut random);
                    let bytes = random.next().to_ne_bytes();
                    put(at + random.below(4), &bytes[..1 + random.below(8)]);
                }
            }
            7 => {
                for _ in 0..64 {
                    let (at, mut word) = (place(&mut random), [0; 4]);
                    file.read_exact_at(&mut word, at as u64).unwrap();
                    let flipped = u32::from_ne_bytes(word) ^ 1 << random.below(32);
                    put(at, &flipped.to_ne_bytes());
                }
            }
            8 => {
                // What looks like a state: a living thread, a dead one, the marks of the kernel.
                for _ in 0..64 {
                    let id = match random.below(4) {
                        0 => 1,
                        1 => std::process::id(),
                        2 => (1 << 22) - 2,
                        _ => users[random.below(users.len())],
                    };
                    let word = id | [0, 1 << 30, 1 << 31, 3 << 30][random.below(4)];
                    put(place(&mut random), &word.to_ne_bytes());
                }
            }
            _ => put(0, &first),
        }
        // Sometimes for long enough to be slept on, mostly for an instant.
        let pause = [0, 20, 200, 3000][random.below(4)];
        std::thread::sleep(Duration::from_micros(pause));
    }
    process::say("has spoilt it");
    process::hear();
    put(0, &first);
    process::say("has put it back");
    process::hear();
}

/// What each thread is at since when, for the one that finds who hangs.
static AT: StdMutex<BTreeMap<usize, (&str, Instant)>> = StdMutex::new(BTreeMap::new());

fn timed<R>(thread: usize, what: &'static str, limit: Duration, run: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    AT.lock().unwrap().insert(thread, (what, start));
    let result = run();
    let took = start.elapsed();
    assert!(took < limit + LATE, "{what} took {took:?}, of {limit:?}");
    AT.lock().unwrap().remove(&thread);
    result
}

/// Ends the process, with its reason, when something does not come back.
fn find_who_hangs() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            for (what, since) in AT.lock().unwrap().values() {
                if since.elapsed() > OPENING + 2 * LATE {
                    process::say(&format!("{what} hangs"));
                    std::process::abort();
                }
            }
        }
    });
}

/// The user: every gate again and again in two threads, and a third that opens the segment and makes it anew where it must.
fn use_it<V: Victim>(name: &str) {
    let table = V::options().open::<V>(name).unwrap();
    find_who_hangs();
    process::say("uses");
    let over = AtomicBool::new(false);
    let good: Vec<_> = V::uses().iter().map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        let (table, over, good) = (&table, &over, &good);
        for thread in 0..2 {
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    for ((what, run), good) in V::uses().iter().zip(good) {
                        let ended = timed(thread, what, 2 * LIMIT, || run(table));
                        good.fetch_add(u32::from(ended.is_ok()), Ordering::Relaxed);
                    }
                    table.count().fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(move || {
            let mut opened = 0;
            while !over.load(Ordering::Relaxed) {
                for made in [false, true] {
                    let again = timed(2, "opening", OPENING, || match made {
                        false => V::options().open::<V>(name),
                        true => V::options().open_or_create::<V>(name, V::new),
                    });
                    match again {
                        Ok(table) => {
                            opened += 1;
                            for (what, run) in V::uses() {
                                let _ = timed(2, what, 2 * LIMIT, || run(&table));
                            }
                        }
                        Err(error) => assert!(!error.to_string().is_empty()),
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(opened > 0, "never opened");
        });
        process::hear();
        over.store(true, Ordering::Relaxed);
    });
    for ((what, _), good) in V::uses().iter().zip(&good) {
        assert!(good.load(Ordering::Relaxed) > 0, "{what} never succeeded");
    }
    let good: Vec<_> = good.iter().map(|one| one.load(Ordering::Relaxed)).collect();
    process::say(&format!("done {good:?}"));
    process::hear();
    // The memory is as it was at first: whoever has it open still can use all of it again.
    let mut still: Vec<_> = V::uses().iter().collect();
    process::eventually("all can be used again", || {
        V::uses().iter().for_each(|(_, run)| drop(run(&table)));
        still.retain(|(_, run)| run(&table).is_err());
        still.is_empty()
    });
}

fn survives<V: Victim>(test: &str) {
    let name = process::argument_or_empty("OBJECT");
    let seed = std::env::var("WIGWAG_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        now.as_nanos() as u64 | 1
    });
    match process::part().as_deref() {
        Some("scribble") => {
            let seed = process::argument("SEED").parse().unwrap();
            return scribble(&name, Random(seed));
        }
        Some(_) => return use_it::<V>(&name),
        None => {}
    }
    let name = format!("/{}", process::unique("hostile"));
    let _table = V::options()
        .temporary(true)
        .create(&name, V::new())
        .unwrap();
    let seed = seed.to_string();
    println!("WIGWAG_SEED={seed}");
    let play = |part, arguments: &[_]| process::play(test, part, arguments).start();
    let mut peer = play("scribble", &[("OBJECT", &name), ("SEED", &seed)]);
    peer.says("knows it");
    let mut users = [(); 2].map(|()| play("use", &[("OBJECT", &name)]));
    users.iter_mut().for_each(|user| user.says("uses"));
    let ids = users.each_ref().map(|user| user.pid().to_string());
    peer.tell(&ids.join(" "));
    peer.says("has spoilt it");
    users.iter_mut().for_each(|user| user.tell("enough"));
    let mut said = users.each_mut().map(process::Child::line);
    said.sort();
    println!("{said:?}");
    if said[0].starts_with("done ") {
        peer.tell("put it back");
        peer.says("has put it back");
        users.iter_mut().for_each(|user| user.tell("use it again"));
    }
    users.map(process::Child::succeeds);
    assert!(said[0].starts_with("done "), "the users say: {said:?}");
}

#[test]
fn whatever_a_peer_writes_the_wary_gates_are_at_worst_spoilt() {
    survives::<Wary>("whatever_a_peer_writes_the_wary_gates_are_at_worst_spoilt");
}

#[test]
fn whatever_a_peer_writes_gates_without_pointers_come_back_in_time() {
    survives::<Plainly>("whatever_a_peer_writes_gates_without_pointers_come_back_in_time");
}

/// Where nobody is trusted this type is refused, and the error says what to take instead.
fn is_refused<T: Shared>(value: T) {
    let options = Options::new().trust(Trust::Nobody);
    let error = options.anonymous(value).expect_err("refused");
    assert_eq!(error.kind(), Kind::BadInput);
    let text = error.to_string();
    assert!(
        text.contains("Trust::Nobody") && text.contains("hostile peer"),
        "{text}"
    );
}

#[test]
fn a_gate_with_references_or_pointers_is_not_admitted() {
    is_refused(Mutex::new(0_u64));
    is_refused(Mutex::inheriting(0_u64));
    is_refused(RwLock::<u64>::new(0));
    is_refused(Monitor::new(0_u64));
    is_refused(Barrier::<2>::new());
    is_refused(SpinLock::new(0_u64));
    is_refused(TicketLock::<u64>::new(0));
    is_refused(OnceCell::<u64>::new());
    is_refused([SpinLock::new(0_u64)]);
}

#[test]
fn a_segment_is_opened_with_the_trust_it_was_made_with() {
    let here = Options::new()
        .trust(Trust::Nobody)
        .anonymous(WaryMutex::new(1_u64))
        .unwrap();
    let fd = here.fd().unwrap().try_clone_to_owned().unwrap();
    assert!(
        Segment::<WaryMutex<u64>>::from_fd(fd.try_clone().unwrap()).is_err(),
        "opened with more trust than it was made with"
    );
    assert!(
        Options::new()
            .trust(Trust::Nobody)
            .from_fd::<WaryMutex<u64>>(fd)
            .is_ok()
    );
}

#[test]
fn a_peer_that_truncates_the_file_ends_nobody() {
    const TEST: &str = "a_peer_that_truncates_the_file_ends_nobody";
    if process::part().is_some() {
        let table = Wary::options()
            .open::<Wary>(process::argument("OBJECT"))
            .unwrap();
        table.is_whole().unwrap();
        let held = table.mutex.lock_timeout(LIMIT).unwrap().0;
        process::say("uses");
        process::hear();
        held.set([1; 4]);
        let seen = held.get();
        drop(held);
        for (what, run) in Wary::uses() {
            let _ = timed(0, what, 2 * LIMIT, || run(&table));
        }
        for _ in 0..2 {
            let error = table.is_whole().unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{error}");
            process::say(&format!("{seen:?}: {error}"));
            process::hear();
        }
        return;
    }
    let name = format!("/{}", process::unique("cut"));
    let table = Wary::options().temporary(true).create(&name, Wary::new());
    let table = table.unwrap();
    let mut user = process::play(TEST, "use", &[("OBJECT", &name)]).start();
    user.says("uses");
    let mut open = std::fs::OpenOptions::new();
    let file = open.write(true).open(format!("/dev/shm{name}")).unwrap();
    let whole = file.metadata().unwrap().len();
    file.set_len(100).unwrap();
    user.tell("go on");
    let said = user.line();
    assert!(said.starts_with("[1, 1, 1, 1]: "), "{said}");
    assert!(said.contains("truncated it; it has 100 bytes"), "{said}");
    assert_eq!(table.is_whole().unwrap_err().kind(), Kind::Corrupt);
    let error = Wary::options().open::<Wary>(&name).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    // What grows again is not what the user has.
    file.set_len(whole).unwrap();
    user.tell("and now");
    let said = user.line();
    assert!(said.contains("truncated it; it has"), "{said}");
    user.tell("enough");
    user.succeeds();
}
