//! POSIX semaphores between processes: ours, Python's, and a C program's.

#![allow(clippy::unwrap_used)] // what the tests share, too

mod process;

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use process::{Directory, PATIENCE, compiled, foreign, hear, part, play, say, unique};
use rustix::process::Signal;
use wigwag::Kind;
use wigwag::gate::posix::{Options, Semaphore};
use wigwag::memory::posix::SharedMemory;
use wigwag::memory::{Region, SEMAPHORE_SIZE, anonymous::Anonymous, file};

/// Removes the name whatever happens.
struct Named(String);

impl Named {
    fn new(stem: &str) -> Self {
        Named(format!("/{}", unique(stem)))
    }

    fn file(&self) -> String {
        format!("/dev/shm/sem.{}", &self.0[1..])
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.file());
    }
}

fn open() -> Semaphore {
    Semaphore::open(process::argument("NAME")).unwrap()
}

#[test]
fn a_permit_goes_from_one_process_to_another() {
    if part().is_some() {
        let semaphore = open();
        say("waiting");
        semaphore.acquire().unwrap().forget();
        say("through");
        hear();
        semaphore.release().unwrap();
        return;
    }
    let name = Named::new("handover");
    let semaphore = Semaphore::create(&name.0, 0).unwrap();
    let test = "a_permit_goes_from_one_process_to_another";
    let mut child = play(test, "wait", &[("NAME", &name.0)]).start();
    child.says("waiting");
    child.sleeps_in(libc::SYS_futex);
    semaphore.release().unwrap();
    child.says("through");
    assert!(semaphore.try_acquire().unwrap().is_none());
    child.tell("back");
    drop(semaphore.acquire_timeout(PATIENCE).unwrap());
    assert_eq!(semaphore.value(), 1);
    child.succeeds();
}

#[test]
fn only_as_many_are_inside_as_there_are_permits() {
    if part().is_some() {
        let semaphore = open();
        let inside = SharedMemory::open(process::argument("INSIDE")).unwrap();
        let count = Semaphore::attach(&inside, 0).unwrap();
        for _ in 0..2000 {
            let permit = semaphore.acquire().unwrap();
            count.release().unwrap();
            assert!(count.value() <= 2);
            count.try_acquire().unwrap().expect("our own").forget();
            drop(permit);
        }
        return;
    }
    let test = "only_as_many_are_inside_as_there_are_permits";
    let (name, inside) = (Named::new("bounded"), Named::new("inside"));
    let semaphore = Semaphore::create(&name.0, 2).unwrap();
    let region = SharedMemory::create(&inside.0, 4096).unwrap();
    let count = Semaphore::init(&region, 0, 0).unwrap();
    let names = [("NAME", &name.0[..]), ("INSIDE", &inside.0)];
    let children: Vec<_> = (0..4)
        .map(|_| play(test, "enter", &names).start())
        .collect();
    children.into_iter().for_each(process::Child::succeeds);
    SharedMemory::unlink(&inside.0).unwrap();
    assert_eq!((semaphore.value(), count.value()), (2, 0));
}

#[test]
fn waiting_ends_in_time_on_the_monotonic_clock() {
    let name = Named::new("timeout");
    let semaphore = Options::new().temporary(true).create(&name.0, 0).unwrap();
    let start = Instant::now();
    let error = semaphore
        .acquire_timeout(Duration::from_millis(50))
        .unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!(error.kind(), Kind::TimedOut);
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot acquire semaphore {}: ", name.0)),
        "{error}"
    );
    assert_eq!(
        semaphore
            .acquire_timeout(Duration::ZERO)
            .unwrap_err()
            .kind(),
        Kind::TimedOut
    );
    semaphore.release().unwrap();
    semaphore.acquire_timeout(Duration::MAX).unwrap().forget();
    assert_eq!(semaphore.value(), 0);
}

