//! System V semaphore sets between processes: ours, Python's, and as ipcs sees them.

#![allow(clippy::unwrap_used)] // what the tests share, too

mod process;

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use process::{PATIENCE, eventually, foreign, hear, part, play, python, say};
use rustix::process::Signal;
use wigwag::gate::sysv::{Op, Options, Set};
use wigwag::{Key, Kind};

/// A key that no other test uses; removed whatever happens.
struct Keyed(i32);

impl Keyed {
    fn new() -> Self {
        static NEXT: AtomicI32 = AtomicI32::new(1);
        let own = std::process::id().cast_signed() & 0xFFFF;
        Keyed(0x5600_0000 | own << 8 | NEXT.fetch_add(1, Ordering::Relaxed) & 0xFF)
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        let _ = Set::unlink(self.0);
    }
}

fn key() -> i32 {
    process::argument("KEY").parse().unwrap()
}

fn start(test: &str, part: &str, keyed: &Keyed) -> process::Child {
    play(test, part, &[("KEY", &keyed.0.to_string())]).start()
}

#[test]
fn operations_happen_all_at_once_or_not_at_all() {
    if part().is_some() {
        let set = Set::open(key()).unwrap();
        say("waiting");
        set.apply(&[Op::acquire(0, 2), Op::acquire(1, 1), Op::release(2, 5)])
            .unwrap();
        say("through");
        return;
    }
    let keyed = Keyed::new();
    let set = Set::create(keyed.0, &[1, 1, 0]).unwrap();
    let mut child = start(
        "operations_happen_all_at_once_or_not_at_all",
        "apply",
        &keyed,
    );
    child.says("waiting");
    eventually("it waits", || set.waiting(0).unwrap().for_permits == 1);
    assert_eq!(set.values().unwrap(), [1, 1, 0]);
    assert!(
        !set.try_apply(&[Op::acquire(1, 1), Op::acquire(0, 2)])
            .unwrap()
    );
    assert_eq!(set.values().unwrap(), [1, 1, 0]);
    set.apply(&[Op::release(0, 2)]).unwrap();
    child.says("through");
    assert_eq!(set.values().unwrap(), [1, 0, 5]);
    assert_eq!(set.last_process(2).unwrap(), child.pid());
    child.succeeds();
}

#[test]
fn what_a_killed_process_held_is_given_back_if_it_is_to_be_undone() {
    if let Some(part) = part() {
        let set = Options::new().undo(part == "undo").open(key()).unwrap();
        let _permit = set.acquire(0).unwrap();
        say("held");
        hear();
        return;
    }
    let test = "what_a_killed_process_held_is_given_back_if_it_is_to_be_undone";
    let keyed = Keyed::new();
    let set = Set::create(keyed.0, &[1]).unwrap();
    let mut child = start(test, "undo", &keyed);
    child.says("held");
    assert!(set.try_acquire(0).unwrap().is_none());
    child.kill();
    drop(set.acquire_timeout(0, PATIENCE).unwrap());
    let mut child = start(test, "no undo", &keyed);
    child.says("held");
    child.kill();
    assert!(set.try_acquire(0).unwrap().is_none());
    assert_eq!(set.value(0).unwrap(), 0);
}

