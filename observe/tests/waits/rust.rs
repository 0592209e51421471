//! Rust's own locks, which record no owner: what can be known of them. The victim is this test program, run again.

use super::victim::Victim;
use std::process::Command;
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock, mpsc};
use std::time::Duration;
use wigwag_observe::graph::{Certainty, Verdict};

/// Runs a case of [`cases`] in a process of its own.
fn victim(case: &str) -> Victim {
    victim_of("rust::cases", case, &[])
}

/// Runs a case of a test in a process of its own, with these variables besides.
pub fn victim_of(test: &str, case: &str, variables: &[(&str, &str)]) -> Victim {
    let program = std::env::current_exe().expect("this test");
    let mut command = Command::new("sh");
    // The harness writes to its standard output; the roles go to another descriptor.
    let script = r#"exec "$0" --exact "$1" --nocapture --test-threads 1 3>&1 >/dev/null 2>&1"#;
    command
        .args(["-c", script])
        .arg(program)
        .arg(test)
        .env("WIGWAG_RUST_CASE", case);
    Victim::spawn(command.envs(variables.iter().copied()))
}

/// The same from within a victim.
pub fn again(test: &str, case: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env("WIGWAG_RUST_CASE", case);
    command
}

/// Tells the role of the calling thread.
pub fn role(name: &str) {
    let tid = rustix::thread::gettid().as_raw_pid();
    let line = format!("role {name} {} {tid}\n", std::process::id());
    std::fs::write("/proc/self/fd/3", line).expect("tell the role");
}

/// Not a test by itself: the victims.
#[test]
fn cases() {
    let Ok(case) = std::env::var("WIGWAG_RUST_CASE") else {
        return;
    };
    let met = Arc::new(Barrier::new(2));
    match case.as_str() {
        "mutex" => {
            let locks = Arc::new((Mutex::new(()), Mutex::new(())));
            let (there, met_there) = (Arc::clone(&locks), Arc::clone(&met));
            std::thread::spawn(move || {
                role("B");
                let _b = there.1.lock();
                met_there.wait();
                let _a = there.0.lock();
            });
            role("A");
            let _a = locks.0.lock();
            met.wait();
            let _b = locks.1.lock();
        }
        "rwlock" => {
            let locks = Arc::new((RwLock::new(()), RwLock::new(())));
            let (there, met_there) = (Arc::clone(&locks), Arc::clone(&met));
            std::thread::spawn(move || {
                role("B");
                let _b = there.1.read();
                met_there.wait();
                let _a = there.0.write();
            });
            role("A");
            let _a = locks.0.write();
            met.wait();
            let _b = locks.1.write();
        }
        "parking_lot" => {
            let locks = Arc::new((parking_lot::Mutex::new(()), parking_lot::Mutex::new(())));
            let (there, met_there) = (Arc::clone(&locks), Arc::clone(&met));
            std::thread::spawn(move || {
                role("B");
                let _b = there.1.lock();
                met_there.wait();
                let _a = there.0.lock();
            });
            role("A");
            let _a = locks.0.lock();
            met.wait();
            let _b = locks.1.lock();
        }
        "parking_lot_live" => {
            let locks = Arc::new((parking_lot::Mutex::new(()), parking_lot::Mutex::new(())));
            let (there, met_there) = (Arc::clone(&locks), Arc::clone(&met));
            std::thread::spawn(move || {
                role("B");
                let _b = there.1.lock();
                met_there.wait();
                let _a = there.0.lock();
            });
            std::thread::spawn(move || {
                role("A");
                let _a = locks.0.lock();
                met.wait();
                let _b = locks.1.lock();
            });
            std::thread::sleep(Duration::from_secs(1000));
        }
        "condvar" => {
            role("A");
            let pair = (Mutex::new(()), Condvar::new());
            let _guard = pair.1.wait(pair.0.lock().expect("lock"));
        }
        "channel" => {
            let (sender, receiver) = mpsc::channel::<()>();
            role("A");
            let _ = receiver.recv();
            drop(sender);
        }
        "join" => {
            let thread = std::thread::spawn(|| {
                role("B");
                std::thread::park();
            });
            role("A");
            let _ = thread.join();
        }
        _ => panic!("no case {case}"),
    }
    panic!("it went on");
}

