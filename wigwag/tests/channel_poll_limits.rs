//! Descriptors of the ends of channels where something runs out, goes away, or is spoilt by a peer.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)] // what tests share is test too

mod flavours;
mod process;

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use flavours::{Face, Latest, ManyToMany, OneToOne};
use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::{Options, Pollable, one_to_one, select};
use wigwag::{Error, Kind, Wait};

const LIMIT: Duration = Duration::from_secs(20);

fn named(stem: &str) -> String {
    format!("/{}", process::unique(stem))
}

/// The numbers of the threads of this process that poll.
fn pollers() -> Vec<String> {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| {
            let task = task.ok()?.path();
            let name = std::fs::read_to_string(task.join("comm")).ok()?;
            (name.trim() == "wigwag-poller").then(|| task.to_str().unwrap().to_owned())
        })
        .collect()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn without_a_descriptor_or_a_thread_the_error_says_what_to_raise_and_nothing_is_lost() {
    let test = "without_a_descriptor_or_a_thread_the_error_says_what_to_raise_and_nothing_is_lost";
    match process::part().as_deref() {
        Some("files") => {
            let (mut sender, receiver) = one_to_one::pair::<u64>(4).unwrap();
            sender.send(1).unwrap();
            let lowest = rustix::io::dup(std::io::stdin()).unwrap();
            process::limit_open_files(std::os::fd::AsRawFd::as_raw_fd(&lowest) as libc::rlim_t);
            drop(lowest);
            let error = Pollable::new(receiver).unwrap_err();
            assert_eq!(error.kind(), Kind::Limit, "{error}");
            assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
            assert_eq!((sender.level(), sender.is_connected()), (1, false));
            return;
        }
        Some("threads") => {
            let (mut sender, receiver) = one_to_one::pair::<u64>(4).unwrap();
            sender.send(1).unwrap();
            process::become_nobody();
            let none = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // SAFETY: the limits are live and initialised.
            let done = unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const none) };
            assert_eq!(done, 0, "setrlimit");
            let before = descriptors();
            let error = Pollable::new(receiver).unwrap_err();
            assert_eq!(error.kind(), Kind::Limit, "{error}");
            assert!(error.to_string().contains("ulimit -u"), "{error}");
            assert_eq!((sender.level(), sender.is_connected()), (1, false));
            assert!(descriptors() <= before, "a descriptor is left");
            return;
        }
        _ => {}
    }
    process::play(test, "files", &[]).start().succeeds();
    process::play(test, "threads", &[]).start().succeeds();
}

#[test]
fn no_signal_is_for_the_thread_of_a_descriptor() {
    if !process::alone("no_signal_is_for_the_thread_of_a_descriptor") {
        return;
    }
    let (_sender, receiver) = one_to_one::pair::<u64>(4).unwrap();
    let _receiver = Pollable::new(receiver).unwrap();
    process::eventually("the thread has its name", || pollers().len() == 1);
    let status = std::fs::read_to_string(format!("{}/status", pollers()[0])).unwrap();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let blocked = u64::from_str_radix(blocked.unwrap().trim(), 16).unwrap();
    for signal in [
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGUSR1,
        libc::SIGCHLD,
        40,
    ] {
        assert!(blocked & 1 << (signal - 1) != 0, "{signal} is not blocked");
    }
    // The one that made it is as before.
    let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    assert_eq!(own.unwrap().trim(), "0000000000000000");
}

#[test]
fn the_child_of_a_fork_may_drop_what_it_inherits() {
    if !process::alone("the_child_of_a_fork_may_drop_what_it_inherits") {
        return;
    }
    let (mut sender, receiver) = one_to_one::pair::<u64>(4).unwrap();
    let mut receiver = Pollable::new(receiver).unwrap();
    // SAFETY: the child only drops, and makes calls that allocate, which glibc allows it.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(receiver);
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: the pointer is valid for writing.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child drops it");
    assert!(receiver.attempt(OneToOne::try_recv).unwrap().is_none());
    sender.send(3).unwrap();
    assert_eq!(select(&[&receiver], Wait::For(LIMIT)).unwrap(), 0);
    assert_eq!(receiver.attempt(OneToOne::try_recv).unwrap(), Some(3));
}

/// Sends without an end.
fn floods<F: Face>() {
    let channel = F::open(&Options::new(), &process::argument("OBJECT"));
    let mut sender = channel.sender().unwrap();
    process::say("floods");
    for number in 1.. {
        if let Err(gone) = F::send(&mut sender, number) {
            assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
            std::thread::yield_now();
        }
    }
}

fn drops<F: Face>(test: &str) {
    let name = named("drop");
    let options = Options::new().temporary(true);
    let channel = F::create(&options, &name);
    let told = [("OBJECT", &name[..]), ("FLAVOUR", F::NAME)];
    let mut child = process::play(test, "flood", &told).start();
    child.says("floods");
    let before = descriptors();
    for round in 0..200 {
        let mut receiver = Pollable::new(channel.receiver().unwrap()).unwrap();
        for _ in 0..round % 5 {
            if receiver.attempt(F::try_recv).unwrap().is_none() && round % 2 == 0 {
                assert_eq!(
                    select(&[&receiver], Wait::For(LIMIT)).unwrap(),
                    0,
                    "{}",
                    F::NAME
                );
            }
        }
    }
    assert_eq!((pollers().len(), descriptors()), (0, before), "{}", F::NAME);
    child.kill();
}

#[test]
fn a_descriptor_can_be_dropped_while_a_peer_rings() {
    let test = "a_descriptor_can_be_dropped_while_a_peer_rings";
    match process::part().as_deref() {
        Some("alone") | None => {}
        Some(_) => return for_the_flavour!(process::argument("FLAVOUR"), floods),
    }
    if process::alone(test) {
        for_each_flavour!(drops, test);
    }
}

