//! Unix stream sockets between processes: descriptors by the hundred, who the peer is, and paths that dead servers left.

mod process;

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use process::{Directory, argument, part, play, say};
use wigwag::stream::{Input, Output, pipe, unix};
use wigwag::{Endpoint, Kind, Opening, Role, Way, catalog};

const SOON: Duration = Duration::from_millis(50);

fn nonblocking(end: &impl AsFd) -> bool {
    rustix::fs::fcntl_getfl(end)
        .expect("the flags")
        .contains(rustix::fs::OFlags::NONBLOCK)
}

#[test]
fn both_ways_and_half_closed_at_a_path_an_abstract_name_and_a_pair() {
    if let Some(part) = part() {
        let mut stream = match &part[..] {
            "pair" => std::io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .unwrap()
                .into(),
            _ => unix::Stream::connect(argument("NAME")).unwrap(),
        };
        stream.write_all(&vec![7; 1_000_000]).unwrap();
        stream.finish().unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        return say(&answer);
    }
    let name = "both_ways_and_half_closed_at_a_path_an_abstract_name_and_a_pair";
    let answer = |mut stream: unix::Stream, mut child: process::Child| {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, vec![7; 1_000_000]);
        assert_eq!(
            stream.peer().unwrap().uid,
            rustix::process::getuid().as_raw()
        );
        stream.write_all(b"after your end").unwrap();
        drop(stream);
        child.says("after your end");
        child.succeeds();
    };
    let directory = Directory::new();
    let path = directory.file("socket").to_str().unwrap().to_owned();
    for at in [path, format!("@{}", process::unique("abstract"))] {
        let listener = unix::Listener::create(&at).unwrap();
        assert_eq!(listener.name().to_string(), at);
        let child = play(name, "connect", &[("NAME", &at)]).start();
        let stream = listener.accept_timeout(process::PATIENCE).unwrap();
        assert_eq!(stream.peer().unwrap().pid, child.pid());
        answer(stream, child);
    }
    let (here, there) = unix::pair().unwrap();
    let there = std::os::fd::OwnedFd::from(there);
    let child = play(name, "pair", &[]).with(|c| _ = c.stdin(there)).start();
    answer(here, child);
}

#[test]
fn hundreds_of_descriptors_arrive_and_are_the_same_open_files() {
    const MANY: usize = 600; // more than twice what one message carries
    if part().is_some() {
        let stream = unix::Stream::connect(argument("NAME")).unwrap();
        let (mut text, mut all) = (Vec::new(), Vec::new());
        let mut buffer = [0; 64];
        loop {
            let received = stream
                .recv_descriptors_with(&mut buffer, process::PATIENCE.into())
                .unwrap();
            if received.len == 0 {
                break;
            }
            assert!(received.descriptors.len() <= 253);
            text.extend(&buffer[..received.len]);
            all.extend(received.descriptors);
        }
        for (at, descriptor) in all.iter().enumerate() {
            let flags = rustix::io::fcntl_getfd(descriptor).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            if at % 100 == 0 {
                rustix::io::write(descriptor, format!("{at} ").as_bytes()).unwrap();
            }
        }
        return say(&format!("{} {}", String::from_utf8_lossy(&text), all.len()));
    }
    let listener = unix::Listener::create(format!("@{}", process::unique("many"))).unwrap();
    let name = listener.name().to_string();
    let test = "hundreds_of_descriptors_arrive_and_are_the_same_open_files";
    let mut child = play(test, "receive", &[("NAME", &name)]).start();
    let stream = listener.accept_timeout(process::PATIENCE).unwrap();
    let (mut reader, writer) = pipe::pair().unwrap();
    let many = vec![writer.as_fd(); MANY];

    let error = stream.send_descriptors(b"ab", &many).unwrap_err();
    assert_eq!(error.kind(), Kind::BadInput);
    assert!(
        error.to_string().ends_with("send at least 3 with them"),
        "{error}"
    );
    assert_eq!(
        stream.send_descriptors(b"", &[]).unwrap_err().kind(),
        Kind::BadInput
    );
    stream.send_descriptors(b"hello", &many).unwrap();
    drop(many);
    drop((stream, writer));
    child.says("hello 600");
    child.succeeds();
    let mut marks = String::new();
    reader.read_to_string(&mut marks).unwrap();
    assert_eq!(marks, "0 100 200 300 400 500 ");
}

