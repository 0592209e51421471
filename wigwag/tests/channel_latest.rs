//! The channel of the latest value between several processes.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)] // what tests share is test too

mod process;

use std::time::{Duration, Instant};

use wigwag::Kind;
use wigwag::memory::segment::Trust;
use wigwag::pattern::channel::latest::{self, Channel};
use wigwag::pattern::channel::{Full, Options, Waiting};

/// Waits in tests are bounded by this and end long before.
const LIMIT: Duration = Duration::from_secs(20);

fn named(stem: &str) -> String {
    format!("/{}", process::unique(stem))
}

#[test]
fn the_newest_is_seen_whole_by_all_and_never_an_older_one_after_it() {
    const COUNT: u64 = 200_000;
    let test = "the_newest_is_seen_whole_by_all_and_never_an_older_one_after_it";
    if process::part().is_some() {
        let values: Channel<[u64; 32]> = Options::new().open(process::argument("OBJECT")).unwrap();
        let messages: Channel<[u8]> = Options::new().open(process::argument("OTHER")).unwrap();
        let (mut receiver, mut other) = (values.receiver().unwrap(), messages.receiver().unwrap());
        process::say("joined");
        let (mut last, mut text) = (0, 0);
        while last < COUNT {
            match receiver.recv() {
                Ok(value) => {
                    assert!(value.iter().all(|word| *word == value[0]), "torn");
                    assert_eq!(value[0], last + 1 + value.missed(), "not counted");
                    last = value[0];
                }
                Err(error) => panic!("{error}"),
            }
            if let Some(message) = other.latest().unwrap() {
                let now = u64::from_le_bytes(message[..8].try_into().unwrap());
                assert!(now >= text, "back in time");
                assert_eq!(message.len() as u64, 8 + now % 200);
                assert!(message[8..].iter().all(|byte| *byte == now as u8), "torn");
                text = now;
            }
        }
        let gone = receiver.recv().unwrap_err();
        assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
        // What was the newest stays.
        assert_eq!(
            receiver.latest().unwrap().map(|value| value[0]),
            Some(COUNT)
        );
        return;
    }
    let (name, other) = (named("latest"), named("latest"));
    let options = Options::new().temporary(true);
    let values: Channel<[u64; 32]> = options.create(&name).unwrap();
    let messages: Channel<[u8]> = options.capacity(256).create(&other).unwrap();
    let (mut sender, mut second) = (values.sender().unwrap(), messages.sender().unwrap());
    let mut children: Vec<_> = (0..2)
        .map(|_| process::play(test, "read", &[("OBJECT", &name), ("OTHER", &other)]).start())
        .collect();
    children.iter_mut().for_each(|child| child.says("joined"));
    for n in 1..=COUNT {
        if n % 2 == 0 {
            sender.send([n; 32]).unwrap();
        } else {
            let mut loan = sender.loan().unwrap();
            loan.fill(n);
            loan.send();
        }
        let mut loan = second.loan(8 + (n % 200) as usize).unwrap();
        loan[..8].copy_from_slice(&n.to_le_bytes());
        loan[8..].fill(n as u8);
        loan.send();
    }
    drop(sender);
    children.into_iter().for_each(process::Child::succeeds);
}

#[test]
fn a_large_value_filled_in_place_is_never_seen_torn() {
    type Frame = [u64; 16 * 1024];
    let test = "a_large_value_filled_in_place_is_never_seen_torn";
    if process::part().is_some() {
        let frames: Channel<Frame> = Options::new().open(process::argument("OBJECT")).unwrap();
        let mut sender = frames.sender().unwrap();
        for n in 1.. {
            let mut loan = sender.loan().unwrap();
            loan.fill(n);
            loan.send();
        }
    }
    let name = named("frames");
    let frames: Channel<Frame> = Options::new()
        .temporary(true)
        .capacity(2)
        .create(&name)
        .unwrap();
    let mut receiver = frames.receiver().unwrap();
    let mut seen = 0;
    for _ in 0..20 {
        let mut child = process::play(test, "write", &[("OBJECT", &name)]).start();
        process::eventually("a new sender", || receiver.is_connected());
        receiver.recv_timeout(LIMIT).unwrap();
        for _ in 0..50 {
            let frame = receiver.latest().unwrap().unwrap();
            assert!(frame.iter().all(|word| *word == frame[0]), "torn");
            seen += 1;
        }
        child.kill();
        // It was killed in the middle, most likely; the last complete one is there.
        let frame = receiver.latest().unwrap().unwrap();
        assert!(frame.iter().all(|word| *word == frame[0]), "torn");
    }
    assert!(seen > 0);
}

