//! Graphs made by hand: what must be found, and above all what must not.

use super::*;
use std::time::Instant;

fn waits(tid: u32, clauses: impl IntoIterator<Item = Clause>) -> Thread {
    of_process(tid, tid, clauses)
}

fn of_process(pid: u32, tid: u32, clauses: impl IntoIterator<Item = Clause>) -> Thread {
    let mut wait = Wait::new("pipe", format!("object of {tid}"), "test");
    wait.clauses.extend(clauses);
    Thread::waiting(pid, tid, "t", wait)
}

fn any(tids: &[u32]) -> Clause {
    Clause::any(tids.iter().map(|&tid| Waker::thread(tid)))
}

fn graph(threads: impl IntoIterator<Item = Thread>) -> WaitGraph {
    let mut graph = WaitGraph::new();
    threads.into_iter().for_each(|thread| graph.add(thread));
    graph
}

#[test]
fn a_cycle_of_locks_is_a_proven_deadlock_and_the_queue_is_behind_it() {
    let graph = graph([
        waits(1, [any(&[2])]),
        waits(2, [any(&[3])]),
        waits(3, [any(&[1])]),
        waits(4, [any(&[1])]),
        waits(5, [any(&[4])]),
        Thread::live(6, 6, "t", "runs"),
    ]);
    let findings = graph.findings();
    assert_eq!(findings.len(), 1);
    assert_eq!(
        (findings[0].verdict, findings[0].certainty),
        (Verdict::Deadlock, Certainty::Proven)
    );
    assert_eq!(findings[0].core, [1, 2, 3]);
    assert_eq!(findings[0].behind, [4, 5]);
}

#[test]
fn one_running_alternative_opens_a_cycle() {
    let graph = graph([
        waits(1, [any(&[2, 3])]),
        waits(2, [any(&[1])]),
        Thread::live(3, 3, "t", "runs"),
    ]);
    assert!(graph.findings().is_empty());
}

#[test]
fn a_running_thread_does_not_open_a_wait_for_all() {
    // An exclusive file lock against two shared holders: one of them runs, the other waits for us.
    let graph = graph([
        waits(1, [any(&[2]), any(&[3])]),
        waits(2, [any(&[1])]),
        Thread::live(3, 3, "t", "runs"),
    ]);
    let findings = graph.findings();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].core, [1, 2]);
}

#[test]
fn a_knot_is_found_where_no_single_cycle_proves_it() {
    let graph = graph([
        waits(1, [any(&[2, 3])]),
        waits(2, [any(&[3, 1])]),
        waits(3, [any(&[1, 2])]),
        waits(4, [any(&[1, 2, 3])]),
    ]);
    let findings = graph.findings();
    assert_eq!(findings.len(), 1);
    assert_eq!(
        (&findings[0].core[..], &findings[0].behind[..]),
        (&[1, 2, 3][..], &[4][..])
    );
}

#[test]
fn a_cycle_that_leans_on_a_deadlock_is_behind_it() {
    // 1 and 2 are dead. 3 and 4 wait for each other, but 4 could also be woken by 1.
    let graph = graph([
        waits(1, [any(&[2])]),
        waits(2, [any(&[1])]),
        waits(3, [any(&[4])]),
        waits(4, [any(&[3, 1])]),
    ]);
    let findings = graph.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (&findings[0].core[..], &findings[0].behind[..]),
        (&[1, 2][..], &[3, 4][..])
    );
}

#[test]
fn two_deadlocks_are_two_findings() {
    let graph = graph([
        waits(1, [any(&[2])]),
        waits(2, [any(&[1])]),
        waits(8, [any(&[9])]),
        waits(9, [any(&[8])]),
    ]);
    let cores: Vec<Vec<u32>> = graph
        .findings()
        .into_iter()
        .map(|finding| finding.core)
        .collect();
    assert_eq!(cores, [[1, 2], [8, 9]]);
}

