//! Debugging: real programs hang in known ways, and the command says who waits for whom, what is forgotten, and what it may remove.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use command::{Ended, Object, WIGWAG, eventually, run, wigwag};
use process::{Directory, compiled, foreign, unique};
use serde_json::Value;

/// A program that hangs; killed when dropped.
struct Victim {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Victim {
    /// Started, and it has said `ready`.
    fn start(command: &mut Command) -> Victim {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "{command:?}");
        let stdin = child.stdin.take();
        Victim { child, stdin }
    }

    fn python(script: &str, arguments: &[&str]) -> Victim {
        let prelude = "import fcntl, os, signal, sys\nsignal.alarm(120)\n\
                       def ready():\n    print('ready', flush=True)\n";
        Victim::start(
            foreign("python3", "python3")
                .arg("-c")
                .arg(format!("{prelude}{script}"))
                .args(arguments),
        )
    }

    fn go(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two processes, each with one file locked, that want the other's.
fn crossed(directory: &Directory) -> [Victim; 2] {
    let files = ["a", "b"].map(|name| directory.file(name).to_str().unwrap().to_owned());
    let script = "a, b = (open(name, 'a') for name in sys.argv[1:])\n\
                  fcntl.flock(a, fcntl.LOCK_EX)\nready()\nsys.stdin.readline()\nfcntl.flock(b, fcntl.LOCK_EX)";
    let [a, b] = [&*files[0], &*files[1]];
    let mut victims = [
        Victim::python(script, &[a, b]),
        Victim::python(script, &[b, a]),
    ];
    victims.iter_mut().for_each(Victim::go);
    for victim in &victims {
        is_stuck(victim);
    }
    victims
}

/// A thread that locks twice what cannot be locked twice.
fn relocked(directory: &Directory) -> Victim {
    let source = "#include <pthread.h>\n#include <stdio.h>\n#include <unistd.h>\n\
        static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;\n\
        int main(void) {\n\
            alarm(120);\n\
            pthread_mutex_lock(&mutex);\n\
            puts(\"ready\");\n\
            fflush(stdout);\n\
            pthread_mutex_lock(&mutex);\n\
        }\n";
    let program = compiled(directory, "relocked", source, &["-lpthread"]);
    let victim = Victim::start(&mut Command::new(program));
    is_stuck(&victim);
    victim
}

/// A reader that kept the write end of its own pipe.
fn forgetful() -> Victim {
    let victim = Victim::python("r, w = os.pipe()\nready()\nos.read(r, 1)", &[]);
    is_stuck(&victim);
    victim
}

fn why(pid: u32) -> Ended {
    wigwag(["why", &pid.to_string()]).ends()
}

fn is_stuck(victim: &Victim) {
    eventually("it is stuck", || why(victim.pid()).status.code() == Some(3));
}

/// What the command printed.
fn text(ended: &Ended) -> String {
    String::from_utf8(ended.out.clone()).unwrap()
}

/// The findings with one of these in their core: the machine may have others.
fn findings(json: &Value, pids: &[u32]) -> Vec<Value> {
    let ours = |finding: &&Value| {
        let core = finding["core"].as_array().unwrap();
        core.iter()
            .any(|thread| pids.iter().any(|&pid| thread["pid"] == pid))
    };
    let all = json["findings"].as_array().unwrap();
    all.iter().filter(ours).cloned().collect()
}

fn deadlocks(arguments: &[&str]) -> Ended {
    wigwag([&["deadlocks"], arguments].concat()).ends().code(3)
}

/// The keys of an object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .unwrap_or_else(|| panic!("{value} is no object"))
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[test]
fn two_crossed_file_locks_are_a_deadlock_in_json_field_by_field() {
    let directory = Directory::new();
    let victims = crossed(&directory);
    let pids = [victims[0].pid(), victims[1].pid()];
    let json: Value = serde_json::from_slice(&deadlocks(&["--json"]).out).unwrap();

    assert_eq!(json["version"], 1);
    assert_eq!(keys(&json), ["findings", "info", "unseen", "version"]);
    for unseen in json["unseen"].as_array().unwrap() {
        assert!(
            unseen["pid"].is_u64() && unseen["reason"].is_string(),
            "{unseen}"
        );
    }
    assert_eq!(json["info"]["interval_s"], 0.05);
    for count in ["processes", "threads", "steady", "candidates"] {
        assert!(json["info"][count].as_u64().unwrap() >= 2, "{json:#}");
    }

    let found = findings(&json, &pids);
    let [finding] = &found[..] else {
        panic!("one circle, and not {found:#?}")
    };
    assert_eq!(
        keys(finding),
        ["behind", "certainty", "core", "facilities", "verdict"]
    );
    assert_eq!(finding["verdict"], "deadlock");
    assert_eq!(finding["certainty"], "proven");
    assert_eq!(finding["facilities"], serde_json::json!(["flock"]));
    assert_eq!(finding["behind"], serde_json::json!([]));
    let core = finding["core"].as_array().unwrap();
    assert_eq!(core.len(), 2, "{finding:#}");
    for (me, other, wants) in [(0, 1, "b"), (1, 0, "a")] {
        let thread = core
            .iter()
            .find(|thread| thread["pid"] == pids[me])
            .unwrap_or_else(|| panic!("{} is not in {finding:#}", pids[me]));
        assert_eq!(keys(thread), ["comm", "pid", "tid", "waits"]);
        assert_eq!(thread["tid"], pids[me]);
        assert!(thread["comm"].as_str().unwrap().starts_with("python"));
        let waits = thread["waits"].as_array().unwrap();
        let [wait] = &waits[..] else {
            panic!("one wait, and not {waits:#?}")
        };
        assert_eq!(
            keys(wait),
            ["facility", "resource", "since_s", "wakers", "why"]
        );
        assert_eq!(wait["facility"], "flock");
        assert_eq!(
            wait["resource"].as_str(),
            directory.file(wants).to_str(),
            "{wait:#}"
        );
        assert!(!wait["why"].as_str().unwrap().is_empty());
        let since = wait["since_s"].as_f64().unwrap();
        assert!((0.0..120.0).contains(&since), "{since} s");
        let wakers = wait["wakers"].as_array().unwrap();
        let [waker] = &wakers[..] else {
            panic!("one holder, and not {wakers:#?}")
        };
        assert_eq!(waker["pid"], pids[other]);
        assert_eq!(waker["tid"], pids[other]);
    }

    // The same in words, for each of them.
    for (me, other) in [(0, 1), (1, 0)] {
        let said = text(&why(pids[me]).code(3));
        assert!(said.starts_with("DEADLOCK"), "{said}");
        for part in ["flock", &format!("[{}]", pids[other]), "kill "] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
    }
    let said = text(&deadlocks(&[]));
    assert!(
        said.contains("DEADLOCK (proven): flock") && said.contains(&format!("[{}]", pids[0])),
        "{said}"
    );
}

#[test]
fn one_who_queues_behind_a_circle_is_told_apart_from_it() {
    let directory = Directory::new();
    let victims = crossed(&directory);
    let file = directory.file("a");
    let behind = Victim::python(
        "a = open(sys.argv[1], 'a')\nready()\nfcntl.flock(a, fcntl.LOCK_EX)",
        &[file.to_str().unwrap()],
    );
    // Not in the circle itself, only blocked, and yet it will not go on by itself.
    eventually("it waits", || {
        let ended = why(behind.pid());
        let said = text(&ended);
        ended.status.code() == Some(3)
            && said.starts_with("BLOCKED BY")
            && said.contains("deadlock (proven)")
    });
    let json: Value = serde_json::from_slice(&deadlocks(&["--json"]).out).unwrap();
    let found = findings(&json, &[victims[0].pid()]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["core"].as_array().unwrap().len(), 2);
    let queued = found[0]["behind"].as_array().unwrap();
    assert_eq!(queued.len(), 1, "{found:#?}");
    assert_eq!(queued[0]["pid"], behind.pid());
    assert_eq!(queued[0]["tid"], behind.pid());
    assert!(queued[0]["comm"].is_string());
    assert!(findings(&json, &[behind.pid()]).is_empty());
}

#[test]
fn the_graph_is_drawn_for_graphviz_and_as_a_picture() {
    let directory = Directory::new();
    let victims = crossed(&directory);
    let dot = text(&deadlocks(&["--dot"]));
    assert!(dot.starts_with("digraph waits {"), "{dot}");
    let svg = text(&deadlocks(&["--svg"]));
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    for victim in &victims {
        let label = format!("[{}]", victim.pid());
        assert!(dot.contains(&label), "{label} is not in {dot}");
        assert!(svg.contains(&label), "{label} is not in {svg}");
    }
    assert!(dot.contains("holds it, descriptor"), "{dot}");
    // Every arrow joins nodes that are there.
    let nodes: Vec<&str> = dot
        .lines()
        .filter_map(|line| line.trim().split_once(" [label="))
        .map(|(node, _)| node)
        .filter(|node| !node.contains("->"))
        .collect();
    let arrows: Vec<(&str, &str)> = dot
        .lines()
        .filter_map(|line| line.trim().split_once(" -> "))
        .collect();
    assert!(arrows.len() >= 4, "{dot}");
    for (from, rest) in arrows {
        let to = rest.split(' ').next().unwrap();
        assert!(nodes.contains(&from) && nodes.contains(&to), "{dot}");
    }
    let check = "import sys, xml.dom.minidom as m; m.parseString(sys.stdin.buffer.read())";
    run("python3", ["-c", check]).input(&svg).prints();
    wigwag(["deadlocks", "--dot", "--svg"]).ends().code(2);
    wigwag(["deadlocks", "--dot", "--json"]).ends().code(2);
}

#[test]
fn two_commands_that_hold_locks_around_each_other_are_a_deadlock() {
    let directory = Directory::new();
    let [a, b] = ["a", "b"].map(|name| format!("flock:{}", directory.file(name).display()));
    let holder = |first: &str, second: &str| {
        let inner = "echo ready; read go; exec \"$0\" lock \"$1\" -- true";
        let script = ["lock", first, "--", "sh", "-c", inner, WIGWAG, second];
        Victim::start(Command::new(WIGWAG).args(script))
    };
    let mut victims = [holder(&a, &b), holder(&b, &a)];
    victims.iter_mut().for_each(Victim::go);
    victims.iter().for_each(is_stuck);

    let json: Value = serde_json::from_slice(&deadlocks(&["--json"]).out).unwrap();
    let found = findings(&json, &[victims[0].pid()]);
    let [finding] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(finding["verdict"], "deadlock");
    assert_eq!(finding["certainty"], "proven");
    assert_eq!(
        finding["facilities"],
        serde_json::json!(["flock", "waitpid"])
    );
    assert_eq!(finding["core"].as_array().unwrap().len(), 4, "{finding}");
}

#[test]
fn who_reads_a_terminal_waits_for_input() {
    let script = "import pty, select, time\npid, master = pty.fork()\n\
                  if pid == 0: os.execvp('cat', ['cat'])\n\
                  time.sleep(0.5)\nready()\n\
                  while True: select.select([master, sys.stdin], [], [])";
    let victim = Victim::python(script, &[]);
    let children = format!("/proc/{0}/task/{0}/children", victim.pid());
    let cat: u32 = std::fs::read_to_string(children)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    eventually("it is told to wait for input", || {
        let ended = why(cat);
        ended.status.code() == Some(0)
            && text(&ended).starts_with("WAITING FOR INPUT: what is typed at /dev/pts/")
    });
}

#[test]
fn a_mutex_locked_twice_by_one_thread_is_its_own_deadlock() {
    let directory = Directory::new();
    let victim = relocked(&directory);
    let said = text(&why(victim.pid()).code(3));
    for part in ["DEADLOCK", "mutex", "by this thread itself", "recursive"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let json: Value = serde_json::from_slice(&deadlocks(&["--json"]).out).unwrap();
    let found = findings(&json, &[victim.pid()]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["verdict"], "deadlock");
    assert_eq!(found[0]["certainty"], "proven");
    assert_eq!(found[0]["facilities"], serde_json::json!(["mutex"]));
    let core = found[0]["core"].as_array().unwrap();
    assert_eq!(core.len(), 1);
    assert_eq!(core[0]["waits"][0]["wakers"][0]["tid"], victim.pid());
    // By its name too.
    let named = text(&wigwag(["why", "relocked"]).ends().code(3));
    assert!(
        named.contains(&format!("relocked[{}]", victim.pid())),
        "{named}"
    );
}

#[test]
fn a_forgotten_write_end_is_a_deadlock_and_a_leak() {
    let victim = forgetful();
    let pid = victim.pid();
    let said = text(&why(pid).code(3));
    for part in ["DEADLOCK", "pipe:[", "write end, descriptor", "O_CLOEXEC"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let leaks: Value =
        serde_json::from_slice(&wigwag(["leaks", "pipe", "--json"]).prints()).unwrap();
    let ours: Vec<&Value> = leaks["leaks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|object| {
            let holders = object["holders"].as_array().unwrap();
            holders.iter().all(|holder| holder["pid"] == pid)
        })
        .collect();
    assert_eq!(ours.len(), 1, "{ours:#?}");
    assert_eq!(ours[0]["facility"], "pipe");
    assert_eq!(ours[0]["leak"]["kind"], "never_ends", "{:#}", ours[0]);
    assert!(
        ours[0]["leak"]["reason"]
            .as_str()
            .unwrap()
            .contains("write end")
    );
    // Its name leads to it, and its process.
    let name = ours[0]["name"].as_str().unwrap();
    let shown = wigwag(["show", name]).says();
    for part in [&format!("[{pid}]"), "reads", "writes", "waits", "leaked"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    let shown = wigwag(["show", &pid.to_string()]).says();
    assert!(
        shown.starts_with(&format!("process {pid} ")) && shown.contains(name),
        "{shown}"
    );
    // A pipe has no name that could be removed.
    let dry = wigwag(["rm", "--leaked", "--dry-run"]).says();
    assert!(!dry.contains(name), "{dry}");
}

#[test]
fn who_is_not_stuck_is_not_blamed() {
    let waits = Victim::python("ready()\nsys.stdin.read()", &[]);
    let said = text(&why(waits.pid()).code(0));
    assert!(!said.contains("DEADLOCK"), "{said}");
    let found = wigwag(["deadlocks", "--json", "--all"]).ends();
    let json: Value = serde_json::from_slice(&found.out).unwrap();
    for finding in findings(&json, &[waits.pid()]) {
        assert!(
            !["deadlock", "dead_end"].contains(&finding["verdict"].as_str().unwrap()),
            "{finding:#}"
        );
    }
    wigwag(["why", "no-such-name"])
        .ends()
        .code(1)
        .one_line(&["no-such-name"]);
    wigwag(["show", "mq:/no-such-queue"])
        .ends()
        .code(1)
        .one_line(&["mq:/no-such-queue"]);
    wigwag(["show", "4194304"])
        .ends()
        .code(1)
        .one_line(&["4194304"]);
}

#[test]
fn a_machine_without_a_deadlock_ends_well() {
    // Of a pid namespace of its own, where nobody is but the command.
    let unshare = ["--pid", "--fork", "--mount-proc", WIGWAG, "deadlocks"];
    assert_eq!(run("unshare", unshare).says(), "no deadlock\n");
}

#[test]
fn forgotten_objects_are_listed_with_reason_and_removed_only_there() {
    let (queue, memory) = (unique("leaked"), unique("leaked"));
    // IPC, memory, sockets and processes of its own: nobody else's leaks are touched.
    let script = format!(
        "set -e\n\
         mount -t tmpfs none /dev/shm\n\
         ip link set lo up 2>/dev/null || true\n\
         {WIGWAG} create mq:/{queue}\n\
         {WIGWAG} create shm:/{memory}\n\
         {WIGWAG} create shm:/used-{memory}\n\
         exec 9</dev/shm/used-{memory}\n\
         echo leaks; {WIGWAG} leaks mq shm\n\
         echo dry; {WIGWAG} rm --leaked --dry-run\n\
         echo rm; {WIGWAG} rm --leaked\n\
         echo after; {WIGWAG} ls mq shm -o address\n\
         echo end\n"
    );
    let unshare = [
        "--ipc",
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--mount-proc",
        "sh",
        "-c",
        &script,
    ];
    let said = run("unshare", unshare).says();
    let part = |from: &str, to: &str| {
        let (_, rest) = said.split_once(&format!("{from}\n")).unwrap();
        let (part, _) = rest
            .split_once(&format!("{to}\n"))
            .unwrap_or_else(|| panic!("{said}"));
        part.to_owned()
    };
    let (queue, memory, used) = (
        format!("mq:/{queue}"),
        format!("shm:/{memory}"),
        format!("shm:/used-{memory}"),
    );
    let leaks = part("leaks", "dry");
    for leaked in [&queue, &memory] {
        let line = leaks
            .lines()
            .find(|line| line.starts_with(&format!("{leaked} ")))
            .unwrap_or_else(|| panic!("{leaked} is not in {said}"));
        assert!(
            line.contains("certain") && line.contains("no process has it open"),
            "{line}"
        );
    }
    assert!(!leaks.contains(&used), "{said}");
    let both = format!("{queue}\n{memory}\n");
    assert_eq!(part("dry", "rm"), both);
    assert_eq!(part("\nrm", "after"), both);
    let after = part("after", "end");
    assert!(
        after.contains(&used) && !after.contains(&queue) && !after.contains(&memory),
        "{said}"
    );
}

#[test]
fn what_somebody_uses_is_removed_only_by_force() {
    let name = unique("used");
    for (address, script) in [
        (
            format!("mq:/{name}"),
            "import posix_ipc\nq = posix_ipc.MessageQueue(sys.argv[1])\nready()\nsys.stdin.read()",
        ),
        (
            format!("shm:/{name}"),
            "f = os.open('/dev/shm' + sys.argv[1], os.O_RDWR)\nready()\nsys.stdin.read()",
        ),
    ] {
        let object = Object::new(&*address);
        // The module, or the message which package has it.
        drop(process::python("posix_ipc", ""));
        let user = Victim::python(script, &[&format!("/{name}")]);
        let pid = user.pid().to_string();
        wigwag(["rm", &object])
            .ends()
            .code(1)
            .one_line(&[&object, &pid]);
        let shown = wigwag(["show", &object]).says();
        assert!(shown.contains(&format!("[{pid}]")), "{shown}");
        wigwag(["rm", "--force", &object]).ends().code(0);
        wigwag(["show", &object]).ends().code(1);
        drop(user);
        let unused = Object::new(&*address);
        wigwag(["rm", "--dry-run", &unused]).ends().code(0);
        wigwag(["rm", &unused]).ends().code(0);
        wigwag(["rm", &unused]).ends().code(1);
        wigwag(["rm", "--force", &unused]).ends().code(0);
    }
}

#[test]
fn the_listing_is_narrowed_by_name_process_and_waiting() {
    let directory = Directory::new();
    let [first, second] = crossed(&directory);
    let lock = |name: &str| format!("flock:{}", directory.file(name).display());
    let (a, b) = (lock("a"), lock("b"));
    let lines = |arguments: &[&str]| -> Vec<String> {
        let ended = wigwag([&["ls", "-o", "address,waiters"], arguments].concat()).ends();
        let said = text(&ended);
        // The last line may tell of processes that could not be looked into.
        let table = said.lines().filter(|line| !line.starts_with("of "));
        table.map(str::to_owned).collect()
    };
    let has = |lines: &[String], address: &str| {
        lines
            .iter()
            .any(|line| line.split(' ').next() == Some(address))
    };
    let waiting = lines(&["flock", "--waiting"]);
    assert_eq!(
        waiting[0].split_whitespace().collect::<Vec<_>>(),
        ["ADDRESS", "WAITERS"]
    );
    // The first has a and waits for b; the second the other way about.
    for (address, waiter) in [(&b, &first), (&a, &second)] {
        assert!(
            waiting
                .iter()
                .any(|line| line.starts_with(&format!("{address} "))
                    && line.contains(&format!("[{}]", waiter.pid()))),
            "{waiting:#?}"
        );
    }
    let queue = Object::new(format!("mq:/{}", unique("idle")));
    assert!(has(&lines(&["mq"]), &queue));
    assert!(!has(&lines(&["mq", "--waiting"]), &queue));
    let of_first = lines(&["--pid", &first.pid().to_string()]);
    assert!(
        has(&of_first, &a) && has(&of_first, &b) && !has(&of_first, &queue),
        "{of_first:#?}"
    );

    let bare = queue.strip_prefix("mq:/").unwrap();
    let glob = format!("{}?", &bare[..bare.len() - 1]);
    for glob in [bare, &glob, &queue, &format!("*{}", &bare[3..])] {
        let named = lines(&["--name", glob]);
        assert_eq!(named.len(), 2, "{glob}: {named:#?}");
        assert!(has(&named, &queue));
    }
    assert_eq!(lines(&["--name", "no-such-*"]).len(), 1, "the heading only");

    // The columns in their order, and none that does not exist.
    let table = wigwag(["ls", "mq", "--name", bare, "-o", "HOLDERS,facility,address"]).says();
    let cells: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(cells[0], ["HOLDERS", "FACILITY", "ADDRESS"]);
    assert_eq!(cells[1], ["0", "mq", &queue]);
    wigwag(["ls", "-o", "address,colour"]).ends().code(2);
}

#[test]
fn a_segment_is_shown_with_its_type_and_creator() {
    use wigwag::memory::segment::Segment;
    let name = format!("/{}", unique("segment"));
    let segment = Segment::create(&name, std::sync::atomic::AtomicU64::new(7)).unwrap();
    let shown = wigwag(["show", &format!("shm:{name}")]).ends();
    Segment::<std::sync::atomic::AtomicU64>::unlink(&name).unwrap();
    drop(segment);
    let shown = text(&shown.code(0));
    let own = std::process::id().to_string();
    for (fact, value) in [
        ("segment ", "Atomic"),
        ("segment state", "ready"),
        ("segment value bytes", "8"),
        ("segment creator ", &own),
        ("segment creator alive", "yes"),
    ] {
        assert!(
            shown
                .lines()
                .any(|line| line.trim_start().starts_with(fact) && line.contains(value)),
            "{fact} {value} is not in {shown}"
        );
    }
}
