//! The many-to-many channel: whoever is killed in it, the others go on past what it had claimed; what it had sent, and what it
//! had received and not given back, is received by somebody, whole.

use std::any::Any;
use std::time::Duration;

use wigwag::pattern::channel::many_to_many::{Channel, Receiver, Sender};
use wigwag::pattern::channel::{Full, Options, Waiting};
use wigwag::{Error, Kind};

use super::scene::{Scene, Stage, Verdict};
use super::step::{begin, end};
use crate::process;

/// What is there at once comes long before; what never comes is worth no more patience.
const LIMIT: Duration = Duration::from_secs(5);

type Value = [u64; 16];

macro_rules! scenes {
    ($($name:literal $sample:literal $make:ident $course:ident;)*) => {
        /// Values.
        pub const SCENES: &[Scene] = &[$(Scene {
            gate: "many-to-many",
            name: $name,
            sample: $sample,
            make: $make,
            act,
            course: $course,
        }),*];
    };
}
scenes! {
    "sender, nobody waits" 40 one sender_alone;
    "sender, one waits" 40 empty sender_and_waiter;
    "sender that fills a loan" 40 one loan_alone;
    "sender that gives a loan up" 30 one loan_given_up;
    "sender that overwrites" 40 full sender_overwrites;
    "receiver, nobody waits" 40 one receiver_alone;
    "receiver, another waits for a value" 40 one receiver_and_receiver;
    "receiver, one waits for room" 40 two receiver_and_sender;
    "sender that sits down" 20 empty sender_attaches;
}

fn options() -> Options {
    Options::new().capacity(2).seats(8).waiting(Waiting::Block)
}

fn open(name: &str) -> Channel<Value> {
    options().open(format!("/{name}")).expect("open")
}

fn value(n: u64) -> Value {
    [n; 16]
}

fn with(options: &Options, name: &str, values: u64) -> Box<dyn Any> {
    let channel: Channel<Value> = options
        .clone()
        .temporary(true)
        .create(format!("/{name}"))
        .expect("create");
    if values > 0 {
        let mut sender = channel.sender().expect("a sender");
        for n in 1..=values {
            sender.send(value(n)).expect("send");
        }
    }
    Box::new(channel)
}

fn empty(name: &str) -> Box<dyn Any> {
    with(&options(), name, 0)
}

fn one(name: &str) -> Box<dyn Any> {
    with(&options(), name, 1)
}

fn two(name: &str) -> Box<dyn Any> {
    with(&options(), name, 2)
}

fn full(name: &str) -> Box<dyn Any> {
    with(&options().full(Full::OverwriteOldest), name, 2)
}

