//! Channels under tokio: another process at the other end, also when it is killed.
#![cfg(all(feature = "tokio", not(loom)))]
#![allow(clippy::unwrap_used)] // what tests share is test too

mod flavours;
mod process;

use std::time::Duration;

use flavours::Face;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use wigwag::Async;
use wigwag::pattern::channel::{
    Full, Options, Pollable, broadcast, latest, many_to_many, one_to_one,
};

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

/// Sends 1 to 500, now and then after a while, and stays.
fn sends_numbers<F: Face>() {
    let channel = F::open(&Options::new(), &process::argument("OBJECT"));
    let mut sender = channel.sender().unwrap();
    process::say("joined");
    process::hear();
    for number in 1..=500 {
        F::send(&mut sender, number).unwrap();
        if number % 50 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    process::say("sent");
    process::hear();
}

/// A number as a stream gives it and a sink takes it.
trait Number: Send {
    fn of(number: u64) -> Self;
    fn number(&self) -> u64;
}

impl Number for u64 {
    fn of(number: u64) -> u64 {
        number
    }

    fn number(&self) -> u64 {
        *self
    }
}

impl Number for Vec<u8> {
    fn of(number: u64) -> Vec<u8> {
        flavours::written(number).to_vec()
    }

    fn number(&self) -> u64 {
        flavours::read(self)
    }
}

async fn streams<F: Face, T: Number>(test: &str)
where
    Async<Pollable<F::Receiver>>: Stream<Item = wigwag::Result<T>> + Unpin + Send + 'static,
{
    let name = format!("/{}", process::unique("stream"));
    let channel = F::create(&Options::new().temporary(true), &name);
    let told = [("OBJECT", &name[..]), ("FLAVOUR", F::NAME)];
    let mut child = process::play(test, "send", &told).start();
    child.says("joined");
    // Three tasks on one thread, but in one flavour that has one receiver.
    let most = if F::NAME.starts_with("one-to-one") {
        1
    } else {
        3
    };
    let tasks: Vec<_> = (0..most)
        .map(|_| {
            let receiver = Pollable::new(channel.receiver().unwrap()).unwrap();
            let mut stream = Async::new(receiver).unwrap();
            tokio::spawn(async move {
                let mut numbers = Vec::new();
                while let Some(item) = stream.next().await {
                    numbers.push(item.unwrap().number());
                }
                numbers
            })
        })
        .collect();
    child.tell("go");
    let mut child = tokio::task::spawn_blocking(move || {
        child.says("sent");
        child
    })
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(tasks.iter().all(|task| !task.is_finished()), "it lives");
    child.kill();
    let mut all = Vec::new();
    for task in tasks {
        let numbers = tokio::time::timeout(Duration::from_secs(20), task).await;
        let numbers = numbers.expect("the stream ends").unwrap();
        if F::is_latest() {
            assert_eq!(numbers.last(), Some(&500));
            assert!(numbers.is_sorted());
        } else if F::is_broadcast() {
            assert!(numbers.into_iter().eq(1..=500), "{}", F::NAME);
        } else {
            all.extend(numbers);
        }
    }
    if !F::is_latest() && !F::is_broadcast() {
        all.sort_unstable();
        assert!(all.into_iter().eq(1..=500), "{}", F::NAME);
    }
}

#[tokio::test]
async fn streams_of_every_flavour_end_when_the_sender_is_killed_and_all_is_received() {
    const TEST: &str = "streams_of_every_flavour_end_when_the_sender_is_killed_and_all_is_received";
    if process::part().is_some() {
        return for_the_flavour!(process::argument("FLAVOUR"), sends_numbers);
    }
    streams::<flavours::OneToOne, u64>(TEST).await;
    streams::<flavours::OneToOneMessages, Vec<u8>>(TEST).await;
    streams::<flavours::Broadcast, u64>(TEST).await;
    streams::<flavours::BroadcastMessages, Vec<u8>>(TEST).await;
    streams::<flavours::ManyToMany, u64>(TEST).await;
    streams::<flavours::ManyToManyMessages, Vec<u8>>(TEST).await;
    streams::<flavours::Latest, u64>(TEST).await;
    streams::<flavours::LatestMessages, Vec<u8>>(TEST).await;
}

/// Receives numbers, now and then after a while, and says how many and their sum.
fn counts<F: Face>() {
    let channel = F::open(&Options::new(), &process::argument("OBJECT"));
    let mut receiver = channel.receiver().unwrap();
    process::say("joined");
    let (mut count, mut sum) = (0, 0);
    loop {
        match F::recv(&mut receiver) {
            Ok(number) => (count, sum) = (count + 1, sum + number),
            Err(gone) => break assert_eq!(gone.kind(), wigwag::Kind::Disconnected, "{gone}"),
        }
        if count % 50 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    process::say(&format!("{count} {sum}"));
}

async fn sinks<F: Face, T: Number>(test: &str)
where
    Async<Pollable<F::Sender>>: Sink<T, Error = wigwag::Error> + Unpin,
{
    let name = format!("/{}", process::unique("sink"));
    let channel = F::create(&Options::new().temporary(true), &name);
    let told = [("OBJECT", &name[..]), ("FLAVOUR", F::NAME)];
    let mut child = process::play(test, "count", &told).start();
    child.says("joined");
    let mut sink = Async::new(Pollable::new(channel.sender().unwrap()).unwrap()).unwrap();
    let numbers = futures_util::stream::iter((1..=1000).map(T::of).map(Ok));
    tokio::pin!(numbers);
    sink.send_all(&mut numbers).await.unwrap();
    drop(sink);
    child.says(&format!("1000 {}", 1000 * 1001 / 2));
    child.succeeds();
}

#[tokio::test]
async fn sinks_wait_for_room_and_lose_nothing() {
    const TEST: &str = "sinks_wait_for_room_and_lose_nothing";
    if process::part().is_some() {
        return for_the_flavour!(process::argument("FLAVOUR"), counts);
    }
    sinks::<flavours::OneToOne, u64>(TEST).await;
    sinks::<flavours::OneToOneMessages, Vec<u8>>(TEST).await;
    sinks::<flavours::Broadcast, u64>(TEST).await;
    sinks::<flavours::BroadcastMessages, Vec<u8>>(TEST).await;
    sinks::<flavours::ManyToMany, u64>(TEST).await;
    sinks::<flavours::ManyToManyMessages, Vec<u8>>(TEST).await;
}

/// Whether it is done, or cancelled after a turn or some; `patience` counts on.
async fn cancelled<R>(work: impl Future<Output = R>, patience: &mut u32) -> Option<R> {
    *patience += 1;
    let turns = *patience % 4;
    let over = async {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        outcome = work => Some(outcome),
        () = over => None,
    }
}

/// Both ends are tasks of one thread, and each future is dropped again and again before it is done.
async fn cancels<F: Face, T: Number>()
where
    Async<Pollable<F::Receiver>>: Stream<Item = wigwag::Result<T>> + Unpin + Send + 'static,
    Async<Pollable<F::Sender>>: Sink<T, Error = wigwag::Error> + Unpin,
{
    const LAST: u64 = 500;
    let name = format!("/{}", process::unique("cancel"));
    let channel = F::create(&Options::new().temporary(true), &name);
    let mut sink = Async::new(Pollable::new(channel.sender().unwrap()).unwrap()).unwrap();
    let receiver = Pollable::new(channel.receiver().unwrap()).unwrap();
    let mut stream = Async::new(receiver).unwrap();
    let receiving = tokio::spawn(async move {
        let (mut numbers, mut patience) = (Vec::new(), 0);
        loop {
            match cancelled(stream.next(), &mut patience).await {
                Some(Some(item)) => numbers.push(item.unwrap().number()),
                Some(None) => break numbers,
                None => tokio::time::sleep(Duration::from_micros(50)).await,
            }
        }
    });
    let mut patience = 1;
    for number in 1..=LAST {
        // `feed` takes it when it is done, and not before.
        while cancelled(sink.feed(T::of(number)), &mut patience)
            .await
            .is_none()
        {}
        if number % 3 == 0 {
            while cancelled(sink.flush(), &mut patience).await.is_none() {}
        }
    }
    while cancelled(sink.close(), &mut patience).await.is_none() {}
    drop(sink);
    let numbers = tokio::time::timeout(Duration::from_secs(20), receiving).await;
    let numbers = numbers.expect("the stream ends").unwrap();
    match F::is_latest() {
        true => assert!(numbers.is_sorted() && numbers.last() == Some(&LAST)),
        false => assert!(numbers.into_iter().eq(1..=LAST), "{}", F::NAME),
    }
}

#[tokio::test]
async fn futures_that_are_dropped_before_they_are_done_lose_and_double_nothing() {
    cancels::<flavours::OneToOne, u64>().await;
    cancels::<flavours::OneToOneMessages, Vec<u8>>().await;
    cancels::<flavours::Broadcast, u64>().await;
    cancels::<flavours::BroadcastMessages, Vec<u8>>().await;
    cancels::<flavours::ManyToMany, u64>().await;
    cancels::<flavours::ManyToManyMessages, Vec<u8>>().await;
    cancels::<flavours::Latest, u64>().await;
    cancels::<flavours::LatestMessages, Vec<u8>>().await;
}

macro_rules! sends_messages_or_nothing {
    ($($flavour:ident)*) => { $({
        let (sender, mut receiver) = $flavour::pair::<[u8]>(4096).unwrap();
        let mut sender = Async::new(Pollable::new(sender).unwrap()).unwrap();
        let (mut patience, mut expected) = (0, 0);
        for count in 0..200_u8 {
            let message = [count; 700];
            while cancelled(sender.send_message(&message), &mut patience).await.is_none() {
                let came = receiver.recv().unwrap();
                assert_eq!(*came, [expected; 700]);
                expected += 1;
            }
        }
        drop(sender);
        while let Ok(came) = receiver.recv() {
            assert_eq!(*came, [expected; 700]);
            expected += 1;
        }
        assert_eq!(expected, 200, stringify!($flavour));
    })* };
}

#[tokio::test]
async fn a_message_whose_future_is_dropped_was_not_sent() {
    sends_messages_or_nothing!(one_to_one many_to_many broadcast);
    let (sender, mut receiver) = latest::pair::<[u8]>(64).unwrap();
    let mut sender = Async::new(Pollable::new(sender).unwrap()).unwrap();
    sender.send_message(b"one").await.unwrap();
    sender.send_message(b"two").await.unwrap();
    assert_eq!(&*receiver.recv().unwrap(), b"two");
    let long = sender.send_message(&[0; 65]).await.unwrap_err();
    assert_eq!(long.kind(), wigwag::Kind::TooBig);
}

/// Sends short messages until it is killed.
fn floods() {
    let channel: many_to_many::Channel<[u8]> =
        Options::new().open(process::argument("OBJECT")).unwrap();
    let mut sender = channel.sender().unwrap();
    process::say("floods");
    while sender.send(&[1; 50]).is_ok() {}
}

#[tokio::test]
async fn a_long_message_of_a_task_has_its_turn_among_short_ones() {
    const TEST: &str = "a_long_message_of_a_task_has_its_turn_among_short_ones";
    if process::part().is_some() {
        return floods();
    }
    let name = format!("/{}", process::unique("long"));
    let options = Options::new().capacity(4096).temporary(true);
    let channel: many_to_many::Channel<[u8]> = options.create(&name).unwrap();
    let mut receiver = channel.receiver().unwrap();
    let sender = || Async::new(Pollable::new(channel.sender().unwrap()).unwrap()).unwrap();
    let (mut sender, mut sink) = (sender(), sender());
    let mut children = [0; 2].map(|_| process::play(TEST, "flood", &[("OBJECT", &name)]).start());
    children.iter_mut().for_each(|child| child.says("floods"));
    let receiving = tokio::task::spawn_blocking(move || {
        let (mut long, mut short) = (0, 0);
        while long < 100 {
            match receiver.recv().unwrap().len() {
                50 => short += 1,
                _ => long += 1,
            }
        }
        (short, receiver)
    });
    for _ in 0..50 {
        sender.send_message(&[2; 4000]).await.unwrap();
        sink.send(vec![3; 4000]).await.unwrap();
    }
    let (short, mut receiver) = receiving.await.unwrap();
    assert!(short > 0, "the others go on");
    // One that is forgotten in the line holds up nobody.
    let (long, mut patience) = ([2; 4000], 0);
    // Nobody receives, so it is full before long.
    while let Some(sent) = cancelled(sender.send_message(&long), &mut patience).await {
        sent.unwrap();
    }
    sink.feed(vec![3; 4000]).await.unwrap();
    drop(sink);
    for _ in 0..1000 {
        receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    }
    children.iter_mut().for_each(process::Child::kill);
}

#[tokio::test]
async fn a_task_that_is_killed_in_the_line_holds_up_nobody() {
    const TEST: &str = "a_task_that_is_killed_in_the_line_holds_up_nobody";
    if process::part().is_some() {
        let channel: many_to_many::Channel<[u8]> =
            Options::new().open(process::argument("OBJECT")).unwrap();
        let sender = Pollable::new(channel.sender().unwrap()).unwrap();
        let mut sender = Async::new(sender).unwrap();
        let sending = sender.send_message(&[2; 4000]);
        tokio::pin!(sending);
        let waits = tokio::time::timeout(Duration::from_millis(20), &mut sending).await;
        assert!(waits.is_err(), "there is no room");
        process::say("in line");
        process::hear();
        return;
    }
    let name = format!("/{}", process::unique("in-line"));
    let options = Options::new().capacity(4096).temporary(true);
    let channel: many_to_many::Channel<[u8]> = options.create(&name).unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    sender.send(&[1; 2000]).unwrap();
    let mut child = process::play(TEST, "stands", &[("OBJECT", &name)]).start();
    child.says("in line");
    assert!(!sender.try_send(&[3; 50]).unwrap(), "it stands before us");
    child.kill();
    sender
        .send_timeout(&[3; 50], Duration::from_secs(20))
        .unwrap();
    assert_eq!(receiver.recv().unwrap().len(), 2000);
    assert_eq!(receiver.recv().unwrap().len(), 50);
    assert!(receiver.try_recv().unwrap().is_none());
}

#[tokio::test]
async fn a_stream_in_which_there_is_always_something_lets_others_have_their_turn() {
    let (mut sender, receiver) = latest::pair::<u64>(4).unwrap();
    sender.send(0).unwrap();
    let mut stream = Async::new(Pollable::new(receiver).unwrap()).unwrap();
    let stop = tokio::spawn(async {});
    // Bounded by work: without its turn the other task would not end however much came.
    for number in 1..1_000_000 {
        stream.next().await.unwrap().unwrap();
        if stop.is_finished() {
            return;
        }
        sender.send(number).unwrap();
    }
    panic!("the other task had no turn");
}

#[tokio::test]
async fn a_sink_of_many_sends_with_the_flush_what_it_had_no_place_for() {
    let channel: many_to_many::Channel<u64> = Options::new().capacity(2).anonymous().unwrap();
    let mut other = channel.sender().unwrap();
    let mut receiver = channel.receiver().unwrap();
    let mut sink = Async::new(Pollable::new(channel.sender().unwrap()).unwrap()).unwrap();
    sink.feed(1).await.unwrap();
    other.send(2).unwrap();
    // There is no place, and it keeps this one.
    sink.feed(3).await.unwrap();
    let full = tokio::time::timeout(Duration::from_millis(50), sink.flush()).await;
    assert!(full.is_err(), "there is no place");
    assert_eq!(*receiver.recv().unwrap(), 1);
    sink.flush().await.unwrap();
    assert_eq!(*receiver.recv().unwrap(), 2);
    assert_eq!(*receiver.recv().unwrap(), 3);
    assert!(receiver.try_recv().unwrap().is_none());
    sink.feed(4).await.unwrap();
    sink.feed(5).await.unwrap();
    sink.feed(6).await.unwrap();
    drop(receiver);
    assert_eq!(
        sink.close().await.unwrap_err().kind(),
        wigwag::Kind::Disconnected
    );
}

#[tokio::test]
async fn a_stream_tells_how_many_were_missed() {
    let options = Options::new().capacity(4).full(Full::OverwriteOldest);
    let channel: broadcast::Channel<u64> = options.anonymous().unwrap();
    let mut sender = channel.sender().unwrap();
    let receiver = Pollable::new(channel.receiver().unwrap()).unwrap();
    let mut stream = Async::new(receiver).unwrap().with_missed();
    let mut next = 0;
    for count in [3, 9, 1, 30] {
        for _ in 0..count {
            sender.send(next).unwrap();
            next += 1;
        }
        let (mut missed, mut seen) = (0, 0);
        while seen + missed < count {
            let (value, before) = stream.next().await.unwrap().unwrap();
            missed += before;
            seen += 1;
            assert_eq!(value, next - count + missed + seen - 1);
        }
        assert_eq!(missed, count.saturating_sub(4), "of {count}");
    }
    drop(sender);
    assert!(stream.next().await.is_none());

    let (mut sender, receiver) = latest::pair::<[u8]>(64).unwrap();
    let receiver = Pollable::new(receiver).unwrap();
    let mut stream = Async::new(receiver).unwrap().with_missed();
    for text in ["a", "b", "c"] {
        sender.send(text.as_bytes()).unwrap();
    }
    assert_eq!(stream.next().await.unwrap().unwrap(), (b"c".to_vec(), 2));
    let late = tokio::time::timeout(Duration::from_millis(20), stream.next()).await;
    assert!(late.is_err(), "nothing new");
    drop(sender);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_sink_waits_for_room_where_the_newest_would_be_dropped_and_never_where_the_oldest_is() {
    let options = Options::new().capacity(2);
    let dropping: broadcast::Channel<u64> =
        options.clone().full(Full::DropNewest).anonymous().unwrap();
    let mut receiver = dropping.receiver().unwrap();
    let mut sink = Async::new(Pollable::new(dropping.sender().unwrap()).unwrap()).unwrap();
    sink.send(1).await.unwrap();
    sink.send(2).await.unwrap();
    let full = tokio::time::timeout(Duration::from_millis(30), sink.send(3)).await;
    assert!(full.is_err(), "there is no room");
    assert_eq!(*receiver.recv().unwrap(), 1);
    assert_eq!(receiver.lost(), 0);
    sink.send(4).await.unwrap();
    assert_eq!(*receiver.recv().unwrap(), 2);
    assert_eq!(*receiver.recv().unwrap(), 4);

    let overwriting: many_to_many::Channel<u64> =
        options.full(Full::OverwriteOldest).anonymous().unwrap();
    let mut sink = Async::new(Pollable::new(overwriting.sender().unwrap()).unwrap()).unwrap();
    for number in 0..10 {
        sink.send(number).await.unwrap();
    }
    let mut receiver = overwriting.receiver().unwrap();
    assert_eq!(*receiver.recv().unwrap(), 8);
    assert_eq!(receiver.lost(), 8);
}
