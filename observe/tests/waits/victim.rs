//! Victim: a program that hangs, the roles its threads have told, and what the graph must say about them.

use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};
use wigwag_observe::graph::{Certainty, Finding, Verdict, WaitGraph};
use wigwag_observe::waits::Options;

/// Longest that anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a C victim is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    Glibc,
    GlibcStatic,
    Glibc32,
    Musl,
    MuslStatic,
    /// Rust, optimised.
    Rust,
}

/// A hanging program. Dropped, it and all its processes are killed.
pub struct Victim {
    child: Child,
    lines: Receiver<String>,
    roles: BTreeMap<String, (u32, u32)>,
    said: Vec<(String, i64)>,
    cleanup: Vec<PathBuf>,
}

impl Victim {
    /// A C victim in one of its cases.
    pub fn c(source: &str, flavour: Flavour, arguments: &[&str]) -> Victim {
        Victim::spawn(Command::new(compiled(source, flavour)).args(arguments))
    }

    /// A Rust victim, optimised, in one of its cases.
    pub fn rust(source: &str, arguments: &[&str]) -> Victim {
        Victim::spawn(Command::new(compiled(source, Flavour::Rust)).args(arguments))
    }

    /// Any program that tells its roles on standard output.
    pub fn spawn(command: &mut Command) -> Victim {
        command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("start the victim");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("its output"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Victim {
            child,
            lines,
            roles: BTreeMap::new(),
            said: Vec::new(),
            cleanup: Vec::new(),
        }
    }

    /// Removes these files when the victim is dropped.
    pub fn cleaning(mut self, paths: &[&Path]) -> Victim {
        self.cleanup
            .extend(paths.iter().map(|path| path.to_path_buf()));
        self
    }

    /// The compiled victim.
    pub fn program(source: &str, flavour: Flavour) -> PathBuf {
        compiled(source, flavour)
    }

    /// Waits until all these roles have been told and their threads sleep for good.
    pub fn settled(mut self, roles: &[&str]) -> Victim {
        self.hear_all(roles);
        self.rest(roles)
    }

    /// Waits until all these roles have been told.
    pub fn hear_all(&mut self, roles: &[&str]) {
        let end = Instant::now() + PATIENCE;
        while roles.iter().any(|role| !self.roles.contains_key(*role)) {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!(
                    "the victim did not tell its roles {roles:?}, only {:?}",
                    self.roles
                )
            };
            self.hear(&line);
        }
    }

    /// Waits until the threads of these roles sleep for good.
    pub fn rest(self, roles: &[&str]) -> Victim {
        let end = Instant::now() + PATIENCE;
        let tids: Vec<(u32, u32)> = roles.iter().map(|role| self.roles[*role]).collect();
        let mut before = Vec::new();
        loop {
            assert!(
                Instant::now() < end,
                "the victim does not come to rest: {before:?}"
            );
            let now: Vec<Option<String>> =
                tids.iter().map(|&(pid, tid)| at_rest(pid, tid)).collect();
            if now == before && now.iter().all(Option::is_some) {
                return self;
            }
            before = now;
            std::thread::sleep(Duration::from_millis(40));
        }
    }

