//! Descriptors of the ends of channels, of every flavour, with another process at the other end.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used)] // what tests share is test too

mod flavours;
mod process;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use flavours::Face;
use rustix::event::epoll;
use wigwag::pattern::channel::{Options, Pollable, Waiting, select};
use wigwag::{Kind, Wait};

/// Waits in tests are bounded by this and end long before.
const LIMIT: Duration = Duration::from_secs(20);
/// Long enough for a process to do what it might wrongly do.
const A_WHILE: Duration = Duration::from_millis(30);

fn named(stem: &str) -> String {
    format!("/{}", process::unique(stem))
}

fn options() -> Options {
    Options::new().temporary(true)
}

/// Another process that plays `part` with the channel.
fn start<F: Face>(test: &str, part: &str, name: &str) -> process::Child {
    let told = [("OBJECT", name), ("FLAVOUR", F::NAME)];
    process::play(test, part, &told).start()
}

/// The channel of this child.
fn opened<F: Face>() -> F {
    F::open(&Options::new(), &process::argument("OBJECT"))
}

fn is_readable(end: &impl AsFd, limit: Duration) -> bool {
    match select(&[end], Wait::For(limit)) {
        Ok(which) => which == 0,
        Err(error) => {
            assert_eq!(error.kind(), Kind::TimedOut, "{error}");
            false
        }
    }
}

/// The next number, as one who polls gets it.
fn polled<F: Face>(receiver: &mut Pollable<F::Receiver>) -> wigwag::Result<u64> {
    loop {
        if let Some(number) = receiver.attempt(F::try_recv)? {
            return Ok(number);
        }
        assert!(is_readable(receiver, LIMIT), "{} sleeps on", F::NAME);
    }
}

/// Sends 1 to 300, now and then after a while, and stays.
fn sends<F: Face>() {
    let mut sender = opened::<F>().sender().unwrap();
    for number in 1..=300 {
        F::send(&mut sender, number).unwrap();
        if number % 10 == 0 {
            std::thread::sleep(Duration::from_micros(300));
        }
    }
    process::say("sent");
    process::hear();
}

fn receives_by_poll<F: Face>(test: &str) {
    let name = named("poll");
    let channel = F::create(&options(), &name);
    let mut receiver = Pollable::new(channel.receiver().unwrap()).unwrap();
    assert!(is_readable(&receiver, Duration::ZERO), "try first");
    assert!(receiver.attempt(F::try_recv).unwrap().is_none());
    // Nobody has come yet, which is not the same as having left.
    assert!(!is_readable(&receiver, A_WHILE), "{}", F::NAME);
    let mut child = start::<F>(test, "send", &name);
    let mut last = 0;
    while last < 300 {
        let number = polled::<F>(&mut receiver).unwrap();
        assert!(number == last + 1 || F::is_latest() && number > last);
        last = number;
    }
    child.says("sent");
    assert!(receiver.attempt(F::try_recv).unwrap().is_none());
    assert!(!is_readable(&receiver, A_WHILE), "{} lives", F::NAME);
    child.kill();
    assert!(is_readable(&receiver, LIMIT), "{} was killed", F::NAME);
    let gone = receiver.attempt(F::try_recv).unwrap_err();
    assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
}

#[test]
fn a_receiver_is_readable_for_what_comes_and_for_the_death_of_the_last_who_sends() {
    let test = "a_receiver_is_readable_for_what_comes_and_for_the_death_of_the_last_who_sends";
    if process::part().is_some() {
        return for_the_flavour!(process::argument("FLAVOUR"), sends);
    }
    for_each_flavour!(receives_by_poll, test);
}

/// Receives one whenever it is told to.
fn receives<F: Face>() {
    let mut receiver = opened::<F>().receiver().unwrap();
    process::say("joined");
    while !process::hear().is_empty() {
        process::say(&F::recv(&mut receiver).unwrap().to_string());
    }
}

