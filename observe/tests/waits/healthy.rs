//! What looks hung but is not: no false alarm.

use super::victim::{Victim, path, text};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wigwag_observe::graph::WaitGraph;
use wigwag_observe::waits::Options;

fn shell(script: &str) -> Victim {
    Victim::spawn(
        Command::new("sh")
            .args(["-c", script])
            .stderr(Stdio::null()),
    )
}

fn quiet_for(victim: &Victim, looks: u32) {
    for _ in 0..looks {
        let graph = victim.look();
        assert!(graph.findings().is_empty(), "{}", graph.to_json());
    }
}

#[test]
fn a_pipeline_in_steady_state() {
    quiet_for(&shell("yes | cat | cat >/dev/null"), 15);
}

#[test]
fn a_pipeline_that_waits_for_one_slow_writer() {
    quiet_for(&shell("sleep 100 | cat | cat >/dev/null"), 5);
}

#[test]
fn an_idle_server_and_its_idle_client() {
    let socket = path("server");
    let server = format!(
        "import socket,os\ns=socket.socket(socket.AF_UNIX)\ns.bind('{0}')\ns.listen()\nif os.fork()==0:\n c=socket.socket(socket.AF_UNIX)\n c.connect('{0}')\n c.recv(1)\nk=s.accept()\nk2=s.accept()\n",
        text(&socket)
    );
    let victim = Victim::spawn(Command::new("python3").args(["-c", &server])).cleaning(&[&socket]);
    // Until both sleep: the server in accept, the client in recv.
    let end = Instant::now() + Duration::from_secs(20);
    while victim.processes().len() < 2 {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(20));
    }
    quiet_for(&victim, 8);
}

#[test]
fn a_shell_at_its_prompt() {
    // socat gives it a terminal; the other side of socat is this test, which may type any time.
    let mut command = Command::new("socat");
    command
        .args(["-", "EXEC:sh -i,pty,stderr,setsid,ctty"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = command
        .spawn()
        .expect("socat does not start: install socat");
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..5 {
        let graph = WaitGraph::capture(&Options::default()).expect("/proc");
        let children: Vec<u32> = super::victim::pids()
            .into_iter()
            .filter(|&pid| {
                super::victim::stat(pid, pid)
                    .is_some_and(|fields| fields[1] == child.id().to_string())
            })
            .collect();
        let ours = |tid: &u32| *tid == child.id() || children.contains(tid);
        let findings = graph.findings();
        assert!(
            !findings
                .iter()
                .any(|finding| finding.core.iter().chain(&finding.behind).any(ours)),
            "{}",
            graph.to_json()
        );
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn a_lock_handed_round_quickly() {
    let source = "
import threading, os
import multiprocessing.shared_memory
r = [os.pipe() for _ in range(20)]
lock = threading.Lock()
def run(i):
    while True:
        os.read(r[i][0], 1)
        with lock: pass
        os.write(r[(i + 1) % 20][1], b'x')
for i in range(20):
    threading.Thread(target=run, args=(i,), daemon=True).start()
os.write(r[0][1], b'x')
import time
while True: time.sleep(100)
";
    let victim = Victim::spawn(Command::new("python3").args(["-c", source]));
    let end = Instant::now() + Duration::from_secs(20);
    while std::fs::read_dir(format!("/proc/{}/task", victim.leader())).map_or(0, Iterator::count)
        < 21
    {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(20));
    }
    quiet_for(&victim, 15);
}

#[test]
fn a_token_ring_of_processes() {
    let source = "
import os
r = [os.pipe() for _ in range(30)]
for i in range(30):
    if os.fork() == 0:
        for k in range(30):
            if k != i: os.close(r[k][0])
            if k != (i + 1) % 30: os.close(r[k][1])
        while True:
            os.read(r[i][0], 1)
            os.write(r[(i + 1) % 30][1], b'x')
os.write(r[0][1], b'x')
for a, b in r: os.close(a); os.close(b)
os.wait()
";
    let victim = Victim::spawn(Command::new("python3").args(["-c", source]));
    let end = Instant::now() + Duration::from_secs(20);
    while victim.processes().len() < 31 {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(20));
    }
    quiet_for(&victim, 15);
}

#[test]
fn processes_that_come_and_go() {
    quiet_for(
        &shell(
            "while :; do echo x | cat | cat >/dev/null; find /proc/self | sort >/dev/null; done",
        ),
        15,
    );
}
