//! Broadcast and the latest value: whoever is killed in them, each receiver that lives sees each value once and whole, a dead
//! one is waited for no longer, those who wait learn of it, and the seat is free.

use std::any::Any;
use std::cell::RefCell;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wigwag::pattern::channel::{Element, Full, Options, Waiting, broadcast, latest};
use wigwag::{Error, Kind};

use super::scene::{Scene, Stage, Verdict, scenes};
use super::step::{At, begin, end};
use crate::process;

/// What is there at once comes long before; what never comes is worth no more patience.
const LIMIT: Duration = Duration::from_secs(5);

type Value = [u64; 16];

scenes! {
    BROADCAST "broadcast"
    "sender, nobody waits" 40 lossless sends;
    "sender that fills a loan" 40 lossless lends;
    "sender that overwrites" 40 overwriting sends;
    "sender that makes room" 40 roomy sends;
    "sender, two wait" 30 lossless sends_to_sleepers;
    "sender of a message" 40 messages sends_message;
    "sender that overwrites a message" 40 overwriting_messages sends_message;
    "sender of many messages" 40 messages sends_messages;
    "sender that fills a loan of many" 40 lossless lends_many;
    "sender that sits down" 40 lossless sits_down;
    "receiver, nobody waits" 40 lossless receives;
    "receiver, the sender waits for room" 40 lossless makes_room;
    "receiver that waits" 30 lossless waits;
    "receiver that joins" 40 lossless joins;
    "receiver that joins for messages" 40 messages joins_messages;
    "receiver of many messages" 40 messages receives_messages;
    "receiver of many overwritten messages" 40 overwriting_messages receives_messages;
    "receiver that leaves" 30 lossless leaves;
}
scenes! {
    LATEST "latest"
    "sender, nobody waits" 40 board posts;
    "sender that fills a loan" 40 board fills;
    "sender, two wait" 30 board posts_to_sleepers;
    "sender that takes over" 40 half_a_board takes_over;
    "receiver that copies" 30 board copies;
    "receiver that is overtaken" 200 board copies_from_the_swift;
    "receiver that waits" 30 board awaits;
}

fn options() -> Options {
    Options::new().capacity(2).seats(4).waiting(Waiting::Block)
}

fn value(n: u64) -> Value {
    [n; 16]
}

/// A channel and a receiver of it that is there all the time.
struct Shown<T: Element + ?Sized> {
    channel: broadcast::Channel<T>,
    witness: RefCell<broadcast::Receiver<T>>,
}

/// In which 1 was sent.
fn shown(name: &str, options: &Options) -> Box<dyn Any> {
    let channel: broadcast::Channel<Value> = options
        .clone()
        .temporary(true)
        .create(format!("/{name}"))
        .expect("create");
    let witness = RefCell::new(channel.receiver().expect("a receiver"));
    let mut sender = channel.sender().expect("a sender");
    sender.send(value(1)).expect("send");
    Box::new(Shown { channel, witness })
}

fn lossless(name: &str) -> Box<dyn Any> {
    shown(name, &options())
}

fn overwriting(name: &str) -> Box<dyn Any> {
    shown(name, &options().full(Full::OverwriteOldest))
}

/// One whose sender must look at the cursors.
fn roomy(name: &str) -> Box<dyn Any> {
    let shown = lossless(name);
    let Shown { channel, witness } = of::<Value>(&*shown);
    let mut sender = channel.sender().expect("a sender");
    let mut receiver = witness.borrow_mut();
    drop(receiver.recv());
    for _ in 0..2 {
        sender.send(value(0)).expect("send");
        drop(receiver.recv());
    }
    sender.send(value(1)).expect("send");
    drop((sender, receiver));
    shown
}

fn shown_messages(name: &str, full: Full) -> Box<dyn Any> {
    let channel: broadcast::Channel<[u8]> = Options::new()
        .seats(4)
        .full(full)
        .temporary(true)
        .create(format!("/{name}"))
        .expect("create");
    let witness = RefCell::new(channel.receiver().expect("a receiver"));
    let mut sender = channel.sender().expect("a sender");
    sender.send(&[1; 100]).expect("send");
    Box::new(Shown { channel, witness })
}

fn messages(name: &str) -> Box<dyn Any> {
    shown_messages(name, Full::Wait)
}

fn overwriting_messages(name: &str) -> Box<dyn Any> {
    shown_messages(name, Full::OverwriteOldest)
}

