//! Descriptors waited for in ways that few programs use; and what such a wait is no deadlock for.

use super::victim::{Flavour, Victim, path, text};
use wigwag_observe::graph::{Certainty, Verdict};

const PROVEN: Certainty = Certainty::Proven;

fn victim(arguments: &[&str], roles: &[&str]) -> Victim {
    Victim::c("descriptor.c", Flavour::Glibc, arguments).settled(roles)
}

#[test]
fn each_way_to_wait_at_a_descriptor_knows_who_has_the_other_end() {
    for (case, facilities) in [
        ("pidfd", &["pipe", "poll"][..]),
        ("splice", &["pipe"]),
        ("sendfile", &["pipe", "poll"]),
        ("readv", &["pipe"]),
        ("epoll_of_epoll", &["epoll", "pipe"]),
        ("recvmmsg", &["pipe", "unix-dgram"]),
        ("continued", &["pipe", "poll"]),
        ("tcp_unaccepted", &["tcp", "waitpid"]),
    ] {
        let victim = victim(&[case], &["A", "B"]);
        let report = victim.expect(Verdict::Deadlock, PROVEN, facilities, &["A", "B"], &[]);
        report
            .held_by(&victim, "A", &["B"])
            .held_by(&victim, "B", &["A"]);
    }
}

#[test]
fn a_timer_ends_by_itself_and_a_signal_may_come_from_anywhere() {
    for case in ["timer", "signal"] {
        victim(&[case], &["A", "B"]).nothing();
    }
}

#[test]
fn who_needs_two_permits_at_once_needs_both_who_have_one() {
    let roles = &["A", "B", "C"];
    let stuck = Ids(victim(&["sysv_both"], roles));
    let report = stuck.0.deadlock(Certainty::Suspect, "sysv-sem", roles);
    for owner in ["B", "C"] {
        let wakers = report.wakers(stuck.0.tid("A"));
        assert!(
            wakers.contains(&u64::from(stuck.0.tid(owner))),
            "{wakers:?}"
        );
    }
    // One of the two goes on: whoever needs both still waits, but not for ever, as far as can be known.
    let live = Ids(victim(&["sysv_both", "live"], roles));
    let graph = live.0.look();
    let alarms = graph
        .findings()
        .into_iter()
        .filter(|finding| finding.involves(live.0.tid("C")));
    assert_eq!(alarms.count(), 0, "{}", graph.to_json());
}

/// A victim whose System V set is removed with it.
struct Ids(Victim);

impl Drop for Ids {
    fn drop(&mut self) {
        for id in self.0.said("semid") {
            // SAFETY: removing takes an id and nothing else.
            unsafe { libc::semctl(id as i32, 0, libc::IPC_RMID) };
        }
    }
}

#[test]
fn a_fifo_whose_name_is_gone_may_have_got_another() {
    let fifo = path("fifo");
    let victim = victim(&["open_unlinked", text(&fifo)], &["A"]);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while fifo.exists() {
        assert!(std::time::Instant::now() < end, "it is unlinked");
    }
    let report = victim.expect(Verdict::OpenWait, Certainty::Likely, &["fifo"], &["A"], &[]);
    report.held_by(&victim, "A", &[]);
}
