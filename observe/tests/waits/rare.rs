//! Waits that few programs meet.

use super::victim::{Flavour, Victim, path, text};
use std::process::Command;
use wigwag_observe::graph::{Certainty, Verdict};

const PROVEN: Certainty = Certainty::Proven;

#[test]
fn a_page_that_its_filler_waits_to_see_touched() {
    let victim = Victim::c("rare.c", Flavour::Glibc, &["userfaultfd"]).settled(&["A", "B"]);
    let report = victim.expect(
        Verdict::Deadlock,
        PROVEN,
        &["join", "userfaultfd"],
        &["A", "B"],
        &[],
    );
    report.held_by(&victim, "A", &["B"]);
}

#[test]
fn a_file_system_whose_server_waits_for_its_user() {
    let mountpoint = path("fuse");
    std::fs::create_dir(&mountpoint).expect("mount point");
    let victim =
        Victim::c("rare.c", Flavour::Glibc, &["fuse", text(&mountpoint)]).settled(&["A", "B"]);
    let report = victim.expect(
        Verdict::Deadlock,
        PROVEN,
        &["fuse", "waitpid"],
        &["A", "B"],
        &[],
    );
    report
        .held_by(&victim, "A", &["B"])
        .held_by(&victim, "B", &["A"]);
    drop(victim);
    let _ = std::fs::remove_dir(&mountpoint);
}

#[test]
fn a_process_whose_first_thread_has_ended() {
    let victim = Victim::c("rare.c", Flavour::Glibc, &["main_ended"]).settled(&["A", "B"]);
    victim
        .deadlock(PROVEN, "mutex", &["A", "B"])
        .held_by(&victim, "A", &["B"]);
    let victim = Victim::c("rare.c", Flavour::Glibc, &["main_ended_pipe"]).settled(&["A"]);
    let report = victim.expect(Verdict::Deadlock, PROVEN, &["pipe"], &["A"], &[]);
    report.held_by(&victim, "A", &["A"]);
}

#[test]
fn two_network_namespaces_and_a_cable_between_them() {
    let source = "
import ctypes, os, socket, subprocess, threading
def role(name):
    os.write(1, f'role {name} {os.getpid()} {threading.get_native_id()}\\n'.encode())
def new_network():
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000): raise OSError(ctypes.get_errno(), 'unshare: run as root')
def ip(*words): subprocess.check_call(['ip', *words])
ready, go = os.pipe(), os.pipe()
new_network()
child = os.fork()
if child == 0:
    new_network()
    os.write(ready[1], b'x')
    os.read(go[0], 1)
    ip('addr', 'add', '10.9.8.2/24', 'dev', 'v1'); ip('link', 'set', 'v1', 'up')
    s = socket.socket()
    for _ in range(200):
        try: s.connect(('10.9.8.1', 7)); break
        except OSError: s.close(); s = socket.socket(); import time; time.sleep(0.05)
    for fd in (*ready, *go): os.close(fd)
    role('B')
    s.recv(1)
    os.write(1, b'broken recv\\n')
os.read(ready[0], 1)
ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1', 'netns', str(child))
ip('addr', 'add', '10.9.8.1/24', 'dev', 'v0'); ip('link', 'set', 'v0', 'up')
l = socket.socket(); l.bind(('10.9.8.1', 7)); l.listen()
os.write(go[1], b'x')
c, _ = l.accept()
for fd in (*ready, *go): os.close(fd)
role('A')
c.recv(1)
";
    let victim = Victim::spawn(Command::new("python3").args(["-c", source])).settled(&["A", "B"]);
    let report = victim.deadlock(PROVEN, "tcp", &["A", "B"]);
    report
        .held_by(&victim, "A", &["B"])
        .held_by(&victim, "B", &["A"]);
}

#[test]
fn an_odd_name_spoils_nothing() {
    let source = "
import os, threading
open('/proc/self/comm', 'w').write('a) \"\\\\R 0 (\\n')
r, w = os.pipe()
os.write(1, f'role A {os.getpid()} {threading.get_native_id()}\\n'.encode())
os.read(r, 1)
";
    let victim = Victim::spawn(Command::new("python3").args(["-c", source])).settled(&["A"]);
    let report = victim.deadlock(PROVEN, "pipe", &["A"]);
    let comm = report.json["findings"][0]["core"][0]["comm"]
        .as_str()
        .map(str::to_owned);
    assert_eq!(comm.as_deref(), Some("a) \"\\R 0 (\n"), "{}", report.json);
}
