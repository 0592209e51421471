//! The one-to-one channel: whoever is killed in it, no value that was sent is lost, torn or stays out of reach, those who
//! wait learn of it, and the seat is free.

use std::any::Any;
use std::time::Duration;

use wigwag::pattern::channel::one_to_one::{Channel, Receiver, Sender};
use wigwag::pattern::channel::{Options, Waiting};
use wigwag::{Error, Kind};

use super::scene::{Scene, Stage, Verdict};
use super::step::{Victim, begin, end};
use crate::process;

/// What is there at once comes long before; what never comes is worth no more patience.
const LIMIT: Duration = Duration::from_secs(5);

type Value = [u64; 16];

macro_rules! scenes {
    ($($name:literal $sample:literal $make:ident $course:ident;)*) => {
        /// Values.
        pub const SCENES: &[Scene] = &[$(Scene {
            gate: "channel",
            name: $name,
            sample: $sample,
            make: $make,
            act,
            course: $course,
        }),*];
    };
}
scenes! {
    "sender, nobody waits" 40 two sender_alone;
    "sender, one waits" 40 empty sender_and_waiter;
    "sender that fills a loan" 40 two loan_alone;
    "sender of a message" 40 messages message_alone;
    "receiver, nobody waits" 40 two receiver_alone;
    "receiver, one waits for room" 40 two receiver_and_waiter;
    "receiver that waits" 30 empty receiver_in_vain;
    "sender that sits down" 20 empty sender_attaches;
    "receiver that leaves" 30 two receiver_leaves;
    "creator" 20 nothing creator;
    "creator that replaces a dead one" 20 abandoned creator;
}

fn options() -> Options {
    Options::new().capacity(2).waiting(Waiting::Block)
}

fn open(name: &str) -> Channel<Value> {
    options().open(format!("/{name}")).expect("open")
}

fn value(n: u64) -> Value {
    [n; 16]
}

/// Room for two, and nothing in it.
fn empty(name: &str) -> Box<dyn Any> {
    let channel: Channel<Value> = options()
        .temporary(true)
        .create(format!("/{name}"))
        .expect("create");
    Box::new(channel)
}

/// The same with 1 in it.
fn two(name: &str) -> Box<dyn Any> {
    let channel = empty(name);
    let channel_of = channel.downcast_ref::<Channel<Value>>().expect("a channel");
    let mut sender = channel_of.sender().expect("a sender");
    sender.send(value(1)).expect("send");
    drop(sender);
    channel
}

fn messages(name: &str) -> Box<dyn Any> {
    let channel: Channel<[u8]> = Options::new()
        .temporary(true)
        .create(format!("/{name}"))
        .expect("create");
    channel
        .sender()
        .expect("a sender")
        .send(&[1; 100])
        .expect("send");
    Box::new(channel)
}

/// Removed when dropped, whoever made it.
struct Name(String);

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(format!("/dev/shm/{}", self.0));
    }
}

fn nothing(name: &str) -> Box<dyn Any> {
    Box::new(Name(name.to_owned()))
}

/// One whose creator and sender are dead.
fn abandoned(name: &str) -> Box<dyn Any> {
    let mut dead = process::play(
        "plays",
        "abandons",
        &[("SCENE", "channel creator"), ("OBJECT", name)],
    )
    .start();
    dead.says("abandons");
    dead.kill();
    nothing(name)
}

