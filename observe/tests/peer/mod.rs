//! Peer: another program with real objects in its hands: Python, a shell, a C program compiled for the test.
#![allow(dead_code)] // each test binary uses its share

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use wigwag_observe::{Object, Snapshot};

/// Longer than anything that works takes, even on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running program; killed when dropped.
pub struct Peer {
    child: Child,
    pub stdin: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a program that will say `ready`, and waits for that.
    pub fn start(command: &mut Command) -> Peer {
        let mut peer = Peer::start_only(command);
        let said = peer.line();
        assert_eq!(said, "ready", "the program did not get ready: {command:?}");
        peer
    }

    /// Starts a program.
    pub fn start_only(command: &mut Command) -> Peer {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot start {command:?}: {error}; install its package (./test does)")
            });
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("its standard output"));
        Peer {
            child,
            stdin,
            lines,
        }
    }

    /// A Python script with the modules everybody needs; it must print `ready`, flushed.
    pub fn python(script: &str, arguments: &[&str]) -> Peer {
        let prelude = "import os, sys, time, socket, mmap, fcntl, select, signal, struct, threading\n\
                       def ready():\n    print('ready', flush=True)\n\
                       def stay():\n    ready()\n    sys.stdin.read()\n";
        Peer::start(
            python()
                .arg("-c")
                .arg(format!("{prelude}{script}"))
                .args(arguments),
        )
    }

    /// A C program.
    pub fn c(name: &str, source: &str, arguments: &[&str]) -> Peer {
        Peer::start(Command::new(compile(name, source, &[])).args(arguments))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines
            .read_line(&mut line)
            .expect("its standard output");
        line.trim_end().to_owned()
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().expect("its standard input"), "{line}")
            .expect("tell the program");
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end and gives its exit status.
    pub fn end(&mut self) -> std::process::ExitStatus {
        drop(self.stdin.take());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the program does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until its first thread sleeps in one of these system calls.
    pub fn sleeps_in(&self, calls: &[libc::c_long]) {
        sleeps_in(self.pid(), calls);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until the thread sleeps in one of these system calls.
pub fn sleeps_in(tid: u32, calls: &[libc::c_long]) {
    eventually(&format!("{tid} sleeps in system call {calls:?}"), || {
        let text = std::fs::read_to_string(format!("/proc/{tid}/syscall")).unwrap_or_default();
        calls
            .iter()
            .any(|call| text.starts_with(&format!("{call} ")))
    });
}

/// The Python that has `posix_ipc` and `sysv_ipc`: the one `./test` made, or the system's.
pub fn python() -> Command {
    let own = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/python/bin/python3"
    ));
    Command::new(if own.exists() { own } else { "python3".into() })
}

/// Compiles a C program and gives its path.
pub fn compile(name: &str, source: &str, options: &[&str]) -> PathBuf {
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique(name));
    let file = program.with_extension("c");
    std::fs::write(&file, source).expect("write the source");
    let mut cc = Command::new("cc");
    cc.arg("-O1")
        .arg("-o")
        .arg(&program)
        .arg(&file)
        .args(options)
        .arg("-lpthread");
    let status = cc
        .status()
        .expect("cc is missing: install gcc and libc6-dev");
    assert!(status.success(), "cannot compile {name}");
    program
}

/// Runs a tool to its end and gives what it wrote; a failure of the tool is a failure of the test.
pub fn tool(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("cannot run {command:?}: {error}; install its package (./test does)")
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A name no other test uses.
pub fn unique(stem: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "observe-{stem}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A directory of its own, removed when dropped.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Directory {
        let path = std::env::temp_dir().join(unique("dir"));
        std::fs::create_dir(&path).expect("make a directory");
        Directory(path)
    }

    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }

    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Something that is run when the test ends, also when it fails.
pub struct Cleanup<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for Cleanup<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// All objects of one facility.
pub fn list(facility: &str) -> Snapshot {
    Snapshot::builder()
        .facilities([facility])
        .capture()
        .expect("a snapshot")
}

/// The objects of one facility that one process has to do with.
pub fn of(facility: &str, pid: u32) -> Vec<Object> {
    Snapshot::builder()
        .facilities([facility])
        .pids([pid])
        .capture()
        .expect("a snapshot")
        .objects
}

/// The only object of a facility that the process has to do with and that the condition holds for.
pub fn only(facility: &str, pid: u32, condition: impl Fn(&Object) -> bool) -> Object {
    let all = of(facility, pid);
    let mut fitting: Vec<_> = all
        .iter()
        .filter(|object| condition(object))
        .cloned()
        .collect();
    assert_eq!(fitting.len(), 1, "{fitting:#?} of {all:#?}");
    fitting.remove(0)
}
