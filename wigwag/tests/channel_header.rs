//! The C header of channels: a C program is the peer of a Rust one, in either role.
#![cfg(all(
    target_os = "linux",
    target_env = "gnu",
    target_pointer_width = "64",
    not(loom)
))]
#![allow(clippy::unwrap_used)]

mod process;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use wigwag::memory::Segment;
use wigwag::memory::segment::{Options as SegmentOptions, Trust};
use wigwag::pattern::channel::one_to_one::{Channel, Receiver, Sender};
use wigwag::pattern::channel::{Full, Options, Waiting, broadcast};
use wigwag::{Error, Kind};

const HEADERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../include");
/// Waits in tests are bounded by this and end long before.
const LIMIT: Duration = Duration::from_secs(20);
/// Two pages: a few messages fill it, and the longest leaves no room for any other.
const SMALL: u64 = 8192;
const MANY: u32 = 10_000;

fn channel(full: Full) -> (Channel<[u8]>, String) {
    let name = format!("/{}", process::unique("channel-header"));
    let options = Options::new().capacity(SMALL).full(full).temporary(true);
    (options.create(&name).unwrap(), name)
}

/// Message `n`, as the C program makes it too.
fn message(n: u32, longest: usize) -> Vec<u8> {
    let len = match n % 500 {
        499 => longest,
        _ => (n * 37 % 700) as usize,
    };
    let byte = |at: usize| (n as usize * 31 + at * 7 + (at >> 8)) as u8;
    (0..len).map(byte).collect()
}

fn receives(receiver: &mut Receiver<[u8]>, n: u32) {
    let longest = receiver.capacity() as usize - 4;
    let received = receiver.recv_timeout(LIMIT).unwrap();
    assert!(*received == *message(n, longest), "message {n}");
}

fn sends(sender: &mut Sender<[u8]>, n: u32) {
    let longest = sender.longest();
    sender.send_timeout(&message(n, longest), LIMIT).unwrap();
}

/// A compiler, its package, and how it is called.
type Compiler = (&'static str, &'static str, &'static [&'static str]);

/// Those whose programs are peers; the last makes 32-bit ones.
const COMPILERS: &[Compiler] = &[
    ("cc", "gcc", &[]),
    ("musl-gcc", "musl-tools", &[]),
    #[cfg(target_arch = "x86_64")]
    (
        "cc",
        "gcc-12-multilib",
        &["-m32", "-idirafter", "/usr/include/x86_64-linux-gnu"],
    ),
];

/// The C program; killed when dropped.
struct User {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl User {
    fn start(directory: &process::Directory, name: &str, role: &str) -> Self {
        Self::built_by(COMPILERS[0], directory, name, role)
    }

