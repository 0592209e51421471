//! Soak of the other gates: processes use all of them at random while random ones are killed and started again.
//!
//! Half a minute, or `WIGWAG_SOAK` seconds. What each gate excludes is checked by what it guards.
#![cfg(not(loom))]

mod process;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use process::PATIENCE;
use wigwag::gate::{Condvar, Monitor, Mutex, RobustSemaphore, RwLock, SpinLock};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;

const PERMITS: usize = 2;
const MOMENT: Duration = Duration::from_micros(50);

wigwag::plain! {
    /// Two numbers that are equal whenever nobody is inside.
    struct Pair { a: u64, b: u64 }
}
wigwag::shared! {
    struct Hall {
        spin: SpinLock<Pair>,
        rwlock: RwLock<Pair, 4>,
        monitor: Monitor<Pair>,
        mutex: Mutex<u64>,
        changed: Condvar,
        robust: RobustSemaphore<4>,
        /// Who uses which permit.
        occupants: [AtomicU64; 4],
        faults: AtomicU64,
        done: AtomicU64,
    }
}

/// Marsaglia's xorshift.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

fn mend(pair: &mut Pair) {
    pair.b = pair.a;
}

impl Hall {
    fn new() -> Self {
        let zero = Pair { a: 0, b: 0 };
        Hall {
            spin: SpinLock::new(zero),
            rwlock: RwLock::new(zero),
            monitor: Monitor::new(zero),
            mutex: Mutex::new(0),
            changed: Condvar::new(),
            robust: RobustSemaphore::new(PERMITS as u32),
            occupants: [const { AtomicU64::new(0) }; 4],
            faults: AtomicU64::new(0),
            done: AtomicU64::new(0),
        }
    }

    fn check(&self, holds: bool) {
        if !holds {
            self.faults.fetch_add(1, Relaxed);
        }
    }

    fn change(&self, pair: &mut Pair) {
        self.check(pair.a == pair.b);
        pair.a += 1;
        std::hint::black_box(&mut *pair);
        pair.b += 1;
    }

    /// Uses one of the gates once.
    fn visit(&self, which: u64) -> wigwag::Result<()> {
        match which % 7 {
            0 => self.change(&mut self.spin.lock()?.or_repair(mend)),
            1 => self.change(&mut self.rwlock.write()?.or_repair(mend)),
            2 | 3 => {
                let pair = self.rwlock.read()?.or_repair(mend);
                self.check(pair.a == pair.b);
            }
            4 => {
                let inside = self.monitor.enter()?.or_repair(mend);
                // Whether the time is over or not: both ways through the wait are used.
                if let Ok(entry) = inside.when_timeout(MOMENT, |pair| pair.a % 3 != 0) {
                    self.change(&mut entry.or_repair(mend));
                } else {
                    self.change(&mut self.monitor.enter()?.or_repair(mend));
                }
            }
            5 => {
                let flag = self.mutex.lock()?.or_repair(|_| ());
                let waited = self
                    .changed
                    .wait_while_timeout(flag, MOMENT, |n| *n % 2 == 0);
                let mut flag = waited?.0.or_repair(|_| ());
                *flag += 1;
                self.changed.signal_unlock(flag);
            }
            _ => {
                let me = u64::from(std::process::id());
                let permit = self.robust.acquire()?;
                let occupant = &self.occupants[permit.number()];
                let before = occupant.swap(me, Relaxed);
                let dead = permit.from_dead().map(u64::from);
                self.check(before == 0 || dead == Some(before));
                std::hint::black_box(occupant);
                self.check(occupant.swap(0, Relaxed) == me);
            }
        }
        self.done.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Whether everything can be had in bounded time.
    fn is_open(&self) -> wigwag::Result<()> {
        drop(self.spin.lock_timeout(PATIENCE)?.or_repair(mend));
        drop(self.rwlock.write_timeout(PATIENCE)?.or_repair(mend));
        drop(self.rwlock.read_timeout(PATIENCE)?.or_repair(mend));
        drop(self.monitor.enter_timeout(PATIENCE)?.or_repair(mend));
        drop(self.mutex.lock_timeout(PATIENCE)?.or_repair(|_| ()));
        Ok(())
    }
}

#[test]
fn the_gates_survive_random_kills() {
    if process::part().is_some() {
        let hall = Segment::<Hall>::open(process::argument("OBJECT")).expect("open");
        let mut random = u64::from(std::process::id()) << 32 | 1;
        process::say("visits");
        loop {
            hall.visit(next(&mut random) >> 20).expect("visit");
        }
    }
    let length = std::env::var("WIGWAG_SOAK").ok();
    let length = Duration::from_secs(length.and_then(|text| text.parse().ok()).unwrap_or(30));
    let name = format!("/{}", process::unique("soak"));
    let hall = Options::new()
        .temporary(true)
        .create(&name, Hall::new())
        .expect("create");
    let start = || {
        let test = "the_gates_survive_random_kills";
        let mut child = process::play(test, "visit", &[("OBJECT", &name)]).start();
        child.says("visits");
        child
    };
    let mut children: Vec<_> = (0..3).map(|_| start()).collect();
    let (begin, mut kills, mut random) = (Instant::now(), 0, u64::from(std::process::id()) | 1);
    while begin.elapsed() < length {
        std::thread::sleep(Duration::from_micros(next(&mut random) % 20_000));
        let victim = (next(&mut random) >> 20) as usize % children.len();
        children[victim].kill();
        kills += 1;
        children[victim] = start();
        if let Err(error) = hall.is_open() {
            panic!("stuck after {kills} kills: {error}");
        }
        assert_eq!(hall.faults.load(Relaxed), 0, "after {kills} kills");
    }
    children.clear();
    hall.is_open().expect("open at the end");
    let all: Vec<_> = (0..PERMITS)
        .map(|_| hall.robust.acquire_timeout(PATIENCE))
        .collect();
    assert!(all.iter().all(Result::is_ok), "a permit is lost");
    assert!(hall.robust.try_acquire().is_none(), "a permit too many");
    assert_eq!(hall.rwlock.readers().count(), 0);
    let done = hall.done.load(Relaxed);
    assert!(
        done > 1000 && kills > 5,
        "nothing happened: {done}, {kills} kills"
    );
    println!("{done} visits, {kills} kills in {:?}", begin.elapsed());
}
