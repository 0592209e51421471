//! Waits: what a command waits for shows as what it is, in one whole wait that a signal ends, with nothing left behind.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use std::os::unix::process::CommandExt;
use std::time::Duration;

use command::{Object, Running, WIGWAG, catches, eventually, key, wigwag};
use process::{Directory, unique};
use rustix::process::Signal;
use wigwag::pattern::channel::FLAVOURS;

/// A verb that waits for ever, and what `wigwag why` is to say of it.
struct Case {
    /// What it waits at, made before.
    object: Object,
    words: Vec<String>,
    says: String,
    /// It looks around now and then, as it does not wait alone.
    rounds: bool,
}

impl Case {
    fn new(verb: &str, object: Object, says: impl Into<String>) -> Self {
        Case {
            words: vec![verb.into(), object.to_string()],
            object,
            says: says.into(),
            rounds: false,
        }
    }

    fn and(mut self, word: &str) -> Self {
        self.words.push(word.into());
        self
    }

    fn rounds(mut self) -> Self {
        self.rounds = true;
        self
    }

    fn start(&self) -> Running {
        let run = wigwag(&self.words);
        // Input that never comes: only who sends reads it.
        let running = run.with(|command| {
            command.stdin(std::process::Stdio::piped());
        });
        waiting(running.start())
    }

    /// The same with a time-out, which is another wait.
    fn start_limited(mut self) -> (Self, Running) {
        self.words.insert(1, "--timeout=600".into());
        let run = wigwag(&self.words);
        let run = run.with(|command| {
            command.stdin(std::process::Stdio::piped());
        });
        let running = run.start();
        // Where the kernel has no time-out it looks again and again, so it is not seen to have come to rest.
        eventually("it notes signals", || catches(running.pid(), Signal::TERM));
        std::thread::sleep(Duration::from_millis(100));
        (self, running)
    }
}

/// One that has come to its wait: it sleeps, and does not run meanwhile.
fn waiting(running: Running) -> Running {
    let slept = || {
        let before = switches(running.pid());
        std::thread::sleep(Duration::from_millis(40));
        let text = std::fs::read_to_string(format!("/proc/{}/syscall", running.pid()));
        let asleep = text.is_ok_and(|text| !text.starts_with("running") && !text.is_empty());
        asleep && before > 0 && before == switches(running.pid())
    };
    eventually("it waits", slept);
    running
}

/// How often its main thread has gone to sleep.
fn switches(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.map_or(0, |count| count.trim().parse().unwrap())
}

fn cases(directory: &Directory) -> Vec<Case> {
    let path = |name: &str| directory.file(name).display().to_string();
    let named = |scheme: &str, options: &str| {
        let name = unique("wait");
        (Object::new(format!("{scheme}:/{name}{options}")), name)
    };
    let mut cases = Vec::new();
    let (object, name) = named("mq", "?depth=1");
    cases.push(Case::new("recv", object, name));
    let (object, name) = named("mq", "?depth=1");
    wigwag(["send", &object, "fills it"]).ends().code(0);
    cases.push(Case::new("send", object, name).and("no room"));
    let (key, other) = (key(), key());
    cases.push(Case::new(
        "recv",
        Object::new(format!("sysv-mq:{key}")),
        &key,
    ));
    let semaphores = Object::new(format!("sysv-sem:{other}?value=0"));
    cases.push(Case::new("acquire", semaphores, "sysv-sem"));
    let (object, name) = named("sem", "?value=0");
    cases.push(Case::new("acquire", object, name));
    let (object, name) = named("sem", "?value=0");
    cases.push(Case::new("lock", object, name).and("true"));
    let (object, name) = named("mailbox", "");
    cases.push(Case::new("recv", object, name));
    let (object, name) = named("mailbox", "");
    wigwag(["send", &object, "a letter"]).ends().code(0);
    cases.push(Case::new("send", object, name).and("another"));
    for (flavour, _) in FLAVOURS {
        let (object, name) = named("channel", &format!("?flavour={flavour}"));
        let case = Case::new("recv", object, name);
        // Who is one of many sleeps in rounds.
        cases.push(if flavour == "one-to-one" {
            case
        } else {
            case.rounds()
        });
    }
    for verb in ["recv", "send"] {
        let name = path(&format!("fifo-{verb}"));
        let fifo = Object::new(format!("fifo:{name}"));
        cases.push(Case::new(verb, fifo, name));
    }
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        let name = path(scheme);
        cases.push(Case::new(
            "recv",
            Object::later(format!("{scheme}:{name}")),
            name,
        ));
    }
    let name = path("listens");
    let object = Object::later(format!("unix:{name}"));
    cases.push(Case::new("send", object, name).and("--listen").and("x"));
    cases
}

