//! Death: whoever is killed at whatever moment, the other side learns of it, and nothing stays behind.

use std::time::{Duration, Instant};

use crate::carrier::{Left, again, each, serve, server};
use crate::process::{
    Directory, PATIENCE, alone, argument, eventually, foreign, hear, part, play, say,
};
use crate::refusal::{LONG, refusal};
use wigwag::Kind;
use wigwag::message::posix;
use wigwag::pattern::rpc::{Client, Server};

/// Far more than any carrier needs, far less than for ever.
const BOUNDED: Duration = Duration::from_secs(10);

#[test]
fn a_killed_server_is_told_to_every_caller_and_the_next_server_takes_its_name() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test =
            "death::a_killed_server_is_told_to_every_caller_and_the_next_server_takes_its_name";
        let (mut child, at) = server(test, address, 2);
        let client = Client::connect(&at).expect("connect");
        let pending = client.start(b"wait ").expect("start");
        child.says("waits");
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    let client = client.clone();
                    scope.spawn(move || {
                        loop {
                            if let Err(error) = client.call(b"sleep 300 x") {
                                return (error, Instant::now());
                            }
                        }
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(100));
            let killed = Instant::now();
            child.kill();
            for caller in callers {
                let (error, then) = caller.join().expect("no panic");
                assert_eq!(error.kind(), Kind::Disconnected, "{error}");
                assert!(then - killed < BOUNDED);
            }
        });
        refusal(
            pending.wait(),
            Kind::Disconnected,
            "(it may have been carried out)",
        );
        refusal(
            client.call(b"echo"),
            Kind::Disconnected,
            "(it was not sent)",
        );
        assert!(!client.is_connected());
        let error = Client::connect(&at).expect_err("nobody serves");
        assert!(
            matches!(error.kind(), Kind::NotFound | Kind::Disconnected),
            "{error}"
        );
        // What the dead one left is in nobody's way.
        let (_child, at) = server(test, again(address, &at), 1);
        let client = Client::connect(&at).expect("connect");
        assert_eq!(client.call(b"echo anew").expect("call"), b"anew");
    });
}

#[test]
fn a_caller_that_waits_without_a_limit_is_freed_when_the_server_is_killed_at_any_moment() {
    if part().is_some() {
        return serve();
    }
    let test = "death::a_caller_that_waits_without_a_limit_is_freed_when_the_server_is_killed_at_any_moment";
    each(|address| {
        let mut at = address.to_owned();
        for round in 0..12_u64 {
            let (mut child, now_at) = server(test, again(address, &at), 2);
            at = now_at;
            let client = Client::connect(&at).expect("connect");
            let caller = std::thread::spawn(move || {
                loop {
                    if let Err(error) = client.call(b"echo x") {
                        return error;
                    }
                }
            });
            std::thread::sleep(Duration::from_micros(1 + round * 1777));
            child.kill();
            let killed = Instant::now();
            let error = caller.join().expect("no panic");
            assert_eq!(error.kind(), Kind::Disconnected, "{error}");
            assert!(killed.elapsed() < BOUNDED);
        }
    });
}

