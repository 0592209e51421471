//! POSIX shared memory between processes: ours, and Python's.

#![allow(clippy::unwrap_used)] // what the tests share, too

mod process;

use std::os::unix::fs::MetadataExt;

use process::{Directory, hear, part, play, python, say, unique};
use wigwag::Kind;
use wigwag::memory::posix::{Options, SharedMemory};
use wigwag::memory::{Access, Region};

/// Removes the name whatever happens.
struct Named(String);

impl Named {
    fn new(stem: &str) -> Self {
        Named(format!("/{}", unique(stem)))
    }

    fn file(&self) -> String {
        format!("/dev/shm{}", self.0)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.file());
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

#[test]
fn bytes_written_by_one_process_are_read_by_another() {
    const LEN: usize = (1 << 20) + 3;
    if part().is_some() {
        let region = SharedMemory::open(process::argument("NAME")).unwrap();
        assert_eq!(region.len(), LEN);
        let mut bytes = vec![0; LEN];
        region.read_at(0, &mut bytes).unwrap();
        assert!(bytes == pattern(LEN));
        bytes.reverse();
        region.write_at(0, &bytes).unwrap();
        return;
    }
    let name = Named::new("bytes");
    let region = SharedMemory::create(&name.0, LEN as u64).unwrap();
    region.write_at(0, &pattern(LEN)).unwrap();
    let test = "bytes_written_by_one_process_are_read_by_another";
    play(test, "reverse", &[("NAME", &name.0)])
        .start()
        .succeeds();
    let mut bytes = vec![0; LEN];
    region.read_at(0, &mut bytes).unwrap();
    bytes.reverse();
    assert!(bytes == pattern(LEN));
}

#[test]
fn what_is_outside_is_refused_and_nothing_is_written() {
    let name = Named::new("outside");
    let region = SharedMemory::create(&name.0, 100).unwrap();
    for (offset, len) in [(0, 101), (100, 1), (usize::MAX, 1), (99, 2)] {
        let error = region.write_at(offset, &vec![1; len]).unwrap_err();
        assert_eq!(error.kind(), Kind::BadInput, "{error}");
        assert!(error.to_string().contains("100 bytes"), "{error}");
        assert!(region.read_at(offset, &mut vec![1; len]).is_err());
    }
    region.write_at(100, &[]).unwrap();
    let mut all = [9; 100];
    region.read_at(0, &mut all).unwrap();
    assert_eq!(all, [0; 100]);
}

#[test]
fn create_is_exclusive_and_open_needs_it_to_exist() {
    let name = Named::new("exclusive");
    let error = SharedMemory::open(&name.0).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot open shared memory {}: no such file or directory",
            name.0
        )
    );
    let first = SharedMemory::create(&name.0, 10).unwrap();
    assert_eq!(
        SharedMemory::create(&name.0, 10).unwrap_err().kind(),
        Kind::AlreadyExists
    );
    assert_eq!(SharedMemory::open_or_create(&name.0, 5).unwrap().len(), 10);
    let small = SharedMemory::open_or_create(&name.0, 11).unwrap_err();
    assert!(
        small.kind() == Kind::BadInput && small.to_string().contains("10 bytes, fewer than 11"),
        "{small}"
    );
    first.write_at(0, b"there").unwrap();
}

#[test]
fn names_that_cannot_be_are_refused_with_the_rule() {
    for (name, rule) in [
        ("", "empty"),
        ("noslash", "begin with a slash"),
        ("/", "nothing after"),
        ("/a/b", "first character"),
        ("/..", "directory"),
        ("/nul\0", "NUL"),
    ] {
        let error = SharedMemory::create(name, 1).unwrap_err();
        assert_eq!(error.kind(), Kind::BadName);
        assert!(error.to_string().contains(rule), "{error}");
    }
    let long = format!("/{}", "x".repeat(256));
    assert!(
        SharedMemory::create(long, 1)
            .unwrap_err()
            .to_string()
            .contains("256 bytes")
    );
    let name = Named::new("size");
    assert_eq!(
        SharedMemory::create(&name.0, 0).unwrap_err().kind(),
        Kind::BadInput
    );
    assert_eq!(
        SharedMemory::create(&name.0, u64::MAX).unwrap_err().kind(),
        Kind::TooBig
    );
    let too_large = SharedMemory::create(&name.0, 1 << 60).unwrap_err();
    assert!(
        matches!(too_large.kind(), Kind::Limit | Kind::TooBig),
        "{too_large}"
    );
    assert!(!std::path::Path::new(&name.file()).exists());
}

