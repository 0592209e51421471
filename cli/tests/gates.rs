//! Gates: locked, acquired and released by the command, and by flock(1) and Python at the other end.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use command::{Object, WIGWAG, eventually, key, run, wigwag};
use process::{Directory, unique};
use rustix::process::Signal;

/// An address of every kind of gate with a name, free for one.
fn gates(directory: &Directory) -> Vec<Object> {
    let file = |scheme: &str| {
        let path = directory.file(scheme);
        Object::later(format!("{scheme}:{}", path.display()))
    };
    vec![
        file("flock"),
        file("lockf"),
        file("ofd"),
        Object::new(format!("sem:/{}?value=1", unique("gate"))),
        Object::new(format!("sysv-sem:{}?value=1", key())),
    ]
}

fn locked(gate: &str, script: &str) -> command::Run {
    wigwag(["lock", gate, "--", "sh", "-c", script])
}

#[test]
fn the_status_of_the_command_is_passed_on() {
    let directory = Directory::new();
    for gate in gates(&directory) {
        locked(&gate, "exit 0").ends().code(0);
        locked(&gate, "exit 7").ends().code(7);
        locked(&gate, "kill -9 $$").ends().code(137);
        locked(&gate, "kill -TERM $$").ends().code(143);
        wigwag(["lock", &gate, "wigwag-no-such-command"])
            .ends()
            .code(127)
            .one_line(&["wigwag-no-such-command"]);
        wigwag(["lock", &gate, "/dev/null"])
            .ends()
            .code(126)
            .one_line(&["/dev/null"]);
        // Left, whatever happened: it can be entered at once.
        wigwag(["lock", "--nonblock", &gate, "true"]).ends().code(0);
    }
}

#[test]
fn what_the_command_reads_and_prints_goes_through() {
    let directory = Directory::new();
    let gate = format!("flock:{}", directory.file("f").display());
    let printed = wigwag(["lock", &gate, "cat"]).input(b"\xff\0x").prints();
    assert_eq!(printed, b"\xff\0x");
    assert_eq!(
        wigwag(["lock", &gate, "--", "echo", "--shared", "-n"]).says(),
        "--shared -n\n"
    );
}

#[test]
fn a_gate_that_is_held_keeps_others_out_until_it_is_left() {
    let directory = Directory::new();
    for gate in gates(&directory) {
        let inside = directory.file("inside");
        let mut holder = locked(&gate, &format!("touch '{}'; read line", inside.display()))
            .with(|command| {
                command.stdin(std::process::Stdio::piped());
            })
            .start();
        eventually("the holder is inside", || inside.exists());
        wigwag(["lock", "-n", &gate, "true"])
            .ends()
            .code(1)
            .one_line(&["cannot"]);
        wigwag(["lock", "--timeout", "0.2", &gate, "true"])
            .ends()
            .code(124)
            .one_line(&["cannot"]);
        let waiter = locked(&gate, "echo mine").start();
        drop(holder.child().stdin.take());
        holder.ends();
        assert_eq!(waiter.ends().code(0).out, b"mine\n", "{}", &*gate);
        std::fs::remove_file(inside).unwrap();
    }
}

#[test]
fn shared_lets_in_who_asks_for_shared() {
    let directory = Directory::new();
    for scheme in ["flock", "lockf", "ofd"] {
        let gate = format!("{scheme}:{}", directory.file(scheme).display());
        let inner = format!("'{WIGWAG}' lock -n --shared '{gate}' echo both");
        let ended = wigwag(["lock", "--shared", &gate, "sh", "-c", &inner]).says();
        assert_eq!(ended, "both\n", "{scheme}");
        let inner = format!("'{WIGWAG}' lock -n '{gate}' echo both");
        wigwag(["lock", "--shared", &gate, "sh", "-c", &inner])
            .ends()
            .code(1);
    }
    let gate = Object::new(format!("sem:/{}?value=1", unique("shared")));
    wigwag(["lock", "--shared", &gate, "true"])
        .ends()
        .code(2)
        .one_line(&["shared"]);
}

#[test]
fn ranges_of_a_file_are_gates_of_their_own() {
    let directory = Directory::new();
    for scheme in ["lockf", "ofd"] {
        let gate = |range: &str| {
            format!(
                "{scheme}:{}?range={range}",
                directory.file(scheme).display()
            )
        };
        let other = format!("'{WIGWAG}' lock -n '{}' echo apart", gate("100..200"));
        assert_eq!(
            wigwag(["lock", &gate("0..100"), "sh", "-c", &other]).says(),
            "apart\n"
        );
        let same = format!("'{WIGWAG}' lock -n '{}' echo apart", gate("99..200"));
        wigwag(["lock", &gate("0..100"), "sh", "-c", &same])
            .ends()
            .code(1);
    }
}

#[test]
fn a_signal_is_passed_on_and_the_gate_is_left() {
    let directory = Directory::new();
    for gate in gates(&directory) {
        for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT")] {
            let inside = directory.file("inside");
            let script = format!(
                "trap 'echo told; exit 9' {name}; touch '{}'; while :; do sleep 0.05; done",
                inside.display()
            );
            let holder = locked(&gate, &script).start();
            eventually("the holder is inside", || inside.exists());
            holder.signal(signal);
            assert_eq!(holder.ends().code(9).out, b"told\n", "{}", &*gate);
            wigwag(["lock", "-n", &gate, "true"]).ends().code(0);
            std::fs::remove_file(inside).unwrap();
        }
    }
}

