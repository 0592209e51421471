//! File locks between processes: ours, those of flock(1) and of Python's fcntl.

#![allow(clippy::unwrap_used)] // what the tests share, too

mod process;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use process::{Directory, PATIENCE, foreign, hear, part, play, python, say};
use rustix::process::Signal;
use wigwag::Kind;
use wigwag::gate::Mode;
use wigwag::gate::file_lock::{FileLock, Options, Style};

const STYLES: [Style; 3] = [Style::Ofd, Style::Flock, Style::Record];

fn style(name: &str) -> Style {
    STYLES
        .into_iter()
        .find(|style| style.to_string() == name)
        .expect("a style")
}

fn open(style: Style, path: impl AsRef<Path>) -> FileLock {
    Options::new().style(style).open(path).unwrap()
}

/// A child that opens the file as it is told and holds it until told.
fn hold() {
    let mut options = Options::new().style(style(&process::argument("STYLE")));
    if let Ok(range) = std::env::var("WIGWAG_TEST_RANGE") {
        let (start, end) = range.split_once("..").unwrap();
        options = options.range(start.parse().unwrap()..end.parse().unwrap());
    }
    let mut lock = options.open(process::argument("PATH")).unwrap();
    let shared = process::argument("MODE") == "shared";
    say("opened");
    let held = if shared {
        lock.lock_shared()
    } else {
        lock.lock()
    }
    .unwrap();
    say("held");
    hear();
    drop(held);
    say("released");
    hear();
}

struct Holding<'a> {
    test: &'a str,
    path: &'a Path,
}

impl Holding<'_> {
    fn start(&self, style: Style, mode: &str, range: Option<&str>) -> process::Child {
        let (style, path) = (style.to_string(), self.path.to_str().unwrap());
        let mut arguments = vec![("STYLE", &style[..]), ("PATH", path), ("MODE", mode)];
        arguments.extend(range.map(|range| ("RANGE", range)));
        let mut child = play(self.test, "hold", &arguments).start();
        child.says("opened");
        child
    }
}

#[test]
fn one_is_inside_and_the_next_comes_when_it_leaves_or_is_killed() {
    if part().is_some() {
        return hold();
    }
    let test = "one_is_inside_and_the_next_comes_when_it_leaves_or_is_killed";
    for style in STYLES {
        let directory = Directory::new();
        let path = directory.file("lock");
        let holding = Holding { test, path: &path };
        let mut lock = open(style, &path);
        let held = lock.lock().unwrap();
        assert_eq!(held.mode(), Mode::Exclusive);
        let mut child = holding.start(style, "exclusive", None);
        child.sleeps_in(if style == Style::Flock {
            libc::SYS_flock
        } else {
            libc::SYS_fcntl
        });
        drop(held);
        child.says("held");
        assert!(lock.try_lock().unwrap().is_none(), "{style}");
        assert!(lock.try_lock_shared().unwrap().is_none(), "{style}");
        child.tell("release");
        child.says("released");
        drop(lock.try_lock().unwrap().expect("free"));
        child.kill();
        let mut child = holding.start(style, "exclusive", None);
        child.says("held");
        child.kill();
        drop(lock.lock_timeout(PATIENCE).unwrap());
    }
}

#[test]
fn shared_holders_are_inside_together_and_keep_the_exclusive_out() {
    if part().is_some() {
        return hold();
    }
    let test = "shared_holders_are_inside_together_and_keep_the_exclusive_out";
    for style in STYLES {
        let directory = Directory::new();
        let path = directory.file("lock");
        let mut child = Holding { test, path: &path }.start(style, "shared", None);
        child.says("held");
        let mut lock = open(style, &path);
        assert!(lock.try_lock().unwrap().is_none(), "{style}");
        let mut held = lock.try_lock_shared().unwrap().expect("room for two");
        assert!(!held.try_upgrade().unwrap(), "{style}");
        assert_eq!(held.mode(), Mode::Shared);
        child.kill();
        assert!(held.try_upgrade().unwrap(), "{style}");
        assert!(
            Options::new()
                .style(style)
                .open(&path)
                .unwrap()
                .holder(Mode::Shared)
                .unwrap()
                .is_some()
                || style == Style::Record
        );
        held.downgrade().unwrap();
        let mut child = Holding { test, path: &path }.start(style, "shared", None);
        child.says("held");
        child.kill();
    }
}

