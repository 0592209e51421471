//! Unix datagram and seqpacket sockets between processes, with socat, Python and C on the other end too.

mod process;
mod refusal;

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::time::{Duration, Instant};

use process::{
    Directory, argument, compiled, eventually, foreign, hear, part, play, python, say, unique,
};
use refusal::{LONG, SHORT, interrupted_by, nobody, refusal, this_thread, thread};
use rustix::event::{PollFd, PollFlags};
use wigwag::message::{Note, Sender, datagram, seqpacket};
use wigwag::signal::{self, Signal};
use wigwag::{Kind, Name, Opening, Wait, catalog};

fn hidden(stem: &str) -> String {
    format!("@{}", unique(stem))
}

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe")
}

/// Fills a socket until it would block.
fn fill(mut send: impl FnMut() -> wigwag::Result<()>) -> usize {
    let mut count = 0;
    loop {
        match send() {
            Ok(()) => count += 1,
            Err(error) => {
                assert_eq!(error.kind(), Kind::WouldBlock, "{error}");
                return count;
            }
        }
    }
}

#[test]
fn a_datagram_comes_whole_with_its_sender() {
    let test = "a_datagram_comes_whole_with_its_sender";
    if part().is_some() {
        let to = datagram::Address::new(argument("SERVER")).expect("an address");
        let bound = datagram::Socket::bind(argument("CLIENT")).expect("bind");
        bound.send_to(b"question", &to).expect("send");
        let mut buffer = [0; 64];
        let answer = bound.recv_from(&mut buffer).expect("receive");
        assert_eq!(
            (&buffer[..answer.len], answer.from),
            (&b"answer"[..], Some(to))
        );
        let unbound = datagram::Socket::connect(argument("SERVER")).expect("connect");
        unbound.send(b"").expect("send");
        return;
    }
    let directory = Directory::new();
    for (server, client) in [
        (hidden("server"), hidden("client")),
        (
            directory.file("server").display().to_string(),
            directory.file("client").display().to_string(),
        ),
    ] {
        let options = datagram::Options::new().credentials(true).temporary(true);
        let socket = options.bind(&server).expect("bind");
        let arguments = [("SERVER", &server[..]), ("CLIENT", &client)];
        let child = play(test, "client", &arguments).start();
        let mut buffer = [0; 64];
        let arrival = socket
            .recv_from_with(&mut buffer, Wait::For(LONG))
            .expect("receive");
        assert_eq!(&buffer[..arrival.len], b"question");
        let sender = arrival.sender.expect("credentials");
        assert_eq!((sender.pid, sender.uid), (child.pid(), 0));
        let from = arrival.from.expect("a name");
        assert_eq!(from.to_string(), client);
        socket.send_to(b"answer", &from).expect("answer");
        let arrival = socket
            .recv_from_with(&mut buffer, Wait::For(LONG))
            .expect("receive");
        assert_eq!((arrival.len, arrival.from), (0, None));
        child.succeeds();
    }
    assert!(!directory.file("server").exists(), "temporary");
    assert!(directory.file("client").exists(), "not temporary");
}

#[test]
fn a_full_receiver_makes_wait_as_long_as_told() {
    let name = hidden("full");
    let receiver = datagram::Socket::bind(&name).expect("bind");
    let connected = datagram::Socket::connect(&name).expect("connect");
    let unbound = datagram::Socket::unbound().expect("a socket");
    let to = datagram::Address::new(&name).expect("an address");
    assert!(fill(|| connected.try_send(b"x")) >= 1);
    refusal(
        connected.try_send(b"x"),
        Kind::WouldBlock,
        "net.unix.max_dgram_qlen is",
    );
    refusal(
        unbound.send_to_with(b"x", &to, &[], Wait::Not),
        Kind::WouldBlock,
        "full",
    );
    let start = Instant::now();
    refusal(connected.send_timeout(b"x", SHORT), Kind::TimedOut, "full");
    refusal(
        unbound.send_to_with(b"x", &to, &[], Wait::For(SHORT)),
        Kind::TimedOut,
        "full",
    );
    assert!(start.elapsed() >= 2 * SHORT && start.elapsed() < LONG);
    std::thread::scope(|scope| {
        let one = scope.spawn(|| connected.send(b"1"));
        let two = scope.spawn(|| connected.send_timeout(b"2", LONG));
        let three = scope.spawn(|| unbound.send_to_with(b"3", &to, &[], Wait::For(LONG)));
        std::thread::sleep(SHORT);
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let mut buffer = [0; 8];
            let len = receiver.recv_timeout(&mut buffer, LONG).expect("receive");
            if buffer[0] != b'x' {
                seen.push(buffer[..len].to_vec());
            }
        }
        for sender in [one, two, three] {
            sender.join().expect("no panic").expect("sent at last");
        }
    });
    refusal(
        receiver.try_recv(&mut [0; 8]),
        Kind::WouldBlock,
        "no message",
    );
    refusal(
        receiver.recv_timeout(&mut [0; 8], SHORT),
        Kind::TimedOut,
        "no message",
    );
}

