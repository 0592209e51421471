//! Hostile: whatever bytes the other side sends, it is told so, its connection ends, and everybody else goes on.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

use crate::carrier::{Left, addresses, serve, server};
use crate::process::{Child, eventually, part, unique};
use crate::refusal::{LONG, SHORT, refusal};
use wigwag::Kind;
use wigwag::message::posix;
use wigwag::pattern::rpc::Client;

/// A frame by the documentation.
fn frame(kind: u8, id: u64, word: u64, client: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"wR\x01".to_vec();
    bytes.push(kind);
    bytes.extend((body.len() as u32).to_le_bytes());
    for number in [id, word, client] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(body);
    bytes
}

fn raw(at: &str) -> UnixStream {
    let name = at.strip_prefix("rpc+unix:@").expect("an abstract name");
    let address = SocketAddr::from_abstract_name(name).expect("a name");
    let stream = UnixStream::connect_addr(&address).expect("connect");
    stream.set_read_timeout(Some(LONG)).expect("a time-out");
    stream
}

/// The kind, number, word and body of the next frame; nothing at the end.
fn next(stream: &mut UnixStream) -> Option<(u8, u64, u64, String)> {
    let mut head = [0; 32];
    stream.read_exact(&mut head).ok()?;
    let number = |from: usize| u64::from_le_bytes(head[from..from + 8].try_into().expect("8"));
    let len = u32::from_le_bytes(head[4..8].try_into().expect("4"));
    let mut body = vec![0; len as usize];
    stream.read_exact(&mut body).expect("the body");
    let body = String::from_utf8_lossy(&body).into_owned();
    Some((head[3], number(8), number(16), body))
}

/// Resident memory in bytes.
fn memory(child: &Child) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", child.pid())).expect("statm");
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("a number");
    pages * 4096
}

#[test]
fn what_is_no_frame_ends_its_connection_with_words_and_no_other() {
    if part().is_some() {
        return serve();
    }
    let test = "hostile::what_is_no_frame_ends_its_connection_with_words_and_no_other";
    for workers in [1, 3] {
        let (_child, at) = server(test, &addresses()[0], workers);
        let client = Client::connect(&at).expect("connect");
        let good = frame(1, 1, 0, 0, b"echo x");
        for (bytes, says) in [
            (
                b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
                "it does not begin with wR",
            ),
            (
                [&good[..2], b"\x02", &good[3..]].concat(),
                "another version",
            ),
            (
                [&good[..3], b"\x09", &good[4..]].concat(),
                "none from 1 to 6",
            ),
            (frame(1, 0, 0, 0, b"echo x"), "the number 0"),
            (
                frame(2, 1, 0, 0, b"an answer"),
                "not one that comes from a client",
            ),
            (
                frame(5, 1, 0, 0, b"/hello"),
                "not one that comes from a client",
            ),
            (
                [frame(1, 7, 0, 0, b"wait "), frame(1, 7, 0, 0, b"wait ")].concat(),
                "the number of another",
            ),
            (
                frame(4, 1, 0, 0, &[0; 5_000_000]),
                "it has a body, and is no call",
            ),
        ] {
            let mut stream = raw(&at);
            // It may have ended the connection before it has all.
            let _ = stream.write_all(&bytes);
            let (kind, id, code, why) = next(&mut stream).expect("an error");
            assert_eq!((kind, id, code), (3, 0, 5), "{why}");
            assert!(why.contains(says), "{why} should contain {says}");
            assert_eq!(next(&mut stream), None, "the connection ends");
            assert_eq!(client.call_timeout(b"echo on", LONG).expect("call"), b"on");
        }
    }
}

#[test]
fn who_sends_slowly_or_only_half_keeps_nobody_waiting() {
    if part().is_some() {
        return serve();
    }
    let test = "hostile::who_sends_slowly_or_only_half_keeps_nobody_waiting";
    for workers in [1, 3] {
        let (_child, at) = server(test, &addresses()[0], workers);
        let request = frame(1, 1, 0, 0, b"echo slowly");
        let mut slow: Vec<UnixStream> = (0..30)
            .map(|number| {
                let mut stream = raw(&at);
                stream.write_all(&request[..number]).expect("write");
                stream
            })
            .collect();
        let client = Client::connect(&at).expect("connect");
        for _ in 0..50 {
            assert_eq!(client.call_timeout(b"echo on", LONG).expect("call"), b"on");
        }
        // Slow is not wrong.
        for (number, stream) in slow.iter_mut().enumerate() {
            stream.write_all(&request[number..]).expect("write");
            assert_eq!(next(stream), Some((2, 1, 0, "slowly".into())));
        }
    }
}

