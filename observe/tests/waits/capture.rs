//! The whole machine at once: other people's processes, opaque ones, thousands of threads, and what is said of the unseen.

use super::victim::{Flavour, Victim};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use wigwag_observe::graph::{Verdict, WaitGraph};
use wigwag_observe::waits::Options;

fn whole() -> WaitGraph {
    WaitGraph::capture(&Options::default()).expect("/proc")
}

#[test]
fn several_deadlocks_on_one_machine_are_several_findings() {
    let one = Victim::c("mutex.c", Flavour::Glibc, &["recursive"]).settled(&["A", "B"]);
    let two = Victim::c("stream.c", Flavour::Glibc, &["unix_read"]).settled(&["A", "B"]);
    let graph = whole();
    for victim in [&one, &two] {
        let mut core = [victim.tid("A"), victim.tid("B")];
        core.sort_unstable();
        let found = graph
            .findings()
            .into_iter()
            .filter(|finding| finding.core == core)
            .count();
        assert_eq!(found, 1, "{}", graph.to_json());
    }
    let json: serde_json::Value = serde_json::from_str(&graph.to_json()).expect("valid JSON");
    assert_eq!(json["version"], 1);
    assert!(
        json["info"]["threads"]
            .as_u64()
            .is_some_and(|threads| threads > 4)
    );
}

#[test]
fn three_thousand_threads_in_a_barrier_are_one_finding_in_time() {
    let source = "
import threading, os, time
threading.stack_size(65536)
lock = threading.Lock(); lock.acquire()
for i in range(3000):
    threading.Thread(target=lock.acquire).start()
os.write(1, f'role A {os.getpid()} {threading.get_native_id()}\\n'.encode())
lock.acquire()
";
    let victim = Victim::spawn(Command::new("python3").args(["-c", source])).settled(&["A"]);
    let began = Instant::now();
    let graph = whole();
    let took = began.elapsed();
    let finding = graph
        .findings()
        .into_iter()
        .find(|finding| finding.core.contains(&victim.tid("A")));
    let finding = finding.unwrap_or_else(|| panic!("not found in {:?}", graph.info));
    assert_eq!(
        (finding.verdict, finding.core.len()),
        (Verdict::Deadlock, 3001)
    );
    assert!(took < Duration::from_secs(40), "{took:?}");
}

const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// A victim of Python, run by nobody, or by whom the test is run.
fn python(by_nobody: bool, source: &str) -> Victim {
    let source = format!(
        "import ctypes,os,threading\ndef role(name):\n os.write(1,f'role {{name}} {{os.getpid()}} {{threading.get_native_id()}}\\n'.encode())\nr,w=os.pipe()\n{source}"
    );
    let python = ["/usr/bin/python3", "-c", &source];
    let victim = match by_nobody {
        true => Victim::spawn(Command::new("setpriv").args(NOBODY).args(python)),
        false => Victim::spawn(Command::new(python[0]).args(&python[1..])),
    };
    victim.settled(&["A"])
}

/// What the whole machine shows to nobody; `before` is run first, as root.
fn seen_by_nobody(before: &str) -> serde_json::Value {
    if rustix::process::getuid().as_raw() != 0 {
        panic!("run as root: this test changes users");
    }
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("wigwag-waits-{}-user-{count}", std::process::id());
    let program = std::env::temp_dir().join(name);
    let _copy = Copied(&program);
    std::fs::copy(std::env::current_exe().expect("this test"), &program)
        .expect("copy where nobody may read it");
    let script = format!(r#"{before} exec setpriv "$@""#);
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-ec", &script, "sh"])
        .args(NOBODY)
        .arg(&program)
        .args(["--exact", "capture::as_an_ordinary_user", "--nocapture"])
        .env("WIGWAG_USER_CASE", "1")
        .current_dir("/")
        .output()
        .expect("unshare does not start: install util-linux");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = text
        .lines()
        .find_map(|line| line.find(r#"{"version""#).map(|at| &line[at..]));
    serde_json::from_str(json.unwrap_or_else(|| panic!("{text}\n{output:?}"))).expect("valid JSON")
}

/// The certainty of the finding that has this thread in its core.
fn certainty(json: &serde_json::Value, tid: u32) -> Option<String> {
    let has = |finding: &&serde_json::Value| {
        let core = finding["core"].as_array().into_iter().flatten();
        core.into_iter().any(|thread| thread["tid"] == tid)
    };
    let finding = json["findings"].as_array()?.iter().find(has)?;
    finding["certainty"].as_str().map(str::to_owned)
}

fn is_unseen(json: &serde_json::Value, pid: u32) -> bool {
    let unseen = json["unseen"].as_array().into_iter().flatten();
    unseen.into_iter().any(|unseen| unseen["pid"] == pid)
}

#[test]
fn an_ordinary_user_sees_the_own_and_is_told_what_was_not_seen() {
    let own = python(true, "role('A'); os.read(r,1)");
    let others = python(false, "role('A'); os.read(r,1)");
    let json = seen_by_nobody("");
    // Its parent may not be read, and could have the write end; but everybody descends from the first process.
    let parent_is_first = std::process::id() == 1;
    let expected = if parent_is_first { "proven" } else { "likely" };
    assert_eq!(
        certainty(&json, own.tid("A")).as_deref(),
        Some(expected),
        "{json}"
    );
    assert_eq!(certainty(&json, others.tid("A")), None, "{json}");
    assert!(is_unseen(&json, others.pid("A")), "{json}");
}

#[test]
fn where_other_users_processes_are_hidden_the_own_are_seen_but_not_proven() {
    let own = python(true, "role('A'); os.read(r,1)");
    let others = python(false, "role('A'); os.read(r,1)");
    // What only its own threads can have to do with is proven all the same.
    let lock = python(
        true,
        "role('A'); l=threading.Lock(); l.acquire(); l.acquire()",
    );
    for how in ["noaccess", "invisible", "ptraceable"] {
        let json = seen_by_nobody(&format!("mount -t proc -o hidepid={how} proc /proc;"));
        let found = |victim: &Victim| certainty(&json, victim.tid("A"));
        assert_eq!(found(&own).as_deref(), Some("likely"), "{json}");
        assert_eq!(found(&lock).as_deref(), Some("proven"), "{json}");
        assert_eq!(found(&others), None, "{json}");
        assert!(is_unseen(&json, 0), "{json}");
    }
}

#[test]
fn a_process_that_may_not_be_read_may_be_the_one_that_wakes() {
    let opaque = "if os.fork() == 0:\n ctypes.CDLL(None).prctl(4,0,0,0,0)\n import signal; signal.pause()\nimport time; time.sleep(0.3)\n";
    // It has the write end and nobody else: the reader is not stuck, as far as can be known.
    let only = python(
        true,
        &format!("{opaque}os.close(w); role('A'); os.read(r,1)"),
    );
    // The reader has it, too: there is no proof.
    let too = python(true, &format!("{opaque}role('A'); os.read(r,1)"));
    let json = seen_by_nobody("");
    assert_eq!(certainty(&json, only.tid("A")), None, "{json}");
    assert_eq!(
        certainty(&json, too.tid("A")).as_deref(),
        Some("likely"),
        "{json}"
    );
}

/// Not a test by itself: what the tests above run as another user.
#[test]
fn as_an_ordinary_user() {
    if std::env::var_os("WIGWAG_USER_CASE").is_some() {
        let graph = whole();
        println!("\n{}", graph.to_json());
    }
}

/// A file that is removed at the end of the test, whatever way that ends.
struct Copied<'a>(&'a std::path::Path);

impl Drop for Copied<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}
