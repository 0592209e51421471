//! The mutex and the segment it lies in, between processes and between threads.

mod process;

use std::sync::Arc;
use std::time::Duration;

use process::PATIENCE;
use wigwag::Kind;
use wigwag::gate::mutex::Cause;
use wigwag::gate::{Lock, Mutex};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;
use wigwag::shared::Death;

wigwag::plain! {
    struct Pair { a: u64, b: u64 }
}
wigwag::shared! {
    struct Table { pair: Mutex<Pair>, other: Mutex<u64> }
}

fn table() -> Table {
    Table {
        pair: Mutex::new(Pair { a: 0, b: 0 }),
        other: Mutex::new(0),
    }
}

fn segment(name: &str) -> Segment<Table> {
    Options::new()
        .temporary(true)
        .create(format!("/{name}"), table())
        .expect("create")
}

fn opened() -> Segment<Table> {
    Segment::open(process::argument("OBJECT")).expect("open")
}

#[test]
fn a_value_is_seen_and_changed_by_two_processes_in_turn() {
    if process::part().is_some() {
        let table = opened();
        for _ in 0..100_000 {
            let mut pair = table
                .pair
                .lock()
                .expect("lock")
                .or_repair(|_| panic!("nobody died"));
            pair.a += 1;
            pair.b += 1;
        }
        return;
    }
    let name = process::unique("turns");
    let table = segment(&name);
    let object = format!("/{name}");
    let children: Vec<_> = (0..3)
        .map(|_| {
            process::play(
                "a_value_is_seen_and_changed_by_two_processes_in_turn",
                "add",
                &[("OBJECT", &object)],
            )
            .start()
        })
        .collect();
    children.into_iter().for_each(process::Child::succeeds);
    let pair = table
        .pair
        .lock()
        .expect("lock")
        .or_repair(|_| panic!("nobody died"));
    assert_eq!((pair.a, pair.b), (300_000, 300_000));
}

#[test]
fn a_killed_owner_leaves_an_orphan_and_the_waiter_learns_it_at_once() {
    if process::part().is_some() {
        let table = opened();
        let mut pair = table.pair.lock().expect("lock").or_repair(|_| {});
        pair.a += 1;
        process::say("holds");
        process::hear();
        return;
    }
    let name = process::unique("orphan");
    let table = Arc::new(segment(&name));
    let object = format!("/{name}");
    let mut child = process::play(
        "a_killed_owner_leaves_an_orphan_and_the_waiter_learns_it_at_once",
        "hold",
        &[("OBJECT", &object)],
    )
    .start();
    child.says("holds");
    let owner = table.pair.owner().expect("an owner");
    assert!(
        std::fs::exists(format!("/proc/{}/task/{owner}", child.pid())).expect("/proc"),
        "it is a thread of the child"
    );
    assert_eq!(
        table
            .pair
            .lock_timeout(Duration::from_millis(30))
            .unwrap_err()
            .kind(),
        Kind::TimedOut
    );
    assert!(table.pair.try_lock().expect("try").is_none());
    let waiter = {
        let table = table.clone();
        std::thread::spawn(
            move || match table.pair.lock_timeout(PATIENCE).expect("lock") {
                Lock::Clean(_) => panic!("its owner died"),
                Lock::Orphaned(mut orphan) => {
                    assert_eq!(orphan.cause(), Cause::Death);
                    assert_eq!((orphan.a, orphan.b), (1, 0));
                    orphan.b = 1;
                    drop(orphan.repaired());
                }
            },
        )
    };
    process::eventually("it waits", || table.pair.waiters() == 1);
    child.kill();
    waiter.join().expect("the waiter");
    assert!(!table.pair.lock().expect("lock").is_orphaned());
    // Nothing is left of either.
    process::eventually("no waiters", || table.pair.waiters() == 0);
}

