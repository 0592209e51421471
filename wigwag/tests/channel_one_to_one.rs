//! The one-to-one channel between two processes.
#![cfg(not(loom))]

mod process;

use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::one_to_one::{self, Channel};
use wigwag::pattern::channel::{Full, Options, Pollable, Waiting, select};
use wigwag::{Kind, Wait};

/// Waits in tests are bounded by this and end long before.
const LIMIT: Duration = Duration::from_secs(20);

fn named(stem: &str) -> String {
    format!("/{}", process::unique(stem))
}

#[test]
fn values_arrive_in_order_and_whole() {
    if process::part().is_some() {
        let channel: Channel<[u64; 4]> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut sender = channel.sender().unwrap();
        for n in 0..100_000 {
            sender.send([n, n + 1, n + 2, n + 3]).unwrap();
        }
        return;
    }
    let name = named("order");
    let channel: Channel<[u64; 4]> = Options::new()
        .capacity(64)
        .temporary(true)
        .create(&name)
        .unwrap();
    let mut receiver = channel.receiver().unwrap();
    let child = process::play(
        "values_arrive_in_order_and_whole",
        "send",
        &[("OBJECT", &name)],
    )
    .start();
    for n in 0..100_000 {
        let value = receiver.recv_timeout(LIMIT).unwrap();
        assert_eq!(*value, [n, n + 1, n + 2, n + 3]);
    }
    let gone = receiver.recv_timeout(LIMIT).unwrap_err();
    assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
    child.succeeds();
}

#[test]
fn messages_of_any_length_arrive_whole() {
    if process::part().is_some() {
        let channel: Channel<[u8]> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut sender = channel.sender().unwrap();
        let longest = sender.longest();
        for n in 0..20_000usize {
            let len = if n % 1000 == 0 { longest } else { n * 7 % 300 };
            let mut loan = sender.loan(len).unwrap();
            loan.fill(n as u8);
            loan.send();
        }
        return;
    }
    let name = named("messages");
    let channel: Channel<[u8]> = Options::new()
        .capacity(8192)
        .temporary(true)
        .create(&name)
        .unwrap();
    let mut receiver = channel.receiver().unwrap();
    let child = process::play(
        "messages_of_any_length_arrive_whole",
        "send",
        &[("OBJECT", &name)],
    )
    .start();
    for n in 0..20_000usize {
        let len = if n % 1000 == 0 { 8188 } else { n * 7 % 300 };
        let message = receiver.recv_timeout(LIMIT).unwrap();
        assert_eq!(message.len(), len);
        assert!(message.iter().all(|byte| *byte == n as u8));
    }
    child.succeeds();
}

#[test]
fn a_killed_sender_is_told_at_once_to_a_receiver_that_sleeps() {
    if process::part().is_some() {
        let channel: Channel<u64> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut sender = channel.sender().unwrap();
        sender.send(7).unwrap();
        process::say("sent");
        process::hear();
        return;
    }
    for waiting in [Waiting::Spin, Waiting::Adaptive, Waiting::Block] {
        let name = named("killed");
        let channel: Channel<u64> = Options::new()
            .waiting(waiting)
            .temporary(true)
            .create(&name)
            .unwrap();
        let mut receiver = channel.receiver().unwrap();
        let mut child = process::play(
            "a_killed_sender_is_told_at_once_to_a_receiver_that_sleeps",
            "send",
            &[("OBJECT", &name)],
        )
        .start();
        child.says("sent");
        assert_eq!(*receiver.recv().unwrap(), 7);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            child.kill();
        });
        let start = Instant::now();
        let gone = receiver.recv().unwrap_err();
        assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
        assert!(start.elapsed() >= Duration::from_millis(90));
        killer.join().unwrap();
    }
}