#[test]
fn ranges_that_do_not_overlap_do_not_meet() {
    if part().is_some() {
        return hold();
    }
    let test = "ranges_that_do_not_overlap_do_not_meet";
    for style in [Style::Ofd, Style::Record] {
        let directory = Directory::new();
        let path = directory.file("lock");
        let mut child = Holding { test, path: &path }.start(style, "exclusive", Some("100..200"));
        child.says("held");
        let within = |range: std::ops::Range<u64>| {
            let mut lock = Options::new()
                .style(style)
                .range(range)
                .open(&path)
                .unwrap();
            lock.try_lock().unwrap().is_some()
        };
        assert!(
            within(0..100) && within(200..201) && within(200..u64::MAX),
            "{style}"
        );
        assert!(
            !within(0..101) && !within(199..300) && !within(0..u64::MAX),
            "{style}"
        );
        let lock = Options::new()
            .style(style)
            .range(150..160)
            .open(&path)
            .unwrap();
        let holder = lock.holder(Mode::Shared).unwrap().expect("a holder");
        assert_eq!(holder.range, 100..200, "{style}");
        child.kill();
    }
    let directory = Directory::new();
    let path = directory.file("lock");
    let refused = [
        Options::new().style(Style::Flock).range(0..1),
        Options::new().range(5..5),
        Options::new().range(u64::MAX - 1..u64::MAX),
    ];
    for options in refused {
        assert_eq!(options.open(&path).unwrap_err().kind(), Kind::BadInput);
    }
}

#[test]
fn who_is_in_the_way_is_told() {
    if part().is_some() {
        return hold();
    }
    let test = "who_is_in_the_way_is_told";
    for style in STYLES {
        let directory = Directory::new();
        let path = directory.file("lock");
        let mut lock = open(style, &path);
        assert_eq!(lock.holder(Mode::Exclusive).unwrap(), None);
        let held = lock.lock().unwrap();
        drop(held);
        let mut child = Holding { test, path: &path }.start(style, "shared", None);
        child.says("held");
        let holder = lock.holder(Mode::Exclusive).unwrap().expect("a holder");
        assert_eq!(
            (holder.pid, holder.mode),
            (Some(child.pid()), Mode::Shared),
            "{style}"
        );
        assert_eq!(lock.holder(Mode::Shared).unwrap(), None, "{style}");
        // Ours is not in our own way.
        let mut shared = lock.lock_shared().unwrap();
        shared.downgrade().unwrap();
        shared.forget();
        let holder = lock.holder(Mode::Exclusive).unwrap().expect("the other");
        assert_eq!(holder.pid, Some(child.pid()), "{style}");
        child.kill();
        assert_eq!(lock.holder(Mode::Exclusive).unwrap(), None, "{style}");
    }
}

#[test]
fn waiting_ends_in_time_and_signals_do_not_end_it() {
    if part().is_some() {
        process::notice(Signal::USR1);
        return hold();
    }
    let test = "waiting_ends_in_time_and_signals_do_not_end_it";
    for style in STYLES {
        let directory = Directory::new();
        let path = directory.file("lock");
        let mut first = Holding { test, path: &path }.start(style, "exclusive", None);
        first.says("held");
        let mut lock = open(style, &path);
        let start = Instant::now();
        let error = lock.lock_timeout(Duration::from_millis(40)).unwrap_err();
        assert!(
            error.kind() == Kind::TimedOut && start.elapsed() >= Duration::from_millis(40),
            "{error}"
        );
        let mut second = Holding { test, path: &path }.start(style, "exclusive", None);
        second.sleeps_in(if style == Style::Flock {
            libc::SYS_flock
        } else {
            libc::SYS_fcntl
        });
        for _ in 0..20 {
            second.signal(Signal::USR1);
            std::thread::sleep(Duration::from_millis(1));
        }
        first.tell("release");
        first.says("released");
        second.says("held");
        second.kill();
        drop(lock.lock_shared_timeout(PATIENCE).unwrap());
    }
}

