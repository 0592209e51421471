//! flock, record locks, open file description locks, leases.

use super::victim::{Flavour, Victim, path, text};
use wigwag_observe::graph::{Certainty, State, Verdict};

const PROVEN: Certainty = Certainty::Proven;

#[test]
fn two_that_flock_each_others_file() {
    for flavour in [Flavour::Glibc, Flavour::Glibc32] {
        let (a, b) = (path("a"), path("b"));
        let victim = Victim::c("kernel.c", flavour, &["flock", text(&a), text(&b)])
            .cleaning(&[&a, &b])
            .settled(&["A", "B"]);
        let report = victim.deadlock(PROVEN, "flock", &["A", "B"]);
        report
            .held_by(&victim, "A", &["B"])
            .held_by(&victim, "B", &["A"]);
        assert_eq!(report.wait(victim.tid("A"))["resource"], text(&b));
    }
}

#[test]
fn a_lock_whose_taker_is_dead_belongs_to_the_child_that_inherited_it() {
    let a = path("a");
    let victim = Victim::c("kernel.c", Flavour::Glibc, &["flock_inherited", text(&a)])
        .cleaning(&[&a])
        .settled(&["A", "B"]);
    let report = victim.expect(
        Verdict::Deadlock,
        PROVEN,
        &["flock", "pipe"],
        &["A", "B"],
        &[],
    );
    report.held_by(&victim, "A", &["B"]);
}

#[test]
fn an_exclusive_lock_needs_every_shared_holder_to_let_go() {
    let a = path("a");
    let victim = Victim::c("kernel.c", Flavour::Glibc, &["flock_shared", text(&a)])
        .cleaning(&[&a])
        .settled(&["A", "B", "C"]);
    let report = victim.expect(
        Verdict::Deadlock,
        PROVEN,
        &["flock", "pipe"],
        &["A", "B"],
        &[],
    );
    report.held_by(&victim, "A", &["B", "C"]);
}

#[test]
fn a_record_lock_and_a_pipe() {
    for flavour in [Flavour::Glibc, Flavour::Glibc32] {
        let a = path("a");
        let victim = Victim::c("kernel.c", flavour, &["posix_and_pipe", text(&a)])
            .cleaning(&[&a])
            .settled(&["A", "B"]);
        let report = victim.expect(
            Verdict::Deadlock,
            PROVEN,
            &["lockf", "pipe"],
            &["A", "B"],
            &[],
        );
        report.held_by(&victim, "A", &["B"]);
        assert_eq!(
            report.wait(victim.tid("A"))["resource"],
            format!("{} bytes 0..14", text(&a))
        );
    }
}

#[test]
fn open_file_description_locks_have_holders_though_the_kernel_names_none() {
    for flavour in [Flavour::Glibc, Flavour::Glibc32] {
        let a = path("a");
        let victim = Victim::c("kernel.c", flavour, &["ofd", text(&a)])
            .cleaning(&[&a])
            .settled(&["A", "B"]);
        let report = victim.deadlock(PROVEN, "ofd", &["A", "B"]);
        report
            .held_by(&victim, "A", &["B"])
            .held_by(&victim, "B", &["A"]);
    }
}

#[test]
fn a_lease_is_broken_in_time_by_the_kernel() {
    let a = path("a");
    let victim = Victim::c("kernel.c", Flavour::Glibc, &["lease", text(&a)])
        .cleaning(&[&a])
        .settled(&["A", "B"]);
    victim.nothing();
    let graph = victim.look();
    let thread = graph.thread(victim.tid("A")).expect("A");
    match &thread.state {
        State::Waiting(wait) => {
            assert_eq!((wait.facility, wait.limited), ("lease", true));
            let holders = graph.members(&wait.clauses[0].wakers[0], 0);
            assert_eq!(holders[0].pid, victim.leader());
        }
        State::Live(why) => panic!("{why}"),
    }
}
