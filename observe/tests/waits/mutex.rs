//! Mutexes of every kind and C library.

use super::victim::{Flavour, Victim};
use wigwag_observe::graph::{Certainty, Verdict};

fn each_holds_the_others(flavour: Flavour, kind: &str) {
    let victim = Victim::c("mutex.c", flavour, &[kind]).settled(&["A", "B"]);
    let report = victim.deadlock(Certainty::Proven, "mutex", &["A", "B"]);
    report
        .held_by(&victim, "A", &["B"])
        .held_by(&victim, "B", &["A"]);
}

macro_rules! kinds {
    ($($name:ident: $flavour:ident $kind:literal,)*) => { $(
        #[test]
        fn $name() {
            each_holds_the_others(Flavour::$flavour, $kind);
        }
    )* };
}

kinds! {
    a_normal_mutex_names_its_owner: Glibc "normal",
    a_recursive_mutex_names_its_owner: Glibc "recursive",
    an_errorcheck_mutex_names_its_owner: Glibc "errorcheck",
    an_adaptive_mutex_names_its_owner: Glibc "adaptive",
    a_robust_mutex_names_its_owner: Glibc "robust",
    a_shared_mutex_names_its_owner: Glibc "shared_normal",
    a_shared_recursive_mutex_names_its_owner: Glibc "shared_recursive",
    a_shared_robust_mutex_names_its_owner: Glibc "shared_robust",
    a_priority_inheriting_mutex_names_its_owner: Glibc "pi",
    a_static_program_has_owners: GlibcStatic "normal",
    a_static_program_has_robust_owners: GlibcStatic "robust",
    a_32_bit_program_has_owners: Glibc32 "normal",
    a_32_bit_program_has_recursive_owners: Glibc32 "recursive",
    a_32_bit_program_has_robust_owners: Glibc32 "shared_robust",
    a_recursive_mutex_of_musl_names_its_owner: Musl "recursive",
    an_errorcheck_mutex_of_musl_names_its_owner: Musl "errorcheck",
    a_robust_mutex_of_musl_names_its_owner: Musl "shared_robust",
}

#[test]
fn every_kind_of_every_c_library_names_its_owner() {
    let rare = [
        "recursive",
        "errorcheck",
        "robust",
        "pi",
        "shared_recursive",
        "shared_robust",
    ];
    for (flavour, kinds) in [
        (
            Flavour::GlibcStatic,
            &[&rare[..], &["adaptive", "shared_normal"]].concat()[..],
        ),
        (
            Flavour::Glibc32,
            &[&rare[..], &["adaptive", "shared_normal"]].concat(),
        ),
        (Flavour::Musl, &rare),
        (Flavour::MuslStatic, &rare),
    ] {
        for kind in kinds {
            each_holds_the_others(flavour, kind);
        }
    }
}

#[test]
fn a_mutex_taken_twice_waits_for_itself() {
    for flavour in [Flavour::Glibc, Flavour::GlibcStatic, Flavour::Glibc32] {
        let victim = Victim::c("mutex.c", flavour, &["self"]).settled(&["A"]);
        victim
            .deadlock(Certainty::Proven, "mutex", &["A"])
            .held_by(&victim, "A", &["A"]);
    }
}

#[test]
fn a_normal_mutex_of_musl_has_no_owner_but_a_whole_stuck_process_is_proven() {
    for flavour in [Flavour::Musl, Flavour::MuslStatic] {
        let victim = Victim::c("mutex.c", flavour, &["self"]).settled(&["A"]);
        victim.expect(Verdict::DeadEnd, Certainty::Proven, &["mutex"], &["A"], &[]);
    }
}

#[test]
fn an_owner_that_has_ended_is_a_dead_end() {
    let victim = Victim::c("mutex.c", Flavour::Glibc, &["owner_exited"]).settled(&["A"]);
    let report = victim.expect(Verdict::DeadEnd, Certainty::Proven, &["mutex"], &["A"], &[]);
    report.held_by(&victim, "A", &[]);
    let why = report.wait(victim.tid("A"))["why"]
        .as_str()
        .map(str::to_owned);
    assert!(
        why.is_some_and(|why| why.contains("has ended")),
        "{}",
        report.json
    );
}

#[test]
fn an_owner_that_was_killed_is_a_dead_end_even_as_a_zombie() {
    for flavour in [Flavour::Glibc, Flavour::GlibcStatic, Flavour::Glibc32] {
        for case in ["shared_owner_killed", "shared_owner_zombie"] {
            let victim = Victim::c("mutex.c", flavour, &[case]).settled(&["A"]);
            victim.expect(Verdict::DeadEnd, Certainty::Proven, &["mutex"], &["A"], &[]);
        }
    }
}

#[test]
fn a_mutex_locked_at_fork_is_told_as_such() {
    for flavour in [Flavour::Glibc, Flavour::GlibcStatic, Flavour::Glibc32] {
        let victim = Victim::c("mutex.c", flavour, &["at_fork"]).settled(&["A"]);
        let report = victim.expect(Verdict::DeadEnd, Certainty::Proven, &["mutex"], &["A"], &[]);
        let why = report.wait(victim.tid("A"))["why"]
            .as_str()
            .map(str::to_owned);
        assert!(
            why.is_some_and(|why| why.contains("at fork()")),
            "{}",
            report.json
        );
    }
}

#[test]
fn an_owner_that_sleeps_will_go_on() {
    let victim = Victim::c("mutex.c", Flavour::Glibc, &["live_owner"]).settled(&["A"]);
    victim.nothing();
}

#[test]
fn an_owner_that_reads_a_pipe_of_its_own_process_completes_the_cycle() {
    let victim =
        Victim::c("mutex.c", Flavour::Glibc, &["owner_waits_for_main"]).settled(&["A", "owner"]);
    victim.expect(
        Verdict::Deadlock,
        Certainty::Proven,
        &["mutex", "pipe"],
        &["A", "owner"],
        &[],
    );
}

#[test]
fn a_time_limit_ends_by_itself() {
    let victim = Victim::c("mutex.c", Flavour::Glibc, &["timed"]).settled(&["A"]);
    victim.nothing();
}
