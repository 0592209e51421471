//! Calls: `wigwag serve` answers and `wigwag call` asks, over every carrier, between real processes.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use std::time::Duration;

use command::{Object, PATIENCE, Running, eventually, wigwag};
use process::Directory;
use rustix::process::Signal;
use wigwag::Kind;
use wigwag::pattern::rpc::Client;

/// An address of its own for each carrier.
fn addresses(stem: &str) -> [String; 4] {
    let unique = format!("wigwag-{stem}-{}", std::process::id());
    [
        format!("rpc+unix:@{unique}"),
        format!("rpc+tcp:127.0.0.1:{}", process::port()),
        format!("rpc+mq:/{unique}"),
        format!("rpc+channel:/{unique}"),
    ]
}

/// A server that answers already. What it leaves when it is killed goes with this.
struct Served(
    Running,
    #[expect(dead_code, reason = "dropped after the process")] Object,
);

fn serving(address: &str, arguments: &[&str]) -> Served {
    let mut at = address.to_owned();
    if address.starts_with("rpc+mq:") {
        // The queues of a user are bounded by RLIMIT_MSGQUEUE.
        at.push_str("?depth=3");
    }
    let mut all = vec!["serve", &at];
    all.extend(arguments);
    let running = wigwag(all).start();
    let start = std::time::Instant::now();
    while let Err(error) = Client::connect(address) {
        assert!(
            matches!(error.kind(), Kind::NotFound | Kind::Disconnected),
            "{error}"
        );
        assert!(
            start.elapsed() < PATIENCE,
            "{address} is never served: {error}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    Served(running, Object::later(address))
}

#[test]
fn a_command_answers_and_its_failure_is_the_callers() {
    for address in addresses("answers") {
        let script =
            "read -r line; case $line in bad) echo sorry >&2; exit 3;; *) echo \"got $line\"; esac";
        let server = serving(&address, &["--", "sh", "-c", script]);
        assert_eq!(wigwag(["call", &address, "this"]).says(), "got this\n");
        assert_eq!(
            wigwag(["call", &address]).input("that\n").says(),
            "got that\n"
        );
        assert_eq!(
            wigwag(["call", &address, "a", "b"]).says(),
            "got a\ngot b\n"
        );
        let lines = wigwag(["call", "--lines", &address]).input("one\ntwo");
        assert_eq!(lines.says(), "got one\ngot two\n");
        wigwag(["call", &address, "bad"])
            .ends()
            .code(1)
            .one_line(&["sh ended with exit status 3: sorry"]);
        server.0.signal(Signal::TERM);
        let ended = server.0.ends().code(0);
        assert!(
            ended.err.contains(&format!("serving {address}")),
            "{}",
            ended.err
        );
        wigwag(["call", &address, "x"]).ends().code(1);
    }
}

#[test]
fn who_waits_for_a_server_that_is_not_there_yet_is_answered() {
    for address in addresses("wait") {
        wigwag(["call", &address, "early"])
            .ends()
            .code(1)
            .one_line(&["cannot connect"]);
        wigwag(["call", "--wait", "--timeout", "0.1", &address, "early"])
            .ends()
            .code(124)
            .one_line(&["cannot connect"]);
        let early = wigwag(["call", "--wait", &address, "early"]).start();
        let _server = serving(&address, &["--", "cat"]);
        assert_eq!(early.ends().code(0).out, b"early\n");
    }
}

#[test]
fn echo_gives_back_every_byte() {
    for address in addresses("echo") {
        let _server = serving(&address, &["--echo"]);
        let bytes: Vec<u8> = (0..8000_u32).map(|at| (at * 31 % 251) as u8).collect();
        let answer = wigwag(["call", "--raw", &address]).input(&bytes).prints();
        assert!(answer == bytes, "{address}");
        assert_eq!(wigwag(["call", &address, ""]).says(), "\n");
        assert_eq!(wigwag(["call", "--raw", &address, ""]).says(), "");
    }
}

#[test]
fn a_large_request_goes_through_a_command_and_comes_back() {
    let [address, ..] = addresses("large");
    let _server = serving(&address, &["--", "cat"]);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at * 31 % 251) as u8).collect();
    let answer = wigwag(["call", "--raw", &address]).input(&bytes).prints();
    assert!(answer == bytes);
    // A command that reads nothing of it.
    let [_, address, ..] = addresses("deaf");
    let _server = serving(&address, &["--", "echo", "no thanks"]);
    let answer = wigwag(["call", &address]).input(&bytes).says();
    assert_eq!(answer, "no thanks\n");
}

