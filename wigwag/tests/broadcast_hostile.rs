//! Hostile: a peer writes random bytes over whole channels of broadcast and of the latest value while others use them.
#![cfg(not(loom))]

mod process;
mod scribbler;

use scribbler::{LIMIT, borne};
use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::{Full, Options, broadcast, latest};

fn options() -> Options {
    Options::new().trust(Trust::Nobody).seats(4)
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
    let policies = [("", Full::Wait), ("o", Full::OverwriteOldest)];
    scribbler::spoils(
        "random_bytes_over_whole_channels_do_no_more_than_spoil_them",
        &["v", "m", "ov", "om", "lv", "lm"],
        |named| {
            let all = policies.map(|(policy, full)| {
                let options = options().full(full).temporary(true);
                let values: broadcast::Channel<[u64; 5]> = options
                    .clone()
                    .capacity(16)
                    .create(named(&format!("{policy}v")))
                    .expect("create");
                let messages: broadcast::Channel<[u8]> = options
                    .capacity(4096)
                    .create(named(&format!("{policy}m")))
                    .expect("create");
                (values, messages)
            });
            let options = options().temporary(true);
            let newest: latest::Channel<[u64; 5]> = options.create(named("lv")).expect("create");
            let text = options.capacity(64).create(named("lm"));
            let text: latest::Channel<[u8]> = text.expect("create");
            (all, newest, text)
        },
        |named| {
            let values = ["v", "ov"].map(|which| use_values(&named(which)));
            let messages = ["m", "om"].map(|which| use_messages(&named(which)));
            let latest = use_latest(&named("lv"), &named("lm"));
            let all = values.into_iter().chain(messages).chain([latest]);
            all.flatten().sum()
        },
    );
}