#[test]
fn waiting_for_room_of_a_stranger_costs_no_processor_time() {
    let name = hidden("idle");
    let receiver = datagram::Socket::bind(&name).expect("bind");
    let to = datagram::Address::new(&name).expect("an address");
    let unbound = datagram::Socket::unbound().expect("a socket");
    fill(|| unbound.send_to_with(b"x", &to, &[], Wait::Not));
    let used = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let before = used();
    refusal(
        unbound.send_to_with(b"x", &to, &[], Wait::For(Duration::from_secs(1))),
        Kind::TimedOut,
        "full",
    );
    let after = used();
    let spent = (after.tv_sec - before.tv_sec) * 1_000_000_000 + after.tv_nsec - before.tv_nsec;
    assert!(
        spent < 200_000_000,
        "{spent} ns of processor time in a second of waiting"
    );
    drop(receiver);
}

#[test]
fn nothing_is_cut_in_silence_and_too_big_is_refused() {
    let (here, there) = datagram::pair().expect("a pair");
    here.send(b"0123456789").expect("send");
    assert_eq!(there.next_len().expect("peek"), 10);
    refusal(
        there.recv(&mut [0; 4]),
        Kind::TooBig,
        "had 10 bytes, the buffer 4",
    );
    here.send(b"0123456789").expect("send");
    refusal(
        there.recv_from(&mut [0; 4]),
        Kind::TooBig,
        "had 10 bytes, the buffer 4",
    );
    let longest = here.max_len();
    refusal(
        here.send(&vec![0; longest + 1]),
        Kind::TooBig,
        "net.core.wmem_default is",
    );
    here.send(&vec![7; longest]).expect("the longest");
    let mut buffer = vec![0; longest];
    assert_eq!(there.recv(&mut buffer).expect("receive"), longest);
    assert!(buffer.iter().all(|byte| *byte == 7));

    let (here, there) = seqpacket::pair().expect("a pair");
    here.send(b"0123456789").expect("send");
    refusal(
        there.recv(&mut [0; 4]),
        Kind::TooBig,
        "had 10 bytes, the buffer 4",
    );
    let longest = here.max_len();
    refusal(
        here.send(&vec![0; longest + 1]),
        Kind::TooBig,
        "net.core.wmem_default is",
    );
    here.send(&vec![7; longest]).expect("the longest");
    assert_eq!(there.recv(&mut buffer).expect("receive"), Some(longest));
}

