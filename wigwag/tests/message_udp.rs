//! UDP sockets between processes, one to one and to many, with socat on the other end too.

mod process;
mod refusal;

use std::io::{Read, Write};
use std::net::IpAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use process::{argument, foreign, part, play, say};
use refusal::{LONG, SHORT, interrupted_by, refusal, this_thread, thread};
use wigwag::message::udp::{Interface, MAX_LEN, Options, Socket};
use wigwag::message::{Note, Sender};
use wigwag::signal::{self, Signal};
use wigwag::{Kind, Opening, Wait, catalog};

/// A port of this test process, below those that the system hands out.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = (std::process::id() % 2500) as u16;
    20_000 + own * 4 + NEXT.fetch_add(1, Ordering::Relaxed)
}

fn here(socket: &Socket) -> String {
    socket.local().expect("its address").to_string()
}

#[test]
fn messages_go_both_ways_over_ipv4_and_ipv6() {
    let test = "messages_go_both_ways_over_ipv4_and_ipv6";
    if part().is_some() {
        let socket = Socket::connect(argument("SERVER")).expect("connect");
        for text in ["one", "", "three"] {
            socket.send(text.as_bytes()).expect("send");
        }
        let mut buffer = [0; 64];
        let len = socket.recv_timeout(&mut buffer, LONG).expect("receive");
        return say(&String::from_utf8_lossy(&buffer[..len]));
    }
    for host in ["127.0.0.1:0", "[::1]:0", "localhost:0"] {
        let server = Socket::bind(host).expect("bind");
        let mut child = play(test, "client", &[("SERVER", &here(&server))]).start();
        let mut buffer = [0; 64];
        let mut last = None;
        for text in ["one", "", "three"] {
            let (len, from) = server
                .recv_from_with(&mut buffer, Wait::For(LONG))
                .expect("receive");
            assert_eq!(String::from_utf8_lossy(&buffer[..len]), text);
            last = Some(from);
        }
        server
            .send_to(b"answer", last.expect("an address"))
            .expect("send");
        child.says("answer");
        child.succeeds();
    }
}

#[test]
fn a_server_at_every_address_answers_both_kinds() {
    let server = Socket::bind(":0").expect("bind");
    let port = server.local().expect("its address").port();
    for host in ["127.0.0.1", "[::1]"] {
        let client = Socket::connect(format!("{host}:{port}")).expect("connect");
        client.send(b"x").expect("send");
        let (_, from) = server
            .recv_from_with(&mut [0; 8], Wait::For(LONG))
            .expect("receive");
        assert_eq!(from.is_ipv4(), host == "127.0.0.1", "{from}");
        server.send_to(b"answer", from).expect("send");
        assert_eq!(client.recv_timeout(&mut [0; 8], LONG).expect("receive"), 6);
    }
}

#[test]
fn nothing_is_cut_in_silence_and_too_big_is_refused() {
    let server = Socket::bind("127.0.0.1:0").expect("bind");
    let client = Socket::connect(here(&server)).expect("connect");
    client.send(&[0; 100]).expect("send");
    refusal(
        server.recv(&mut [0; 99]),
        Kind::TooBig,
        "had 100 bytes, the buffer 99",
    );
    client.send(&[0; 100]).expect("send");
    refusal(
        server.recv_from(&mut [0; 99]),
        Kind::TooBig,
        "had 100 bytes, the buffer 99",
    );
    refusal(
        client.send(&[0; MAX_LEN + 1]),
        Kind::TooBig,
        "65508 bytes, its longest has 65507",
    );
    client.send(&[7; MAX_LEN]).expect("the longest");
    let mut buffer = vec![0; MAX_LEN];
    assert_eq!(
        server.recv_timeout(&mut buffer, LONG).expect("receive"),
        MAX_LEN
    );
    let six = Socket::bind("[::1]:0").expect("bind");
    let client = Socket::connect(here(&six)).expect("connect");
    client
        .send(&vec![7; client.max_len()])
        .expect("the longest");
    refusal(
        client.send(&vec![7; client.max_len() + 1]),
        Kind::TooBig,
        "65528",
    );
    let mut buffer = vec![0; six.max_len()];
    assert_eq!(
        six.recv_timeout(&mut buffer, LONG).expect("receive"),
        six.max_len()
    );
}

#[test]
fn waiting_ends_when_told() {
    let socket = Socket::bind("127.0.0.1:0").expect("bind");
    refusal(socket.try_recv(&mut [0; 8]), Kind::WouldBlock, "no message");
    let start = Instant::now();
    refusal(
        socket.recv_timeout(&mut [0; 8], SHORT),
        Kind::TimedOut,
        "no message",
    );
    assert!(start.elapsed() >= SHORT && start.elapsed() < LONG);
    refusal(socket.send(b"x"), Kind::BadInput, "not connected");
}

