//! The verdict, the chain and the advice of `why`, and the watchdog.

use super::victim::{Flavour, Victim, path, text};
use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use wigwag_observe::watchdog::Watchdog;
use wigwag_observe::why::{Standing, Why, why};

fn one(target: u32) -> Why {
    let mut answers = why(&target.to_string(), &Default::default()).expect("the victim is there");
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

#[test]
fn a_deadlock_is_followed_once_round() {
    let lock = path("lock");
    let victim = Victim::c("kernel.c", Flavour::Glibc, &["mixed", text(&lock)])
        .cleaning(&[&lock])
        .settled(&["A", "B", "C"]);
    let answer = one(victim.pid("B"));
    assert_eq!(answer.standing, Standing::Deadlock, "{answer}");
    let chain: Vec<u32> = answer.chain.iter().map(|link| link.tid).collect();
    assert_eq!(
        chain,
        [victim.tid("B"), victim.tid("C"), victim.tid("A")],
        "{answer}"
    );
    assert!(
        answer.chain.iter().all(|link| link.since.is_some()),
        "{answer}"
    );
    assert!(
        answer
            .to_string()
            .starts_with("DEADLOCK: 3 threads wait for each other (proven)"),
        "{answer}"
    );
    let json: serde_json::Value = serde_json::from_str(&answer.to_json()).expect("valid JSON");
    assert_eq!(json["verdict"], "deadlock");
    assert_eq!(json["chain"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_chain_ends_at_its_root() {
    let victim = Victim::spawn(Command::new("sh").args(["-c", "sleep 1000 | cat | wc >/dev/null"]));
    let named = |name: &str| {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let found = victim.processes().into_iter().find(|pid| {
                std::fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|comm| comm.trim() == name)
                    && std::fs::read_to_string(format!("/proc/{pid}/syscall")).is_ok_and(|call| {
                        // wc and cat in read, sleep in clock_nanosleep.
                        call.starts_with(if name == "sleep" { "230 " } else { "0 " })
                    })
            });
            if let Some(pid) = found {
                return pid;
            }
            assert!(Instant::now() < end, "no {name}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let (wc, cat, sleep) = (named("wc"), named("cat"), named("sleep"));
    std::thread::sleep(Duration::from_millis(100));
    let answer = one(wc);
    assert_eq!(answer.standing, Standing::Blocked, "{answer}");
    assert_eq!(
        answer.chain.iter().map(|link| link.pid).collect::<Vec<_>>(),
        [wc, cat, sleep],
        "{answer}"
    );
    assert_eq!(
        answer.roots().map(|link| link.pid).collect::<Vec<_>>(),
        [sleep],
        "{answer}"
    );
    assert_eq!(one(sleep).standing, Standing::Sleeping);
}

#[test]
fn stopped_running_waiting_and_ones_own_pipe_are_told_apart() {
    let victim = Victim::c("kernel.c", Flavour::Glibc, &["stopped"]).settled(&["A", "B"]);
    assert_eq!(one(victim.pid("B")).standing, Standing::Stopped);
    let behind = one(victim.pid("A"));
    assert_eq!(behind.standing, Standing::Blocked, "{behind}");
    assert!(
        behind
            .advice
            .iter()
            .any(|text| text.contains(&format!("kill -CONT {}", victim.pid("B")))),
        "{behind}"
    );

    let victim = Victim::c("kernel.c", Flavour::Glibc, &["signal"]).settled(&["A"]);
    assert_eq!(one(victim.pid("A")).standing, Standing::WaitingForInput);

    let victim = Victim::c("stream.c", Flavour::Glibc, &["pipe_own_end"]).settled(&["A"]);
    let own = one(victim.pid("A"));
    assert_eq!(own.standing, Standing::Deadlock);
    assert!(
        own.advice.iter().any(|text| text.contains("O_CLOEXEC")),
        "{own}"
    );

    let victim = Victim::spawn(Command::new("sh").args(["-c", "while :; do :; done"]));
    assert_eq!(one(victim.leader()).standing, Standing::Running);
}

#[test]
fn a_process_that_is_not_there_is_an_error() {
    let error =
        why("no-such-process-at-all", &Default::default()).expect_err("nobody has that name");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn the_watchdog_barks_at_a_deadlock_of_its_own_process_and_only_once() {
    // In a process of its own: the other tests' threads are live and could, for all we know, unlock these.
    if std::env::var_os("WIGWAG_WATCHDOG_CHILD").is_none() {
        let output = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "why::the_watchdog_barks_at_a_deadlock_of_its_own_process_and_only_once",
                "--nocapture",
            ])
            .env("WIGWAG_WATCHDOG_CHILD", "1")
            .output()
            .expect("run the test again");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    let (bark, barked) = channel();
    let watchdog = Watchdog::start(Duration::from_millis(50), move |graph, finding| {
        let _ = bark.send((
            finding.core.len(),
            graph.findings_to_json(std::slice::from_ref(finding)),
        ));
    })
    .expect("start");
    // pthread mutexes record their owner, so that a deadlock inside a process that goes on is proven.
    struct Pthread(std::cell::UnsafeCell<libc::pthread_mutex_t>);
    // SAFETY: a pthread mutex is made to be used by several threads through its address.
    unsafe impl Sync for Pthread {}
    static LOCKS: [Pthread; 2] =
        [const { Pthread(std::cell::UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER)) }; 2];
    let both = Arc::new(Barrier::new(2));
    for (first, second) in [(0, 1), (1, 0)] {
        let both = Arc::clone(&both);
        std::thread::spawn(move || {
            // SAFETY: the mutexes are static and initialised.
            unsafe { libc::pthread_mutex_lock(LOCKS[first].0.get()) };
            both.wait();
            // SAFETY: as above.
            unsafe { libc::pthread_mutex_lock(LOCKS[second].0.get()) };
        });
    }
    let (size, json) = barked
        .recv_timeout(Duration::from_secs(20))
        .expect("it barks");
    assert_eq!(size, 2, "{json}");
    assert!(json.contains(r#""certainty":"proven""#), "{json}");
    assert!(
        barked.recv_timeout(Duration::from_millis(500)).is_err(),
        "it barks twice"
    );
    drop(watchdog);
    // The two would hold up the end of the test.
    std::process::exit(0);
}
