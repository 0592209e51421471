//! The C header: a C program uses the mutex and the semaphores of a segment that we made.
#![cfg(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64",
    not(loom)
))]
#![allow(clippy::unwrap_used, unreachable_pub)]

mod process;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use wigwag::Kind;
use wigwag::gate::{Mutex, Semaphore};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;
use wigwag::shared::Death;

wigwag::plain! {
    /// Two numbers that are equal whenever nobody is inside.
    struct Pair { a: u64, b: u64 }
}
wigwag::shared! {
    /// As `struct table` of the C program.
    struct Table { pair: Mutex<Pair>, ping: Semaphore, pong: Semaphore, binary: Semaphore }
}

const HEADERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../include");
const LONG: Duration = Duration::from_secs(20);

fn table(death: Death) -> (Segment<Table>, String) {
    let name = process::unique("header");
    let value = Table {
        pair: Mutex::new(Pair { a: 0, b: 0 }),
        ping: Semaphore::new(0),
        pong: Semaphore::new(0),
        binary: Semaphore::binary(true),
    };
    let options = Options::new().temporary(true).death(death);
    let table = options.create(format!("/{name}"), value).unwrap();
    (table, format!("/dev/shm/{name}"))
}

/// The C program; killed when dropped.
struct User {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What the C program is built with.
#[derive(Clone, Copy)]
struct Toolchain {
    compiler: &'static str,
    package: &'static str,
    flags: &'static [&'static str],
    /// What runs the result, where the machine itself does not.
    through: &'static [&'static str],
}

const GLIBC: Toolchain = Toolchain {
    compiler: "cc",
    package: "gcc",
    flags: &[],
    through: &[],
};
const MUSL: Toolchain = Toolchain {
    compiler: "musl-gcc",
    package: "musl-tools",
    ..GLIBC
};
#[cfg(target_arch = "x86_64")]
const I386: Toolchain = Toolchain {
    // Not gcc-multilib, which Debian does not install beside a compiler for another machine; what it adds is a link to this.
    package: "gcc-12-multilib",
    flags: &["-m32", "-idirafter", "/usr/include/x86_64-linux-gnu"],
    ..GLIBC
};
const ARM: Toolchain = Toolchain {
    compiler: "arm-linux-gnueabihf-gcc",
    package: "gcc-arm-linux-gnueabihf",
    flags: &["-static"],
    through: &["qemu-arm"],
};

impl User {
    fn start(directory: &process::Directory, path: &str) -> Self {
        Self::built_with(GLIBC, directory, path)
    }