    fn hear(&mut self, line: &str) {
        assert!(!line.starts_with("broken"), "the victim: {line}");
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["role", name, pid, tid] => {
                let numbers = (pid.parse().expect("pid"), tid.parse().expect("tid"));
                self.roles.insert(name.to_owned(), numbers);
            }
            [key, value] => self
                .said
                .push((key.to_owned(), value.parse().expect("value"))),
            _ => panic!("the victim said {line:?}"),
        }
    }

    /// What it said under this key, until now.
    pub fn said(&mut self, key: &str) -> Vec<i64> {
        while let Ok(line) = self.lines.try_recv() {
            self.hear(&line);
        }
        self.said
            .iter()
            .filter(|(known, _)| known == key)
            .map(|&(_, value)| value)
            .collect()
    }

    /// Process of a role.
    pub fn pid(&self, role: &str) -> u32 {
        self.roles[role].0
    }

    /// Thread of a role.
    pub fn tid(&self, role: &str) -> u32 {
        self.roles[role].1
    }

    /// Numbers a role as the observer sees it, where the victim counts in another namespace.
    pub fn renumber(&mut self, role: &str, pid: u32, tid: u32) {
        self.roles.insert(role.to_owned(), (pid, tid));
    }

    /// The first process.
    pub fn leader(&self) -> u32 {
        self.child.id()
    }

    /// All processes of the victim: those of its process group.
    pub fn processes(&self) -> Vec<u32> {
        let group = self.child.id();
        pids()
            .into_iter()
            .filter(|&pid| stat(pid, pid).is_some_and(|fields| fields[2] == group.to_string()))
            .collect()
    }

    /// A look at the victim alone.
    pub fn look(&self) -> WaitGraph {
        let options = Options {
            only: self.processes(),
            interval: Duration::from_millis(30),
            ages: true,
            ..Options::default()
        };
        WaitGraph::capture(&options).expect("/proc")
    }

    /// Looks until there is exactly one finding, with all these roles in its core: on a loaded machine, a look may fall on a moment in
    /// which one of them is awake to look around.
    pub fn found(&self, roles: &[&str]) -> (WaitGraph, Finding) {
        let end = Instant::now() + PATIENCE;
        loop {
            let graph = self.look();
            if let [finding] = &graph.findings()[..]
                && roles
                    .iter()
                    .all(|role| finding.core.contains(&self.tid(role)))
            {
                let finding = finding.clone();
                return (graph, finding);
            }
            assert!(
                Instant::now() < end,
                "{}\n{:#?}",
                graph.to_json(),
                graph.threads()
            );
        }
    }

    /// Requires exactly one finding, with this verdict, certainty, core and queue behind it.
    pub fn expect(
        &self,
        verdict: Verdict,
        certainty: Certainty,
        facilities: &[&str],
        core: &[&str],
        behind: &[&str],
    ) -> Report {
        let tids = |roles: &[&str]| {
            let mut tids: Vec<u32> = roles.iter().map(|role| self.tid(role)).collect();
            tids.sort_unstable();
            tids
        };
        let (core_tids, behind_tids) = (tids(core), tids(behind));
        let mut facilities: Vec<&str> = facilities.to_vec();
        facilities.sort_unstable();
        let mut last = String::new();
        // On a loaded machine a victim may be put on a processor once more without anything having happened.
        for _ in 0..5 {
            let graph = self.look();
            let findings = graph.findings();
            let json = graph.to_json();
            if let [finding] = &findings[..]
                && finding.verdict == verdict
                && finding.certainty == certainty
                && finding.core == core_tids
                && finding.behind == behind_tids
                && finding.facilities == facilities
            {
                return Report {
                    json: serde_json::from_str(&json).expect("valid JSON"),
                    finding: finding.clone(),
                    graph,
                };
            }
            last = format!(
                "wanted {verdict:?} {certainty:?} of {core_tids:?}, behind {behind_tids:?}, by {facilities:?}\nroles {:?}\n{json}\nthreads: {:#?}",
                self.roles,
                graph
                    .threads()
                    .iter()
                    .filter(|thread| self.roles.values().any(|role| role.1 == thread.tid))
                    .collect::<Vec<_>>()
            );
        }
        panic!("{last}");
    }

    /// The everyday expectation.
    pub fn deadlock(&self, certainty: Certainty, facility: &str, core: &[&str]) -> Report {
        self.expect(Verdict::Deadlock, certainty, &[facility], core, &[])
    }

    /// Requires that nothing at all is found, several times.
    pub fn nothing(&self) {
        for _ in 0..4 {
            let graph = self.look();
            assert!(graph.findings().is_empty(), "{}", graph.to_json());
        }
    }
}

/// A finding that was as expected.
pub struct Report {
    pub json: Value,
    pub finding: Finding,
    pub graph: WaitGraph,
}