#[test]
fn whoever_is_first_makes_it_and_nobody_sees_it_half_made() {
    const EACH: usize = 8;
    if part().is_some() {
        let slot: usize = process::argument("SLOT").parse().unwrap();
        hear();
        let region = SharedMemory::open_or_create(process::argument("NAME"), 4096).unwrap();
        region
            .write_at(slot * 8, &(slot as u64 + 1).to_ne_bytes())
            .unwrap();
        return;
    }
    let test = "whoever_is_first_makes_it_and_nobody_sees_it_half_made";
    let name = Named::new("race");
    let mut children: Vec<_> = (0..EACH)
        .map(|slot| {
            play(
                test,
                "open",
                &[("NAME", &name.0), ("SLOT", &slot.to_string())],
            )
            .start()
        })
        .collect();
    children.iter_mut().for_each(|child| child.tell("go"));
    children.into_iter().for_each(process::Child::succeeds);
    let region = SharedMemory::open(&name.0).unwrap();
    for slot in 0..EACH {
        let mut word = [0; 8];
        region.read_at(slot * 8, &mut word).unwrap();
        assert_eq!(u64::from_ne_bytes(word), slot as u64 + 1);
    }
}

#[test]
fn it_outlives_its_processes_until_it_is_unlinked_and_its_users_outlive_that() {
    if part().is_some() {
        let region = SharedMemory::create(process::argument("NAME"), 64).unwrap();
        region.write_at(0, b"left behind").unwrap();
        return;
    }
    let test = "it_outlives_its_processes_until_it_is_unlinked_and_its_users_outlive_that";
    let name = Named::new("persistence");
    play(test, "create", &[("NAME", &name.0)])
        .start()
        .succeeds();
    let region = SharedMemory::open(&name.0).unwrap();
    assert!(region.stat().unwrap().named);
    SharedMemory::unlink(&name.0).unwrap();
    assert_eq!(
        SharedMemory::unlink(&name.0).unwrap_err().kind(),
        Kind::NotFound
    );
    assert_eq!(
        SharedMemory::open(&name.0).unwrap_err().kind(),
        Kind::NotFound
    );
    assert!(!region.stat().unwrap().named);
    let mut bytes = [0; 11];
    region.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"left behind");
}

#[test]
fn a_temporary_name_goes_with_its_handle_but_not_with_a_killed_process() {
    if part().is_some() {
        let options = Options::new().temporary(true);
        let _region = options.create(process::argument("NAME"), 64).unwrap();
        say("made");
        hear();
        return;
    }
    let test = "a_temporary_name_goes_with_its_handle_but_not_with_a_killed_process";
    let name = Named::new("temporary");
    let mut child = play(test, "make", &[("NAME", &name.0)]).start();
    child.says("made");
    child.tell("end");
    child.succeeds();
    assert_eq!(
        SharedMemory::open(&name.0).unwrap_err().kind(),
        Kind::NotFound
    );
    let mut child = play(test, "make", &[("NAME", &name.0)]).start();
    child.says("made");
    child.kill();
    SharedMemory::open(&name.0).unwrap();
    SharedMemory::unlink(&name.0).unwrap();
    // A name that means something else by now is left alone.
    let ours = Options::new().temporary(true).create(&name.0, 64).unwrap();
    SharedMemory::unlink(&name.0).unwrap();
    SharedMemory::create(&name.0, 64).unwrap();
    drop(ours);
    SharedMemory::open(&name.0).unwrap();
}

#[test]
fn the_mode_is_exact_and_keeps_others_out() {
    if part().is_some() {
        process::become_nobody();
        for (name, allowed) in [("CLOSED", false), ("READABLE", true)] {
            let read_only = Options::new().access(Access::ReadOnly);
            let result = read_only.open(process::argument(name));
            assert_eq!(result.is_ok(), allowed, "{name}: {result:?}");
        }
        let error = SharedMemory::open(process::argument("CLOSED")).unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied);
        let error = SharedMemory::open(process::argument("READABLE")).unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied, "writing");
        let region = Options::new().access(Access::ReadOnly);
        let region = region.open(process::argument("READABLE")).unwrap();
        let mut bytes = [0; 4];
        region.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"seen");
        let error = region.write_at(0, b"no").unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
        return;
    }
    let (closed, readable) = (Named::new("closed"), Named::new("readable"));
    Options::new().mode(0).create(&closed.0, 4).unwrap();
    let region = Options::new().mode(0o444).create(&readable.0, 4).unwrap();
    region.write_at(0, b"seen").unwrap();
    assert_eq!(region.stat().unwrap().mode, 0o444);
    assert_eq!(
        std::fs::metadata(readable.file()).unwrap().mode() & 0o7777,
        0o444
    );
    let test = "the_mode_is_exact_and_keeps_others_out";
    let names = [("CLOSED", &closed.0[..]), ("READABLE", &readable.0)];
    play(test, "nobody", &names).start().succeeds();
}