#[test]
fn an_owner_that_is_gone_is_a_dead_end_and_a_lock_taken_twice_a_deadlock() {
    let gone = graph([waits(1, [any(&[77])])]);
    assert_eq!(gone.findings()[0].verdict, Verdict::DeadEnd);
    let twice = graph([waits(1, [any(&[1])])]);
    assert_eq!(twice.findings()[0].verdict, Verdict::Deadlock);
}

#[test]
fn the_last_thread_that_waits_for_other_threads_is_at_a_dead_end() {
    let alone = graph([of_process(1, 1, [Clause::one(Waker::others(1))])]);
    assert_eq!(alone.findings()[0].verdict, Verdict::DeadEnd);
    let own_pipe = graph([of_process(1, 1, [Clause::one(Waker::process(1))])]);
    assert_eq!(own_pipe.findings()[0].verdict, Verdict::Deadlock);
    let empty = graph([]);
    assert!(empty.findings().is_empty());
    let mut nobody = WaitGraph::new();
    let group = nobody.add_group(Vec::new());
    nobody.add(waits(1, [Clause::one(Waker::group(group))]));
    assert_eq!(nobody.findings()[0].verdict, Verdict::DeadEnd);
}

#[test]
fn a_barrier_that_lacks_a_party_is_a_deadlock_of_those_who_came() {
    let come = [1, 2].map(|tid| of_process(1, tid, [Clause::one(Waker::others(1))]));
    let mut graph = graph(come.clone());
    assert_eq!(graph.findings()[0].core, [1, 2]);
    graph.add(Thread::live(1, 3, "t", "on its way"));
    assert!(graph.findings().is_empty());
}

#[test]
fn a_stranger_makes_it_likely_and_alone_only_open() {
    let named = |tid, to: &[u32]| waits(tid, [any(to).outside(Outside::Named)]);
    let ring = graph([named(1, &[2]), named(2, &[1])]);
    let findings = ring.findings();
    assert_eq!(
        (findings[0].verdict, findings[0].certainty),
        (Verdict::Deadlock, Certainty::Likely)
    );
    let alone = graph([named(1, &[])]);
    assert_eq!(
        (alone.findings()[0].verdict, alone.findings()[0].certainty),
        (Verdict::OpenWait, Certainty::Likely)
    );
    // Two servers on one queue, to which nobody is connected: idle, not dead.
    let pool = graph([1, 2].map(|tid| {
        Thread::waiting(
            tid,
            tid,
            "t",
            Wait::new("mq", "/jobs", "empty").clause(any(&[1, 2]).outside(Outside::Named)),
        )
    }));
    assert_eq!(pool.findings()[0].verdict, Verdict::OpenWait);
}

#[test]
fn the_world_is_always_alive() {
    let graph = graph([
        waits(1, [any(&[1]).outside(Outside::World("a person".into()))]),
        waits(2, [any(&[1])]),
    ]);
    assert!(graph.findings().is_empty());
}

#[test]
fn a_time_limit_is_alive() {
    let mut limited = waits(1, [any(&[2])]);
    if let State::Waiting(wait) = &mut limited.state {
        wait.limited = true;
    }
    assert!(
        graph([limited, waits(2, [any(&[1])])])
            .findings()
            .is_empty()
    );
}

#[test]
fn a_descriptor_in_flight_spoils_the_proof_but_not_the_likelihood() {
    // The only writer is 2; but an unread message in a socket of 3, which runs, may carry another write end.
    let flight = Waker::thread(3).tier(Tier::Possible);
    let clause = Clause::any([Waker::thread(2), flight]);
    let graph = graph([
        waits(1, [clause]),
        waits(2, [any(&[1])]),
        Thread::live(3, 3, "t", "runs"),
    ]);
    let findings = graph.findings();
    assert_eq!(
        (findings.len(), findings[0].certainty),
        (1, Certainty::Likely)
    );
}

#[test]
fn an_opaque_process_that_may_hold_the_other_end_is_the_world() {
    let unseen = any(&[2]).outside(Outside::World("process 1, which may not be read".into()));
    assert!(
        graph([waits(1, [unseen]), waits(2, [any(&[1])])])
            .findings()
            .is_empty()
    );
}