#[test]
fn a_signal_is_no_permit_and_ends_no_wait() {
    if let Some(part) = part() {
        process::notice(Signal::USR1);
        let semaphore = open();
        say("waiting");
        match &part[..] {
            "timeout" => {
                let start = Instant::now();
                let limit = Duration::from_millis(300);
                assert_eq!(
                    semaphore.acquire_timeout(limit).unwrap_err().kind(),
                    Kind::TimedOut
                );
                assert!(start.elapsed() >= limit);
            }
            _ => semaphore.acquire().unwrap().forget(),
        }
        say("done");
        return;
    }
    let test = "a_signal_is_no_permit_and_ends_no_wait";
    let name = Named::new("signal");
    let semaphore = Semaphore::create(&name.0, 0).unwrap();
    for part in ["for ever", "timeout"] {
        let mut child = play(test, part, &[("NAME", &name.0)]).start();
        child.says("waiting");
        child.sleeps_in(libc::SYS_futex);
        for _ in 0..20 {
            child.signal(Signal::USR1);
            std::thread::sleep(Duration::from_millis(2));
        }
        if part == "for ever" {
            child.sleeps_in(libc::SYS_futex);
            semaphore.release().unwrap();
        }
        child.says("done");
        child.succeeds();
        assert_eq!(semaphore.value(), 0);
    }
}

#[test]
fn what_a_killed_process_held_stays_held() {
    if part().is_some() {
        let semaphore = open();
        let _permit = semaphore.acquire().unwrap();
        say("held");
        hear();
        return;
    }
    let name = Named::new("killed");
    let semaphore = Semaphore::create(&name.0, 1).unwrap();
    let test = "what_a_killed_process_held_stays_held";
    let mut child = play(test, "hold", &[("NAME", &name.0)]).start();
    child.says("held");
    child.kill();
    assert_eq!(semaphore.value(), 0);
    assert!(semaphore.try_acquire().unwrap().is_none());
    semaphore.release().unwrap();
    assert!(semaphore.try_acquire().unwrap().is_some());
}

#[test]
fn a_name_is_made_once_found_by_all_and_removed_while_in_use() {
    let name = Named::new("names");
    let error = Semaphore::open(&name.0).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let semaphore = Semaphore::create(&name.0, 3).unwrap();
    assert_eq!(
        Semaphore::create(&name.0, 3).unwrap_err().kind(),
        Kind::AlreadyExists
    );
    assert_eq!(Semaphore::open_or_create(&name.0, 9).unwrap().value(), 3);
    Semaphore::unlink(&name.0).unwrap();
    assert_eq!(
        Semaphore::unlink(&name.0).unwrap_err().kind(),
        Kind::NotFound
    );
    semaphore.release().unwrap();
    assert_eq!(semaphore.value(), 4);
    let other = Options::new()
        .temporary(true)
        .open_or_create(&name.0, 7)
        .unwrap();
    assert_eq!((other.value(), semaphore.value()), (7, 4));
    drop(other);
    assert_eq!(Semaphore::open(&name.0).unwrap_err().kind(), Kind::NotFound);
    for (bad, rule) in [
        ("", "empty"),
        ("x", "slash"),
        ("/", "nothing"),
        ("/a/b", "first"),
        ("/\0", "NUL"),
    ] {
        let error = Semaphore::create(bad, 0).unwrap_err();
        assert!(
            error.kind() == Kind::BadName && error.to_string().contains(rule),
            "{error}"
        );
    }
    // glibc puts "sem." before it.
    assert!(
        Semaphore::create(format!("/{}", "x".repeat(252)), 0)
            .unwrap_err()
            .to_string()
            .contains("252")
    );
    for short in [&b""[..], b"short"] {
        std::fs::write(name.file(), short).unwrap();
        let error = Semaphore::open(&name.0).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    }
}

#[test]
fn all_who_open_or_create_at_once_have_the_same() {
    if part().is_some() {
        hear();
        let semaphore = Semaphore::open_or_create(process::argument("NAME"), 100).unwrap();
        semaphore.acquire().unwrap().forget();
        return;
    }
    let test = "all_who_open_or_create_at_once_have_the_same";
    let name = Named::new("race");
    let start = || play(test, "open", &[("NAME", &name.0)]).start();
    let mut children: Vec<_> = (0..8).map(|_| start()).collect();
    children.iter_mut().for_each(|child| child.tell("go"));
    children.into_iter().for_each(process::Child::succeeds);
    assert_eq!(Semaphore::open(&name.0).unwrap().value(), 92);
}

