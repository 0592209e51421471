//! Streams: bytes as they come to the end, between two of us and with socat and the shell.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use command::{Object, WIGWAG, eventually, every_byte, run, wigwag};
use process::{Directory, unique};
use rustix::process::Signal;

fn port() -> String {
    format!("127.0.0.1:{}", process::port())
}

/// Sends as soon as somebody receives.
fn send(arguments: &[&str], body: &[u8]) {
    eventually("the sender comes through", || {
        let mut all = vec!["send"];
        all.extend(arguments);
        let ended = wigwag(all).input(body).ends();
        assert!(matches!(ended.status.code(), Some(0 | 1)), "{}", ended.err);
        ended.status.success()
    });
}

#[test]
fn every_byte_arrives_and_then_the_end() {
    let directory = Directory::new();
    let fifo = Object::new(format!("fifo:{}", directory.file("fifo").display()));
    for address in [
        fifo.to_string(),
        format!("unix:{}", directory.file("s").display()),
        format!("unix:@{}", unique("stream")),
        format!("tcp:{}", port()),
    ] {
        let receiver = wigwag(["recv", &address]).start();
        let body = every_byte(3_000_000);
        send(&[&address], &body);
        assert!(receiver.ends().code(0).out == body, "{address}");
    }
    assert!(!directory.file("s").exists(), "the socket's name stayed");
}

#[test]
fn what_is_not_there_yet_is_waited_for_when_told_so() {
    let directory = Directory::new();
    let socket = format!("unix:{}", directory.file("s").display());
    let early = wigwag(["send", "--wait", &socket, "early"]).start();
    let (queue, slots) = (
        Object::later(format!("mq:/{}", unique("early"))),
        Object::later(format!("sem:/{}", unique("early"))),
    );
    let receiver = wigwag(["recv", "--wait", &queue]).start();
    let acquirer = wigwag(["acquire", "--wait", &slots]).start();
    for arguments in [
        &["send", "--wait", "--timeout", "0.05", &socket, "late"][..],
        &["recv", "--wait", "--timeout", "0.05", &queue],
        &["acquire", "--wait", "--timeout", "0.05", &slots],
    ] {
        wigwag(arguments)
            .ends()
            .code(124)
            .one_line(&["no such file", "waited"]);
    }
    assert_eq!(wigwag(["recv", &socket]).says(), "early");
    early.ends().code(0);
    wigwag(["create", &queue, &slots]).ends().code(0);
    wigwag(["send", &queue, "soon"]).ends().code(0);
    assert_eq!(receiver.ends().code(0).out, b"soon\n");
    acquirer.ends().code(0);
    // And a signal ends the waiting.
    let hopeless = wigwag(["recv", "--wait", "mq:/wigwag-never"]).start();
    eventually("it takes signals", || {
        command::catches(hopeless.pid(), Signal::INT)
    });
    hopeless.signal(Signal::INT);
    hopeless.ends().code(130);
}

#[test]
fn arguments_are_written_one_after_the_other_and_lines_end_when_asked() {
    let directory = Directory::new();
    let address = format!("unix:{}", directory.file("s").display());
    for (arguments, out) in [
        (&[&*address, "one", "two "][..], "onetwo "),
        (&["--lines", &address, "one", "two"], "one\ntwo\n"),
        (&["--null", &address, "one", "two"], "one\0two\0"),
    ] {
        let receiver = wigwag(["recv", &address]).start();
        send(arguments, b"");
        assert_eq!(receiver.ends().code(0).out, out.as_bytes());
    }
}

#[test]
fn the_ends_can_be_turned_round() {
    let address = format!("tcp:{}", port());
    let sender = wigwag(["send", "--listen", &address, "turned"]).start();
    eventually("the receiver comes through", || {
        let ended = wigwag(["recv", "--connect", &address]).ends();
        ended.status.success() && ended.out == b"turned"
    });
    sender.ends().code(0);
}

#[test]
fn a_time_out_ends_waiting_for_a_peer_and_for_bytes() {
    let directory = Directory::new();
    let fifo = Object::new(format!("fifo:{}", directory.file("fifo").display()));
    let socket = format!("unix:{}", directory.file("s").display());
    for address in [&*fifo, &socket, &format!("tcp:{}", port())] {
        wigwag(["recv", "--timeout", "0.2", address])
            .ends()
            .code(124)
            .one_line(&["cannot"]);
    }
    assert!(!directory.file("s").exists(), "the socket's name stayed");
    wigwag(["send", "--timeout", "0.2", &fifo, "x"])
        .ends()
        .code(124)
        .one_line(&["cannot"]);
    // Connected, and nothing comes.
    let address = port();
    let listener = std::net::TcpListener::bind(&address).unwrap();
    wigwag([
        "recv",
        "--connect",
        "--timeout",
        "0.2",
        &format!("tcp:{address}"),
    ])
    .ends()
    .code(124)
    .one_line(&["timed out"]);
    // Connected, and nothing is taken.
    wigwag(["send", "--timeout", "0.2", &format!("tcp:{address}")])
        .input(vec![0; 20_000_000])
        .ends()
        .code(124)
        .one_line(&["timed out"]);
    drop(listener);
}

