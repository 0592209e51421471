//! Serving: one at a time or so many at once, fair between clients, and an end that loses nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::carrier::{Left, addresses, each, handle, serve, server, with};
use crate::process::{self, Directory, argument, eventually, part, play, say, unique};
use crate::refusal::{LONG, nobody, refusal};
use wigwag::Kind;
use wigwag::pattern::rpc::{Client, Server};

/// The most calls that were handled at once while there were always more.
fn most_at_once(address: &str, workers: usize) -> usize {
    let server = Server::listen(address).expect("a server");
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stopper = server.stopper();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let handler = |_| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(20));
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(Vec::new())
            };
            match workers {
                1 => server.serve(handler),
                more => server.serve_concurrent(more, handler),
            }
        });
        let clients: Vec<_> = (0..4)
            .map(|_| Client::connect(server.address()).expect("connect"))
            .collect();
        let pending: Vec<_> = (0..24)
            .map(|number| clients[number % 4].start(b"x").expect("start"))
            .collect();
        for pending in pending {
            pending.wait().expect("wait");
        }
        stopper.stop();
    });
    most.load(Ordering::SeqCst)
}

#[test]
fn iterative_is_one_at_a_time_and_concurrent_is_as_many_as_was_said() {
    each(|address| assert_eq!(most_at_once(address, 1), 1));
    each(|address| assert_eq!(most_at_once(address, 3), 3));
}

#[test]
fn stopping_lets_end_what_was_begun_and_tells_the_rest_that_it_was_not() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "serving::stopping_lets_end_what_was_begun_and_tells_the_rest_that_it_was_not";
        let (mut child, at) = server(test, address, 1);
        let client = Client::connect(&at).expect("connect");
        let begun = client.start(b"sleep 300000 whole").expect("start");
        let waits = client.start(b"echo x").expect("start");
        std::thread::sleep(Duration::from_millis(100));
        child.tell("enough");
        assert_eq!(begun.wait().expect("what was begun"), b"whole");
        refusal(
            waits.wait(),
            Kind::Disconnected,
            "the server stops, and has not begun it",
        );
        child.says("served");
        child.succeeds();
    });
}

#[test]
fn a_client_with_many_calls_waiting_does_not_keep_out_one_with_one() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "serving::a_client_with_many_calls_waiting_does_not_keep_out_one_with_one";
        let (_child, at) = server(test, address, 1);
        let (greedy, modest) = (
            Client::connect(&at).expect("connect"),
            Client::connect(&at).expect("connect"),
        );
        let mut many: Vec<_> = (0..50)
            .map(|_| greedy.start(b"sleep 20000 x").expect("start"))
            .collect();
        modest.call(b"echo x").expect("call");
        // It was not the last.
        let last = many.last_mut().expect("the last of many");
        assert!(last.try_wait().expect("it goes on").is_none());
        drop(many);
    });
}

#[test]
fn a_client_that_does_not_take_its_answers_keeps_nobody_from_theirs() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "serving::a_client_that_does_not_take_its_answers_keeps_nobody_from_theirs";
        let (_child, at) = server(test, address, 2);
        let deaf = Client::connect(&at).expect("connect");
        let long = match address.split(':').next() {
            Some("rpc+mq") => 2000,
            Some("rpc+channel") => 16_000,
            _ => 400_000,
        };
        let pending: Vec<_> = (0..40)
            .map(|_| {
                deaf.start(format!("long {long}").as_bytes())
                    .expect("start")
            })
            .collect();
        let other = Client::connect(&at).expect("connect");
        for _ in 0..100 {
            assert_eq!(other.call_timeout(b"echo x", LONG).expect("call"), b"x");
        }
        for pending in pending {
            assert_eq!(pending.wait().expect("wait").len(), long);
        }
    });
}