#[test]
fn each_end_says_what_it_knows() {
    for trust in [Trust::Peers, Trust::Nobody] {
        let options = Options::new().trust(trust);
        let channel: Channel<u32> = options.anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        assert!(receiver.latest().unwrap().is_none() && receiver.try_recv().unwrap().is_none());
        let start = Instant::now();
        let late = receiver
            .recv_timeout(Duration::from_millis(30))
            .unwrap_err();
        assert_eq!(late.kind(), Kind::TimedOut, "{late}");
        assert!(start.elapsed() >= Duration::from_millis(30));
        for n in 0..10 {
            sender.send(n).unwrap();
        }
        assert_eq!(receiver.level(), 10);
        let value = receiver.recv().unwrap();
        assert_eq!((*value, value.missed()), (9, 9));
        assert!(receiver.try_recv().unwrap().is_none());
        // A loan that is not sent changes nothing.
        *sender.loan().unwrap() = 77;
        assert_eq!(receiver.latest().unwrap().map(|value| *value), Some(9));
        let mut late = channel.receiver().unwrap();
        assert_eq!(
            *late.recv().unwrap(),
            9,
            "who joins late sees what there is"
        );
        assert_eq!((channel.receivers(), sender.sent()), (2, 10));
        drop(sender);
        let gone = late.recv().unwrap_err();
        assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
        assert_eq!(late.latest().unwrap().map(|value| *value), Some(9));
        channel.sender().unwrap().send(10).unwrap();
        assert_eq!(*late.recv().unwrap(), 10);

        let channel: Channel<[u8]> = options.capacity(100).anonymous().unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        assert_eq!(sender.longest(), 128);
        assert_eq!(sender.send(&[0; 129]).unwrap_err().kind(), Kind::TooBig);
        sender.send(b"").unwrap();
        assert_eq!(&*receiver.recv().unwrap(), b"");
        let mut loan = sender.loan(128).unwrap();
        loan.fill(7);
        loan.truncate(100);
        loan.send();
        assert_eq!(*receiver.recv().unwrap(), [7; 100]);
    }
    let made = |options: Options| options.anonymous::<Channel<u8>>();
    assert_eq!(made(Options::new()).unwrap().capacity(), 64);
    assert_eq!(made(Options::new().capacity(1)).unwrap().capacity(), 4);
    let large: Channel<[u8; 4096]> = Options::new().anonymous().unwrap();
    assert_eq!(large.capacity(), 16);
    let many = made(Options::new().capacity(65)).unwrap_err();
    assert_eq!(many.kind(), Kind::BadInput, "{many}");
    let refused = made(Options::new().full(Full::Fail));
    assert_eq!(refused.unwrap_err().kind(), Kind::BadInput);
    let (_sender, _receiver) = latest::pair::<[u64; 100]>(1).unwrap();
}

#[test]
fn a_killed_sender_is_told_at_once_to_all_who_sleep() {
    let test = "a_killed_sender_is_told_at_once_to_all_who_sleep";
    if process::part().is_some() {
        let channel: Channel<u64> = Options::new().open(process::argument("OBJECT")).unwrap();
        channel.sender().unwrap().send(0).unwrap();
        let mut sender = channel.sender().unwrap();
        sender.send(7).unwrap();
        process::say("sent");
        process::hear();
    }
    for waiting in [Waiting::Spin, Waiting::Adaptive, Waiting::Block] {
        let name = named("killed");
        let options = Options::new().waiting(waiting).temporary(true);
        let channel: Channel<u64> = options.create(&name).unwrap();
        let mut child = process::play(test, "send", &[("OBJECT", &name)]).start();
        child.says("sent");
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let mut receiver = channel.receiver().unwrap();
                scope.spawn(move || {
                    assert_eq!(*receiver.recv_timeout(LIMIT).unwrap(), 7);
                    let gone = receiver.recv_timeout(LIMIT).unwrap_err();
                    assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
                });
            }
            std::thread::sleep(Duration::from_millis(100));
            child.kill();
        });
    }
}

/// A value that is filled in place, and all of it the same number.
trait Filled: wigwag::shared::Plain {
    fn fill_with(&mut self, n: u64);
    fn number(&self) -> Option<u64>;
}