fn sends_by_poll<F: Face>(test: &str) {
    if F::is_latest() {
        return;
    }
    let name = named("room");
    let channel = F::create(&options(), &name);
    let mut sender = Pollable::new(channel.sender().unwrap()).unwrap();
    let mut child = start::<F>(test, "receive", &name);
    child.says("joined");
    let mut sent = 0;
    let mut fill = |sender: &mut Pollable<F::Sender>| {
        while sender.attempt(|end| F::try_send(end, sent + 1)).unwrap() {
            sent += 1;
        }
    };
    fill(&mut sender);
    for number in 1..=20 {
        assert!(
            !is_readable(&sender, Duration::from_millis(2)),
            "{}",
            F::NAME
        );
        child.tell("receive");
        child.says(&number.to_string());
        assert!(is_readable(&sender, LIMIT), "{}: there is room", F::NAME);
        fill(&mut sender);
    }
    // Of another process at the same side nothing is to be feared: it dies and this one does not notice.
    assert!(!is_readable(&sender, A_WHILE), "{}", F::NAME);
    child.kill();
    assert!(is_readable(&sender, LIMIT), "{}: nobody is left", F::NAME);
    let attempt = sender.attempt(|end| F::try_send(end, 0));
    match F::is_broadcast() {
        // Who is dead is not waited for.
        true => assert!(attempt.unwrap()),
        false => assert_eq!(attempt.unwrap_err().kind(), Kind::Disconnected),
    }
}

#[test]
fn a_sender_is_readable_when_there_is_room_and_when_the_last_who_receives_is_killed() {
    let test = "a_sender_is_readable_when_there_is_room_and_when_the_last_who_receives_is_killed";
    if process::part().is_some() {
        return for_the_flavour!(process::argument("FLAVOUR"), receives);
    }
    for_each_flavour!(sends_by_poll, test);
}

/// One in an epoll instance.
struct Listener {
    flavour: &'static str,
    attempt: Box<dyn FnMut() -> wigwag::Result<Option<u64>>>,
}

fn listens<F: Face>(test: &str, queue: &impl AsFd, all: &mut Vec<(Listener, process::Child)>) {
    let name = named("epoll");
    let channel = F::create(&options(), &name);
    let mut receiver = Pollable::new(channel.receiver().unwrap()).unwrap();
    let which = epoll::EventData::new_u64(all.len() as u64);
    // Edge-triggered, as tokio does it.
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(queue, &receiver, which, flags).unwrap();
    let child = start::<F>(test, "send", &name);
    let listener = Listener {
        flavour: F::NAME,
        attempt: Box::new(move || {
            let _ = &channel;
            receiver.attempt(F::try_recv)
        }),
    };
    all.push((listener, child));
}

#[test]
fn one_epoll_instance_listens_to_all_flavours_at_once() {
    let test = "one_epoll_instance_listens_to_all_flavours_at_once";
    if process::part().is_some() {
        return for_the_flavour!(process::argument("FLAVOUR"), sends);
    }
    let queue = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    let mut all = Vec::new();
    for_each_flavour!(listens, test, &queue, &mut all);
    let mut last = vec![0; all.len()];
    let mut left = all.len();
    let limit = rustix::event::Timespec::try_from(LIMIT).unwrap();
    while left > 0 {
        let mut events = Vec::with_capacity(4);
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&queue, spare, Some(&limit)) {
            Err(rustix::io::Errno::INTR) => continue,
            told => assert!(told.unwrap() > 0, "{left} sleep on: {last:?}"),
        }
        for event in events {
            let which = event.data.u64() as usize;
            let (listener, child) = &mut all[which];
            // An edge is told once: all that is there is to be taken.
            loop {
                match (listener.attempt)() {
                    Ok(Some(number)) => last[which] = number,
                    Ok(None) => break,
                    Err(gone) => {
                        assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
                        assert_eq!(last[which], 300, "{}", listener.flavour);
                        left -= 1;
                        break;
                    }
                }
                if last[which] == 300 {
                    child.kill();
                }
            }
        }
    }
}

/// A few nanoseconds to some microseconds, so that whoever falls asleep is met at every step.
fn dawdle(random: &mut u64) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    for _ in 0..*random % 2000 {
        std::hint::spin_loop();
    }
}

const ROUNDS: u64 = 20_000;
/// So many of them may be slow because the machine is.
const SLOW: u64 = 50;

/// Gives each number back through the second channel.
fn echoes<F: Face>() {
    let name = process::argument("OBJECT");
    let mut receiver = F::open(&Options::new(), &format!("{name}-there"))
        .receiver()
        .unwrap();
    let mut sender = F::open(&Options::new(), &format!("{name}-back"))
        .sender()
        .unwrap();
    process::say("joined");
    let mut random = u64::from(std::process::id()) | 1;
    while let Ok(number) = F::recv(&mut receiver) {
        dawdle(&mut random);
        F::send(&mut sender, number).unwrap();
    }
}

