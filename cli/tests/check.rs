//! Check: every facility of the catalog has a line, works here, and leaves nothing behind.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use std::os::unix::fs::PermissionsExt;

use command::{eventually, run, wigwag};
use rustix::process::Signal;
use wigwag::catalog::CATALOG;
use wigwag::pattern::channel::FLAVOURS;

/// What a check with this process id has made and not removed: names, and System V keys.
fn left_behind(check: i32) -> Vec<String> {
    let ours = format!("wigwag-check-{check}-");
    let mut found = Vec::new();
    for directory in ["/dev/shm", "/dev/mqueue", "/tmp"] {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains(&ours) {
                found.push(format!("{directory}/{name}"));
            }
        }
    }
    for table in ["msg", "shm", "sem"] {
        let text = std::fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap();
        // Its keys hold its process id above nine bits of a count.
        let key = |line: &str| line.split_whitespace().next()?.parse::<i64>().ok();
        let of_check =
            |key: &i64| *key >> 9 == (0x4000_0000 | i64::from(check & 0x1f_ffff) << 9) >> 9;
        found.extend(
            text.lines()
                .filter_map(key)
                .filter(of_check)
                .map(|key| format!("{table} {key:#x}")),
        );
    }
    found
}

#[test]
fn every_facility_of_the_catalog_is_verified_and_nothing_is_left() {
    let check = wigwag(["check", "--json"]).start();
    let pid = check.pid();
    let ended = check.ends();
    let json: serde_json::Value = serde_json::from_slice(&ended.out).unwrap();
    assert_eq!(json["version"], 1);
    let checks = json["checks"].as_array().unwrap();
    let mut expected = Vec::new();
    for entry in CATALOG {
        match entry.facility.id {
            "channel" => expected.extend(FLAVOURS.map(|(name, _)| ("channel", Some(name)))),
            id => expected.push((id, None)),
        }
    }
    assert_eq!(checks.len(), expected.len());
    for (check, (id, flavour)) in checks.iter().zip(expected) {
        assert_eq!(check["scheme"], id);
        assert_eq!(check["flavour"].as_str(), flavour);
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
    assert!(left_behind(pid).is_empty(), "{:?}", left_behind(pid));
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
    // Without room for names in shared memory.
    let script = format!(
        "mount -t tmpfs -o ro none /dev/shm && exec '{}' check --json channel mailbox shm rpc+channel",
        command::WIGWAG
    );
    let ended = run("unshare", ["-Urm", "sh", "-c", &script]).ends().code(0);
    let json: serde_json::Value = serde_json::from_slice(&ended.out).unwrap();
    for check in json["checks"].as_array().unwrap() {
        assert_eq!(check["verdict"], "not_usable", "{check:#}");
    }
    // A user who may have no more processes can make an object, but no second process: that is a failure.
    let directory = process::Directory::new();
    let own = directory.file("wigwag");
    std::fs::copy(command::WIGWAG, &own).unwrap();
    for path in [own.parent().unwrap(), &own] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let user = [
        "--reuid=54321",
        "--regid=54321",
        "--clear-groups",
        "prlimit",
        "--nproc=3",
    ];
    let own = own.to_str().unwrap();
    let ended = run(
        "setpriv",
        [&user[..], &[own, "check", "--json", "eventfd"]].concat(),
    )
    .ends()
    .code(1);
    let json: serde_json::Value = serde_json::from_slice(&ended.out).unwrap();
    assert_eq!(json["checks"][0]["verdict"], "fails");
    assert!(
        json["checks"][0]["why"]
            .as_str()
            .unwrap()
            .contains("temporarily unavailable"),
        "{json:#}"
    );
}

#[test]
fn an_interrupt_puts_everything_away() {
    for signal in [Signal::INT, Signal::TERM] {
        let check = wigwag(["check"]).start();
        let children = format!("/proc/{0}/task/{0}/children", check.pid());
        let pid = check.pid();
        eventually("something is there", || !left_behind(pid).is_empty());
        let second = std::fs::read_to_string(&children).unwrap();
        check.signal(signal);
        check.ends().code(128 + signal.as_raw());
        assert!(left_behind(pid).is_empty(), "{:?}", left_behind(pid));
        for pid in second.split_whitespace() {
            eventually("the second process is gone", || {
                let command =
                    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                !command.contains("wigwag")
            });
        }
    }
}

#[test]
fn without_a_network_the_rest_works() {
    // A new network namespace has a loopback interface that is down; pids are new as well.
    let arguments = ["-pf", "--mount-proc", "--net", "--ipc", command::WIGWAG];
    let check = [
        "check", "--json", "tcp", "udp", "unix", "mq", "signal", "sem",
    ];
    let ended = run("unshare", arguments.into_iter().chain(check))
        .ends()
        .code(0);
    let json: serde_json::Value = serde_json::from_slice(&ended.out).unwrap();
    for check in json["checks"].as_array().unwrap() {
        let network = check["scheme"] == "tcp" || check["scheme"] == "udp";
        let expected = if network { "not_usable" } else { "works" };
        assert_eq!(check["verdict"], expected, "{check:#}");
    }
}
