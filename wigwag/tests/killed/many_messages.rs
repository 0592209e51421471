//! Messages of several lengths through the many-to-many channel: the same as of values, in a ring so small that each kill leaves a gap that matters.

use std::any::Any;
use std::time::Duration;

use wigwag::pattern::channel::Full;
use wigwag::pattern::channel::many_to_many::Channel;

use super::queue::{self, CAPACITY, LIMIT, LONG, Queue, acts, alone, channel, message};
use super::scene::{Scene, Stage, Verdict, scenes};
use super::step::{begin, end};
use crate::process;

type Messages = Channel<[u8]>;

scenes! {
    SCENES "many-to-many of messages"
    "sender, nobody waits" 40 one sender_alone;
    "sender, one waits" 40 empty queue::sender_and_waiter::<Messages>;
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

fn with(full: Full, name: &str, numbers: &[u64]) -> Box<dyn Any> {
    queue::with::<Messages>(&Messages::options().full(full), name, numbers)
}

fn empty(name: &str) -> Box<dyn Any> {
    with(Full::Wait, name, &[])
}

fn one(name: &str) -> Box<dyn Any> {
    with(Full::Wait, name, &[11])
}

fn two(name: &str) -> Box<dyn Any> {
    with(Full::Wait, name, &[11, 12])
}

/// No long message has room.
fn waiting(name: &str) -> Box<dyn Any> {
    with(Full::Wait, name, &[1])
}

fn full(name: &str) -> Box<dyn Any> {
    with(Full::OverwriteOldest, name, &[11, 1, 12])
}

/// All that was sent was received, up to the end of the ring, and one more sent.
fn done(name: &str) -> Box<dyn Any> {
    let made = with(Full::Wait, name, &[1, 20, 21]);
    let channel: &Messages = channel(&*made);
    let mut receiver = channel.receiver().expect("a receiver");
    while let Ok(Some(_)) = receiver.try_recv() {}
    let mut sender = channel.sender().expect("a sender");
    sender.send(&message(11)).expect("send");
    drop((sender, receiver));
    made
}

fn act(part: &str, object: &str) {
    let open = Messages::open;
    match part {
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
        "claims and dies" => {
            let mut sender = open(object).sender().expect("a sender");
            let _claimed = sender.loan(LONG).expect("a loan");
            process::say("claimed");
            process::hear();
        }
        part => assert!(acts::<Messages>(part, object), "no part {part}"),
    }
}

/// As of values, and then a message that takes the whole ring.
fn ends_well(object: &dyn Any, may_come: &[&[u64]]) -> Verdict {
    let verdict = queue::ends_well::<Messages>(object, may_come);
    if verdict != Verdict::Good {
        return verdict;
    }
    let channel: &Messages = channel(object);
    let (Ok(mut sender), Ok(mut receiver)) = (channel.sender(), channel.receiver()) else {
        return Verdict::Leaked;
    };
    if sender.send_timeout(&[7; CAPACITY], LIMIT).is_err() {
        return Verdict::Leaked;
    }
    match receiver.recv_timeout(LIMIT) {
        Ok(found) if *found == [7; CAPACITY] => Verdict::Good,
        Ok(_) => Verdict::Torn,
        Err(_) => Verdict::Stuck,
    }
}

alone! { ends_well;
    sender_alone "sender" [&[11], &[11, 9]];
    loan_alone "lender" [&[11], &[11, 9]];
    loan_given_up "waverer" [&[11]];
    sender_of_many "sender of many" [&[11], &[11, 9], &[11, 9, 13]];
    // The oldest were dropped, or not yet; the new one is there, or not yet.
    sender_overwrites "sender" [&[11, 1, 12], &[1, 12], &[12], &[12, 9]];
    // It may have been given back, and comes again otherwise.
    receiver_alone "receiver" [&[11], &[]];
    // They are given back one after the other.
    receiver_of_many "receiver of many" [&[11, 12], &[12], &[]];
}

/// The other goes past what it had claimed, or its place in the line.
fn sender_overwrites_before_another(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("sender")) {
        return Verdict::Complete;
    }
    let Ok(mut other) = channel::<Messages>(object).sender() else {
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
    let _receiver = channel::<Messages>(object).receiver();
    if !stage.kill(stage.victim("impatient")) {
        return Verdict::Complete;
    }
    let Ok(mut other) = channel::<Messages>(object).sender() else {
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

fn receiver_and_receiver(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    queue::receiver_and_receiver::<Messages>(stage, object, 11)
}

fn receiver_and_sender(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    queue::receiver_and_waiter::<Messages>(stage, object, &[&[3]], &[&[1], &[]])
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