#[test]
fn names_that_do_not_fit_say_why() {
    let directory = Directory::new();
    let path = directory.file("name");
    refusal(datagram::Socket::connect(&path), Kind::NotFound, "name");
    refusal(seqpacket::Socket::connect(&path), Kind::NotFound, "name");
    let gone = datagram::Socket::bind(&path).expect("bind");
    refusal(
        seqpacket::Socket::connect(&path),
        Kind::BadInput,
        "no seqpacket socket",
    );
    refusal(
        datagram::Socket::bind(&path),
        Kind::AlreadyExists,
        "a process is bound",
    );
    drop(gone);
    // What other tests are starting has a copy of the descriptor between fork and exec.
    process::eventually("nobody has the socket", || {
        datagram::Socket::connect(&path).is_err_and(|error| error.kind() == Kind::Disconnected)
    });
    refusal(datagram::Socket::connect(&path), Kind::Disconnected, "gone");
    refusal(
        datagram::Socket::bind(&path),
        Kind::AlreadyExists,
        "its process is gone",
    );
    refusal(
        seqpacket::Socket::connect(&path),
        Kind::Disconnected,
        "nobody listens",
    );
    datagram::unlink(&path).expect("remove");
    refusal(datagram::unlink(&path), Kind::NotFound, "name");
    let listener = seqpacket::Listener::create(&path).expect("listen");
    refusal(
        datagram::Socket::connect(&path),
        Kind::BadInput,
        "no datagram socket",
    );
    refusal(
        seqpacket::unlink(&path),
        Kind::AlreadyExists,
        "a process is bound",
    );
    drop(listener);
    std::fs::remove_file(&path).expect("remove");
    std::fs::write(&path, "precious").expect("write");
    refusal(datagram::unlink(&path), Kind::BadInput, "no socket");
    let over = datagram::Options::new().take_over(true).bind(&path);
    refusal(over, Kind::AlreadyExists, "no socket");
    assert_eq!(std::fs::read(&path).expect("read"), b"precious");
    for bad in [
        "",
        "@",
        &"x".repeat(108),
        &format!("@{}", "x".repeat(108)),
        "a\0b",
    ] {
        refusal(datagram::Socket::bind(bad), Kind::BadName, "");
        refusal(seqpacket::Socket::connect(bad), Kind::BadName, "");
    }
    let unconnected = datagram::Socket::unbound().expect("a socket");
    refusal(unconnected.send(b"x"), Kind::BadInput, "not connected");
    let odd = directory.file("\u{1}odd \u{fffd}");
    let bound = datagram::Socket::bind(&odd).expect("bind");
    assert_eq!(bound.name(), Name::Path(odd));
}

#[test]
fn a_path_left_by_the_dead_is_taken_over_by_exactly_one() {
    let test = "a_path_left_by_the_dead_is_taken_over_by_exactly_one";
    let datagrams = datagram::Options::new().take_over(true).temporary(true);
    match part().as_deref() {
        Some("dies") => {
            let _socket = datagrams.bind(argument("PATH")).expect("bind");
            say("bound");
            hear();
            return;
        }
        Some(_) => {
            say("here");
            hear();
            let outcome = datagrams.bind(argument("PATH"));
            say(if outcome.is_ok() { "mine" } else { "taken" });
            hear();
            return;
        }
        None => {}
    }
    let directory = Directory::new();
    let path = directory.file("name");
    let arguments = [("PATH", path.to_str().expect("text"))];
    for _ in 0..3 {
        let mut dead = play(test, "dies", &arguments).start();
        dead.says("bound");
        dead.kill();
        assert!(path.exists(), "kill -9 leaves the path");
        let mut rivals: Vec<_> = (0..4)
            .map(|_| play(test, "rival", &arguments).start())
            .collect();
        rivals.iter_mut().for_each(|rival| rival.says("here"));
        rivals.iter_mut().for_each(|rival| rival.tell("go"));
        let mine = rivals
            .iter_mut()
            .map(process::Child::line)
            .filter(|line| line == "mine")
            .count();
        assert_eq!(mine, 1);
        rivals.iter_mut().for_each(|rival| rival.tell("end"));
        rivals.into_iter().for_each(process::Child::succeeds);
        assert!(!path.exists(), "the winner removed its own path");
    }
}

#[test]
fn another_user_needs_write_permission() {
    let test = "another_user_needs_write_permission";
    if part().is_some() {
        let (datagram, seqpacket) = (argument("DATAGRAM"), argument("SEQPACKET"));
        if argument("MODE") == "0600" {
            refusal(
                datagram::Socket::connect(datagram),
                Kind::PermissionDenied,
                "",
            );
            refusal(
                seqpacket::Socket::connect(seqpacket),
                Kind::PermissionDenied,
                "",
            );
        } else {
            datagram::Socket::connect(datagram)
                .expect("connect")
                .send(b"x")
                .expect("send");
            seqpacket::Socket::connect(seqpacket)
                .expect("connect")
                .send(b"x")
                .expect("send");
        }
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new();
    let all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.file(""), all).expect("open the directory");
    for (mode, text) in [(0o600, "0600"), (0o666, "0666")] {
        let paths = ["datagram", "seqpacket"].map(|name| directory.file(&format!("{name}-{text}")));
        let socket = datagram::Options::new()
            .mode(mode)
            .credentials(true)
            .bind(&paths[0]);
        let socket = socket.expect("bind");
        let listener = seqpacket::Options::new()
            .mode(mode)
            .listen(&paths[1])
            .expect("listen");
        let arguments = [
            ("DATAGRAM", paths[0].to_str().expect("text")),
            ("SEQPACKET", paths[1].to_str().expect("text")),
            ("MODE", text),
        ];
        let child = play(test, "nobody", &arguments).with(nobody).start();
        if mode == 0o666 {
            let arrival = socket
                .recv_from_with(&mut [0; 8], Wait::For(LONG))
                .expect("receive");
            assert_eq!(arrival.sender.expect("credentials").uid, 65534);
            let peer = listener.accept_timeout(LONG).expect("accept");
            assert_eq!(peer.peer().expect("credentials").uid, 65534);
            assert_eq!(
                peer.recv_timeout(&mut [0; 8], LONG).expect("receive"),
                Some(1)
            );
        }
        child.succeeds();
    }
}

