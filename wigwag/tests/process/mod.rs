//! Process: the second process of a test, which is this test binary run again with a part to play.
//!
//! `fork` in a threaded harness is not safe, so the child is started by `exec`: it runs the same
//! `#[test]` function, which asks [`part`] and plays it. The child speaks to the test over its
//! standard input and standard error (the harness writes to its standard output).
//!
//! ```ignore
//! #[test]
//! fn a_child_answers() {
//!     if let Some(part) = process::part() {
//!         process::say(&format!("played {part}"));
//!         return;
//!     }
//!     let mut child = process::play("a_child_answers", "echo", &[]).start();
//!     assert_eq!(child.line(), "played echo");
//!     child.succeeds();
//! }
//! ```
#![allow(dead_code)] // each test binary uses its share

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use wigwag::shared::Death;

const PART: &str = "WIGWAG_TEST_PART";

/// Longer than anything that works takes, even on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How a segment may notice deaths, the default first: 32-bit programs have no robust list for it.
pub const DEATHS: &[Death] = if usize::BITS == 64 {
    &[Death::Kernel, Death::Watched]
} else {
    &[Death::Watched]
};

/// Seconds after which a child or a foreign program counts as hanging.
const HANGS: u32 = 120;

/// The part this process plays, if it is a child of a test.
pub fn part() -> Option<String> {
    let part = std::env::var(PART).ok()?;
    // A child that hangs ends, and with it the test that waits for its words.
    // SAFETY: takes a number.
    unsafe { libc::alarm(HANGS) };
    Some(part)
}

/// An argument the test gave to the child.
pub fn argument(name: &str) -> String {
    std::env::var(format!("WIGWAG_TEST_{name}")).expect(name)
}

/// The same, where the test itself has none.
pub fn argument_or_empty(name: &str) -> String {
    std::env::var(format!("WIGWAG_TEST_{name}")).unwrap_or_default()
}

/// Says one line to the test.
pub fn say(line: &str) {
    eprintln!("{line}");
}

/// Waits for one line of the test; empty when it is gone.
pub fn hear() -> String {
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .expect("standard input");
    line.trim_end().to_owned()
}

/// The directory of the test binaries that children run, when these are not the test's own: `./test` lets 32-bit tests have
/// 64-bit children and the other way round.
const PEERS: &str = "WIGWAG_TEST_PEERS";

/// What a child runs: this test binary, or the newest of the same name among the [`PEERS`].
fn program() -> std::path::PathBuf {
    let own = std::env::current_exe().expect("own path");
    let Some(directory) = std::env::var_os(PEERS) else {
        return own;
    };
    let name = |path: &std::path::Path| {
        let file = path.file_name()?.to_str()?;
        let (name, hash) = file.rsplit_once('-')?;
        (!hash.contains('.')).then(|| name.to_owned())
    };
    std::fs::read_dir(&directory)
        .expect(PEERS)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| name(path) == name(&own))
        .max_by_key(|path| path.metadata().and_then(|file| file.modified()).ok())
        .unwrap_or_else(|| panic!("{PEERS}: no {:?} in {directory:?}", name(&own)))
}

/// A child about to be started.
pub struct Play(Command);

/// This test binary again, running only `test` and playing `part` in it.
pub fn play(test: &str, part: &str, arguments: &[(&str, &str)]) -> Play {
    let mut command = Command::new(program());
    command
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(PART, part);
    for (name, value) in arguments {
        command.env(format!("WIGWAG_TEST_{name}"), value);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    Play(command)
}

impl Play {
    /// Changes the command before it starts.
    pub fn with(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.0);
        self
    }

    /// Starts it through another program: `unshare`, with its arguments.
    pub fn through(self, package: &str, wrapper: &[&str]) -> Self {
        let mut command = foreign(wrapper[0], package);
        command
            .args(&wrapper[1..])
            .arg(self.0.get_program())
            .args(self.0.get_args());
        for (name, value) in self.0.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Play(command)
    }

    /// Starts it.
    pub fn start(mut self) -> Child {
        let mut process = self.0.spawn().expect("start the test binary again");
        Child {
            stdin: process.stdin.take(),
            lines: process.stderr.take().map(BufReader::new),
            process,
        }
    }
}

/// A running child; killed when dropped.
pub struct Child {
    process: std::process::Child,
    stdin: Option<ChildStdin>,
    lines: Option<BufReader<ChildStderr>>,
}

