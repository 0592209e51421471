//! Hostile: a peer writes random bytes over whole channels of many to many while others use them.
#![cfg(not(loom))]

mod process;
mod scribbler;

use scribbler::{LIMIT, borne};
use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::many_to_many::Channel;
use wigwag::pattern::channel::{Full, Options};

fn options() -> Options {
    Options::new().trust(Trust::Nobody).seats(4)
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
    let policies = [("", Full::Wait), ("o", Full::OverwriteOldest)];
    scribbler::spoils(
        "random_bytes_over_whole_channels_do_no_more_than_spoil_them",
        &["v", "m", "ov", "om"],
        |named| {
            policies.map(|(policy, full)| {
                let options = options().full(full).temporary(true);
                let values = options.clone().capacity(8);
                let values = values.create::<Channel<[u64; 5]>>(named(&format!("{policy}v")));
                let messages = options.capacity(4096);
                let messages = messages.create::<Channel<[u8]>>(named(&format!("{policy}m")));
                (values.expect("create"), messages.expect("create"))
            })
        },
        |named| {
            let values = ["v", "ov"].map(|which| use_values(&named(which)));
            let messages = ["m", "om"].map(|which| use_messages(&named(which)));
            values.into_iter().chain(messages).flatten().sum()
        },
    );
}