#[test]
fn a_connection_ends_for_the_one_when_the_other_is_killed() {
    let test = "a_connection_ends_for_the_one_when_the_other_is_killed";
    if part().is_some() {
        let socket = seqpacket::Socket::connect(argument("NAME")).expect("connect");
        socket.send(b"last words").expect("send");
        hear();
        return;
    }
    let name = hidden("killed");
    let listener = seqpacket::Listener::create(&name).expect("listen");
    for _ in 0..5 {
        let mut child = play(test, "client", &[("NAME", &name)]).start();
        let socket = listener.accept_timeout(LONG).expect("accept");
        let credentials = socket.peer().expect("credentials");
        assert_eq!(credentials.pid, child.pid());
        eventually("it sent", || {
            let mut fds = [PollFd::new(&socket, PollFlags::IN)];
            let now = rustix::event::Timespec::default();
            rustix::event::poll(&mut fds, Some(&now)) == Ok(1)
        });
        std::thread::scope(|scope| {
            let mut buffer = [0; 64];
            let first = socket.recv(&mut buffer).expect("receive");
            assert_eq!(&buffer[..first.expect("no end")], b"last words");
            let waiter = scope.spawn(|| socket.recv(&mut [0; 64]));
            std::thread::sleep(SHORT);
            child.kill();
            assert_eq!(waiter.join().expect("no panic").expect("receive"), None);
        });
        refusal(socket.send(b"x"), Kind::Disconnected, "closed");
    }
    // Whoever waits for room learns it too.
    let (here, there) = seqpacket::pair().expect("a pair");
    fill(|| here.try_send(&[0; 1000]));
    refusal(here.send_timeout(&[0; 1000], SHORT), Kind::TimedOut, "full");
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| here.send(&[0; 1000]));
        let timed = scope.spawn(|| here.send_timeout(&[0; 1000], LONG));
        std::thread::sleep(SHORT);
        drop(there);
        for waiter in [blocked, timed] {
            refusal(
                waiter.join().expect("no panic"),
                Kind::Disconnected,
                "closed",
            );
        }
    });
}

#[test]
fn empty_messages_are_messages_and_the_end_is_the_end() {
    let (here, there) = seqpacket::pair().expect("a pair");
    let mut buffer = [0; 8];
    here.send(b"").expect("send");
    assert_eq!(there.recv(&mut buffer).expect("receive"), Some(0));
    here.send(b"").expect("send");
    here.send(b"x").expect("send");
    here.finish().expect("finish");
    assert_eq!(there.recv(&mut buffer).expect("receive"), Some(0));
    assert_eq!(there.recv(&mut buffer).expect("receive"), Some(1));
    assert_eq!(there.recv(&mut buffer).expect("receive"), None);
    assert_eq!(there.try_recv(&mut buffer).expect("receive"), None);
    there.send(b"the other way").expect("still open");
    let (here, there) = seqpacket::pair().expect("a pair");
    there.pass_credentials(true).expect("ask");
    here.send(b"").expect("send");
    drop(here);
    let last = there
        .recv_from(&mut buffer)
        .expect("receive")
        .expect("an empty message");
    assert_eq!(
        last.sender.expect("credentials").pid,
        std::process::id().cast_signed()
    );
    assert!(there.recv_from(&mut buffer).expect("receive").is_none());
    // The other end closed with something unread: told once, nothing is lost.
    let (here, there) = seqpacket::pair().expect("a pair");
    here.send(b"unread").expect("send");
    there.send(b"read").expect("send");
    drop(there);
    refusal(
        here.recv(&mut buffer),
        Kind::Disconnected,
        "without having received all",
    );
    assert_eq!(here.recv(&mut buffer).expect("receive"), Some(4));
    assert_eq!(here.recv(&mut buffer).expect("receive"), None);
}