#[test]
fn one_client_too_many_is_told_so_and_may_come_when_another_has_gone() {
    if part().is_some() {
        return serve();
    }
    each(|address| {
        let test = "serving::one_client_too_many_is_told_so_and_may_come_when_another_has_gone";
        let (_child, at) = server(test, &with(address, "clients=2"), 1);
        let one = Client::connect(&at).expect("connect");
        let two = Client::connect(&at).expect("connect");
        assert_eq!(one.call(b"echo 1").expect("call"), b"1");
        assert_eq!(two.call(b"echo 2").expect("call"), b"2");
        let third = Client::connect(&at).and_then(|client| client.call(b"echo 3"));
        let error = third.expect_err("one too many");
        assert!(error.to_string().contains("has 2 clients"), "{error}");
        drop(one);
        eventually("there is room", || {
            Client::connect(&at).is_ok_and(|client| client.call(b"echo 3").is_ok())
        });
    });
}

#[test]
fn one_server_serves_more_clients_than_it_can_sleep_on() {
    if part().is_some() {
        return serve();
    }
    let test = "serving::one_server_serves_more_clients_than_it_can_sleep_on";
    // The queues of a user are too few.
    for address in addresses().iter().filter(|address| !address.contains("mq")) {
        let _left = Left(address);
        let (mut child, at) = server(test, address, 3);
        let clients: Vec<Client> = (0..150)
            .map(|_| Client::connect_timeout(&at, LONG).expect("connect"))
            .collect();
        for round in 0..3 {
            // All at once, then each alone after a silence.
            let pending: Vec<_> = clients
                .iter()
                .enumerate()
                .map(|(number, client)| {
                    client
                        .start(format!("echo {number}.{round}").as_bytes())
                        .expect("start")
                })
                .collect();
            for (number, pending) in pending.into_iter().enumerate() {
                let answer = pending.wait().expect("wait");
                assert_eq!(answer, format!("{number}.{round}").as_bytes());
            }
            std::thread::sleep(Duration::from_millis(30));
            for client in [&clients[0], &clients[75], &clients[149]] {
                assert_eq!(
                    client.call_timeout(b"echo one", LONG).expect("call"),
                    b"one"
                );
            }
        }
        drop(clients);
        let next = Client::connect_timeout(&at, LONG).expect("connect");
        assert_eq!(next.call_timeout(b"echo on", LONG).expect("call"), b"on");
        child.tell("enough");
        child.says("served");
    }
}

#[test]
fn a_server_without_descriptors_left_goes_on_and_lets_in_when_it_has_some() {
    let test = "serving::a_server_without_descriptors_left_goes_on_and_lets_in_when_it_has_some";
    if part().is_some() {
        process::limit_open_files(20);
        return serve();
    }
    for address in &addresses()[..2] {
        let (child, at) = server(test, address, 1);
        let first = Client::connect(&at).expect("connect");
        assert_eq!(first.call(b"echo in").expect("call"), b"in");
        let crowd: Vec<Client> = (0..40)
            .map(|_| Client::connect(&at).expect("connect"))
            .collect();
        let waits = crowd[39].start(b"echo late").expect("start");
        for _ in 0..20 {
            assert_eq!(first.call_timeout(b"echo on", LONG).expect("call"), b"on");
        }
        // It does not turn round and round meanwhile.
        let ticks = || {
            let stat =
                std::fs::read_to_string(format!("/proc/{}/stat", child.pid())).expect("stat");
            let after = stat.rsplit(')').next().expect("fields").to_owned();
            let field = |at: usize| after.split(' ').nth(at).and_then(|n| n.parse::<u64>().ok());
            field(12).expect("user time") + field(13).expect("system time")
        };
        let before = ticks();
        std::thread::sleep(Duration::from_millis(500));
        assert!(
            ticks() - before < 10,
            "{} hundredths of a second",
            ticks() - before
        );
        // Those before it in the queue go.
        let mut crowd = crowd;
        let last = crowd.pop();
        drop(crowd);
        assert_eq!(waits.wait().expect("let in"), b"late");
        drop(last);
    }
}

#[test]
fn a_panicking_handler_ends_only_its_call() {
    each(|address| {
        let server = Server::listen(address).expect("a server");
        let stopper = server.stopper();
        std::thread::scope(|scope| {
            scope.spawn(|| server.serve_concurrent(2, handle));
            let client = Client::connect(server.address()).expect("connect");
            for _ in 0..5 {
                refusal(
                    client.call(b"panic "),
                    Kind::Refused,
                    "the handler panicked",
                );
                assert_eq!(client.call(b"echo on").expect("call"), b"on");
            }
            stopper.stop();
        });
    });
}