#[test]
fn the_kernel_finds_a_deadlock_of_record_locks() {
    if part().is_some() {
        let path = process::argument("PATH");
        let mut own = Options::new()
            .style(Style::Record)
            .range(1..2)
            .open(&path)
            .unwrap();
        let mut other = Options::new()
            .style(Style::Record)
            .range(0..1)
            .open(&path)
            .unwrap();
        let _held = own.lock().unwrap();
        say("held");
        let _waits = other.lock().unwrap();
        return;
    }
    let directory = Directory::new();
    let path = directory.file("lock");
    let mut own = Options::new()
        .style(Style::Record)
        .range(0..1)
        .open(&path)
        .unwrap();
    let mut other = Options::new()
        .style(Style::Record)
        .range(1..2)
        .open(&path)
        .unwrap();
    let held = own.lock().unwrap();
    let test = "the_kernel_finds_a_deadlock_of_record_locks";
    let mut child = play(test, "wait", &[("PATH", path.to_str().unwrap())]).start();
    child.says("held");
    child.sleeps_in(libc::SYS_fcntl);
    let error = other.lock().unwrap_err();
    assert_eq!(error.kind(), Kind::Deadlock, "{error}");
    drop(held);
    child.succeeds();
}

#[test]
fn any_close_drops_a_record_lock_and_no_other() {
    if part().is_some() {
        return hold();
    }
    let test = "any_close_drops_a_record_lock_and_no_other";
    for style in STYLES {
        let directory = Directory::new();
        let path = directory.file("lock");
        let mut lock = open(style, &path);
        let held = lock.lock().unwrap();
        // As any library does that reads the file.
        drop(std::fs::File::open(&path).unwrap());
        let mut child = Holding { test, path: &path }.start(style, "exclusive", None);
        if style == Style::Record {
            child.says("held");
        } else {
            child.sleeps_in(if style == Style::Flock {
                libc::SYS_flock
            } else {
                libc::SYS_fcntl
            });
        }
        drop(held);
    }
}

