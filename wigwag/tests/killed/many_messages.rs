//! Messages of several lengths through the many-to-many channel: the same as of values, in a ring so small that each kill leaves a gap that matters.

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

/// Of the ring: 64 cells.
const CAPACITY: usize = 4096;
/// More than half of it.
const LONG: usize = 2200;

macro_rules! scenes {
    ($($name:literal $sample:literal $make:ident $course:ident;)*) => {
        /// Messages.
        pub const SCENES: &[Scene] = &[$(Scene {
            gate: "many-to-many of messages",
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
    "sender that fills a loan and shortens it" 40 one loan_alone;
    "sender that gives a loan up" 30 one loan_given_up;
    "sender that overwrites" 40 full sender_overwrites;
    "sender that overwrites, another after it" 40 full sender_overwrites_before_another;
    "sender that stands in line and gives up" 30 waiting sender_in_line_before_another;
    "sender that finds the ring done" 40 done sender_alone;
    "sender of several at once" 40 one sender_of_many;
    "receiver, nobody waits" 40 one receiver_alone;
    "receiver of several at once" 40 two receiver_of_many;
    "receiver, another waits for a message" 40 one receiver_and_receiver;
    "receiver, one waits for room" 40 waiting receiver_and_sender;
    "sender that sits down in the seat of a dead one" 30 one sender_attaches;
}

fn options() -> Options {
    let options = Options::new().capacity(CAPACITY as u64);
    options.seats(8).waiting(Waiting::Block)
}

fn open(name: &str) -> Channel<[u8]> {
    options().open(format!("/{name}")).expect("open")
}

/// The message of a number: those of ten and more are short.
fn message(n: u8) -> Vec<u8> {
    let len = if n < 10 { LONG } else { 3 * usize::from(n) };
    vec![n; len]
}

/// Which one it is; none when it is torn.
fn number(bytes: &[u8]) -> Option<u8> {
    let n = *bytes.first()?;
    (bytes == message(n)).then_some(n)
}

fn with(options: &Options, name: &str, messages: &[u8]) -> Box<dyn Any> {
    let channel: Channel<[u8]> = options
        .clone()
        .temporary(true)
        .create(format!("/{name}"))
        .expect("create");
    for n in messages {
        let mut sender = channel.sender().expect("a sender");
        sender.send(&message(*n)).expect("send");
    }
    Box::new(channel)
}

fn empty(name: &str) -> Box<dyn Any> {
    with(&options(), name, &[])
}

fn one(name: &str) -> Box<dyn Any> {
    with(&options(), name, &[11])
}

fn two(name: &str) -> Box<dyn Any> {
    with(&options(), name, &[11, 12])
}

/// No long message has room.
fn waiting(name: &str) -> Box<dyn Any> {
    with(&options(), name, &[1])
}

fn full(name: &str) -> Box<dyn Any> {
    with(&options().full(Full::OverwriteOldest), name, &[11, 1, 12])
}

/// All that was sent was received, up to the end of the ring, and one more sent.
fn done(name: &str) -> Box<dyn Any> {
    let made = with(&options(), name, &[1, 20, 21]);
    let channel = channel(&*made);
    let mut receiver = channel.receiver().expect("a receiver");
    while let Ok(Some(_)) = receiver.try_recv() {}
    let mut sender = channel.sender().expect("a sender");
    sender.send(&message(11)).expect("send");
    drop((sender, receiver));
    made
}

fn act(part: &str, object: &str) {
    match part {
        "sender" => {
            let mut sender = open(object).sender().expect("a sender");
            begin();
            let _ = sender.send(&message(9));
            end();
        }
        "lender" => {
            let mut sender = open(object).sender().expect("a sender");
            begin();
            if let Ok(mut loan) = sender.loan(LONG + 1000) {
                loan.fill(9);
                loan.truncate(LONG);
                loan.send();
            }
            end();
        }
        "waverer" => {
            let mut sender = open(object).sender().expect("a sender");
            begin();
            drop(sender.loan(LONG));
            end();
        }
        "receiver" => {
            let mut receiver = open(object).receiver().expect("a receiver");
            begin();
            drop(receiver.recv());
            end();
        }
        "sender of many" => {
            let mut sender = open(object).sender().expect("a sender");
            begin();
            let _ = sender.send_many(&[message(9), message(13)]);
            end();
        }
        "receiver of many" => {
            let mut receiver = open(object).receiver().expect("a receiver");
            begin();
            if let Ok(mut batch) = receiver.recv_many() {
                while let Ok(Some(_)) = batch.next() {}
            }
            end();
        }
        "impatient" => {
            let mut sender = open(object).sender().expect("a sender");
            begin();
            let _ = sender.send_timeout(&message(9), Duration::from_millis(1));
            end();
        }
        "newcomer" => {
            // What a process does once is not what is to be killed here.
            let warm: Channel<[u8]> = options().anonymous().expect("another");
            let _seat = warm.sender().expect("a seat");
            let channel = open(object);
            begin();
            let sender = channel.sender();
            end();
            drop(sender);
        }
        "claims and dies" => {
            let mut sender = open(object).sender().expect("a sender");
            let _claimed = sender.loan(LONG).expect("a loan");
            process::say("claimed");
            process::hear();
        }
        "waits for a message" => {
            let mut receiver = open(object).receiver().expect("a receiver");
            process::say("waits");
            process::say(&words(
                receiver.recv_timeout(2 * LIMIT).map(|bytes| number(&bytes)),
            ));
        }
        "waits for room" => {
            let mut sender = open(object).sender().expect("a sender");
            process::say("waits");
            let sent = sender.send_timeout(&message(3), 2 * LIMIT);
            process::say(&words(sent.map(|()| Some(3))));
        }
        part => panic!("no part {part}"),
    }
}

fn words(outcome: Result<Option<u8>, Error>) -> String {
    match outcome {
        Ok(number) => number.map_or("torn".to_owned(), |number| number.to_string()),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn channel(object: &dyn Any) -> &Channel<[u8]> {
    object.downcast_ref().expect("a channel")
}

fn sender(object: &dyn Any) -> Option<Sender<[u8]>> {
    channel(object).sender().ok()
}

fn receiver(object: &dyn Any) -> Option<Receiver<[u8]>> {
    channel(object).receiver().ok()
}

/// All that comes, as it comes, until nobody is there who could send.
fn rest(receiver: &mut Receiver<[u8]>) -> Result<Vec<u8>, Verdict> {
    let mut came = Vec::new();
    loop {
        match receiver.recv_timeout(LIMIT) {
            Ok(bytes) => came.push(number(&bytes).ok_or(Verdict::Torn)?),
            Err(error) if error.kind() == Kind::Disconnected => return Ok(came),
            Err(_) => return Err(Verdict::Stuck),
        }
        if came.len() > 4 {
            return Err(Verdict::Torn);
        }
    }
}

/// After the death: what comes is one of these, and then all places are free again and what is sent is received.
fn ends_well(object: &dyn Any, may_come: &[&[u8]]) -> Verdict {
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
    // Several times round the ring: a part that nobody gives back would stop it.
    for n in 1..8 {
        if sender.send_timeout(&message(n), LIMIT).is_err() {
            return Verdict::Leaked;
        }
        match receiver.recv_timeout(LIMIT) {
            Ok(found) if number(&found) == Some(n) => {}
            Ok(_) => return Verdict::Torn,
            Err(_) => return Verdict::Stuck,
        }
    }
    // And the whole of it at once.
    if sender.send_timeout(&[7; CAPACITY], LIMIT).is_err() {
        return Verdict::Leaked;
    }
    match receiver.recv_timeout(LIMIT) {
        Ok(found) if *found == [7; CAPACITY] => {}
        Ok(_) => return Verdict::Torn,
        Err(_) => return Verdict::Stuck,
    }
    for n in [20, 9, 21] {
        if sender.send_timeout(&message(n), LIMIT).is_err() {
            return Verdict::Leaked;
        }
    }
    drop(sender);
    match rest(&mut receiver) {
        Ok(came) if came == [20, 9, 21] => Verdict::Good,
        Ok(_) => Verdict::Torn,
        Err(verdict) => verdict,
    }
}

fn sender_alone(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("sender")) {
        return Verdict::Complete;
    }
    ends_well(object, &[&[11], &[11, 9]])
}

fn loan_alone(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("lender")) {
        return Verdict::Complete;
    }
    ends_well(object, &[&[11], &[11, 9]])
}

fn sender_of_many(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("sender of many")) {
        return Verdict::Complete;
    }
    ends_well(object, &[&[11], &[11, 9], &[11, 9, 13]])
}

fn receiver_of_many(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("receiver of many")) {
        return Verdict::Complete;
    }
    // They are given back one after the other.
    ends_well(object, &[&[11, 12], &[12], &[]])
}

fn loan_given_up(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("waverer")) {
        return Verdict::Complete;
    }
    ends_well(object, &[&[11]])
}

fn sender_overwrites(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("sender")) {
        return Verdict::Complete;
    }
    // The oldest were dropped, or not yet; the new one is there, or not yet.
    ends_well(object, &[&[11, 1, 12], &[1, 12], &[12], &[12, 9]])
}