impl<const N: usize> Filled for [u64; N]
where
    [u64; N]: wigwag::shared::Plain,
{
    fn fill_with(&mut self, n: u64) {
        self.fill(n);
    }

    fn number(&self) -> Option<u64> {
        self.iter().all(|word| *word == self[0]).then_some(self[0])
    }
}

/// Sends as fast as it can, for ever.
fn race_on<T: Filled>(name: &str) {
    let channel: Channel<T> = Options::new().open(name).unwrap();
    let mut sender = channel.sender().unwrap();
    process::say("sends");
    for n in 1.. {
        let mut loan = sender.loan().unwrap();
        loan.fill_with(n);
        loan.send();
    }
}

/// Reads so often from one who sends as fast as it can, and goes on for as long as that.
fn race<T: Filled>(test: &str, size: &str, reads: u64, length: Duration) {
    let name = named("race");
    let options = Options::new().temporary(true);
    let channel: Channel<T> = options.create(&name).unwrap();
    let mut child = process::play(test, size, &[("OBJECT", &name)]).start();
    child.says("sends");
    let mut receiver = channel.receiver().unwrap();
    receiver.recv_timeout(LIMIT).unwrap();
    let (start, mut last) = (Instant::now(), 0);
    let (mut count, mut longest) = (0, Duration::ZERO);
    while count < reads || start.elapsed() < length {
        let before = Instant::now();
        let value = receiver.latest().unwrap().unwrap();
        longest = longest.max(before.elapsed());
        let number = value.number().expect("whole");
        assert!(number >= last, "back in time");
        last = number;
        count += 1;
    }
    println!("latest of {size}: {count} reads of {last} values, the longest took {longest:?}");
    child.kill();
}

/// So many reads, and as many more as `WIGWAG_SOAK` seconds have room for.
#[test]
fn no_reader_fails_however_fast_the_sender_is() {
    let test = "no_reader_fails_however_fast_the_sender_is";
    match process::part().as_deref() {
        Some("8 bytes") => return race_on::<[u64; 1]>(&process::argument("OBJECT")),
        Some("4 KiB") => return race_on::<[u64; 512]>(&process::argument("OBJECT")),
        Some(_) => return race_on::<[u64; 128 * 1024]>(&process::argument("OBJECT")),
        None => {}
    }
    let seconds = std::env::var("WIGWAG_SOAK").ok();
    let length = Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(0));
    race::<[u64; 1]>(test, "8 bytes", 100_000, length);
    race::<[u64; 512]>(test, "4 KiB", 10_000, length);
    race::<[u64; 128 * 1024]>(test, "1 MiB", 20, length);
}

/// Two of four buffers are what guests can have; those who are dead or stopped in the middle of a copy must not keep them for ever.
#[test]
fn readers_that_are_killed_or_stopped_in_a_copy_do_not_keep_the_others_from_theirs() {
    type Frame = [u64; 32 * 1024];
    let test = "readers_that_are_killed_or_stopped_in_a_copy_do_not_keep_the_others_from_theirs";
    let open = || -> Channel<Frame> { Options::new().open(process::argument("OBJECT")).unwrap() };
    match process::part().as_deref() {
        Some("send") => return race_on::<Frame>(&process::argument("OBJECT")),
        Some(_) => {
            let mut receiver = open().receiver().unwrap();
            process::say("reads");
            loop {
                assert!(receiver.latest().unwrap().unwrap().number().is_some());
            }
        }
        None => {}
    }
    let name = named("guests");
    let options = Options::new().capacity(4).seats(8).temporary(true);
    let channel: Channel<Frame> = options.create(&name).unwrap();
    let play = |part| process::play(test, part, &[("OBJECT", &name)]).start();
    let mut sender = play("send");
    sender.says("sends");
    let mut receiver = channel.receiver().unwrap();
    receiver.recv_timeout(LIMIT).unwrap();
    let read = |receiver: &mut latest::Receiver<Frame>| {
        for _ in 0..30 {
            let frame = receiver.latest().unwrap().unwrap();
            assert!(frame.number().is_some(), "torn");
        }
    };
    for _ in 0..15 {
        let mut readers = [play("read"), play("read"), play("read")];
        readers.iter_mut().for_each(|reader| reader.says("reads"));
        std::thread::sleep(Duration::from_millis(5));
        readers
            .iter()
            .for_each(|reader| reader.signal(rustix::process::Signal::STOP));
        read(&mut receiver);
        readers.iter_mut().for_each(process::Child::kill);
        read(&mut receiver);
        process::eventually("their seats are free", || channel.receivers() == 1);
    }
    sender.kill();
}
