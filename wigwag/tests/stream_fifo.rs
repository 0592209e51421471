//! FIFOs between processes: opening waits for the other end and can be given up, and only FIFOs are taken.

mod process;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use process::{Directory, argument, part, play, say};
use wigwag::stream::fifo::{self, Fifo};
use wigwag::stream::{Input, Output, pipe};
use wigwag::{Endpoint, Kind, Opening, Role, Way, catalog};

const SOON: Duration = Duration::from_millis(50);

fn nonblocking(end: &impl std::os::fd::AsFd) -> bool {
    rustix::fs::fcntl_getfl(end)
        .expect("the flags")
        .contains(rustix::fs::OFlags::NONBLOCK)
}

#[test]
fn opening_waits_for_the_other_end_in_another_process() {
    if let Some(part) = part() {
        let fifo = Fifo::open(argument("PATH")).unwrap();
        say("opening");
        if part == "write" {
            return fifo.writer().unwrap().write_all(b"from the child").unwrap();
        }
        let mut text = String::new();
        fifo.reader().unwrap().read_to_string(&mut text).unwrap();
        return say(&text);
    }
    let directory = Directory::new();
    let path = directory.file("fifo");
    let fifo = Fifo::create(&path).unwrap();
    let name = "opening_waits_for_the_other_end_in_another_process";
    let path = path.to_str().unwrap();

    let mut child = play(name, "write", &[("PATH", path)]).start();
    child.says("opening");
    child.sleeps_in(libc::SYS_openat);
    let mut text = String::new();
    fifo.reader_timeout(process::PATIENCE)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "from the child");
    child.succeeds();

    let mut child = play(name, "read", &[("PATH", path)]).start();
    child.says("opening");
    child.sleeps_in(libc::SYS_openat);
    let mut writer = fifo.try_writer().unwrap();
    assert!(!nonblocking(&writer));
    writer.write_all(b"from the test").unwrap();
    drop(writer);
    child.says("from the test");
    child.succeeds();
}

#[test]
fn a_silent_writer_is_noticed_by_a_reader_with_a_time_out() {
    if part().is_some() {
        let fifo = Fifo::open(argument("PATH")).unwrap();
        let mut writer = fifo.writer().unwrap();
        say("open");
        process::hear();
        return writer.write_all(b"at last").unwrap();
    }
    let directory = Directory::new();
    let path = directory.file("fifo");
    let fifo = Fifo::create(&path).unwrap();
    let name = "a_silent_writer_is_noticed_by_a_reader_with_a_time_out";
    let mut child = play(name, "write", &[("PATH", path.to_str().unwrap())]).start();
    let mut reader = fifo.reader_timeout(process::PATIENCE).unwrap();
    child.says("open");
    assert!(!nonblocking(&reader));
    assert_eq!(
        reader.try_read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    let late = reader.read_timeout(&mut [0], SOON).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    child.tell("write");
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "at last");
    child.succeeds();
}

#[test]
fn giving_up_says_for_whom_it_waited_and_hurts_nobody() {
    if !process::alone("giving_up_says_for_whom_it_waited_and_hurts_nobody") {
        return;
    }
    let directory = Directory::new();
    let fifo = Fifo::create(directory.file("fifo")).unwrap();
    for (outcome, other) in [
        (fifo.reader_timeout(SOON).map(drop), "writing"),
        (fifo.writer_timeout(SOON).map(drop), "reading"),
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), Kind::TimedOut);
        assert!(
            error
                .to_string()
                .contains(&format!("for {other} within 50ms")),
            "{error}"
        );
    }
    assert_eq!(fifo.try_reader().unwrap_err().kind(), Kind::WouldBlock);
    assert_eq!(fifo.try_writer().unwrap_err().kind(), Kind::WouldBlock);

    // A writer that waits in open(2) is not woken by other writers that give up.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| fifo.writer().unwrap().write_all(b"whole").unwrap());
        std::thread::sleep(SOON);
        for _ in 0..20 {
            assert_eq!(fifo.try_writer().unwrap_err().kind(), Kind::WouldBlock);
        }
        assert!(!waiting.is_finished());
        let mut text = String::new();
        fifo.reader().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "whole");
    });
}