#[test]
fn many_descriptors_go_with_one_message() {
    let test = "many_descriptors_go_with_one_message";
    if part().is_some() {
        let mut buffer = [0; 8];
        let descriptors = if argument("KIND") == "datagram" {
            let socket = datagram::Socket::bind(argument("NAME")).expect("bind");
            say("bound");
            socket.recv_from(&mut buffer).expect("receive").descriptors
        } else {
            let listener = seqpacket::Listener::create(argument("NAME")).expect("listen");
            say("bound");
            let socket = listener.accept().expect("accept");
            socket
                .recv_from(&mut buffer)
                .expect("receive")
                .expect("no end")
                .descriptors
        };
        for (number, fd) in descriptors.iter().enumerate() {
            let flags = rustix::io::fcntl_getfd(fd).expect("its flags");
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            rustix::io::write(fd, &[number as u8]).expect("write");
        }
        return say(&descriptors.len().to_string());
    }
    for kind in ["datagram", "seqpacket"] {
        let name = hidden("many");
        let mut child = play(test, "receiver", &[("NAME", &name), ("KIND", kind)]).start();
        child.says("bound");
        let pipes: Vec<_> = (0..253).map(|_| pipe()).collect();
        let writers: Vec<BorrowedFd<'_>> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
        let mut too_many = writers.clone();
        too_many.push(writers[0]);
        if kind == "datagram" {
            let socket = datagram::Socket::connect(&name).expect("connect");
            refusal(
                socket.send_descriptors(b"", &too_many, Wait::Forever),
                Kind::BadInput,
                "253",
            );
            socket
                .send_descriptors(b"253", &writers, Wait::Forever)
                .expect("send");
        } else {
            let socket = seqpacket::Socket::connect(&name).expect("connect");
            refusal(
                socket.send_descriptors(b"", &too_many, Wait::Forever),
                Kind::BadInput,
                "253",
            );
            socket
                .send_descriptors(b"253", &writers, Wait::Forever)
                .expect("send");
        }
        child.says("253");
        child.succeeds();
        for (number, (reader, _)) in pipes.iter().enumerate() {
            let mut byte = [0];
            rustix::io::read(reader, &mut byte[..]).expect("read");
            assert_eq!(usize::from(byte[0]), number);
        }
    }
}

#[test]
fn descriptors_that_cannot_be_opened_are_not_lost_in_silence() {
    if part().is_some() {
        let (here, there) = seqpacket::pair().expect("a pair");
        let (_reader, writer) = pipe();
        here.send_descriptors(b"x", &[writer.as_fd(); 20], Wait::Forever)
            .expect("send");
        let limit = libc::rlimit {
            rlim_cur: 12,
            rlim_max: 12,
        };
        // SAFETY: the pointer is to a live rlimit.
        let lowered = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        assert_eq!(lowered, 0);
        return refusal(
            there.recv_from(&mut [0; 8]),
            Kind::Limit,
            "RLIMIT_NOFILE is 12",
        );
    }
    play(
        "descriptors_that_cannot_be_opened_are_not_lost_in_silence",
        "",
        &[],
    )
    .start()
    .succeeds();
}

#[test]
fn a_signal_does_not_end_the_waiting() {
    let test = "a_signal_does_not_end_the_waiting";
    if part().is_some() {
        interrupted_by(Signal::USR1);
        let listener = seqpacket::Listener::create(argument("NAME")).expect("listen");
        say(&this_thread());
        let socket = listener.accept().expect("accept");
        let mut buffer = [0; 64];
        let len = socket.recv(&mut buffer).expect("receive").expect("no end");
        return say(&String::from_utf8_lossy(&buffer[..len]));
    }
    let name = hidden("interrupted");
    let mut child = play(test, "receiver", &[("NAME", &name)]).start();
    let thread = thread(&child.line());
    let pester = |child: &process::Child, call| {
        for _ in 0..20 {
            child.sleeps_in(call);
            signal::send_thread(thread, Signal::USR1).expect("signal");
        }
    };
    pester(&child, libc::SYS_accept4);
    let socket = seqpacket::Socket::connect(&name).expect("connect");
    pester(&child, libc::SYS_recvfrom);
    socket.send(b"at last").expect("send");
    child.says("at last");
    child.succeeds();
}

