//! TCP between processes: time-outs, half-close, death of the peer, names that mean nothing, and socat.

mod process;

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use process::{argument, part, play, say};
use wigwag::stream::{Input, Output, tcp};
use wigwag::{Endpoint, Kind, Opening, Role, Way, catalog};

const SOON: Duration = Duration::from_millis(50);

fn nonblocking(end: &impl std::os::fd::AsFd) -> bool {
    rustix::fs::fcntl_getfl(end)
        .expect("the flags")
        .contains(rustix::fs::OFlags::NONBLOCK)
}

/// Whether this machine has IPv6; many containers have not.
fn ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn both_ways_and_half_closed_over_ipv4_and_ipv6() {
    if part().is_some() {
        let mut stream = tcp::Stream::connect(argument("NAME")).unwrap();
        assert!(!nonblocking(&stream));
        stream.write_all(&vec![7; 1_000_000]).unwrap();
        stream.finish().unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        return say(&answer);
    }
    let name = "both_ways_and_half_closed_over_ipv4_and_ipv6";
    for at in ["127.0.0.1:0", "[::1]:0", "localhost:0", ":0"] {
        if at == "[::1]:0" && !ipv6() {
            let error = tcp::Listener::create(at).unwrap_err();
            assert!(
                error.to_string().starts_with("cannot listen at TCP socket"),
                "{error}"
            );
            continue;
        }
        let listener = tcp::Listener::create(at).expect(at);
        let given = listener.name().unwrap();
        let mut child = play(name, "connect", &[("NAME", &given)]).start();
        let mut stream = listener.accept_timeout(process::PATIENCE).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, vec![7; 1_000_000]);
        assert!(stream.peer().unwrap().ip().to_canonical().is_loopback());
        stream.write_all(b"after your end").unwrap();
        drop(stream);
        child.says("after your end");
        child.succeeds();
    }
}

#[test]
fn an_empty_host_is_reached_over_both_protocols() {
    let listener = tcp::Listener::create(":0").unwrap();
    let name = listener.name().unwrap();
    let port = name.rsplit(':').next().unwrap();
    for host in ["127.0.0.1", "[::1]", "localhost", ""] {
        if host == "[::1]" && !ipv6() {
            continue;
        }
        tcp::Stream::connect_timeout(format!("{host}:{port}"), process::PATIENCE).expect(host);
        listener.accept_timeout(process::PATIENCE).expect(host);
    }
}

#[test]
fn a_killed_peer_is_noticed() {
    if part().is_some() {
        let _stream = tcp::Stream::connect(argument("NAME")).unwrap();
        say("here");
        std::thread::sleep(process::PATIENCE);
        return;
    }
    let listener = tcp::Listener::create("localhost:0").unwrap();
    let name = listener.name().unwrap();
    let mut child = play("a_killed_peer_is_noticed", "hold", &[("NAME", &name)]).start();
    let mut stream = listener.accept_timeout(process::PATIENCE).unwrap();
    child.says("here");
    assert_eq!(
        stream.try_read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    child.kill();
    assert_eq!(stream.read_timeout(&mut [0], process::PATIENCE).unwrap(), 0);
    let broken = (0..1000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(1));
        stream.write(b"x").err()
    });
    let kind = broken.expect("writing fails in the end").kind();
    assert!(
        matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
        "{kind:?}"
    );
}