#[test]
fn another_user_calls_where_the_mode_lets_him_and_is_known() {
    let test = "serving::another_user_calls_where_the_mode_lets_him_and_is_known";
    if part().is_some() {
        match Client::connect(&argument("at")).and_then(|client| client.call(b"caller")) {
            Ok(caller) => say(&String::from_utf8_lossy(&caller)),
            Err(error) => say(&format!("{:?} {error}", error.kind())),
        }
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return process::say("only root can be two users");
    }
    let directory = Directory::new();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.file(""), open).expect("let others in");
    let unix = |name| format!("rpc+unix:{}", directory.file(name).display());
    let mq = || format!("rpc+mq:/{}?depth=2&max_len=128", unique("user"));
    for (address, mode, lets) in [
        (&unix("closed"), "0600", false),
        (&unix("open"), "0666", true),
        (&mq(), "0600", false),
        (&mq(), "0622", true),
    ] {
        let server = Server::listen(&with(address, &format!("mode={mode}"))).expect("a server");
        let stopper = server.stopper();
        std::thread::scope(|scope| {
            scope.spawn(|| server.serve(handle));
            let mut other = play(test, "caller", &[("at", server.address())])
                .with(nobody)
                .start();
            let said = other.line();
            assert_eq!(said.starts_with("PermissionDenied"), !lets, "{said}");
            if lets && address.starts_with("rpc+unix") {
                assert!(said.contains("uid: 65534"), "{said}");
            }
            other.succeeds();
            stopper.stop();
        });
    }
}

#[test]
fn what_an_address_says_wrong_is_said() {
    for (address, kind, says) in [
        ("rpc+unix:", Kind::BadName, "the name is empty"),
        ("rpc+pipe:x", Kind::BadAddress, "no calls go over rpc+pipe"),
        ("rpc+tcp:localhost", Kind::BadName, "the port is missing"),
        ("rpc+mq:/a/b", Kind::BadName, "slash"),
        (
            "rpc+unix:@x?depth=3",
            Kind::BadInput,
            "rpc+unix has clients",
        ),
        ("rpc+unix:@x?clients=many", Kind::BadInput, "clients"),
        (
            "rpc+mq:/nobody-serves-this",
            Kind::NotFound,
            "nobody serves it",
        ),
        (
            "rpc+unix:/nobody/serves/this",
            Kind::NotFound,
            "/nobody/serves/this",
        ),
    ] {
        refusal(Client::connect(address), kind, says);
    }
    assert!(
        addresses()
            .iter()
            .all(|address| Server::listen(address).is_ok())
    );
}

#[test]
fn the_options_of_the_catalog_are_those_that_are_understood() {
    let calls = wigwag::catalog::CATALOG
        .iter()
        .filter(|entry| matches!(entry.open, Some(wigwag::catalog::Open::Calls)));
    let mut schemes = Vec::new();
    for entry in calls {
        let id = entry.facility.id;
        schemes.push(id);
        let name = match id {
            "rpc+unix" => "@nobody-serves-this",
            "rpc+tcp" => "localhost:1",
            _ => "/nobody-serves-this",
        };
        let said = |option: &str| {
            let error = Client::connect(&format!("{id}:{name}?{option}")).expect_err("nobody");
            error.to_string()
        };
        for option in entry.options {
            let said = said(&format!("{}=1", option.key));
            assert!(
                !said.contains("no such option"),
                "{id} {}: {said}",
                option.key
            );
        }
        let known: Vec<&str> = entry.options.iter().map(|option| option.key).collect();
        let hint = said("nonsense=1");
        for key in known {
            assert!(hint.contains(key), "{id}: {hint} should name {key}");
        }
    }
    assert_eq!(schemes, ["rpc+unix", "rpc+tcp", "rpc+channel", "rpc+mq"]);
}