/// The harness runs the case on a thread of its own and waits for it on the main thread, which is thus behind it, or in
/// the same knot, since any thread might unlock an ownerless lock.
fn is_stuck(case: &str, facility: &str, roles: &[&str]) {
    let victim = victim(case).settled(roles);
    let (graph, finding) = victim.found(&[]);
    assert_eq!(finding.verdict, Verdict::Deadlock, "{}", graph.to_json());
    assert_eq!(finding.certainty, Certainty::Proven, "{}", graph.to_json());
    assert!(
        finding.facilities.contains(&facility),
        "{}",
        graph.to_json()
    );
    assert!(
        roles.iter().all(|role| finding.involves(victim.tid(role))),
        "{}",
        graph.to_json()
    );
}

#[test]
fn a_whole_process_stuck_in_std_mutexes_is_proven() {
    is_stuck("mutex", "mutex", &["A", "B"]);
}

#[test]
fn a_whole_process_stuck_in_std_rwlocks_is_proven() {
    is_stuck("rwlock", "rwlock", &["A", "B"]);
}

#[test]
fn a_whole_process_stuck_in_parking_lot_mutexes_is_proven() {
    is_stuck("parking_lot", "mutex", &["A", "B"]);
}

#[test]
fn a_condvar_that_nobody_signals() {
    is_stuck("condvar", "condvar", &["A"]);
}

#[test]
fn a_channel_whose_sender_the_receiver_has_itself() {
    is_stuck("channel", "park", &["A"]);
}

#[test]
fn a_join_of_a_parked_thread() {
    is_stuck("join", "park", &["A", "B"]);
}

/// Only those two, and no more than suspected: a third thread is alive, which could own the locks for all that they say.
fn is_suspected(victim: Victim, facility: &str) {
    let report = victim.settled(&["A", "B"]);
    let found = report.deadlock(Certainty::Suspect, facility, &["A", "B"]);
    for (waiter, owner) in [("A", "B"), ("B", "A")] {
        let wait = found.wait(report.tid(waiter));
        let wakers = wait["wakers"].as_array().expect("wakers");
        let hints: Vec<u64> = wakers
            .iter()
            .filter(|waker| waker["role"] == "has the lock's address on its stack")
            .filter_map(|waker| waker["tid"].as_u64())
            .collect();
        assert_eq!(hints, [u64::from(report.tid(owner))], "{wait}");
    }
}

#[test]
fn two_threads_that_lock_two_mutexes_crosswise_are_suspected_by_their_stacks() {
    is_suspected(Victim::rust("locks.rs", &["mutex"]), "mutex");
}

#[test]
fn two_threads_that_lock_two_rwlocks_crosswise_are_suspected_by_their_stacks() {
    is_suspected(Victim::rust("locks.rs", &["rwlock"]), "rwlock");
}

#[test]
fn two_threads_that_lock_two_parking_lot_mutexes_crosswise_are_suspected_by_their_stacks() {
    is_suspected(victim("parking_lot_live"), "mutex");
}

#[test]
fn of_locks_in_statics_nothing_is_guessed() {
    Victim::rust("locks.rs", &["static"])
        .settled(&["A", "B"])
        .nothing();
}

#[test]
fn a_lock_whose_owner_sleeps_or_runs_is_no_deadlock() {
    for case in ["held", "runs"] {
        let roles: &[&str] = if case == "held" {
            &["A", "B", "C"]
        } else {
            &["A", "B"]
        };
        let mut victim = Victim::rust("locks.rs", &[case]).settled(roles);
        victim.hear_all(&["C"]);
        // A sleeps first for a third of a second, to be the last who asks.
        std::thread::sleep(Duration::from_millis(500));
        victim.nothing();
        let graph = victim.look();
        let waits = |role: &str| {
            let wait = graph
                .thread(victim.tid(role))
                .and_then(|thread| thread.wait());
            wait.map(|wait| wait.facility)
        };
        assert_eq!(
            (waits("A"), waits("B")),
            (Some("mutex"), Some("mutex")),
            "{case}"
        );
    }
}

#[test]
fn locks_that_are_handed_round_are_no_deadlock() {
    let mut victim = Victim::rust("locks.rs", &["handed"]);
    victim.hear_all(&["A", "B", "C", "D"]);
    for _ in 0..5 {
        victim.nothing();
    }
}