#[test]
fn whoever_waits_for_a_set_that_is_removed_is_told() {
    if part().is_some() {
        let set = Set::open(key()).unwrap();
        say("waiting");
        let error = set.acquire(0).unwrap_err();
        assert_eq!(error.kind(), Kind::Removed, "{error}");
        assert_eq!(set.acquire(0).unwrap_err().kind(), Kind::Removed);
        assert_eq!(set.values().unwrap_err().kind(), Kind::Removed);
        return;
    }
    let keyed = Keyed::new();
    let set = Set::create(keyed.0, &[0]).unwrap();
    let mut child = start(
        "whoever_waits_for_a_set_that_is_removed_is_told",
        "wait",
        &keyed,
    );
    child.says("waiting");
    child.sleeps_in(process::SYSTEM_V[0]);
    set.remove().unwrap();
    child.succeeds();
    assert_eq!(set.remove().unwrap_err().kind(), Kind::Removed);
    assert_eq!(Set::open(keyed.0).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn waiting_ends_in_time_and_signals_do_not_end_it() {
    if part().is_some() {
        process::notice(Signal::USR1);
        let set = Set::open(key()).unwrap();
        say("waiting");
        let start = Instant::now();
        let limit = Duration::from_millis(300);
        assert_eq!(
            set.acquire_timeout(0, limit).unwrap_err().kind(),
            Kind::TimedOut
        );
        assert!(start.elapsed() >= limit);
        say("timed out");
        set.acquire(0).unwrap().forget();
        say("through");
        hear();
        return;
    }
    let keyed = Keyed::new();
    let set = Set::create(keyed.0, &[0]).unwrap();
    let mut child = start(
        "waiting_ends_in_time_and_signals_do_not_end_it",
        "wait",
        &keyed,
    );
    child.says("waiting");
    let interrupt = |child: &process::Child| {
        child.sleeps_in(process::SYSTEM_V[0]);
        for _ in 0..20 {
            child.signal(Signal::USR1);
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    interrupt(&child);
    child.says("timed out");
    interrupt(&child);
    set.apply(&[Op::release(0, 1)]).unwrap();
    child.says("through");
    assert_eq!(set.value(0).unwrap(), 0);
    child.tell("end");
    child.succeeds();
    let error = set
        .apply_timeout(&[Op::acquire(0, 9)], Duration::ZERO)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut);
}

#[test]
fn zero_can_be_waited_for() {
    if part().is_some() {
        let set = Set::open(key()).unwrap();
        say("waiting");
        set.apply(&[Op::wait_for_zero(1)]).unwrap();
        return;
    }
    let keyed = Keyed::new();
    let set = Set::create(keyed.0, &[5, 2]).unwrap();
    let mut child = start("zero_can_be_waited_for", "wait", &keyed);
    child.says("waiting");
    eventually("it waits", || set.waiting(1).unwrap().for_zero == 1);
    assert_eq!(set.waiting(0).unwrap().for_zero, 0);
    set.set_value(1, 0).unwrap();
    child.succeeds();
}

#[test]
fn all_who_open_or_create_at_once_have_the_same_values() {
    if part().is_some() {
        hear();
        let set = Set::open_or_create(key(), &[100, 1]).unwrap();
        assert_eq!(set.count(), 2);
        // Without undo, so that each leaves its trace; through the lock, so that a second initialisation shows.
        let lock = set.acquire_timeout(1, PATIENCE).unwrap();
        set.apply(&[Op::acquire(0, 1)]).unwrap();
        drop(lock);
        return;
    }
    let test = "all_who_open_or_create_at_once_have_the_same_values";
    for _ in 0..5 {
        let keyed = Keyed::new();
        let mut children: Vec<_> = (0..6).map(|_| start(test, "open", &keyed)).collect();
        children.iter_mut().for_each(|child| child.tell("go"));
        children.into_iter().for_each(process::Child::succeeds);
        assert_eq!(Set::open(keyed.0).unwrap().values().unwrap(), [94, 1]);
    }
}

/// A set as a creator leaves it that is killed between making it and giving it values.
fn half_made(keyed: &Keyed, count: i32) {
    // SAFETY: takes numbers only.
    let id = unsafe { libc::semget(keyed.0, count, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
    assert!(id >= 0);
}

#[test]
fn a_creator_that_died_half_way_is_noticed_and_its_work_is_done() {
    let keyed = Keyed::new();
    half_made(&keyed, 2);
    assert_eq!(
        Options::new()
            .unset(true)
            .open(keyed.0)
            .unwrap()
            .values()
            .unwrap(),
        [0, 0]
    );
    let start = Instant::now();
    let error = Set::open(keyed.0).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("gave it no values"), "{error}");
    assert!(start.elapsed() < PATIENCE);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let set = Set::open_or_create(keyed.0, &[3, 8]).unwrap();
                set.apply(&[Op::acquire(1, 1)]).unwrap();
            });
        }
    });
    assert_eq!(Set::open(keyed.0).unwrap().values().unwrap(), [3, 4]);
}