#[test]
fn a_timeout_exits_124_and_the_command_is_killed_with_all_it_started() {
    let marked = |seconds: &str| {
        std::process::Command::new("pgrep")
            .args(["-f", &format!("^sleep {seconds}$")])
            .output()
            .unwrap()
            .stdout
            .len()
    };
    for (number, address) in addresses("late").iter().enumerate() {
        let seconds = format!("9{}{number}", std::process::id() % 100_000);
        let script = format!("sleep {seconds} & sleep {seconds}; wait");
        let server = serving(address, &["--", "sh", "-c", &script]);
        wigwag(["call", "--timeout", "0.3", address, "x"])
            .ends()
            .code(124)
            .one_line(&["time"]);
        eventually("all of it is killed", || marked(&seconds) == 0);
        server.0.signal(Signal::INT);
        server.0.ends().code(0);
        // The server's own limit.
        let _server = serving(address, &["--timeout", "0.2", "--", "sleep", &seconds]);
        wigwag(["call", address, "x"])
            .ends()
            .code(1)
            .one_line(&["sleep took too long and was killed"]);
    }
}

#[test]
fn concurrent_calls_run_at_once() {
    for address in &addresses("at-once") {
        let directory = Directory::new();
        // Each waits for all four.
        let script = r#"touch "$0/$$"; while [ "$(ls "$0" | wc -l)" -lt 4 ]; do sleep 0.02; done"#;
        let place = directory.file("").display().to_string();
        let command = ["--concurrent", "4", "--", "sh", "-c", script, &place];
        let _server = serving(address, &command);
        let calls: Vec<Running> = (0..4)
            .map(|_| wigwag(["call", address, "x"]).start())
            .collect();
        for call in calls {
            call.ends().code(0);
        }
    }
}

#[test]
fn a_server_that_stops_lets_its_command_finish() {
    let [address, ..] = addresses("finish");
    let server = serving(&address, &["--", "sh", "-c", "sleep 0.5; echo whole"]);
    let call = wigwag(["call", &address, "x"]).start();
    std::thread::sleep(Duration::from_millis(200));
    server.0.signal(Signal::TERM);
    assert_eq!(call.ends().code(0).out, b"whole\n");
    server.0.ends().code(0);
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    wigwag(["call", "mq:/x", "x"]).ends().code(2).one_line(&[
        "mq:/x answers no calls",
        "rpc+unix, rpc+tcp, rpc+channel, rpc+mq",
    ]);
    wigwag(["send", "rpc+unix:/x", "x"])
        .ends()
        .code(2)
        .one_line(&["use wigwag call or serve"]);
    wigwag(["recv", "rpc+mq:/x"])
        .ends()
        .code(2)
        .one_line(&["use wigwag call or serve"]);
    wigwag(["serve", "rpc+unix:/nowhere/x", "--echo"])
        .ends()
        .code(1)
        .one_line(&["/nowhere/x"]);
    let [address, ..] = addresses("twice");
    let _server = serving(&address, &["--echo"]);
    wigwag(["serve", &address, "--echo"])
        .ends()
        .code(1)
        .one_line(&["in use"]);
    let [_, _, address, _] = addresses("missing");
    wigwag(["call", &address, "x"])
        .ends()
        .code(1)
        .one_line(&["nobody serves it"]);
    let _server = serving(&address, &["--", "/no/such/program"]);
    wigwag(["call", &address, "x"])
        .ends()
        .code(1)
        .one_line(&["cannot run /no/such/program: No such file"]);
}

#[test]
fn rm_removes_what_a_killed_server_left_and_not_what_one_uses() {
    let directory = Directory::new();
    let [_, _, mq, channel] = addresses("left");
    let unix = format!("rpc+unix:{}", directory.file("socket").display());
    for address in [&unix, &mq, &channel] {
        let mut server = serving(address, &["--echo"]);
        wigwag(["rm", address]).ends().code(1).one_line(&["in use"]);
        server.0.child().kill().unwrap();
        server.0.child().wait().unwrap();
        wigwag(["rm", address]).ends().code(0);
        wigwag(["rm", address]).ends().code(1);
    }
}
