//! Circumstances of segments: no descriptor is left, the name cannot be one, the memory is removed or cut off while it is used.
//!
//! Always a clear error and nothing left behind, or all goes on.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod process;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use process::{PATIENCE, play};
use wigwag::gate::{Mutex, Semaphore, posix, sysv};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;
use wigwag::{Error, Kind};

wigwag::shared! { struct Table { mutex: Mutex<u64>, permits: Semaphore, rest: [Mutex<u64>; 200] } }

fn table() -> Table {
    Table {
        mutex: Mutex::new(0),
        permits: Semaphore::new(0),
        rest: [const { Mutex::new(0) }; 200],
    }
}

#[test]
fn without_a_descriptor_a_segment_is_a_clear_error_and_leaves_nothing() {
    const TEST: &str = "without_a_descriptor_a_segment_is_a_clear_error_and_leaves_nothing";
    if process::part().is_none() {
        return play(TEST, "alone", &[]).start().succeeds();
    }
    let stem = process::unique("starved");
    let directory = process::Directory::new();
    let file = directory.file("segment");
    let key = format!("sysv-shm:{:#x}", 0x7767_0000 | std::process::id() & 0xffff);
    let names = [
        format!("/{stem}"),
        file.to_str().unwrap().to_owned(),
        key.clone(),
    ];
    let [there, same] = ["there", "same"].map(|end| format!("/{stem}-{end}"));
    let held = Options::new()
        .temporary(true)
        .create(&there, table())
        .unwrap();
    let sysv = key.replace("0x7767", "0x7766");
    let kept = Options::new()
        .temporary(true)
        .create(&sysv, table())
        .unwrap();
    let received = held.fd().unwrap().try_clone_to_owned().unwrap();
    // With each number of descriptors that may be left: some of the ways get further than others.
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    for left in 0..4 {
        process::limit_open_files(open + 40);
        let all: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
        let mut all = all;
        all.truncate(all.len() - left);
        let mut refused = 0;
        let mut check = |what: &str, made: Result<Segment<Table>, Error>| match made {
            Ok(segment) => drop(segment.mutex.lock().unwrap().or_repair(|_| ())),
            Err(error) => {
                refused += 1;
                let text = error.to_string();
                assert_eq!(error.kind(), Kind::Limit, "{what}: {text}");
                assert!(text.contains("oo many open files"), "{what}: {text}");
                assert!(!text.contains("mount /proc"), "{what}: {text}");
            }
        };
        for name in &names {
            check(name, Options::new().temporary(true).create(name, table()));
            let either = Options::new().temporary(true).open_or_create(name, table);
            check(name, either);
        }
        check("anonymous", Options::new().anonymous(table()));
        check("open", Segment::open(&there));
        check("open", Segment::open(&sysv));
        if let Ok(fd) = received.try_clone() {
            check("received", Segment::from_fd(fd));
        }
        // What is open already goes on, also for a thread that was never here before.
        std::thread::scope(|scope| {
            let uses = scope.spawn(|| {
                for table in [&held, &kept] {
                    drop(table.mutex.lock().unwrap().or_repair(|_| ()));
                    let late = table.permits.acquire_timeout(Duration::from_millis(30));
                    assert_eq!(late.unwrap_err().kind(), Kind::TimedOut);
                }
            });
            uses.join().unwrap();
        });
        assert!(refused > 0 || left > 0, "with {left} descriptors");
        drop(all);
        for name in &names {
            let gone = Segment::<Table>::open(name).unwrap_err();
            assert_eq!(gone.kind(), Kind::NotFound, "{name} was left: {gone}");
        }
    }
    drop(
        Options::new()
            .temporary(true)
            .create(&same, table())
            .unwrap(),
    );
}