#[test]
fn whoever_opens_waits_for_the_values() {
    if part().is_some() {
        say("opening");
        assert_eq!(Set::open(key()).unwrap().values().unwrap(), [7]);
        return;
    }
    let keyed = Keyed::new();
    half_made(&keyed, 1);
    let mut child = start("whoever_opens_waits_for_the_values", "open", &keyed);
    child.says("opening");
    std::thread::sleep(Duration::from_millis(100));
    // As an old program does: by semctl alone.
    Options::new()
        .unset(true)
        .open(keyed.0)
        .unwrap()
        .set_value(0, 7)
        .unwrap();
    child.succeeds();
}

#[test]
fn create_is_exclusive_and_bad_input_is_refused() {
    let keyed = Keyed::new();
    assert_eq!(Set::open(keyed.0).unwrap_err().kind(), Kind::NotFound);
    let set = Set::create(keyed.0, &[1, 2]).unwrap();
    assert_eq!(
        Set::create(keyed.0, &[1]).unwrap_err().kind(),
        Kind::AlreadyExists
    );
    assert_eq!(
        Set::open_or_create(keyed.0, &[9])
            .unwrap()
            .values()
            .unwrap(),
        [1, 2]
    );
    assert_eq!(
        Set::open_or_create(keyed.0, &[1, 2, 3]).unwrap_err().kind(),
        Kind::BadInput
    );
    assert_eq!(
        Set::create(Key::Private, &[]).unwrap_err().kind(),
        Kind::BadInput
    );
    let error = Set::create(Key::Private, &[1, 32768]).unwrap_err();
    assert!(
        error.kind() == Kind::Limit && error.to_string().contains("SEMVMX is 32767"),
        "{error}"
    );
    for error in [
        set.acquire(2).unwrap_err(),
        set.value(2).unwrap_err(),
        set.waiting(9).unwrap_err(),
        set.set_value(2, 0).unwrap_err(),
        set.apply(&[]).unwrap_err(),
        set.apply(&[Op::release(0, 1), Op::release(7, 1)])
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::BadInput, "{error}");
    }
    assert_eq!(set.values().unwrap(), [1, 2]);
    let error = set.apply(&[Op::release(0, 32767)]).unwrap_err();
    assert!(
        error.kind() == Kind::Limit && error.to_string().contains("SEMVMX"),
        "{error}"
    );
    assert_eq!(set.set_value(0, 40_000).unwrap_err().kind(), Kind::Limit);
    assert!(!set.try_apply(&[Op::acquire(0, 40_000)]).unwrap());
    let error = set.apply(&[Op::release(0, 0); 600]).unwrap_err();
    assert!(error.to_string().contains("SEMOPM"), "{error}");
    let private = Options::new()
        .temporary(true)
        .create(Key::Private, &[4])
        .unwrap();
    assert_eq!(
        Set::open(Key::Id(private.id())).unwrap().value(0).unwrap(),
        4
    );
    let id = private.id();
    drop(private);
    assert_eq!(Set::open(Key::Id(id)).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_set_of_more_than_can_be_operated_on_at_once_gets_all_its_values() {
    let values: Vec<u16> = (0..1000).map(|i| i % 7).collect();
    let set = Options::new()
        .temporary(true)
        .create(Key::Private, &values)
        .unwrap();
    assert_eq!(set.values().unwrap(), values);
    assert!(set.stat().unwrap().operated > 0);
    assert_eq!(Set::open(Key::Id(set.id())).unwrap().count(), 1000);
}

#[test]
fn limits_that_are_reached_are_named() {
    if part().is_some() {
        std::fs::write("/proc/sys/kernel/sem", "3 100 2 2").unwrap();
        let error = Set::create(1, &[0; 4]).unwrap_err();
        assert!(
            error.kind() == Kind::Limit && error.to_string().contains("SEMMSL) is 3"),
            "{error}"
        );
        let _two = [1, 2].map(|key| Set::create(key, &[1, 1]).unwrap());
        let error = Set::create(3, &[1]).unwrap_err();
        assert!(
            error.kind() == Kind::Limit && error.to_string().contains("SEMMNI) is 2"),
            "{error}"
        );
        let error = _two[0].apply(&[Op::release(0, 1); 3]).unwrap_err();
        assert!(error.to_string().contains("SEMOPM) is 2"), "{error}");
        return;
    }
    let child = play("limits_that_are_reached_are_named", "reach", &[]);
    child
        .through("util-linux", &process::unshared("-i"))
        .start()
        .succeeds();
}

#[test]
fn others_are_kept_out_by_the_mode() {
    if part().is_some() {
        process::become_nobody();
        assert_eq!(Set::open(key()).unwrap_err().kind(), Kind::PermissionDenied);
        let other: i32 = process::argument("OTHER").parse().unwrap();
        drop(Set::open(other).unwrap().acquire(0).unwrap());
        return;
    }
    let (closed, open) = (Keyed::new(), Keyed::new());
    // SAFETY: takes numbers only.
    unsafe { libc::semget(closed.0, 1, libc::IPC_CREAT) };
    Options::new().mode(0o666).create(open.0, &[1]).unwrap();
    let arguments = [
        ("KEY", &closed.0.to_string()[..]),
        ("OTHER", &open.0.to_string()),
    ];
    play("others_are_kept_out_by_the_mode", "nobody", &arguments)
        .start()
        .succeeds();
}

#[test]
fn ipcs_agrees_with_us() {
    let keyed = Keyed::new();
    let set = Options::new()
        .mode(0o640)
        .create(keyed.0, &[1, 2, 3])
        .unwrap();
    let output = foreign("ipcs", "util-linux").arg("-s").output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let key = format!("{:#010x}", keyed.0);
    let line = listed
        .lines()
        .find(|line| line.starts_with(&key))
        .expect("a line of ipcs");
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        (fields[1], fields[3], fields[4]),
        (&set.id().to_string()[..], "640", "3")
    );
    let stat = set.stat().unwrap();
    assert_eq!((stat.count, stat.mode), (3, 0o640));
    let output = foreign("ipcs", "util-linux")
        .args(["-s", "-i", fields[1]])
        .output()
        .unwrap();
    let details = String::from_utf8(output.stdout).unwrap();
    assert!(
        details.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.len() == 5 && fields[..2] == ["2", "3"]
        }),
        "{details}"
    );
}

