//! Hostile: a peer writes random bytes over a whole channel, seats and positions and ring, while others use it; and headers that lie.
#![cfg(not(loom))]

mod process;
mod scribbler;

use std::os::unix::fs::FileExt;

use scribbler::{LIMIT, borne};
use wigwag::Kind;
use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::Options;
use wigwag::pattern::channel::one_to_one::Channel;

fn options() -> Options {
    Options::new().trust(Trust::Nobody)
}

fn use_values(name: &str) -> Option<usize> {
    let mut done = 0;
    let channel: Channel<[u64; 5]> = borne(options().open(name))?;
    if let Some(mut sender) = borne(channel.sender()) {
        for n in 0..20 {
            done += usize::from(borne(sender.send_timeout([n; 5], LIMIT)).is_some());
            borne(sender.try_send_many(&[[n; 5]; 3]));
        }
    }
    if let Some(mut receiver) = borne(channel.receiver()) {
        for _ in 0..20 {
            done += usize::from(borne(receiver.recv_timeout(LIMIT)).is_some_and(|v| v[0] == v[4]));
        }
        if let Some(Some(batch)) = borne(receiver.try_recv_many()) {
            done += batch.len() & 1;
        }
    }
    Some(done)
}

fn use_messages(name: &str) -> Option<usize> {
    let mut done = 0;
    let channel: Channel<[u8]> = borne(options().open(name))?;
    if let Some(mut sender) = borne(channel.sender()) {
        for n in 0..20 {
            let message = vec![n; 37 * usize::from(n)];
            done += usize::from(borne(sender.send_timeout(&message, LIMIT)).is_some());
        }
    }
    if let Some(mut receiver) = borne(channel.receiver()) {
        for _ in 0..10 {
            if let Some(message) = borne(receiver.recv_timeout(LIMIT)) {
                done += message.iter().map(|byte| usize::from(*byte)).sum::<usize>() & 1;
            }
        }
        if let Some(Some(mut messages)) = borne(receiver.try_recv_many()) {
            while let Ok(Some(message)) = messages.next() {
                done += message.len() & 1;
            }
        }
    }
    Some(done)
}

#[test]
fn random_bytes_over_a_whole_channel_do_no_more_than_spoil_it() {
    scribbler::spoils(
        "random_bytes_over_a_whole_channel_do_no_more_than_spoil_it",
        &["v", "m"],
        |named| {
            let options = options().temporary(true);
            let values = options.clone().capacity(16).create(named("v"));
            let values: Channel<[u64; 5]> = values.expect("create");
            let messages = options.capacity(4096).create(named("m"));
            let messages: Channel<[u8]> = messages.expect("create");
            (values, messages)
        },
        |named| {
            let used = [use_values(&named("v")), use_messages(&named("m"))];
            used.into_iter().flatten().sum()
        },
    );
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