fn races<F: Face>(test: &str) {
    let name = named("race");
    let there = F::create(&options(), &format!("{name}-there"));
    let back = F::create(&options(), &format!("{name}-back"));
    let mut sender = there.sender().unwrap();
    let mut receiver = Pollable::new(back.receiver().unwrap()).unwrap();
    let mut child = start::<F>(test, "echo", &name);
    child.says("joined");
    let mut random = u64::from(child.pid().cast_unsigned()) | 1;
    // A lost wake-up is made up for by a look around after half a second.
    let (mut slow, mut slowest) = (0, Duration::ZERO);
    for number in 1..=ROUNDS {
        let begin = Instant::now();
        F::send(&mut sender, number).unwrap();
        dawdle(&mut random);
        assert_eq!(polled::<F>(&mut receiver).unwrap(), number);
        let took = begin.elapsed();
        slow += u64::from(took > Duration::from_millis(400));
        slowest = slowest.max(took);
    }
    println!("{}: the slowest of {ROUNDS} took {slowest:?}", F::NAME);
    assert!(
        slow < SLOW,
        "{}: {slow} rounds took as long as a lost wake-up",
        F::NAME
    );
    drop(sender);
    child.succeeds();
}

macro_rules! race {
    ($test:ident, $face:ident) => {
        #[test]
        fn $test() {
            match process::part() {
                Some(_) => echoes::<flavours::$face>(),
                None => races::<flavours::$face>(stringify!($test)),
            }
        }
    };
}
race!(no_wake_up_is_lost_one_to_one, OneToOne);
race!(no_wake_up_is_lost_broadcast, Broadcast);
race!(no_wake_up_is_lost_many_to_many, ManyToMany);
race!(no_wake_up_is_lost_latest, Latest);
race!(no_wake_up_is_lost_one_to_one_messages, OneToOneMessages);
race!(no_wake_up_is_lost_broadcast_messages, BroadcastMessages);
race!(no_wake_up_is_lost_many_to_many_messages, ManyToManyMessages);
race!(no_wake_up_is_lost_latest_messages, LatestMessages);

/// Receives all, now and then after a moment.
fn takes<F: Face>() {
    let mut receiver = opened::<F>().receiver().unwrap();
    process::say("joined");
    let mut random = u64::from(std::process::id()) | 1;
    for number in 1..=ROUNDS {
        assert_eq!(F::recv(&mut receiver).unwrap(), number);
        dawdle(&mut random);
    }
}

fn races_for_room<F: Face>(test: &str) {
    let name = named("room");
    let channel = F::create(&options(), &name);
    let mut sender = Pollable::new(channel.sender().unwrap()).unwrap();
    let mut child = start::<F>(test, "take", &name);
    child.says("joined");
    let (mut slow, mut waits) = (0, 0);
    let mut random = u64::from(child.pid().cast_unsigned()) | 1;
    for number in 1..=ROUNDS {
        let begin = Instant::now();
        while !sender.attempt(|end| F::try_send(end, number)).unwrap() {
            assert!(is_readable(&sender, LIMIT), "{} sleeps on", F::NAME);
            waits += 1;
        }
        slow += u64::from(begin.elapsed() > Duration::from_millis(400));
        if number % 16 == 0 {
            dawdle(&mut random);
        }
    }
    println!("{}: {waits} waits for room", F::NAME);
    assert!(waits > 100, "{}: it hardly waited", F::NAME);
    assert!(
        slow < SLOW,
        "{}: {slow} took as long as a lost wake-up",
        F::NAME
    );
    child.succeeds();
}

macro_rules! race_for_room {
    ($test:ident, $face:ident) => {
        #[test]
        fn $test() {
            match process::part() {
                Some(_) => takes::<flavours::$face>(),
                None => races_for_room::<flavours::$face>(stringify!($test)),
            }
        }
    };
}
race_for_room!(no_wake_up_for_room_is_lost_one_to_one, OneToOne);
race_for_room!(no_wake_up_for_room_is_lost_broadcast, Broadcast);
race_for_room!(no_wake_up_for_room_is_lost_many_to_many, ManyToMany);
race_for_room!(
    no_wake_up_for_room_is_lost_many_to_many_messages,
    ManyToManyMessages
);

