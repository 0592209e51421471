//! Attacked: broadcast and the latest value when peers come and go without end, stop, are others', are elsewhere, or take the memory away.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)]

mod flavours;
mod process;

use std::time::{Duration, Instant};

use flavours::Face;
use rustix::process::Signal;
use wigwag::pattern::channel::{Full, Options, broadcast, latest, one_to_one};
use wigwag::{Error, Kind};

/// Waits in tests are bounded by this and end long before.
const LIMIT: Duration = Duration::from_secs(20);

fn named(stem: &str) -> String {
    format!("/{}", process::unique(stem))
}

fn object() -> String {
    process::argument("OBJECT")
}

/// Subscribers come, read some, and leave, while the sender does not slow down and others read all.
#[test]
fn subscribers_come_and_go_without_end_beside_a_sender_at_full_speed() {
    let test = "subscribers_come_and_go_without_end_beside_a_sender_at_full_speed";
    if process::part().is_some() {
        let channel: broadcast::Channel<[u64; 2]> = Options::new().open(object()).unwrap();
        let messages: broadcast::Channel<[u8]> =
            Options::new().open(format!("{}-m", object())).unwrap();
        let board: latest::Channel<u64> = Options::new().open(format!("{}-l", object())).unwrap();
        let (mut rounds, mut newest) = (0_u64, 0);
        loop {
            let mut receiver = channel.receiver_with_last(rounds % 5).unwrap();
            let mut text = messages.receiver_with_last(rounds % 5).unwrap();
            let mut reader = board.receiver().unwrap();
            let mut next = None;
            for _ in 0..rounds % 11 {
                match receiver.recv_timeout(LIMIT) {
                    Ok(value) => {
                        let n = value[0];
                        assert_eq!(n, value[1], "torn");
                        assert_eq!(next.unwrap_or(n), n, "a gap");
                        next = Some(n + 1);
                    }
                    // The sender has done its part.
                    Err(error) if error.kind() == Kind::Disconnected => {
                        return process::say(&format!("{rounds} rounds"));
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            match text.try_recv() {
                Ok(Some(message)) => assert_eq!(*message, vec![message[0]; message.len()]),
                Ok(None) => {}
                Err(error) => assert_eq!(error.kind(), Kind::Disconnected, "{error}"),
            }
            if let Some(value) = reader.latest().unwrap() {
                assert!(*value >= newest, "back in time");
                newest = *value;
            }
            rounds += 1;
        }
    }
    let name = named("comers");
    let options = Options::new().temporary(true);
    let channel: broadcast::Channel<[u64; 2]> = options.clone().capacity(64).create(&name).unwrap();
    let messages: broadcast::Channel<[u8]> = options.create(format!("{name}-m")).unwrap();
    let board: latest::Channel<u64> = options.create(format!("{name}-l")).unwrap();
    let mut sender = channel.sender().unwrap();
    let (mut second, mut third) = (messages.sender().unwrap(), board.sender().unwrap());
    let mut witness = channel.receiver().unwrap();
    let mut children: Vec<_> = (0..3)
        .map(|_| process::play(test, "come", &[("OBJECT", &name)]).start())
        .collect();
    let (start, mut n) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(2) {
        for _ in 0..16 {
            sender.send_timeout([n, n], LIMIT).unwrap();
            second
                .send_timeout(&vec![n as u8; 1 + n as usize % 50], LIMIT)
                .unwrap();
            third.send(n).unwrap();
            n += 1;
        }
        assert_eq!(
            *witness.recv_many().unwrap(),
            *(n - 16..n).map(|n| [n, n]).collect::<Vec<_>>()
        );
    }
    drop(sender);
    for child in &mut children {
        let said = child.line();
        let rounds = said
            .strip_suffix(" rounds")
            .and_then(|n| n.parse::<u64>().ok());
        assert!(rounds.is_some_and(|rounds| rounds > 10), "{said}");
    }
    children.into_iter().for_each(process::Child::succeeds);
    println!("{n} values sent");
    assert_eq!(
        (channel.receivers(), messages.receivers(), board.receivers()),
        (1, 0, 0)
    );
}

/// A stopped subscriber is alive: it is waited for where nothing may be lost, and nobody waits for it elsewhere.
#[test]
fn a_stopped_subscriber_costs_what_the_policy_says() {
    let test = "a_stopped_subscriber_costs_what_the_policy_says";
    if process::part().is_some() {
        let channel: broadcast::Channel<u64> = Options::new().open(object()).unwrap();
        let mut receiver = channel.receiver().unwrap();
        process::say("joined");
        let (mut got, mut missed, mut last) = (0, 0, 0);
        while let Ok(value) = receiver.recv_timeout(LIMIT) {
            got += 1;
            missed += value.missed();
            last = *value;
        }
        return process::say(&format!("{got} {missed} {last}"));
    }
    for full in [
        Full::Wait,
        Full::Fail,
        Full::DropNewest,
        Full::OverwriteOldest,
    ] {
        let name = named("stopped");
        let options = Options::new().full(full).capacity(8).temporary(true);
        let channel: broadcast::Channel<u64> = options.create(&name).unwrap();
        let mut sender = channel.sender().unwrap();
        let mut child = process::play(test, "receive", &[("OBJECT", &name)]).start();
        child.says("joined");
        child.signal(Signal::STOP);
        process::eventually("it stops", || {
            let status = std::fs::read_to_string(format!("/proc/{}/stat", child.pid())).unwrap();
            status.contains(") T ")
        });
        for n in 1..=8 {
            sender.send_timeout(n, LIMIT).unwrap();
        }
        let start = Instant::now();
        let ninth = sender.send_timeout(9, Duration::from_millis(200));
        let waited = start.elapsed() >= Duration::from_millis(190);
        let expected = match full {
            Full::Wait => {
                assert_eq!(ninth.unwrap_err().kind(), Kind::TimedOut);
                assert!(waited);
                "8 0 8"
            }
            Full::Fail => {
                assert_eq!(ninth.unwrap_err().kind(), Kind::WouldBlock);
                "8 0 8"
            }
            Full::DropNewest => {
                ninth.unwrap();
                assert_eq!(sender.lost(), 1);
                "8 0 8"
            }
            Full::OverwriteOldest => {
                ninth.unwrap();
                "8 1 9"
            }
        };
        assert!(full == Full::Wait || !waited, "{full} waits for nobody");
        child.signal(Signal::CONT);
        process::eventually("it reads", || sender.level() == 0);
        drop(sender);
        assert_eq!(child.line(), expected, "{full}");
        child.succeeds();
    }
}

/// Who comes when all seats are taken is told by whom; and a seat is free as soon as its process is dead.
#[test]
fn seats_are_exhausted_and_free_again() {
    let test = "seats_are_exhausted_and_free_again";
    if process::part().is_some() {
        let channel: broadcast::Channel<u64> = Options::new().open(object()).unwrap();
        let board: latest::Channel<u64> = Options::new().open(format!("{}-l", object())).unwrap();
        let _both = (channel.receiver().unwrap(), board.receiver().unwrap());
        process::say("sits");
        process::hear();
        return;
    }
    let name = named("seats");
    let options = Options::new().seats(4).temporary(true);
    let channel: broadcast::Channel<u64> = options.create(&name).unwrap();
    let board: latest::Channel<u64> = options.create(format!("{name}-l")).unwrap();
    let mut children: Vec<_> = (0..3)
        .map(|_| process::play(test, "sit", &[("OBJECT", &name)]).start())
        .collect();
    children.iter_mut().for_each(|child| child.says("sits"));
    let refused = [
        channel.receiver().unwrap_err(),
        board.receiver().unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind(), Kind::Limit);
        for child in &children {
            assert!(
                error.to_string().contains(&child.pid().to_string()),
                "{error}"
            );
        }
    }
    // The sender's seat is none of them.
    let (_sender, _other) = (channel.sender().unwrap(), board.sender().unwrap());
    children[1].kill();
    let (_receiver, _reader) = (channel.receiver().unwrap(), board.receiver().unwrap());
    assert_eq!((channel.receivers(), board.receivers()), (3, 3));
    assert!(channel.receiver().is_err() && board.receiver().is_err());
}

#[test]
fn who_has_another_pid_namespace_is_told_so_and_harms_nobody() {
    let test = "who_has_another_pid_namespace_is_told_so_and_harms_nobody";
    if process::part().is_some() {
        let tried = Options::new().open::<broadcast::Channel<u64>>(object());
        let refused = tried.map(drop).unwrap_err();
        process::say(&format!("{:?}: {refused}", refused.kind()));
        let tried = Options::new().open::<latest::Channel<u64>>(format!("{}-l", object()));
        let refused = tried.map(drop).unwrap_err();
        return process::say(&format!("{:?}: {refused}", refused.kind()));
    }
    let name = named("elsewhere");
    let options = Options::new().temporary(true);
    let channel: broadcast::Channel<u64> = options.create(&name).unwrap();
    let _board: latest::Channel<u64> = options.create(format!("{name}-l")).unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    let unshare = process::unshared("-pf");
    let play = process::play(test, "open", &[("OBJECT", &name)]);
    let mut child = play.through("util-linux", &unshare).start();
    for _ in 0..2 {
        let said = child.line();
        assert!(
            said.starts_with("Unsupported: ") && said.contains("pid namespace"),
            "{said}"
        );
    }
    child.succeeds();
    sender.send(1).unwrap();
    assert_eq!(*receiver.recv().unwrap(), 1);
}

/// Whoever receives must write: his cursor, his life. A reader that may only read is told what it lacks.
#[test]
fn another_user_who_may_only_read_is_told_what_it_lacks() {
    let test = "another_user_who_may_only_read_is_told_what_it_lacks";
    if process::part().is_some() {
        process::become_nobody();
        for name in [object(), format!("{}-l", object())] {
            let refused = match name.ends_with("-l") {
                false => Options::new()
                    .open::<broadcast::Channel<u64>>(&name)
                    .map(drop),
                true => Options::new().open::<latest::Channel<u64>>(&name).map(drop),
            };
            let refused = refused.unwrap_err();
            process::say(&format!("{:?}: {refused}", refused.kind()));
        }
        return;
    }
    for mode in [0o644, 0o444, 0o600] {
        let name = named("others");
        let options = Options::new().mode(mode).temporary(true);
        let channel: broadcast::Channel<u64> = options.create(&name).unwrap();
        let _board: latest::Channel<u64> = options.create(format!("{name}-l")).unwrap();
        let mut child = process::play(test, "open", &[("OBJECT", &name)]).start();
        for _ in 0..2 {
            let said = child.line();
            println!("{mode:o}: {said}");
            assert!(
                said.starts_with("PermissionDenied: ") && said.contains("write"),
                "{said}"
            );
        }
        child.succeeds();
        assert_eq!(channel.receivers(), 0);
    }
}

/// The memory is taken away under both ends: they are told, and do not die of it.
#[test]
fn a_truncated_memory_is_told_and_kills_nobody() {
    const SHORT: Duration = Duration::from_millis(50);
    let test = "a_truncated_memory_is_told_and_kills_nobody";
    if let Some(part) = process::part() {
        let options = Options::new();
        let all: broadcast::Channel<u64> = options.open(object()).unwrap();
        let text: broadcast::Channel<[u8]> = options.open(format!("{}-o", object())).unwrap();
        let board: latest::Channel<[u64; 100]> = options.open(format!("{}-l", object())).unwrap();
        let line: one_to_one::Channel<u64> = options.open(format!("{}-1", object())).unwrap();
        let mut attempts: Vec<Box<dyn FnMut() -> Result<(), Error>>> = Vec::new();
        if part == "send" {
            let (mut all, mut text) = (all.sender().unwrap(), text.sender().unwrap());
            let (mut board, mut line) = (board.sender().unwrap(), line.sender().unwrap());
            attempts.push(Box::new(move || all.send_timeout(1, SHORT)));
            attempts.push(Box::new(move || text.send(&[7; 100])));
            attempts.push(Box::new(move || board.send([7; 100])));
            attempts.push(Box::new(move || line.send_timeout(1, SHORT)));
        } else {
            let (mut all, mut text) = (all.receiver().unwrap(), text.receiver().unwrap());
            let (mut board, mut line) = (board.receiver().unwrap(), line.receiver().unwrap());
            attempts.push(Box::new(move || all.recv_timeout(SHORT).map(drop)));
            attempts.push(Box::new(move || text.recv_timeout(SHORT).map(drop)));
            attempts.push(Box::new(move || board.latest().map(drop)));
            attempts.push(Box::new(move || line.recv_timeout(SHORT).map(drop)));
        }
        process::say("runs");
        let start = Instant::now();
        for mut attempt in attempts {
            loop {
                match attempt() {
                    Err(error) if error.kind() != Kind::TimedOut => {
                        process::say(&format!("{:?}: {error}", error.kind()));
                        break;
                    }
                    _ => assert!(start.elapsed() < LIMIT, "nothing was told"),
                }
            }
        }
        return;
    }
    let name = named("truncated");
    let options = Options::new().temporary(true);
    let overwriting = options.clone().full(Full::OverwriteOldest);
    let _all: broadcast::Channel<u64> = options.create(&name).unwrap();
    let _text: broadcast::Channel<[u8]> = overwriting.create(format!("{name}-o")).unwrap();
    let _board: latest::Channel<[u64; 100]> = options.create(format!("{name}-l")).unwrap();
    let _line: one_to_one::Channel<u64> = options.create(format!("{name}-1")).unwrap();
    let mut children =
        ["send", "receive"].map(|part| process::play(test, part, &[("OBJECT", &name)]).start());
    children.iter_mut().for_each(|child| child.says("runs"));
    std::thread::sleep(Duration::from_millis(50));
    for which in ["", "-o", "-l", "-1"] {
        let path = format!("/dev/shm{name}{which}");
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(0).unwrap();
    }
    for mut child in children {
        for _ in 0..4 {
            let said = child.line();
            println!("{said}");
            assert!(
                said.starts_with("Corrupt: ") && said.contains("truncated"),
                "{said}"
            );
        }
        child.succeeds();
    }
}

/// Sleeps without a limit in every wait that there is, and says how it ended.
fn sleeps<F: Face>(name: &str) {
    let open = |which: &str| F::open(&Options::new(), &format!("{name}{which}"));
    let told = |wait: &str, outcome: Result<u64, Error>| {
        let error = outcome.unwrap_err();
        process::say(&format!("{wait}: {:?}: {error}", error.kind()));
    };
    let told = &told;
    std::thread::scope(|scope| {
        for which in ["-empty", "-alone"] {
            let mut receiver = open(which).receiver().unwrap();
            scope.spawn(move || told(which, F::recv(&mut receiver)));
        }
        if !F::is_latest() {
            let mut sender = open("-full").sender().unwrap();
            scope.spawn(move || {
                let mut sends = std::iter::repeat_with(|| F::send(&mut sender, 1));
                told("-full", sends.find(Result::is_err).unwrap().map(|()| 0));
            });
        }
        process::say("sleeps");
    });
}

fn all_who_sleep_are_told<F: Face>(test: &str) {
    let name = named("asleep");
    let make = |which: &str| F::create(&Options::new().temporary(true), &format!("{name}{which}"));
    let (empty, full, _alone) = (make("-empty"), make("-full"), make("-alone"));
    let _peers = (empty.sender().unwrap(), full.receiver().unwrap());
    let told = [("OBJECT", &name[..]), ("FLAVOUR", F::NAME)];
    let mut child = process::play(test, "sleep", &told).start();
    child.says("sleeps");
    std::thread::sleep(Duration::from_millis(100));
    for which in ["-empty", "-full", "-alone"] {
        let path = format!("/dev/shm{name}{which}");
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(0).unwrap();
    }
    for _ in 0..if F::is_latest() { 2 } else { 3 } {
        let said = child.line();
        let corrupt = said.contains(": Corrupt: ") && said.contains("truncated");
        assert!(corrupt, "{}: {said}", F::NAME);
    }
    child.succeeds();
}

#[test]
fn who_sleeps_without_a_limit_over_memory_that_is_truncated_is_told() {
    let test = "who_sleeps_without_a_limit_over_memory_that_is_truncated_is_told";
    if process::part().is_some() {
        return for_the_flavour!(process::argument("FLAVOUR"), sleeps, &object());
    }
    for_each_flavour!(all_who_sleep_are_told, test);
}

/// Of two creators at once one makes it; of many who open or make it all get the same.
#[test]
fn of_two_creators_at_once_one_wins_and_all_meet_in_one_channel() {
    let test = "of_two_creators_at_once_one_wins_and_all_meet_in_one_channel";
    match process::part().as_deref() {
        Some("create") => {
            let options = Options::new().temporary(false);
            process::say("ready");
            process::hear();
            let made = options.create::<broadcast::Channel<u64>>(object());
            match &made {
                Ok(_) => process::say("made"),
                Err(error) => process::say(&format!("{:?}", error.kind())),
            }
            process::hear();
            return;
        }
        Some("either") => {
            process::say("ready");
            process::hear();
            let channel: latest::Channel<u64> = Options::new()
                .open_or_create(format!("{}-l", object()))
                .unwrap();
            let _receiver = channel.receiver().unwrap();
            process::say("sits");
            process::hear();
            return;
        }
        _ => {}
    }
    for _ in 0..10 {
        let name = named("creators");
        let mut children: Vec<_> = (0..3)
            .map(|_| process::play(test, "create", &[("OBJECT", &name)]).start())
            .collect();
        children.iter_mut().for_each(|child| child.says("ready"));
        children.iter_mut().for_each(|child| child.tell("go"));
        let mut said: Vec<_> = children.iter_mut().map(process::Child::line).collect();
        said.sort();
        assert_eq!(said, ["AlreadyExists", "AlreadyExists", "made"]);
        children.iter_mut().for_each(|child| child.tell("end"));
        children.into_iter().for_each(process::Child::succeeds);
        // All are gone: the name is free for a new one.
        let channel: broadcast::Channel<u64> =
            Options::new().temporary(true).create(&name).unwrap();
        channel.sender().unwrap();

        let mut children: Vec<_> = (0..4)
            .map(|_| process::play(test, "either", &[("OBJECT", &name)]).start())
            .collect();
        children.iter_mut().for_each(|child| child.says("ready"));
        children.iter_mut().for_each(|child| child.tell("go"));
        children.iter_mut().for_each(|child| child.says("sits"));
        let board: latest::Channel<u64> = Options::new()
            .temporary(true)
            .open(format!("{name}-l"))
            .unwrap();
        assert_eq!(board.receivers(), 4);
        children.iter_mut().for_each(|child| child.tell("end"));
        children.into_iter().for_each(process::Child::succeeds);
    }
}