#[test]
fn a_wait_is_whole_and_why_says_what_it_is_for() {
    let directory = Directory::new();
    for case in cases(&directory) {
        let running = case.start();
        if !case.rounds {
            let before = switches(running.pid());
            std::thread::sleep(Duration::from_millis(350));
            assert_eq!(
                before,
                switches(running.pid()),
                "{:?}: it wakes",
                case.words
            );
        }
        let ask = || {
            let why = wigwag(["why", &running.pid().to_string()]).ends();
            String::from_utf8(why.out).unwrap()
        };
        let mut said = ask();
        // A look may fall on the moment in which it begins a round.
        for _ in 0..20 {
            if !case.rounds || said.contains(&case.says) {
                break;
            }
            said = ask();
        }
        assert!(said.contains(&case.says), "{:?}: {said}", case.words);
        // None of them is stuck for good: somebody may come. (Of System V semaphores it is told who changed them last.)
        assert!(!said.contains("DEADLOCK"), "{:?}: {said}", case.words);
    }
}

#[test]
fn signals_end_a_wait_and_nothing_is_left() {
    let directory = Directory::new();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let few = matches!(signal, Signal::HUP | Signal::QUIT);
        let cases = cases(&directory).into_iter();
        for case in cases.take(if few { 3 } else { usize::MAX }) {
            let (case, running) = match signal {
                Signal::TERM => case.start_limited(),
                _ => {
                    let running = case.start();
                    (case, running)
                }
            };
            running.signal(signal);
            let ended = running.ends().code(128 + signal.as_raw());
            assert!(ended.out.is_empty() && ended.err.is_empty(), "{ended:?}");
            if case.object.contains("unix") {
                assert!(
                    !directory
                        .file(case.says.rsplit('/').next().unwrap())
                        .exists()
                );
            }
            // Whoever was there before can be followed.
            if case.object.starts_with("channel") {
                wigwag(["recv", "--nonblock", &case.object]).ends().code(1);
            }
        }
    }
    let left = std::fs::read_dir(directory.file("")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn keys_of_a_terminal_end_a_wait() {
    // The controlling terminal of a session of its own: what is typed there goes to who waits.
    let script = "import os, pty, sys, time\n\
        pid, master = pty.fork()\n\
        if pid == 0:\n    signal.signal(signal.SIGINT, signal.SIG_DFL)\n    os.execv(sys.argv[1], sys.argv[1:])\n\
        def asleep():\n    \
            try: return open(f'/proc/{pid}/syscall').read().split()[0] not in ('running', '-1') \\\n        \
                and 'wigwag' in open(f'/proc/{pid}/comm').read() and open(f'/proc/{pid}/stat').read().split()[2] == 'S'\n    \
            except OSError: return False\n\
        calm = 0\n\
        while calm < 20:\n    calm = calm + 1 if asleep() else 0\n    time.sleep(0.02)\n\
        os.write(master, b'\\x03')\n\
        _, status = os.waitpid(pid, 0)\n\
        print(os.waitstatus_to_exitcode(status))";
    let directory = Directory::new();
    for case in cases(&directory) {
        let mut python = process::python("pty", script);
        let ended = python.arg(WIGWAG).args(&case.words).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert_eq!(said.trim(), "130", "{:?}: {ended:?}", case.words);
    }
}

#[test]
fn a_signal_that_is_ignored_ends_nothing() {
    let gate = Object::new(format!("sem:/{}?value=0", unique("nohup")));
    for verb in [&["acquire", &gate][..], &["lock", &gate, "true"]] {
        let running = wigwag(verb).with(|command| {
            // SAFETY: `signal(2)` is allowed between fork and exec.
            unsafe {
                command.pre_exec(|| {
                    libc::signal(libc::SIGINT, libc::SIG_IGN);
                    libc::signal(libc::SIGHUP, libc::SIG_IGN);
                    Ok(())
                });
            }
        });
        let running = waiting(running.start());
        running.signal(Signal::INT);
        running.signal(Signal::HUP);
        let running = waiting(running);
        wigwag(["release", &gate]).ends().code(0);
        running.ends().code(0);
        if verb[0] == "lock" {
            wigwag(["acquire", &gate]).ends().code(0);
        }
    }
}

#[test]
fn two_that_hold_a_gate_each_and_want_the_others_are_a_deadlock() {
    let directory = Directory::new();
    let sem = || Object::new(format!("sem:/{}?value=1", unique("crossed")));
    let sysv = || Object::new(format!("sysv-sem:{}?value=1", key()));
    let flock = || Object::later(format!("flock:{}", directory.file(&unique("f")).display()));
    for [a, b] in [
        [sem(), sem()],
        [sysv(), sysv()],
        [sem(), flock()],
        [sysv(), sem()],
    ] {
        let place = directory.file("both");
        let inner = "touch \"$2.$$\"; until [ \"$(ls \"$2\".* | wc -l)\" = 2 ]; do sleep 0.02; done; exec \"$0\" lock \"$1\" true";
        let crossed = |first: &str, second: &str| {
            let place = place.to_str().unwrap();
            wigwag([
                "lock", first, "--", "sh", "-c", inner, WIGWAG, second, place,
            ])
            .start()
        };
        let (one, other) = (crossed(&a, &b), crossed(&b, &a));
        let holders = [one.pid(), other.pid()];
        eventually("the deadlock is found", || {
            let json = wigwag(["deadlocks", "--json"]).ends().out;
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            json["findings"].as_array().unwrap().iter().any(|finding| {
                let core = finding["core"].as_array().unwrap();
                let all = core.iter().map(|thread| thread["pid"].as_i64().unwrap());
                let all: Vec<i64> = all.collect();
                finding["verdict"] == "deadlock"
                    && holders
                        .iter()
                        .all(|holder| all.contains(&i64::from(*holder)))
            })
        });
        one.signal(Signal::TERM);
        other.signal(Signal::TERM);
        one.ends();
        other.ends();
        for file in std::fs::read_dir(directory.file("")).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}

#[test]
fn each_of_several_notices_that_their_reader_went_away() {
    let queues = [0, 1].map(|_| Object::new(format!("mq:/{}", unique("shared"))));
    let (reader, writer) = std::io::pipe().unwrap();
    let waiting = queues.each_ref().map(|queue| {
        let run = wigwag(["recv", "--follow", queue]);
        waiting(
            run.with(|command| {
                command.stdout(writer.try_clone().unwrap());
            })
            .start(),
        )
    });
    drop((reader, writer));
    for one in waiting {
        one.ends().code(0);
    }
}

#[test]
fn whatever_instant_a_receiver_is_interrupted_at_no_message_is_lost() {
    for (address, options) in [
        (format!("mq:/{}", unique("storm")), "?depth=10"),
        (format!("sysv-mq:{}", key()), ""),
        (format!("mailbox:/{}", unique("storm")), ""),
        (format!("channel:/{}", unique("storm")), "?capacity=1M"),
    ] {
        // On a loaded machine the first receiver may have taken all before it is interrupted.
        assert!(
            (0..20).any(|_| storm(&address, options) > 1),
            "{address}: always once"
        );
    }
}

/// Interrupts receivers until all messages have come, each once; how many it took.
fn storm(address: &str, options: &str) -> u64 {
    const COUNT: u32 = 3000;
    let lines: String = (0..COUNT).map(|n| format!("{n}\n")).collect();
    let object = Object::new(format!("{address}{options}"));
    // One that ends when all are taken, or at once where they all have room.
    let sender = wigwag(["send", "--lines", &object]).input(&lines).start();
    if object.starts_with("channel") {
        sender.ends().code(0);
    }
    let (mut came, mut runs) = (Vec::new(), 0_u64);
    while !came.ends_with(format!("\n{}\n", COUNT - 1).as_bytes()) {
        let receiver = wigwag(["recv", "--follow", &object]).start();
        // From before it has begun to when it is in full swing.
        std::thread::sleep(Duration::from_micros(700 * (1 + runs % 23)));
        receiver.signal(Signal::INT);
        let ended = receiver.ends();
        // So early that nothing was noted yet, or by what was noted.
        assert!(matches!(ended.status.code(), None | Some(130)), "{ended:?}");
        came.extend(ended.out);
        runs += 1;
    }
    assert!(came == lines.as_bytes(), "{address}: {} bytes", came.len());
    runs
}

#[test]
fn who_asks_again_a_second_later_ends_what_is_stuck() {
    let memory = Object::new(format!("shm:/{}?size=1M", unique("stuck")));
    // More than a pipe holds, and nobody who reads it.
    let (_reader, writer) = std::io::pipe().unwrap();
    let run = wigwag(["recv", &memory]).with(|command| {
        command.stdout(writer);
    });
    let running = waiting(run.start());
    running.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(400));
    // At once again is the same wish: whoever closes a terminal sends several.
    running.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(1000));
    running.signal(Signal::TERM);
    let ended = running.ends();
    let by = std::os::unix::process::ExitStatusExt::signal(&ended.status);
    assert_eq!(by, Some(Signal::TERM.as_raw()));
}