#[test]
fn pythons_sysv_ipc_and_we_pass_the_same_gate() {
    let (ours, theirs) = (Keyed::new(), Keyed::new());
    let set = Set::create(ours.0, &[1]).unwrap();
    let script = "import sysv_ipc, sys\n\
        ours = sysv_ipc.Semaphore(int(sys.argv[1]))\n\
        ours.block = False\n\
        ours.acquire()\n\
        try:\n\
        \x20   ours.acquire(); sys.exit('a second permit')\n\
        except sysv_ipc.BusyError: pass\n\
        ours.release(5)\n\
        theirs = sysv_ipc.Semaphore(int(sys.argv[2]), sysv_ipc.IPC_CREX, initial_value=3)\n\
        print('ready', flush=True)\n\
        sys.stdin.readline()\n\
        assert theirs.value == 2, theirs.value\n";
    use std::io::{BufRead, Write};
    use std::process::Stdio;
    let mut peer = python("sysv_ipc", script)
        .args([ours.0.to_string(), theirs.0.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(peer.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!((line.trim(), set.value(0).unwrap()), ("ready", 5));
    let made = Set::open(theirs.0).unwrap();
    assert_eq!(made.values().unwrap(), [3]);
    made.acquire(0).unwrap().forget();
    writeln!(peer.stdin.take().unwrap(), "go").unwrap();
    assert!(peer.wait().unwrap().success());
}
