//! Hostile: a peer writes random bytes over a whole channel, seats and positions and ring, while others use it.
//!
//! Errors and wrong data are allowed; a panic, a crash, or a wait beyond its time-out is not.
#![cfg(not(loom))]

mod process;

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::Options;
use wigwag::pattern::channel::one_to_one::Channel;
use wigwag::{Error, Kind};

const LIMIT: Duration = Duration::from_millis(2);
/// A time-out on a loaded machine.
const LATE: Duration = Duration::from_secs(10);

fn options() -> Options {
    Options::new().trust(Trust::Nobody)
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

fn use_values(name: &str) -> usize {
    let mut done = 0;
    let channel: Channel<[u64; 5]> = match options().open(name) {
        Ok(channel) => channel,
        Err(error) => {
            bear(&error);
            return 0;
        }
    };
    match channel.sender() {
        Ok(mut sender) => {
            for n in 0..20 {
                match sender.send_timeout([n; 5], LIMIT) {
                    Ok(()) => done += 1,
                    Err(error) => bear(&error),
                }
                let _ = sender
                    .try_send_many(&[[n; 5]; 3])
                    .map_err(|error| bear(&error));
            }
        }
        Err(error) => bear(&error),
    }
    match channel.receiver() {
        Ok(mut receiver) => {
            for _ in 0..20 {
                match receiver.recv_timeout(LIMIT) {
                    Ok(value) => done += usize::from(value[0] == value[4]),
                    Err(error) => bear(&error),
                }
            }
            if receiver.level() > 0 {
                let _ = receiver
                    .recv_many()
                    .map(|batch| batch.len())
                    .map_err(|error| bear(&error));
            }
        }
        Err(error) => bear(&error),
    }
    done
}

fn use_messages(name: &str) -> usize {
    let mut done = 0;
    let channel: Channel<[u8]> = match options().open(name) {
        Ok(channel) => channel,
        Err(error) => {
            bear(&error);
            return 0;
        }
    };
    match channel.sender() {
        Ok(mut sender) => {
            for n in 0..20 {
                match sender.send_timeout(&vec![n; 37 * usize::from(n)], LIMIT) {
                    Ok(()) => done += 1,
                    Err(error) => bear(&error),
                }
            }
        }
        Err(error) => bear(&error),
    }
    match channel.receiver() {
        Ok(mut receiver) => {
            for _ in 0..10 {
                match receiver.recv_timeout(LIMIT) {
                    Ok(message) => {
                        done += message.iter().map(|byte| usize::from(*byte)).sum::<usize>() & 1
                    }
                    Err(error) => bear(&error),
                }
            }
            if receiver.level() > 0 {
                match receiver.recv_many() {
                    Ok(mut messages) => {
                        while let Ok(Some(message)) = messages.next() {
                            done += message.len() & 1;
                        }
                    }
                    Err(error) => bear(&error),
                }
            }
        }
        Err(error) => bear(&error),
    }
    done
}

#[test]
fn random_bytes_over_a_whole_channel_do_no_more_than_spoil_it() {
    let name = process::argument_or_empty("OBJECT");
    match process::part().as_deref() {
        Some("scribble") => {
            let files = ["-v", "-m"].map(|which| {
                std::fs::OpenOptions::new()
                    .write(true)
                    .open(format!("/dev/shm{name}{which}"))
                    .expect("open")
            });
            let mut random = 0x9e37_79b9_7f4a_7c15_u64;
            process::say("scribbles");
            loop {
                for _ in 0..16 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let file = &files[(random >> 40) as usize & 1];
                    let length = file.metadata().expect("its length").len();
                    let bytes = if random & 1 == 0 {
                        random.to_ne_bytes()
                    } else {
                        [0; 8]
                    };
                    // Not the header and the setup: they are read at opening only, and checked there.
                    let from = 4096 + 128;
                    // Mostly the words, which are few.
                    let until = if random & 6 == 0 { length } else { from + 1024 };
                    let at = from + random % (until - from - 8);
                    file.write_all_at(&bytes[..1 + (random >> 60) as usize % 8], at)
                        .expect("write");
                }
                std::thread::sleep(Duration::from_micros(random % 200));
            }
        }
        Some(_) => {
            process::say("uses");
            let (start, mut done) = (Instant::now(), 0);
            while start.elapsed() < Duration::from_secs(4) {
                let turn = Instant::now();
                done += use_values(&format!("{name}-v"));
                done += use_messages(&format!("{name}-m"));
                assert!(turn.elapsed() < LATE, "a time-out did not hold");
            }
            process::say(&format!("done {done}"));
        }
        None => {
            let name = format!("/{}", process::unique("hostile"));
            let _values: Channel<[u64; 5]> = options()
                .capacity(16)
                .temporary(true)
                .create(format!("{name}-v"))
                .expect("create");
            let _messages: Channel<[u8]> = options()
                .capacity(4096)
                .temporary(true)
                .create(format!("{name}-m"))
                .expect("create");
            let test = "random_bytes_over_a_whole_channel_do_no_more_than_spoil_it";
            let mut users: Vec<_> = (0..2)
                .map(|_| process::play(test, "use", &[("OBJECT", &name)]).start())
                .collect();
            users.iter_mut().for_each(|user| user.says("uses"));
            let mut peer = process::play(test, "scribble", &[("OBJECT", &name)]).start();
            peer.says("scribbles");
            let mut all = 0;
            for mut user in users {
                let said = user.line();
                let done = said
                    .strip_prefix("done ")
                    .and_then(|done| done.parse::<u64>().ok());
                all += done.unwrap_or_else(|| panic!("the user says: {said}"));
                user.succeeds();
            }
            assert!(all > 0, "nobody did anything");
        }
    }
}

#[test]
fn a_header_and_setup_that_lie_are_refused() {
    let name = format!("/{}", process::unique("lies"));
    let channel: Channel<u64> = Options::new()
        .capacity(16)
        .temporary(true)
        .create(&name)
        .expect("create");
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/dev/shm{name}"))
        .expect("open");
    let mut whole = [0; 4096 + 128];
    file.read_exact_at(&mut whole, 0).expect("read");
    // Each word of both, in turn another: it is refused or, where it does not matter, opened; never worse.
    let mut refused = 0;
    for at in (0..176).chain(4096..4096 + 24).step_by(4) {
        for lie in [0u32, 1, 0x7fff_ffff, u32::MAX] {
            file.write_all_at(&lie.to_ne_bytes(), at).expect("write");
            match Options::new().open::<Channel<u64>>(&name) {
                Ok(opened) => drop(opened.sender().map(|mut sender| sender.try_send(1))),
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
        file.write_all_at(&whole[at as usize..at as usize + 4], at)
            .expect("write");
    }
    assert!(refused > 50, "{refused}");
    let other = Options::new()
        .open::<Channel<i64>>(&name)
        .expect_err("another type");
    assert_eq!(other.kind(), Kind::BadInput, "{other}");
    drop(channel);
}