#[test]
fn the_calls_of_a_killed_client_are_cancelled_and_what_it_had_is_freed() {
    let test = "death::the_calls_of_a_killed_client_are_cancelled_and_what_it_had_is_freed";
    match part().as_deref() {
        Some("server") => return serve(),
        Some(_) => {
            let client = Client::connect(&argument("at")).expect("connect");
            let _running = client.start(b"wait ").expect("start");
            let _waiting: Vec<_> = (0..20)
                .map(|_| client.start(b"wait ").expect("start"))
                .collect();
            assert_eq!(client.call(b"echo in").expect("call"), b"in");
            say("calls");
            hear();
            return;
        }
        None => {}
    }
    each(|address| {
        // One worker is left for the rest.
        let (mut child, at) = server(test, address, 40);
        let descriptors = || {
            std::fs::read_dir(format!("/proc/{}/fd", child.pid()))
                .expect("its descriptors")
                .count()
        };
        let before = descriptors();
        let mut clients: Vec<_> = (0..1)
            .map(|_| play(test, "client", &[("at", &at)]).start())
            .collect();
        clients[0].says("calls");
        assert!(descriptors() > before);
        clients[0].kill();
        eventually("the server has freed what it had", || {
            descriptors() == before
        });
        // All were begun, and all hear of it.
        let mut begun = 0;
        let mut cancelled = 0;
        while cancelled < 21 {
            match &child.line()[..] {
                "waits" => begun += 1,
                "cancelled" => cancelled += 1,
                line => panic!("{line}"),
            }
        }
        assert_eq!(begun, 21);
        if let Some(name) = at.strip_prefix("rpc+mq:") {
            let left = queues_of(name);
            assert_eq!(left, [format!("{name}.rpc")], "the answer queue is removed");
        }
        if let Some(name) = at.strip_prefix("rpc+channel:/") {
            let left = channels_of(name);
            assert_eq!(left, [format!("{name}.rpc")], "the channels are removed");
        }
        let client = Client::connect(&at).expect("connect");
        assert_eq!(client.call_timeout(b"echo on", LONG).expect("call"), b"on");
    });
}

#[test]
fn after_many_clients_were_killed_at_any_moment_the_server_has_nothing_of_them() {
    let test = "death::after_many_clients_were_killed_at_any_moment_the_server_has_nothing_of_them";
    match part().as_deref() {
        Some("server") => return serve(),
        Some(_) => {
            let at = argument("at");
            say("begins");
            loop {
                let client = Client::connect(&at).expect("connect");
                let _pending = client.start(b"sleep 300 x").expect("start");
                for _ in 0..3 {
                    assert_eq!(client.call(b"echo in").expect("call"), b"in");
                }
            }
        }
        None => {}
    }
    each(|address| {
        let (mut child, at) = server(test, address, 3);
        let descriptors = || {
            let directory = format!("/proc/{}/fd", child.pid());
            std::fs::read_dir(directory)
                .expect("its descriptors")
                .count()
        };
        let client = Client::connect(&at).expect("connect");
        assert_eq!(client.call(b"echo in").expect("call"), b"in");
        let before = descriptors();
        for round in 0..25_u64 {
            let mut other = play(test, "client", &[("at", &at)]).start();
            other.says("begins");
            std::thread::sleep(Duration::from_micros(round * 397));
            other.kill();
        }
        assert_eq!(client.call_timeout(b"echo on", LONG).expect("call"), b"on");
        eventually("all are gone", || descriptors() == before);
        if let Some(name) = at.strip_prefix("rpc+channel:/") {
            // One of our client, which is open, is not among them: its name is gone.
            eventually("all channels are gone", || {
                channels_of(name) == [format!("{name}.rpc")]
            });
        }
        if let Some(name) = at.strip_prefix("rpc+mq:") {
            // The names of those that are in use too.
            eventually("all queues are gone", || {
                queues_of(name) == [format!("{name}.rpc")]
            });
        }
        child.tell("enough");
        child.says("served");
        drop(client);
        if let Some(name) = at.strip_prefix("rpc+mq:")
            && rustix::process::geteuid().is_root()
        {
            assert_eq!(queues_of(name), [""; 0], "nothing is left");
        }
    });
}

/// The channels whose names begin so.
fn channels_of(name: &str) -> Vec<String> {
    let directory = std::fs::read_dir("/dev/shm").expect("/dev/shm");
    let names = directory.flatten().map(|entry| entry.file_name());
    names
        .map(|file| file.to_string_lossy().into_owned())
        .filter(|file| file.starts_with(name))
        .collect()
}

