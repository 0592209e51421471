//! The segment: every facility, every way to be refused, and creators that die.

mod process;

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use wigwag::gate::Mutex;
use wigwag::memory::Segment;
use wigwag::memory::segment::{Options, Trust};
use wigwag::{Error, Kind};

wigwag::shared! {
    struct Count { number: AtomicU64, lock: Mutex<[u32; 4]> }
    struct Other { number: AtomicU32 }
    struct Big { first: AtomicU64, pages: [[AtomicU64; 512]; 40] }
}

fn count(number: u64) -> Count {
    Count {
        number: AtomicU64::new(number),
        lock: Mutex::new([7; 4]),
    }
}

/// A name in each facility that has names; removed when dropped.
struct Names(Vec<String>, #[allow(dead_code)] process::Directory);

fn names() -> Names {
    let directory = process::Directory::new();
    let unique = process::unique("segment");
    // Of its own for each caller: the tests of this process run at the same time.
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) & 0xf;
    let key = 0x6000_0000 | (std::process::id() & 0x3f_ffff) << 4 | number;
    let file = directory.file("segment");
    Names(
        vec![
            format!("/{unique}"),
            format!("sysv-shm:{key:#x}"),
            file.to_str().expect("text").to_owned(),
        ],
        directory,
    )
}

impl Drop for Names {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = Segment::<Count>::unlink(name);
        }
    }
}

