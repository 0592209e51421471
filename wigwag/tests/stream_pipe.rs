//! Pipes between processes: the end of the file, the full pipe, death at either end, and what may not be disturbed.

mod process;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use process::{part, play, say};
use wigwag::stream::{Input, Output, pipe};
use wigwag::{Endpoint, Kind, Opening, Role, Wait, Way, catalog};

/// The pipe end the test gave this process as its standard input.
fn given<T: From<OwnedFd>>() -> T {
    std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .expect("standard input")
        .into()
}

fn nonblocking(end: &impl AsFd) -> bool {
    rustix::fs::fcntl_getfl(end)
        .expect("the flags")
        .contains(rustix::fs::OFlags::NONBLOCK)
}

#[test]
fn bytes_reach_another_process_and_the_last_drop_is_the_end_of_the_file() {
    if part().is_some() {
        let mut bytes = Vec::new();
        given::<pipe::Reader>().read_to_end(&mut bytes).unwrap();
        let whole = bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == (at % 251) as u8);
        return say(&format!("{} {whole}", bytes.len()));
    }
    let (reader, mut writer) = pipe::pair().unwrap();
    let name = "bytes_reach_another_process_and_the_last_drop_is_the_end_of_the_file";
    let mut child = play(name, "read", &[])
        .with(|c| _ = c.stdin(reader))
        .start();
    let bytes: Vec<u8> = (0..3_000_000).map(|at| (at % 251) as u8).collect();
    writer.write_all(&bytes).unwrap();
    drop(writer);
    child.says("3000000 true");
    child.succeeds();
}