#[test]
fn a_hint_makes_a_suspicion_only() {
    let taken = |tid, by| {
        waits(
            tid,
            [Clause::one(Waker::thread(by).tier(Tier::Hint)).outside(Outside::Anyone)],
        )
    };
    let findings = graph([taken(1, 2), taken(2, 1)]).findings();
    assert_eq!(
        (findings[0].verdict, findings[0].certainty),
        (Verdict::Deadlock, Certainty::Suspect)
    );
    let unknown = waits(1, [Clause::default().outside(Outside::Anyone)]);
    assert!(graph([unknown]).findings().is_empty());
}

#[test]
fn a_handler_may_end_what_the_process_waits_for_alone() {
    let mut threads = [1, 2].map(|tid| of_process(1, tid, [Clause::one(Waker::others(1))]));
    for thread in &mut threads {
        thread.handlers = true;
        if let State::Waiting(wait) = &mut thread.state {
            wait.by_handler = true;
        }
    }
    assert_eq!(graph(threads).findings()[0].verdict, Verdict::SignalWait);
}

#[test]
fn a_stopped_process_is_reported_only_when_somebody_waits_for_it() {
    let stopped = |tid| {
        let mut thread = of_process(9, tid, [Clause::default()]);
        if let State::Waiting(wait) = &mut thread.state {
            wait.halted = true;
        }
        thread
    };
    assert!(graph([stopped(9), stopped(10)]).findings().is_empty());
    let findings = graph([
        stopped(9),
        stopped(10),
        waits(1, [Clause::one(Waker::process(9))]),
    ])
    .findings();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].verdict, Verdict::Stopped);
    assert_eq!(
        (&findings[0].core[..], &findings[0].behind[..]),
        (&[9, 10][..], &[1][..])
    );
}

#[test]
fn json_dot_and_svg_survive_odd_names() {
    let odd = "a\"b\\\n<&>\u{1}é";
    let wait = |to| Wait::new("pipe", odd, odd).clause(Clause::one(Waker::thread(to).role(odd)));
    let graph = graph([
        Thread::waiting(1, 1, odd, wait(2)),
        Thread::waiting(2, 2, odd, wait(1)),
    ]);
    let json = graph.to_json();
    assert!(json.starts_with(r#"{"version":1,"findings":[{"verdict":"deadlock","certainty":"proven","facilities":["pipe"],"core":[{"pid":1,"tid":1,"#), "{json}");
    assert!(json.contains(r#""a\"b\\\n<&>\u0001é""#), "{json}");
    assert!(graph.to_dot().contains(r#"a\"b\\"#));
    let svg = graph.to_svg();
    assert!(svg.contains("&lt;&amp;&gt;") && !svg.contains('\u{1}'));
}

#[test]
fn ten_thousand_threads_are_solved_at_once() {
    let began = Instant::now();
    // A ring of ten thousand.
    let ring = graph((0..10_000).map(|tid| waits(tid + 1, [any(&[(tid + 1) % 10_000 + 1])])));
    let findings = ring.findings();
    assert_eq!((findings.len(), findings[0].core.len()), (1, 10_000));
    // A pool of ten thousand in one process, each waiting for any other.
    let pool = graph((1..=10_000).map(|tid| of_process(1, tid, [Clause::one(Waker::others(1))])));
    assert_eq!(pool.findings()[0].core.len(), 10_000);
    // Ten thousand in a row behind one that runs, and behind one that does not.
    for end in [
        Thread::live(10_001, 10_001, "t", "runs"),
        waits(10_001, [Clause::default()]),
    ] {
        let dead = end.wait().is_some();
        let row = graph(
            (1..=10_000)
                .map(|tid| waits(tid, [any(&[tid + 1])]))
                .chain([end]),
        );
        let findings = row.findings();
        assert_eq!(findings.len(), usize::from(dead));
        assert_eq!(
            findings.first().map_or(0, |finding| finding.behind.len()),
            if dead { 10_000 } else { 0 }
        );
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}