    fn built_by(
        (compiler, package, flags): Compiler,
        directory: &process::Directory,
        name: &str,
        role: &str,
    ) -> Self {
        let file = format!("user-{package}");
        if !directory.file(&file).exists() {
            let source = include_str!("channel_header/user.c");
            let include = format!("-I{HEADERS}");
            let strict = ["-std=c11", "-Wextra", "-Werror", "-pthread", &include];
            let flags = [&strict, flags].concat();
            process::compiled_by(compiler, package, directory, &file, source, &flags);
        }
        let mut process = std::process::Command::new(directory.file(&file))
            .args([name, role])
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

    fn attached(directory: &process::Directory, name: &str, role: &str) -> Self {
        let mut user = Self::start(directory, name, role);
        assert_eq!(user.answer(), "0", "attach to {role}");
        user
    }

    fn begin(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn gets(&mut self, command: &str, errno: i32) {
        self.begin(command);
        assert_eq!(self.answer(), (-errno).to_string(), "{command}");
    }

    fn leaves(mut self) {
        self.begin("leave");
        assert_eq!(self.answer(), "left");
        assert!(self.process.wait().unwrap().success());
    }

    /// Waits until its first thread, not the keeper, sleeps on a futex.
    fn sleeps(&self) {
        let id = self.process.id();
        let path = format!("/proc/{id}/task/{id}/syscall");
        process::eventually("the C program sleeps", || {
            std::fs::read_to_string(&path).is_ok_and(|text| process::is_in(&text, libc::SYS_futex))
        });
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs `wait` in a thread, `then` as soon as that sleeps on a futex, and gives the result of the former.
fn asleep<T: Send>(wait: impl FnOnce() -> T + Send, then: impl FnOnce()) -> T {
    std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let waiter = scope.spawn(move || {
            tell.send(rustix::thread::gettid()).unwrap();
            wait()
        });
        let tid = told.recv().unwrap();
        let path = format!("/proc/self/task/{tid}/syscall");
        process::eventually("the Rust program sleeps", || {
            std::fs::read_to_string(&path).is_ok_and(|text| process::is_in(&text, libc::SYS_futex))
        });
        then();
        waiter.join().unwrap()
    })
}

fn is_disconnected<T>(result: Result<T, Error>) {
    let error = result.err().expect("an error");
    assert_eq!(error.kind(), Kind::Disconnected, "{error}");
}

/// `pause` before some of the messages, so that now the one and now the other side finds nothing to do and sleeps.
fn pause(n: u32) {
    if n % 1000 == 500 {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_c_sends_rust_receives_in_order_and_whole() {
    let directory = process::Directory::new();
    for &compiler in COMPILERS {
        let (channel, name) = channel(Full::Wait);
        let mut user = User::built_by(compiler, &directory, &name, "send");
        assert_eq!(user.answer(), "0");
        user.begin(&format!("send {MANY}"));
        // Nobody has ever received: it fills the ring and sleeps until somebody sits down.
        user.sleeps();
        assert_eq!((channel.senders(), channel.receivers()), (1, 0));
        let mut receiver = channel.receiver().unwrap();
        for n in 0..MANY {
            pause(n);
            receives(&mut receiver, n);
        }
        assert_eq!(user.answer(), "0");
        // It rings a Rust program that sleeps.
        asleep(|| receives(&mut receiver, 7), || user.begin("one 7"));
        assert_eq!(user.answer(), "0");
        // And a Rust one rings it, when it sleeps with a full ring.
        user.begin(&format!("send {MANY}"));
        user.sleeps();
        for n in 0..MANY {
            receives(&mut receiver, n);
        }
        assert_eq!(user.answer(), "0");
        asleep(
            || is_disconnected(receiver.recv_timeout(LIMIT)),
            || user.leaves(),
        );
        assert_eq!(channel.senders(), 0);
    }
}

#[test]
fn what_rust_sends_c_receives_in_order_and_whole() {
    let directory = process::Directory::new();
    for &compiler in COMPILERS {
        let (channel, name) = channel(Full::Wait);
        let mut user = User::built_by(compiler, &directory, &name, "recv");
        assert_eq!(user.answer(), "0");
        user.begin(&format!("recv {MANY}"));
        // Nobody has ever sent.
        user.sleeps();
        let mut sender = channel.sender().unwrap();
        for n in 0..MANY {
            pause(n);
            sends(&mut sender, n);
        }
        assert_eq!(user.answer(), "0");
        // A Rust program sleeps with a full ring until C has received.
        let longest = message(499, sender.longest());
        sender.send(&longest).unwrap();
        asleep(|| sends(&mut sender, 8), || user.begin("one 499"));
        assert_eq!(user.answer(), "0");
        user.gets("one 8", 0);
        // C sleeps with an empty one.
        user.begin("one 9");
        user.sleeps();
        sends(&mut sender, 9);
        assert_eq!(user.answer(), "0");
        sender.send(&longest).unwrap();
        asleep(
            || is_disconnected(sender.send_timeout(&longest, LIMIT)),
            || user.leaves(),
        );
        assert_eq!(channel.receivers(), 0);
    }
}

#[test]
fn rust_that_waits_first_learns_that_c_has_come() {
    let directory = process::Directory::new();
    let (channel, name) = channel(Full::Wait);
    let mut receiver = channel.receiver().unwrap();
    let mut user = None;
    let start = Instant::now();
    asleep(
        || receives(&mut receiver, 3),
        || {
            let user = user.insert(User::attached(&directory, &name, "send"));
            user.gets("one 3", 0);
        },
    );
    // At the end of its time it would look once more.
    assert!(start.elapsed() < LIMIT * 3 / 4, "it was not told");
}

/// One message at a time to a peer that goes to sleep, at all distances from the moment at which it does.
#[test]
fn no_wake_up_is_lost() {
    const KNOCKS: u64 = 40_000;
    let directory = process::Directory::new();
    let (channel, name) = channel(Full::Wait);
    let mut user = User::attached(&directory, &name, "recv");
    let mut sender = channel.sender().unwrap();
    user.begin(&format!("drop {KNOCKS}"));
    for n in 0..KNOCKS {
        let start = Instant::now();
        while start.elapsed() < Duration::from_nanos(n * 7919 % 30_000) {}
        sender.send(b"").unwrap();
        while sender.level() > 0 {
            assert!(start.elapsed() < LIMIT, "message {n} woke nobody");
        }
    }
    assert_eq!(user.answer(), "0");
    user.leaves();
    drop(sender);
    let options = Options::new().waiting(Waiting::Block);
    let channel: Channel<[u8]> = options.open(&name).unwrap();
    let mut user = User::attached(&directory, &name, "send");
    let mut receiver = channel.receiver().unwrap();
    user.begin(&format!("knock {KNOCKS}"));
    for _ in 0..KNOCKS {
        receiver.recv_timeout(2 * LIMIT).unwrap();
    }
    assert_eq!(user.answer(), "0");
}

#[test]
fn rust_learns_at_once_that_c_was_killed_and_another_c_goes_on() {
    let directory = process::Directory::new();
    let (channel, name) = channel(Full::Wait);
    let mut receiver = channel.receiver().unwrap();
    for round in 0..20 {
        let mut user = User::attached(&directory, &name, "send");
        user.gets(&format!("one {round}"), 0);
        receives(&mut receiver, round);
        asleep(
            || is_disconnected(receiver.recv_timeout(LIMIT)),
            || user.kill(),
        );
        // Not asleep: it is seen in the life word too, behind what was sent.
        let mut user = User::attached(&directory, &name, "send");
        user.gets(&format!("one {round}"), 0);
        user.kill();
        receives(&mut receiver, round);
        is_disconnected(receiver.try_recv());
        // One that ends without leaving is as good as killed.
        let mut user = User::attached(&directory, &name, "send");
        asleep(
            || is_disconnected(receiver.recv_timeout(LIMIT)),
            || user.begin("exit"),
        );
    }
    drop(receiver);
    let mut user = User::attached(&directory, &name, "recv");
    let mut sender = channel.sender().unwrap();
    let longest = message(499, sender.longest());
    sends(&mut sender, 499);
    user.gets("wait -1", 0);
    asleep(
        || is_disconnected(sender.send_timeout(&longest, LIMIT)),
        || user.kill(),
    );
    // It had looked at the message and not given it back: the next receiver gets it, whatever it is written in.
    let mut user = User::attached(&directory, &name, "recv");
    user.gets("one 499", 0);
    sends(&mut sender, 1);
    user.kill();
    receives(&mut channel.receiver().unwrap(), 1);
}

#[test]
fn c_killed_at_any_instant_leaves_whole_messages_and_no_sleeper() {
    let directory = process::Directory::new();
    let (channel, name) = channel(Full::Wait);
    let mut receiver = channel.receiver().unwrap();
    let longest = SMALL as usize - 4;
    for round in 0..60 {
        let mut user = User::attached(&directory, &name, "send");
        user.begin("send 100000000");
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(round * 97));
            user.kill();
        });
        for n in 0.. {
            match receiver.recv_timeout(LIMIT) {
                Ok(received) => assert!(*received == *message(n, longest), "message {n}"),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Disconnected, "{error}");
                    break;
                }
            }
        }
        killer.join().unwrap();
    }
    drop(receiver);
    let mut sender = channel.sender().unwrap();
    for round in 0..60 {
        let mut user = User::attached(&directory, &name, "recv");
        user.begin("recv 100000000");
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(round * 97));
            user.kill();
        });
        let mut sent = 0;
        let error = loop {
            match sender.send_timeout(&message(sent, longest), LIMIT) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), Kind::Disconnected, "{error}");
        killer.join().unwrap();
        // What is left are the last that were sent, each whole.
        let mut receiver = channel.receiver().unwrap();
        let mut left = Vec::new();
        while let Some(received) = receiver.try_recv().unwrap() {
            left.push(received.to_vec());
        }
        for (received, n) in left.iter().rev().zip((0..sent).rev()) {
            assert!(*received == message(n, longest), "message {n} of {sent}");
        }
        assert!(left.len() <= sent as usize && !left.is_empty());
    }
}

