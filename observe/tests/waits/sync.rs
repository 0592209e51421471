//! Readers–writer locks, conditions, barriers, semaphores, joins, stdio.

use super::victim::{Flavour, Victim, path};
use wigwag_observe::graph::{Certainty, Verdict};

const ALL: [Flavour; 3] = [Flavour::Glibc, Flavour::GlibcStatic, Flavour::Glibc32];

#[test]
fn rwlocks_name_their_writer() {
    for flavour in ALL {
        let victim = Victim::c("sync.c", flavour, &["rwlock"]).settled(&["A", "B"]);
        let report = victim.deadlock(Certainty::Proven, "rwlock", &["A", "B"]);
        report
            .held_by(&victim, "A", &["B"])
            .held_by(&victim, "B", &["A"]);
    }
}

#[test]
fn a_reader_is_not_recorded_so_any_other_thread_may_be_it() {
    let victim =
        Victim::c("sync.c", Flavour::Glibc, &["rwlock_held_by_reader"]).settled(&["A", "reader"]);
    let report = victim.expect(
        Verdict::Deadlock,
        Certainty::Proven,
        &["mutex", "rwlock"],
        &["A", "reader"],
        &[],
    );
    report
        .held_by(&victim, "A", &["reader"])
        .held_by(&victim, "reader", &["A"]);
}

#[test]
fn a_condition_that_nobody_is_left_to_signal() {
    for flavour in ALL {
        let victim = Victim::c("sync.c", flavour, &["condvar_alone"]).settled(&["A"]);
        victim.expect(
            Verdict::DeadEnd,
            Certainty::Proven,
            &["condvar"],
            &["A"],
            &[],
        );
        let victim = Victim::c("sync.c", flavour, &["condvar_all"]).settled(&["A", "B"]);
        victim.deadlock(Certainty::Proven, "condvar", &["A", "B"]);
    }
    let victim = Victim::c("sync.c", Flavour::Glibc, &["condvar_live"]).settled(&["A"]);
    victim.nothing();
}

#[test]
fn conditions_barriers_and_readers_of_musl() {
    for flavour in [Flavour::Musl, Flavour::MuslStatic] {
        let victim =
            |case: &str, roles: &[&str]| Victim::c("sync.c", flavour, &[case]).settled(roles);
        let alone = victim("condvar_alone", &["A"]);
        alone.expect(
            Verdict::DeadEnd,
            Certainty::Proven,
            &["condvar"],
            &["A"],
            &[],
        );
        let all = victim("condvar_all", &["A", "B"]);
        all.deadlock(Certainty::Proven, "condvar", &["A", "B"]);
        victim("condvar_live", &["A"]).nothing();
        // It sleeps on words of its parties' stacks, which say nothing of it.
        let barrier = victim("barrier", &["A", "B"]);
        barrier.deadlock(Certainty::Proven, "futex", &["A", "B"]);
        let read = victim("rwlock_held_by_reader", &["A", "reader"]);
        let core = &["A", "reader"];
        read.expect(
            Verdict::Deadlock,
            Certainty::Proven,
            &["mutex", "rwlock"],
            core,
            &[],
        );
    }
}

#[test]
fn a_barrier_that_lacks_a_party() {
    for flavour in ALL {
        let victim = Victim::c("sync.c", flavour, &["barrier"]).settled(&["A", "B"]);
        victim.deadlock(Certainty::Proven, "barrier", &["A", "B"]);
    }
}

#[test]
fn two_threads_that_join_each_other() {
    for flavour in [
        Flavour::Glibc,
        Flavour::GlibcStatic,
        Flavour::Glibc32,
        Flavour::Musl,
    ] {
        let victim = Victim::c("sync.c", flavour, &["join"]).settled(&["A", "B"]);
        let report = victim.deadlock(Certainty::Proven, "join", &["A", "B"]);
        report
            .held_by(&victim, "A", &["B"])
            .held_by(&victim, "B", &["A"]);
    }
}

#[test]
fn a_file_locked_by_flockfile_names_its_owner() {
    for flavour in ALL.into_iter().chain([Flavour::Musl, Flavour::MuslStatic]) {
        let victim = Victim::c("sync.c", flavour, &["stdio"]).settled(&["A", "B"]);
        let report = victim.deadlock(Certainty::Proven, "stdio", &["A", "B"]);
        report
            .held_by(&victim, "A", &["B"])
            .held_by(&victim, "B", &["A"]);
    }
}

#[test]
fn unnamed_semaphores_in_one_process_and_in_two() {
    for flavour in [
        Flavour::Glibc,
        Flavour::GlibcStatic,
        Flavour::Glibc32,
        Flavour::Musl,
    ] {
        for case in ["sem", "sem_shared"] {
            let victim = Victim::c("sync.c", flavour, &[case]).settled(&["A", "B"]);
            victim
                .deadlock(Certainty::Proven, "sem", &["A", "B"])
                .held_by(&victim, "A", &["B"]);
        }
    }
}

#[test]
fn a_stranger_could_post_a_named_semaphore_so_it_is_only_likely() {
    let (a, b) = (path("a"), path("b"));
    let name = |path: &std::path::Path| {
        format!(
            "/{}",
            path.file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default()
        )
    };
    let files =
        [&a, &b].map(|path| std::path::PathBuf::from(format!("/dev/shm/sem.{}", &name(path)[1..])));
    for more in [&[][..], &["after a kill"]] {
        let names = [name(&a), name(&b)];
        let arguments = ["sem_named", &names[0], &names[1]]
            .into_iter()
            .chain(more.iter().copied());
        let victim = Victim::c("sync.c", Flavour::Glibc, &arguments.collect::<Vec<_>>())
            .cleaning(&[&files[0], &files[1]])
            .settled(&["A", "B"]);
        victim.deadlock(Certainty::Likely, "sem", &["A", "B"]);
    }
}

#[test]
fn a_handler_that_may_post_makes_it_information() {
    let victim = Victim::c("sync.c", Flavour::Glibc, &["sem_handler"]).settled(&["A"]);
    victim.expect(
        Verdict::SignalWait,
        Certainty::Proven,
        &["sem"],
        &["A"],
        &[],
    );
}