/// The latest value, 1.
fn board(name: &str) -> Box<dyn Any> {
    let channel: latest::Channel<Value> = options()
        .temporary(true)
        .create(format!("/{name}"))
        .expect("create");
    let mut sender = channel.sender().expect("a sender");
    sender.send(value(1)).expect("send");
    drop(sender);
    Box::new(channel)
}

/// The same, and a value that was begun and never sent.
fn half_a_board(name: &str) -> Box<dyn Any> {
    let made = board(name);
    let channel: &latest::Channel<Value> = made.downcast_ref().expect("a channel");
    let mut sender = channel.sender().expect("a sender");
    sender.loan().expect("a loan").fill(666);
    drop(sender);
    made
}

fn of<T: Element + ?Sized>(object: &dyn Any) -> &Shown<T> {
    object.downcast_ref().expect("a channel")
}

fn act(part: &str, object: &str) {
    let name = format!("/{object}");
    let open = || {
        options()
            .open::<broadcast::Channel<Value>>(&name)
            .expect("open")
    };
    let messages = || {
        Options::new()
            .open::<broadcast::Channel<[u8]>>(&name)
            .expect("open")
    };
    let board = || {
        options()
            .open::<latest::Channel<Value>>(&name)
            .expect("open")
    };
    match part {
        "sends" => {
            let mut sender = open().sender().expect("a sender");
            begin();
            let _ = sender.send(value(2));
            end();
        }
        "lends" => {
            let mut sender = open().sender().expect("a sender");
            begin();
            if let Ok(mut loan) = sender.loan() {
                loan.fill(2);
                loan.send();
            }
            end();
        }
        "sends a message" => {
            let mut sender = messages().sender().expect("a sender");
            begin();
            let _ = sender.send(&[2; 200]);
            end();
        }
        "sends messages" => {
            let mut sender = messages().sender().expect("a sender");
            let batch = [vec![2; 200], vec![3; 300]];
            begin();
            let _ = sender.send_many(&batch);
            end();
        }
        "lends many" => {
            let mut sender = open().sender().expect("a sender");
            begin();
            if let Ok(mut loan) = sender.loan_many(3) {
                loan.fill(value(2));
                loan.send(1);
            }
            end();
        }
        "sits down" => {
            // What a process does once is not what is to be killed here.
            let warm: broadcast::Channel<Value> = options().anonymous().expect("another");
            let _seat = warm.sender().expect("a seat");
            let channel = open();
            begin();
            if let Ok(mut sender) = channel.sender() {
                let _ = sender.send(value(2));
            }
            end();
        }
        "receives messages" => {
            let mut receiver = messages().receiver_with_last(1).expect("a receiver");
            begin();
            if let Ok(mut batch) = receiver.recv_many() {
                let _ = batch.next();
            }
            end();
        }
        "receives" => {
            let mut receiver = open().receiver_with_last(1).expect("a receiver");
            begin();
            drop(receiver.recv());
            end();
        }
        "makes room" => {
            let mut receiver = open().receiver_with_last(2).expect("a receiver");
            process::say("joined");
            process::hear();
            begin();
            drop(receiver.recv());
            end();
        }
        "waits" => {
            let mut receiver = open().receiver().expect("a receiver");
            begin();
            let _ = receiver.recv_timeout(Duration::from_millis(1));
            end();
        }
        "joins" => {
            // What a process does once is not what is to be killed here.
            let warm: broadcast::Channel<Value> = options().anonymous().expect("another");
            let _seat = warm.sender().expect("a seat");
            let channel = open();
            begin();
            let receiver = channel.receiver_with_last(1);
            end();
            drop(receiver);
        }
        "joins for messages" => {
            let warm: broadcast::Channel<Value> = options().anonymous().expect("another");
            let _seat = warm.sender().expect("a seat");
            let channel = messages();
            begin();
            let receiver = channel.receiver_with_last(1);
            end();
            drop(receiver);
        }
        "leaves" => {
            let mut receiver = open().receiver_with_last(1).expect("a receiver");
            let held = receiver.recv().expect("a value");
            begin();
            drop(held);
            drop(receiver);
            end();
        }
        "posts" => {
            let mut sender = board().sender().expect("a sender");
            begin();
            let _ = sender.send(value(2));
            end();
        }
        "fills" => {
            let mut sender = board().sender().expect("a sender");
            begin();
            if let Ok(mut loan) = sender.loan() {
                loan.fill(2);
                loan.send();
            }
            end();
        }
        "takes over" => {
            let warm: latest::Channel<Value> = options().anonymous().expect("another");
            let _seat = warm.sender().expect("a seat");
            let channel = board();
            begin();
            if let Ok(mut sender) = channel.sender() {
                let _ = sender.send(value(2));
            }
            end();
        }
        "posts for ever" => {
            let mut sender = board().sender().expect("a sender");
            process::say("posts");
            for n in 2.. {
                sender.send(value(n)).expect("there");
            }
        }
        "copies" => {
            let mut receiver = board().receiver().expect("a receiver");
            begin();
            let _ = receiver.recv();
            end();
        }
        "awaits" => {
            let mut receiver = board().receiver().expect("a receiver");
            drop(receiver.recv());
            begin();
            let _ = receiver.recv_timeout(Duration::from_millis(1));
            end();
        }
        "sleeps" => {
            let mut receiver = open().receiver().expect("a receiver");
            process::say("sleeps");
            process::say(&words(receiver.recv_timeout(2 * LIMIT).map(|value| *value)));
        }
        "sleeps before the board" => {
            let mut receiver = board().receiver().expect("a receiver");
            drop(receiver.recv());
            process::say("sleeps");
            process::say(&words(receiver.recv_timeout(2 * LIMIT).map(|value| *value)));
        }
        "waits for room" => {
            let mut sender = open().sender().expect("a sender");
            process::say("sleeps");
            process::say(&words(
                sender.send_timeout(value(3), 2 * LIMIT).map(|()| value(3)),
            ));
        }
        part => panic!("no part {part}"),
    }
}