#[test]
fn a_killed_receiver_is_told_at_once_to_a_sender_that_waits_and_its_values_go_to_the_next() {
    if process::part().is_some() {
        let channel: Channel<u64> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut receiver = channel.receiver().unwrap();
        let held = receiver.recv().unwrap();
        process::say(&held.to_string());
        process::hear();
        return;
    }
    let name = named("killed");
    let channel: Channel<u64> = Options::new()
        .capacity(4)
        .temporary(true)
        .create(&name)
        .unwrap();
    let mut sender = channel.sender().unwrap();
    let mut child = process::play(
        "a_killed_receiver_is_told_at_once_to_a_sender_that_waits_and_its_values_go_to_the_next",
        "receive",
        &[("OBJECT", &name)],
    )
    .start();
    sender.send(1).unwrap();
    child.says("1");
    for n in 2..5 {
        sender.send(n).unwrap();
    }
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        child.kill();
    });
    let gone = sender.send(5).unwrap_err();
    assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
    killer.join().unwrap();
    process::eventually("the seat is free", || channel.receiver().is_ok());
    let mut receiver = channel.receiver().unwrap();
    for n in 1..5 {
        assert_eq!(*receiver.recv().unwrap(), n);
    }
}

#[test]
fn a_full_channel_does_what_it_was_made_for() {
    for (full, expected) in [
        (Full::Fail, Some(Kind::WouldBlock)),
        (Full::DropNewest, None),
    ] {
        let channel: Channel<u64> = Options::new().capacity(2).full(full).anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        assert_eq!(sender.send(3).map_err(|error| error.kind()).err(), expected);
        assert_eq!(receiver.lost(), u64::from(full == Full::DropNewest));
        assert_eq!(*receiver.recv().unwrap(), 1);
        assert!(sender.try_send(4).unwrap());
    }
    let refused = Options::new()
        .full(Full::OverwriteOldest)
        .anonymous::<Channel<u64>>()
        .unwrap_err();
    assert_eq!(refused.kind(), Kind::BadInput, "{refused}");
    let (mut sender, _receiver) = one_to_one::pair::<u64>(2).unwrap();
    sender.send_many(&[1, 2]).unwrap();
    let late = sender
        .send_timeout(3, Duration::from_millis(50))
        .unwrap_err();
    assert_eq!(late.kind(), Kind::TimedOut, "{late}");
}

/// A value out of a receiver, for [`Pollable::attempt`].
fn taken(receiver: &mut one_to_one::Receiver<u64>) -> wigwag::Result<Option<u64>> {
    Ok(receiver.try_recv()?.map(|value| *value))
}