#[test]
fn a_name_that_cannot_be_one_is_a_clear_error() {
    let long = |bytes: usize| "x".repeat(bytes);
    let names: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "empty"),
        (b"/".to_vec(), "nothing after the slash"),
        (b"/.".to_vec(), "directory"),
        (b"/..".to_vec(), "directory"),
        (b"nothing".to_vec(), "must begin with a slash: /nothing"),
        (b"/a\0b".to_vec(), "NUL"),
        (b"/dev/shm/a\0b".to_vec(), "NUL"),
        (b"\xff\xfe".to_vec(), "slash: /\\xFF\\xFE"),
        (b"shm:a/b".to_vec(), "slash"),
        (b"shm:/a/b".to_vec(), "slash"),
        (b"shm:".to_vec(), "empty"),
        (b"file:".to_vec(), "empty"),
        (b"sysv-shm:".to_vec(), "empty"),
        (b"sysv-shm:many".to_vec(), ""),
        (b"sysv-shm:0".to_vec(), ""),
        (b"mq:/a".to_vec(), "does not lie in mq"),
        (b"shm:/a?mode=600".to_vec(), "no options"),
        (format!("/{}", long(256)).into(), "256 bytes"),
        (format!("/tmp/{}", long(256)).into(), "256 bytes"),
        (format!("/{}", "d/".repeat(2100)).into(), "bytes"),
        (b"/no/such/directory/here".to_vec(), "o such"),
        (b"/tmp/".to_vec(), ""),
    ];
    for (name, says) in names {
        let name = OsStr::from_bytes(&name);
        for result in [
            Segment::create(name, table()).map(drop),
            Segment::<Table>::open(name).map(drop),
            Segment::open_or_create(name, table).map(drop),
            Segment::<Table>::unlink(name),
        ] {
            let error = result.err().unwrap_or_else(|| panic!("{name:?} was taken"));
            let text = error.to_string();
            assert!(text.contains(says), "{name:?}: {text}");
            assert!(!text.contains('\0') && text.len() < 10_000, "{text:?}");
            assert!(
                matches!(
                    error.kind(),
                    Kind::BadName
                        | Kind::BadAddress
                        | Kind::NotFound
                        | Kind::BadInput
                        | Kind::Other
                ),
                "{name:?}: {:?} {text}",
                error.kind()
            );
        }
    }
}

#[test]
fn a_name_that_is_no_text_is_a_name_like_any_other() {
    let stem = process::unique("odd");
    for odd in [&b"\xff\xfe"[..], b" \n\t", "\u{1f30d}".as_bytes(), b"%2F?"] {
        let name = [b"/", stem.as_bytes(), odd].concat();
        let name = OsStr::from_bytes(&name);
        let here = Options::new().temporary(true).create(name, table());
        let here = here.unwrap();
        *here.mutex.lock().unwrap().or_repair(|_| ()) = 7;
        let there = Segment::<Table>::open(name).unwrap();
        assert_eq!(*there.mutex.lock().unwrap().or_repair(|_| ()), 7);
        let twice = Segment::create(name, table()).unwrap_err();
        assert_eq!(twice.kind(), Kind::AlreadyExists);
        assert!(!twice.to_string().contains(['\n', '\t']), "{twice}");
    }
    let longest = format!("/{stem}{}", "x".repeat(255 - stem.len()));
    let here = Options::new().temporary(true).create(&longest, table());
    assert!(here.is_ok() && Segment::<Table>::open(&longest).is_ok());
}

#[test]
fn who_has_removed_memory_uses_it_until_the_last_has_left() {
    const TEST: &str = "who_has_removed_memory_uses_it_until_the_last_has_left";
    if process::part().is_some() {
        let there = Segment::<Table>::open(process::argument("NAME")).unwrap();
        process::say("open");
        process::hear();
        *there.mutex.lock().unwrap().or_repair(|_| ()) += 1;
        there.permits.release(1).unwrap();
        process::hear();
        std::mem::forget(there.mutex.lock().unwrap());
        process::say("holds");
        process::hear();
        return;
    }
    let directory = process::Directory::new();
    let key = format!("sysv-shm:{:#x}", 0x7768_0000 | std::process::id() & 0xffff);
    for name in [
        key,
        format!("/{}", process::unique("removed")),
        directory.file("segment").to_str().unwrap().to_owned(),
    ] {
        let here = Segment::create(&name, table()).unwrap();
        let mut child = play(TEST, "use", &[("NAME", &name)]).start();
        child.says("open");
        Segment::<Table>::unlink(&name).unwrap();
        let gone = Segment::<Table>::open(&name).unwrap_err();
        assert_eq!(gone.kind(), Kind::NotFound, "{gone}");
        let gone = Segment::<Table>::unlink(&name).unwrap_err();
        assert_eq!(gone.kind(), Kind::NotFound, "{gone}");
        // Another one by that name has nothing to do with it.
        let other = Options::new().temporary(true).create(&name, table());
        let other = other.unwrap();
        child.tell("use it");
        drop(here.permits.acquire_timeout(PATIENCE).unwrap());
        assert_eq!(*here.mutex.lock().unwrap().or_repair(|_| ()), 1);
        assert_eq!(other.permits.value(), 0);
        // And a death is told in it as in any.
        child.tell("hold it");
        child.says("holds");
        child.kill();
        assert!(here.mutex.lock_timeout(PATIENCE).unwrap().is_orphaned());
        assert!(!other.mutex.lock().unwrap().is_orphaned());
        drop(here);
        assert!(Segment::<Table>::open(&name).is_ok());
    }
}