/// The other goes past what it had claimed, or its place in the line.
fn sender_overwrites_before_another(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("sender")) {
        return Verdict::Complete;
    }
    let Some(mut other) = sender(object) else {
        return Verdict::Leaked;
    };
    if other.send_timeout(&message(8), LIMIT).is_err() {
        return Verdict::Stuck;
    }
    drop(other);
    ends_well(object, &[&[12, 8], &[8], &[9, 8]])
}

/// It stands there for a while, and gives up.
fn sender_in_line_before_another(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let _receiver = receiver(object);
    if !stage.kill(stage.victim("impatient")) {
        return Verdict::Complete;
    }
    let Some(mut other) = sender(object) else {
        return Verdict::Leaked;
    };
    // There is room for this one.
    if other.send_timeout(&message(30), LIMIT).is_err() {
        return Verdict::Stuck;
    }
    drop(other);
    drop(_receiver);
    ends_well(object, &[&[1, 30]])
}

fn sender_and_waiter(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let victim = stage.victim("sender");
    let mut waiter = stage.actor("waits for a message");
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
    ends_well(object, &[&[11], &[]])
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
        Ok(found) if *found == message(11) => Verdict::Good,
        Ok(_) => Verdict::Torn,
        // It had given it back.
        Err(error) if error.kind() == Kind::TimedOut => Verdict::Good,
        Err(_) => Verdict::Stuck,
    };
    if left != Verdict::Good {
        return left;
    }
    drop((alive, other));
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
        "3" => ends_well(object, &[&[3]]),
        "Disconnected" => ends_well(object, &[&[1], &[]]),
        _ => Verdict::Stuck,
    }
}

/// The dead one had claimed a part of the ring.
fn sender_attaches(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let mut dead = stage.actor("claims and dies");
    dead.says("claimed");
    dead.kill();
    let _ = dead.ends();
    if !stage.kill(stage.victim("newcomer")) {
        return Verdict::Complete;
    }
    ends_well(object, &[&[11]])
}