#[test]
fn a_full_file_system_is_an_error_at_creation_and_leaves_nothing() {
    if part().is_some() {
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", "/dev/shm"])
            .status()
            .unwrap();
        assert!(mounted.success());
        let error = SharedMemory::create("/large", 1 << 20).unwrap_err();
        assert_eq!(error.kind(), Kind::Limit);
        let text = error.to_string();
        assert!(
            text.contains("no space left") && text.contains("/dev/shm has 65536 bytes free"),
            "{text}"
        );
        assert_eq!(std::fs::read_dir("/dev/shm").unwrap().count(), 0);
        let mut region = SharedMemory::create("/small", 32 << 10).unwrap();
        region.write_at(0, &vec![1; 32 << 10]).unwrap();
        assert_eq!(region.resize(1 << 20).unwrap_err().kind(), Kind::Limit);
        // A page that was promised, taken away, and is not to be had again: an error, not SIGBUS.
        use rustix::fs::{FallocateFlags, fallocate};
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&region, punch, 0, 32 << 10).unwrap();
        let _filler = SharedMemory::create("/filler", 64 << 10).unwrap();
        let error = region.write_at(0, b"no room").unwrap_err();
        assert_eq!(error.kind(), Kind::Limit, "{error}");
        assert!(error.to_string().contains("full"), "{error}");
        return;
    }
    let test = "a_full_file_system_is_an_error_at_creation_and_leaves_nothing";
    let child = play(test, "fill", &[]).through("util-linux", &process::unshared("-m"));
    child.start().succeeds();
}

#[test]
fn limits_that_are_reached_are_named_and_no_signal_ends_the_process() {
    if let Some(part) = part() {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let limit = |n| Rlimit {
            current: Some(n),
            maximum: Some(n),
        };
        let name = process::argument("NAME");
        if part == "size" {
            setrlimit(Resource::Fsize, limit(4096)).unwrap();
            let error = SharedMemory::create(&name, 4097).unwrap_err();
            assert_eq!(error.kind(), Kind::TooBig, "{error}");
            assert!(
                error.to_string().contains("RLIMIT_FSIZE is 4096"),
                "{error}"
            );
            SharedMemory::create(&name, 4096).unwrap();
        } else {
            setrlimit(Resource::Nofile, limit(20)).unwrap();
            let first = Options::new().temporary(true).create(&name, 4096).unwrap();
            let mut open = Vec::new();
            let error = loop {
                match SharedMemory::open(&name) {
                    Ok(region) => open.push(region),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), Kind::Limit);
            assert!(error.to_string().contains("RLIMIT_NOFILE is 20"), "{error}");
            first.write_at(0, b"still usable").unwrap();
        }
        return;
    }
    let test = "limits_that_are_reached_are_named_and_no_signal_ends_the_process";
    let name = Named::new("limits");
    play(test, "size", &[("NAME", &name.0)]).start().succeeds();
    SharedMemory::unlink(&name.0).unwrap();
    play(test, "descriptors", &[("NAME", &name.0)])
        .start()
        .succeeds();
}

#[test]
fn a_larger_one_is_seen_by_others_when_they_open_it_again() {
    let name = Named::new("resize");
    let mut ours = SharedMemory::create(&name.0, 4096).unwrap();
    let theirs = SharedMemory::open(&name.0).unwrap();
    ours.write_at(0, b"kept").unwrap();
    ours.resize(10_000).unwrap();
    assert_eq!((ours.len(), theirs.len()), (10_000, 4096));
    assert_eq!(theirs.stat().unwrap().len, 10_000);
    ours.write_at(9_996, b"last").unwrap();
    let mut bytes = [0; 4];
    theirs.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"kept");
    let again = SharedMemory::open(&name.0).unwrap();
    again.read_at(9_996, &mut bytes).unwrap();
    assert_eq!(&bytes, b"last");
    let mut reader = Options::new()
        .access(Access::ReadOnly)
        .open(&name.0)
        .unwrap();
    assert_eq!(reader.resize(1).unwrap_err().kind(), Kind::PermissionDenied);
}