fn words(outcome: Result<Value, Error>) -> String {
    match outcome {
        Ok(value) if value.iter().any(|n| *n != value[0]) => "torn".to_owned(),
        Ok(value) => value[0].to_string(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// After the death of a sender: the witness sees 1, and perhaps 2, and learns that nobody is there; a new sender goes on, and who
/// joins late gets the last value.
fn sender_died(object: &dyn Any) -> Verdict {
    let Shown { channel, witness } = of::<Value>(object);
    let mut witness = witness.borrow_mut();
    let mut next = || words(witness.recv_timeout(LIMIT).map(|value| *value));
    let last = match (next().as_str(), next().as_str()) {
        ("1", "Disconnected") => "1",
        ("1", "2") if next() == "Disconnected" => "2",
        (_, "TimedOut") | ("TimedOut", _) => return Verdict::Stuck,
        _ => return Verdict::Torn,
    };
    let Ok(mut late) = channel.receiver_with_last(1) else {
        return Verdict::Leaked;
    };
    if words(late.recv_timeout(LIMIT).map(|value| *value)) != last {
        return Verdict::Torn;
    }
    goes_on(channel, &mut [&mut witness, &mut late])
}

/// All seats are free, and a sender gets more values than the ring has through to all.
fn goes_on(
    channel: &broadcast::Channel<Value>,
    receivers: &mut [&mut broadcast::Receiver<Value>],
) -> Verdict {
    let Ok(mut sender) = channel.sender() else {
        return Verdict::Leaked;
    };
    let free = 3 - receivers.len();
    let others: Result<Vec<_>, Error> = (0..free).map(|_| channel.receiver()).collect();
    if others.is_err() {
        return Verdict::Leaked;
    }
    drop(others);
    for n in 10..20 {
        if sender.send_timeout(value(n), LIMIT).is_err() {
            return Verdict::Stuck;
        }
        for receiver in &mut *receivers {
            match words(receiver.recv_timeout(LIMIT).map(|value| *value)) {
                word if word == n.to_string() => {}
                word if word == "TimedOut" => return Verdict::Stuck,
                _ => return Verdict::Torn,
            }
        }
    }
    Verdict::Good
}

/// After the death of a receiver: it is waited for no longer.
fn receiver_died(object: &dyn Any) -> Verdict {
    let Shown { channel, witness } = of::<Value>(object);
    let mut witness = witness.borrow_mut();
    while let Ok(Some(value)) = witness.try_recv() {
        drop(value);
    }
    goes_on(channel, &mut [&mut witness])
}

macro_rules! courses {
    ($($course:ident $part:literal $judge:ident;)*) => { $(
        fn $course(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
            if !stage.kill(stage.victim($part)) {
                return Verdict::Complete;
            }
            $judge(object)
        }
    )* };
}
courses! {
    sends "sends" sender_died;
    lends "lends" sender_died;
    sends_message "sends a message" messenger_died;
    sends_messages "sends messages" messenger_died;
    lends_many "lends many" sender_died;
    sits_down "sits down" sender_died;
    receives_messages "receives messages" reader_died;
    takes_over "takes over" poster_died;
    receives "receives" receiver_died;
    waits "waits" receiver_died;
    joins "joins" receiver_died;
    joins_messages "joins for messages" reader_died;
    leaves "leaves" receiver_died;
    posts "posts" poster_died;
    fills "fills" poster_died;
    copies "copies" copier_died;
    awaits "awaits" copier_died;
}

fn messenger_died(object: &dyn Any) -> Verdict {
    let Shown { channel, witness } = of::<[u8]>(object);
    let mut witness = witness.borrow_mut();
    let mut came = 0;
    loop {
        match witness.recv_timeout(LIMIT) {
            Ok(message) if *message == vec![came + 1; 100 * usize::from(came + 1)][..] => came += 1,
            Err(error) if error.kind() == Kind::Disconnected => break,
            Err(error) if error.kind() == Kind::TimedOut => return Verdict::Stuck,
            _ => return Verdict::Torn,
        }
    }
    if !(1..=3).contains(&came) {
        return Verdict::Torn;
    }
    let (Ok(mut sender), Ok(mut late)) = (channel.sender(), channel.receiver_with_last(5)) else {
        return Verdict::Leaked;
    };
    for n in 1..=came {
        if !late
            .recv_timeout(LIMIT)
            .is_ok_and(|message| message[0] == n)
        {
            return Verdict::Torn;
        }
    }
    // More than the ring has.
    for n in 0..2000_u32 {
        if sender
            .send_timeout(&n.to_le_bytes().repeat(20), LIMIT)
            .is_err()
        {
            return Verdict::Stuck;
        }
        for receiver in [&mut *witness, &mut late] {
            let message = receiver.recv_timeout(LIMIT);
            if !message.is_ok_and(|message| *message == n.to_le_bytes().repeat(20)[..]) {
                return Verdict::Torn;
            }
        }
    }
    Verdict::Good
}

fn reader_died(object: &dyn Any) -> Verdict {
    let Shown { channel, witness } = of::<[u8]>(object);
    let mut witness = witness.borrow_mut();
    drop(witness.recv_timeout(LIMIT));
    let Ok(mut sender) = channel.sender() else {
        return Verdict::Leaked;
    };
    if (0..2).any(|_| channel.receiver().is_err()) {
        return Verdict::Leaked;
    }
    for n in 0..2000_u32 {
        if sender
            .send_timeout(&n.to_le_bytes().repeat(20), LIMIT)
            .is_err()
        {
            return Verdict::Stuck;
        }
        if witness.recv_timeout(LIMIT).is_err() {
            return Verdict::Torn;
        }
    }
    Verdict::Good
}

fn sends_to_sleepers(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let victim = stage.victim("sends");
    let mut sleepers = [stage.actor("sleeps"), stage.actor("sleeps")];
    for sleeper in &mut sleepers {
        sleeper.says("sleeps");
        sleeper.sleeps_in(libc::SYS_futex_waitv);
    }
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    let start = Instant::now();
    for mut sleeper in sleepers {
        match sleeper.line().as_str() {
            "2" | "Disconnected" => {}
            "torn" => return Verdict::Torn,
            _ => return Verdict::Stuck,
        }
        sleeper.succeeds();
    }
    // They have more patience, but must not need it.
    if start.elapsed() > LIMIT {
        return Verdict::Stuck;
    }
    sender_died(object)
}

fn makes_room(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let Shown { channel, witness } = of::<Value>(object);
    channel
        .sender()
        .expect("a sender")
        .send(value(1))
        .expect("room");
    let mut victim = stage.actor("makes room");
    victim.says("joined");
    // The witness is not behind, so it is the victim that is waited for.
    let batch = witness.borrow_mut().recv_many().map(|batch| batch.len());
    assert_eq!(batch.expect("two"), 2);
    let mut waiter = stage.actor("waits for room");
    waiter.says("sleeps");
    waiter.sleeps_in(libc::SYS_futex);
    victim.tell("go on");
    if !stage.kill(super::step::Victim::of(victim)) {
        return Verdict::Complete;
    }
    match waiter.line().as_str() {
        "3" => {}
        _ => return Verdict::Stuck,
    }
    waiter.succeeds();
    receiver_died(object)
}

fn poster_died(object: &dyn Any) -> Verdict {
    let channel: &latest::Channel<Value> = object.downcast_ref().expect("a channel");
    let Ok(mut receiver) = channel.receiver() else {
        return Verdict::Leaked;
    };
    match words(receiver.recv_timeout(LIMIT).map(|value| *value)).as_str() {
        "1" | "2" => {}
        "TimedOut" | "Disconnected" => return Verdict::Stuck,
        _ => return Verdict::Torn,
    }
    posts_on(channel, &mut receiver)
}

fn posts_on(channel: &latest::Channel<Value>, receiver: &mut latest::Receiver<Value>) -> Verdict {
    let Ok(mut sender) = channel.sender() else {
        return Verdict::Leaked;
    };
    if (0..2).any(|_| channel.receiver().is_err()) {
        return Verdict::Leaked;
    }
    for n in 10..20 {
        sender.send(value(n)).expect("there");
        match words(receiver.recv_timeout(LIMIT).map(|value| *value)) {
            word if word == n.to_string() => {}
            word if word == "TimedOut" => return Verdict::Stuck,
            _ => return Verdict::Torn,
        }
    }
    Verdict::Good
}

fn copier_died(object: &dyn Any) -> Verdict {
    let channel: &latest::Channel<Value> = object.downcast_ref().expect("a channel");
    match channel.receiver() {
        Ok(mut receiver) => posts_on(channel, &mut receiver),
        Err(_) => Verdict::Leaked,
    }
}

fn posts_to_sleepers(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let victim = stage.victim("posts");
    let part = "sleeps before the board";
    let mut sleepers = [stage.actor(part), stage.actor(part)];
    for sleeper in &mut sleepers {
        sleeper.says("sleeps");
        sleeper.sleeps_in(libc::SYS_futex_waitv);
    }
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    let start = Instant::now();
    for mut sleeper in sleepers {
        match sleeper.line().as_str() {
            "2" | "Disconnected" => {}
            "torn" => return Verdict::Torn,
            _ => return Verdict::Stuck,
        }
        sleeper.succeeds();
    }
    // They have more patience, but must not need it.
    if start.elapsed() > LIMIT {
        return Verdict::Stuck;
    }
    poster_died(object)
}

/// How many victims were killed while they had asked for a buffer that is left alone.
static GUESTS: AtomicUsize = AtomicUsize::new(0);

/// Whether some kills came to where the scenes of the latest value are to kill.
pub fn guests_were_killed() -> bool {
    println!("killed: latest: {GUESTS:?} guests");
    GUESTS.load(Ordering::Relaxed) > 0
}

/// Whether a seat says so: its flavour's first word, as `region.rs` and `ends.rs` lay it out.
fn stays_somewhere(channel: &latest::Channel<Value>) -> bool {
    let file = std::fs::File::from(channel.as_fd().try_clone_to_owned().expect("a descriptor"));
    let stays = |seat: u64| {
        let mut word = [0; 8];
        let at = 4096 + 128 + 128 + 128 * seat + 64;
        file.read_exact_at(&mut word, at).expect("a seat");
        u64::from_ne_bytes(word)
    };
    // Of four buffers.
    let words = [1, 2, 3].map(stays);
    assert!(words.iter().all(|word| *word <= 4), "{words:?}");
    words != [0; 3]
}

/// With each of its instructions the sender comes round: it ends because the sender leaves a buffer alone, and that is free when it is killed.
fn copies_from_the_swift(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let channel: &latest::Channel<Value> = object.downcast_ref().expect("a channel");
    let victim = stage.victim("copies");
    let mut swift = channel.sender().expect("a sender");
    let complete = !(0..stage.point).all(|n| {
        for round in 0..4 {
            swift.send(value(4 * n as u64 + round)).expect("there");
        }
        victim.step(1) == At::Inside
    });
    if stays_somewhere(channel) {
        GUESTS.fetch_add(1, Ordering::Relaxed);
    }
    victim.kill();
    drop(swift);
    let mut sender = stage.actor("posts for ever");
    sender.says("posts");
    let Ok(mut receiver) = channel.receiver() else {
        return Verdict::Leaked;
    };
    for _ in 0..1000 {
        match receiver.recv_timeout(LIMIT).map(|value| *value) {
            Err(error) if error.kind() == Kind::WouldBlock => return Verdict::Leaked,
            outcome => match words(outcome).as_str() {
                "torn" => return Verdict::Torn,
                "TimedOut" | "Disconnected" => return Verdict::Stuck,
                _ => {}
            },
        }
    }
    sender.kill();
    if complete {
        return Verdict::Complete;
    }
    drop(receiver);
    copier_died(object)
}