#[test]
fn that_nobody_listens_is_told_to_who_is_connected() {
    let test = "that_nobody_listens_is_told_to_who_is_connected";
    if part().is_some() {
        let socket = Socket::bind("127.0.0.1:0").expect("bind");
        say(&here(&socket));
        socket.recv(&mut [0; 8]).expect("receive");
        say("received");
        process::hear();
        return;
    }
    let mut child = play(test, "", &[]).start();
    let client = Socket::connect(child.line()).expect("connect");
    client.send(b"x").expect("send");
    child.says("received");
    child.kill();
    client.send(b"to nobody").expect("on the wire");
    refusal(
        client.recv_timeout(&mut [0; 8], LONG),
        Kind::Disconnected,
        "nobody listens",
    );
    client.send(b"to nobody").expect("on the wire");
    process::eventually("a send is told too", || {
        client
            .try_send(b"x")
            .is_err_and(|error| error.kind() == Kind::Disconnected)
    });
}

#[test]
fn a_group_is_received_by_all_who_joined() {
    let test = "a_group_is_received_by_all_who_joined";
    let loopback = Interface::Address([127, 0, 0, 1].into());
    if part().is_some() {
        let socket = Options::new()
            .interface(loopback)
            .bind(argument("GROUP"))
            .expect("join");
        say("joined");
        let mut buffer = [0; 64];
        let (len, _) = socket
            .recv_from_with(&mut buffer, Wait::For(LONG))
            .expect("receive");
        return say(&String::from_utf8_lossy(&buffer[..len]));
    }
    let port = port();
    let group = format!("239.255.7.7:{port}");
    let mut children: Vec<_> = (0..3)
        .map(|_| play(test, "", &[("GROUP", &group)]).start())
        .collect();
    children.iter_mut().for_each(|child| child.says("joined"));
    let sender = Options::new()
        .interface(loopback)
        .ttl(0)
        .connect(&group)
        .expect("connect");
    sender.send(b"to all").expect("send");
    for mut child in children {
        child.says("to all");
        child.succeeds();
    }
    // The loopback interface brings everything back, so only the setting can be looked at.
    let quiet = Options::new()
        .looped(false)
        .connect(&group)
        .expect("connect");
    assert_eq!(rustix::net::sockopt::ip_multicast_loop(&quiet), Ok(false));
    assert_eq!(rustix::net::sockopt::ip_multicast_loop(&sender), Ok(true));
    let socket = Socket::bind("127.0.0.1:0").expect("bind");
    let one: IpAddr = [10, 0, 0, 1].into();
    refusal(
        socket.join(one, None),
        Kind::BadInput,
        "no multicast address",
    );
    let six: IpAddr = "ff02::7".parse().expect("an address");
    refusal(socket.join(six, None), Kind::BadInput, "IPv4 groups only");
}

#[test]
fn a_group_over_ipv6_by_the_index_of_the_interface() {
    let test = "a_group_over_ipv6_by_the_index_of_the_interface";
    if part().is_some() {
        // An interface that has IPv6 multicast, whatever this machine has.
        for line in [
            "link add w0 type veth peer name w1",
            "link set w0 up",
            "link set w1 up",
            "addr add fd77::1/64 dev w0 nodad",
        ] {
            let done = foreign("ip", "iproute2").args(line.split(' ')).status();
            assert!(done.expect("run ip").success(), "ip {line}");
        }
        let socket = Socket::bind("[::]:0").expect("a socket");
        let index = rustix::net::netdevice::name_to_index(&socket, "w0").expect("its index");
        let own = Interface::Index(index);
        let group: IpAddr = "ff05::77".parse().expect("an address");
        let receiver = Options::new()
            .interface(own)
            .group(group)
            .bind("[::]:0")
            .expect("join");
        let port = receiver.local().expect("its address").port();
        let sender = Options::new()
            .interface(own)
            .ttl(1)
            .connect(format!("[ff05::77]:{port}"));
        sender.expect("connect").send(b"six").expect("send");
        assert_eq!(
            receiver.recv_timeout(&mut [0; 8], LONG).expect("receive"),
            3
        );
        return;
    }
    play(test, "alone", &[])
        .with(own_network)
        .start()
        .succeeds();
}

