//! Programs of the field that are easily mistaken: what looks like one wait and is another.

use super::victim::{Flavour, Victim, path, text};
use std::process::Command;
use wigwag_observe::graph::{Certainty, Verdict};
use wigwag_observe::why::{Standing, why};

const HEAD: &str = "
import os, sys, threading, time, socket, signal, fcntl
def role(name):
    os.write(1, f'role {name} {os.getpid()} {threading.get_native_id()}\\n'.encode())
";

fn python(source: &str) -> Victim {
    Victim::spawn(Command::new("python3").args(["-c", &format!("{HEAD}{source}")]))
}

#[test]
fn a_file_sent_to_a_full_socket_waits_for_its_reader_and_not_for_the_file() {
    let victim = python(
        "
a, b = socket.socketpair()
a.setblocking(False)
try:
    while True: a.send(b'x' * 4096)
except BlockingIOError: pass
a.setblocking(True)
f = open(sys.executable, 'rb')
role('A')
os.sendfile(a.fileno(), f.fileno(), 0, 1 << 16)
",
    )
    .settled(&["A"]);
    victim
        .deadlock(Certainty::Proven, "unix", &["A"])
        .held_by(&victim, "A", &["A"]);
}

#[test]
fn a_loop_of_events_that_only_a_signal_ends_is_information() {
    let body = |handler: &str| {
        format!(
            "
import asyncio
async def main():
    woken = asyncio.Event()
    {handler}
    role('A')
    await woken.wait()
asyncio.run(main())
"
        )
    };
    let told = "asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, woken.set)";
    let victim = python(&body(told)).settled(&["A"]);
    let verdict = Verdict::SignalWait;
    victim.expect(verdict, Certainty::Proven, &["epoll"], &["A"], &[]);
    // Nobody is there to set it.
    let victim = python(&body("pass")).settled(&["A"]);
    victim.deadlock(Certainty::Proven, "epoll", &["A"]);
}

#[test]
fn a_named_semaphore_whose_name_is_gone_is_out_of_a_strangers_reach() {
    let locks = "
import multiprocessing
context = multiprocessing.get_context('fork')
a, b = context.Lock(), context.Lock()
";
    let crossed = format!(
        "{locks}
met = context.Barrier(2)
def run(name, first, second):
    role(name)
    with first:
        met.wait()
        with second: pass
children = [context.Process(target=run, args=args) for args in [('A', a, b), ('B', b, a)]]
for child in children: child.start()
role('parent')
for child in children: child.join()
"
    );
    let victim = python(&crossed).settled(&["A", "B", "parent"]);
    let core = ["A", "B", "parent"];
    victim.expect(
        Verdict::Deadlock,
        Certainty::Proven,
        &["sem", "waitpid"],
        &core,
        &[],
    );

    let killed = format!(
        "{locks}
def run():
    a.acquire()
    os.kill(os.getpid(), 9)
child = context.Process(target=run)
child.start()
child.join()
role('A')
a.acquire()
"
    );
    let victim = python(&killed).settled(&["A"]);
    victim.expect(Verdict::DeadEnd, Certainty::Proven, &["sem"], &["A"], &[]);
}

#[test]
fn a_shell_that_reads_what_only_it_could_write() {
    let fifo = path("fifo");
    // It handles the end of its children, of which it has none.
    let script = format!(
        "mkfifo {0}; exec 3<>{0}; rm {0}; echo role A $$ $$; read x <&3",
        text(&fifo)
    );
    let victim = Victim::spawn(Command::new("sh").args(["-c", &script])).settled(&["A"]);
    victim.deadlock(Certainty::Proven, "fifo", &["A"]);
}

#[test]
fn a_timer_of_its_own_ends_a_wait_and_an_alarm_may() {
    let crossed = |limit: &str| {
        let [a, b] = [path("a"), path("b")];
        let victim = python(&format!(
            "
a, b = '{0}', '{1}'
(r, w), (r2, w2) = os.pipe(), os.pipe()
def take(name, first, second, tell, hear):
    {limit}
    f, s = open(first, 'w'), open(second, 'w')
    fcntl.flock(f, fcntl.LOCK_EX)
    os.write(tell, b'x')
    os.read(hear, 1)
    role(name)
    fcntl.flock(s, fcntl.LOCK_EX)
if os.fork() == 0: take('B', b, a, w, r2)
take('A', a, b, w2, r)
",
            text(&a),
            text(&b)
        ));
        victim.cleaning(&[&a, &b]).settled(&["A", "B"])
    };
    let alarm = "signal.signal(signal.SIGALRM, lambda *_: None); signal.alarm(3600)";
    let victim = crossed(alarm);
    victim.deadlock(Certainty::Likely, "flock", &["A", "B"]);

    // timer_create(CLOCK_MONOTONIC, SIGALRM), which can be seen.
    let timer = "import ctypes; timer = ctypes.c_void_p(); signal.signal(signal.SIGALRM, lambda *_: None); ctypes.CDLL(None).timer_create(1, None, ctypes.byref(timer))";
    crossed(timer).nothing();

    let [a, b] = [path("a"), path("b")];
    let script = format!(
        "touch {0} {1}
         flock {0} sh -c 'echo role A $$ $$; sleep 1; flock -w 3600 {1} true; :' &
         flock {1} sh -c 'echo role B $$ $$; sleep 1; flock -w 3600 {0} true; :' &
         wait",
        text(&a),
        text(&b)
    );
    let mut victim = Victim::spawn(Command::new("bash").args(["-c", &script])).cleaning(&[&a, &b]);
    victim.hear_all(&["A", "B"]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    victim.rest(&["A", "B"]).nothing();
}

#[test]
fn of_a_process_the_threads_that_are_stuck_are_told_first_and_who_waits_for_it_is_not_well_either()
{
    let program = Victim::program("mutex.c", Flavour::Glibc);
    let script = format!("{} joined; :", text(&program));
    let victim = Victim::spawn(Command::new("sh").args(["-c", &script]));
    let victim = victim.settled(&["A", "B", "main"]);
    let ask = |target: u32| {
        let mut answers = why(&target.to_string(), &Default::default()).expect("it is there");
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    };
    let stuck = ask(victim.pid("main"));
    assert_eq!(stuck.standing, Standing::Deadlock, "{stuck}");
    let core = [victim.tid("A"), victim.tid("B")];
    assert!(stuck.is_alarm() && core.contains(&stuck.tid), "{stuck}");
    let behind = ask(victim.leader());
    assert_eq!(behind.standing, Standing::Blocked, "{behind}");
    assert!(behind.is_alarm(), "{behind}");
    let next = format!("wigwag why {}", core[0].min(core[1]));
    assert!(behind.to_string().contains(&next), "{behind}");
}