    fn built_with(toolchain: Toolchain, directory: &process::Directory, path: &str) -> Self {
        let flag = toolchain.flags.first().copied().unwrap_or_default();
        let name = format!("user-{}{flag}", toolchain.compiler);
        let program = directory.file(&name);
        if !program.exists() {
            let source = include_str!("header/user.c");
            let include = format!("-I{HEADERS}");
            let mut flags = vec!["-O2", "-Wextra", "-Werror", "-pthread", &include];
            flags.extend(toolchain.flags);
            let Toolchain {
                compiler, package, ..
            } = toolchain;
            process::compiled_by(compiler, package, directory, &name, source, &flags);
        }
        let mut command = match toolchain.through {
            [] => std::process::Command::new(program),
            [emulator, rest @ ..] => {
                let mut command = process::foreign(emulator, "qemu-user");
                command.args(rest).arg(program);
                command
            }
        };
        let mut process = command
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        User {
            commands: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    fn begin(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn gets(&mut self, command: &str, answer: &str) {
        self.begin(command);
        assert_eq!(self.answer(), answer, "{command}");
    }

    fn sleeps(&self) {
        let path = format!("/proc/{}/syscall", self.process.id());
        process::eventually("the C program sleeps", || {
            std::fs::read_to_string(&path).is_ok_and(|text| process::is_in(&text, libc::SYS_futex))
        });
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn both(death: Death) -> (process::Directory, Segment<Table>, String, User) {
    let directory = process::Directory::new();
    let (table, path) = table(death);
    let user = User::start(&directory, &path);
    (directory, table, path, user)
}

fn errno(number: i32) -> String {
    format!("errno {number}")
}

#[test]
fn c_and_rust_exclude_each_other_and_lose_no_increment() {
    let (_directory, table, _, mut user) = both(Death::Kernel);
    assert_eq!(user.answer(), size_of::<Table>().to_string());
    user.begin("count");
    for _ in 0..20_000 {
        let mut pair = table
            .pair
            .lock()
            .unwrap()
            .or_repair(|_| panic!("nobody died"));
        assert_eq!(pair.a, pair.b);
        pair.a += 1;
        pair.b += 1;
    }
    assert_eq!(user.answer(), "ok");
    let pair = table
        .pair
        .lock()
        .unwrap()
        .or_repair(|_| panic!("nobody died"));
    assert_eq!((pair.a, pair.b), (40_000, 40_000));

    user.gets("lock 0", &errno(libc::EBUSY));
    user.gets("lock 30000000", &errno(libc::ETIMEDOUT));
    user.begin("lock");
    user.sleeps();
    drop(pair);
    assert_eq!(user.answer(), "ok");
    user.gets("lock", &errno(libc::EDEADLK));
    assert!(table.pair.try_lock().unwrap().is_none());
    assert_eq!(table.pair.owner(), Some(user.process.id()));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| drop(table.pair.lock_timeout(LONG).unwrap()));
        while table.pair.waiters() == 0 {
            std::thread::yield_now();
        }
        user.gets("unlock", "ok");
        waiter.join().unwrap();
    });
    user.gets("unlock", &errno(libc::EPERM));
}

#[test]
fn each_learns_of_the_others_death() {
    if process::part().is_some() {
        let table = Segment::<Table>::open(process::argument("NAME")).unwrap();
        let mut pair = table.pair.lock().unwrap().or_repair(|_| ());
        pair.a += 1;
        process::say("locked");
        process::hear();
        return;
    }
    let (directory, table, path, mut user) = both(Death::Kernel);
    user.answer();
    user.gets("lock", "ok");
    user.gets("tear", "ok");
    drop(user);
    let lock = table.pair.lock_timeout(LONG).unwrap();
    assert!(lock.is_orphaned());
    drop(lock.or_repair(|pair| pair.b = pair.a));

    let mut user = User::start(&directory, &path);
    user.answer();
    let name = path.replace("/dev/shm", "");
    let test = "each_learns_of_the_others_death";
    let mut owner = process::play(test, "owner", &[("NAME", &name)]).start();
    owner.says("locked");
    user.begin("lock");
    user.sleeps();
    owner.kill();
    assert_eq!(user.answer(), errno(libc::EOWNERDEAD));
    user.gets("repair", "ok");
    user.gets("unlock", "ok");
    let pair = table
        .pair
        .lock()
        .unwrap()
        .or_repair(|_| panic!("it was repaired"));
    assert_eq!((pair.a, pair.b), (2, 2));
    drop(pair);

    let mut owner = process::play(test, "owner", &[("NAME", &name)]).start();
    owner.says("locked");
    owner.kill();
    user.gets("lock", &errno(libc::EOWNERDEAD));
    user.gets("give-up", "ok");
    user.gets("lock", &errno(libc::ENOTRECOVERABLE));
    assert_eq!(table.pair.lock().err().unwrap().kind(), Kind::Corrupt);
}

#[test]
fn what_a_thread_of_c_held_that_ended_comes_back_though_its_process_lives_on() {
    for death in [Death::Kernel, Death::Watched] {
        let (_directory, table, _, mut user) = both(death);
        assert_eq!(user.answer(), size_of::<Table>().to_string());
        for _ in 0..3 {
            user.gets("end-a-thread", "ok");
            let lock = table.pair.lock_timeout(process::PATIENCE).unwrap();
            assert!(lock.is_orphaned(), "{death:?}");
            drop(lock.or_repair(|_| ()));
            // The thread that takes it next may have the id of the one that ended.
            user.gets("end-a-thread", "ok");
            user.gets("lock", &errno(libc::EOWNERDEAD));
            user.gets("repair", "ok");
            user.gets("unlock", "ok");
        }
        assert!(!table.pair.lock().unwrap().is_orphaned());
    }
}

#[test]
fn permits_go_both_ways_and_each_side_sleeps_for_them() {
    let (_directory, table, _, mut user) = both(Death::Kernel);
    user.answer();
    user.gets("wait 0", &errno(libc::EAGAIN));
    user.gets("wait 30000000", &errno(libc::ETIMEDOUT));
    user.gets("post-binary", &errno(libc::EOVERFLOW));
    user.begin("wait");
    user.sleeps();
    assert_eq!(table.ping.waiters(), 1);
    table.ping.release(1).unwrap();
    assert_eq!(user.answer(), "ok");
    assert_eq!(table.ping.waiters(), 0);
    user.begin("echo");
    for _ in 0..2000 {
        table.ping.release(1).unwrap();
        table.pong.acquire_timeout(LONG).unwrap().forget();
    }
    assert_eq!(user.answer(), "ok");
    assert_eq!((table.ping.value(), table.pong.value()), (0, 0));
}

/// The two programs in a segment whose owners are watched: they exclude each other, and learn of deaths.
fn watched_between_rust_and(toolchain: Toolchain) {
    let directory = process::Directory::new();
    let (table, path) = table(Death::Watched);
    let mut user = User::built_with(toolchain, &directory, &path);
    assert_eq!(user.answer(), size_of::<Table>().to_string());
    user.begin("count");
    for _ in 0..20_000 {
        let mut pair = table
            .pair
            .lock()
            .unwrap()
            .or_repair(|_| panic!("nobody died"));
        assert_eq!(pair.a, pair.b);
        pair.a += 1;
        pair.b += 1;
    }
    assert_eq!(user.answer(), "ok");
    let pair = table
        .pair
        .lock()
        .unwrap()
        .or_repair(|_| panic!("nobody died"));
    assert_eq!((pair.a, pair.b), (40_000, 40_000));
    user.gets("lock 0", &errno(libc::EBUSY));
    user.gets("lock 30000000", &errno(libc::ETIMEDOUT));
    user.begin("lock");
    user.sleeps();
    drop(pair);
    assert_eq!(user.answer(), "ok");
    user.gets("lock", &errno(libc::EDEADLK));
    // An emulator makes up the start time that its program reads of itself, so who asks after that one may find another.
    if toolchain.through.is_empty() {
        assert!(table.pair.try_lock().unwrap().is_none());
    }
    user.gets("tear", "ok");
    // The C program dies with it, and a Rust one is told.
    drop(user);
    let lock = table.pair.lock_timeout(LONG).unwrap();
    assert!(lock.is_orphaned());
    drop(lock.or_repair(|pair| pair.b = pair.a));
    // A Rust program dies with it, and the C one is told, whether it waited or comes later.
    let mut user = User::built_with(toolchain, &directory, &path);
    user.answer();
    let name = path.replace("/dev/shm", "");
    for waits in [true, false] {
        let mut owner = process::play(OWNS_A_WATCHED_ONE, "owner", &[("NAME", &name)]).start();
        owner.says("locked");
        if waits {
            user.begin("lock");
            user.sleeps();
            owner.kill();
        } else {
            owner.kill();
            user.begin("lock");
        }
        assert_eq!(user.answer(), errno(libc::EOWNERDEAD));
        user.gets("repair", "ok");
        user.gets("unlock", "ok");
    }
    // Killed between taking it and signing, and nobody has buried the corpse: each learns of it, also when it only tries.
    let mut corpse = std::process::Command::new("true").spawn().unwrap();
    let stat = format!("/proc/{}/stat", corpse.id());
    process::eventually("it is a corpse", || {
        std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z "))
    });
    let write_owner = || {
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let at = 4096 + WORD_OF_A_MUTEX;
        std::os::unix::fs::FileExt::write_all_at(&file, &corpse.id().to_ne_bytes(), at).unwrap();
    };
    for command in ["lock", "lock 0"] {
        write_owner();
        user.gets(command, &errno(libc::EOWNERDEAD));
        user.gets("repair", "ok");
        user.gets("unlock", "ok");
    }
    write_owner();
    let lock = table.pair.lock_timeout(LONG).unwrap();
    assert!(lock.is_orphaned());
    drop(lock.or_repair(|_| ()));
    write_owner();
    process::eventually("a try finds it", || {
        table.pair.try_lock().unwrap().is_some_and(|lock| {
            drop(lock.or_repair(|_| ()));
            true
        })
    });
    corpse.wait().unwrap();
    user.begin("echo");
    for _ in 0..2000 {
        table.ping.release(1).unwrap();
        table.pong.acquire_timeout(LONG).unwrap().forget();
    }
    assert_eq!(user.answer(), "ok");
}

/// Where its word lies.
const WORD_OF_A_MUTEX: u64 = if cfg!(target_env = "musl") { 4 } else { 0 };

const OWNS_A_WATCHED_ONE: &str =
    "a_segment_whose_owners_are_watched_serves_glibc_musl_and_32_bit_programs";

#[test]
fn a_segment_whose_owners_are_watched_serves_glibc_musl_and_32_bit_programs() {
    if process::part().is_some() {
        let table = Segment::<Table>::open(process::argument("NAME")).unwrap();
        let mut pair = table.pair.lock().unwrap().or_repair(|_| ());
        pair.a += 1;
        process::say("locked");
        process::hear();
        return;
    }
    watched_between_rust_and(GLIBC);
    watched_between_rust_and(MUSL);
    #[cfg(target_arch = "x86_64")]
    watched_between_rust_and(I386);
    watched_between_rust_and(ARM);
}

#[test]
fn what_the_header_cannot_serve_it_refuses() {
    let directory = process::Directory::new();
    let (kernels, kernels_path) = table(Death::Kernel);
    // musl's robust list has another offset than the one that the mutexes of the segment join.
    let mut user = User::built_with(MUSL, &directory, &kernels_path);
    assert_eq!(user.answer(), errno(libc::ENOTSUP));
    // Nor have 32-bit programs one that it fits.
    let mut short = vec![ARM];
    #[cfg(target_arch = "x86_64")]
    short.push(I386);
    for toolchain in short {
        let mut user = User::built_with(toolchain, &directory, &kernels_path);
        assert_eq!(user.answer(), errno(libc::EPROTO), "{}", toolchain.compiler);
    }
    assert!(kernels.pair.owner().is_none());
}

#[test]
fn the_header_is_cpp_too() {
    let directory = process::Directory::new();
    let source = directory.file("user.cc");
    std::fs::write(&source, "#include \"wigwag.h\"\nint main() { return 0; }\n").unwrap();
    let result = process::foreign("c++", "g++")
        .args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
        .args(["-I", HEADERS])
        .arg(&source)
        .output()
        .unwrap();
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
}