#[test]
fn a_full_fifo_does_not_hold_a_writer_longer_than_it_wants() {
    let directory = Directory::new();
    let fifo = Fifo::create(directory.file("fifo")).unwrap();
    let mut reader = fifo.reader_for_many().unwrap();
    let mut writer = fifo.try_writer().unwrap();
    let mut filled = 0;
    while let Ok(count) = writer.try_write(&[b'x'; pipe::ATOMIC]) {
        filled += count;
    }
    assert_eq!(filled, writer.capacity().unwrap());
    let start = Instant::now();
    let timed = writer.write_timeout(b"more", SOON).unwrap_err();
    assert_eq!(timed.kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= SOON && !nonblocking(&writer));
    assert_eq!(reader.read(&mut [0; 65_536]).unwrap(), filled);
    assert_eq!(writer.write_timeout(b"more", SOON).unwrap(), 4);
    // It has a writer of its own, so it sees no end of the file.
    drop(writer);
    assert_eq!(reader.read(&mut [0; 10]).unwrap(), 4);
    assert_eq!(
        reader.try_read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn create_is_exclusive_and_open_takes_only_fifos() {
    let directory = Directory::new();
    let path = directory.file("fifo");
    assert_eq!(Fifo::open(&path).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(Fifo::unlink(&path).unwrap_err().kind(), Kind::NotFound);
    fifo::Options::new().mode(0o666).create(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666, "exactly, whatever the umask");
    let error = Fifo::create(&path).unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists);
    Fifo::open_or_create(&path).unwrap();
    assert!(path.exists(), "dropping a Fifo leaves the name");

    std::fs::write(directory.file("file"), "kept").unwrap();
    std::os::unix::fs::symlink(&path, directory.file("link")).unwrap();
    for (name, what) in [
        ("file", "a regular file"),
        (".", "a directory"),
        ("link", "symbolic"),
    ] {
        let error = match name {
            "link" => Fifo::unlink(directory.file(name)).unwrap_err(),
            _ => Fifo::open(directory.file(name)).unwrap_err(),
        };
        assert_eq!(error.kind(), Kind::BadInput);
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(
            Fifo::unlink(directory.file(name)).unwrap_err().kind(),
            Kind::BadInput
        );
    }
    assert_eq!(
        std::fs::read_to_string(directory.file("file")).unwrap(),
        "kept"
    );
    Fifo::unlink(&path).unwrap();
    assert!(!path.exists());
    let temporary = fifo::Options::new().temporary(true).create(&path).unwrap();
    drop(temporary);
    assert!(!path.exists());
    for bad in ["", "a\0b", &"n".repeat(256)] {
        assert_eq!(
            Fifo::create(Path::new(bad)).unwrap_err().kind(),
            Kind::BadName,
            "{bad:?}"
        );
    }
}

#[test]
fn others_may_open_it_only_as_its_mode_says() {
    if part().is_some() {
        process::become_nobody();
        let fifo = Fifo::open(argument("PATH")).unwrap();
        for error in [
            fifo.try_reader().unwrap_err(),
            fifo.try_writer().unwrap_err(),
            Fifo::unlink(argument("PATH")).unwrap_err(),
        ] {
            assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
        }
        return say("refused");
    }
    let directory = Directory::new();
    let path = directory.file("fifo");
    Fifo::create(&path).unwrap();
    let name = "others_may_open_it_only_as_its_mode_says";
    let mut child = play(name, "nobody", &[("PATH", path.to_str().unwrap())]).start();
    child.says("refused");
    child.succeeds();
}

#[test]
fn those_who_have_it_open_go_on_after_the_name_is_gone() {
    if part().is_some() {
        let mut writer = Fifo::open(argument("PATH")).unwrap().writer().unwrap();
        say("open");
        process::hear();
        writer.write_all(b"after").unwrap();
        say("written");
        std::thread::sleep(process::PATIENCE);
        return;
    }
    let directory = Directory::new();
    let path = directory.file("fifo");
    let fifo = Fifo::create(&path).unwrap();
    let name = "those_who_have_it_open_go_on_after_the_name_is_gone";
    let mut child = play(name, "write", &[("PATH", path.to_str().unwrap())]).start();
    let mut reader = fifo.reader().unwrap();
    child.says("open");
    Fifo::unlink(&path).unwrap();
    assert_eq!(fifo.try_reader().unwrap_err().kind(), Kind::NotFound);
    child.tell("go on");
    child.says("written");
    child.kill();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(
        text, "after",
        "what a killed writer wrote is there, then the end"
    );
}

#[test]
fn the_name_stays_without_processes_and_the_contents_do_not() {
    if !process::alone("the_name_stays_without_processes_and_the_contents_do_not") {
        return;
    }
    let directory = Directory::new();
    let path = directory.file("fifo");
    let fifo = Fifo::create(&path).unwrap();
    let mut keeper = fifo.reader_for_many().unwrap();
    fifo.writer().unwrap().write_all(b"lost").unwrap();
    assert_eq!(keeper.unread().unwrap(), 4);
    drop(keeper);
    keeper = fifo.reader_for_many().unwrap();
    assert_eq!(
        keeper.unread().unwrap(),
        0,
        "the name stays, the contents do not"
    );
    assert!(std::fs::metadata(&path).unwrap().file_type().is_fifo());
}

#[test]
fn the_shell_and_socat_are_at_the_other_end() {
    let directory = Directory::new();
    let path = directory.file("fifo");
    let fifo = Fifo::create(&path).unwrap();
    let mut shell = process::foreign("sh", "dash")
        .args(["-c", "echo from the shell > \"$0\""])
        .arg(&path)
        .spawn()
        .unwrap();
    let mut text = String::new();
    fifo.reader_timeout(process::PATIENCE)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "from the shell\n");
    assert!(shell.wait().unwrap().success());

    let socat = process::foreign("socat", "socat")
        .args(["-u", &format!("OPEN:{},rdonly", path.display()), "STDOUT"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut writer = fifo.writer_timeout(process::PATIENCE).unwrap();
    writer.write_all(b"to socat").unwrap();
    drop(writer);
    assert_eq!(socat.wait_with_output().unwrap().stdout, b"to socat");
}

#[test]
fn an_address_makes_opens_and_removes_it() {
    let directory = Directory::new();
    let path = directory.file("fifo");
    let address = format!("fifo:{}", path.display());
    let open = |text: &str, role, way| {
        let opening = Opening {
            role,
            way,
            wait: process::PATIENCE.into(),
        };
        catalog::open(&text.parse().unwrap(), opening).map(|endpoint| match endpoint {
            Endpoint::Stream(stream) => stream,
            _ => panic!("a FIFO is a stream"),
        })
    };
    assert_eq!(
        open(&address, Role::Join, Way::Out).err().unwrap().kind(),
        Kind::NotFound
    );
    let both = open(&address, Role::Serve, Way::Both).err().unwrap();
    assert!(both.to_string().contains("one way"), "{both}");
    let bad = open(&format!("{address}?mode=rw"), Role::Serve, Way::In)
        .err()
        .unwrap();
    assert!(bad.to_string().contains("mode=rw"), "{bad}");
    Fifo::unlink(&path).unwrap();
    catalog::create(&format!("{address}?mode=0640").parse().unwrap()).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    let again = catalog::create(&address.parse().unwrap()).unwrap_err();
    assert_eq!(again.kind(), Kind::AlreadyExists);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut out = open(&address, Role::Join, Way::Out).unwrap();
            out.write_all(b"by address").unwrap();
            out.finish().unwrap();
            std::thread::sleep(SOON);
        });
        let mut text = String::new();
        let mut end = open(&format!("{address}?temporary"), Role::Serve, Way::In).unwrap();
        end.read_to_string(&mut text).unwrap();
        assert_eq!(text, "by address");
    });
    assert!(!path.exists());
    let gone = catalog::unlink(&address.parse().unwrap()).unwrap_err();
    assert_eq!(gone.kind(), Kind::NotFound);
}
