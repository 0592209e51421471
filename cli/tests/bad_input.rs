//! Bad input: one clear line on standard error and the exit code, whatever is typed.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use command::{Object, run, wigwag};
use process::unique;

/// The address, the exit code, and what the line has to say.
fn table() -> Vec<(OsString, i32, Vec<&'static str>)> {
    let rows: Vec<(String, i32, Vec<&'static str>)> = vec![
        ("".into(), 2, vec!["the scheme is missing"]),
        ("jobs".into(), 2, vec!["the scheme is missing"]),
        (":/jobs".into(), 2, vec!["scheme"]),
        (
            "nonsense:/jobs".into(),
            2,
            vec!["there is no facility nonsense", "mq"],
        ),
        ("mq:".into(), 2, vec!["the name is empty"]),
        ("mq:jobs".into(), 2, vec!["must begin with a slash"]),
        ("mq:/".into(), 2, vec!["nothing after the slash"]),
        (
            "mq:/a/b".into(),
            2,
            vec!["only the first character may be a slash"],
        ),
        ("mq:/..".into(), 2, vec!["directory"]),
        (
            format!("mq:/{}", "x".repeat(256)),
            2,
            vec!["256 bytes", "255"],
        ),
        ("mq:/a%00b".into(), 2, vec!["NUL"]),
        (
            "mq:/jobs?colour=red".into(),
            2,
            vec!["option colour=red", "no such option"],
        ),
        (
            "mq:/wigwag-missing".into(),
            1,
            vec!["/wigwag-missing", "no such file"],
        ),
        ("sysv-mq:zero".into(), 2, vec!["a key is"]),
        ("sysv-mq:0".into(), 2, vec!["IPC_PRIVATE"]),
        ("sysv-mq:#x".into(), 2, vec!["identifier"]),
        ("sysv-mq:0x6badbad1".into(), 1, vec!["0x6badbad1"]),
        ("shm:/wigwag-missing".into(), 1, vec!["/wigwag-missing"]),
        (format!("unix:/{}", "s".repeat(120)), 2, vec!["107"]),
        ("unix:/nowhere/wigwag".into(), 1, vec!["/nowhere/wigwag"]),
        (
            "unix-dgram:@wigwag-missing-abstract".into(),
            1,
            vec!["@wigwag-missing-abstract"],
        ),
        ("tcp:localhost".into(), 2, vec!["port"]),
        ("tcp:localhost:99999".into(), 2, vec!["65535"]),
        ("tcp:::1:80".into(), 2, vec!["brackets"]),
        ("tcp:127.0.0.1:1".into(), 1, vec!["127.0.0.1:1"]),
        ("fifo:/nowhere/wigwag".into(), 1, vec!["/nowhere/wigwag"]),
        ("pipe:name".into(), 2, vec!["has no name"]),
        ("sem:/wigwag-missing".into(), 2, vec!["carries no data"]),
    ];
    let mut rows: Vec<_> = rows
        .into_iter()
        .map(|(a, code, words)| (OsString::from(a), code, words))
        .collect();
    rows.push((
        OsStr::from_bytes(b"mq:/\xff").to_owned(),
        2,
        vec!["not UTF-8", "%FF"],
    ));
    rows.push((
        OsStr::from_bytes(b"\xff\xfe").to_owned(),
        2,
        vec!["not UTF-8"],
    ));
    rows
}

#[test]
fn every_bad_address_gets_one_clear_line() {
    for (address, code, words) in table() {
        let arguments = [OsStr::new("send"), &address, OsStr::new("x")];
        wigwag(arguments).ends().code(code).one_line(&words);
    }
}

#[test]
fn an_address_that_is_not_utf_8_is_refused_by_every_command() {
    let odd = OsStr::from_bytes(b"mq:/\xff");
    for before in [
        &["create"][..],
        &["rm"],
        &["send"],
        &["recv"],
        &["acquire"],
        &["release"],
        &["lock"],
    ] {
        let mut arguments: Vec<&OsStr> = before.iter().map(OsStr::new).collect();
        arguments.push(odd);
        if before == ["lock"] {
            arguments.push(OsStr::new("true"));
        }
        wigwag(arguments).ends().code(2).one_line(&["not UTF-8"]);
    }
}

#[test]
fn an_object_of_somebody_else_is_refused_in_words() {
    // As nobody: the test runs as root, who may do everything.
    let as_nobody = |arguments: &[&str]| {
        let mut all = vec![
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            command::WIGWAG,
        ];
        all.extend(arguments);
        process::foreign("setpriv", "util-linux");
        run("setpriv", all)
    };
    // The binary has to be reachable for nobody, else this says nothing.
    as_nobody(&["--version"]).ends().code(0);
    for address in [
        format!("mq:/{}", unique("perm")),
        format!("sysv-mq:{}", command::key()),
        format!("shm:/{}?size=4096", unique("perm")),
        format!("sem:/{}?value=1", unique("perm")),
    ] {
        let object = Object::new(format!(
            "{address}{}mode=0600",
            if address.contains('?') { "&" } else { "?" }
        ));
        let verb: &[&str] = if address.starts_with("sem") {
            &["acquire", &object]
        } else {
            &["send", &object, "x"]
        };
        as_nobody(verb)
            .ends()
            .code(2)
            .one_line(&["permission denied"]);
        as_nobody(&["rm", &object])
            .ends()
            .code(2)
            .one_line(&["cannot remove"]);
    }
}