#[test]
fn c_learns_at_once_that_rust_has_left_or_was_killed() {
    if let Some(part) = process::part() {
        let channel: Channel<[u8]> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut sender = (part == "send").then(|| channel.sender().unwrap());
        let _receiver = (part == "recv").then(|| channel.receiver().unwrap());
        if let Some(sender) = &mut sender {
            sends(sender, 5);
        }
        process::say("here");
        process::hear();
        return;
    }
    let directory = process::Directory::new();
    let (_channel, name) = channel(Full::Wait);
    let test = "c_learns_at_once_that_rust_has_left_or_was_killed";
    for killed in [true, false] {
        let mut child = process::play(test, "send", &[("OBJECT", &name)]).start();
        child.says("here");
        let mut user = User::attached(&directory, &name, "recv");
        user.gets("one 5", 0);
        user.gets("try", libc::EAGAIN);
        user.gets("wait 30000000", libc::ETIMEDOUT);
        user.begin("wait -1");
        user.sleeps();
        if killed {
            child.kill();
        } else {
            child.succeeds();
        }
        assert_eq!(user.answer(), (-libc::EPIPE).to_string());
        user.gets("try", libc::EPIPE);
        user.gets("wait 30000000", libc::EPIPE);
        user.leaves();
    }
    for killed in [true, false] {
        let mut child = process::play(test, "recv", &[("OBJECT", &name)]).start();
        child.says("here");
        let mut user = User::attached(&directory, &name, "send");
        if killed {
            user.gets("try 8188", 0);
        }
        user.gets("try 0", libc::EAGAIN);
        user.begin("fill -1");
        user.sleeps();
        if killed {
            child.kill();
        } else {
            child.succeeds();
        }
        assert_eq!(user.answer(), (-libc::EPIPE).to_string());
        user.gets("try 0", libc::EPIPE);
        user.leaves();
    }
}