impl Report {
    /// The wakers of a thread's wait, as the JSON tells them.
    pub fn wakers(&self, tid: u32) -> Vec<u64> {
        let wakers = self.wait(tid)["wakers"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut tids: Vec<u64> = wakers
            .iter()
            .filter_map(|waker| waker["tid"].as_u64())
            .collect();
        tids.sort_unstable();
        tids
    }

    /// The wait of a thread, as the JSON tells it.
    pub fn wait(&self, tid: u32) -> Value {
        let findings = self.json["findings"].as_array().expect("findings");
        let threads = findings.iter().flat_map(|finding| {
            ["core", "behind"]
                .into_iter()
                .flat_map(|part| finding[part].as_array().cloned().unwrap_or_default())
        });
        let thread = threads
            .into_iter()
            .find(|thread| thread["tid"] == tid)
            .expect("the thread is in a finding");
        assert_eq!(
            thread["waits"].as_array().map(Vec::len),
            Some(1),
            "{thread}"
        );
        assert!(thread["waits"][0]["since_s"].as_f64().is_some(), "{thread}");
        thread["waits"][0].clone()
    }

    /// Requires that `waiter` waits for `holder` and nobody else.
    pub fn held_by(&self, victim: &Victim, waiter: &str, holders: &[&str]) -> &Report {
        let mut wanted: Vec<u64> = holders
            .iter()
            .map(|holder| u64::from(victim.tid(holder)))
            .collect();
        wanted.sort_unstable();
        assert_eq!(self.wakers(victim.tid(waiter)), wanted, "{}", self.json);
        self
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // SAFETY: a negative pid is a process group, and this one was made for the child, which has not been waited for.
        unsafe { libc::kill(-self.child.id().cast_signed(), libc::SIGKILL) };
        let _ = self.child.wait();
        for path in &self.cleanup {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A path that no other test has.
pub fn path(name: &str) -> PathBuf {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    std::env::temp_dir().join(format!(
        "wigwag-waits-{}-{count}-{name}",
        std::process::id()
    ))
}

/// The path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

/// The fields of `stat` after the name: state, parent, group …
pub fn stat(pid: u32, tid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    Some(
        text[text.rfind(')')? + 2..]
            .split(' ')
            .map(str::to_owned)
            .collect(),
    )
}

/// All processes.
pub fn pids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Number of switches and system call of a thread that sleeps, and not only for a moment.
fn at_rest(pid: u32, tid: u32) -> Option<String> {
    let state = stat(pid, tid)?.swap_remove(0);
    if !matches!(state.as_str(), "S" | "T" | "t" | "D") {
        return None;
    }
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/{file}")).ok();
    let call = read("syscall")?;
    // A short nap: it meets another thread. Long sleeps are at rest, and ask for seconds, not for a part of one.
    if call.starts_with("230 ") && state == "S" {
        let wanted =
            u64::from_str_radix(call.split(' ').nth(3)?.trim_start_matches("0x"), 16).ok()?;
        let mut bytes = [0u8; 8];
        let memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
        std::os::unix::fs::FileExt::read_exact_at(&memory, &mut bytes, wanted).ok()?;
        if i64::from_ne_bytes(bytes) == 0 {
            return None;
        }
    }
    Some(format!("{} {call}", read("schedstat")?))
}

fn compiled(source: &str, flavour: Flavour) -> PathBuf {
    static DONE: OnceLock<Mutex<HashMap<(String, Flavour), PathBuf>>> = OnceLock::new();
    let mut done = DONE
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(program) = done.get(&(source.to_owned(), flavour)) {
        return program.clone();
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = directory.join(format!(
        "{}-{flavour:?}-{}",
        source.rsplit_once('.').map_or(source, |(name, _)| name),
        std::process::id()
    ));
    let (compiler, options, package) = match flavour {
        Flavour::Glibc => ("cc", &["-O1"][..], "gcc"),
        Flavour::GlibcStatic => ("cc", &["-O1", "-static", "-s"][..], "libc6-dev"),
        // The package gcc-multilib would bring the headers' link, but excludes every cross compiler.
        Flavour::Glibc32 => (
            "cc",
            &["-O1", "-m32", "-isystem", "/usr/include/x86_64-linux-gnu"][..],
            "gcc-12-multilib or libc6-dev-i386 and lib32gcc-12-dev",
        ),
        Flavour::Musl => ("musl-gcc", &["-O1"][..], "musl-tools"),
        Flavour::MuslStatic => ("musl-gcc", &["-O1", "-static", "-s"][..], "musl-tools"),
        Flavour::Rust => ("rustc", &["-O", "--edition=2024"][..], "rustup"),
    };
    let source_path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/victims")
        .join(source);
    let libraries: &[&str] = match flavour {
        Flavour::Rust => &[],
        _ => &["-pthread", "-lrt"],
    };
    let output = Command::new(compiler)
        .args(options)
        .args(libraries)
        .arg("-o")
        .arg(&program)
        .arg(source_path)
        .output()
        .unwrap_or_else(|error| panic!("{compiler} does not start ({error}): install {package}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{compiler} {options:?} failed (is {package} installed?):\n{said}"
    );
    done.insert((source.to_owned(), flavour), program.clone());
    program
}