/// A child in a network namespace of its own.
fn own_network(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: unshare(2) is a bare system call, fit for the time after fork.
    unsafe {
        command.pre_exec(|| match libc::unshare(libc::CLONE_NEWNET) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

#[test]
fn broadcast_must_be_allowed() {
    let receiver = Socket::bind("0.0.0.0:0").expect("bind");
    let port = receiver.local().expect("its address").port();
    // The loopback network has a broadcast address of its own.
    let all = format!("127.255.255.255:{port}");
    refusal(Socket::connect(&all), Kind::PermissionDenied, "");
    let sender = Options::new()
        .broadcast(true)
        .connect(&all)
        .expect("connect");
    sender.send(b"to all").expect("send");
    assert_eq!(
        receiver.recv_timeout(&mut [0; 8], LONG).expect("receive"),
        6
    );
    let unconnected = Socket::bind("0.0.0.0:0").expect("bind");
    let all = all.parse().expect("an address");
    refusal(
        unconnected.send_to(b"x", all),
        Kind::PermissionDenied,
        "needs the option broadcast",
    );
}

#[test]
fn names_that_do_not_fit_say_why() {
    for bad in [
        "localhost",
        "localhost:99999",
        "::1:80",
        "[::1:80",
        "a/b:80",
        "",
    ] {
        refusal(Socket::bind(bad), Kind::BadName, "");
        refusal(Socket::connect(bad), Kind::BadName, "");
    }
    refusal(Socket::connect("127.0.0.1:0"), Kind::BadInput, "port 0");
    let unconnected = Socket::bind("127.0.0.1:0").expect("bind");
    let zero = "127.0.0.1:0".parse().expect("an address");
    refusal(unconnected.send_to(b"x", zero), Kind::BadInput, "port 0");
    refusal(
        Socket::bind("203.0.113.7:0"),
        Kind::NotFound,
        "203.0.113.7:0",
    );
    refusal(
        Socket::connect("no such host.invalid:80"),
        Kind::NotFound,
        "invalid",
    );
    let taken = Socket::bind("127.0.0.1:0").expect("bind");
    refusal(
        Socket::bind(here(&taken)),
        Kind::AlreadyExists,
        &here(&taken),
    );
}

#[test]
fn a_signal_does_not_end_the_waiting() {
    let test = "a_signal_does_not_end_the_waiting";
    if part().is_some() {
        interrupted_by(Signal::USR1);
        let socket = Socket::bind("127.0.0.1:0").expect("bind");
        say(&here(&socket));
        say(&this_thread());
        let mut buffer = [0; 64];
        let len = socket.recv(&mut buffer).expect("receive");
        return say(&String::from_utf8_lossy(&buffer[..len]));
    }
    let mut child = play(test, "", &[]).start();
    let client = Socket::connect(child.line()).expect("connect");
    let thread = thread(&child.line());
    for _ in 0..20 {
        child.sleeps_in(libc::SYS_recvfrom);
        signal::send_thread(thread, Signal::USR1).expect("signal");
    }
    client.send(b"at last").expect("send");
    child.says("at last");
    child.succeeds();
}

#[test]
fn an_address_opens_it_for_messages() {
    let open = |address: &str, opening| match catalog::open(
        &address.parse().expect("an address"),
        opening,
    )
    .expect("open")
    {
        catalog::Endpoint::Messages(messages) => messages,
        _ => panic!("a socket carries messages"),
    };
    let port = port();
    for (serve, join) in [
        (
            format!("udp:127.0.0.1:{port}"),
            format!("udp:127.0.0.1:{port}"),
        ),
        (
            format!("udp:239.255.7.8:{port}?interface=127.0.0.1"),
            format!("udp://239.255.7.8:{port}?interface=127.0.0.1&ttl=0&loop=yes"),
        ),
        (
            format!("udp:0.0.0.0:{port}?group=239.255.7.9&interface=127.0.0.1&reuse"),
            format!("udp:239.255.7.9:{port}?interface=127.0.0.1"),
        ),
    ] {
        let (receiver, sender) = (open(&serve, Opening::RECEIVE), open(&join, Opening::SEND));
        sender
            .send_with(b"hello", Note::default(), Wait::Forever)
            .expect("send");
        let mut buffer = b"old".to_vec();
        let received = receiver
            .recv_with(&mut buffer, None, Wait::For(LONG))
            .expect("receive");
        assert_eq!(buffer, b"hello", "{serve}");
        let sender = received.expect("no end").sender;
        assert!(
            matches!(sender, Some(Sender::Address(from)) if from.starts_with("udp:127.0.0.1:"))
        );
        refusal(
            receiver.recv_with(&mut buffer, None, Wait::Not),
            Kind::WouldBlock,
            "",
        );
        refusal(
            receiver.recv_with(&mut buffer, Some(1), Wait::Not),
            Kind::BadInput,
            "no type",
        );
    }
    for bad in [
        "udp:localhost:0?ttl=256",
        "udp:localhost:0?group=local",
        "udp:localhost:0?interface=lo",
    ] {
        let outcome = catalog::open(&bad.parse().expect("an address"), Opening::RECEIVE);
        assert_eq!(outcome.map(|_| ()).expect_err(bad).kind(), Kind::BadInput);
    }
}

#[test]
fn socat_speaks_at_the_other_end() {
    let server = Socket::bind("127.0.0.1:0").expect("bind");
    let mut socat = foreign("socat", "socat");
    let socat = socat.args(["-", &format!("UDP4:{}", here(&server))]);
    let mut socat = socat
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run socat");
    socat
        .stdin
        .as_mut()
        .expect("its input")
        .write_all(b"from socat")
        .expect("write");
    let mut buffer = [0; 64];
    let (len, from) = server
        .recv_from_with(&mut buffer, Wait::For(LONG))
        .expect("receive");
    assert_eq!(&buffer[..len], b"from socat");
    server.send_to(b"to socat", from).expect("send");
    let mut got = [0; 8];
    socat
        .stdout
        .as_mut()
        .expect("its output")
        .read_exact(&mut got)
        .expect("read");
    assert_eq!(&got, b"to socat");
    socat.kill().expect("end socat");
    socat.wait().expect("its end");
}
