//! Hostile: a peer writes random bytes over whole channels of many to many while others use them.
//!
//! Errors and wrong data are allowed; a panic, a crash, or a wait beyond its time-out is not.
#![cfg(not(loom))]

mod process;

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::many_to_many::Channel;
use wigwag::pattern::channel::{Full, Options};
use wigwag::{Error, Kind};

const LIMIT: Duration = Duration::from_millis(2);
/// A time-out on a loaded machine.
const LATE: Duration = Duration::from_secs(10);
/// Values and messages, which wait or overwrite.
const NAMES: [&str; 4] = ["v", "m", "ov", "om"];

fn options() -> Options {
    Options::new().trust(Trust::Nobody).seats(4)
}

/// What may be said about a channel that somebody spoils.
fn borne<T>(outcome: Result<T, Error>) -> Option<T> {
    let expected = [
        Kind::TimedOut,
        Kind::Corrupt,
        Kind::Disconnected,
        Kind::Limit,
        Kind::Removed,
        Kind::WouldBlock,
    ];
    match outcome {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(expected.contains(&error.kind()), "{error}");
            None
        }
    }
}

fn use_values(name: &str) -> Option<usize> {
    let mut done = 0;
    let channel: Channel<[u64; 5]> = borne(options().open(name))?;
    let sender = borne(channel.sender());
    let receiver = borne(channel.receiver());
    if let Some(mut sender) = sender {
        for n in 0..20 {
            done += usize::from(borne(sender.send_timeout([n; 5], LIMIT)).is_some());
            borne(sender.try_send([n; 5]));
            borne(sender.try_send_many(&[[n; 5]; 3]));
            if let Some(Some(mut loan)) = borne(sender.try_loan()) {
                loan[0] = n;
                loan.send();
            }
        }
        let _ = (sender.level(), sender.lost());
    }
    if let Some(mut receiver) = receiver {
        for _ in 0..20 {
            done += usize::from(borne(receiver.recv_timeout(LIMIT)).is_some_and(|v| v[0] == v[4]));
            if let Some(Some(batch)) = borne(receiver.try_recv_many()) {
                done += batch.len() & 1;
            }
        }
    }
    Some(done)
}

fn use_messages(name: &str) -> Option<usize> {
    let mut done = 0;
    let channel: Channel<[u8]> = borne(options().open(name))?;
    let sender = borne(channel.sender());
    let receiver = borne(channel.receiver());
    if let Some(mut sender) = sender {
        for n in 0..20 {
            let message = vec![n; 67 * usize::from(n)];
            done += usize::from(borne(sender.send_timeout(&message, LIMIT)).is_some());
            borne(sender.try_send(&message));
            borne(sender.try_send_many(&[&message[..], b"short"]));
            if let Some(Some(mut loan)) = borne(sender.try_loan(1000)) {
                loan.fill(n);
                loan.truncate(usize::from(n) * 40);
                loan.send();
            }
        }
        let _ = (sender.level(), sender.lost());
    }
    if let Some(mut receiver) = receiver {
        for _ in 0..20 {
            if let Some(message) = borne(receiver.recv_timeout(LIMIT)) {
                done += message.iter().map(|byte| usize::from(*byte)).sum::<usize>() & 1;
            }
            if let Some(Some(mut batch)) = borne(receiver.try_recv_many()) {
                // It need not end by itself while somebody makes new ones.
                for _ in 0..100 {
                    let Some(Some(message)) = borne(batch.next()) else {
                        break;
                    };
                    done += message.iter().map(|byte| usize::from(*byte)).sum::<usize>() & 1;
                }
            }
        }
    }
    Some(done)
}

#[test]
fn random_bytes_over_whole_channels_do_no_more_than_spoil_them() {
    let name = process::argument_or_empty("OBJECT");
    match process::part().as_deref() {
        Some("scribble") => {
            let files = NAMES.map(|which| {
                std::fs::OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(format!("/dev/shm{name}-{which}"))
                    .expect("open")
            });
            let mut random = 0x9e37_79b9_7f4a_7c15_u64;
            process::say("scribbles");
            loop {
                for _ in 0..32 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let file = &files[(random >> 40) as usize % files.len()];
                    let length = file.metadata().expect("its length").len();
                    // Not the header and the setup: they are read at opening only, and checked there.
                    let from = 4096 + 128;
                    // Mostly the words, which are few.
                    let until = if random & 6 == 0 { length } else { from + 2560 };
                    let at = (from + random % (until - from - 8)) & !7;
                    let mut bytes = random.to_ne_bytes();
                    match random & 7 {
                        0 | 1 => {}
                        // Small numbers are positions that might be.
                        2 => bytes = (random >> 56).to_ne_bytes(),
                        // A word that is almost what it was.
                        3..=5 => {
                            file.read_exact_at(&mut bytes, at).expect("read");
                            bytes[(random >> 33) as usize % 8] ^= 1 << (random >> 37 & 7);
                        }
                        _ => bytes = [0; 8],
                    }
                    file.write_all_at(&bytes, at).expect("write");
                }
                if random % 8 == 1 {
                    // As good as new, so that there is something to be spoiled.
                    for file in &files {
                        let length = file.metadata().expect("its length").len() as usize;
                        let zeros = vec![0; length - 4096 - 128];
                        file.write_all_at(&zeros, 4096 + 128).expect("write");
                    }
                }
                std::thread::sleep(Duration::from_micros(random % 2000));
            }
        }
        Some(_) => {
            process::say("uses");
            let (start, mut done) = (Instant::now(), 0);
            while start.elapsed() < Duration::from_secs(4) {
                let turn = Instant::now();
                for values in ["v", "ov"] {
                    done += use_values(&format!("{name}-{values}")).unwrap_or(0);
                }
                for messages in ["m", "om"] {
                    done += use_messages(&format!("{name}-{messages}")).unwrap_or(0);
                }
                assert!(turn.elapsed() < LATE, "a time-out did not hold");
            }
            process::say(&format!("done {done}"));
            return;
        }
        None => {}
    }
    let name = format!("/{}", process::unique("hostile"));
    let made = |which: &str, full| {
        let options = options().full(full).temporary(true);
        (options, format!("{name}-{which}"))
    };
    let values = [("v", Full::Wait), ("ov", Full::OverwriteOldest)].map(|(which, full)| {
        let (options, name) = made(which, full);
        let channel: Channel<[u64; 5]> = options.capacity(8).create(name).expect("create");
        channel
    });
    let messages = [("m", Full::Wait), ("om", Full::OverwriteOldest)].map(|(which, full)| {
        let (options, name) = made(which, full);
        let channel: Channel<[u8]> = options.capacity(4096).create(name).expect("create");
        channel
    });
    let play = |part| {
        let test = "random_bytes_over_whole_channels_do_no_more_than_spoil_them";
        process::play(test, part, &[("OBJECT", &name)]).start()
    };
    let mut scribbler = play("scribble");
    scribbler.says("scribbles");
    let mut users = [play("use"), play("use again")];
    users.iter_mut().for_each(|user| user.says("uses"));
    let mut all = 0;
    for mut user in users {
        let line = user.line();
        let done = line.strip_prefix("done ").map(str::parse::<u64>);
        let Some(Ok(done)) = done else {
            panic!("the user says: {line}");
        };
        all += done;
        user.succeeds();
    }
    scribbler.kill();
    println!("{all} done");
    assert!(all > 0, "nobody did anything");
    drop((values, messages));
}