#[test]
fn descriptors_that_do_not_fit_are_an_error_that_names_the_limit() {
    if part().is_some() {
        let stream = unix::Stream::connect(argument("NAME")).unwrap();
        process::limit_open_files(32);
        let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let error = stream.recv_descriptors(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), Kind::Limit);
        assert_eq!(
            std::fs::read_dir("/proc/self/fd").unwrap().count(),
            before,
            "none leaked"
        );
        return say(&error.to_string());
    }
    let listener = unix::Listener::create(format!("@{}", process::unique("few"))).unwrap();
    let name = listener.name().to_string();
    let test = "descriptors_that_do_not_fit_are_an_error_that_names_the_limit";
    let mut child = play(test, "receive", &[("NAME", &name)]).start();
    let stream = listener.accept_timeout(process::PATIENCE).unwrap();
    stream
        .send_descriptors(b"x", &vec![stream.as_fd(); 100])
        .unwrap();
    let said = child.line();
    assert!(
        said.contains("RLIMIT_NOFILE is 32") && said.contains("raise the limit"),
        "{said}"
    );
    child.succeeds();
}

const C_PEER: &str = r#"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/un.h>
int main(int argc, char **argv) {
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    strcpy(to.sun_path, argv[1]);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(s, (struct sockaddr *)&to, sizeof to)) return perror("connect"), 1;
    char text[64], control[CMSG_SPACE(sizeof(int))];
    struct iovec v = { text, sizeof text };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
    ssize_t n = recvmsg(s, &m, 0);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (n != 3 || !c || c->cmsg_type != SCM_RIGHTS) return fprintf(stderr, "no descriptor\n"), 1;
    int fd; memcpy(&fd, CMSG_DATA(c), sizeof fd);
    if (write(fd, "from C", 6) != 6) return perror("write"), 1;
    close(fd);
    int p[2]; if (pipe(p)) return 1;
    if (write(p[1], "a pipe of C", 11) != 11) return 1;
    memcpy(CMSG_DATA(c), &p[0], sizeof(int));
    v.iov_len = 2;
    m.msg_controllen = CMSG_SPACE(sizeof(int));
    return sendmsg(s, &m, 0) == 2 ? 0 : (perror("sendmsg"), 1);
}"#;