#[test]
fn an_orphan_that_nobody_repairs_is_unusable_for_all() {
    let mutex = Arc::new(Mutex::new(1));
    let other = mutex.clone();
    let panicked = std::thread::spawn(move || {
        let _guard = other.lock();
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    match mutex.lock().expect("lock") {
        Lock::Clean(_) => panic!("its owner panicked"),
        Lock::Orphaned(orphan) => assert_eq!(orphan.cause(), Cause::Panic),
    }
    assert_eq!(mutex.lock().unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(mutex.try_lock().unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn locking_twice_in_one_thread_is_an_error() {
    let table = Segment::anonymous(table()).expect("create");
    let held = table.pair.lock();
    assert_eq!(table.pair.lock().unwrap_err().kind(), Kind::Deadlock);
    // And leaves what is held alone.
    drop(held);
    assert!(!table.pair.lock().expect("lock").is_orphaned());
}

#[test]
fn locks_are_given_back_in_any_order_beside_those_of_libc() {
    let table = Segment::anonymous(table()).expect("create");
    for _ in 0..100 {
        let first = table.pair.lock().expect("lock");
        let second = table.other.lock().expect("lock");
        drop(first);
        let third = table.pair.lock().expect("lock");
        drop(second);
        drop(third);
    }
    assert!(table.pair.owner().is_none() && table.other.owner().is_none());
}

/// A robust mutex of libc, which joins the same list as ours.
fn libcs_mutex(protocol: libc::c_int) -> libc::pthread_mutex_t {
    // SAFETY: attributes are initialised before they are used; a mutex that was not locked yet may be moved.
    unsafe {
        let (mut attributes, mut mutex) = (std::mem::zeroed(), std::mem::zeroed());
        libc::pthread_mutexattr_init(&raw mut attributes);
        libc::pthread_mutexattr_setrobust(&raw mut attributes, libc::PTHREAD_MUTEX_ROBUST);
        libc::pthread_mutexattr_setprotocol(&raw mut attributes, protocol);
        libc::pthread_mutex_init(&raw mut mutex, &raw const attributes);
        mutex
    }
}

#[test]
fn whatever_the_order_of_locks_of_both_kinds_a_dead_thread_leaves_those_it_held() {
    wigwag::shared! { struct Six { all: [Mutex<u8>; 6] } }
    struct Libcs([std::cell::UnsafeCell<libc::pthread_mutex_t>; 3]);
    // SAFETY: mutexes are for several threads.
    unsafe impl Sync for Libcs {}
    impl Libcs {
        fn at(&self, place: usize) -> *mut libc::pthread_mutex_t {
            self.0[place].get()
        }
    }
    for seed in 1..40_u64 {
        let plain_or_not = |place: usize| match place % 2 {
            0 => Mutex::new(0),
            _ => Mutex::inheriting(0),
        };
        let all = std::array::from_fn(plain_or_not);
        let six = Segment::anonymous(Six { all }).expect("create");
        let protocols = [
            libc::PTHREAD_PRIO_NONE,
            libc::PTHREAD_PRIO_INHERIT,
            libc::PTHREAD_PRIO_NONE,
        ];
        let libcs = Libcs(protocols.map(|protocol| libcs_mutex(protocol).into()));
        let held = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let mut random = seed;
                let mut ours: [Option<_>; 6] = [const { None }; 6];
                let mut theirs = [false; 3];
                for _ in 0..500 {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    match (random >> 33) as usize % 9 {
                        place @ 0..6 if ours[place].is_some() => ours[place] = None,
                        place @ 0..6 => {
                            let lock = six.all[place].lock().expect("lock");
                            assert!(!lock.is_orphaned());
                            ours[place] = Some(lock);
                        }
                        place => {
                            let (mutex, held) = (libcs.at(place - 6), &mut theirs[place - 6]);
                            // SAFETY: an initialised mutex, unlocked by its holder only.
                            let failed = unsafe {
                                if *held {
                                    libc::pthread_mutex_unlock(mutex)
                                } else {
                                    libc::pthread_mutex_lock(mutex)
                                }
                            };
                            assert_eq!(failed, 0);
                            *held = !*held;
                        }
                    }
                }
                let held = ours.each_ref().map(Option::is_some);
                std::mem::forget(ours);
                (held, theirs)
            });
            thread.join().expect("the thread")
        });
        for (mutex, held) in six.all.iter().zip(held.0) {
            assert_eq!(
                mutex.lock().expect("lock").is_orphaned(),
                held,
                "seed {seed}"
            );
        }
        for (place, held) in held.1.into_iter().enumerate() {
            // SAFETY: an initialised mutex; the other thread is dead.
            let found = unsafe { libc::pthread_mutex_lock(libcs.at(place)) };
            assert_eq!(
                found,
                if held { libc::EOWNERDEAD } else { 0 },
                "seed {seed}"
            );
            // SAFETY: as above; this thread has it.
            unsafe {
                libc::pthread_mutex_consistent(libcs.at(place));
                libc::pthread_mutex_unlock(libcs.at(place));
            }
        }
    }
}

#[test]
fn a_guard_that_is_forgotten_does_not_break_what_comes_after() {
    let table = Segment::anonymous(table()).expect("create");
    std::mem::forget(table.pair.lock());
    drop(table); // stays mapped: the thread's list points in
    let table = Segment::anonymous(self::table()).expect("create");
    drop(table.pair.lock().expect("lock"));
}

// What is watched has no such limit.
#[cfg(target_pointer_width = "64")]
#[test]
fn a_thread_holds_1024_at_most() {
    wigwag::shared! { struct Many { all: [Mutex<u8>; 1030] } }
    let many = Segment::anonymous(Many {
        all: std::array::from_fn(|_| Mutex::new(0)),
    })
    .expect("create");
    let mut held: Vec<_> = many
        .all
        .iter()
        .take(1024)
        .map(|mutex| mutex.lock().expect("lock"))
        .collect();
    assert_eq!(many.all[1024].lock().unwrap_err().kind(), Kind::Limit);
    held.pop();
    assert!(many.all[1024].lock().is_ok());
}

#[test]
fn after_a_fork_the_child_owns_nothing() {
    if process::part().is_some() {
        let table = opened();
        let held = table.pair.lock().expect("lock");
        let parent = table.pair.owner().expect("owner");
        // SAFETY: the child calls nothing that a lock of another thread could stop, and ends without returning.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: the calling thread's head, which libc registered; its third word is what is pending.
            let pending = unsafe {
                let (mut head, mut size) = (std::ptr::null::<[usize; 3]>(), 0_usize);
                let failed =
                    libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut size);
                failed != 0 || !head.is_null() && (*head)[2] != 0
            };
            drop(held); // not its own
            let ours = table.pair.owner() == Some(parent)
                && table.pair.try_lock().is_ok_and(|lock| lock.is_none())
                && table.other.lock().is_ok_and(|lock| !lock.is_orphaned())
                && !pending;
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!ours)) };
        }
        let mut status = 0;
        // SAFETY: the pointer is valid for writing.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0, "the child took its parent's lock for its own");
        drop(held);
        assert!(table.pair.owner().is_none());
        return;
    }
    let name = process::unique("fork");
    let _table = segment(&name);
    process::play(
        "after_a_fork_the_child_owns_nothing",
        "fork",
        &[("OBJECT", &format!("/{name}"))],
    )
    .start()
    .succeeds();
}