#[test]
fn c_takes_the_seat_of_a_dead_one_and_none_of_a_living_one() {
    let directory = process::Directory::new();
    let (channel, name) = channel(Full::Wait);
    for (role, rival) in [("send", "recv"), ("recv", "send")] {
        let mut user = User::attached(&directory, &name, role);
        user.gets("again", libc::EBUSY);
        let taken = match role {
            "send" => channel.sender().map(drop),
            _ => channel.receiver().map(drop),
        };
        assert_eq!(taken.unwrap_err().kind(), Kind::Limit);
        // The other role is free, and a fork's child that detaches takes nothing away.
        user.gets("fork", 0);
        user.gets("again", libc::EBUSY);
        User::attached(&directory, &name, rival).leaves();
        user.kill();
        User::attached(&directory, &name, role).leaves();
    }
    let sender = channel.sender().unwrap();
    let mut user = User::start(&directory, &name, "send");
    assert_eq!(user.answer(), (-libc::EBUSY).to_string());
    drop(sender);
    let user = User::attached(&directory, &name, "send");
    user.kill();
    drop(channel.sender().unwrap());
}

#[test]
fn limits_and_policies_are_those_of_the_channel() {
    let directory = process::Directory::new();
    let longest = SMALL - 4;
    let (waits, name) = channel(Full::Wait);
    let mut user = User::attached(&directory, &name, "send");
    user.gets(&format!("try {}", longest + 1), libc::EMSGSIZE);
    user.gets("wrong", libc::EBADF);
    user.gets(&format!("try {longest}"), 0);
    user.gets("fill 30000000", libc::ETIMEDOUT);
    user.leaves();
    let mut user = User::attached(&directory, &name, "recv");
    user.gets("wrong", libc::EBADF);
    // The same message until it is done.
    user.gets("wait -1", 0);
    user.gets("wait -1", 0);
    user.leaves();
    let mut receiver = waits.receiver().unwrap();
    assert_eq!(receiver.try_recv().unwrap().unwrap().len() as u64, longest);

    let (_fails, name) = channel(Full::Fail);
    let mut user = User::attached(&directory, &name, "send");
    user.gets("fill -1", libc::EAGAIN);
    user.gets("try 0", libc::EAGAIN);

    let (drops, name) = channel(Full::DropNewest);
    let mut user = User::attached(&directory, &name, "send");
    user.gets("one 499", 0);
    user.gets("one 499", 0);
    user.gets("try 0", libc::EAGAIN);
    assert_eq!(drops.receiver().unwrap().lost(), 2);
}

fn refuses(directory: &process::Directory, name: &str, errno: i32) {
    let mut user = User::start(directory, name, "recv");
    assert_eq!(user.answer(), (-errno).to_string(), "attach to {name}");
}

#[test]
fn what_is_no_such_channel_is_refused() {
    let directory = process::Directory::new();
    let name = || format!("/{}", process::unique("channel-header"));
    let options = Options::new().temporary(true);
    for bad in ["", "/", "no-slash", "/a/b", "/..", &format!("/{:0256}", 0)] {
        refuses(&directory, bad, libc::EINVAL);
    }
    refuses(&directory, &name(), libc::ENOENT);

    let (numbers, broadcasts, untrusted, segment) = (name(), name(), name(), name());
    let _numbers: Channel<u64> = options.create(&numbers).unwrap();
    refuses(&directory, &numbers, libc::EPROTOTYPE);
    let _broadcasts: broadcast::Channel<[u8]> = options.create(&broadcasts).unwrap();
    refuses(&directory, &broadcasts, libc::EPROTOTYPE);
    let wary = options.clone().trust(Trust::Nobody);
    let _untrusted: Channel<[u8]> = wary.create(&untrusted).unwrap();
    refuses(&directory, &untrusted, libc::ENOTSUP);
    let table = SegmentOptions::new().temporary(true);
    let _segment: Segment<AtomicU64> = table.create(&segment, AtomicU64::new(7)).unwrap();
    refuses(&directory, &segment, libc::EPROTOTYPE);
}