#[test]
fn nothing_waits_longer_than_told() {
    let listener = tcp::Options::new()
        .backlog(0)
        .listen("127.0.0.1:0")
        .unwrap();
    let name = listener.name().unwrap();
    assert_eq!(listener.try_accept().unwrap_err().kind(), Kind::WouldBlock);
    assert_eq!(
        listener.accept_timeout(SOON).unwrap_err().kind(),
        Kind::TimedOut
    );
    let mut client = tcp::Stream::connect(&name).unwrap();
    let mut server = listener.accept().unwrap();
    assert_eq!(
        server.read_timeout(&mut [0], SOON).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    let mut sent = 0;
    loop {
        match client.write_timeout(&[0; 100_000], SOON) {
            Ok(count) => sent += count,
            Err(error) => break assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
    }
    let mut received = 0;
    while let Ok(count) = server.read_timeout(&mut [0; 100_000], SOON) {
        received += count;
    }
    assert_eq!(received, sent);
    assert!(!nonblocking(&client) && !nonblocking(&server) && !nonblocking(&listener));

    // Once the queue is full the kernel drops what asks to connect.
    let start = Instant::now();
    let mut queued = Vec::new();
    let late = loop {
        match tcp::Stream::connect_timeout(&name, SOON) {
            Ok(stream) => queued.push(stream),
            Err(error) => break error,
        }
        assert!(queued.len() < 10);
    };
    assert_eq!(late.kind(), Kind::TimedOut, "{late}");
    assert!(start.elapsed() >= SOON);
    assert_eq!(
        late.to_string(),
        format!("cannot connect to TCP socket {name}: timed out")
    );
}

#[test]
fn names_and_ports_that_mean_nothing_are_one_clear_line() {
    if !process::alone("names_and_ports_that_mean_nothing_are_one_clear_line") {
        return;
    }
    let taken = tcp::Listener::create("127.0.0.1:0").unwrap();
    let free = {
        tcp::Listener::create("127.0.0.1:0")
            .unwrap()
            .name()
            .unwrap()
    };
    for (error, kind, says) in [
        (
            tcp::Stream::connect("no-such-host.invalid:1").unwrap_err(),
            Kind::NotFound,
            "the host name no-such-host.invalid does not resolve",
        ),
        (
            tcp::Stream::connect("localhost").unwrap_err(),
            Kind::BadName,
            "port is missing",
        ),
        (
            tcp::Stream::connect("::1:80").unwrap_err(),
            Kind::BadName,
            "brackets",
        ),
        (
            tcp::Stream::connect(&free).unwrap_err(),
            Kind::Disconnected,
            "connection refused",
        ),
        (
            tcp::Listener::create(taken.name().unwrap()).unwrap_err(),
            Kind::AlreadyExists,
            "address already in use",
        ),
        (
            tcp::Listener::create("192.0.2.1:0").unwrap_err(),
            Kind::Limit,
            "assign",
        ),
    ] {
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

#[test]
fn options_reach_the_kernel() {
    let listener = tcp::Listener::create("localhost:0").unwrap();
    let stream = tcp::Stream::connect(listener.name().unwrap()).unwrap();
    assert!(!stream.nodelay().unwrap());
    stream.set_nodelay(true).unwrap();
    assert!(stream.nodelay().unwrap());
    stream.set_keepalive(Some(Duration::from_secs(7))).unwrap();
    assert_eq!(
        rustix::net::sockopt::tcp_keepidle(&stream).unwrap(),
        Duration::from_secs(7)
    );
    stream.set_keepalive(None).unwrap();
    assert!(!rustix::net::sockopt::socket_keepalive(&stream).unwrap());
}

#[test]
fn socat_connects_and_is_connected_to() {
    if !process::alone("socat_connects_and_is_connected_to") {
        return;
    }
    let listener = tcp::Listener::create("127.0.0.1:0").unwrap();
    let name = listener.name().unwrap();
    let mut socat = process::foreign("socat", "socat")
        .args(["-", &format!("TCP:{name}")])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    socat.stdin.take().unwrap().write_all(b"question").unwrap();
    let mut stream = listener.accept_timeout(process::PATIENCE).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    stream.write_all(b"answer").unwrap();
    drop(stream);
    assert_eq!(
        (&text[..], &socat.wait_with_output().unwrap().stdout[..]),
        ("question", &b"answer"[..])
    );
    drop(listener);

    let mut echo = process::foreign("socat", "socat")
        .args([
            &format!(
                "TCP-LISTEN:{},bind=127.0.0.1,reuseaddr",
                name.rsplit(':').next().unwrap()
            ),
            "EXEC:cat",
        ])
        .spawn()
        .unwrap();
    let mut stream = None;
    process::eventually("socat listens", || {
        stream = tcp::Stream::connect(&name).ok();
        stream.is_some()
    });
    let mut stream = stream.unwrap();
    stream.write_all(b"echo").unwrap();
    stream.finish().unwrap();
    text.clear();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "echo");
    assert!(echo.wait().unwrap().success());
}

#[test]
fn an_address_serves_one_client() {
    if !process::alone("an_address_serves_one_client") {
        return;
    }
    // A port that was free a moment ago.
    let name = tcp::Listener::create("127.0.0.1:0")
        .unwrap()
        .name()
        .unwrap();
    let address: wigwag::Address = format!("tcp:{name}?nodelay").parse().unwrap();
    let open = |role| {
        let opening = Opening {
            role,
            way: Way::Both,
            wait: process::PATIENCE.into(),
        };
        match catalog::open(&address, opening) {
            Ok(Endpoint::Stream(stream)) => Ok(stream),
            Ok(_) => panic!("TCP is a stream"),
            Err(error) => Err(error),
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = loop {
                match open(Role::Join) {
                    Err(error) if error.kind() == Kind::Disconnected => {
                        std::thread::sleep(Duration::from_millis(1))
                    }
                    client => break client.unwrap(),
                }
            };
            assert!(rustix::net::sockopt::tcp_nodelay(&client).unwrap());
            client.write_all(b"by address").unwrap();
        });
        let mut text = String::new();
        open(Role::Serve)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "by address");
    });
}