/// Sends 1 to 2000, as soon as it is told to, and waits to be killed.
fn sends_many<F: Face>() {
    let mut sender = opened::<F>().sender().unwrap();
    process::say("joined");
    process::hear();
    for number in 1..=2000 {
        F::send(&mut sender, number).unwrap();
    }
    process::say("sent");
    process::hear();
}

/// Four that poll and four that sleep, in one process; two of those who send are another's.
fn crowds<F: Face>(test: &str) {
    if F::NAME.starts_with("one-to-one") {
        return;
    }
    let name = named("crowd");
    let channel = F::create(&options().waiting(Waiting::Block), &name);
    let mut crowd = Vec::new();
    let taken = |numbers: &mut Vec<u64>, received: wigwag::Result<u64>| match received {
        Ok(number) => {
            numbers.push(number);
            true
        }
        Err(gone) => {
            assert_eq!(gone.kind(), Kind::Disconnected, "{gone}");
            false
        }
    };
    for _ in 0..4 {
        let mut polling = Pollable::new(channel.receiver().unwrap()).unwrap();
        crowd.push(std::thread::spawn(move || {
            let mut numbers = Vec::new();
            while taken(&mut numbers, polled::<F>(&mut polling)) {}
            numbers
        }));
        let mut sleeping = channel.receiver().unwrap();
        crowd.push(std::thread::spawn(move || {
            let mut numbers = Vec::new();
            while taken(&mut numbers, F::recv(&mut sleeping)) {}
            numbers
        }));
    }
    let mut child = start::<F>(test, "send", &name);
    child.says("joined");
    child.tell("go");
    child.says("sent");
    // All are asleep again, and are told of the death.
    std::thread::sleep(A_WHILE);
    child.kill();
    let crowd: Vec<_> = crowd.into_iter().map(|one| one.join().unwrap()).collect();
    if F::is_latest() {
        assert!(crowd.iter().all(|numbers| numbers.last() == Some(&2000)));
    } else if F::is_broadcast() {
        assert!(
            crowd
                .iter()
                .all(|numbers| numbers.iter().copied().eq(1..=2000))
        );
    } else {
        let mut all: Vec<_> = crowd.concat();
        all.sort_unstable();
        assert!(all.iter().copied().eq(1..=2000), "{}", F::NAME);
    }
}

#[test]
fn many_that_poll_and_many_that_sleep_get_what_is_theirs_and_learn_of_the_death() {
    let test = "many_that_poll_and_many_that_sleep_get_what_is_theirs_and_learn_of_the_death";
    if process::part().is_some() {
        return for_the_flavour!(process::argument("FLAVOUR"), sends_many);
    }
    for_each_flavour!(crowds, test);
}

#[test]
fn what_a_killed_receiver_held_makes_another_readable() {
    if process::part().is_some() {
        let channel = opened::<flavours::ManyToMany>();
        let mut receiver = channel.receiver().unwrap();
        let held = receiver.recv().unwrap();
        process::say(&held.to_string());
        process::hear();
        return;
    }
    let name = named("held");
    let channel = flavours::ManyToMany::create(&options(), &name);
    let mut sender = channel.sender().unwrap();
    sender.send(7).unwrap();
    let test = "what_a_killed_receiver_held_makes_another_readable";
    let mut child = start::<flavours::ManyToMany>(test, "hold", &name);
    child.says("7");
    let mut receiver = Pollable::new(channel.receiver().unwrap()).unwrap();
    let attempt = |end: &mut Pollable<_>| end.attempt(flavours::ManyToMany::try_recv).unwrap();
    assert_eq!(attempt(&mut receiver), None);
    assert!(!is_readable(&receiver, A_WHILE));
    child.kill();
    assert!(is_readable(&receiver, LIMIT));
    assert_eq!(attempt(&mut receiver), Some(7));
}

