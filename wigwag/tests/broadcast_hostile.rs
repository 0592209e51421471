//! Hostile: a peer writes random bytes over whole channels of broadcast and of the latest value while others use them.
//!
//! Errors and wrong data are allowed; a panic, a crash, or a wait beyond its time-out is not.
#![cfg(not(loom))]

mod process;

use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::{Full, Options, broadcast, latest};
use wigwag::{Error, Kind};

const LIMIT: Duration = Duration::from_millis(2);
/// A time-out on a loaded machine.
const LATE: Duration = Duration::from_secs(10);
const NAMES: [&str; 6] = ["v", "m", "ov", "om", "lv", "lm"];

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
    let channel: broadcast::Channel<[u64; 5]> = borne(options().open(name))?;
    let sender = borne(channel.sender());
    let receiver = borne(channel.receiver_with_last(7));
    if let Some(mut sender) = sender {
        for n in 0..20 {
            done += usize::from(borne(sender.send_timeout([n; 5], LIMIT)).is_some());
            borne(sender.try_send([n; 5]));
            if let Some(Some(mut loan)) = borne(sender.try_loan()) {
                loan[0] = n;
                loan.send();
            }
        }
        let _ = (sender.level(), sender.lost(), sender.receivers());
    }
    if let Some(mut receiver) = receiver {
        for _ in 0..20 {
            done += usize::from(borne(receiver.recv_timeout(LIMIT)).is_some_and(|v| v[0] == v[4]));
        }
        if receiver.level() > 0 && receiver.is_connected() {
            let _ = borne(receiver.try_recv()).map(|value| value.map(|value| value.missed()));
        }
        let _ = receiver.lost();
    }
    Some(done)
}

fn use_messages(name: &str) -> Option<usize> {
    let mut done = 0;
    let channel: broadcast::Channel<[u8]> = borne(options().open(name))?;
    let sender = borne(channel.sender());
    let receiver = borne(channel.receiver_with_last(u64::MAX));
    if let Some(mut sender) = sender {
        for n in 0..20 {
            let message = vec![n; 37 * usize::from(n)];
            done += usize::from(borne(sender.send_timeout(&message, LIMIT)).is_some());
            borne(sender.try_send(&message));
        }
    }
    if let Some(mut receiver) = receiver {
        for _ in 0..20 {
            if let Some(message) = borne(receiver.recv_timeout(LIMIT)) {
                done += message.iter().map(|byte| usize::from(*byte)).sum::<usize>() & 1;
            }
        }
    }
    Some(done)
}

fn use_latest(values: &str, messages: &str) -> Option<usize> {
    let mut done = 0;
    let channel: latest::Channel<[u64; 5]> = borne(options().open(values))?;
    let other: latest::Channel<[u8]> = borne(options().open(messages))?;
    let (sender, second) = (borne(channel.sender()), borne(other.sender()));
    if let (Some(mut sender), Some(mut second)) = (sender, second) {
        for n in 0..20 {
            borne(sender.send([n; 5]));
            borne(second.send(&vec![n as u8; 3 * n as usize]));
        }
    }
    let (receiver, text) = (borne(channel.receiver()), borne(other.receiver()));
    if let (Some(mut receiver), Some(mut text)) = (receiver, text) {
        for _ in 0..10 {
            done += usize::from(borne(receiver.latest()).is_some());
            done += usize::from(borne(receiver.recv_timeout(LIMIT)).is_some());
            if let Some(message) = borne(text.recv_timeout(LIMIT)) {
                done += message.iter().map(|byte| usize::from(*byte)).sum::<usize>() & 1;
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
                    let bytes = match random & 3 {
                        0 => random.to_ne_bytes(),
                        // Small numbers are positions that might be.
                        1 => (random >> 56).to_ne_bytes(),
                        _ => [0; 8],
                    };
                    // Not the header and the setup: they are read at opening only, and checked there.
                    let from = 4096 + 128;
                    // Mostly the words, which are few.
                    let until = if random & 6 == 0 { length } else { from + 1024 };
                    let at = (from + random % (until - from - 8)) & !7;
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
                let named = |which| format!("{name}-{which}");
                done += use_values(&named("v")).unwrap_or(0);
                done += use_values(&named("ov")).unwrap_or(0);
                done += use_messages(&named("m")).unwrap_or(0);
                done += use_messages(&named("om")).unwrap_or(0);
                done += use_latest(&named("lv"), &named("lm")).unwrap_or(0);
                assert!(turn.elapsed() < LATE, "a time-out did not hold");
            }
            process::say(&format!("done {done}"));
        }
        None => {
            let name = format!("/{}", process::unique("hostile"));
            let options = options().temporary(true);
            let overwriting = options.clone().full(Full::OverwriteOldest);
            let named = |which| format!("{name}-{which}");
            let values = |options: &Options, name: String| {
                let options = options.clone().capacity(16);
                options
                    .create::<broadcast::Channel<[u64; 5]>>(&name)
                    .expect("create")
            };
            let messages = |options: &Options, name: String| {
                let options = options.clone().capacity(4096);
                options
                    .create::<broadcast::Channel<[u8]>>(&name)
                    .expect("create")
            };
            let _values = [
                values(&options, named("v")),
                values(&overwriting, named("ov")),
            ];
            let _messages = [
                messages(&options, named("m")),
                messages(&overwriting, named("om")),
            ];
            let _latest: latest::Channel<[u64; 5]> = options.create(named("lv")).expect("create");
            let _text: latest::Channel<[u8]> = options
                .clone()
                .capacity(64)
                .create(named("lm"))
                .expect("create");
            let test = "random_bytes_over_whole_channels_do_no_more_than_spoil_them";
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