#[test]
fn who_waits_can_be_interrupted_and_takes_nothing() {
    let directory = Directory::new();
    for gate in gates(&directory) {
        let inside = directory.file("inside");
        let mut holder = locked(&gate, &format!("touch '{}'; read line", inside.display()))
            .with(|command| {
                command.stdin(std::process::Stdio::piped());
            })
            .start();
        eventually("the holder is inside", || inside.exists());
        for limit in [&[][..], &["--timeout", "600"]] {
            let words = [&["lock"][..], limit, &[&gate, "echo", "never"]].concat();
            let waiter = wigwag(words).start();
            std::thread::sleep(std::time::Duration::from_millis(300));
            waiter.signal(Signal::INT);
            assert!(waiter.ends().code(130).out.is_empty());
        }
        drop(holder.child().stdin.take());
        holder.ends();
        wigwag(["lock", "-n", &gate, "true"]).ends().code(0);
        std::fs::remove_file(inside).unwrap();
    }
}

#[test]
fn permits_are_taken_and_given_by_any_of_their_names() {
    for gate in [
        Object::new(format!("sem:/{}?value=0", unique("permit"))),
        Object::new(format!("sysv-sem:{}?value=0", key())),
    ] {
        wigwag(["acquire", "--nonblock", &gate])
            .ends()
            .code(1)
            .one_line(&["cannot"]);
        wigwag(["acquire", "--timeout", "0.2", &gate])
            .ends()
            .code(124)
            .one_line(&["cannot"]);
        for (give, take) in [("release", "acquire"), ("post", "wait"), ("V", "P")] {
            wigwag([give, &gate]).ends().code(0);
            wigwag([take, "--nonblock", &gate]).ends().code(0);
            wigwag([take, "--nonblock", &gate]).ends().code(1);
        }
        let waiter = wigwag(["acquire", &gate]).start();
        wigwag(["release", &gate]).ends().code(0);
        waiter.ends().code(0);
    }
}

#[test]
fn an_event_counter_goes_by_descriptor() {
    // The shell hands on what Python made: nobody else can name it.
    let script = format!(
        "import os, subprocess\nfd = os.eventfd(0, os.EFD_SEMAPHORE)\nos.set_inheritable(fd, True)\n\
         go = lambda *a: subprocess.run([{WIGWAG:?}, *a], close_fds=False).returncode\n\
         address = f'eventfd:?fd={{fd}}'\n\
         assert go('acquire', '--nonblock', address) == 1\nassert go('release', address) == 0\n\
         assert go('release', address) == 0\nassert os.eventfd_read(fd) == 1\n\
         assert go('acquire', address) == 0"
    );
    let done = process::python("subprocess", &script).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn a_file_lock_cannot_be_kept_and_says_what_to_use() {
    for verb in ["acquire", "release"] {
        for scheme in ["flock", "lockf", "ofd"] {
            wigwag([verb, &format!("{scheme}:/tmp/wigwag-lock")])
                .ends()
                .code(2)
                .one_line(&["wigwag lock"]);
        }
    }
    wigwag(["lock", "mq:/x", "true"])
        .ends()
        .code(2)
        .one_line(&["is no gate", "flock", "sem"]);
    wigwag(["send", "flock:/tmp/x", "y"])
        .ends()
        .code(2)
        .one_line(&["carries no data", "lock"]);
}

#[test]
fn flock_of_util_linux_and_ours_keep_each_other_out() {
    let directory = Directory::new();
    let path = directory.file("shared-with-flock");
    let path = path.to_str().unwrap();
    let gate = format!("flock:{path}");
    let flock = process::foreign("flock", "util-linux");
    let flock = flock.get_program().to_str().unwrap();
    let ours = format!("'{WIGWAG}' lock -n '{gate}' true");
    run(flock, [path, "-c", &ours]).ends().code(1);
    let theirs = format!("flock -n '{path}' true");
    wigwag(["lock", &gate, "sh", "-c", &theirs]).ends().code(1);
    run(flock, ["-n", path, "true"]).ends().code(0);
}

#[test]
fn python_semaphores_and_ours_are_the_same() {
    let posix = Object::new(format!("sem:/{}?value=0", unique("py")));
    let name = posix.strip_prefix("sem:").unwrap();
    let script =
        format!("import posix_ipc\ns = posix_ipc.Semaphore({name:?})\ns.release()\ns.release()");
    let done = process::python("posix_ipc", &script).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    wigwag(["acquire", "--nonblock", &posix]).ends().code(0);
    wigwag(["acquire", "--nonblock", &posix]).ends().code(0);
    wigwag(["acquire", "--nonblock", &posix]).ends().code(1);

    let sysv = Object::new(format!("sysv-sem:{}?value=0", key()));
    let number = sysv.strip_prefix("sysv-sem:").unwrap();
    wigwag(["release", &sysv]).ends().code(0);
    let script = format!(
        "import sysv_ipc\ns = sysv_ipc.Semaphore({number})\nassert s.value == 1, s.value\ns.acquire(0)\ns.release()"
    );
    let done = process::python("sysv_ipc", &script).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    wigwag(["acquire", "--nonblock", &sysv]).ends().code(0);
}
