//! Containers: the same facilities where processes, networks and objects are numbered otherwise. Needs root.

use super::victim::{Flavour, Victim, path, pids, text};
use std::process::Command;
use wigwag_observe::graph::{Certainty, Verdict};

/// A victim behind `unshare`; its roles are renumbered as we see them.
fn contained(options: &[&str], source: &str, arguments: &[&str], roles: &[&str]) -> Victim {
    let program = Victim::program(source, Flavour::Glibc);
    let mut command = Command::new("unshare");
    command
        .args(options)
        .arg("--kill-child")
        .arg(program)
        .args(arguments);
    let mut victim = Victim::spawn(&mut command);
    victim.hear_all(roles);
    // In a new pid namespace the victim's own numbers are small: the last of NSpid.
    for role in roles {
        let inner = victim.tid(role);
        let outer = pids()
            .into_iter()
            .filter(|pid| victim.processes().contains(pid))
            .find(|pid| {
                let status =
                    std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                let line = status
                    .lines()
                    .find(|line| line.starts_with("NSpid:"))
                    .unwrap_or_default()
                    .to_owned();
                line.split_whitespace().last() == Some(&inner.to_string())
            });
        let outer = outer.unwrap_or_else(|| panic!("no process has the inner number {inner}"));
        victim.renumber(role, outer, outer);
    }
    let leader = victim.leader();
    victim.renumber("unshare", leader, leader);
    victim.rest(roles)
}

#[test]
fn the_owner_of_a_mutex_is_found_by_its_number_in_the_container() {
    let victim = contained(
        &["-pf", "--mount-proc"],
        "mutex.c",
        &["shared_recursive"],
        &["A", "B"],
    );
    let report = victim.expect(
        Verdict::Deadlock,
        Certainty::Proven,
        &["mutex"],
        &["A", "B"],
        &["unshare"],
    );
    report
        .held_by(&victim, "A", &["B"])
        .held_by(&victim, "B", &["A"]);
}

#[test]
fn a_child_in_a_container_is_waited_for_by_its_number_there() {
    let victim = contained(
        &["-pf", "--mount-proc"],
        "kernel.c",
        &["waitpid"],
        &["A", "B"],
    );
    let report = victim.expect(
        Verdict::Deadlock,
        Certainty::Proven,
        &["pipe", "waitpid"],
        &["A", "B"],
        &["unshare"],
    );
    report.held_by(&victim, "A", &["B"]);
}

#[test]
fn sockets_of_another_network_namespace() {
    for (case, facility) in [("unix_read", "unix"), ("tcp", "tcp")] {
        // The loopback device of a new namespace is down.
        let program = Victim::program("stream.c", Flavour::Glibc);
        let script = format!("ip link set lo up; exec {} {case}", text(&program));
        let victim = Victim::spawn(Command::new("unshare").args(["-n", "sh", "-c", &script]))
            .settled(&["A", "B"]);
        let report = victim.deadlock(Certainty::Proven, facility, &["A", "B"]);
        report.held_by(&victim, "A", &["B"]);
    }
}

#[test]
fn semaphores_of_another_ipc_namespace() {
    let program = Victim::program("kernel.c", Flavour::Glibc);
    let victim = Victim::spawn(
        Command::new("unshare")
            .arg("-i")
            .arg(program)
            .arg("sysv_sem"),
    )
    .settled(&["A", "B"]);
    victim
        .deadlock(Certainty::Suspect, "sysv-sem", &["A", "B"])
        .held_by(&victim, "A", &["B"]);
}

#[test]
fn file_locks_in_another_mount_namespace() {
    let (a, b) = (path("a"), path("b"));
    let program = Victim::program("kernel.c", Flavour::Glibc);
    let victim = Victim::spawn(Command::new("unshare").arg("-m").arg(program).args([
        "flock",
        text(&a),
        text(&b),
    ]))
    .cleaning(&[&a, &b])
    .settled(&["A", "B"]);
    victim
        .deadlock(Certainty::Proven, "flock", &["A", "B"])
        .held_by(&victim, "A", &["B"]);
}

#[test]
fn an_owner_outside_of_the_observers_container_is_not_taken_for_dead() {
    let memory = path("memory");
    let arguments = |case| ["mutex.c", case, text(&memory)];
    let [source, case, file] = arguments("shared_holder");
    let _owner = Victim::c(source, Flavour::Glibc, &[case, file])
        .cleaning(&[&memory])
        .settled(&["A"]);
    let script = r#""$0" shared_waiter "$1" & sleep 0.5; exec "$2" --exact capture::as_an_ordinary_user --nocapture"#;
    let output = Command::new("unshare")
        .args(["-pf", "--mount-proc", "--kill-child", "sh", "-c", script])
        .arg(Victim::program(source, Flavour::Glibc))
        .arg(file)
        .arg(std::env::current_exe().expect("this test"))
        .env("WIGWAG_USER_CASE", "1")
        .output()
        .expect("unshare does not start: install util-linux");
    let said = String::from_utf8_lossy(&output.stdout);
    let json = said
        .lines()
        .find_map(|line| line.find(r#"{"version""#).map(|at| &line[at..]));
    let json: serde_json::Value =
        serde_json::from_str(json.unwrap_or_else(|| panic!("{output:?}"))).expect("valid JSON");
    let findings = json["findings"].as_array().expect("findings");
    let [finding] = &findings[..] else {
        panic!("one: {json}");
    };
    let wait = &finding["core"][0]["waits"][0];
    assert_eq!(wait["facility"], "mutex", "{json}");
    assert_eq!(finding["certainty"], "likely", "{json}");
    assert_eq!(
        wait["wakers"][0]["role"], "may be outside of this container",
        "{json}"
    );
}