#[test]
fn a_full_queue_of_connections_makes_wait_as_long_as_told() {
    let name = hidden("backlog");
    let listener = seqpacket::Options::new()
        .backlog(1)
        .listen(&name)
        .expect("listen");
    refusal(listener.try_accept(), Kind::WouldBlock, "");
    refusal(listener.accept_timeout(SHORT), Kind::TimedOut, "");
    let mut clients = Vec::new();
    let error = loop {
        match seqpacket::Socket::connect_with(&name, Wait::Not) {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
    };
    refusal::<()>(Err(error), Kind::WouldBlock, "queue of connections is full");
    let late = seqpacket::Socket::connect_with(&name, Wait::For(SHORT));
    refusal(late, Kind::TimedOut, "queue of connections is full");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| seqpacket::Socket::connect(&name));
        std::thread::sleep(SHORT);
        let accepted: Vec<_> = (0..=clients.len())
            .map(|_| listener.accept_timeout(LONG))
            .collect();
        assert!(accepted.iter().all(Result::is_ok));
        waits.join().expect("no panic").expect("connected at last");
    });
}

#[test]
fn an_address_opens_it_for_messages() {
    let test = "an_address_opens_it_for_messages";
    let open = |address: &str, opening: Opening| match catalog::open(
        &address.parse().expect("an address"),
        opening,
    )
    .expect("open")
    {
        catalog::Endpoint::Messages(messages) => messages,
        _ => panic!("a socket carries messages"),
    };
    if part().is_some() {
        let sender = open(&argument("ADDRESS"), Opening::SEND);
        for text in ["one", "", "three"] {
            sender
                .send_with(text.as_bytes(), Note::default(), Wait::For(LONG))
                .expect("send");
        }
        let typed = Note {
            priority: None,
            kind: Some(1),
        };
        refusal(
            sender.send_with(b"", typed, Wait::Not),
            Kind::BadInput,
            "no type",
        );
        return;
    }
    let directory = Directory::new();
    for scheme in ["unix-dgram", "unix-seqpacket"] {
        let path = directory.file(scheme);
        let address = format!("{scheme}:{}", path.display());
        let serves = std::thread::spawn({
            let address = format!("{address}?take-over&mode=0600");
            move || open(&address, Opening::RECEIVE)
        });
        eventually("it is bound", || path.exists());
        let child = play(test, "sender", &[("ADDRESS", &address)]).start();
        let receiver = serves.join().expect("no panic");
        let mut buffer = b"old".to_vec();
        for text in ["one", "", "three"] {
            let received = receiver
                .recv_with(&mut buffer, None, Wait::For(LONG))
                .expect("receive");
            let received = received.expect("no end");
            assert_eq!(String::from_utf8_lossy(&buffer), text);
            let Some(Sender::Process { pid, uid: 0, .. }) = received.sender else {
                panic!("{:?}", received.sender)
            };
            assert_eq!(pid, child.pid());
        }
        child.succeeds();
        if scheme == "unix-seqpacket" {
            let end = receiver
                .recv_with(&mut buffer, None, Wait::For(LONG))
                .expect("receive");
            assert!(end.is_none());
        }
        drop(receiver);
        assert!(!path.exists(), "the path is removed");
    }
    let dead = directory.file("dead");
    drop(datagram::Socket::bind(&dead).expect("bind"));
    let address = format!("unix-dgram:{}", dead.display());
    let address = address.parse().expect("an address");
    // What other tests are starting has a copy of the descriptor between fork and exec.
    process::eventually("it is removed", || catalog::unlink(&address).is_ok());
    assert!(!dead.exists());
}