#[test]
fn promised_bytes_take_no_memory_and_too_many_are_passed_over() {
    if part().is_some() {
        return serve();
    }
    let test = "hostile::promised_bytes_take_no_memory_and_too_many_are_passed_over";
    let (child, at) = server(test, &addresses()[0], 1);
    let client = Client::connect(&at).expect("connect");
    client.call(b"echo x").expect("call");
    let before = memory(&child);
    let promising: Vec<UnixStream> = (0..50)
        .map(|_| {
            let mut stream = raw(&at);
            let mut head = frame(1, 1, 0, 0, b"");
            head[4..8].copy_from_slice(&4_000_000_u32.to_le_bytes());
            stream.write_all(&head).expect("write");
            stream
        })
        .collect();
    let mut stream = raw(&at);
    let mut head = frame(1, 9, 0, 0, b"");
    head[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    stream.write_all(&head).expect("write");
    let (kind, id, code, why) = next(&mut stream).expect("an error");
    assert_eq!((kind, id, code), (3, 9, 2), "{why}");
    assert!(
        why.contains("4294967295 bytes, the longest has 4194304"),
        "{why}"
    );
    for _ in 0..200 {
        stream.write_all(&vec![b'x'; 1 << 20]).expect("write");
    }
    assert_eq!(client.call(b"echo on").expect("call"), b"on");
    let grown = memory(&child).saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes");
    drop(promising);
}

#[test]
fn who_never_takes_an_answer_is_bounded_in_what_it_can_claim() {
    if part().is_some() {
        return serve();
    }
    let test = "hostile::who_never_takes_an_answer_is_bounded_in_what_it_can_claim";
    let (child, at) = server(test, &addresses()[0], 2);
    let client = Client::connect(&at).expect("connect");
    client.call(b"echo x").expect("call");
    let before = memory(&child);
    let mut stream = raw(&at);
    stream.set_write_timeout(Some(SHORT)).expect("a time-out");
    let start = Instant::now();
    for id in 1.. {
        if stream
            .write_all(&frame(1, id, 0, 0, b"long 300000"))
            .is_err()
        {
            break;
        }
        assert!(start.elapsed() < LONG, "it reads without an end");
    }
    let grown = memory(&child).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    assert_eq!(client.call_timeout(b"echo on", LONG).expect("call"), b"on");
}

#[test]
fn any_bytes_at_all_leave_the_server_as_it_was() {
    if part().is_some() {
        return serve();
    }
    let test = "hostile::any_bytes_at_all_leave_the_server_as_it_was";
    let (child, at) = server(test, &addresses()[0], 2);
    let descriptors = || {
        let directory = format!("/proc/{}/fd", child.pid());
        std::fs::read_dir(directory)
            .expect("its descriptors")
            .count()
    };
    let client = Client::connect(&at).expect("connect");
    client.call(b"echo x").expect("call");
    let before = descriptors();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut number = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for round in 0..400 {
        let mut bytes = frame(
            (number() % 8) as u8,
            number() % 3,
            number() % 2,
            0,
            b"echo x",
        );
        for _ in 0..number() % 4 {
            let at = number() as usize % bytes.len();
            bytes[at] = number() as u8;
        }
        let mut stream = raw(&at);
        let _ = stream.write_all(&bytes);
        if round % 2 == 0 {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
    assert_eq!(client.call_timeout(b"echo on", LONG).expect("call"), b"on");
    eventually("all are gone", || descriptors() == before);
}

#[test]
fn messages_of_strangers_in_a_request_queue_speak_for_nobody() {
    if part().is_some() {
        return serve();
    }
    let test = "hostile::messages_of_strangers_in_a_request_queue_speak_for_nobody";
    let address = &addresses()[2];
    let _left = Left(address);
    let (mut child, at) = server(test, address, 2);
    let name = at.strip_prefix("rpc+mq:").expect("its name").to_owned();
    let client = Client::connect(&at).expect("connect");
    let running = client.start(b"wait ").expect("start");
    child.says("waits");
    let queue = posix::Options::new()
        .way(wigwag::Way::Out)
        .open(format!("{name}.rpc"))
        .expect("the queue");
    // One that is there, and in which nobody sits.
    let victim = posix::Options::new()
        .depth(2)
        .max_len(64)
        .temporary(true)
        .create(format!("{name}.rpc.{:016x}", 42))
        .expect("a queue");
    for message in [
        b"".to_vec(),
        b"hello".to_vec(),
        vec![0xff; 2048],
        frame(1, 1, 0, 0, b"echo nobody"),
        frame(1, 1, 0, 12345, b"echo stranger"),
        frame(4, 1, 0, 12345, b""),
        frame(6, 0, 0, 12345, b""),
        frame(5, 0, 42, 77, b""),
        frame(5, 0, 42, 77, b""),
        frame(5, 0, 43, 78, b""),
        frame(5, 0, 43, 78, b""),
        frame(5, 0, 42, 0, b"/elsewhere"),
        frame(1, 1, 0, 77, b"echo"),
    ] {
        queue.send_timeout(&message, 0, LONG).expect("send");
        assert_eq!(client.call_timeout(b"echo on", LONG).expect("call"), b"on");
    }
    assert_eq!(victim.stat().expect("look").queued, 0);
    running.cancel();
    child.says("cancelled");
}

#[test]
fn strangers_in_a_lobby_and_damage_to_it_disturb_nobody_who_is_in() {
    use wigwag::memory::segment::Trust;
    use wigwag::pattern::channel::{Options, one_to_one::Channel};

    if part().is_some() {
        return serve();
    }
    let test = "hostile::strangers_in_a_lobby_and_damage_to_it_disturb_nobody_who_is_in";
    let address = &addresses()[3];
    let _left = Left(address);
    let (_child, at) = server(test, address, 2);
    let name = at
        .strip_prefix("rpc+channel:")
        .expect("its name")
        .to_owned();
    let client = Client::connect(&at).expect("connect");
    assert_eq!(client.call(b"echo in").expect("call"), b"in");
    let hello = |number: u64| frame(5, 0, number, 0, b"");
    for messages in [
        vec![b"".to_vec()],
        vec![b"hello?".to_vec(), vec![0xff; 5000]],
        // Whose channels are never made, and who changes his mind.
        vec![hello(1)],
        vec![hello(1), hello(1)],
        vec![hello(1), hello(2), hello(2), hello(3)],
        vec![
            frame(1, 1, 0, 0, b"echo x"),
            hello(4),
            frame(6, 0, 0, 0, b""),
        ],
    ] {
        let lobby: Channel<[u8]> = Options::new()
            .trust(Trust::Nobody)
            .open(format!("{name}.rpc"))
            .expect("the lobby");
        let mut sender = None;
        eventually("the seat is free", || {
            sender = lobby.sender().ok();
            sender.is_some()
        });
        for message in &messages {
            let sent = sender
                .as_mut()
                .expect("the seat")
                .send_timeout(message, LONG);
            sent.expect("send");
        }
        drop(sender);
        assert_eq!(client.call_timeout(b"echo on", LONG).expect("call"), b"on");
        let next = Client::connect_timeout(&at, LONG).expect("connect");
        assert_eq!(next.call_timeout(b"echo too", LONG).expect("call"), b"too");
    }
    // Everything behind the header of the segment, seats and positions.
    let path = format!("/dev/shm{name}.rpc");
    for byte in [0_u8, 0xff, 0x5a] {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("open");
        let len = file.metadata().expect("its length").len();
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(4096)).expect("seek");
        let waste = vec![byte; (len - 4096) as usize];
        file.write_all(&waste).expect("write");
        for _ in 0..20 {
            assert_eq!(client.call_timeout(b"echo on", LONG).expect("call"), b"on");
        }
        eventually("others come in again", || {
            Client::connect_timeout(&at, LONG)
                .is_ok_and(|next| next.call_timeout(b"echo too", LONG).is_ok())
        });
    }
}

/// Fills what this process has mapped of its channels with a byte, behind the header of the segment.
fn scribble(name: &str, byte: u8) {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the maps");
    let memory = std::fs::OpenOptions::new()
        .write(true)
        .open("/proc/self/mem");
    let memory = memory.expect("our memory");
    let mut pages = 0;
    for line in maps
        .lines()
        .filter(|line| line.contains(&format!("{name}.rpc.")))
    {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (from, to) = fields[0].split_once('-').expect("a range");
        let number = |text: &str| u64::from_str_radix(text, 16).expect("an address");
        let (from, to, offset) = (number(from), number(to), number(fields[2]));
        if !fields[1].contains('w') {
            continue;
        }
        let header = 4096_u64.saturating_sub(offset);
        for page in (from + header..to).step_by(4096) {
            use std::os::unix::fs::FileExt;
            memory.write_all_at(&[byte; 4096], page).expect("scribble");
            pages += 1;
        }
    }
    assert!(pages > 4, "{maps}");
}

#[test]
fn a_client_that_scribbles_over_its_channels_harms_only_itself() {
    let test = "hostile::a_client_that_scribbles_over_its_channels_harms_only_itself";
    match part().as_deref() {
        Some("server") => return serve(),
        Some(_) => {
            let at = crate::process::argument("at");
            let client = Client::connect(&at).expect("connect");
            let _pending = client.start(b"wait ").expect("start");
            let byte = crate::process::argument("byte").parse().expect("a byte");
            scribble(at.strip_prefix("rpc+channel:").expect("its name"), byte);
            crate::process::say("scribbled");
            loop {
                std::thread::park();
            }
        }
        None => {}
    }
    let address = &addresses()[3];
    let _left = Left(address);
    let (mut child, at) = server(test, address, 2);
    let client = Client::connect(&at).expect("connect");
    assert_eq!(client.call(b"echo in").expect("call"), b"in");
    let maps = || {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", child.pid())).expect("maps");
        maps.lines().filter(|line| line.contains(".rpc.")).count()
    };
    let before = maps();
    let mut scribblers = Vec::new();
    for byte in ["0", "1", "85", "127", "128", "170", "255"] {
        let arguments = [("at", &at[..]), ("byte", byte)];
        let mut other = crate::process::play(test, "client", &arguments).start();
        other.says("scribbled");
        for _ in 0..10 {
            assert_eq!(client.call_timeout(b"echo on", LONG).expect("call"), b"on");
        }
        scribblers.push(other);
    }
    scribblers.iter_mut().for_each(Child::kill);
    eventually("the server has let go of their memory", || maps() == before);
    assert_eq!(client.call_timeout(b"echo on", LONG).expect("call"), b"on");
    // Whatever of theirs was begun has ended.
    child.tell("enough");
    while child.line() != "served" {}
}

/// A server of ours that says to its first client what it likes.
fn lying(says: impl FnOnce(&mut UnixStream) + Send + 'static) -> String {
    let name = unique("lying");
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let listener = UnixListener::bind_addr(&address).expect("listen");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        says(&mut stream);
    });
    format!("rpc+unix:@{name}")
}

