//! System V, children, vfork, stopped, traced, frozen; and signals, which anybody may send.

use super::victim::{Flavour, Victim};
use std::path::PathBuf;
use wigwag_observe::graph::{Certainty, Verdict};

const PROVEN: Certainty = Certainty::Proven;

/// A victim with System V objects, which are removed at the end.
struct SystemV {
    victim: Victim,
    sets: Vec<i64>,
    queues: Vec<i64>,
}

impl SystemV {
    fn new(mut victim: Victim) -> SystemV {
        let (sets, queues) = (victim.said("semid"), victim.said("msgid"));
        SystemV {
            victim,
            sets,
            queues,
        }
    }
}

impl Drop for SystemV {
    fn drop(&mut self) {
        for &id in &self.sets {
            // SAFETY: IPC_RMID takes no further argument and touches no memory of ours.
            unsafe { libc::semctl(id as i32, 0, libc::IPC_RMID) };
        }
        for &id in &self.queues {
            // SAFETY: IPC_RMID ignores the buffer.
            unsafe { libc::msgctl(id as i32, libc::IPC_RMID, std::ptr::null_mut()) };
        }
    }
}

#[test]
fn system_v_semaphores_are_a_suspicion_by_who_took_them_last() {
    for flavour in [Flavour::Glibc, Flavour::Glibc32] {
        let victim =
            SystemV::new(Victim::c("kernel.c", flavour, &["sysv_sem"]).settled(&["A", "B"]));
        let report = victim
            .victim
            .deadlock(Certainty::Suspect, "sysv-sem", &["A", "B"]);
        report
            .held_by(&victim.victim, "A", &["B"])
            .held_by(&victim.victim, "B", &["A"]);
    }
}

#[test]
fn system_v_queues_are_a_suspicion_by_who_sent_last() {
    for flavour in [Flavour::Glibc, Flavour::Glibc32] {
        let victim =
            SystemV::new(Victim::c("kernel.c", flavour, &["sysv_mq"]).settled(&["A", "B"]));
        let report = victim
            .victim
            .deadlock(Certainty::Suspect, "sysv-mq", &["A", "B"]);
        report.held_by(&victim.victim, "A", &["B"]);
    }
}

#[test]
fn a_system_v_queue_that_nobody_has_used_says_nothing() {
    let victim =
        SystemV::new(Victim::c("kernel.c", Flavour::Glibc, &["sysv_mq_idle"]).settled(&["A"]));
    victim.victim.nothing();
}

#[test]
fn a_parent_and_a_child_that_wait_for_each_other() {
    for arguments in [&["waitpid"][..], &["waitpid", "any"]] {
        let victim = Victim::c("kernel.c", Flavour::Glibc, arguments).settled(&["A", "B"]);
        let report = victim.expect(
            Verdict::Deadlock,
            PROVEN,
            &["pipe", "waitpid"],
            &["A", "B"],
            &[],
        );
        report
            .held_by(&victim, "A", &["B"])
            .held_by(&victim, "B", &["A"]);
    }
}

#[test]
fn a_vfork_child_that_waits_for_its_parent() {
    let victim = Victim::c("kernel.c", Flavour::Glibc, &["vfork"]).settled(&["A", "B"]);
    let report = victim.expect(
        Verdict::Deadlock,
        PROVEN,
        &["pipe", "vfork"],
        &["A", "B"],
        &[],
    );
    report.held_by(&victim, "A", &["B"]);
}

#[test]
fn a_stopped_holder_is_told_with_those_behind_it() {
    let victim = Victim::c("kernel.c", Flavour::Glibc, &["stopped"]).settled(&["A", "B"]);
    let report = victim.expect(Verdict::Stopped, PROVEN, &["stop"], &["B"], &["A"]);
    report.held_by(&victim, "A", &["B"]);
}

#[test]
fn a_tracer_and_its_tracee() {
    let victim = Victim::c("kernel.c", Flavour::Glibc, &["traced"]).settled(&["A", "B"]);
    let report = victim.expect(
        Verdict::Deadlock,
        PROVEN,
        &["pipe", "ptrace"],
        &["A", "B"],
        &[],
    );
    report.held_by(&victim, "A", &["B"]);
}

#[test]
fn anybody_may_send_a_signal() {
    Victim::c("kernel.c", Flavour::Glibc, &["signal"])
        .settled(&["A"])
        .nothing();
}

/// A control group that is thawed and removed at the end.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Group> {
        ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .into_iter()
            .find_map(|root| {
                let path = PathBuf::from(root).join(format!("wigwag-waits-{}", std::process::id()));
                std::fs::create_dir(&path).ok()?;
                if path.join("cgroup.freeze").exists() {
                    return Some(Group(path));
                }
                let _ = std::fs::remove_dir(&path);
                None
            })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("cgroup.freeze"), "0");
        for _ in 0..200 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_frozen_holder_is_told_as_stopped() {
    // Making a group needs root, or a delegated tree; without either the kernel gives nothing to test.
    let Some(group) = Group::new() else {
        panic!(
            "cannot make a control group of version 2: run as root on a system with cgroup2 mounted"
        );
    };
    let victim = Victim::c("kernel.c", Flavour::Glibc, &["holder_sleeps"]).settled(&["A", "B"]);
    victim.nothing();
    std::fs::write(group.0.join("cgroup.procs"), victim.pid("B").to_string()).expect("move");
    std::fs::write(group.0.join("cgroup.freeze"), "1").expect("freeze");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !std::fs::read_to_string(group.0.join("cgroup.events"))
        .is_ok_and(|text| text.contains("frozen 1"))
    {
        assert!(std::time::Instant::now() < end, "the group does not freeze");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let report = victim.expect(Verdict::Stopped, PROVEN, &["freezer"], &["B"], &["A"]);
    report.held_by(&victim, "A", &["B"]);
    drop(victim);
}
