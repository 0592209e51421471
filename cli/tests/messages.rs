//! Messages: sent and received by the command, and by Python and socat at the other end.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use command::{Object, eventually, every_byte, key, run, wigwag};
use process::{Directory, unique};
use rustix::process::Signal;

fn mq() -> Object {
    Object::new(format!("mq:/{}?depth=8", unique("cli")))
}

fn sysv() -> Object {
    Object::new(format!("sysv-mq:{}", key()))
}

#[test]
fn each_argument_is_one_message() {
    for queue in [mq(), sysv()] {
        wigwag(["send", &queue, "one", "two words", ""])
            .ends()
            .code(0);
        assert_eq!(
            wigwag(["recv", "-n", "3", &queue]).says(),
            "one\ntwo words\n\n"
        );
    }
}

#[test]
fn arguments_that_are_no_text_are_sent_as_they_are() {
    use std::os::unix::ffi::OsStrExt;
    let queue = mq();
    let body = b"\xff\xfe\x80a";
    wigwag([queue.as_ref()])
        .with(|command| {
            *command = std::process::Command::new(command::WIGWAG);
            command
                .arg("send")
                .arg(&*queue)
                .arg(std::ffi::OsStr::from_bytes(body));
        })
        .ends()
        .code(0);
    assert_eq!(wigwag(["recv", "--raw", &queue]).prints(), body);
}

#[test]
fn standard_input_is_one_message_exactly_as_it_is() {
    let body = b"a\nb\0c\n\xff".as_slice();
    for queue in [mq(), sysv()] {
        wigwag(["send", &queue]).input(body).ends().code(0);
        assert_eq!(wigwag(["recv", "--raw", &queue]).prints(), body);
    }
}

#[test]
fn the_longest_message_goes_and_a_longer_one_is_refused() {
    for (queue, longest) in [
        (
            Object::new(format!("mq:/{}?max_len=5000", unique("long"))),
            5000,
        ),
        (sysv(), 8192),
    ] {
        let body = every_byte(longest);
        wigwag(["send", &queue]).input(&body).ends().code(0);
        assert_eq!(wigwag(["recv", "--raw", &queue]).prints(), body);
        wigwag(["send", &queue])
            .input(every_byte(longest + 1))
            .ends()
            .code(2)
            .one_line(&["cannot send to", "longer than", &longest.to_string()]);
        wigwag(["send", &queue, &"x".repeat(longest + 1)])
            .ends()
            .code(2)
            .one_line(&["cannot send to"]);
    }
}

#[test]
fn lines_and_records_are_messages() {
    let queue = mq();
    wigwag(["send", "--lines", &queue])
        .input("a\n\nc")
        .ends()
        .code(0);
    assert_eq!(
        wigwag(["recv", "-n", "3", "--null", &queue]).says(),
        "a\0\0c\0"
    );
    wigwag(["send", "--null", &queue])
        .input("x\ny\0z\0")
        .ends()
        .code(0);
    assert_eq!(wigwag(["recv", "-n", "2", &queue]).says(), "x\ny\nz\n");
    wigwag(["send", "--lines", &queue]).input("").ends().code(0);
    wigwag(["recv", "--nonblock", &queue])
        .ends()
        .code(1)
        .one_line(&["empty"]);
}

#[test]
fn json_has_priority_type_and_bytes() {
    let queue = mq();
    wigwag(["send", "--priority", "3", &queue, "text"])
        .ends()
        .code(0);
    let line = wigwag(["recv", "--json", &queue]).says();
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(json["priority"], 3);
    assert_eq!(json["body"], "text");
    assert_eq!(line.lines().count(), 1);

    let queue = sysv();
    wigwag(["send", "--type", "5", &queue])
        .input(b"\xff\xfe")
        .ends()
        .code(0);
    let json: serde_json::Value =
        serde_json::from_str(&wigwag(["recv", "--json", &queue]).says()).unwrap();
    assert_eq!(json["type"], 5);
    assert_eq!(json["base64"], "//4=");
    assert_eq!(json["bytes"], 2);
}

#[test]
fn higher_priorities_and_chosen_types_come_first() {
    let queue = mq();
    wigwag(["send", &queue, "low"]).ends().code(0);
    wigwag(["send", "-p", "9", &queue, "high"]).ends().code(0);
    assert_eq!(wigwag(["recv", "-n", "2", &queue]).says(), "high\nlow\n");

    let queue = sysv();
    for (kind, body) in [("3", "three"), ("2", "two"), ("1", "one")] {
        wigwag(["send", "-k", kind, &queue, body]).ends().code(0);
    }
    assert_eq!(wigwag(["recv", "--type", "2", &queue]).says(), "two\n");
    assert_eq!(wigwag(["recv", "--type", "-3", &queue]).says(), "one\n");
    assert_eq!(wigwag(["recv", &queue]).says(), "three\n");
}