/// The queues whose names begin so, as the file system of queues has them: mounted, or by one of our own as root;
/// otherwise only the server's, which can be opened.
fn queues_of(name: &str) -> Vec<String> {
    let mut listing = String::new();
    if let Ok(directory) = std::fs::read_dir("/dev/mqueue") {
        for entry in directory.flatten() {
            listing += &format!("{}\n", entry.file_name().to_string_lossy());
        }
    } else if rustix::process::geteuid().is_root() {
        let directory = Directory::new();
        let script = r#"mount -t mqueue none "$0" && ls "$0""#;
        let output = foreign("unshare", "util-linux")
            .args(["-m", "sh", "-c", script])
            .arg(directory.file(""))
            .output()
            .expect("run unshare");
        assert!(output.status.success(), "{output:?}");
        listing = String::from_utf8_lossy(&output.stdout).into_owned();
    } else {
        posix::Queue::open(format!("{name}.rpc")).expect("the queue of the server");
        listing = format!("{}.rpc\n", &name[1..]);
    }
    listing
        .lines()
        .map(|file| format!("/{file}"))
        .filter(|file| file.starts_with(name))
        .collect()
}

#[test]
fn a_server_that_is_dropped_or_stops_leaves_nothing_and_says_so() {
    if !alone("death::a_server_that_is_dropped_or_stops_leaves_nothing_and_says_so") {
        return;
    }
    each(|address| {
        let server = Server::listen(address).expect("a server");
        let at = server.address().to_owned();
        let stopper = server.stopper();
        let client = std::thread::scope(|scope| {
            scope.spawn(|| server.serve(|request| Ok(request.into_bytes())));
            let client = Client::connect(&at).expect("connect");
            assert_eq!(client.call(b"echo").expect("call"), b"echo");
            stopper.stop();
            client
        });
        refusal(client.call(b"x"), Kind::Disconnected, "the server");
        let error = Client::connect(&at).expect_err("nobody serves");
        assert!(
            matches!(error.kind(), Kind::NotFound | Kind::Disconnected),
            "{error}"
        );
        drop(server);
        let next = Server::listen(again(address, &at)).expect("the name is free");
        drop(next);
        drop(Server::listen(again(address, &at)).expect("the name is free"));
    });
}

#[test]
fn of_two_servers_at_one_name_the_second_is_refused_and_the_first_goes_on() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "death::of_two_servers_at_one_name_the_second_is_refused_and_the_first_goes_on";
        let (_child, at) = server(test, address, 1);
        let client = Client::connect(&at).expect("connect");
        for _ in 0..20 {
            let second = Server::listen(&at);
            assert_eq!(second.expect_err("one lives").kind(), Kind::AlreadyExists);
            assert_eq!(client.call(b"echo on").expect("call"), b"on");
        }
        let client = Client::connect_timeout(&at, PATIENCE).expect("connect");
        assert_eq!(client.call(b"echo on").expect("call"), b"on");
    });
}

#[test]
fn of_many_servers_that_start_at_once_exactly_one_gets_the_name() {
    let test = "death::of_many_servers_that_start_at_once_exactly_one_gets_the_name";
    if part().is_some() {
        say("ready");
        hear();
        let server = Server::listen(&argument("address"));
        say(if server.is_ok() { "serves" } else { "refused" });
        hear();
        return;
    }
    let mq = format!(
        "rpc+mq:/{}?depth=2&max_len=128",
        crate::process::unique("race")
    );
    let channel = format!("rpc+channel:/{}", crate::process::unique("race"));
    let (_left, _too) = (Left(&mq), Left(&channel));
    for address in [&mq, &channel].repeat(5) {
        let mut children: Vec<_> = (0..6)
            .map(|_| play(test, "racer", &[("address", address)]).start())
            .collect();
        children.iter_mut().for_each(|child| child.says("ready"));
        children.iter_mut().for_each(|child| child.tell("go"));
        let words: Vec<String> = children.iter_mut().map(|child| child.line()).collect();
        let serving = words.iter().filter(|word| *word == "serves").count();
        assert_eq!(serving, 1, "{words:?}");
        // Killed, so that the next round finds what it left.
        children.iter_mut().for_each(|child| child.kill());
    }
}