fn act(part: &str, object: &str) {
    match part {
        "sender" => {
            let mut sender = open(object).sender().expect("a sender");
            begin();
            let _ = sender.send(value(9));
            end();
        }
        "lender" => {
            let mut sender = open(object).sender().expect("a sender");
            begin();
            if let Ok(mut loan) = sender.loan() {
                loan.fill(9);
                loan.send();
            }
            end();
        }
        "waverer" => {
            let mut sender = open(object).sender().expect("a sender");
            begin();
            drop(sender.loan());
            end();
        }
        "receiver" => {
            let mut receiver = open(object).receiver().expect("a receiver");
            begin();
            drop(receiver.recv());
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

/// All that comes, as it comes, until nobody is there who could send.
fn rest(receiver: &mut Receiver<Value>) -> Result<Vec<u64>, Verdict> {
    let mut came = Vec::new();
    loop {
        match receiver.recv_timeout(LIMIT) {
            Ok(value) if value.iter().any(|n| *n != value[0]) => return Err(Verdict::Torn),
            Ok(value) => came.push(value[0]),
            Err(error) if error.kind() == Kind::Disconnected => return Ok(came),
            Err(_) => return Err(Verdict::Stuck),
        }
        if came.len() > 4 {
            return Err(Verdict::Torn);
        }
    }
}

/// After the death: what comes is one of these, and then all places are free again and what is sent is received.
fn ends_well(object: &dyn Any, may_come: &[&[u64]]) -> Verdict {
    let Some(mut receiver) = receiver(object) else {
        return Verdict::Leaked;
    };
    match rest(&mut receiver) {
        Ok(came) if may_come.contains(&came.as_slice()) => {}
        Ok(_) => return Verdict::Torn,
        Err(verdict) => return verdict,
    }
    let Some(mut sender) = sender(object) else {
        return Verdict::Leaked;
    };
    // Twice round the ring: a place that nobody gives back would stop it.
    for n in 10..14 {
        if sender.send_timeout(value(n), LIMIT).is_err() {
            return Verdict::Leaked;
        }
        match receiver.recv_timeout(LIMIT) {
            Ok(found) if *found == value(n) => {}
            Ok(_) => return Verdict::Torn,
            Err(_) => return Verdict::Stuck,
        }
    }
    for n in 20..22 {
        if sender.send_timeout(value(n), LIMIT).is_err() {
            return Verdict::Leaked;
        }
    }
    drop(sender);
    match rest(&mut receiver) {
        Ok(came) if came == [20, 21] => Verdict::Good,
        Ok(_) => Verdict::Torn,
        Err(verdict) => verdict,
    }
}

fn sender_alone(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("sender")) {
        return Verdict::Complete;
    }
    ends_well(object, &[&[1], &[1, 9]])
}

fn loan_alone(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("lender")) {
        return Verdict::Complete;
    }
    ends_well(object, &[&[1], &[1, 9]])
}

fn loan_given_up(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("waverer")) {
        return Verdict::Complete;
    }
    ends_well(object, &[&[1]])
}

fn sender_overwrites(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("sender")) {
        return Verdict::Complete;
    }
    // The oldest was dropped, or not yet; the new one is there, or not yet.
    ends_well(object, &[&[1, 2], &[2], &[2, 9]])
}

fn sender_and_waiter(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let victim = stage.victim("sender");
    let mut waiter = stage.actor("waits for a value");
    waiter.says("waits");
    waiter.sleeps_in(libc::SYS_futex_waitv);
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    match waiter.line().as_str() {
        "9" | "Disconnected" => {}
        "torn" => return Verdict::Torn,
        _ => return Verdict::Stuck,
    }
    waiter.succeeds();
    ends_well(object, &[&[]])
}

fn receiver_alone(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("receiver")) {
        return Verdict::Complete;
    }
    // It may have been given back, and comes again otherwise.
    ends_well(object, &[&[1], &[]])
}

fn receiver_and_receiver(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    // As long as somebody could send, the other receiver waits for what the victim leaves.
    let alive = sender(object).expect("a seat");
    let victim = stage.victim("receiver");
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    let Some(mut other) = receiver(object) else {
        return Verdict::Leaked;
    };
    let left = match other.recv_timeout(Duration::from_millis(300)) {
        Ok(found) if *found == value(1) => true,
        Ok(_) => return Verdict::Torn,
        Err(error) if error.kind() == Kind::TimedOut => false,
        Err(_) => return Verdict::Stuck,
    };
    drop((alive, other));
    let _ = left;
    ends_well(object, &[&[]])
}

fn receiver_and_sender(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let victim = stage.victim("receiver");
    let mut waiter = stage.actor("waits for room");
    waiter.says("waits");
    waiter.sleeps_in(libc::SYS_futex_waitv);
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    let sent = waiter.line();
    waiter.succeeds();
    match sent.as_str() {
        "3" => ends_well(object, &[&[2, 3]]),
        "Disconnected" => ends_well(object, &[&[1, 2], &[2]]),
        _ => Verdict::Stuck,
    }
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
    let heard = waiter.line();
    drop(sender);
    match (sent, heard.as_str()) {
        (Ok(()), "7") => ends_well(object, &[&[]]),
        (Ok(()), "Disconnected") => ends_well(object, &[&[7]]),
        (_, "torn") => Verdict::Torn,
        _ => Verdict::Stuck,
    }
}
