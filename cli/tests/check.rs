//! Check: every facility of the catalog has a line, works here, and leaves nothing behind.

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use command::{eventually, run, wigwag};
use rustix::process::Signal;
use wigwag::catalog::CATALOG;

/// Objects with a name of ours that exist now.
#[allow(clippy::unwrap_used)] // support of tests, where a panic is the message
fn left_behind() -> Vec<String> {
    let mut found = Vec::new();
    for directory in ["/dev/shm", "/dev/mqueue", "/tmp"] {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap_or_default();
            if name.contains("wigwag-check") {
                found.push(format!("{directory}/{name}"));
            }
        }
    }
    found
}

/// The keys of System V objects.
#[allow(clippy::unwrap_used)] // support of tests, where a panic is the message
fn keys() -> Vec<String> {
    ["msg", "shm", "sem"]
        .iter()
        .flat_map(|table| {
            let text = std::fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap();
            let keys: Vec<String> = text
                .lines()
                .skip(1)
                .filter_map(|line| {
                    line.split_whitespace()
                        .next()
                        .map(|key| format!("{table}:{key}"))
                })
                // Those of a check, see its `key`.
                .filter(|key| {
                    key.split(':').next_back().unwrap().parse::<i64>().unwrap() >= 0x4000_0000
                })
                .collect();
            keys
        })
        .collect()
}

#[test]
fn every_facility_of_the_catalog_is_verified_and_nothing_is_left() {
    let before = keys();
    let ended = wigwag(["check", "--json"]).ends();
    let json: serde_json::Value = serde_json::from_slice(&ended.out).unwrap();
    assert_eq!(json["version"], 1);
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks.len(), CATALOG.len());
    for (check, entry) in checks.iter().zip(CATALOG) {
        assert_eq!(check["scheme"], entry.facility.id);
        assert_eq!(check["verdict"], "works", "{check:#}");
        assert!(
            check["round_trip"]["p50_ns"].as_u64().unwrap() > 0,
            "{check:#}"
        );
        assert!(check["round_trip"]["p99_ns"].as_u64() >= check["round_trip"]["p50_ns"].as_u64());
        assert!(
            check["rate_per_second"].as_f64().unwrap() > 0.0,
            "{check:#}"
        );
        assert!(
            check["verified_transfers"].as_u64().unwrap() >= 8,
            "{check:#}"
        );
    }
    assert!(
        json["took_seconds"].as_f64().unwrap() < 30.0,
        "{}",
        json["took_seconds"]
    );
    ended.code(0);
    let others: Vec<String> = left_behind();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(keys(), before);
}

#[test]
fn one_line_each_for_people() {
    let text = wigwag(["check", "mq", "anon"]).says();
    for id in ["mq", "anon"] {
        assert!(
            text.lines()
                .any(|line| line.starts_with(id) && line.contains("works")),
            "{text}"
        );
    }
    assert!(text.contains("2 work, 0 fail"), "{text}");
}

#[test]
fn what_fails_is_told_and_exits_1_and_what_is_not_usable_is_no_failure() {
    // In an IPC namespace of its own, which allows no System V queue: that is the machine's doing.
    let script = format!(
        "echo 0 > /proc/sys/kernel/msgmni && exec '{}' check --json sysv-mq",
        command::WIGWAG
    );
    let ended = run("unshare", ["--ipc", "sh", "-c", &script])
        .ends()
        .code(0);
    let json: serde_json::Value = serde_json::from_slice(&ended.out).unwrap();
    assert_eq!(json["checks"][0]["verdict"], "not_usable");
    assert!(
        json["checks"][0]["why"]
            .as_str()
            .unwrap()
            .contains("kernel.msgmni is 0"),
        "{json:#}"
    );
    // With few descriptors an object can be made, but no second process be reached: that is a failure.
    let script = format!(
        "ulimit -n 8; exec '{}' check --json eventfd",
        command::WIGWAG
    );
    let ended = run("sh", ["-c", &script]).ends().code(1);
    let json: serde_json::Value = serde_json::from_slice(&ended.out).unwrap();
    assert_eq!(json["checks"][0]["verdict"], "fails");
    assert!(
        json["checks"][0]["why"]
            .as_str()
            .unwrap()
            .contains("too many open files"),
        "{json:#}"
    );
}

#[test]
fn an_interrupt_puts_everything_away() {
    for signal in [Signal::INT, Signal::TERM] {
        let check = wigwag(["check"]).start();
        let children = format!("/proc/{0}/task/{0}/children", check.pid());
        let name = format!("wigwag-check-{}-", check.pid());
        eventually("something is there", || {
            left_behind().iter().any(|path| path.contains(&name))
        });
        let second = std::fs::read_to_string(&children).unwrap();
        check.signal(signal);
        check.ends().code(128 + signal.as_raw());
        assert!(
            !left_behind().iter().any(|path| path.contains(&name)),
            "{:?}",
            left_behind()
        );
        for pid in second.split_whitespace() {
            eventually("the second process is gone", || {
                let command =
                    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                !command.contains("wigwag")
            });
        }
    }
}