#[test]
fn a_c_program_takes_and_gives_descriptors() {
    let directory = Directory::new();
    let program = process::compiled(&directory, "peer", C_PEER, &[]);
    let path = directory.file("socket");
    let listener = unix::Listener::create(&path).unwrap();
    let mut child = std::process::Command::new(program)
        .arg(&path)
        .spawn()
        .unwrap();
    let stream = listener.accept_timeout(process::PATIENCE).unwrap();
    let (mut reader, writer) = pipe::pair().unwrap();
    stream.send_descriptors(b"fd!", &[writer.as_fd()]).unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "from C");
    let mut received = stream.recv_descriptors(&mut [0; 8]).unwrap();
    assert_eq!((received.len, received.descriptors.len()), (2, 1));
    text.clear();
    pipe::Reader::from(received.descriptors.remove(0))
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "a pipe of C");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_peer_is_a_process_whose_death_can_be_waited_for() {
    if part().is_some() {
        let _stream = unix::Stream::connect(argument("NAME")).unwrap();
        say("here");
        std::thread::sleep(process::PATIENCE);
        return;
    }
    let listener = unix::Listener::create(format!("@{}", process::unique("peer"))).unwrap();
    let name = listener.name().to_string();
    let test = "the_peer_is_a_process_whose_death_can_be_waited_for";
    let mut child = play(test, "connect", &[("NAME", &name)]).start();
    let mut stream = listener.accept_timeout(process::PATIENCE).unwrap();
    child.says("here");
    let process = stream.peer_process().unwrap();
    let ended = |process: BorrowedFd<'_>| {
        let mut poll = [rustix::event::PollFd::from_borrowed_fd(
            process,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut poll, Some(&rustix::event::Timespec::default())).unwrap() == 1
    };
    assert!(!ended(process.as_fd()));
    assert_eq!(
        stream.try_read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    child.kill();
    assert!(ended(process.as_fd()));
    assert_eq!(stream.read_timeout(&mut [0], process::PATIENCE).unwrap(), 0);
    assert_eq!(
        stream.write(b"x").unwrap_err().kind(),
        ErrorKind::BrokenPipe,
        "and no SIGPIPE"
    );
}

#[test]
fn a_peer_in_another_pid_namespace_has_no_number_but_an_owner() {
    if part().is_some() {
        let stream = unix::Stream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
        let peer = stream.peer().unwrap();
        assert_eq!(
            (peer.pid, peer.uid),
            (0, rustix::process::getuid().as_raw())
        );
        return;
    }
    let directory = Directory::new();
    let path = directory.file("socket");
    let listener = unix::Listener::create(&path).unwrap();
    let mut outside = process::foreign("socat", "socat")
        .args(["-", &format!("UNIX-CONNECT:{}", path.display())])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stream = listener.accept_timeout(process::PATIENCE).unwrap();
    let handed = std::os::fd::OwnedFd::from(stream);
    let status = process::foreign("unshare", "util-linux")
        .args(["--pid", "--fork", "--kill-child"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_peer_in_another_pid_namespace_has_no_number_but_an_owner",
        ])
        .env("WIGWAG_TEST_PART", "inside")
        .stdin(handed)
        .status()
        .unwrap();
    assert!(status.success());
    let _ = outside.kill();
    let _ = outside.wait();
}

#[test]
fn nothing_waits_longer_than_told() {
    let listener = unix::Options::new().backlog(0);
    let listener = listener
        .listen(format!("@{}", process::unique("wait")))
        .unwrap();
    let name = listener.name().to_string();
    assert_eq!(listener.try_accept().unwrap_err().kind(), Kind::WouldBlock);
    let start = Instant::now();
    let late = listener.accept_timeout(SOON).unwrap_err();
    assert_eq!(late.kind(), Kind::TimedOut);
    assert_eq!(
        late.to_string(),
        format!("cannot accept a connection at Unix socket {name}: timed out")
    );
    assert!(start.elapsed() >= SOON);

    // A queue of length 0 holds one connection.
    let mut client = unix::Stream::connect(&name).unwrap();
    assert_eq!(
        unix::Stream::try_connect(&name).unwrap_err().kind(),
        Kind::WouldBlock
    );
    let start = Instant::now();
    let late = unix::Stream::connect_timeout(&name, SOON).unwrap_err();
    assert_eq!(late.kind(), Kind::TimedOut, "{late}");
    assert!(start.elapsed() >= SOON);

    let mut server = listener.accept().unwrap();
    assert_eq!(
        server.read_timeout(&mut [0], SOON).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    let mut sent = 0;
    while let Ok(count) = client.try_write(&[0; 10_000]) {
        sent += count;
    }
    assert_eq!(
        client.write_timeout(b"x", SOON).unwrap_err().kind(),
        ErrorKind::TimedOut
    );
    let fds = client
        .send_descriptors_with(b"x", &[client.as_fd()], SOON.into())
        .unwrap_err();
    assert_eq!(fds.kind(), Kind::TimedOut);
    let mut received = 0;
    while let Ok(count) = server.try_read(&mut [0; 65_536]) {
        received += count;
    }
    assert_eq!(received, sent);
    assert!(!nonblocking(&client) && !nonblocking(&server) && !nonblocking(&listener));
    let second = unix::Stream::connect_timeout(&name, process::PATIENCE).unwrap();
    assert!(!nonblocking(&second));
}

#[test]
fn a_dead_servers_path_is_taken_over_and_a_living_ones_never() {
    if part().is_some() {
        let _listener = unix::Options::new()
            .temporary(true)
            .listen(argument("PATH"))
            .unwrap();
        say("listening");
        std::thread::sleep(process::PATIENCE);
        return;
    }
    let directory = Directory::new();
    let path = directory.file("socket");
    let test = "a_dead_servers_path_is_taken_over_and_a_living_ones_never";
    let mut server = play(test, "serve", &[("PATH", path.to_str().unwrap())]).start();
    server.says("listening");
    let over = unix::Options::new().take_over(true).temporary(true);
    let alive = over.listen(&path).unwrap_err();
    assert_eq!(alive.kind(), Kind::AlreadyExists);
    assert!(
        alive.to_string().contains("a process is bound to it"),
        "{alive}"
    );
    let refused = unix::unlink(&path).unwrap_err();
    assert_eq!(refused.kind(), Kind::AlreadyExists, "{refused}");
    server.kill();
    assert!(path.exists(), "a killed server leaves its path");

    let gone = unix::Stream::connect(&path).unwrap_err();
    assert_eq!(gone.kind(), Kind::Disconnected);
    let stale = unix::Listener::create(&path).unwrap_err();
    assert!(stale.to_string().contains("its process is gone"), "{stale}");
    let listener = over.listen(&path).unwrap();
    unix::Stream::connect(&path).unwrap();
    listener.accept().unwrap();
    drop(listener);
    assert!(!path.exists(), "temporary");

    std::fs::write(&path, "kept").unwrap();
    let foreign = over.listen(&path).unwrap_err();
    assert!(foreign.to_string().contains("it is no socket"), "{foreign}");
    assert_eq!(unix::unlink(&path).unwrap_err().kind(), Kind::BadInput);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
}

#[test]
fn one_that_is_bound_and_not_yet_listening_is_alive() {
    if !process::alone("one_that_is_bound_and_not_yet_listening_is_alive") {
        return;
    }
    let directory = Directory::new();
    let path = directory.file("socket");
    let bound = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    rustix::net::bind(&bound, &rustix::net::SocketAddrUnix::new(&path).unwrap()).unwrap();
    let error = unix::Options::new()
        .take_over(true)
        .listen(&path)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists, "{error}");
    drop(bound);
    let listener = unix::Options::new().take_over(true).listen(&path).unwrap();
    // Asking is not connecting: the living server sees nobody.
    assert!(unix::Options::new().take_over(true).listen(&path).is_err());
    assert_eq!(listener.try_accept().unwrap_err().kind(), Kind::WouldBlock);
}

#[test]
fn of_many_that_take_over_at_once_exactly_one_serves() {
    if part().is_some() {
        process::hear();
        let outcome = unix::Options::new()
            .take_over(true)
            .listen(argument("PATH"));
        say(match &outcome {
            Ok(_) => "serves",
            Err(error) if error.kind() == Kind::AlreadyExists => "refused",
            Err(error) => panic!("{error}"),
        });
        process::hear();
        return;
    }
    let directory = Directory::new();
    let path = directory.file("socket");
    let test = "of_many_that_take_over_at_once_exactly_one_serves";
    for _ in 0..10 {
        let mut children: Vec<_> = (0..6)
            .map(|_| play(test, "race", &[("PATH", path.to_str().unwrap())]).start())
            .collect();
        children.iter_mut().for_each(|child| child.tell("go"));
        let said: Vec<String> = children.iter_mut().map(process::Child::line).collect();
        assert_eq!(
            said.iter().filter(|said| *said == "serves").count(),
            1,
            "{said:?}"
        );
        unix::Stream::connect(&path).expect("the one that serves has the path");
        // Their deaths leave a stale path for the next round.
        children.iter_mut().for_each(process::Child::kill);
    }
}

#[test]
fn others_may_connect_only_as_the_mode_says() {
    if part().is_some() {
        process::become_nobody();
        let error = unix::Stream::connect(argument("PATH")).unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
        let error = unix::unlink(argument("PATH")).unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
        let mut open = unix::Stream::connect(argument("OPEN")).unwrap();
        return open.write_all(b"hello").unwrap();
    }
    let directory = Directory::new();
    let (private, public) = (directory.file("private"), directory.file("public"));
    let _private = unix::Options::new().mode(0o600).listen(&private).unwrap();
    let listener = unix::Options::new().mode(0o666).listen(&public).unwrap();
    for (path, mode) in [(&private, 0o600), (&public, 0o666)] {
        assert_eq!(
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
            mode
        );
    }
    let arguments = [
        ("PATH", private.to_str().unwrap()),
        ("OPEN", public.to_str().unwrap()),
    ];
    let child = play(
        "others_may_connect_only_as_the_mode_says",
        "nobody",
        &arguments,
    )
    .start();
    let mut stream = listener.accept_timeout(process::PATIENCE).unwrap();
    assert_eq!(stream.peer().unwrap().uid, 65534);
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    child.succeeds();
}

#[test]
fn socat_and_python_connect_and_are_connected_to() {
    let directory = Directory::new();
    let path = directory.file("ours");
    let listener = unix::Listener::create(&path).unwrap();
    let mut socat = process::foreign("socat", "socat")
        .args(["-", &format!("UNIX-CONNECT:{}", path.display())])
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

    let theirs = format!("@{}", process::unique("python"));
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX); s.bind('\\0' + sys.argv[1][1:]); s.listen(); print('up', flush=True)\n\
        c, _ = s.accept(); c.sendall(c.recv(100).upper())";
    let mut python = process::python("socket", script)
        .arg(&theirs)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    python
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0; 3])
        .unwrap();
    let mut stream = unix::Stream::connect(&theirs).unwrap();
    stream.write_all(b"wigwag").unwrap();
    text.clear();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "WIGWAG");
    assert!(python.wait().unwrap().success());
}

