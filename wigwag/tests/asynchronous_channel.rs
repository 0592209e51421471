//! Channels under tokio: another process at the other end, also when it is killed.
#![cfg(all(feature = "tokio", not(loom)))]
#![allow(clippy::unwrap_used)] // what tests share is test too

mod process;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use wigwag::Async;
use wigwag::pattern::channel::{Options, Pollable, one_to_one};

type Values = one_to_one::Channel<u64>;
type Messages = one_to_one::Channel<[u8]>;

/// Sends 1000 values, now and then after a while, and stays.
fn sends() {
    let channel: Values = Options::new().open(process::argument("OBJECT")).unwrap();
    let mut sender = channel.sender().unwrap();
    for value in 0..1000 {
        if value % 100 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        sender.send(value).unwrap();
    }
    process::say("sent");
    process::hear();
}

/// Receives messages, now and then after a while, and says how many.
fn receives() {
    let channel: Messages = Options::new().open(process::argument("OBJECT")).unwrap();
    let mut receiver = channel.receiver().unwrap();
    let mut count = 0_usize;
    while let Ok(message) = receiver.recv() {
        assert_eq!(message.len(), count % 1500);
        assert!(message.iter().all(|byte| *byte == count as u8));
        drop(message);
        count += 1;
        if count.is_multiple_of(100) {
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    process::say(&count.to_string());
}

#[tokio::test]
async fn a_stream_gives_all_that_a_killed_sender_sent_and_ends() {
    const TEST: &str = "a_stream_gives_all_that_a_killed_sender_sent_and_ends";
    if process::part().is_some() {
        return sends();
    }
    let name = format!("/{}", process::unique("stream"));
    let channel: Values = Options::new()
        .temporary(true)
        .capacity(64)
        .create(&name)
        .unwrap();
    let receiver = Pollable::new(channel.receiver().unwrap()).unwrap();
    let mut stream = Async::new(receiver).unwrap();
    let mut child = process::play(TEST, "sends", &[("OBJECT", &name)]).start();
    for expected in 0..1000 {
        assert_eq!(stream.next().await.unwrap().unwrap(), expected);
    }
    child.says("sent");
    let nothing = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
    assert!(nothing.is_err(), "it lives and sends nothing");
    child.kill();
    let end = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
    assert!(end.expect("an end").is_none());
}

#[tokio::test]
async fn messages_wait_for_room_without_blocking_the_thread() {
    const TEST: &str = "messages_wait_for_room_without_blocking_the_thread";
    if process::part().is_some() {
        return receives();
    }
    let name = format!("/{}", process::unique("sink"));
    let channel: Messages = Options::new()
        .temporary(true)
        .capacity(4096)
        .create(&name)
        .unwrap();
    let mut sender = Async::new(Pollable::new(channel.sender().unwrap()).unwrap()).unwrap();
    let mut child = process::play(TEST, "receives", &[("OBJECT", &name)]).start();
    let mut ticks = 0;
    let mut clock = tokio::time::interval(Duration::from_millis(1));
    let sending = async move {
        for count in 0..2000_usize {
            let message = vec![count as u8; count % 1500];
            sender.send_message(&message).await.unwrap();
        }
    };
    tokio::pin!(sending);
    loop {
        tokio::select! {
            () = &mut sending => break,
            _ = clock.tick() => ticks += 1,
        }
    }
    assert!(ticks > 1, "the other task got its turn");
    child.says("2000");
    child.succeeds();
}

#[tokio::test]
async fn a_sink_is_ready_when_there_is_room() {
    let (sender, mut receiver) = one_to_one::pair::<u64>(2).unwrap();
    let mut sender = Async::new(Pollable::new(sender).unwrap()).unwrap();
    sender.send(1).await.unwrap();
    sender.send(2).await.unwrap();
    let full = tokio::time::timeout(Duration::from_millis(50), sender.send(3)).await;
    assert!(full.is_err(), "there is no room");
    assert_eq!(*receiver.recv().unwrap(), 1);
    sender.send(4).await.unwrap();
    assert_eq!(*receiver.recv().unwrap(), 2);
    assert_eq!(*receiver.recv().unwrap(), 4);
    drop(receiver);
    let mut gone = sender.send(5).await;
    while gone.is_ok() {
        gone = sender.send(5).await;
    }
    assert_eq!(gone.unwrap_err().kind(), wigwag::Kind::Disconnected);
}