#[test]
fn socat_and_python_speak_at_the_other_end() {
    let directory = Directory::new();
    let path = directory.file("socat");
    let socket = datagram::Socket::bind(&path).expect("bind");
    let mut socat = foreign("socat", "socat");
    let mut socat = socat.args(["-u", "-", &format!("UNIX-SENDTO:{}", path.display())]);
    socat = socat.stdin(Stdio::piped());
    let mut sends = socat.spawn().expect("run socat");
    sends
        .stdin
        .take()
        .expect("its input")
        .write_all(b"from socat")
        .expect("write");
    let mut buffer = [0; 64];
    let len = socket.recv_timeout(&mut buffer, LONG).expect("receive");
    assert_eq!(&buffer[..len], b"from socat");
    assert!(sends.wait().expect("its end").success());

    let path = directory.file("socat-receives");
    let mut socat = foreign("socat", "socat");
    let socat = socat
        .args(["-u", &format!("UNIX-RECV:{}", path.display()), "-"])
        .stdout(Stdio::piped());
    let mut receives = socat.spawn().expect("run socat");
    eventually("socat is bound", || {
        datagram::Socket::connect(&path).is_ok()
    });
    datagram::Socket::connect(&path)
        .expect("connect")
        .send(b"to socat")
        .expect("send");
    let mut got = [0; 8];
    receives
        .stdout
        .take()
        .expect("its output")
        .read_exact(&mut got)
        .expect("read");
    assert_eq!(&got, b"to socat");
    receives.kill().expect("end socat");
    receives.wait().expect("its end");

    // socat has the number of SOCK_SEQPACKET as an option of its generic sockets.
    let path = directory.file("seqpacket");
    let listener = seqpacket::Listener::create(&path).expect("listen");
    let mut socat = foreign("socat", "socat");
    let socat = socat.args(["-", &format!("UNIX-CONNECT:{},type=5", path.display())]);
    let mut speaks = socat
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run socat");
    let connection = listener.accept_timeout(LONG).expect("accept");
    speaks
        .stdin
        .as_mut()
        .expect("its input")
        .write_all(b"ping")
        .expect("write");
    let len = connection.recv_timeout(&mut buffer, LONG).expect("receive");
    assert_eq!(&buffer[..len.expect("no end")], b"ping");
    connection.send(b"pong").expect("send");
    drop(connection);
    drop(speaks.stdin.take());
    let mut answer = String::new();
    speaks
        .stdout
        .take()
        .expect("its output")
        .read_to_string(&mut answer)
        .expect("read");
    assert_eq!(answer, "pong");
    assert!(speaks.wait().expect("its end").success());

    let script = format!(
        "import socket, os, array\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\ns.connect({path:?})\n\
         assert s.recv(100) == b'one'\nassert s.recv(100) == b'two'\nr, w = os.pipe()\n\
         s.sendmsg([b'fd'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [r]))])\nos.write(w, b'by pipe')"
    );
    let mut speaks = python("socket", &script).spawn().expect("run python");
    let connection = listener.accept_timeout(LONG).expect("accept");
    connection.send(b"one").expect("send");
    connection.send(b"two").expect("send");
    let arrival = connection
        .recv_from_with(&mut buffer, Wait::For(LONG))
        .expect("receive");
    let arrival = arrival.expect("no end");
    assert_eq!(
        (&buffer[..arrival.len], arrival.descriptors.len()),
        (&b"fd"[..], 1)
    );
    let len = rustix::io::read(&arrival.descriptors[0], &mut buffer[..]).expect("read");
    assert_eq!(&buffer[..len], b"by pipe");
    assert_eq!(connection.recv(&mut buffer).expect("the end"), None);
    assert!(speaks.wait().expect("its end").success());
}

const C_PASSES_DESCRIPTORS: &str = r#"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>
/* Connects to argv[1] with the socket type argv[2], sends back every descriptor it receives. */
int main(int argc, char **argv) {
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    struct sockaddr_un own = { .sun_family = AF_UNIX };
    int s = socket(AF_UNIX, argv[2][0] == 'd' ? SOCK_DGRAM : SOCK_SEQPACKET, 0);
    strcpy(to.sun_path, argv[1]);
    if (argc > 3) { strcpy(own.sun_path, argv[3]); if (bind(s, (void *)&own, sizeof own)) return 1; }
    if (connect(s, (void *)&to, sizeof to)) return 2;
    if (send(s, "hello", 5, 0) != 5) return 3;
    char data[16], space[CMSG_SPACE(64 * sizeof(int))];
    struct iovec v = { data, sizeof data };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space };
    ssize_t n = recvmsg(s, &m, 0);
    if (n < 0 || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) return 4;
    v.iov_len = n;
    return sendmsg(s, &m, 0) == n ? 0 : 5;
}
"#;