#[test]
fn what_a_facility_has_not_is_said() {
    wigwag(["send", "--type", "1", &mq(), "x"])
        .ends()
        .code(2)
        .one_line(&["type"]);
    wigwag(["send", "--priority", "1", &sysv(), "x"])
        .ends()
        .code(2)
        .one_line(&["priorit"]);
    wigwag(["recv", "--type", "1", &mq()])
        .ends()
        .code(2)
        .one_line(&["type"]);
    wigwag(["send", "--priority", "99999999", &mq(), "x"])
        .ends()
        .code(2)
        .one_line(&["priorit"]);
}

#[test]
fn a_time_out_exits_124_and_not_waiting_exits_1() {
    for queue in [mq(), sysv()] {
        wigwag(["recv", "--timeout", "0.2", &queue])
            .ends()
            .code(124)
            .one_line(&["cannot receive from"]);
        wigwag(["recv", "--nonblock", &queue])
            .ends()
            .code(1)
            .one_line(&["cannot receive from"]);
    }
    let queue = Object::new(format!("mq:/{}?depth=1", unique("full")));
    wigwag(["send", &queue, "x"]).ends().code(0);
    wigwag(["send", "--timeout", "0.2", &queue, "y"])
        .ends()
        .code(124)
        .one_line(&["full"]);
    wigwag(["send", "--nonblock", &queue, "y"])
        .ends()
        .code(1)
        .one_line(&["full"]);
}

#[test]
fn how_many_were_sent_before_a_failure_is_told() {
    let queue = Object::new(format!("mq:/{}?depth=2", unique("part")));
    wigwag(["send", "--nonblock", &queue, "1", "2", "3"])
        .ends()
        .code(1)
        .one_line(&["2 messages were sent before"]);
}

#[test]
fn a_receiver_waits_for_a_sender() {
    for queue in [mq(), sysv()] {
        let receiver = wigwag(["recv", &queue]).start();
        wigwag(["send", &queue, "late"]).ends().code(0);
        assert_eq!(receiver.ends().code(0).out, b"late\n");
    }
}

#[test]
fn each_message_is_flushed_and_none_is_taken_for_a_reader_that_is_gone() {
    let queue = mq();
    let script = format!(
        "'{}' recv --follow '{}' | head -n 1",
        command::WIGWAG,
        &*queue
    );
    let reader = run("sh", ["-c", &script]).start();
    wigwag(["send", &queue, "first"]).ends().code(0);
    assert_eq!(reader.ends().code(0).out, b"first\n");
    // The pipeline is over, so the receiver is too; what comes now stays in the queue.
    wigwag(["send", &queue, "second"]).ends().code(0);
    assert_eq!(
        wigwag(["recv", "--timeout", "20", &queue]).says(),
        "second\n"
    );
}

#[test]
fn an_interrupt_ends_a_receiver_and_loses_nothing() {
    for queue in [mq(), sysv()] {
        let receiver = wigwag(["recv", "--follow", &queue]).start();
        wigwag(["send", &queue, "a"]).ends().code(0);
        eventually("the message is taken", || {
            wigwag(["recv", "--nonblock", &queue]).ends().status.code() == Some(1)
        });
        receiver.signal(Signal::INT);
        let ended = receiver.ends().code(130);
        // Ours or theirs: taken once.
        assert!(ended.out == b"a\n" || ended.out.is_empty());
        assert_eq!(ended.err, "");
        wigwag(["send", &queue, "b"]).ends().code(0);
        assert_eq!(wigwag(["recv", &queue]).says(), "b\n");
    }
}

#[test]
fn python_is_at_the_other_end_of_a_posix_queue() {
    let queue = mq();
    let name = queue.strip_prefix("mq:").unwrap();
    let body = every_byte(4096);
    wigwag(["send", "-p", "5", &queue])
        .input(&body)
        .ends()
        .code(0);
    let script = format!(
        "import posix_ipc\nq = posix_ipc.MessageQueue({name:?})\nbody, priority = q.receive()\n\
         assert priority == 5, priority\nassert body == bytes((i*7 + i//256) % 256 for i in range(4096))\n\
         q.send(body[::-1], priority=2)"
    );
    let done = process::python("posix_ipc", &script).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let reversed: Vec<u8> = body.into_iter().rev().collect();
    assert_eq!(wigwag(["recv", "--raw", &queue]).prints(), reversed);
}

