//! The many-to-many channel: whoever is killed in it, the others go on past what it had claimed; what it had sent, and what it
//! had received and not given back, is received by somebody, whole.

use std::any::Any;

use wigwag::pattern::channel::Full;
use wigwag::pattern::channel::many_to_many::Channel;

use super::queue::{self, Queue, Value, acts, alone, ends_well};
use super::scene::{Scene, Stage, Verdict, scenes};

type Values = Channel<Value>;

scenes! {
    SCENES "many-to-many"
    "sender, nobody waits" 40 one sender_alone;
    "sender, one waits" 40 empty queue::sender_and_waiter::<Values>;
    "sender that fills a loan" 40 one loan_alone;
    "sender that gives a loan up" 30 one loan_given_up;
    "sender that overwrites" 40 full sender_overwrites;
    "receiver, nobody waits" 40 one receiver_alone;
    "receiver, another waits for a value" 40 one receiver_and_receiver;
    "receiver, one waits for room" 40 two receiver_and_sender;
    "sender that sits down" 20 empty queue::sender_attaches::<Values>;
}

fn empty(name: &str) -> Box<dyn Any> {
    queue::with::<Values>(&Values::options(), name, &[])
}

fn one(name: &str) -> Box<dyn Any> {
    queue::with::<Values>(&Values::options(), name, &[1])
}

fn two(name: &str) -> Box<dyn Any> {
    queue::with::<Values>(&Values::options(), name, &[1, 2])
}

fn full(name: &str) -> Box<dyn Any> {
    let options = Values::options().full(Full::OverwriteOldest);
    queue::with::<Values>(&options, name, &[1, 2])
}

fn act(part: &str, object: &str) {
    assert!(acts::<Values>(part, object), "no part {part}");
}

alone! { ends_well::<Values>;
    sender_alone "sender" [&[1], &[1, 9]];
    loan_alone "lender" [&[1], &[1, 9]];
    loan_given_up "waverer" [&[1]];
    // The oldest was dropped, or not yet; the new one is there, or not yet.
    sender_overwrites "sender" [&[1, 2], &[2], &[2, 9]];
    // It may have been given back, and comes again otherwise.
    receiver_alone "receiver" [&[1], &[]];
}

fn receiver_and_receiver(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    queue::receiver_and_receiver::<Values>(stage, object, 1)
}

fn receiver_and_sender(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    queue::receiver_and_waiter::<Values>(stage, object, &[&[2, 3]], &[&[1, 2], &[2]])
}