#[test]
fn a_c_program_passes_descriptors_back() {
    let directory = Directory::new();
    let program = compiled(&directory, "passes", C_PASSES_DESCRIPTORS, &[]);
    let (path, own) = (directory.file("server"), directory.file("client"));
    let pipes: Vec<_> = (0..50).map(|_| pipe()).collect();
    let writers: Vec<_> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
    let mut buffer = [0; 64];

    let listener = seqpacket::Options::new()
        .temporary(true)
        .listen(&path)
        .expect("listen");
    let mut c = std::process::Command::new(&program);
    let mut c = c.arg(&path).arg("seqpacket").spawn().expect("run it");
    let socket = listener.accept_timeout(LONG).expect("accept");
    assert_eq!(
        socket.recv_timeout(&mut buffer, LONG).expect("receive"),
        Some(5)
    );
    socket
        .send_descriptors(b"fifty", &writers, Wait::Forever)
        .expect("send");
    let back = socket
        .recv_from_with(&mut buffer, Wait::For(LONG))
        .expect("receive");
    let back = back.expect("no end");
    assert_eq!(
        (&buffer[..back.len], back.descriptors.len()),
        (&b"fifty"[..], 50)
    );
    rustix::io::write(&back.descriptors[49], b"through").expect("write");
    let len = rustix::io::read(&pipes[49].0, &mut buffer[..]).expect("read");
    assert_eq!(&buffer[..len], b"through");
    assert!(c.wait().expect("its end").success());
    drop(listener);

    let server = datagram::Options::new()
        .credentials(true)
        .bind(&path)
        .expect("bind");
    let mut c = std::process::Command::new(&program);
    let mut c = c
        .arg(&path)
        .arg("datagram")
        .arg(&own)
        .spawn()
        .expect("run it");
    let hello = server
        .recv_from_with(&mut buffer, Wait::For(LONG))
        .expect("receive");
    assert_eq!(hello.sender.expect("credentials").pid, c.id().cast_signed());
    let client = hello.from.expect("a name");
    server
        .send_to_with(b"fifty", &client, &writers, Wait::For(LONG))
        .expect("send");
    let back = server
        .recv_from_with(&mut buffer, Wait::For(LONG))
        .expect("receive");
    assert_eq!(
        (&buffer[..back.len], back.descriptors.len()),
        (&b"fifty"[..], 50)
    );
    assert!(c.wait().expect("its end").success());
}

#[test]
fn a_sender_outside_our_pid_namespace_has_no_pid() {
    let name = unique("outside");
    let test = "a_sender_outside_our_pid_namespace_has_no_pid";
    if part().is_some() {
        let socket = seqpacket::Socket::connect(argument("NAME")).expect("connect");
        socket.pass_credentials(true).expect("ask");
        say("connected");
        let arrival = socket
            .recv_from(&mut [0; 8])
            .expect("receive")
            .expect("no end");
        say(&arrival.sender.expect("credentials").pid.to_string());
        return say(&socket.peer().expect("peer").pid.to_string());
    }
    let directory = Directory::new();
    let path = directory.file(&name);
    let listener = seqpacket::Listener::create(&path).expect("listen");
    // The child of a process that unshared its pid namespace is process 1 of the new one.
    let own_pids = |command: &mut std::process::Command| {
        let program = command.get_program().to_owned();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let variables: Vec<_> = command
            .get_envs()
            .map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned)))
            .collect();
        *command = foreign("unshare", "util-linux");
        command
            .args(["--pid", "--fork", "--kill-child"])
            .arg(program)
            .args(arguments);
        for (key, value) in variables {
            command.env(key, value.unwrap_or_default());
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
    };
    let arguments = [("NAME", path.to_str().expect("text"))];
    let mut child = play(test, "inside", &arguments).with(own_pids).start();
    let socket = listener.accept_timeout(LONG).expect("accept");
    child.says("connected");
    socket.send(b"x").expect("send");
    child.says("0");
    child.says("0");
    child.succeeds();
}
