//! Channels opened by an address: what an option says, what another flavour or type is, who waits for whom.

mod process;
mod refusal;

use std::time::Duration;

use process::unique;
use refusal::{LONG, SHORT, refusal};
use wigwag::message::{Messages, Note};
use wigwag::pattern::channel::{Options, one_to_one};
use wigwag::{Address, Endpoint, Kind, Opening, Role, Wait, Way, catalog};

/// A name, removed at the end.
struct Name(String);

impl Name {
    fn new() -> Self {
        Name(format!("/{}", unique("address")))
    }

    fn address(&self, options: &str) -> Address {
        format!("channel:{}{options}", self.0)
            .parse()
            .expect("an address")
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = catalog::unlink(&self.address(""));
    }
}

fn open(address: &Address, role: Role, way: Way) -> wigwag::Result<Box<dyn Messages>> {
    let opening = Opening {
        role,
        way,
        wait: Wait::Forever,
    };
    match catalog::open(address, opening)? {
        Endpoint::Messages(messages) => Ok(messages),
        _ => panic!("not messages"),
    }
}

#[track_caller]
fn refused<T>(outcome: wigwag::Result<T>, kind: Kind, says: &str) {
    refusal(outcome.map(drop), kind, says);
}

#[test]
fn whoever_serves_makes_it_as_asked_and_others_find_it() {
    let name = Name::new();
    refused(
        open(&name.address(""), Role::Join, Way::Out),
        Kind::NotFound,
        "comes first",
    );
    let address = name.address("?capacity=8192&full=fail&temporary");
    let receiver = open(&address, Role::Serve, Way::In).expect("made");
    refused(
        open(&name.address("?exclusive"), Role::Serve, Way::In),
        Kind::AlreadyExists,
        &name.0,
    );
    refused(
        open(&name.address(""), Role::Serve, Way::In),
        Kind::Limit,
        "no seat for another receiver",
    );
    let sender = open(&name.address(""), Role::Join, Way::Out).expect("there");
    assert_eq!(sender.max_len(), 8192 - 4);
    let note = Note::default();
    sender
        .send_with(&[7; 8000], note, Wait::Forever)
        .expect("room");
    // It was made to fail.
    let full = sender.send_with(&[7; 8000], note, Wait::For(LONG));
    refused(full, Kind::WouldBlock, "full");
    let mut buffer = vec![1, 2, 3];
    receiver
        .recv_with(&mut buffer, None, Wait::Not)
        .expect("there")
        .expect("a sender");
    assert_eq!(buffer, [7; 8000]);
    drop(sender);
    let end = receiver
        .recv_with(&mut buffer, None, Wait::Forever)
        .expect("no failure");
    assert_eq!(end, None, "the sender it met is gone");
    drop(receiver);
    refused(
        open(&name.address(""), Role::Join, Way::Out),
        Kind::NotFound,
        &name.0,
    );
}

#[test]
fn both_ways_by_one_handle_and_threads_take_turns() {
    let name = Name::new();
    let both = open(&name.address(""), Role::Serve, Way::Both).expect("made");
    let mut buffer = Vec::new();
    let alone = both.recv_with(&mut buffer, None, Wait::For(SHORT));
    refused(alone, Kind::TimedOut, "nothing came");
    refused(
        both.recv_with(&mut buffer, None, Wait::Not),
        Kind::WouldBlock,
        "sender",
    );
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..500 {
                    both.send_with(b"turn", Note::default(), Wait::For(LONG))
                        .expect("send");
                }
            });
        }
        let mut buffer = Vec::new();
        for _ in 0..1000 {
            both.recv_with(&mut buffer, None, Wait::For(LONG))
                .expect("receive")
                .expect("ourselves");
            assert_eq!(buffer, b"turn");
        }
    });
}

#[test]
fn a_channel_of_another_type_is_refused_by_name() {
    let name = Name::new();
    let _typed: one_to_one::Channel<u64> = Options::new().create(&name.0).expect("create");
    for role in [Role::Join, Role::Serve] {
        let outcome = open(&name.address(""), role, Way::In);
        refused(outcome, Kind::BadInput, "one-to-one channel of u64");
    }
}

#[test]
fn what_its_messages_do_not_have_is_refused() {
    let name = Name::new();
    let both = open(&name.address(""), Role::Serve, Way::Both).expect("made");
    for note in [
        Note {
            priority: Some(1),
            kind: None,
        },
        Note {
            priority: None,
            kind: Some(1),
        },
    ] {
        refused(
            both.send_with(b"", note, Wait::Not),
            Kind::BadInput,
            "no priority and no type",
        );
    }
    refused(
        both.recv_with(&mut Vec::new(), Some(1), Wait::Not),
        Kind::BadInput,
        "type",
    );
    let long = vec![0; both.max_len() + 1];
    refused(
        both.send_with(&long, Note::default(), Wait::Not),
        Kind::TooBig,
        "65533 bytes",
    );
}

#[test]
fn a_receiver_that_waits_is_there_for_the_first_sender() {
    let name = Name::new();
    let receiver = open(&name.address(""), Role::Serve, Way::In).expect("made");
    // One who comes and goes without a word, and one who speaks.
    drop(open(&name.address(""), Role::Join, Way::Out).expect("there"));
    let received = std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut buffer = Vec::new();
            let outcome = receiver.recv_with(&mut buffer, None, Wait::For(LONG));
            outcome.map(|_| buffer)
        });
        std::thread::sleep(Duration::from_millis(50));
        let sender = open(&name.address(""), Role::Join, Way::Out).expect("there");
        sender
            .send_with(b"hello", Note::default(), Wait::Not)
            .expect("send");
        drop(sender);
        waits.join().expect("no panic")
    });
    assert_eq!(received.expect("received"), b"hello");
}