#[test]
fn python_is_at_the_other_end_of_a_system_v_queue() {
    let queue = sysv();
    let key = queue.strip_prefix("sysv-mq:").unwrap();
    wigwag(["send", "--type", "4", &queue])
        .input(every_byte(2000))
        .ends()
        .code(0);
    let script = format!(
        "import sysv_ipc\nq = sysv_ipc.MessageQueue({key})\nbody, kind = q.receive()\n\
         assert kind == 4, kind\nassert body == bytes((i*7 + i//256) % 256 for i in range(2000))\n\
         q.send(b'\\xffback', type=6)"
    );
    let done = process::python("sysv_ipc", &script).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(
        wigwag(["recv", "--raw", "--type", "6", &queue]).prints(),
        b"\xffback"
    );
}

#[test]
fn socat_is_at_the_other_end_of_datagrams() {
    let directory = process::Directory::new();
    let path = directory.file("s");
    let path = path.to_str().unwrap();
    for (address, target) in [
        (format!("unix-dgram:{path}"), format!("UNIX-SENDTO:{path}")),
        (
            format!("unix-seqpacket:{path}"),
            format!("UNIX-CONNECT:{path},type=5"),
        ),
        (format!("unix-dgram:@{}", unique("cli")), String::new()),
    ] {
        let target = match target.as_str() {
            "" => format!(
                "ABSTRACT-SENDTO:{}",
                address.strip_prefix("unix-dgram:@").unwrap()
            ),
            target => target.to_owned(),
        };
        let receiver = wigwag(["recv", "--raw", &address]).start();
        let body = every_byte(3000);
        let mut sent = false;
        eventually("socat comes through", || {
            let socat = process::foreign("socat", "socat");
            sent = sent
                || run(
                    socat.get_program().to_str().unwrap(),
                    ["-u", "-b", "65536", "-", &target],
                )
                .input(&body)
                .ends()
                .status
                .success();
            sent
        });
        assert_eq!(receiver.ends().code(0).out, body, "{address}");
        assert!(
            !std::path::Path::new(path).exists(),
            "{address} left its name"
        );
    }
}

#[test]
fn datagrams_go_between_two_of_us() {
    let directory = process::Directory::new();
    let path = directory.file("s");
    let port = process::port();
    for address in [
        format!("unix-dgram:{}", path.display()),
        format!("unix-seqpacket:{}", path.display()),
        format!("unix-seqpacket:@{}", unique("cli")),
        format!("udp:127.0.0.1:{port}"),
    ] {
        let receiver = wigwag(["recv", "-n", "2", &address]).start();
        if address.starts_with("udp") {
            // A datagram to nobody is lost without a word.
            let hex = format!(":{:04X} ", port);
            eventually("the receiver is bound", || {
                std::fs::read_to_string("/proc/net/udp")
                    .unwrap()
                    .contains(&hex)
            });
        }
        eventually("the receiver is there", || {
            wigwag(["send", &address, "one", "two"])
                .ends()
                .status
                .success()
        });
        assert_eq!(receiver.ends().code(0).out, b"one\ntwo\n", "{address}");
    }
}

#[test]
fn an_interrupted_receiver_leaves_no_socket_and_takes_none_from_another() {
    let directory = Directory::new();
    let path = directory.file("socket");
    let address = format!("unix:{}", path.display());
    let waiting = wigwag(["recv", &address]).start();
    eventually("it listens", || path.exists());
    let other = wigwag(["recv", &address]).ends().code(1);
    assert!(other.err.contains("already in use"), "{}", other.err);
    assert!(path.exists());
    waiting.signal(Signal::TERM);
    waiting.ends();
    assert!(!path.exists());
}

#[test]
fn a_locked_command_is_ended_by_the_signals_passed_on_to_it() {
    let directory = Directory::new();
    let path = directory.file("mask");
    let address = format!("flock:{}", path.display());
    let blocked = wigwag([
        "lock",
        &address,
        "--",
        "grep",
        "SigBlk",
        "/proc/self/status",
    ])
    .says();
    let mut sleeping = wigwag(["lock", &address, "--", "sleep", "600"]).start();
    let pid = sleeping.child().id();
    eventually("the command runs", || {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().next().is_some_and(|child| {
            std::fs::read_to_string(format!("/proc/{child}/comm"))
                .is_ok_and(|comm| comm == "sleep\n")
        })
    });
    sleeping.signal(Signal::HUP);
    let ended = sleeping.ends();
    assert!(blocked.ends_with("\t0000000000000000\n"), "{blocked}");
    assert_eq!(ended.status.code(), Some(128 + 1));
}