#[test]
fn a_pollable_receiver_is_readable_for_each_value_and_for_the_death_of_the_sender() {
    if process::part().is_some() {
        let channel: Channel<u64> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut sender = channel.sender().unwrap();
        for n in 0..200 {
            sender.send(n).unwrap();
            if n % 10 == 0 {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
        process::say("sent");
        process::hear();
        return;
    }
    let name = named("poll");
    let channel: Channel<u64> = Options::new()
        .capacity(4)
        .temporary(true)
        .create(&name)
        .unwrap();
    let mut receiver = Pollable::new(channel.receiver().unwrap()).unwrap();
    let mut child = process::play(
        "a_pollable_receiver_is_readable_for_each_value_and_for_the_death_of_the_sender",
        "send",
        &[("OBJECT", &name)],
    )
    .start();
    let mut next = 0;
    while next < 200 {
        match receiver.attempt(taken).unwrap() {
            Some(value) => {
                assert_eq!(value, next);
                next += 1;
            }
            None => assert_eq!(select(&[&receiver], Wait::For(LIMIT)).unwrap(), 0),
        }
    }
    child.says("sent");
    assert!(receiver.attempt(taken).unwrap().is_none());
    let idle = select(&[&receiver], Wait::For(Duration::from_millis(20))).unwrap_err();
    assert_eq!(idle.kind(), Kind::TimedOut, "{idle}");
    child.kill();
    assert_eq!(select(&[&receiver], Wait::For(LIMIT)).unwrap(), 0);
    let gone = receiver.attempt(taken).unwrap_err();
    assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
}

#[test]
fn a_pollable_sender_waits_for_as_much_room_as_its_message_needs() {
    let (sender, mut receiver) = one_to_one::pair::<[u8]>(4096).unwrap();
    let mut sender = Pollable::new(sender).unwrap();
    assert!(sender.attempt(|end| end.try_send(&[1; 2000])).unwrap());
    assert!(sender.attempt(|end| end.try_send(&[2; 1000])).unwrap());
    assert!(!sender.attempt(|end| end.try_send(&[3; 3500])).unwrap());
    drop(receiver.recv().unwrap());
    // Room for some, but not for that.
    let idle = select(&[&sender], Wait::For(Duration::from_millis(50))).unwrap_err();
    assert_eq!(idle.kind(), Kind::TimedOut, "{idle}");
    drop(receiver.recv().unwrap());
    assert_eq!(select(&[&sender], Wait::For(LIMIT)).unwrap(), 0);
    assert!(sender.attempt(|end| end.try_send(&[3; 3500])).unwrap());
    assert_eq!(receiver.recv().unwrap().len(), 3500);
}

#[test]
fn who_does_not_wait_is_told_too_that_the_other_end_is_gone() {
    let (mut sender, mut receiver) = one_to_one::pair::<u64>(2).unwrap();
    assert!(receiver.try_recv().unwrap().is_none());
    assert!(sender.try_send(1).unwrap());
    sender.close();
    assert_eq!(*receiver.try_recv().unwrap().unwrap(), 1);
    assert_eq!(receiver.try_recv().unwrap_err().kind(), Kind::Disconnected);
    assert!(!receiver.is_connected());

    let (mut sender, receiver) = one_to_one::pair::<[u8]>(4096).unwrap();
    drop(receiver);
    while sender.try_send(&[0; 1000]).is_ok_and(|sent| sent) {}
    assert_eq!(
        sender.try_send(&[0; 1000]).unwrap_err().kind(),
        Kind::Disconnected
    );
    assert_eq!(
        sender.send(&[0; 1000]).unwrap_err().kind(),
        Kind::Disconnected
    );
    assert_eq!(
        sender.try_send(&[0; 5000]).unwrap_err().kind(),
        Kind::TooBig
    );
}

#[test]
fn a_seat_is_for_one_and_free_when_it_is_left() {
    let channel: Channel<u64> = Options::new().anonymous().unwrap();
    let sender = channel.sender().unwrap();
    let taken = channel.sender().unwrap_err();
    assert_eq!(taken.kind(), Kind::Limit, "{taken}");
    assert!(
        taken.to_string().contains(&std::process::id().to_string()),
        "{taken}"
    );
    assert_eq!((channel.senders(), channel.receivers()), (1, 0));
    drop(sender);
    assert_eq!((channel.senders(), channel.receivers()), (0, 0));
    channel.sender().unwrap();
}

#[test]
fn a_receiver_waits_for_a_sender_that_has_not_come_yet() {
    if process::part().is_some() {
        let channel: Channel<u64> = Options::new().open(process::argument("OBJECT")).unwrap();
        process::hear();
        channel.sender().unwrap().send(5).unwrap();
        return;
    }
    for waiting in [Waiting::Block, Waiting::Adaptive, Waiting::Spin] {
        let name = named("early");
        let channel: Channel<u64> = Options::new()
            .waiting(waiting)
            .temporary(true)
            .create(&name)
            .unwrap();
        let mut receiver = channel.receiver().unwrap();
        let early = receiver
            .recv_timeout(Duration::from_millis(10))
            .unwrap_err();
        assert_eq!(early.kind(), Kind::TimedOut);
        let mut child = process::play(
            "a_receiver_waits_for_a_sender_that_has_not_come_yet",
            "send",
            &[("OBJECT", &name)],
        )
        .start();
        child.tell("come");
        assert_eq!(*receiver.recv_timeout(LIMIT).unwrap(), 5);
        child.succeeds();
    }
}

#[test]
fn batches_both_ways_keep_the_order_over_the_end_of_the_ring() {
    for trust in [Trust::Peers, Trust::Nobody] {
        let options = Options::new().capacity(8).trust(trust);
        let channel: Channel<u32> = options.anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let (mut next, mut expected) = (0, 0);
        for round in 1..50u32 {
            let count = round % 9;
            let values: Vec<u32> = (next..next + count).collect();
            assert_eq!(sender.try_send_many(&values).unwrap(), count as usize);
            next += count;
            while expected < next {
                let batch = receiver.recv_many().unwrap();
                assert!(
                    batch
                        .iter()
                        .copied()
                        .eq(expected..expected + batch.len() as u32)
                );
                expected += batch.len() as u32;
            }
        }
        let mut loan = sender.loan_many(5).unwrap();
        let count = loan.len();
        loan.fill(77);
        loan.send(count);
        assert!(
            receiver
                .recv_many()
                .unwrap()
                .iter()
                .all(|value| *value == 77)
        );

        let channel: Channel<[u8]> = Options::new()
            .capacity(4096)
            .trust(trust)
            .anonymous()
            .unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        for round in 0..200usize {
            let messages: Vec<Vec<u8>> = (0..5)
                .map(|n| vec![n as u8; (round * 31 + n * 97) % 700])
                .collect();
            assert_eq!(sender.send_many(&messages).unwrap(), 5);
            let mut batch = receiver.recv_many().unwrap();
            for expected in &messages {
                assert_eq!(batch.next().unwrap().unwrap(), expected);
            }
            assert!(batch.next().unwrap().is_none());
        }
        // What was not looked at comes again.
        sender.send_many(&[b"a", b"b"]).unwrap();
        receiver.recv_many().unwrap().next().unwrap();
        assert_eq!(&*receiver.recv().unwrap(), b"b");
    }
}

#[test]
fn a_channel_without_a_name_goes_to_another_process_as_a_descriptor() {
    if process::part().is_some() {
        // SAFETY: standard input is open, and nobody else has it as an OwnedFd.
        let file = unsafe { OwnedFd::from_raw_fd(0) };
        let channel: Channel<[u8]> = Options::new().from_fd(file).unwrap();
        channel.sender().unwrap().send(b"from afar").unwrap();
        return;
    }
    let channel: Channel<[u8]> = Options::new().capacity(4096).anonymous().unwrap();
    let mut receiver = channel.receiver().unwrap();
    let file = channel.as_fd().try_clone_to_owned().unwrap();
    let _child = process::play(
        "a_channel_without_a_name_goes_to_another_process_as_a_descriptor",
        "send",
        &[],
    )
    .with(|command| {
        command.stdin(file);
    })
    .start();
    assert_eq!(&*receiver.recv_timeout(LIMIT).unwrap(), b"from afar");
}

#[test]
fn the_child_of_a_fork_is_told_that_the_ends_are_its_parents() {
    let test = "the_child_of_a_fork_is_told_that_the_ends_are_its_parents";
    if process::part().is_some() {
        let (mut sender, mut receiver) = one_to_one::pair::<u64>(2).unwrap();
        // SAFETY: this process does nothing else; the child only makes calls that allocate, which glibc allows it.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let told = receiver
                .recv_timeout(Duration::from_millis(10))
                .unwrap_err();
            let right = told.kind() == Kind::BadInput && told.to_string().contains("parent");
            drop((sender, receiver));
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(i32::from(!right)) };
        }
        let mut status = 0;
        // SAFETY: the pointer is valid for writing.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0, "the child is told");
        // Its end was not left by the child.
        sender.send(1).unwrap();
        assert_eq!(*receiver.recv().unwrap(), 1);
        assert!(sender.is_connected());
        process::say("good");
        return;
    }
    let mut child = process::play(test, "fork", &[]).start();
    child.says("good");
    child.succeeds();
}
