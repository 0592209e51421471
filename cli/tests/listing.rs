//! Listing: what exists is listed with its address, owner, mode and how full it is.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use command::{Object, eventually, key, wigwag};
use process::{Directory, unique};

#[allow(clippy::unwrap_used)] // support of tests, where a panic is the message
fn listed(arguments: &[&str]) -> Vec<serde_json::Value> {
    let mut all = vec!["ls", "--json"];
    all.extend(arguments);
    let json: serde_json::Value = serde_json::from_slice(&wigwag(all).ends().out).unwrap();
    assert_eq!(json["version"], 1);
    json["objects"].as_array().unwrap().clone()
}

fn find(objects: &[serde_json::Value], address: &str) -> serde_json::Value {
    objects
        .iter()
        .find(|object| object["address"] == address)
        .unwrap_or_else(|| panic!("{address} is not listed"))
        .clone()
}

#[test]
fn queues_have_owner_mode_and_depth() {
    let posix = Object::new(format!("mq:/{}?depth=4&mode=0640", unique("ls")));
    let sysv = Object::new(format!("sysv-mq:{}?mode=0640", key()));
    for queue in [&posix, &sysv] {
        wigwag(["send", queue, "one", "two"]).ends().code(0);
        let object = find(&listed(&[]), queue);
        assert_eq!(object["mode"], 0o640, "{object:#}");
        assert_eq!(object["uid"], 0);
        assert!(
            object["fill"]
                .as_array()
                .unwrap()
                .iter()
                .any(|fill| fill["level"] == 2),
            "{object:#}"
        );
        let text = String::from_utf8(wigwag(["ls"]).ends().out).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(&**queue))
            .unwrap();
        assert!(line.contains("0640"), "{line}");
    }
}

#[test]
fn memory_and_semaphores_are_listed_by_address() {
    for address in [
        format!("shm:/{}?size=8192", unique("ls")),
        format!("sysv-shm:{}?size=8192", key()),
        format!("sem:/{}?value=3", unique("ls")),
        format!("sysv-sem:{}", key()),
    ] {
        let object = Object::new(address);
        let scheme = object.split(':').next().unwrap();
        find(&listed(&[scheme]), &object);
    }
}

#[test]
fn fifos_and_sockets_that_are_open_are_listed() {
    let directory = process::Directory::new();
    let path = directory.file("socket");
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let fifo = directory.file("fifo");
    let made = std::process::Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap();
    assert!(made.success());
    let open = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    eventually("both are listed", || {
        let objects = listed(&[]);
        let addresses: Vec<&str> = objects
            .iter()
            .filter_map(|object| object["address"].as_str())
            .collect();
        addresses.contains(&&*format!("unix:{}", path.display()))
            && addresses.contains(&&*format!("fifo:{}", fifo.display()))
    });
    drop((socket, open));
}

#[test]
fn an_odd_name_does_not_break_the_table() {
    use std::os::unix::ffi::OsStrExt;
    let name = [
        b"wigwag-odd-\n\x1b[31m-\xff-".as_slice(),
        std::process::id().to_string().as_bytes(),
    ]
    .concat();
    let path = std::path::Path::new("/dev/shm").join(std::ffi::OsStr::from_bytes(&name));
    std::fs::write(&path, "x").unwrap();
    let ended = wigwag(["ls", "shm"]).ends();
    std::fs::remove_file(&path).unwrap();
    let text = String::from_utf8(ended.out).unwrap();
    let line = text
        .lines()
        .find(|line| line.contains("wigwag-odd-"))
        .unwrap();
    assert!(
        line.contains("%FF") && line.contains("%0A") && !text.contains('\x1b'),
        "{line:?}"
    );
}

#[test]
fn an_object_is_shown_by_each_of_its_names() {
    let key = key();
    let set = Object::new(format!("sysv-sem:{key}"));
    let shown = |address: &str| -> serde_json::Value {
        serde_json::from_slice(&wigwag(["show", "--json", address]).prints()).unwrap()
    };
    let by_key = shown(&set);
    let object = &by_key["objects"][0];
    assert_eq!(object["facility"], "sysv-sem", "{by_key:#}");
    let by_id = shown(&format!("sysv-sem:#{}", object["id"]));
    assert_eq!(by_id["objects"][0]["address"], object["address"]);
}

#[test]
fn an_object_whose_key_comes_of_a_path_is_shown_and_removed_by_it() {
    let directory = Directory::new();
    let path = directory.file("key");
    std::fs::write(&path, "").unwrap();
    for scheme in ["sysv-mq", "sysv-shm", "sysv-sem"] {
        let address = |options| format!("{scheme}:{}{options}", path.display());
        let (first, other) = (
            Object::new(address("")),
            Object::later(address("?project=7")),
        );
        wigwag(["create", &other]).ends().code(0);
        wigwag(["show", &first]).ends().code(0);
        wigwag(["rm", "--dry-run", &other]).ends().code(0);
        wigwag(["rm", &other]).ends().code(0);
        wigwag(["rm", &other]).ends().code(1).one_line(&["no such"]);
        wigwag(["show", &first]).ends().code(0);
        wigwag(["rm", &first]).ends().code(0);
    }
}

#[test]
fn what_nobody_has_open_is_shown_as_a_name_in_the_file_system() {
    let directory = Directory::new();
    let path = directory.file("pipe");
    let address = format!("fifo:{}?mode=0640", path.display());
    wigwag(["create", &address]).ends().code(0);
    let shown = wigwag(["show", "--json", &address]).prints();
    let relative = wigwag(["show", "--json", "fifo:./pipe"])
        .with(|command| {
            command.current_dir(path.parent().unwrap());
        })
        .prints();
    let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
    let relative: serde_json::Value = serde_json::from_slice(&relative).unwrap();
    assert_eq!(shown["objects"][0]["mode"], 0o640, "{shown:#}");
    assert_eq!(
        relative["objects"][0]["address"],
        shown["objects"][0]["address"]
    );
}

#[test]
fn a_semaphore_whose_waiter_was_killed_is_not_in_use() {
    let semaphore = Object::new(format!("sem:/{}?value=0", unique("killed")));
    let mut waiter = wigwag(["acquire", &semaphore]).start();
    eventually("it waits", || {
        find(&listed(&["sem"]), &semaphore)["waiting"] == 1
    });
    wigwag(["rm", &semaphore]).ends().code(1);
    waiter.child().kill().unwrap();
    waiter.child().wait().unwrap();
    wigwag(["rm", &semaphore]).ends().code(0);
}

#[test]
fn who_waits_for_a_lock_by_the_command_is_seen_to_wait() {
    let directory = Directory::new();
    let file = directory.file("lock").display().to_string();
    for scheme in ["flock", "lockf", "ofd"] {
        let address = format!("{scheme}:{file}");
        let holder = wigwag(["lock", &address, "--", "sleep", "600"]).start();
        eventually("it is held", || {
            wigwag(["lock", "-n", &address, "--", "true"])
                .ends()
                .status
                .code()
                == Some(1)
        });
        let waiter = wigwag(["lock", &address, "--", "true"]).start();
        let pid = waiter.pid().to_string();
        eventually("the wait is seen", || {
            wigwag(["why", &pid]).says().starts_with("BLOCKED BY")
        });
        holder.signal(rustix::process::Signal::TERM);
        holder.ends().code(128 + 15);
        waiter.ends().code(0);
    }
}