#[test]
fn the_mode_is_exact_and_keeps_others_out() {
    if part().is_some() {
        process::become_nobody();
        assert_eq!(
            Semaphore::open(process::argument("CLOSED"))
                .unwrap_err()
                .kind(),
            Kind::PermissionDenied
        );
        open().acquire().unwrap().forget();
        return;
    }
    let (shared, closed) = (Named::new("shared"), Named::new("closed"));
    let semaphore = Options::new().mode(0o666).create(&shared.0, 1).unwrap();
    assert_eq!(
        std::fs::metadata(shared.file()).unwrap().mode() & 0o7777,
        0o666
    );
    Options::new().mode(0).create(&closed.0, 1).unwrap();
    let test = "the_mode_is_exact_and_keeps_others_out";
    let names = [("NAME", &shared.0[..]), ("CLOSED", &closed.0)];
    play(test, "nobody", &names).start().succeeds();
    assert_eq!(semaphore.value(), 0);
}

#[test]
fn more_permits_than_can_be_counted_are_refused_with_the_limit() {
    let name = Named::new("overflow");
    let error = Semaphore::create(&name.0, 1 << 31).unwrap_err();
    assert_eq!(error.kind(), Kind::Limit);
    assert!(
        error.to_string().contains("SEM_VALUE_MAX is 2147483647"),
        "{error}"
    );
    let full = Semaphore::create(&name.0, i32::MAX as u32).unwrap();
    let error = full.release().unwrap_err();
    assert_eq!(error.kind(), Kind::Limit);
    assert!(error.to_string().contains("SEM_VALUE_MAX"), "{error}");
    assert_eq!(full.value(), i32::MAX as u32);
}

#[test]
fn a_binary_one_never_has_two_permits() {
    if part().is_some() {
        let semaphore = Options::new()
            .binary(true)
            .open(process::argument("NAME"))
            .unwrap();
        hear();
        for _ in 0..20_000 {
            let _ = semaphore.release();
            assert!(semaphore.value() <= 1);
        }
        return;
    }
    let name = Named::new("binary");
    let binary = Options::new().binary(true);
    assert_eq!(
        binary.create(&name.0, 2).unwrap_err().kind(),
        Kind::BadInput
    );
    let semaphore = binary.create(&name.0, 1).unwrap();
    let error = semaphore.release().unwrap_err();
    assert_eq!(error.kind(), Kind::Limit);
    assert!(
        error.to_string().contains("its one permit is there"),
        "{error}"
    );
    let test = "a_binary_one_never_has_two_permits";
    let start = || play(test, "release", &[("NAME", &name.0)]).start();
    let mut children: Vec<_> = (0..3).map(|_| start()).collect();
    children.iter_mut().for_each(|child| child.tell("go"));
    let taken = AtomicU32::new(0);
    for _ in 0..20_000 {
        if let Some(permit) = semaphore.try_acquire().unwrap() {
            permit.forget();
            taken.fetch_add(1, Ordering::Relaxed);
        }
    }
    children.into_iter().for_each(process::Child::succeeds);
    assert!(taken.into_inner() > 0 && semaphore.value() <= 1);
}

#[test]
fn a_binary_release_wakes_one_that_sleeps() {
    if part().is_some() {
        say("waiting");
        open().acquire().unwrap().forget();
        return;
    }
    let name = Named::new("wake");
    let semaphore = Options::new().binary(true).create(&name.0, 0).unwrap();
    let test = "a_binary_release_wakes_one_that_sleeps";
    for _ in 0..3 {
        let mut child = play(test, "wait", &[("NAME", &name.0)]).start();
        child.says("waiting");
        child.sleeps_in(libc::SYS_futex);
        semaphore.release().unwrap();
        child.succeeds();
        assert_eq!(semaphore.value(), 0);
    }
}

