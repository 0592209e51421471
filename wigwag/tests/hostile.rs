//! Hostile: a peer writes random bytes over a whole segment while others use it.
//!
//! Errors and wrong data are allowed; a panic, a crash, or a wait beyond its time-out is not.

mod process;

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wigwag::gate::{RobustSemaphore, Semaphore, WaryMutex};
use wigwag::memory::Segment;
use wigwag::memory::segment::{Options, Trust};

wigwag::shared! {
    struct Table {
        count: AtomicU64,
        mutex: WaryMutex<[u64; 4]>,
        permits: Semaphore,
        held: RobustSemaphore<4>,
    }
}

const LIMIT: Duration = Duration::from_millis(5);
/// A time-out on a loaded machine.
const LATE: Duration = Duration::from_secs(10);

fn options() -> Options {
    Options::new().trust(Trust::Nobody).temporary(true)
}

/// Uses everything once; whether nothing took longer than it may.
fn use_it(table: &Table) -> u64 {
    let start = Instant::now();
    let mut done = 0;
    if let Ok((guard, _)) = table.mutex.lock_timeout(LIMIT) {
        let mut value = guard.get();
        value[0] = value[0].wrapping_add(1);
        guard.set(value);
        done += 1;
    }
    if let Ok(permit) = table.permits.acquire_timeout(LIMIT) {
        drop(permit);
        done += 1;
    }
    if let Ok(permit) = table.held.acquire_timeout(LIMIT) {
        drop(permit);
        done += 1;
    }
    table.count.fetch_add(done, Ordering::Relaxed);
    assert!(start.elapsed() < LATE, "a time-out did not hold");
    done
}

#[test]
fn random_bytes_over_the_whole_segment_do_no_more_than_spoil_it() {
    let name = process::argument_or_empty("OBJECT");
    match process::part().as_deref() {
        Some("scribble") => {
            let file = std::fs::OpenOptions::new()
                .write(true)
                .open(format!("/dev/shm{name}"))
                .expect("open");
            let length = file.metadata().expect("its length").len();
            let mut random = 0x9e37_79b9_7f4a_7c15_u64;
            process::say("scribbles");
            loop {
                for _ in 0..8 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let bytes = if random & 1 == 0 {
                        random.to_ne_bytes()
                    } else {
                        [0; 8]
                    };
                    // Not the header: that is read at opening only, and tested elsewhere.
                    let at = 4096 + random % (length - 4096 - 8);
                    file.write_all_at(&bytes[..1 + (random >> 60) as usize % 8], at)
                        .expect("write");
                }
                std::thread::sleep(Duration::from_micros(random % 200));
            }
        }
        Some(_) => {
            let table = options()
                .temporary(false)
                .open::<Table>(&name)
                .expect("open");
            process::say("uses");
            let (start, mut done) = (Instant::now(), 0);
            while start.elapsed() < Duration::from_secs(4) {
                done += use_it(&table);
            }
            process::say(&format!("done {done}"));
        }
        None => {
            let name = format!("/{}", process::unique("hostile"));
            let value = Table {
                count: AtomicU64::new(0),
                mutex: WaryMutex::new([0; 4]),
                permits: Semaphore::new(2),
                held: RobustSemaphore::new(2),
            };
            let _table = options().create(&name, value).expect("create");
            let test = "random_bytes_over_the_whole_segment_do_no_more_than_spoil_it";
            let mut users: Vec<_> = (0..2)
                .map(|_| process::play(test, "use", &[("OBJECT", &name)]).start())
                .collect();
            users.iter_mut().for_each(|user| user.says("uses"));
            let mut peer = process::play(test, "scribble", &[("OBJECT", &name)]).start();
            peer.says("scribbles");
            for mut user in users {
                let done = user.line();
                assert!(
                    done.strip_prefix("done ").is_some_and(|done| done != "0"),
                    "the user says: {done}"
                );
                user.succeeds();
            }
        }
    }
}

#[test]
fn a_type_with_references_or_pointers_is_not_admitted() {
    wigwag::shared! { struct Trusting { lock: wigwag::gate::Mutex<u64> } }
    let value = Trusting {
        lock: wigwag::gate::Mutex::new(0),
    };
    let error = Options::new()
        .trust(Trust::Nobody)
        .anonymous(value)
        .expect_err("refused");
    assert_eq!(error.kind(), wigwag::Kind::BadInput);
    let here = Options::new()
        .trust(Trust::Nobody)
        .anonymous(WaryTable {
            mutex: WaryMutex::new(1),
        })
        .expect("create");
    let fd = here
        .fd()
        .expect("a descriptor")
        .try_clone_to_owned()
        .expect("dup");
    assert!(
        Segment::<WaryTable>::from_fd(fd.try_clone().expect("dup")).is_err(),
        "opened with more trust than it was made with"
    );
    assert!(
        Options::new()
            .trust(Trust::Nobody)
            .from_fd::<WaryTable>(fd)
            .is_ok()
    );
}

wigwag::shared! { struct WaryTable { mutex: WaryMutex<u64> } }
