//! The whole machine at once: other people's processes, opaque ones, thousands of threads, and what is said of the unseen.

use super::victim::{Flavour, Victim};
use std::process::Command;
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

#[test]
fn an_ordinary_user_sees_the_own_and_is_told_what_was_not_seen() {
    // The helper runs as nobody; the victim once as nobody, once as root.
    if rustix::process::getuid().as_raw() != 0 {
        panic!("run as root: this test changes users");
    }
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let script = "import os,threading\nr,w=os.pipe()\nos.write(1,f'role A {os.getpid()} {threading.get_native_id()}\\n'.encode())\nos.read(r,1)";
    let own = Victim::spawn(Command::new("setpriv").args(nobody).args([
        "/usr/bin/python3",
        "-c",
        script,
    ]))
    .settled(&["A"]);
    let others =
        Victim::spawn(Command::new("/usr/bin/python3").args(["-c", script])).settled(&["A"]);
    let program = std::env::temp_dir().join(format!("wigwag-waits-{}-user", std::process::id()));
    let _copy = Copied(&program);
    std::fs::copy(std::env::current_exe().expect("this test"), &program)
        .expect("copy where nobody may read it");
    let output = Command::new("setpriv")
        .args(nobody)
        .arg(&program)
        .args(["--exact", "capture::as_an_ordinary_user", "--nocapture"])
        .env("WIGWAG_USER_CASE", "1")
        .current_dir("/")
        .output()
        .expect("setpriv does not start: install util-linux");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = text
        .lines()
        .find_map(|line| line.find(r#"{"version""#).map(|at| &line[at..]));
    let json: serde_json::Value =
        serde_json::from_str(json.unwrap_or_else(|| panic!("{text}"))).expect("valid JSON");
    let cores: Vec<u64> = json["findings"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|finding| finding["core"].as_array().cloned().unwrap_or_default())
        .filter_map(|thread| thread["tid"].as_u64())
        .collect();
    assert!(cores.contains(&u64::from(own.tid("A"))), "{json}");
    assert!(!cores.contains(&u64::from(others.tid("A"))), "{json}");
    let unseen: Vec<u64> = json["unseen"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|unseen| unseen["pid"].as_u64())
        .collect();
    assert!(unseen.contains(&u64::from(others.pid("A"))), "{json}");
}

/// Not a test by itself: what the test above runs as another user.
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
