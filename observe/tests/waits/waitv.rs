//! Sleeps on several futexes at a time.

use super::victim::{Flavour, Victim};
use wigwag_observe::graph::Certainty;

const PROVEN: Certainty = Certainty::Proven;

#[test]
fn a_sleep_on_several_words_is_ended_by_whoever_has_one_of_them() {
    for flavour in [Flavour::Glibc, Flavour::Glibc32, Flavour::Musl] {
        let victim = Victim::c("waitv.c", flavour, &["waitv"]).settled(&["A", "B"]);
        let report = victim.deadlock(PROVEN, "futex", &["A", "B"]);
        report
            .held_by(&victim, "A", &["B"])
            .held_by(&victim, "B", &["A"]);
        let wait = report.wait(victim.tid("A"));
        assert_eq!(
            wait["why"], "sleeps on 2 words: waits for a word to change",
            "{wait}"
        );
        for (case, roles) in [
            ("waitv_live", &["A"][..]),
            ("waitv_limited", &["A"]),
            ("waitv_shared", &["A"]),
        ] {
            Victim::c("waitv.c", flavour, &[case])
                .settled(roles)
                .nothing();
        }
        // Neither has only private words, and the page that both have has no name.
        let victim = Victim::c("waitv.c", flavour, &["waitv_shared_all"]).settled(&["A", "B"]);
        victim
            .deadlock(PROVEN, "futex", &["A", "B"])
            .held_by(&victim, "A", &["B"]);
    }
}

#[test]
fn of_several_owned_words_each_owner_must_be_stuck() {
    for flavour in [Flavour::Glibc, Flavour::Glibc32] {
        let roles = &["A", "B", "C"];
        let victim = Victim::c("waitv.c", flavour, &["waitv_owned"]).settled(roles);
        victim
            .deadlock(PROVEN, "mutex", roles)
            .held_by(&victim, "A", &["B", "C"])
            .held_by(&victim, "B", &["A"]);
        let victim = Victim::c("waitv.c", flavour, &["waitv_owned_live"]).settled(roles);
        victim.nothing();
    }
}