#[test]
fn bad_names_are_one_clear_line() {
    for (name, kind) in [
        ("", Kind::BadName),
        ("@", Kind::BadName),
        (&"n".repeat(108), Kind::BadName),
        ("/no/such/directory/socket", Kind::NotFound),
        ("@nobody-listens-here-wigwag", Kind::Disconnected),
    ] {
        let error = unix::Stream::connect(name).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

#[test]
fn an_address_serves_one_client_and_removes_its_path() {
    if !process::alone("an_address_serves_one_client_and_removes_its_path") {
        return;
    }
    let directory = Directory::new();
    let path = directory.file("socket");
    let address = format!("unix:{}", path.display());
    let open = |text: &str, role| {
        let opening = Opening {
            role,
            way: Way::Both,
            wait: process::PATIENCE.into(),
        };
        match catalog::open(&text.parse().unwrap(), opening) {
            Ok(Endpoint::Stream(stream)) => Ok(stream),
            Ok(_) => panic!("a Unix socket is a stream"),
            Err(error) => Err(error),
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            process::eventually("the server is there", || path.exists());
            let mut client = loop {
                match open(&address, Role::Join) {
                    Err(error) if error.kind() == Kind::Disconnected => {} // bound, not listening
                    client => break client.unwrap(),
                }
            };
            client.write_all(b"by address").unwrap();
            client.finish().unwrap();
        });
        let mut server = open(&format!("{address}?mode=0600&take-over"), Role::Serve).unwrap();
        assert!(!path.exists());
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "by address");
    });
    let left: wigwag::Address = address.parse().unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    catalog::unlink(&left).unwrap();
    assert!(!path.exists());
    assert_eq!(catalog::unlink(&left).unwrap_err().kind(), Kind::NotFound);
    let none = catalog::unlink(&"unix:@abstract".parse().unwrap()).unwrap_err();
    assert_eq!(none.kind(), Kind::Unsupported);
}