#[test]
fn a_server_that_lies_is_an_error_to_its_client_and_nothing_else() {
    let at = lying(|stream| {
        let _ = next(stream);
        stream
            .write_all(b"220 mail.example.org ESMTP\r\n..............")
            .expect("write");
        let _ = next(stream);
    });
    let client = Client::connect(&at).expect("connect");
    refusal(
        client.call_timeout(b"x", LONG),
        Kind::Corrupt,
        "is no frame: it does not begin with wR",
    );
    refusal(client.call_timeout(b"x", LONG), Kind::Corrupt, "no frame");

    // Answers to calls that nobody made, and half of one, and an unknown code.
    let at = lying(|stream| {
        let (_, id, ..) = next(stream).expect("a call");
        stream
            .write_all(&frame(2, id + 100, 0, 0, b"to whom?"))
            .expect("write");
        stream
            .write_all(&frame(3, id, 99, 0, b"odd"))
            .expect("write");
        let (_, id, ..) = next(stream).expect("a call");
        let answer = frame(2, id, 0, 0, b"whole");
        stream.write_all(&answer[..20]).expect("write");
        std::thread::sleep(Duration::from_millis(20));
        stream.write_all(&answer[20..]).expect("write");
        stream.write_all(&answer[..33]).expect("write");
    });
    let client = Client::connect(&at).expect("connect");
    refusal(client.call_timeout(b"x", LONG), Kind::Refused, "odd");
    assert_eq!(client.call_timeout(b"x", LONG).expect("call"), b"whole");
    refusal(
        client.call_timeout(b"x", LONG),
        Kind::Disconnected,
        "the server",
    );

    // Silence.
    let at = lying(|stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        // The call, that it was cancelled, and the farewell.
        assert_eq!(all.len(), 32 + 1 + 32 + 32);
    });
    let client = Client::connect(&at).expect("connect");
    refusal(
        client.call_timeout(b"x", SHORT),
        Kind::TimedOut,
        "no answer came",
    );
}