fn act(part: &str, object: &str) {
    match part {
        "sender" => {
            let mut sender = open(object).sender().expect("a sender");
            begin();
            let _ = sender.send(value(2));
            end();
        }
        "lender" => {
            let mut sender = open(object).sender().expect("a sender");
            begin();
            if let Ok(mut loan) = sender.loan() {
                loan.fill(2);
                loan.send();
            }
            end();
        }
        "messenger" => {
            let channel: Channel<[u8]> = Options::new().open(format!("/{object}")).expect("open");
            let mut sender = channel.sender().expect("a sender");
            begin();
            let _ = sender.send(&[2; 200]);
            end();
        }
        "receiver" => {
            let mut receiver = open(object).receiver().expect("a receiver");
            begin();
            drop(receiver.recv());
            end();
        }
        "sleeper" => {
            let mut receiver = open(object).receiver().expect("a receiver");
            begin();
            let _ = receiver.recv_timeout(Duration::from_millis(1));
            end();
        }
        "newcomer" => {
            // What a process does once is not what is to be killed here.
            let warm: Channel<Value> = options().anonymous().expect("another");
            let _seat = warm.sender().expect("a seat");
            let channel = open(object);
            begin();
            let sender = channel.sender();
            end();
            drop(sender);
        }
        "leaver" => {
            let mut receiver = open(object).receiver().expect("a receiver");
            let held = receiver.recv().expect("a value");
            begin();
            drop(held);
            drop(receiver);
            end();
        }
        "creator" => {
            begin();
            let made: Result<Channel<Value>, Error> = options().create(format!("/{object}"));
            end();
            drop(made);
        }
        "abandons" => {
            let channel: Channel<Value> = options().create(format!("/{object}")).expect("create");
            let mut sender = channel.sender().expect("a sender");
            sender.send(value(9)).expect("send");
            process::say("abandons");
            process::hear();
        }
        "waits for a value" => {
            let mut receiver = open(object).receiver().expect("a receiver");
            process::say("waits");
            process::say(&words(receiver.recv_timeout(2 * LIMIT).map(|value| *value)));
        }
        "waits for room" => {
            let mut sender = open(object).sender().expect("a sender");
            process::say("waits");
            let sent = sender.send_timeout(value(3), 2 * LIMIT);
            process::say(&words(sent.map(|()| value(3))));
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

fn channel(object: &dyn Any) -> &Channel<Value> {
    object.downcast_ref().expect("a channel")
}

fn sender(object: &dyn Any) -> Option<Sender<Value>> {
    channel(object).sender().ok()
}

fn receiver(object: &dyn Any) -> Option<Receiver<Value>> {
    channel(object).receiver().ok()
}

fn received(receiver: &mut Receiver<Value>) -> String {
    words(receiver.recv_timeout(LIMIT).map(|value| *value))
}

/// After the death of a sender: all that comes, one after the other, and then a new sender and its value.
fn ends_well(object: &dyn Any, may_come: &[&[&str]]) -> Verdict {
    let Some(mut receiver) = receiver(object) else {
        return Verdict::Leaked;
    };
    let mut came = Vec::new();
    loop {
        match received(&mut receiver) {
            word if word == "Disconnected" => break,
            word if word == "TimedOut" => return Verdict::Stuck,
            word => came.push(word),
        }
        if came.len() > 4 {
            return Verdict::Torn;
        }
    }
    if !may_come.contains(
        &came
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .as_slice(),
    ) {
        return Verdict::Torn;
    }
    goes_on(object, &mut receiver)
}

/// A new sender gets a value to the receiver.
fn goes_on(object: &dyn Any, receiver: &mut Receiver<Value>) -> Verdict {
    let Some(mut sender) = sender(object) else {
        return Verdict::Leaked;
    };
    match sender.send(value(7)).map(|()| received(receiver)) {
        Ok(word) if word == "7" => Verdict::Good,
        Ok(_) => Verdict::Torn,
        Err(_) => Verdict::Stuck,
    }
}

fn sender_alone(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("sender")) {
        return Verdict::Complete;
    }
    ends_well(object, &[&["1"], &["1", "2"]])
}

fn loan_alone(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("lender")) {
        return Verdict::Complete;
    }
    ends_well(object, &[&["1"], &["1", "2"]])
}

fn message_alone(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("messenger")) {
        return Verdict::Complete;
    }
    let channel = object.downcast_ref::<Channel<[u8]>>().expect("a channel");
    let Ok(mut receiver) = channel.receiver() else {
        return Verdict::Leaked;
    };
    let mut expected = [1, 2].into_iter();
    loop {
        match (receiver.recv_timeout(LIMIT), expected.next()) {
            (Ok(message), Some(n)) if *message == vec![n; 100 * usize::from(n)][..] => {}
            (Err(error), _) if error.kind() == Kind::Disconnected => break,
            (Err(error), _) if error.kind() == Kind::TimedOut => return Verdict::Stuck,
            _ => return Verdict::Torn,
        }
    }
    // The first was sent long ago.
    if expected.next() == Some(1) {
        return Verdict::Torn;
    }
    match channel.sender().and_then(|mut sender| sender.send(b"on")) {
        Ok(()) if receiver.recv().is_ok_and(|message| *message == *b"on") => Verdict::Good,
        Ok(()) => Verdict::Torn,
        Err(_) => Verdict::Leaked,
    }
}