#[test]
fn too_many_descriptors_on_their_way_are_an_error_that_names_the_limit() {
    if part().is_some() {
        process::become_nobody();
        process::limit_open_files(50);
        let (here, _there) = unix::pair().unwrap();
        let error = loop {
            if let Err(error) = here.send_descriptors(b"x", &[here.as_fd(); 20]) {
                break error;
            }
        };
        assert_eq!(error.kind(), Kind::Limit, "{error}");
        return say(&error.to_string());
    }
    let name = "too_many_descriptors_on_their_way_are_an_error_that_names_the_limit";
    let mut child = play(name, "send", &[]).start();
    let said = child.line();
    assert!(said.contains("RLIMIT_NOFILE is 50"), "{said}");
    child.succeeds();
}

#[test]
fn odd_bytes_in_a_path_are_a_path() {
    use std::os::unix::ffi::OsStrExt;
    let directory = Directory::new();
    let path = directory
        .file("x")
        .with_file_name(std::ffi::OsStr::from_bytes(b"a\n\xff?%"));
    let listener = unix::Options::new().temporary(true).listen(&path).unwrap();
    assert_eq!(listener.name().as_path(), Some(&*path));
    unix::Stream::connect(&path).unwrap();
    let error = unix::Listener::create(&path).unwrap_err();
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    drop(listener);
    assert!(!path.exists());
    let abstract_mode = unix::Options::new().mode(0o600).listen("@x").unwrap_err();
    assert_eq!(abstract_mode.kind(), Kind::BadInput, "{abstract_mode}");
}

#[test]
fn a_server_killed_while_it_takes_over_leaves_a_path_that_can_be_taken_over() {
    let name = "a_server_killed_while_it_takes_over_leaves_a_path_that_can_be_taken_over";
    let over = unix::Options::new().take_over(true);
    if part().is_some() {
        say("here");
        loop {
            drop(over.listen(argument("PATH")).unwrap());
        }
    }
    let directory = Directory::new();
    let path = directory.file("socket");
    for round in 0..30 {
        let mut child = play(name, "serve", &[("PATH", path.to_str().unwrap())]).start();
        child.says("here");
        std::thread::sleep(Duration::from_micros(round * 37));
        child.kill();
        let listener = over.listen(&path).unwrap();
        unix::Stream::connect(&path).unwrap();
        listener.accept_timeout(process::PATIENCE).unwrap();
    }
}
