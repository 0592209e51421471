//! Pseudoterminals: programs on them believe that a person is there, and their end is the end of the file.

mod process;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use process::{Directory, argument, part, play, say};
use wigwag::stream::{Input, Output, pty};
use wigwag::{Endpoint, Kind, Opening, Role, Way, catalog};

const SOON: Duration = Duration::from_millis(50);

fn shell(script: &str) -> Command {
    let mut command = process::foreign("sh", "dash");
    command.args(["-c", script]);
    command
}

#[test]
fn a_program_on_it_has_a_controlling_terminal_of_its_own() {
    let controller = pty::create().unwrap();
    controller
        .set_size(pty::Size {
            rows: 33,
            columns: 44,
        })
        .unwrap();
    // /dev/tty is the controlling terminal, whatever the standard input is.
    let mut child = controller
        .spawn(shell(
            "tty; stty size < /dev/tty; test -t 0 -a -t 1 -a -t 2; echo $?",
        ))
        .unwrap();
    let mut shown = String::new();
    (&controller).read_to_string(&mut shown).unwrap();
    let path = controller.path().unwrap();
    assert_eq!(shown, format!("{}\r\n33 44\r\n0\r\n", path.display()));
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_typed_key_interrupts_the_program_and_a_new_size_is_told() {
    let controller = pty::create().unwrap();
    let script = "trap 'echo; stty size; echo got it' WINCH; trap 'echo interrupted; exit 3' INT; \
                  echo ready; while :; do sleep 0.05; done";
    let mut child = controller.spawn(shell(script)).unwrap();
    let mut lines = BufReader::new(&controller);
    let mut line = || {
        let mut text = String::new();
        lines.read_line(&mut text).unwrap();
        text.trim_end().to_owned()
    };
    assert_eq!(line(), "ready");
    controller
        .set_size(pty::Size {
            rows: 10,
            columns: 20,
        })
        .unwrap();
    assert_eq!(
        (line(), line(), line()),
        (String::new(), "10 20".into(), "got it".into())
    );
    (&controller).write_all(b"\x03").unwrap();
    assert!(line().ends_with("interrupted")); // after the echo ^C
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn the_end_of_file_key_ends_a_program_in_line_mode() {
    let mut controller = pty::create().unwrap();
    let mut child = controller.spawn(Command::new("cat")).unwrap();
    controller.write_all(b"a line\n").unwrap();
    controller.finish().unwrap();
    let mut shown = String::new();
    controller.read_to_string(&mut shown).unwrap();
    assert_eq!(shown, "a line\r\na line\r\n", "the echo and the answer");
    assert!(child.wait().unwrap().success());
}

#[test]
fn dropping_the_controller_hangs_up() {
    let controller = pty::create().unwrap();
    let directory = Directory::new();
    let mark = directory.file("mark");
    let script = format!(
        "trap 'echo hung up > {}; exit 0' HUP; echo ready; while :; do sleep 0.05; done",
        mark.display()
    );
    let mut child = controller.spawn(shell(&script)).unwrap();
    let mut line = String::new();
    BufReader::new(&controller).read_line(&mut line).unwrap();
    drop(controller);
    child.wait().unwrap();
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "hung up\n");
}

#[test]
fn raw_passes_every_byte_and_ends_with_its_guard() {
    if part().is_some() {
        let mut terminal = pty::Terminal::open(argument("PATH")).unwrap();
        assert_eq!(
            terminal.path().unwrap().to_str(),
            Some(&argument("PATH")[..])
        );
        let raw = terminal.raw().unwrap();
        say("raw");
        let mut bytes = [0; 256];
        terminal.read_exact(&mut bytes).unwrap();
        terminal.write_all(&bytes).unwrap();
        process::hear();
        drop(raw);
        return say("cooked");
    }
    let mut controller = pty::create().unwrap();
    let keep = controller.terminal().unwrap();
    let path = controller.path().unwrap();
    let name = "raw_passes_every_byte_and_ends_with_its_guard";
    let mut child = play(name, "echo", &[("PATH", path.to_str().unwrap())]).start();
    child.says("raw");
    let all: Vec<u8> = (0..=255).collect();
    controller.write_all(&all).unwrap();
    let mut bytes = [0; 256];
    controller.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes[..], &all[..], "no echo, no signal, no change");
    child.tell("go on");
    child.says("cooked");
    child.succeeds();
    controller.write_all(b"x\n").unwrap();
    let mut echo = [0; 3];
    controller.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"x\r\n");
    drop(keep);
}