fn is_cut<F: Face>() {
    let name = named("cut");
    let channel = F::create(&Options::new().temporary(true), &name);
    let _sender = channel.sender().unwrap();
    let mut receiver = Pollable::new(channel.receiver().unwrap()).unwrap();
    assert!(receiver.attempt(F::try_recv).unwrap().is_none());
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(format!("/dev/shm{name}"))
        .unwrap();
    file.set_len(0).unwrap();
    assert_eq!(
        select(&[&receiver], Wait::For(LIMIT)).unwrap(),
        0,
        "{}",
        F::NAME
    );
    let start = Instant::now();
    let error = loop {
        match receiver.attempt(F::try_recv) {
            Ok(value) => assert!(value.is_none() && start.elapsed() < LIMIT, "{}", F::NAME),
            Err(error) => break error,
        }
    };
    let expected = [Kind::Corrupt, Kind::Disconnected];
    assert!(expected.contains(&error.kind()), "{}: {error}", F::NAME);
}

#[test]
fn a_channel_that_is_truncated_makes_its_descriptors_readable() {
    for_each_flavour!(is_cut);
}

/// What may be said about a channel that somebody spoils.
fn bear(error: &Error) {
    let expected = [
        Kind::TimedOut,
        Kind::Corrupt,
        Kind::Disconnected,
        Kind::Limit,
        Kind::Removed,
        Kind::WouldBlock,
    ];
    assert!(expected.contains(&error.kind()), "{error}");
}

fn wary() -> Options {
    Options::new().trust(Trust::Nobody)
}

/// Polls both ends of a channel that somebody spoils.
fn endures<F: Face>(name: &str) {
    let brief = Wait::For(Duration::from_millis(1));
    let channel = F::open(&wary(), &format!("{name}-{}", F::NAME.replace(' ', "-")));
    match channel.sender().and_then(Pollable::new) {
        Ok(mut sender) => {
            for number in 0..30 {
                if let Ok(false) = sender.attempt(|end| F::try_send(end, number)) {
                    let _ = select(&[&sender], brief);
                }
            }
        }
        Err(error) => bear(&error),
    }
    match channel.receiver().and_then(Pollable::new) {
        Ok(mut receiver) => {
            for _ in 0..30 {
                match receiver.attempt(F::try_recv_any) {
                    Ok(Some(_)) => {}
                    Ok(None) => drop(select(&[&receiver], brief)),
                    Err(error) => bear(&error),
                }
            }
        }
        Err(error) => bear(&error),
    }
}

fn create_wary<F: Face>(name: &str, all: &mut Vec<Box<dyn std::any::Any>>) {
    let name = format!("{name}-{}", F::NAME.replace(' ', "-"));
    all.push(Box::new(F::create(&wary().temporary(true), &name)));
}

#[test]
fn random_bytes_over_a_channel_harm_no_one_who_polls_it() {
    let test = "random_bytes_over_a_channel_harm_no_one_who_polls_it";
    let name = process::argument_or_empty("OBJECT");
    match process::part().as_deref() {
        Some("scribble") => {
            let files: Vec<_> = std::fs::read_dir("/dev/shm")
                .unwrap()
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.to_str().is_some_and(|path| path.contains(&name[1..])))
                .map(|path| std::fs::OpenOptions::new().write(true).open(path).unwrap())
                .collect();
            assert_eq!(files.len(), 8);
            process::say("scribbles");
            let mut random = u64::from(std::process::id()) | 1;
            loop {
                for _ in 0..64 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let file = &files[(random >> 40) as usize % files.len()];
                    let length = file.metadata().unwrap().len();
                    let bytes = match random & 1 {
                        0 => random.to_ne_bytes(),
                        _ => [0; 8],
                    };
                    // Not the header and the setup, which are read at opening only. Mostly the words, which are few.
                    let from = 4096 + 128;
                    let until = if random & 6 == 0 { length } else { from + 1024 };
                    let at = from + random % (until - from - 8);
                    file.write_all_at(&bytes[..1 + (random >> 60) as usize % 8], at)
                        .unwrap();
                }
                std::thread::sleep(Duration::from_micros(random % 200));
            }
        }
        Some(_) => {
            process::say("polls");
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(4) {
                let turn = Instant::now();
                for_each_flavour!(endures, &name);
                assert!(turn.elapsed() < LIMIT, "somebody waits for ever");
            }
        }
        None => {
            let name = named("spoilt");
            let mut all = Vec::new();
            for_each_flavour!(create_wary, &name, &mut all);
            let told = [("OBJECT", &name[..])];
            let mut users = [0, 1].map(|_| process::play(test, "poll", &told).start());
            users.iter_mut().for_each(|user| user.says("polls"));
            let mut peer = process::play(test, "scribble", &told).start();
            peer.says("scribbles");
            users.into_iter().for_each(process::Child::succeeds);
        }
    }
}

#[test]
fn polling_costs_one_thread_and_one_descriptor_each_which_go_with_it() {
    if !process::alone("polling_costs_one_thread_and_one_descriptor_each_which_go_with_it") {
        return;
    }
    let name = named("cost");
    let channel = Latest::create(&Options::new().temporary(true), &name);
    let many = ManyToMany::create(&Options::new().temporary(true), &named("cost"));
    let before = descriptors();
    let polled: Vec<_> = (0..20)
        .map(|_| Pollable::new(channel.receiver().unwrap()).unwrap())
        .collect();
    let other = Pollable::new(many.receiver().unwrap()).unwrap();
    process::eventually("they have their names", || pollers().len() == 21);
    assert_eq!(descriptors(), before + 21);
    drop((polled, other));
    assert_eq!((pollers().len(), descriptors()), (0, before));
}
