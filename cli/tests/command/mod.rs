//! Command: the built binary run as a process, and what came of it.
#![allow(dead_code)] // each test binary uses its share
#![allow(clippy::unwrap_used)] // support of tests, where a panic is the message

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything that works takes, even on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

pub const WIGWAG: &str = env!("CARGO_BIN_EXE_wigwag");

/// A run about to be started.
pub struct Run {
    command: Command,
    input: Option<Vec<u8>>,
    words: String,
}

/// `wigwag` with these arguments.
pub fn wigwag<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Run {
    run(WIGWAG, arguments)
}

/// Any program with these arguments.
pub fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Run {
    let arguments: Vec<OsString> = arguments
        .into_iter()
        .map(|a| a.as_ref().to_owned())
        .collect();
    let words = format!("{program} {arguments:?}");
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    heeding_interrupts(&mut command);
    Run {
        command,
        input: None,
        words,
    }
}

/// A shell makes what it starts in the background ignore these, and so would all that the tests start.
fn heeding_interrupts(command: &mut Command) {
    const IGNORED: [i32; 2] = [libc::SIGINT, libc::SIGQUIT];
    // SAFETY: all bytes zero is a valid sigaction, which the kernel fills.
    let is_ignored = |signal: &i32| unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(*signal, std::ptr::null(), &raw mut now) == 0
            && now.sa_sigaction == libc::SIG_IGN
    };
    if !IGNORED.iter().any(is_ignored) {
        return;
    }
    // SAFETY: `signal(2)` is allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            for signal in IGNORED {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
}

impl Run {
    /// What it reads on its standard input.
    pub fn input(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = Some(bytes.as_ref().to_vec());
        self
    }

    /// Changes the command before it starts.
    pub fn with(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.command);
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let mut child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.words));
        if let Some(bytes) = self.input.take() {
            let mut stdin = child.stdin.take().unwrap();
            // A program that does not read all of it is right to.
            std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        }
        // Read from the start: a process whose output nobody takes stands still.
        let out = drained(child.stdout.take());
        let err = drained(child.stderr.take());
        Running {
            child,
            out: Some(out),
            err: Some(err),
            words: self.words,
        }
    }

    /// Runs it to its end.
    pub fn ends(self) -> Ended {
        self.start().ends()
    }

    /// Runs it to its end, which has to be good, and returns what it printed.
    pub fn prints(self) -> Vec<u8> {
        self.ends().code(0).out
    }

    /// The same as text.
    pub fn says(self) -> String {
        String::from_utf8(self.prints()).unwrap()
    }
}

/// Everything that comes out of there.
fn drained<R: Read + Send + 'static>(from: Option<R>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// A running process; killed when dropped.
pub struct Running {
    child: Child,
    out: Option<JoinHandle<Vec<u8>>>,
    err: Option<JoinHandle<Vec<u8>>>,
    words: String,
}

impl Running {
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub fn ends(mut self) -> Ended {
        drop(self.child.stdin.take());
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > PATIENCE {
                panic!("{} did not end within {PATIENCE:?}", self.words);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let all = |thread: Option<JoinHandle<Vec<u8>>>| thread.unwrap().join().unwrap();
        Ended {
            status,
            out: all(self.out.take()),
            err: String::from_utf8_lossy(&all(self.err.take())).into_owned(),
            words: std::mem::take(&mut self.words),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub out: Vec<u8>,
    pub err: String,
    words: String,
}

impl Ended {
    /// Requires this exit code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(
            self.status.code(),
            Some(code),
            "{} ({:?})\nout: {}\nerr: {}",
            self.words,
            self.status.signal(),
            String::from_utf8_lossy(&self.out),
            self.err
        );
        self
    }

    /// Requires one line of words on standard error that has all of these, and nothing printed.
    #[track_caller]
    pub fn one_line(self, parts: &[&str]) -> Self {
        assert_eq!(
            self.err.trim_end().lines().count(),
            1,
            "{}: {:?}",
            self.words,
            self.err
        );
        for part in parts {
            assert!(
                self.err.contains(part),
                "{}: {part:?} is not in {:?}",
                self.words,
                self.err
            );
        }
        assert!(
            self.out.is_empty(),
            "{}: printed {:?}",
            self.words,
            self.out
        );
        self
    }
}

/// An object that is removed at the end of the test, whatever way that ends.
pub struct Object(pub String);

impl Object {
    /// Makes one.
    pub fn new(address: impl Into<String>) -> Self {
        let address = address.into();
        wigwag(["create", &address]).ends().code(0);
        Object(address.split('?').next().unwrap().to_owned())
    }

    /// One that the test, or a peer, will make.
    pub fn later(address: impl Into<String>) -> Self {
        Object(address.into())
    }
}

impl std::ops::Deref for Object {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<OsStr> for Object {
    fn as_ref(&self) -> &OsStr {
        self.0.as_ref()
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let _ = Command::new(WIGWAG)
            .args(["rm", "-f", &self.0])
            .stderr(Stdio::null())
            .status();
    }
}

/// A System V key that no other test uses: our pid is below 2^22.
pub fn key() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed) & 0xff;
    format!(
        "{:#x}",
        0x2000_0000 | (std::process::id() & 0x1f_ffff) << 8 | next
    )
}

/// Bytes of every value, more than fit into one page, and no text.
pub fn every_byte(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 256) as u8).collect()
}

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether it has a handler for a signal.
pub fn catches(pid: i32, signal: rustix::process::Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    line.is_some_and(|set| {
        let set = u64::from_str_radix(set.trim(), 16).unwrap();
        set & 1 << (signal.as_raw() - 1) != 0
    })
}