fn refused<T: wigwag::shared::Shared>(result: Result<Segment<T>, Error>, kind: Kind, word: &str) {
    let error = result.expect_err("it must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(word), "{error}");
}

#[test]
fn a_value_that_no_stack_could_hold_is_made_of_zeros_in_place() {
    wigwag::shared! { struct Huge { dirty: AtomicU64, cells: [Mutex<[u64; 512]>; 4096] } }
    let names = names();
    for name in &names.0 {
        let _ = Segment::<Huge>::unlink(name);
        let here = Options::new()
            .create_zeroed::<Huge>(name)
            .expect("create 16 MiB");
        let mut cell = here.cells[4095].lock().expect("lock").or_repair(|_| {});
        assert_eq!(*cell, [0; 512]);
        cell[511] = 3;
        drop(cell);
        let there = Options::new()
            .open_or_create_zeroed::<Huge>(name)
            .expect("open");
        assert_eq!(
            there.cells[4095].lock().expect("lock").or_repair(|_| {})[511],
            3
        );
        refused(
            Options::new().create_zeroed::<Huge>(name),
            Kind::AlreadyExists,
            "create",
        );
        Segment::<Huge>::unlink(name).expect("remove");
    }
    let one = Options::new()
        .anonymous_zeroed::<Huge>()
        .expect("without a name");
    assert_eq!(one.dirty.fetch_add(1, Ordering::Relaxed), 0);
}

// One test, because System V keys are few and others may have them.
#[test]
fn each_facility_makes_opens_refuses_and_removes() {
    if process::part().is_some() {
        let name = process::argument("OBJECT");
        let there = Segment::<Count>::open(&name).expect("open");
        assert_eq!(there.number.fetch_add(1, Ordering::Relaxed), 41);
        there.lock.lock().expect("lock").or_repair(|_| {})[0] = 8;
        return;
    }
    let names = names();
    for name in &names.0 {
        let _ = Segment::<Count>::unlink(name);
        refused(Segment::<Count>::open(name), Kind::NotFound, "open");
        let here = Segment::create(name, count(41)).expect("create");
        refused(
            Segment::create(name, count(0)),
            Kind::AlreadyExists,
            "create",
        );
        let test = "each_facility_makes_opens_refuses_and_removes";
        process::play(test, "count", &[("OBJECT", name)])
            .start()
            .succeeds();
        assert_eq!(here.number.load(Ordering::Relaxed), 42);
        assert_eq!(here.lock.lock().expect("lock").or_repair(|_| {})[0], 8);
        let same = Segment::open_or_create(name, || count(0)).expect("open");
        assert_eq!(same.number.load(Ordering::Relaxed), 42);
        refused(Segment::<Other>::open(name), Kind::BadInput, "another type");
        refused(
            Options::new().trust(Trust::Nobody).open::<Count>(name),
            Kind::BadInput,
            "hostile",
        );
        drop((here, same));
        Segment::<Count>::unlink(name).expect("unlink");
        refused(Segment::<Count>::open(name), Kind::NotFound, "open");
        assert_eq!(
            Segment::<Count>::unlink(name).unwrap_err().kind(),
            Kind::NotFound
        );
    }
}

#[test]
fn a_temporary_name_goes_with_its_handle() {
    for name in &names().0 {
        drop(
            Options::new()
                .temporary(true)
                .create(name, count(0))
                .expect("create"),
        );
        refused(Segment::<Count>::open(name), Kind::NotFound, "open");
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error_at_once() {
    if process::part().is_none() {
        let test = "a_directory_that_is_not_there_is_an_error_at_once";
        return process::play(test, "attempts", &[]).start().succeeds();
    }
    let directory = process::Directory::new();
    let path = directory.file("missing").join("segment");
    refused(
        Segment::create(&path, count(1)),
        Kind::NotFound,
        "cannot create",
    );
    let either = Segment::open_or_create(&path, || count(1));
    refused(either, Kind::NotFound, "cannot create");
    refused(Segment::<Count>::open(&path), Kind::NotFound, "cannot open");
}

#[test]
fn a_mode_that_was_asked_for_is_exactly_that_one() {
    use std::os::unix::fs::PermissionsExt;
    if process::part().is_none() {
        let test = "a_mode_that_was_asked_for_is_exactly_that_one";
        return process::play(test, "umask", &[]).start().succeeds();
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let directory = process::Directory::new();
    let path = directory.file("segment");
    let mode = || std::fs::metadata(&path).expect("stat").permissions().mode() & 0o777;
    let for_all = Options::new()
        .mode(0o666)
        .temporary(true)
        .create(&path, count(1))
        .expect("create");
    assert_eq!(mode(), 0o666);
    drop(for_all);
    let _ours = Options::new()
        .temporary(true)
        .create(&path, count(1))
        .expect("create");
    assert_eq!(mode(), 0o600);
}

#[test]
fn what_another_user_has_is_there_already() {
    if process::part().is_some() {
        let name = process::argument("OBJECT");
        process::become_nobody();
        refused(
            Segment::create(&name, count(1)),
            Kind::AlreadyExists,
            "create",
        );
        let either = Segment::open_or_create(&name, || count(1));
        refused(either, Kind::PermissionDenied, "create");
        return;
    }
    let name = format!("/{}", process::unique("others"));
    let _ours = Options::new()
        .mode(0)
        .temporary(true)
        .create(&name, count(1))
        .expect("create");
    let test = "what_another_user_has_is_there_already";
    process::play(test, "nobody", &[("OBJECT", &name)])
        .start()
        .succeeds();
}

#[test]
fn what_is_no_segment_is_refused_and_left_alone() {
    let directory = process::Directory::new();
    let path = directory.file("garbage");
    for garbage in [
        b"x".to_vec(),
        vec![0; 10_000],
        b"wigwag\r\n".to_vec(),
        vec![0xff; 300_000],
    ] {
        std::fs::write(&path, &garbage).expect("write");
        refused(
            Segment::<Count>::open(&path),
            Kind::Corrupt,
            "not a segment",
        );
        refused(
            Segment::<Count>::create(&path, count(0)),
            Kind::AlreadyExists,
            "create",
        );
        refused(
            Segment::<Count>::open_or_create(&path, || count(0)),
            Kind::Corrupt,
            "not a segment",
        );
        assert_eq!(std::fs::read(&path).expect("read"), garbage);
    }
    assert!(Segment::<Count>::open(directory.file("")).is_err());
    refused(
        Segment::<Count>::open("file:/dev/null"),
        Kind::BadName,
        "not a file",
    );
}

#[test]
fn each_field_of_the_header_that_does_not_match_is_named() {
    let directory = process::Directory::new();
    let path = directory.file("segment");
    drop(Segment::create(&path, count(1)).expect("create"));
    let whole = std::fs::read(&path).expect("read");
    // Offset, and what the refusal must say: version, byte order, word size, layout, size, libc, trust, pid namespace, boot.
    let fields = [
        (12, "version"),
        (24, "byte order"),
        (28, "bit program"),
        (32, "another type"),
        (40, "another type"),
        (48, "libc"),
        (52, "trust"),
        (56, "pid namespace"),
        (64, "earlier boot"),
    ];
    for (offset, word) in fields {
        let mut bytes = whole.clone();
        bytes[offset] ^= 1;
        std::fs::write(&path, bytes).expect("write");
        let error = Segment::<Count>::open(&path).expect_err("refused");
        assert!(error.to_string().contains(word), "byte {offset}: {error}");
        assert!(error.hint().is_some(), "{error}");
    }
    std::fs::write(&path, &whole[..whole.len() - 1]).expect("write");
    refused(Segment::<Count>::open(&path), Kind::Corrupt, "truncated");
    std::fs::write(&path, &whole).expect("write");
    assert!(Segment::<Count>::open(&path).is_ok());
}

#[test]
fn any_header_is_an_error_and_never_a_panic() {
    let directory = process::Directory::new();
    let path = directory.file("segment");
    drop(Segment::create(&path, count(1)).expect("create"));
    let whole = std::fs::read(&path).expect("read");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("open");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(std::process::id());
    for _ in 0..3000 {
        let mut header = whole[..176].to_vec();
        for _ in 0..3 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // The magic and the state stay, or it would wait for a creator.
            header[12 + (random >> 33) as usize % 164] = (random >> 24) as u8;
        }
        file.write_all_at(&header, 0).expect("write");
        let _ = Segment::<Count>::open(&path);
    }
}

#[test]
fn of_many_creators_one_makes_it_and_the_others_open_that() {
    if let Some(part) = process::part() {
        let name = process::argument("OBJECT");
        process::hear();
        let mine = Segment::open_or_create(&name, || {
            std::thread::sleep(Duration::from_millis(20));
            count(part.parse().expect("a number"))
        })
        .expect("open or create");
        mine.lock.lock().expect("lock").or_repair(|_| {})[3] += 1;
        process::say(&mine.number.load(Ordering::Relaxed).to_string());
        process::hear();
        return;
    }
    for name in &names().0 {
        let test = "of_many_creators_one_makes_it_and_the_others_open_that";
        let mut children: Vec<_> = (1..=4)
            .map(|number| process::play(test, &number.to_string(), &[("OBJECT", name)]).start())
            .collect();
        children.iter_mut().for_each(|child| child.tell("now"));
        let made: Vec<_> = children.iter_mut().map(process::Child::line).collect();
        assert!(made.iter().all(|one| *one == made[0]), "{name}: {made:?}");
        let here = Segment::<Count>::open(name).expect("open");
        assert_eq!(here.lock.lock().expect("lock").or_repair(|_| {})[3], 7 + 4);
        children.into_iter().for_each(process::Child::succeeds);
    }
}

#[test]
fn a_creator_that_is_killed_is_noticed_and_its_segment_taken_over() {
    for name in &names().0 {
        let mut child =
            process::play("a_creator_that_makes_for_ever", "make", &[("OBJECT", name)]).start();
        child.says("making");
        // While it lives it is waited for; when it is dead that is said, and it can be taken over.
        let waits = {
            let name = name.clone();
            std::thread::spawn(move || Segment::<Count>::open(&name).map(drop))
        };
        std::thread::sleep(Duration::from_millis(50));
        assert!(
            !waits.is_finished(),
            "{name}: a creator that lives is waited for"
        );
        child.kill();
        let error = waits
            .join()
            .expect("a thread")
            .expect_err("its creator died");
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(error.to_string().contains("creator died"), "{error}");
        let here = Segment::create(name, count(5)).expect("take it over");
        assert_eq!(here.number.load(Ordering::Relaxed), 5);
    }
}

#[test]
fn a_creator_that_makes_for_ever() {
    if process::part().is_some() {
        let made = Segment::open_or_create(process::argument("OBJECT"), || -> Count {
            process::say("making");
            process::hear();
            panic!("killed before")
        });
        drop(made);
    }
}

#[test]
fn a_value_that_panics_leaves_no_name() {
    for name in &names().0 {
        let result = std::panic::catch_unwind(|| {
            Segment::<Count>::open_or_create(name, || panic!("on purpose"))
        });
        assert!(result.is_err());
        refused(Segment::<Count>::open(name), Kind::NotFound, "open");
    }
}

#[test]
fn a_descriptor_is_enough_and_must_be_sealed() {
    let here = Segment::anonymous(count(9)).expect("create");
    let fd = here
        .fd()
        .expect("a descriptor")
        .try_clone_to_owned()
        .expect("dup");
    let there = Segment::<Count>::from_fd(fd).expect("open");
    assert_eq!(there.number.load(Ordering::Relaxed), 9);
    let bytes = vec![0_u8; 8192];
    let open = unsealed();
    open.write_all_at(&bytes, 0).expect("write");
    refused(Segment::<Count>::from_fd(open), Kind::Unsupported, "sealed");
}

fn unsealed() -> std::fs::File {
    // SAFETY: a valid C string; the descriptor is new and ours.
    unsafe {
        let fd = libc::memfd_create(
            c"test".as_ptr(),
            libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
        );
        <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd(fd)
    }
}

#[test]
fn a_full_file_system_is_an_error_and_no_crash() {
    // A limit on the size of files is the same to the creator.
    if process::part().is_some() {
        // SAFETY: structures of numbers.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let limit = libc::rlimit {
                rlim_cur: 8192,
                rlim_max: 8192,
            };
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
        }
        let big = || -> Big {
            // SAFETY: atomics, of which zeros are values.
            unsafe { std::mem::zeroed() }
        };
        let error = Segment::open_or_create(process::argument("OBJECT"), big).expect_err("too big");
        assert_eq!(error.kind(), Kind::TooBig, "{error}");
        return;
    }
    let name = format!("/{}", process::unique("full"));
    process::play(
        "a_full_file_system_is_an_error_and_no_crash",
        "big",
        &[("OBJECT", &name)],
    )
    .start()
    .succeeds();
    refused(Segment::<Big>::open(&name), Kind::NotFound, "open");
}

#[test]
fn without_room_it_says_how_much_there_is() {
    if process::part().is_some() {
        let error = Segment::open_or_create("/large", || count(1)).expect_err("no room");
        assert_eq!(error.kind(), Kind::Limit, "{error}");
        assert!(
            error.to_string().contains("/dev/shm has 0 bytes free"),
            "{error}"
        );
        return;
    }
    let script = "mount -t tmpfs -o size=4k none /dev/shm && echo > /dev/shm/full && exec \"$@\"";
    let wrapper = ["-Urm", "sh", "-c", script, "sh"];
    process::play("without_room_it_says_how_much_there_is", "maker", &[])
        .through("util-linux", &[&["unshare"][..], &wrapper].concat())
        .start()
        .succeeds();
}

#[test]
fn another_pid_namespace_is_refused() {
    if process::part().is_some() {
        let error = Segment::<Count>::open(process::argument("OBJECT")).expect_err("refused");
        assert_eq!(error.kind(), Kind::Unsupported, "{error}");
        process::say(&error.to_string());
        return;
    }
    let name = format!("/{}", process::unique("namespace"));
    let _here = Options::new()
        .temporary(true)
        .create(&name, count(0))
        .expect("create");
    let output = process::foreign("unshare", "util-linux")
        .args([
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--mount-proc",
        ])
        .arg(std::env::current_exe().expect("own path"))
        .args(["--exact", "another_pid_namespace_is_refused", "--nocapture"])
        .env("WIGWAG_TEST_PART", "other")
        .env("WIGWAG_TEST_OBJECT", &name)
        .output()
        .expect("run unshare");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("pid namespace"),
        "{said}"
    );
}