#[test]
fn what_exists_is_not_created_and_what_is_missing_is_not_removed() {
    for address in [
        format!("mq:/{}", unique("twice")),
        format!("sysv-mq:{}", command::key()),
        format!("shm:/{}?size=4096", unique("twice")),
        format!("sysv-shm:{}?size=4096", command::key()),
        format!("sem:/{}", unique("twice")),
        format!("sysv-sem:{}", command::key()),
        format!("channel:/{}", unique("twice")),
        format!("channel:/{}?flavour=latest", unique("twice")),
        format!("mailbox:/{}", unique("twice")),
    ] {
        let object = Object::new(&address);
        wigwag(["create", &address])
            .ends()
            .code(1)
            .one_line(&["cannot create", "exist"]);
        wigwag(["create", "--exist-ok", &address]).ends().code(0);
        wigwag(["rm", &object]).ends().code(0);
        wigwag(["rm", &object]).ends().code(1).one_line(&["cannot"]);
        wigwag(["rm", "--force", &object]).ends().code(0);
    }
}

#[test]
fn of_several_addresses_all_are_tried_and_the_first_failure_decides() {
    let (here, there) = (
        Object::new(format!("mq:/{}", unique("several"))),
        Object::new(format!("mq:/{}", unique("several"))),
    );
    let ended = wigwag(["rm", "mq:/wigwag-missing", &here, "mq:bad", &there])
        .ends()
        .code(1);
    assert_eq!(ended.err.lines().count(), 2);
    wigwag(["rm", &here]).ends().code(1);
    wigwag(["rm", &there]).ends().code(1);
}

#[test]
fn what_has_no_lasting_name_is_neither_created_nor_removed() {
    for address in ["pipe:", "memfd:", "eventfd:", "tcp:localhost:1"] {
        wigwag(["create", address])
            .ends()
            .code(2)
            .one_line(&["cannot create"]);
        wigwag(["rm", address])
            .ends()
            .code(2)
            .one_line(&["cannot remove"]);
    }
}

#[test]
fn options_of_the_command_that_mean_nothing_are_refused() {
    let queue = Object::new(format!("mq:/{}", unique("mean")));
    let memory = Object::new(format!("shm:/{}?size=4096", unique("mean")));
    for (arguments, words) in [
        (vec!["send", "--offset", "3", &queue, "x"], "--offset"),
        (vec!["send", "--listen", &queue, "x"], "--listen"),
        (vec!["recv", "--connect", &queue], "--connect"),
        (vec!["recv", "--length", "3", &queue], "--length"),
        (vec!["send", "--priority", "3", &memory, "x"], "--priority"),
        (vec!["send", "--type", "3", &memory, "x"], "--type"),
        (vec!["recv", "--follow", &memory], "--follow"),
        (vec!["recv", "--timeout", "1", &memory], "time-out"),
        (vec!["recv", "-n", "2", "fifo:/tmp/wigwag-missing"], "-n"),
        (vec!["recv", "--json", "tcp:localhost:1"], "--json"),
    ] {
        wigwag(arguments)
            .ends()
            .code(2)
            .one_line(&[words, "no meaning"]);
    }
}

#[test]
fn a_gate_that_nobody_else_could_have_is_refused() {
    for command in ["acquire", "release"] {
        wigwag([command, "eventfd:"])
            .ends()
            .code(2)
            .one_line(&["eventfd:?fd="]);
    }
    wigwag(["lock", "eventfd:", "--", "true"])
        .ends()
        .code(2)
        .one_line(&["eventfd:?fd="]);
}

#[test]
fn a_dry_run_finds_what_the_real_one_would() {
    wigwag([
        "rm",
        "--dry-run",
        "mq:/wigwag-missing",
        "fifo:/wigwag-missing",
    ])
    .ends()
    .code(1);
    let queue = Object::new(format!("mq:/{}", unique("dry")));
    wigwag(["rm", "--dry-run", &queue]).ends().code(0);
    wigwag(["send", &queue, "still there"]).ends().code(0);
}

#[test]
fn of_a_process_that_does_not_exist_nothing_is_listed() {
    wigwag(["ls", "--pid", "4194304"])
        .ends()
        .code(1)
        .one_line(&["no process 4194304"]);
}

#[test]
fn a_negative_time_is_told_as_what_it_is() {
    let ended = wigwag(["recv", "mq:/x", "--timeout", "-1"]).ends().code(2);
    assert!(
        ended.err.contains("a time is a number of seconds"),
        "{}",
        ended.err
    );
}

#[test]
fn a_negative_number_is_told_to_be_a_bad_value_and_minus_0_stays_an_option() {
    let ended = wigwag(["recv", "mq:/x", "-n", "-1"]).ends().code(2);
    assert!(ended.err.contains("invalid value '-1'"), "{}", ended.err);
    let queue = Object::new(format!("mq:/{}", unique("negative")));
    wigwag(["send", "-0", &queue])
        .input("a\0b\0")
        .ends()
        .code(0);
    wigwag(["send", &queue, "-0", "c"]).ends().code(0);
    let received = wigwag(["recv", "-0", "-n", "3", &queue]).prints();
    assert_eq!(received, b"a\0b\0c\0");
}

#[test]
fn objects_of_a_user_who_does_not_exist_are_not_looked_for() {
    let ended = wigwag(["ls", "--user", "nobody-of-that-name"]).ends();
    ended
        .code(2)
        .one_line(&["no user nobody-of-that-name", "id -u"]);
    wigwag(["ls", "--user", "4711"]).ends().code(0);
}

#[test]
fn a_check_without_enough_descriptors_says_which_limit_to_raise() {
    let check = "ulimit -n 20; exec \"$0\" check pipe";
    let ended = command::run("sh", ["-c", check, command::WIGWAG]).ends();
    ended
        .code(2)
        .one_line(&["RLIMIT_NOFILE is 20", "ulimit -n"]);
}