#[test]
fn the_place_of_a_killed_sender_makes_those_behind_it_readable() {
    if process::part().is_some() {
        let mut sender = opened::<flavours::ManyToMany>().sender().unwrap();
        let loan = sender.loan().unwrap();
        process::say("claimed");
        process::hear();
        loan.send();
        return;
    }
    let name = named("claimed");
    let channel = flavours::ManyToMany::create(&options(), &name);
    let mut receiver = Pollable::new(channel.receiver().unwrap()).unwrap();
    let test = "the_place_of_a_killed_sender_makes_those_behind_it_readable";
    let mut child = start::<flavours::ManyToMany>(test, "claim", &name);
    child.says("claimed");
    let mut sender = channel.sender().unwrap();
    sender.send(2).unwrap();
    let attempt = |end: &mut Pollable<_>| end.attempt(flavours::ManyToMany::try_recv).unwrap();
    assert_eq!(attempt(&mut receiver), None);
    assert!(!is_readable(&receiver, A_WHILE));
    child.kill();
    assert!(is_readable(&receiver, LIMIT));
    assert_eq!(attempt(&mut receiver), Some(2));
}

/// More than a thread can sleep for at a time.
const CROWD: usize = 80;

#[test]
fn a_sender_that_polls_waits_for_more_receivers_than_one_can_sleep_for() {
    let test = "a_sender_that_polls_waits_for_more_receivers_than_one_can_sleep_for";
    if process::part().is_some() {
        let channel = opened::<flavours::Broadcast>();
        let mut crowd: Vec<_> = (0..CROWD).map(|_| channel.receiver().unwrap()).collect();
        process::say("joined");
        while !process::hear().is_empty() {
            for receiver in &mut crowd {
                receiver.recv().unwrap();
            }
            process::say("received");
        }
        return;
    }
    let name = named("crowd");
    let seats = 2 * CROWD as u32 + 1;
    let channel = flavours::Broadcast::create(&options().seats(seats), &name);
    let mut sender = Pollable::new(channel.sender().unwrap()).unwrap();
    let mut child = start::<flavours::Broadcast>(test, "receive", &name);
    child.says("joined");
    let mut crowd: Vec<_> = (0..CROWD).map(|_| channel.receiver().unwrap()).collect();
    let fill = |sender: &mut Pollable<_>| {
        while sender
            .attempt(|end| flavours::Broadcast::try_send(end, 1))
            .unwrap()
        {}
    };
    for ours_first in [true, false, true, false] {
        fill(&mut sender);
        for ours in [ours_first, !ours_first] {
            assert!(!is_readable(&sender, Duration::from_millis(5)));
            if ours {
                // Backwards: those for whom it sleeps come last.
                for receiver in crowd.iter_mut().rev() {
                    assert!(!is_readable(&sender, Duration::ZERO));
                    receiver.recv().unwrap();
                }
            } else {
                child.tell("receive");
                child.says("received");
            }
        }
        assert!(is_readable(&sender, LIMIT));
    }
    fill(&mut sender);
    for receiver in &mut crowd {
        receiver.recv().unwrap();
    }
    assert!(!is_readable(&sender, A_WHILE), "the child is behind");
    child.kill();
    assert!(is_readable(&sender, LIMIT), "the dead are not waited for");
    assert!(
        sender
            .attempt(|end| flavours::Broadcast::try_send(end, 1))
            .unwrap()
    );
}

#[test]
fn all_seats_of_a_queue_may_poll() {
    let test = "all_seats_of_a_queue_may_poll";
    if process::part().is_some() {
        return sends_many::<flavours::ManyToMany>();
    }
    let name = named("seats");
    let channel = flavours::ManyToMany::create(&options().seats(60), &name);
    let crowd: Vec<_> = (0..59)
        .map(|_| {
            let mut polling = Pollable::new(channel.receiver().unwrap()).unwrap();
            std::thread::spawn(move || {
                let mut numbers = Vec::new();
                loop {
                    match polled::<flavours::ManyToMany>(&mut polling) {
                        Ok(number) => numbers.push(number),
                        Err(gone) => break assert_eq!(gone.kind(), Kind::Disconnected, "{gone}"),
                    }
                }
                numbers
            })
        })
        .collect();
    let mut child = start::<flavours::ManyToMany>(test, "send", &name);
    child.says("joined");
    child.tell("go");
    child.says("sent");
    child.kill();
    let mut all: Vec<_> = crowd
        .into_iter()
        .flat_map(|one| one.join().unwrap())
        .collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..=2000));
}