#[test]
fn an_interrupted_receiver_takes_its_name_away() {
    let directory = Directory::new();
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        let path = directory.file(scheme);
        let receiver = wigwag(["recv", &format!("{scheme}:{}", path.display())]).start();
        eventually("the name is there", || path.exists());
        receiver.signal(Signal::TERM);
        receiver.ends().code(143);
        assert!(!path.exists(), "{scheme}");
    }
}

#[test]
fn a_name_of_somebody_who_lives_is_not_taken() {
    let directory = Directory::new();
    let path = directory.file("s");
    let address = format!("unix:{}", path.display());
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    wigwag(["recv", "--timeout", "5", &address])
        .ends()
        .code(1)
        .one_line(&["in use"]);
    assert!(path.exists(), "somebody else's name was removed");
    drop(listener);
}

#[test]
fn socat_is_at_the_other_end() {
    let directory = Directory::new();
    let path = directory.file("s").display().to_string();
    let fifo = Object::new(format!("fifo:{}", directory.file("fifo").display()));
    let fifo_path = fifo.strip_prefix("fifo:").unwrap().to_owned();
    let port = port();
    let socat = process::foreign("socat", "socat");
    let socat = socat.get_program().to_str().unwrap().to_owned();
    let body = every_byte(500_000);
    for (ours, theirs) in [
        (format!("unix:{path}"), format!("UNIX-CONNECT:{path}")),
        (format!("tcp:{port}"), format!("TCP:{port}")),
        (fifo.to_string(), format!("OPEN:{fifo_path},wronly")),
    ] {
        let receiver = wigwag(["recv", &ours]).start();
        eventually("socat comes through", || {
            run(&socat, ["-u", "-", &theirs])
                .input(&body)
                .ends()
                .status
                .success()
        });
        assert!(receiver.ends().code(0).out == body, "{ours}");
    }
    for (ours, theirs) in [
        (format!("unix:{path}"), format!("UNIX-LISTEN:{path}")),
        (
            format!("tcp:{port}"),
            format!("TCP-LISTEN:{},reuseaddr", port.rsplit(':').next().unwrap()),
        ),
        (fifo.to_string(), format!("OPEN:{fifo_path},rdonly")),
    ] {
        let receiver = run(&socat, ["-u", &theirs, "-"]).start();
        send(&[&ours], &body);
        assert!(receiver.ends().code(0).out == body, "{ours}");
    }
}

#[test]
fn the_shell_is_at_the_other_end_of_a_fifo_and_of_a_pipe() {
    let directory = Directory::new();
    let fifo = Object::new(format!("fifo:{}", directory.file("fifo").display()));
    let path = directory.file("fifo").display().to_string();
    let reader = run("cat", [&path]).start();
    wigwag(["send", &fifo, "to cat"]).ends().code(0);
    assert_eq!(reader.ends().code(0).out, b"to cat");
    // An inherited pipe, by the number of its descriptor.
    let script = format!(
        "'{WIGWAG}' send 'pipe:?fd=3' 'through a pipe' 3>&1 >/dev/null | '{WIGWAG}' recv 'pipe:?fd=0'"
    );
    assert_eq!(run("sh", ["-c", &script]).says(), "through a pipe");
}

#[test]
fn a_terminal_is_served_under_a_link() {
    let directory = Directory::new();
    let link = directory.file("tty");
    let receiver = wigwag(["recv", &format!("pty:?raw&link={}", link.display())]).start();
    eventually("the link is there", || link.exists());
    let body = every_byte(20_000);
    wigwag(["send", &format!("pty:{}?raw", link.display())])
        .input(&body)
        .ends()
        .code(0);
    assert!(receiver.ends().code(0).out == body);
}

#[test]
fn a_receiver_without_a_reader_ends_quietly() {
    let directory = Directory::new();
    let fifo = Object::new(format!("fifo:{}", directory.file("fifo").display()));
    let script = format!(
        "'{WIGWAG}' recv '{}' | head -c 3; echo; echo ${{PIPESTATUS[0]}}",
        &*fifo
    );
    let reader = run("bash", ["-c", &script]).start();
    let sender = wigwag(["send", &fifo]).input(vec![b'x'; 5_000_000]).start();
    assert_eq!(reader.ends().code(0).out, b"xxx\n0\n");
    // Its reader is gone before the end: an error, and one line.
    sender.ends().code(1).one_line(&["cannot write to"]);
}