// Python is a 64-bit program, whose semaphores a 32-bit one cannot use.
#[cfg(target_pointer_width = "64")]
#[test]
fn pythons_posix_ipc_and_we_pass_the_same_gate() {
    let (ours, theirs) = (Named::new("ours"), Named::new("theirs"));
    let semaphore = Semaphore::create(&ours.0, 1).unwrap();
    let script = "import posix_ipc, sys\n\
        ours = posix_ipc.Semaphore(sys.argv[1])\n\
        ours.acquire(0)\n\
        try:\n\
        \x20   ours.acquire(0); sys.exit('a second permit')\n\
        except posix_ipc.BusyError: pass\n\
        for _ in range(5): ours.release()\n\
        theirs = posix_ipc.Semaphore(sys.argv[2], posix_ipc.O_CREX, initial_value=3)\n\
        print('ready', flush=True)\n\
        sys.stdin.readline()\n\
        theirs.acquire(10)\n\
        assert theirs.value == 1, theirs.value\n";
    use std::io::{BufRead, Write};
    use std::process::Stdio;
    let mut peer = process::python("posix_ipc", script)
        .args([&ours.0, &theirs.0])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(peer.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!((line.trim(), semaphore.value()), ("ready", 5));
    let made = Semaphore::open(&theirs.0).unwrap();
    assert_eq!(made.value(), 3);
    made.acquire().unwrap().forget();
    writeln!(peer.stdin.take().unwrap(), "go").unwrap();
    assert!(peer.wait().unwrap().success());
}

const C_PEER: &str = r#"
    #include <fcntl.h>
    #include <semaphore.h>
    #include <stdio.h>
    #include <sys/mman.h>

    /* Two unnamed semaphores at 64 and 128: answers each ping with a pong. */
    int main(int argc, char **argv) {
        int fd = shm_open(argv[1], O_RDWR, 0);
        char *base = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        sem_t *ping = (sem_t *)(base + 64), *pong = (sem_t *)(base + 128), *own = (sem_t *)(base + 256);
        if (fd < 0 || base == MAP_FAILED) return perror("map"), 2;
        if (sem_init(own, 1, 7)) return perror("sem_init"), 2;
        for (int i = 0; i < 1000; i++)
            if (sem_wait(ping) || sem_post(pong)) return perror("sem"), 2;
        return 0;
    }
"#;

#[test]
fn a_c_program_and_we_share_unnamed_semaphores() {
    let directory = Directory::new();
    let program = compiled(&directory, "peer", C_PEER, &["-pthread"]);
    let name = Named::new("c");
    let region = SharedMemory::create(&name.0, 4096).unwrap();
    assert_eq!(SEMAPHORE_SIZE, 4 * size_of::<usize>());
    let ping = Semaphore::init(&region, 64, 0).unwrap();
    let pong = Semaphore::init(&region, 128, 0).unwrap();
    let mut peer = std::process::Command::new(program)
        .arg(&name.0)
        .spawn()
        .unwrap();
    for _ in 0..1000 {
        ping.release().unwrap();
        pong.acquire_timeout(PATIENCE).unwrap().forget();
    }
    assert!(peer.wait().unwrap().success());
    assert_eq!(Semaphore::attach(&region, 256).unwrap().value(), 7);
    SharedMemory::unlink(&name.0).unwrap();
}

#[test]
fn an_unnamed_one_lies_in_any_region_that_can_be_written() {
    let directory = Directory::new();
    let path = directory.file("gate");
    let mapped = file::MappedFile::create(&path, 4096).unwrap();
    let here = Semaphore::init(&mapped, 4064, 1).unwrap();
    let there = Semaphore::attach(&file::MappedFile::open(&path).unwrap(), 4064).unwrap();
    here.acquire().unwrap().forget();
    assert!(there.try_acquire().unwrap().is_none());
    let read_only = file::Options::new()
        .access(wigwag::memory::Access::ReadOnly)
        .open(&path)
        .unwrap();
    assert_eq!(
        Semaphore::attach(&read_only, 0).unwrap_err().kind(),
        Kind::PermissionDenied
    );
    let anonymous = Anonymous::create(32).unwrap();
    let semaphore = Options::new().binary(true).init(&anonymous, 0, 0).unwrap();
    assert_eq!(anonymous.len(), 32);
    drop(anonymous);
    std::thread::scope(|scope| {
        scope.spawn(|| semaphore.acquire().unwrap().forget());
        semaphore.release().unwrap();
    });
    assert!(semaphore.is_binary() && semaphore.value() == 0);
}

#[test]
fn others_find_it_where_the_c_library_keeps_it() {
    let name = Named::new("listed");
    let _semaphore = Semaphore::create(&name.0, 1).unwrap();
    let listed = foreign("ls", "coreutils").arg("/dev/shm").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains(&format!("sem.{}", &name.0[1..])),
        "{listed}"
    );
}