fn sender_and_waiter(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let victim = stage.victim("sender");
    let mut waiter = stage.actor("waits for a value");
    waiter.says("waits");
    waiter.sleeps_in(libc::SYS_futex);
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    match waiter.line().as_str() {
        "2" | "Disconnected" => {}
        "torn" => return Verdict::Torn,
        _ => return Verdict::Stuck,
    }
    waiter.succeeds();
    let Some(mut receiver) = receiver(object) else {
        return Verdict::Leaked;
    };
    goes_on(object, &mut receiver)
}

fn receiver_alone(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("receiver")) {
        return Verdict::Complete;
    }
    // It may have been given back, and comes again otherwise.
    ends_well(object, &[&["1"], &[]])
}

fn receiver_and_waiter(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    sender(object)
        .expect("a seat")
        .send(value(2))
        .expect("room");
    let victim = stage.victim("receiver");
    let mut waiter = stage.actor("waits for room");
    waiter.says("waits");
    waiter.sleeps_in(libc::SYS_futex);
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    let sent = waiter.line();
    waiter.succeeds();
    match sent.as_str() {
        "3" => ends_well(object, &[&["2", "3"]]),
        // It may have given the value back and been killed before it rang; the room was seen then, or not.
        "Disconnected" => ends_well(object, &[&["1", "2"], &["2"]]),
        _ => Verdict::Stuck,
    }
}

fn receiver_in_vain(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let mut sender = sender(object).expect("a seat");
    if !stage.kill(stage.victim("sleeper")) {
        return Verdict::Complete;
    }
    for n in 1..3 {
        if sender.send_timeout(value(n), LIMIT).is_err() {
            return Verdict::Stuck;
        }
    }
    drop(sender);
    ends_well(object, &[&["1", "2"]])
}

fn sender_attaches(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let mut waiter = stage.actor("waits for a value");
    waiter.says("waits");
    waiter.sleeps_in(libc::SYS_futex);
    if !stage.kill(stage.victim("newcomer")) {
        return Verdict::Complete;
    }
    // Whether it had come is not known; a next one comes, and its value is received.
    let Some(mut sender) = sender(object) else {
        return Verdict::Leaked;
    };
    let sent = sender.send_timeout(value(7), LIMIT);
    match (sent, waiter.line().as_str()) {
        (Ok(()), "7" | "Disconnected") => Verdict::Good,
        (_, "torn") => Verdict::Torn,
        _ => Verdict::Stuck,
    }
}

fn receiver_leaves(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("leaver")) {
        return Verdict::Complete;
    }
    ends_well(object, &[&["1"], &[]])
}

fn creator(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let Name(name) = object.downcast_ref().expect("a name");
    let victim = Victim::of(stage.actor("creator"));
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    let Ok(made) = options()
        .temporary(true)
        .create::<Channel<Value>>(format!("/{name}"))
    else {
        return Verdict::Stuck;
    };
    let (Ok(mut sender), Ok(mut receiver)) = (made.sender(), made.receiver()) else {
        return Verdict::Leaked;
    };
    if sender.send(value(1)).is_err() || received(&mut receiver) != "1" {
        return Verdict::Torn;
    }
    drop((sender, receiver, made));
    match options().open::<Channel<Value>>(format!("/{name}")) {
        Err(error) if error.kind() == Kind::NotFound => Verdict::Good,
        _ => Verdict::Leaked,
    }
}
