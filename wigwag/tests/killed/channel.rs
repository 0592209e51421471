//! The one-to-one channel: whoever is killed in it, no value that was sent is lost, torn or stays out of reach, those who
//! wait learn of it, and the seat is free.

use std::any::Any;
use std::time::Duration;

use wigwag::pattern::channel::Options;
use wigwag::pattern::channel::one_to_one::Channel;
use wigwag::{Error, Kind};

use super::queue::{self, LIMIT, Queue, Value, acts, alone, channel, ends_well};
use super::scene::{Scene, Stage, Verdict, scenes};
use super::step::{Victim, begin, end};
use crate::process;

type Values = Channel<Value>;

scenes! {
    SCENES "channel"
    "sender, nobody waits" 40 two sender_alone;
    "sender, one waits" 40 empty queue::sender_and_waiter::<Values>;
    "sender that fills a loan" 40 two loan_alone;
    "sender of a message" 40 messages message_alone;
    "receiver, nobody waits" 40 two receiver_alone;
    "receiver, one waits for room" 40 two receiver_and_waiter;
    "receiver that waits" 30 empty receiver_in_vain;
    "sender that sits down" 20 empty queue::sender_attaches::<Values>;
    "receiver that leaves" 30 two receiver_leaves;
    "creator" 20 nothing creator;
    "creator that replaces a dead one" 20 abandoned creator;
}

/// Room for two, and nothing in it.
fn empty(name: &str) -> Box<dyn Any> {
    queue::with::<Values>(&Values::options(), name, &[])
}

/// The same with 1 in it.
fn two(name: &str) -> Box<dyn Any> {
    queue::with::<Values>(&Values::options(), name, &[1])
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
    let open = Values::open;
    match part {
        "messenger" => {
            let channel: Channel<[u8]> = Options::new().open(format!("/{object}")).expect("open");
            let mut sender = channel.sender().expect("a sender");
            begin();
            let _ = sender.send(&[2; 200]);
            end();
        }
        "sleeper" => {
            let mut receiver = open(object).receiver().expect("a receiver");
            begin();
            let _ = receiver.recv_timeout(Duration::from_millis(1));
            end();
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
            let made: Result<Channel<Value>, Error> =
                Values::options().create(format!("/{object}"));
            end();
            drop(made);
        }
        "abandons" => {
            let channel: Channel<Value> = Values::options()
                .create(format!("/{object}"))
                .expect("create");
            let mut sender = channel.sender().expect("a sender");
            sender.send([9; 16]).expect("send");
            process::say("abandons");
            process::hear();
        }
        part => assert!(acts::<Values>(part, object), "no part {part}"),
    }
}

alone! { ends_well::<Values>;
    sender_alone "sender" [&[1], &[1, 9]];
    loan_alone "lender" [&[1], &[1, 9]];
    // It may have been given back, and comes again otherwise.
    receiver_alone "receiver" [&[1], &[]];
    receiver_leaves "leaver" [&[1], &[]];
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

fn receiver_and_waiter(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let sender = channel::<Values>(object).sender();
    sender.expect("a seat").send([2; 16]).expect("room");
    queue::receiver_and_waiter::<Values>(stage, object, &[&[2, 3]], &[&[1, 2], &[2]])
}

fn receiver_in_vain(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let mut sender = channel::<Values>(object).sender().expect("a seat");
    if !stage.kill(stage.victim("sleeper")) {
        return Verdict::Complete;
    }
    for n in 1..3 {
        if sender.send_timeout([n; 16], LIMIT).is_err() {
            return Verdict::Stuck;
        }
    }
    drop(sender);
    ends_well::<Values>(object, &[&[1, 2]])
}

fn creator(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let Name(name) = object.downcast_ref().expect("a name");
    let victim = Victim::of(stage.actor("creator"));
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    let Ok(made) = Values::options()
        .temporary(true)
        .create::<Channel<Value>>(format!("/{name}"))
    else {
        return Verdict::Stuck;
    };
    let (Ok(mut sender), Ok(mut receiver)) = (made.sender(), made.receiver()) else {
        return Verdict::Leaked;
    };
    if sender.send([1; 16]).is_err()
        || !receiver
            .recv_timeout(LIMIT)
            .is_ok_and(|value| *value == [1; 16])
    {
        return Verdict::Torn;
    }
    drop((sender, receiver, made));
    match Values::options().open::<Channel<Value>>(format!("/{name}")) {
        Err(error) if error.kind() == Kind::NotFound => Verdict::Good,
        _ => Verdict::Leaked,
    }
}