/// A file in shared memory; removed when dropped.
struct Shm(String);

impl Shm {
    fn new(bytes: &[u8]) -> Shm {
        let shm = Shm(format!("/{}", process::unique("channel-header")));
        std::fs::write(shm.path(), bytes).unwrap();
        shm
    }

    fn path(&self) -> String {
        format!("/dev/shm{}", self.0)
    }
}

impl Drop for Shm {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

#[test]
fn a_damaged_or_foreign_file_is_refused() {
    let directory = process::Directory::new();
    let (channel, name) = channel(Full::Wait);
    let whole = std::fs::read(format!("/dev/shm{name}")).unwrap();
    drop(channel);
    // A copy of all of it is one, so what follows is refused for what was changed.
    let copy = Shm::new(&whole);
    let mut user = User::attached(&directory, &copy.0, "send");
    user.gets("one 1", 0);

    refuses(&directory, &Shm::new(b"").0, libc::EAGAIN);
    refuses(&directory, &Shm::new(b"short").0, libc::EPROTO);
    refuses(&directory, &Shm::new(&[0; 20_000]).0, libc::EPROTO);
    refuses(&directory, &Shm::new(&[0xa5; 20_000]).0, libc::EPROTO);
    for len in [300, 4096, 5000, whole.len() - 1] {
        refuses(&directory, &Shm::new(&whole[..len]).0, libc::EBADMSG);
    }
    // Offset of the byte, and what it becomes.
    let setup = 4096;
    let words = setup + 512;
    for (at, byte, errno) in [
        (0, b'W', libc::EPROTO),
        (8, 1, libc::EAGAIN),            // being made
        (8, 3, libc::EPROTO),            // no such state
        (12, 9, libc::EPROTO),           // version
        (24, 1, libc::EPROTO),           // byte order
        (32, 0, libc::EPROTOTYPE),       // layout
        (48, 1, libc::ENOTSUP),          // robust list of libc
        (52, 0, libc::ENOTSUP),          // trust
        (56, 0, libc::EXDEV),            // pid namespace
        (64, 0, libc::EXDEV),            // boot
        (setup, 1, libc::EBADMSG),       // capacity: no power of two
        (setup + 1, 64, libc::EBADMSG),  // capacity: another length
        (setup + 8, 3, libc::EBADMSG),   // policy: overwrite the oldest
        (setup + 16, 3, libc::EBADMSG),  // seats
        (words + 2, 1, libc::EBADMSG),   // more sent than there is room
        (words, 4, libc::EBADMSG),       // no position of a record
        (words + 128, 8, libc::EBADMSG), // more given back than sent
    ] {
        let mut bytes = whole.clone();
        // A byte that happens to be what it should become would change nothing.
        bytes[at] = if bytes[at] == byte { byte + 1 } else { byte };
        let shm = Shm::new(&bytes);
        let mut user = User::start(&directory, &shm.0, "recv");
        assert_eq!(user.answer(), (-errno).to_string(), "byte {at}");
    }
    // A message that claims more than was sent.
    let mut bytes = whole.clone();
    bytes[words] = 16;
    bytes[8192] = 200;
    let shm = Shm::new(&bytes);
    let mut user = User::attached(&directory, &shm.0, "recv");
    user.gets("try", libc::EBADMSG);
}

#[test]
fn another_pid_namespace_is_refused() {
    let directory = process::Directory::new();
    let (_channel, name) = channel(Full::Wait);
    User::attached(&directory, &name, "recv").leaves();
    let wrapper = process::unshared("-pf");
    let output = process::foreign(wrapper[0], "util-linux")
        .args(&wrapper[1..])
        .arg("--mount-proc")
        .arg(directory.file("user-gcc"))
        .args([&name, "recv"])
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&output.stdout);
    assert_eq!(answer.trim(), (-libc::EXDEV).to_string(), "{output:?}");
}

#[test]
fn the_header_is_cpp_too() {
    let directory = process::Directory::new();
    let source = directory.file("user.cc");
    let text = "#include \"wigwag_channel.h\"\nint main() { return 0; }\n";
    std::fs::write(&source, text).unwrap();
    let result = process::foreign("c++", "g++")
        .args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
        .args(["-I", HEADERS])
        .arg(&source)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{said}");
}