impl Child {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.process.id().cast_signed()
    }

    /// The next line it says; panics with what it said when it ended.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let lines = self.lines.as_mut().expect("its standard error");
        if lines.read_line(&mut line).expect("its standard error") == 0 {
            panic!("the child ended without a word: {:?}", self.process.wait());
        }
        line.trim_end().to_owned()
    }

    /// The next line it says; empty when it ended.
    pub fn line_or_end(&mut self) -> String {
        let mut line = String::new();
        let lines = self.lines.as_mut().expect("its standard error");
        lines.read_line(&mut line).expect("its standard error");
        line.trim_end().to_owned()
    }

    /// Waits until it says exactly this.
    pub fn says(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    /// Says one line to it.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().expect("its standard input"), "{line}")
            .expect("tell the child");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).expect("its process id");
        rustix::process::kill_process(pid, signal).expect("send a signal");
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        let status = self.process.try_wait().expect("wait for the child");
        status.is_some()
    }

    /// Requires that it runs; shows what it said otherwise.
    pub fn runs(&mut self) {
        if let Some(status) = self.process.try_wait().expect("wait for the child") {
            let mut rest = String::new();
            if let Some(lines) = &mut self.lines {
                let _ = std::io::Read::read_to_string(lines, &mut rest);
            }
            panic!("the child ended ({status}):\n{rest}");
        }
    }

    /// Waits for its end.
    pub fn ends(&mut self) -> ExitStatus {
        drop(self.stdin.take());
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("wait for the child") {
                return status;
            }
            if start.elapsed() > PATIENCE {
                self.kill();
                panic!("the child did not end within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for its end and requires success; shows what it said otherwise.
    pub fn succeeds(mut self) {
        let status = self.ends();
        let mut rest = String::new();
        if let Some(lines) = &mut self.lines {
            let _ = std::io::Read::read_to_string(lines, &mut rest);
        }
        assert!(status.success(), "the child failed ({status}):\n{rest}");
    }

    /// Waits until one of its threads sleeps in a system call (number as on this machine).
    pub fn sleeps_in(&self, call: libc::c_long) {
        let tasks = format!("/proc/{}/task", self.pid());
        eventually("the child sleeps in the system call", || {
            std::fs::read_dir(&tasks).is_ok_and(|mut tasks| {
                tasks.any(|task| {
                    task.is_ok_and(|task| {
                        std::fs::read_to_string(task.path().join("syscall"))
                            .is_ok_and(|text| is_in(&text, call))
                    })
                })
            })
        });
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Makes the whole process somebody else's, who may do nothing that is not allowed to all; only root can. For
/// others, a mode of 0 keeps them out of their own objects just as well.
pub fn become_nobody() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // SAFETY: these take numbers, and setgroups no groups at all.
    let done = unsafe {
        libc::setgroups(0, std::ptr::null()) == 0
            && libc::setgid(65534) == 0
            && libc::setuid(65534) == 0
    };
    assert!(done, "become nobody");
}

/// What this process does about a signal from now on: nothing, but a system call that sleeps is interrupted by it.
pub fn notice(signal: rustix::process::Signal) {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: an all-zero sigaction is valid; the handler does nothing, which is async-signal-safe. Without SA_RESTART.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        assert_eq!(
            libc::sigaction(signal.as_raw(), &action, std::ptr::null_mut()),
            0
        );
    }
}

/// A wrapper for [`Play::through`]: namespaces of its own, in which it is root.
pub fn unshared(flags: &'static str) -> Vec<&'static str> {
    let may = foreign("unshare", "util-linux")
        .args([flags, "true"])
        .stderr(Stdio::null())
        .status();
    if may.is_ok_and(|status| status.success()) {
        vec!["unshare", flags]
    } else {
        vec!["unshare", "-Ur", flags]
    }
}

/// What waiting for a System V semaphore and a System V message is called here.
#[cfg(target_pointer_width = "64")]
pub const SYSTEM_V: [libc::c_long; 2] = [libc::SYS_semtimedop, libc::SYS_msgrcv];
/// The same in a 32-bit program.
#[cfg(target_pointer_width = "32")]
pub const SYSTEM_V: [libc::c_long; 2] = [420, libc::SYS_ipc];

/// Calls that a 32-bit program makes by another number too: with times or offsets of 64 bits, or through `socketcall(2)`.
#[cfg(target_pointer_width = "32")]
const OTHERS: &[[libc::c_long; 2]] = &[
    [libc::SYS_futex, 422],
    [libc::SYS_ppoll, 414],
    [libc::SYS_mq_timedreceive, 419],
    [libc::SYS_rt_sigtimedwait, 421],
    [libc::SYS_fcntl, libc::SYS_fcntl64],
    [libc::SYS_accept4, libc::SYS_socketcall],
    [libc::SYS_recvfrom, libc::SYS_socketcall],
    // The number of a 64-bit child.
    [libc::SYS_futex, 202],
];
/// Those of a 32-bit child.
#[cfg(target_pointer_width = "64")]
const OTHERS: &[[libc::c_long; 2]] = &[[libc::SYS_futex, 240], [libc::SYS_futex, 422]];

/// Whether `/proc/PID/syscall` says so.
pub fn is_in(text: &str, call: libc::c_long) -> bool {
    let number = text
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    number == Some(call)
        || OTHERS
            .iter()
            .any(|[one, other]| *one == call && number == Some(*other))
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A name no other test uses: letters, digits and dashes.
pub fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "wigwag-{stem}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A port that nobody uses, for TCP and UDP alike, and that no connection gets by chance: the kernel hands out others.
pub fn port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("Linux");
    let first = range.split_whitespace().next().expect("two numbers");
    let end: u32 = first.parse().expect("a number");
    assert!(end > 2048, "the kernel leaves no ports to programs");
    let free = |port: &u16| {
        let at = ("127.0.0.1", *port);
        std::net::TcpListener::bind(at).is_ok() && std::net::UdpSocket::bind(at).is_ok()
    };
    let start = std::process::id().wrapping_mul(61);
    let mut candidates = std::iter::repeat_with(|| {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % (end - 1024);
        u16::try_from(1024 + number).expect("below the end")
    });
    candidates
        .by_ref()
        .take(4096)
        .find(free)
        .expect("a free port")
}

/// A directory of its own, removed when dropped.
pub struct Directory(std::path::PathBuf);

impl Directory {
    /// Makes it.
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(unique("test"));
        std::fs::create_dir(&path).expect("make a directory");
        Directory(path)
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program of somebody else, required: a missing one fails the test and names its package.
pub fn foreign(program: &str, package: &str) -> Command {
    // An administrator's programs may not be in a user's PATH.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|file| file.is_file());
    let Some(found) = found else {
        panic!("{program} is missing: install the package {package} (./test does)");
    };
    Command::new(found)
}

/// Python running `script`, with the module it needs required.
pub fn python(module: &str, script: &str) -> Command {
    let has = foreign("python3", "python3")
        .args(["-c", &format!("import {module}")])
        .stderr(Stdio::null())
        .status()
        .expect("run python3");
    assert!(
        has.success(),
        "Python's {module} is missing: pip install {module} (./test does)"
    );
    let mut command = Command::new("python3");
    command.args([
        "-c",
        &format!("import signal; signal.alarm({HANGS})\n{script}"),
    ]);
    command
}

/// Compiles a C program into `directory` and returns the path of the result.
pub fn compiled(
    directory: &Directory,
    name: &str,
    source: &str,
    flags: &[&str],
) -> std::path::PathBuf {
    compiled_by("cc", "gcc", directory, name, source, flags)
}

/// The same by another compiler, from this package.
pub fn compiled_by(
    compiler: &str,
    package: &str,
    directory: &Directory,
    name: &str,
    source: &str,
    flags: &[&str],
) -> std::path::PathBuf {
    let (input, output) = (directory.file(&format!("{name}.c")), directory.file(name));
    std::fs::write(&input, source).expect("write the C program");
    // The peer of a 32-bit program is one too.
    let short: &[&str] = match cfg!(target_arch = "x86") && compiler == "cc" {
        true => &["-m32", "-idirafter", "/usr/include/x86_64-linux-gnu"],
        false => &[],
    };
    let result = foreign(compiler, package)
        .args(short)
        .args(["-O1", "-Wall", "-o"])
        .arg(&output)
        .arg(&input)
        .args(flags)
        .output()
        .expect("run the compiler");
    assert!(
        result.status.success(),
        "{compiler}: {}",
        String::from_utf8_lossy(&result.stderr)
    );
    output
}

/// Lets this process open only descriptors below `most`.
pub fn limit_open_files(most: libc::rlim_t) {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: most,
    };
    // SAFETY: `limit` is live and initialised.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(done, 0, "setrlimit");
}

/// Runs `test` again in a process where it is alone, unless this is that process. In a test
/// binary other tests start processes, which between fork and exec have copies of all our
/// descriptors: what is closed here may be open there for a moment.
pub fn alone(test: &str) -> bool {
    if part().is_some() {
        return true;
    }
    play(test, "alone", &[]).start().succeeds();
    false
}
