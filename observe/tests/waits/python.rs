//! Python programs as they hang in the field.

use super::victim::{Victim, path, text};
use std::process::Command;
use wigwag_observe::graph::{Certainty, Verdict};

const HEAD: &str = "
import os, sys, threading
def role(name):
    os.write(1, f'role {name} {os.getpid()} {threading.get_native_id()}\\n'.encode())
";

fn python(source: &str) -> Victim {
    Victim::spawn(Command::new("python3").args(["-c", &format!("{HEAD}{source}")]))
}

#[test]
fn a_subprocess_whose_output_nobody_reads() {
    // subprocess.Popen(stdout=PIPE).wait() with a child that has much to say: the manual warns of it.
    let victim = python(
        "
import subprocess
code = 'import os, threading; os.write(2, f\"role B {os.getpid()} {threading.get_native_id()}\\\\n\".encode()); os.write(1, b\"x\" * 1000000)'
role('A')
subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=1).wait()
",
    )
    .settled(&["A", "B"]);
    let report = victim.expect(
        Verdict::Deadlock,
        Certainty::Proven,
        &["pipe", "waitpid"],
        &["A", "B"],
        &[],
    );
    report
        .held_by(&victim, "A", &["B"])
        .held_by(&victim, "B", &["A"]);
    assert!(
        report.wait(victim.tid("B"))["resource"]
            .as_str()
            .is_some_and(|text| text.contains("65536 of 65536 bytes"))
    );
}

#[test]
fn a_multiprocessing_queue_that_is_joined_before_it_is_read() {
    let victim = python(
        "
import multiprocessing
context = multiprocessing.get_context('fork')
queue = context.Queue()
def work():
    role('B')
    queue.put('x' * 1000000)
child = context.Process(target=work)
child.start()
role('A')
child.join()
",
    )
    .settled(&["A", "B"]);
    // The child's main thread joins its feeder thread, which writes the pipe that the parent would read.
    let (graph, finding) = victim.found(&["A", "B"]);
    assert_eq!(
        (finding.verdict, finding.certainty),
        (Verdict::Deadlock, Certainty::Proven),
        "{}",
        graph.to_json()
    );
}

#[test]
fn two_locks_in_two_orders() {
    let victim = python(
        "
a, b = threading.Lock(), threading.Lock()
met = threading.Barrier(2)
def other():
    role('B')
    with b:
        met.wait()
        with a: pass
threading.Thread(target=other).start()
role('A')
with a:
    met.wait()
    with b: pass
",
    )
    .settled(&["A", "B"]);
    victim
        .deadlock(Certainty::Proven, "sem", &["A", "B"])
        .held_by(&victim, "A", &["B"]);
}

#[test]
fn two_that_flock_in_python() {
    let [a, b] = [path("a"), path("b")];
    let victim = python(&format!(
        "
import fcntl
def take(name, first, second, tell, hear):
    role(name)
    f, s = open(first, 'w'), open(second, 'w')
    fcntl.flock(f, fcntl.LOCK_EX)
    os.write(tell, b'x')
    os.read(hear, 1)
    fcntl.flock(s, fcntl.LOCK_EX)
(r, w), (r2, w2) = os.pipe(), os.pipe()
if os.fork() == 0: take('B', '{1}', '{0}', w, r2)
take('A', '{0}', '{1}', w2, r)
",
        text(&a),
        text(&b)
    ))
    .cleaning(&[&a, &b])
    .settled(&["A", "B"]);
    victim
        .deadlock(Certainty::Proven, "flock", &["A", "B"])
        .held_by(&victim, "A", &["B"]);
}

#[test]
fn a_pool_at_rest_is_not_stuck() {
    let victim = python(
        "
import multiprocessing
pool = multiprocessing.get_context('fork').Pool(3)
pool.map(abs, range(10))
role('A')
import time
while True: time.sleep(100)
",
    )
    .settled(&["A"]);
    victim.nothing();
}