#[test]
fn a_trusted_peer_that_truncates_a_segment_ends_who_uses_it_and_hangs_nobody() {
    const TEST: &str = "a_trusted_peer_that_truncates_a_segment_ends_who_uses_it_and_hangs_nobody";
    let name = process::argument_or_empty("NAME");
    if process::part().is_some() {
        let there = Segment::<Table>::open(&name).unwrap();
        process::say("open");
        process::hear();
        let whole = there.is_whole().unwrap_err();
        assert_eq!(whole.kind(), Kind::Corrupt, "{whole}");
        process::say("knows it");
        let lock = there.rest[199].lock_timeout(PATIENCE);
        panic!("{:?}", lock.map(drop));
    }
    let name = format!("/{}", process::unique("cut"));
    let here = Options::new()
        .temporary(true)
        .create(&name, table())
        .unwrap();
    here.is_whole().unwrap();
    let mut child = play(TEST, "use", &[("NAME", &name)]).start();
    child.says("open");
    let mut open = std::fs::OpenOptions::new();
    let file = open.write(true).open(format!("/dev/shm{name}")).unwrap();
    file.set_len(4096).unwrap();
    child.tell("use it");
    child.says("knows it");
    assert_eq!(child.ends().signal(), Some(libc::SIGBUS));
    let error = Segment::<Table>::open(&name).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(error.to_string().contains("truncated"), "{error}");
}

#[test]
fn the_child_of_a_fork_removes_no_name_and_gives_no_permit_back() {
    const TEST: &str = "the_child_of_a_fork_removes_no_name_and_gives_no_permit_back";
    if process::part().is_none() {
        return play(TEST, "alone", &[]).start().succeeds();
    }
    let name = format!("/{}", process::unique("forked"));
    let mut here = Some(Options::new().temporary(true).create(&name, table()));
    let named = posix::Options::new().temporary(true).create(&name, 1);
    let named = named.unwrap();
    let mut place = Some(named.acquire().unwrap());
    let set = sysv::Options::new()
        .temporary(true)
        .undo(false)
        .create(wigwag::Key::Private, &[1])
        .unwrap();
    let mut count = Some(set.acquire(0).unwrap());
    // SAFETY: glibc makes its allocator usable in the child, which ends without returning.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop((here.take(), place.take(), count.take()));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: the status is not asked for.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    assert!(Segment::<Table>::open(&name).is_ok(), "the name is there");
    assert_eq!(named.value(), 0);
    assert!(set.try_acquire(0).unwrap().is_none());
    drop((here, place, count));
    assert!(Segment::<Table>::open(&name).is_err());
    assert!(named.try_acquire().unwrap().is_some());
    assert!(set.try_acquire(0).unwrap().is_some());
}

#[test]
fn a_segment_without_a_name_or_with_a_key_cannot_be_truncated() {
    let anonymous = Segment::anonymous(table()).unwrap();
    anonymous.is_whole().unwrap();
    let file = std::fs::File::from(anonymous.fd().unwrap().try_clone_to_owned().unwrap());
    assert!(file.set_len(4096).is_err(), "it is sealed");
    let key = format!("sysv-shm:{:#x}", 0x7769_0000 | std::process::id() & 0xffff);
    let keyed = Options::new()
        .temporary(true)
        .create(&key, table())
        .unwrap();
    keyed.is_whole().unwrap();
    assert!(keyed.fd().is_none());
}