#[test]
fn nothing_waits_longer_than_told() {
    let (mut controller, mut terminal) = pty::pair().unwrap();
    let _raw = terminal.raw().unwrap();
    assert_eq!(
        controller.try_read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    let start = Instant::now();
    assert_eq!(
        terminal.read_timeout(&mut [0], SOON).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    assert!(start.elapsed() >= SOON);
    for (from, to) in [(
        &mut controller as &mut dyn wigwag::stream::Stream,
        &mut terminal as &mut dyn wigwag::stream::Stream,
    )] {
        let mut sent = 0;
        while let Ok(count) = from.write_with(&[b'x'; 1000], SOON.into()) {
            sent += count;
            assert!(sent < 1 << 24, "a terminal is full some time");
        }
        let mut received = 0;
        while let Ok(count) = to.read_with(&mut [0; 1000], SOON.into()) {
            received += count;
        }
        assert_eq!(received, sent);
        let mut sent = 0;
        while let Ok(count) = to.write_with(&[b'\n'; 1000], SOON.into()) {
            sent += count;
            assert!(sent < 1 << 24, "a terminal is full some time");
        }
        let mut received = 0;
        while let Ok(count) = from.read_with(&mut [0; 1000], SOON.into()) {
            received += count;
        }
        assert_eq!(received, sent);
    }
}

#[test]
fn a_killed_program_is_the_end_of_the_file() {
    if part().is_some() {
        let _terminal = pty::Terminal::open(argument("PATH")).unwrap();
        say("here");
        std::thread::sleep(process::PATIENCE);
        return;
    }
    let mut controller = pty::create().unwrap();
    let path = controller.path().unwrap();
    let none_yet = controller.try_read(&mut [0]).unwrap_err();
    assert_eq!(
        none_yet.kind(),
        ErrorKind::WouldBlock,
        "nobody has been there yet"
    );
    let name = "a_killed_program_is_the_end_of_the_file";
    let mut child = play(name, "hold", &[("PATH", path.to_str().unwrap())]).start();
    child.says("here");
    child.kill();
    assert_eq!(
        controller
            .read_timeout(&mut [0], process::PATIENCE)
            .unwrap(),
        0
    );
}

#[test]
fn what_is_no_terminal_or_no_program_is_one_clear_line() {
    for (name, kind, says) in [
        ("/dev/null", Kind::BadInput, "it is no terminal"),
        ("/dev/pts/99999", Kind::NotFound, "no such file"),
        ("", Kind::BadName, "/dev/pts/0"),
    ] {
        let error = pty::Terminal::open(name).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let controller = pty::create().unwrap();
    let error = controller
        .spawn(Command::new("no-such-program"))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("no-such-program"), "{error}");
    let open = |text: &str, role| {
        catalog::open(
            &text.parse().unwrap(),
            Opening {
                role,
                ..Opening::SEND
            },
        )
        .err()
        .unwrap()
    };
    assert!(
        open("pty:/dev/pts/0", Role::Serve)
            .to_string()
            .contains("the kernel chooses")
    );
    assert_eq!(open("pty:?rows=many", Role::Serve).kind(), Kind::BadInput);
}

#[test]
fn the_limit_of_the_machine_is_named() {
    let mut all = Vec::new();
    if part().is_some() {
        process::limit_open_files(40);
        let error = loop {
            match pty::pair() {
                Ok(pair) => all.push(pair),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), Kind::Limit);
        return say(&error.to_string());
    }
    let mut child = play("the_limit_of_the_machine_is_named", "many", &[]).start();
    let said = child.line();
    assert!(said.contains("RLIMIT_NOFILE is 40"), "{said}");
    child.succeeds();
}

#[test]
fn socat_is_on_the_terminal_that_an_address_made() {
    let directory = Directory::new();
    let link = directory.file("terminal");
    let address = format!("pty:?raw&rows=5&columns=6&link={}", link.display());
    let opening = Opening {
        role: Role::Serve,
        way: Way::Both,
        wait: process::PATIENCE.into(),
    };
    let Endpoint::Stream(mut stream) = catalog::open(&address.parse().unwrap(), opening).unwrap()
    else {
        panic!("a pseudoterminal is a stream");
    };
    let again = catalog::open(&address.parse().unwrap(), opening)
        .err()
        .unwrap();
    assert_eq!(again.kind(), Kind::AlreadyExists, "{again}");
    let mut socat = process::foreign("socat", "socat")
        .args([&format!("OPEN:{}", link.display()), "EXEC:cat"])
        .spawn()
        .unwrap();
    stream.write_all(b"through socat and cat").unwrap();
    let mut bytes = [0; 21];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"through socat and cat");
    let path = std::fs::read_link(&link).unwrap();
    let joined = format!("pty:{}?rows=9", path.display());
    let Endpoint::Stream(terminal) = catalog::open(
        &joined.parse().unwrap(),
        Opening {
            role: Role::Join,
            ..opening
        },
    )
    .unwrap() else {
        panic!("a pseudoterminal is a stream");
    };
    assert_eq!(
        pty::Terminal::open(&path).unwrap().size().unwrap(),
        pty::Size {
            rows: 9,
            columns: 80
        }
    );
    drop((terminal, stream));
    socat.wait().unwrap();
    assert!(!link.exists(), "the link is gone with the controller");
}

#[test]
fn we_are_on_a_terminal_that_socat_made() {
    let directory = Directory::new();
    let link = directory.file("theirs");
    let mut socat = process::foreign("socat", "socat")
        .args([
            &format!("PTY,raw,echo=0,link={}", link.display()),
            "EXEC:cat",
        ])
        .spawn()
        .unwrap();
    process::eventually("socat makes its terminal", || link.exists());
    let mut terminal = pty::Terminal::open(&link).unwrap();
    terminal.write_all(b"hello").unwrap();
    let mut bytes = [0; 5];
    terminal.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
    drop(terminal);
    let _ = socat.kill();
    socat.wait().unwrap();
}