#[test]
fn a_killed_writer_is_the_end_of_the_file_and_a_killed_reader_an_error() {
    if part().is_some() {
        say("here");
        std::thread::sleep(process::PATIENCE);
        return;
    }
    let name = "a_killed_writer_is_the_end_of_the_file_and_a_killed_reader_an_error";
    let (mut reader, writer) = pipe::pair().unwrap();
    let mut child = play(name, "hold", &[])
        .with(|c| _ = c.stdin(writer))
        .start();
    child.says("here");
    assert_eq!(
        reader.try_read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    child.kill();
    assert_eq!(reader.read_timeout(&mut [0], process::PATIENCE).unwrap(), 0);

    let (reader, mut writer) = pipe::pair().unwrap();
    let mut child = play(name, "hold", &[])
        .with(|c| _ = c.stdin(reader))
        .start();
    child.says("here");
    writer.write_all(b"nobody will read this").unwrap();
    child.kill();
    assert_eq!(
        writer.write(b"x").unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    let timed = writer.write_timeout(b"x", process::PATIENCE);
    assert_eq!(timed.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_broken_pipe_kills_nobody_even_where_sigpipe_would() {
    if let Some(part) = part() {
        // SAFETY: the signal's default action is what C programs start with.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (reader, mut writer) = pipe::pair().unwrap();
        let (packet_reader, packets) = pipe::packets().unwrap();
        drop((reader, packet_reader));
        if part == "bare" {
            let raw: OwnedFd = writer.into();
            let _ = rustix::io::write(&raw, b"x");
            return say("bare survived");
        }
        assert_eq!(
            writer.write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        assert_eq!(
            writer.try_write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        let lent = writer.lend(b"static").unwrap_err();
        assert_eq!(lent.kind(), Kind::Disconnected, "{lent}");
        assert_eq!(packets.send(b"x").unwrap_err().kind(), Kind::Disconnected);
        let (full, mut fill) = pipe::pair().unwrap();
        fill.write_all(b"x").unwrap();
        assert_eq!(
            full.splice_to(&writer, 1).unwrap_err().kind(),
            Kind::Disconnected
        );
        return say("survived");
    }
    let name = "a_broken_pipe_kills_nobody_even_where_sigpipe_would";
    let mut child = play(name, "ours", &[]).start();
    child.says("survived");
    child.succeeds();
    let mut bare = play(name, "bare", &[]).start();
    assert_eq!(
        bare.ends().signal(),
        Some(libc::SIGPIPE),
        "the control experiment"
    );
}

#[test]
fn a_full_pipe_makes_the_writer_wait_until_there_is_room() {
    if part().is_some() {
        let mut writer: pipe::Writer = given();
        say("writing");
        writer.write_all(b"the last").unwrap();
        return say("written");
    }
    let (mut reader, mut writer) = pipe::pair().unwrap();
    let mut filled = 0;
    loop {
        match writer.try_write(&[b'x'; pipe::ATOMIC]) {
            Ok(count) => filled += count,
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    assert_eq!(
        (filled, reader.unread().unwrap()),
        (reader.capacity().unwrap(), filled)
    );
    let start = Instant::now();
    let timed = writer.write_timeout(b"x", Duration::from_millis(50));
    assert_eq!(timed.unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert!(!nonblocking(&writer) && !nonblocking(&reader));

    let name = "a_full_pipe_makes_the_writer_wait_until_there_is_room";
    let mut child = play(name, "write", &[])
        .with(|c| _ = c.stdin(writer))
        .start();
    child.says("writing");
    child.sleeps_in(libc::SYS_write);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert!(all.len() == filled + 8 && all.ends_with(b"xthe last"));
    child.says("written");
    child.succeeds();
}

#[test]
fn atomic_writes_of_several_processes_are_never_mixed() {
    if let Some(letter) = part() {
        let mut writer: pipe::Writer = given();
        for _ in 0..200 {
            assert_eq!(
                writer.write(&[letter.as_bytes()[0]; pipe::ATOMIC]).unwrap(),
                pipe::ATOMIC
            );
        }
        return;
    }
    let (mut reader, writer) = pipe::pair().unwrap();
    let name = "atomic_writes_of_several_processes_are_never_mixed";
    let children: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|letter| {
            let end = writer.try_clone().unwrap();
            play(name, letter, &[]).with(|c| _ = c.stdin(end)).start()
        })
        .collect();
    drop(writer);
    let mut block = [0; pipe::ATOMIC];
    let mut counts = [0; 3];
    while reader.read_exact(&mut block).is_ok() {
        assert!(
            block.iter().all(|byte| *byte == block[0]),
            "two writes are mixed"
        );
        counts[usize::from(block[0] - b'a')] += 1;
    }
    assert_eq!(counts, [200; 3]);
    children.into_iter().for_each(process::Child::succeeds);
}

#[test]
fn capacity_can_be_chosen_up_to_the_limit_which_the_error_names() {
    if part().is_some() {
        process::become_nobody();
        let (reader, _writer) = pipe::pair().unwrap();
        for bytes in [1 << 30, usize::MAX] {
            let error = reader.set_capacity(bytes).unwrap_err();
            assert_eq!(error.kind(), Kind::Limit, "{error}");
            assert!(
                error.to_string().contains("fs.pipe-max-size is "),
                "{error}"
            );
        }
        return say("refused");
    }
    let (reader, mut writer) = pipe::pair().unwrap();
    assert_eq!(writer.set_capacity(100_000).unwrap(), 131_072);
    assert_eq!(reader.capacity().unwrap(), 131_072);
    writer.write_all(&[0; 131_072]).unwrap();
    let error = reader.set_capacity(4096).unwrap_err();
    assert_eq!(error.kind(), Kind::WouldBlock, "{error}");
    assert_eq!(reader.unread().unwrap(), 131_072);
    let name = "capacity_can_be_chosen_up_to_the_limit_which_the_error_names";
    let mut child = play(name, "nobody", &[]).start();
    child.says("refused");
    child.succeeds();
}

#[test]
fn too_many_descriptors_is_an_error_that_names_the_limit() {
    if part().is_some() {
        process::limit_open_files(64);
        let mut pipes = Vec::new();
        let error = loop {
            match pipe::pair() {
                Ok(pair) => pipes.push(pair),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), Kind::Limit);
        return say(&error.to_string());
    }
    let mut child = play(
        "too_many_descriptors_is_an_error_that_names_the_limit",
        "many",
        &[],
    )
    .start();
    child.says("cannot create pipe: too many open files (RLIMIT_NOFILE is 64)");
    child.succeeds();
}

#[test]
fn a_signal_handler_does_not_end_reading_or_stretch_its_time() {
    if let Some(part) = part() {
        extern "C" fn handler(_: libc::c_int) {}
        // SAFETY: the handler does nothing; without SA_RESTART system calls end with EINTR.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            assert_eq!(
                libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()),
                0
            );
            // Of all threads only the one that reads.
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGUSR1);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
        }
        let mut reader: pipe::Reader = given();
        // SAFETY: gettid has no arguments.
        say(&format!("{}", unsafe { libc::gettid() }));
        if part == "wait" {
            let mut bytes = [0; 5];
            reader.read_exact(&mut bytes).unwrap();
            return say(std::str::from_utf8(&bytes).unwrap());
        }
        let start = Instant::now();
        let error = reader
            .read_timeout(&mut [0], Duration::from_millis(300))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let took = start.elapsed();
        assert!(
            took >= Duration::from_millis(300) && took < Duration::from_secs(20),
            "{took:?}"
        );
        return say("in time");
    }
    let name = "a_signal_handler_does_not_end_reading_or_stretch_its_time";
    let interrupt = |child: &process::Child, thread: i32| {
        for _ in 0..20 {
            // SAFETY: tgkill takes numbers only.
            unsafe { libc::syscall(libc::SYS_tgkill, child.pid(), thread, libc::SIGUSR1) };
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let (reader, mut writer) = pipe::pair().unwrap();
    let mut child = play(name, "wait", &[])
        .with(|c| _ = c.stdin(reader))
        .start();
    let thread = child.line().parse().unwrap();
    child.sleeps_in(libc::SYS_read);
    interrupt(&child, thread);
    writer.write_all(b"hello").unwrap();
    child.says("hello");
    child.succeeds();

    let (reader, _writer) = pipe::pair().unwrap();
    let mut child = play(name, "time", &[])
        .with(|c| _ = c.stdin(reader))
        .start();
    let thread = child.line().parse().unwrap();
    interrupt(&child, thread);
    child.says("in time");
    child.succeeds();
}

#[test]
fn packets_keep_their_boundaries_between_processes() {
    if part().is_some() {
        let writer: pipe::PacketWriter = given();
        for len in [1, 2, 100, pipe::ATOMIC, 3] {
            writer.send(&vec![len as u8; len]).unwrap();
        }
        let error = writer.send(&[0; pipe::ATOMIC + 1]).unwrap_err();
        assert_eq!(error.kind(), Kind::TooBig, "{error}");
        assert_eq!(writer.send(b"").unwrap_err().kind(), Kind::BadInput);
        return;
    }
    let (reader, writer) = pipe::packets().unwrap();
    let mut buffer = [0; pipe::ATOMIC];
    assert_eq!(
        reader.try_recv(&mut buffer).unwrap_err().kind(),
        Kind::WouldBlock
    );
    let late = reader
        .recv_timeout(&mut buffer, Duration::from_millis(10))
        .unwrap_err();
    assert_eq!(late.kind(), Kind::TimedOut);
    let name = "packets_keep_their_boundaries_between_processes";
    let child = play(name, "send", &[])
        .with(|c| _ = c.stdin(OwnedFd::from(writer)))
        .start();
    for len in [1, 2, 100, pipe::ATOMIC, 3] {
        assert_eq!(
            reader.recv(&mut buffer).unwrap(),
            Some(&vec![len as u8; len][..])
        );
    }
    assert_eq!(reader.recv(&mut buffer).unwrap(), None);
    child.succeeds();
}

#[test]
fn splice_tee_and_lend_move_the_bytes_that_were_there() {
    static LENT: [u8; 30_000] = [9; 30_000];
    let directory = process::Directory::new();
    let source: Vec<u8> = (0..200_000_u32).map(|at| (at * 7) as u8).collect();
    std::fs::write(directory.file("in"), &source).unwrap();
    let (reader, writer) = pipe::pair().unwrap();
    let (mut copy, to_copy) = pipe::pair().unwrap();
    let input = File::open(directory.file("in")).unwrap();
    let output = File::create(directory.file("out")).unwrap();
    let mut copied = Vec::new();
    loop {
        let moved = writer.splice_from(&input, 20_000).unwrap();
        if moved == 0 {
            break;
        }
        assert_eq!(reader.tee(&to_copy, moved).unwrap(), moved);
        let mut piece = vec![0; moved];
        copy.read_exact(&mut piece).unwrap();
        copied.extend(piece);
        let mut left = moved;
        while left > 0 {
            left -= reader.splice_to(&output, left).unwrap();
        }
    }
    assert_eq!(copied, source);
    assert_eq!(std::fs::read(directory.file("out")).unwrap(), source);

    assert_eq!(writer.lend(&LENT).unwrap(), LENT.len());
    drop(writer);
    let mut all = Vec::new();
    (&reader).read_to_end(&mut all).unwrap();
    assert_eq!(all, LENT);
    // A read end that was taken for a write end must not be written into our memory.
    let error = pipe::Writer::from(OwnedFd::from(reader))
        .lend(&LENT)
        .unwrap_err();
    assert!(error.to_string().contains("bad file descriptor"), "{error}");
}

#[test]
fn a_python_program_reads_and_writes_our_pipes() {
    let (to_reader, mut to) = pipe::pair().unwrap();
    let (mut from, from_writer) = pipe::pair().unwrap();
    let script = "import sys; sys.stdout.write(sys.stdin.read().upper())";
    let mut python = process::python("sys", script);
    let mut child = python.stdin(to_reader).stdout(from_writer).spawn().unwrap();
    drop(python); // the command keeps its ends open
    to.write_all(b"wig").unwrap();
    to.write_all(b"wag").unwrap();
    drop(to);
    let mut answer = String::new();
    from.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "WIGWAG");
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_inherited_pipe_is_opened_by_its_number() {
    fn stream(address: &str, way: Way) -> wigwag::Result<Box<dyn wigwag::stream::Stream>> {
        let opening = Opening {
            role: Role::Join,
            way,
            wait: Wait::Forever,
        };
        match catalog::open(&address.parse()?, opening)? {
            Endpoint::Stream(stream) => Ok(stream),
            _ => panic!("a pipe is a stream"),
        }
    }
    if part().is_some() {
        let mut writer = stream("pipe:?fd=0&capacity=128K", Way::Out).unwrap();
        writer.write_all(b"inherited").unwrap();
        let refused = writer.read(&mut [0]).unwrap_err();
        assert!(refused.to_string().contains("one way"), "{refused}");
        writer.finish().unwrap();
        assert_eq!(
            writer.write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        for (address, says) in [
            ("pipe:?fd=0", "this is the end to write to"),
            ("pipe:?fd=999", "no descriptor of this number"),
            ("pipe:?fd=three", "a whole number from 0"),
            ("pipe:", "pipe:?fd=3"),
        ] {
            let error = stream(address, Way::In).err().expect(address);
            assert_eq!(error.kind(), Kind::BadInput);
            assert!(error.to_string().contains(says), "{error}");
        }
        return;
    }
    let (mut reader, writer) = pipe::pair().unwrap();
    let name = "an_inherited_pipe_is_opened_by_its_number";
    let child = play(name, "open", &[])
        .with(|c| _ = c.stdin(writer))
        .start();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "inherited");
    assert_eq!(reader.capacity().unwrap(), 131_072);
    child.succeeds();
    let null = Stdio::null();
    let mut child = play(name, "open", &[]).with(|c| _ = c.stdin(null)).start();
    assert!(!child.ends().success(), "/dev/null is no pipe");
}

#[test]
fn a_pipe_of_std_is_one_of_ours_and_back() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (reader, mut writer) = (pipe::Reader::from(reader), pipe::Writer::from(writer));
    writer.write_all(b"std").unwrap();
    drop(std::io::PipeWriter::from(writer));
    let mut text = String::new();
    std::io::PipeReader::from(reader)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "std");
}

#[test]
fn a_peer_that_sets_nonblocking_on_the_shared_open_file_does_not_stop_our_waiting() {
    if part().is_some() {
        let end: OwnedFd = given();
        let flags = rustix::fs::fcntl_getfl(&end).unwrap();
        rustix::fs::fcntl_setfl(&end, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        return;
    }
    let name = "a_peer_that_sets_nonblocking_on_the_shared_open_file_does_not_stop_our_waiting";
    let (mut reader, mut writer) = pipe::pair().unwrap();
    let (for_reader, for_writer) = (reader.try_clone().unwrap(), writer.try_clone().unwrap());
    play(name, "set", &[])
        .with(|c| _ = c.stdin(for_reader))
        .start()
        .succeeds();
    play(name, "set", &[])
        .with(|c| _ = c.stdin(for_writer))
        .start()
        .succeeds();
    assert!(nonblocking(&reader) && nonblocking(&writer));
    let bytes = vec![5; 300_000];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            writer.write_all(&bytes).unwrap();
            drop(writer);
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all, bytes);
    });
}
