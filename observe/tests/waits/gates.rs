//! The library's own gates: a mutex in a segment has its owner in its word, and its waiters nap. The victim is this test
//! program, run again.

use super::rust::{again, role, victim_of};
use super::victim::Victim;
use std::time::{Duration, Instant};
use wigwag::gate::Mutex;
use wigwag::memory::Segment;
use wigwag_observe::graph::{Certainty, Finding, Verdict, WaitGraph};

wigwag::shared! {
    /// Two locks.
    pub struct Pair {
        pub a: Mutex<u32>,
        pub b: Mutex<u32>,
            pub met: wigwag::gate::Semaphore,
        pub here: wigwag::gate::Semaphore,
        pub there: wigwag::gate::Semaphore,
    }
}

fn pair() -> Pair {
    let [met, here, there] = [0; 3].map(wigwag::gate::Semaphore::new);
    Pair {
        a: Mutex::new(0),
        b: Mutex::new(0),
        met,
        here,
        there,
    }
}

static LOCKS: [Mutex<u32>; 2] = [const { Mutex::new(0) }; 2];

/// Not a test by itself: the victims.
#[test]
fn cases() {
    let Ok(case) = std::env::var("WIGWAG_RUST_CASE") else {
        return;
    };
    let name = || std::env::var("WIGWAG_SEGMENT").expect("its name");
    match case.as_str() {
        "threads" => {
            let met = std::sync::Arc::new(std::sync::Barrier::new(2));
            let there = std::sync::Arc::clone(&met);
            std::thread::spawn(move || {
                role("B");
                let _b = LOCKS[1].lock().expect("lock");
                there.wait();
                let _a = LOCKS[0].lock().expect("lock");
            });
            role("A");
            let _a = LOCKS[0].lock().expect("lock");
            met.wait();
            let _b = LOCKS[1].lock().expect("lock");
        }
        "segment" => {
            let pair = Segment::create(name(), pair()).expect("create");
            let _a = pair.a.lock().expect("lock");
            let mut other = again("gates::cases", "other")
                .env("WIGWAG_SEGMENT", name())
                .spawn()
                .expect("second process");
            role("A");
            pair.met.acquire().expect("meet").forget();
            let _b = pair.b.lock().expect("lock");
            let _ = other.wait();
        }
        "other" => {
            let pair = Segment::<Pair>::open(name()).expect("open");
            role("B");
            let _b = pair.b.lock().expect("lock");
            pair.met.release(1).expect("meet");
            let _a = pair.a.lock().expect("lock");
        }
        "semaphores" => {
            let pair = Segment::create(name(), pair()).expect("create");
            let mut other = again("gates::cases", "signaller")
                .env("WIGWAG_SEGMENT", name())
                .spawn()
                .expect("second process");
            role("A");
            pair.met.acquire().expect("meet").forget();
            // Both wait for what nobody gives.
            pair.here.acquire().expect("wait").forget();
            let _ = other.wait();
        }
        "signaller" => {
            let pair = Segment::<Pair>::open(name()).expect("open");
            role("B");
            pair.met.release(1).expect("meet");
            if std::env::var_os("WIGWAG_LIMITED").is_some() {
                loop {
                    let _ = pair.there.acquire_timeout(Duration::from_millis(200));
                }
            }
            pair.there.acquire().expect("wait").forget();
        }
        "limited" => {
            let _a = LOCKS[0].lock().expect("lock");
            let waits = std::thread::spawn(|| {
                role("A");
                let _ = LOCKS[0].lock_timeout(Duration::from_secs(1000));
            });
            std::thread::sleep(Duration::from_secs(1000));
            let _ = waits.join();
        }
        _ => panic!("no case {case}"),
    }
    panic!("it went on");
}

/// The finding, as soon as no look falls on a moment in which a waiter looks around.
fn found(victim: &Victim) -> (WaitGraph, Vec<Finding>) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let graph = victim.look();
        let findings = graph.findings();
        if findings.len() == 1 {
            return (graph, findings);
        }
        assert!(Instant::now() < end, "{}", graph.to_json());
    }
}

#[test]
fn two_threads_at_two_mutexes() {
    let victim = victim_of("gates::cases", "threads", &[]).settled(&["A", "B"]);
    let (graph, findings) = found(&victim);
    let mut core = [victim.tid("A"), victim.tid("B")];
    core.sort_unstable();
    assert_eq!(
        (findings[0].verdict, findings[0].certainty),
        (Verdict::Deadlock, Certainty::Likely),
        "{}",
        graph.to_json()
    );
    assert_eq!(
        (&findings[0].core[..], &findings[0].facilities[..]),
        (&core[..], &["mutex"][..]),
        "{}",
        graph.to_json()
    );
}

#[test]
fn two_processes_at_two_mutexes_in_a_segment() {
    let name = format!("/wigwag-waits-{}", std::process::id());
    let victim =
        victim_of("gates::cases", "segment", &[("WIGWAG_SEGMENT", &name)]).settled(&["A", "B"]);
    let (graph, findings) = found(&victim);
    let _ = Segment::<Pair>::unlink(&name);
    let mut core = [victim.tid("A"), victim.tid("B")];
    core.sort_unstable();
    assert_eq!(
        (findings[0].verdict, &findings[0].core[..]),
        (Verdict::Deadlock, &core[..]),
        "{}",
        graph.to_json()
    );
    let wait = graph
        .thread(victim.tid("A"))
        .and_then(|thread| thread.wait())
        .expect("A waits");
    let holders: Vec<u32> = graph
        .members(&wait.clauses[0].wakers[0], victim.tid("A"))
        .iter()
        .map(|thread| thread.tid)
        .collect();
    assert_eq!(holders, [victim.tid("B")]);
}

#[test]
fn an_owner_that_sleeps_is_no_deadlock() {
    victim_of("gates::cases", "limited", &[])
        .settled(&["A"])
        .nothing();
}

#[test]
fn two_processes_at_two_semaphores_in_a_segment() {
    let name = format!("/wigwag-waits-sem-{}", std::process::id());
    let victim =
        victim_of("gates::cases", "semaphores", &[("WIGWAG_SEGMENT", &name)]).settled(&["A", "B"]);
    // Not before their naps have grown to the longest, 1.3 s after they began, are they believed to wait without a limit.
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let graph = victim.look();
        let findings = graph.findings();
        if let [finding] = &findings[..] {
            assert_eq!(
                (finding.verdict, finding.certainty),
                (Verdict::Deadlock, Certainty::Suspect),
                "{}",
                graph.to_json()
            );
            assert!(finding.facilities.contains(&"gate"), "{}", graph.to_json());
            assert!(
                ["A", "B"]
                    .iter()
                    .all(|role| finding.core.contains(&victim.tid(role))),
                "{}",
                graph.to_json()
            );
            break;
        }
        assert!(Instant::now() < end, "{}", graph.to_json());
    }
    let _ = Segment::<Pair>::unlink(&name);
}

#[test]
fn a_process_that_looks_every_200_ms_is_not_stuck() {
    let name = format!("/wigwag-waits-lim-{}", std::process::id());
    let variables = [("WIGWAG_SEGMENT", name.as_str()), ("WIGWAG_LIMITED", "1")];
    let mut victim = victim_of("gates::cases", "semaphores", &variables);
    victim.hear_all(&["A", "B"]);
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        let graph = victim.look();
        assert!(graph.findings().is_empty(), "{}", graph.to_json());
    }
    let _ = Segment::<Pair>::unlink(&name);
}