#[test]
fn a_lock_held_over_exec_is_an_orphan() {
    if process::part().is_some() {
        let table = opened();
        std::mem::forget(table.pair.lock());
        process::say("holds");
        process::hear();
        let error =
            std::os::unix::process::CommandExt::exec(std::process::Command::new("sleep").arg("30"));
        panic!("{error}");
    }
    let name = process::unique("exec");
    let table = segment(&name);
    let mut child = process::play(
        "a_lock_held_over_exec_is_an_orphan",
        "exec",
        &[("OBJECT", &format!("/{name}"))],
    )
    .start();
    child.says("holds");
    assert!(table.pair.try_lock().expect("try").is_none());
    child.tell("exec");
    assert!(
        table
            .pair
            .lock_timeout(PATIENCE)
            .expect("lock")
            .is_orphaned()
    );
    assert!(
        std::fs::exists(format!("/proc/{}", child.pid())).expect("/proc"),
        "the process lives on"
    );
    child.kill();
}

#[test]
fn the_watched_form_needs_no_list_and_learns_of_death_too() {
    if process::part().is_some() {
        let table = opened();
        let _held = table.pair.lock();
        process::say("holds");
        process::hear();
        return;
    }
    let name = process::unique("watched");
    let options = Options::new().temporary(true).death(Death::Watched);
    let table = options.create(format!("/{name}"), table()).expect("create");
    let mut child = process::play(
        "the_watched_form_needs_no_list_and_learns_of_death_too",
        "hold",
        &[("OBJECT", &format!("/{name}"))],
    )
    .start();
    child.says("holds");
    assert_eq!(
        table
            .pair
            .lock_timeout(Duration::from_millis(30))
            .unwrap_err()
            .kind(),
        Kind::TimedOut
    );
    child.kill();
    assert!(
        table
            .pair
            .lock_timeout(PATIENCE)
            .expect("lock")
            .is_orphaned()
    );
}

#[test]
fn a_thread_id_that_is_reused_is_not_taken_for_the_owner() {
    let test = "a_thread_id_that_is_reused_is_not_taken_for_the_owner";
    match process::part().as_deref() {
        Some("holder") => {
            let table = opened();
            let _held = table.pair.lock();
            // SAFETY: no arguments.
            process::say(&unsafe { libc::syscall(libc::SYS_gettid) }.to_string());
            process::hear();
        }
        // In a pid namespace of its own, where it may say which id comes next.
        Some(_) => {
            for &death in process::DEATHS {
                let name = format!("/{}", process::unique("reuse"));
                let options = Options::new().temporary(true).death(death);
                let table = options.create(&name, table()).expect("create");
                let mut holder = process::play(test, "holder", &[("OBJECT", &name)]).start();
                let tid: u32 = holder.line().parse().expect("a thread id");
                holder.kill();
                // The kernel counts start times in hundredths of a second; no id comes round in that time by itself.
                std::thread::sleep(Duration::from_millis(30));
                let mut namesake = loop {
                    std::fs::write("/proc/sys/kernel/ns_last_pid", (tid - 1).to_string())
                        .expect("choose the next id");
                    let mut sleeper = std::process::Command::new("sleep")
                        .arg("60")
                        .spawn()
                        .expect("sleep");
                    if sleeper.id() == tid {
                        break sleeper;
                    }
                    sleeper
                        .kill()
                        .and_then(|()| sleeper.wait())
                        .expect("end it");
                };
                let lock = table
                    .pair
                    .lock_timeout(PATIENCE)
                    .map(|lock| lock.is_orphaned());
                namesake
                    .kill()
                    .and_then(|()| namesake.wait())
                    .expect("end it");
                assert!(lock.expect("its owner is dead"), "{death:?}");
            }
        }
        None => {
            let output = process::foreign("unshare", "util-linux")
                .args([
                    "--user",
                    "--map-root-user",
                    "--pid",
                    "--fork",
                    "--mount-proc",
                ])
                .arg(std::env::current_exe().expect("own path"))
                .args(["--exact", test, "--nocapture"])
                .env("WIGWAG_TEST_PART", "namespace")
                .output()
                .expect("run unshare");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}
