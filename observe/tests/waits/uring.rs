//! io_uring: who could complete a request the kernel does not tell; what the program's own memory says of it is a suspicion.

use super::victim::{Flavour, Victim};
use wigwag_observe::graph::{Certainty, State, Thread, Wait, WaitGraph};

const SUSPECT: Certainty = Certainty::Suspect;

fn victim(case: &str, roles: &[&str]) -> Victim {
    Victim::c("uring.c", Flavour::Glibc, &[case]).settled(roles)
}

fn wait<'g>(graph: &'g WaitGraph, victim: &Victim) -> &'g Wait {
    let thread = graph.thread(victim.tid("A"));
    match thread.map(|thread: &Thread| &thread.state) {
        Some(State::Waiting(wait)) => wait,
        _ => panic!("it waits: {thread:?}"),
    }
}

#[test]
fn a_wait_for_completions_says_how_far_the_ring_is_and_what_it_seems_to_wait_for() {
    for (case, limited) in [("plain", false), ("extended", false), ("limited", true)] {
        let mut victim = victim(case, &["A"]);
        if limited {
            victim.nothing();
        } else {
            // Only it could write the pipe.
            victim.deadlock(SUSPECT, "io_uring", &["A"]);
        }
        let graph = victim.look();
        let wait = wait(&graph, &victim);
        assert_eq!((wait.facility, wait.limited), ("io_uring", limited));
        assert!(wait.why.contains("the kernel does not tell"), "{wait:?}");
        let ring = victim.said("ring")[0];
        let told = format!(
            "io_uring, descriptor {ring}: requests taken 1, completions given 0, waiting until a descriptor is ready 1: pipe pipe:["
        );
        assert!(wait.resource.starts_with(&told), "{wait:?}");
    }
}

#[test]
fn two_of_whom_one_waits_by_its_ring_are_suspected() {
    let victim = victim("crossed", &["A", "B"]);
    let report = victim.expect(
        wigwag_observe::graph::Verdict::Deadlock,
        SUSPECT,
        &["io_uring", "pipe"],
        &["A", "B"],
        &[],
    );
    report
        .held_by(&victim, "A", &["B"])
        .held_by(&victim, "B", &["A"]);
}

#[test]
fn a_ring_whose_writer_lives_is_no_deadlock() {
    victim("served", &["A"]).nothing();
}

#[test]
fn who_has_an_end_registered_in_a_ring_can_use_it_without_a_descriptor() {
    let victim = victim("registered", &["A", "B"]);
    victim.nothing();
    let graph = victim.look();
    let wait = wait(&graph, &victim);
    let wakers = &wait.clauses[0].wakers;
    assert!(
        wakers
            .iter()
            .any(|waker| waker.role.contains("registered in its io_uring")),
        "{wait:?}"
    );
}