#[test]
fn a_semaphore_inside_keeps_the_pages_and_forbids_shrinking() {
    use wigwag::gate::posix::Semaphore;
    let name = Named::new("inside");
    let mut region = Options::new()
        .temporary(true)
        .create(&name.0, 8192)
        .unwrap();
    let semaphore = Semaphore::init(&region, 4096, 1).unwrap();
    let error = region.resize(4096).unwrap_err();
    assert!(
        error.kind() == Kind::BadInput && error.to_string().contains("lies inside"),
        "{error}"
    );
    region.resize(16384).unwrap();
    drop(region);
    drop(semaphore.acquire().unwrap());
    for (offset, why) in [
        (2, "multiple of"),
        (1 << 30, "not inside"),
        (8192 - 8, "not inside"),
    ] {
        let region = Options::new()
            .temporary(true)
            .create(&name.0, 8192)
            .unwrap();
        let error = Semaphore::init(&region, offset, 1).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn pythons_posix_ipc_and_we_see_the_same_bytes() {
    let name = Named::new("python");
    let region = SharedMemory::create(&name.0, 4096).unwrap();
    region.write_at(0, b"from Rust").unwrap();
    let script = "import posix_ipc, mmap, sys\n\
        memory = posix_ipc.SharedMemory(sys.argv[1])\n\
        assert memory.size == 4096, memory.size\n\
        pages = mmap.mmap(memory.fd, memory.size)\n\
        assert pages[:9] == b'from Rust', pages[:9]\n\
        pages[100:111] = b'from Python'\n\
        made = posix_ipc.SharedMemory(sys.argv[2], posix_ipc.O_CREX, size=5000)\n\
        mmap.mmap(made.fd, made.size)[4990:5000] = b'0123456789'\n\
        posix_ipc.SharedMemory(sys.argv[3], posix_ipc.O_CREX)\n";
    let (made, empty) = (Named::new("made"), Named::new("empty"));
    let run = python("posix_ipc", script)
        .args([&name.0, &made.0, &empty.0])
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let mut bytes = [0; 11];
    region.read_at(100, &mut bytes).unwrap();
    assert_eq!(&bytes, b"from Python");
    let made = SharedMemory::open(&made.0).unwrap();
    let mut bytes = [0; 10];
    made.read_at(4990, &mut bytes).unwrap();
    assert_eq!((made.len(), &bytes), (5000, b"0123456789"));
    let error = SharedMemory::open(&empty.0).unwrap_err();
    assert!(error.to_string().contains("it has no bytes"), "{error}");
}

#[test]
fn pythons_multiprocessing_shares_with_us() {
    let name = Named::new("multiprocessing");
    let script = "import sys\n\
        from multiprocessing import shared_memory, resource_tracker\n\
        resource_tracker.register = lambda *_: None\n\
        memory = shared_memory.SharedMemory(sys.argv[1].lstrip('/'), create=True, size=8192)\n\
        memory.buf[8000:8006] = b'Python'\n\
        print('ready', flush=True)\n\
        sys.stdin.readline()\n\
        assert bytes(memory.buf[:4]) == b'Rust', bytes(memory.buf[:4])\n";
    use std::io::{BufRead, Write};
    use std::process::Stdio;
    let mut peer = python("multiprocessing.shared_memory", script)
        .arg(&name.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(peer.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line.trim(), "ready");
    let region = SharedMemory::open(&name.0).unwrap();
    let mut bytes = [0; 6];
    region.read_at(8000, &mut bytes).unwrap();
    assert_eq!(&bytes, b"Python");
    region.write_at(0, b"Rust").unwrap();
    writeln!(peer.stdin.take().unwrap(), "go").unwrap();
    assert!(peer.wait().unwrap().success());
}

#[test]
fn a_symbolic_link_is_no_shared_memory() {
    let directory = Directory::new();
    let target = directory.file("target");
    std::fs::write(&target, b"private").unwrap();
    let name = Named::new("link");
    std::os::unix::fs::symlink(&target, name.file()).unwrap();
    for result in [
        SharedMemory::open(&name.0),
        SharedMemory::open_or_create(&name.0, 7),
    ] {
        assert!(result.unwrap_err().to_string().contains("symbolic link"));
    }
    assert_eq!(
        SharedMemory::create(&name.0, 7).unwrap_err().kind(),
        Kind::AlreadyExists
    );
    assert_eq!(std::fs::read(&target).unwrap(), b"private");
}

#[test]
fn numbers_at_their_alignment_are_never_torn() {
    const ROUNDS: u64 = 200_000;
    if part().is_some() {
        let region = SharedMemory::open(process::argument("NAME")).unwrap();
        say("ready");
        let mut bytes = [0; 8];
        loop {
            region.read_at(64, &mut bytes).unwrap();
            match u64::from_ne_bytes(bytes) {
                u64::MAX => return,
                word => assert_eq!(word >> 32, word & 0xFFFF_FFFF, "torn: {word:#x}"),
            }
        }
    }
    let name = Named::new("torn");
    let region = SharedMemory::create(&name.0, 4096).unwrap();
    let test = "numbers_at_their_alignment_are_never_torn";
    let mut child = play(test, "read", &[("NAME", &name.0)]).start();
    child.says("ready");
    for half in 0..ROUNDS {
        region
            .write_at(64, &(half << 32 | half).to_ne_bytes())
            .unwrap();
    }
    region.write_at(64, &u64::MAX.to_ne_bytes()).unwrap();
    child.succeeds();
}