#[test]
fn threads_with_a_handle_each_keep_each_other_out() {
    let directory = Directory::new();
    let path = directory.file("counter");
    std::fs::write(&path, b"0").unwrap();
    for style in [Style::Ofd, Style::Flock] {
        std::fs::write(&path, b"0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut lock = open(style, &path);
                    for _ in 0..100 {
                        let _held = lock.lock().unwrap();
                        let number: u32 = std::fs::read_to_string(&path).unwrap().parse().unwrap();
                        std::fs::write(&path, (number + 1).to_string()).unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "400");
    }
}

#[test]
fn flock_of_util_linux_and_we_keep_each_other_out() {
    let directory = Directory::new();
    let path = directory.file("lock");
    let mut lock = open(Style::Flock, &path);
    let held = lock.lock().unwrap();
    let tries = |arguments: &[&str]| {
        let mut command = foreign("flock", "util-linux");
        command
            .args(arguments)
            .arg(&path)
            .arg("true")
            .status()
            .unwrap()
            .success()
    };
    assert!(!tries(&["-n"]) && !tries(&["-n", "-s"]));
    drop(held);
    assert!(tries(&["-n"]));
    let shared = lock.lock_shared().unwrap();
    assert!(!tries(&["-n"]) && tries(&["-n", "-s"]));
    drop(shared);
    let mut peer = foreign("flock", "util-linux")
        .arg(&path)
        .args(["sh", "-c", "echo held; read _"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(peer.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    assert_eq!(line, "held\n");
    assert!(lock.try_lock().unwrap().is_none());
    let holder = lock.holder(Mode::Shared).unwrap().expect("flock(1)");
    assert_eq!(holder.pid, Some(peer.id().cast_signed()));
    drop(peer.stdin.take());
    drop(lock.lock().unwrap());
    peer.wait().unwrap();
    // Nor do std's and ours.
    let file = std::fs::File::open(&path).unwrap();
    file.lock().unwrap();
    assert!(lock.try_lock().unwrap().is_none());
}

#[test]
fn pythons_lockf_and_both_of_our_record_locks_keep_each_other_out() {
    let directory = Directory::new();
    let path = directory.file("lock");
    let script = "import fcntl, sys\n\
        file = open(sys.argv[1], 'r+b')\n\
        try:\n\
        \x20   fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 20)\n\
        except OSError: sys.exit(1)\n\
        print('held', flush=True)\n\
        sys.stdin.readline()\n";
    let start = || {
        let mut command = python("fcntl", script);
        command
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    for style in [Style::Ofd, Style::Record] {
        let mut lock = Options::new()
            .style(style)
            .range(29..30)
            .open(&path)
            .unwrap();
        let mut beside = Options::new()
            .style(style)
            .range(30..31)
            .open(&path)
            .unwrap();
        let held = lock.lock().unwrap();
        assert_eq!(start().wait().unwrap().code(), Some(1), "{style}");
        drop(held);
        let mut peer = start();
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(peer.stdout.take().unwrap()),
            &mut line,
        )
        .unwrap();
        assert_eq!(line, "held\n");
        assert!(lock.try_lock_shared().unwrap().is_none());
        assert!(beside.try_lock().unwrap().is_some());
        let holder = lock.holder(Mode::Shared).unwrap().expect("Python");
        assert_eq!(
            (holder.pid, holder.range),
            (Some(peer.id().cast_signed()), 20..30),
            "{style}"
        );
        drop(peer.stdin.take());
        peer.wait().unwrap();
    }
}

#[test]
fn lslocks_shows_what_we_hold() {
    let directory = Directory::new();
    for (style, kind) in [
        (Style::Ofd, "OFDLCK"),
        (Style::Flock, "FLOCK"),
        (Style::Record, "POSIX"),
    ] {
        let path = directory.file(kind);
        let mut lock = open(style, &path);
        let _held = lock.lock().unwrap();
        let output = foreign("lslocks", "util-linux")
            .args([
                "--raw",
                "--noheadings",
                "--notruncate",
                "-o",
                "TYPE,MODE,PATH",
            ])
            .output()
            .unwrap();
        let listed = String::from_utf8(output.stdout).unwrap();
        let line = format!("{kind} WRITE {}", path.display());
        // Old ones do not know OFD locks and show no path for them.
        let known = listed.lines().any(|shown| shown == line);
        assert!(
            known || style == Style::Ofd && listed.contains("OFDLCK WRITE"),
            "{line} not in\n{listed}"
        );
    }
}

#[test]
fn a_file_is_made_unless_told_and_may_be_anything_that_can_be_locked() {
    let directory = Directory::new();
    let path = directory.file("made");
    let error = Options::new().create(false).open(&path).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    Options::new().mode(0o640).open(&path).unwrap();
    let made = std::fs::metadata(&path).unwrap();
    assert_eq!(
        (
            made.len(),
            std::os::unix::fs::MetadataExt::mode(&made) & 0o777
        ),
        (0, 0o640)
    );
    drop(open(Style::Flock, directory.file("")).lock().unwrap());
    for style in [Style::Ofd, Style::Record] {
        let error = Options::new()
            .style(style)
            .open(directory.file(""))
            .unwrap_err();
        assert!(
            error.kind() == Kind::BadInput && error.to_string().contains("directory"),
            "{error}"
        );
    }
    std::os::unix::fs::symlink(directory.file("nowhere"), directory.file("dangling")).unwrap();
    assert_eq!(
        FileLock::open(directory.file("dangling"))
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    assert_eq!(
        FileLock::open(directory.file("no/lock"))
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    assert_eq!(FileLock::open("").unwrap_err().kind(), Kind::BadName);
    assert_eq!(
        FileLock::open("x".repeat(300)).unwrap_err().kind(),
        Kind::BadName
    );
}

#[test]
fn whoever_may_only_read_can_share_and_flock() {
    if part().is_some() {
        process::become_nobody();
        let path = process::argument("PATH");
        for style in [Style::Ofd, Style::Record] {
            let mut lock = open(style, &path);
            drop(lock.lock_shared().unwrap());
            let error = lock.lock().unwrap_err();
            assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
            assert!(error.to_string().contains("may only be read"), "{error}");
        }
        drop(open(Style::Flock, &path).lock().unwrap());
        assert_eq!(
            FileLock::open(process::argument("CLOSED"))
                .unwrap_err()
                .kind(),
            Kind::PermissionDenied
        );
        return;
    }
    let directory = Directory::new();
    let (path, closed) = (directory.file("readable"), directory.file("closed"));
    Options::new().mode(0o444).open(&path).unwrap();
    Options::new().mode(0).open(&closed).unwrap();
    let paths = [
        ("PATH", path.to_str().unwrap()),
        ("CLOSED", closed.to_str().unwrap()),
    ];
    play(
        "whoever_may_only_read_can_share_and_flock",
        "nobody",
        &paths,
    )
    .start()
    .succeeds();
}

#[test]
fn a_lock_is_not_inherited_by_programs_that_are_started() {
    // What other tests are starting has a copy of our descriptors between fork and exec.
    if !process::alone("a_lock_is_not_inherited_by_programs_that_are_started") {
        return;
    }
    let directory = Directory::new();
    let path = directory.file("lock");
    let mut lock = open(Style::Flock, &path);
    let held = lock.lock().unwrap();
    let mut sleeper = Command::new("sleep").arg("30").spawn().unwrap();
    held.forget();
    drop(lock);
    assert!(open(Style::Flock, &path).try_lock().unwrap().is_some());
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}
