//! Histories of the many-to-many channel, recorded in several processes at once, are those of one queue.
//!
//! What a queue of which each value is sent once may not do, seen from outside (Henzinger, Sezgin and Vafeiadis, *Aspect-oriented
//! linearizability proofs*, 2013): give a value that was not sent, or twice; or give one after another that was sent wholly
//! later and received wholly before. That nothing is there it may say early: a place that is not yet filled holds up those behind it.
#![cfg(not(loom))]

mod process;

use std::collections::BTreeMap;
use std::fmt::Write;

use rustix::time::{ClockId, clock_gettime};
use wigwag::Kind;
use wigwag::pattern::channel::many_to_many::Channel;
use wigwag::pattern::channel::{Options, Waiting};

const VALUES: u64 = 1_500;

/// The same clock in all processes.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// When a value was sent or received, from the call to the return.
#[derive(Debug, Clone, Copy)]
struct Step {
    value: u64,
    begin: u64,
    end: u64,
}

/// One end of values or of messages, the same to the test.
enum End {
    SendsValues(wigwag::pattern::channel::many_to_many::Sender<u64>),
    SendsMessages(wigwag::pattern::channel::many_to_many::Sender<[u8]>),
    ReceivesValues(wigwag::pattern::channel::many_to_many::Receiver<u64>),
    ReceivesMessages(wigwag::pattern::channel::many_to_many::Receiver<[u8]>),
}

/// A message of which the length depends on the value, too.
fn message(value: u64) -> Vec<u8> {
    let mut message = vec![value as u8; 8 + value as usize * 37 % 400];
    message[..8].copy_from_slice(&value.to_ne_bytes());
    message
}

impl End {
    fn step(&mut self, value: u64) -> Option<u64> {
        let received = match self {
            End::SendsValues(end) => {
                end.send(value).expect("send");
                return Some(value);
            }
            End::SendsMessages(end) => {
                let mut loan = end.loan(message(value).len()).expect("a loan");
                loan.copy_from_slice(&message(value));
                loan.send();
                return Some(value);
            }
            End::ReceivesValues(end) => end.recv().map(|value| *value),
            End::ReceivesMessages(end) => end.recv().map(|bytes| {
                let value = u64::from_ne_bytes(bytes[..8].try_into().expect("eight bytes"));
                assert!(*bytes == message(value), "torn");
                value
            }),
        };
        match received {
            Ok(value) => Some(value),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Disconnected, "{error}");
                None
            }
        }
    }
}

fn plays(part: &str) {
    let (kind, number) = part.split_once(' ').expect("a kind and a number");
    let number: u64 = number.parse().expect("a number");
    let name = process::argument("OBJECT");
    let options = Options::new().waiting(match number % 2 {
        0 => Waiting::Block,
        _ => Waiting::Adaptive,
    });
    let mut end = if name.ends_with("values") {
        let channel: Channel<u64> = options.open(&name).expect("open");
        match kind {
            "send" => End::SendsValues(channel.sender().expect("a seat")),
            _ => End::ReceivesValues(channel.receiver().expect("a seat")),
        }
    } else {
        let channel: Channel<[u8]> = options.open(&name).expect("open");
        match kind {
            "send" => End::SendsMessages(channel.sender().expect("a seat")),
            _ => End::ReceivesMessages(channel.receiver().expect("a seat")),
        }
    };
    process::say("ready");
    process::hear();
    let mut steps = Vec::new();
    let most = if kind == "send" { VALUES } else { u64::MAX };
    for n in 0..most {
        let begin = now();
        let Some(value) = end.step(number * VALUES + n) else {
            break;
        };
        steps.push((value, begin, now()));
    }
    let line = steps.iter().fold(String::new(), |mut line, step| {
        let _ = write!(line, "{} {} {} ", step.0, step.1, step.2);
        line
    });
    process::say(&line);
}

fn heard(line: &str) -> Vec<Step> {
    let numbers: Vec<u64> = line
        .split_whitespace()
        .map(|word| word.parse().expect("a number"))
        .collect();
    let steps = numbers.chunks_exact(3);
    steps
        .map(|step| Step {
            value: step[0],
            begin: step[1],
            end: step[2],
        })
        .collect()
}

/// Whether these are the sends and the receives of one queue; what is wrong otherwise.
fn check(sent: &[Step], received: &[Step]) -> Result<(), String> {
    let mut by_value = BTreeMap::new();
    for step in received {
        if by_value.insert(step.value, *step).is_some() {
            return Err(format!("{} twice", step.value));
        }
    }
    let mut both = Vec::new();
    for sent in sent {
        let Some(received) = by_value.remove(&sent.value) else {
            return Err(format!("{} is lost", sent.value));
        };
        if received.end < sent.begin {
            return Err(format!("{} before it was sent", sent.value));
        }
        both.push((*sent, received));
    }
    if let Some(value) = by_value.keys().next() {
        return Err(format!("{value} was never sent"));
    }
    for (sent, received) in &both {
        let overtakes = both.iter().find(|(other, others)| {
            // It was sent when that had not been begun, and yet that was received when this had not been begun.
            sent.end < other.begin && others.end < received.begin
        });
        if let Some((other, _)) = overtakes {
            return Err(format!("{} overtakes {}", other.value, sent.value));
        }
    }
    Ok(())
}

#[test]
fn what_several_processes_did_is_what_one_queue_does() {
    const TEST: &str = "what_several_processes_did_is_what_one_queue_does";
    if let Some(part) = process::part() {
        return plays(&part);
    }
    let stem = format!("/{}", process::unique("history"));
    let options = Options::new().temporary(true);
    for capacity in [1, 4, 64] {
        let names = ["values", "messages"].map(|what| format!("{stem}-{capacity}-{what}"));
        let options = options.clone().capacity(capacity);
        let _values: Channel<u64> = options.create(&names[0]).expect("create");
        let _messages: Channel<[u8]> = options.create(&names[1]).expect("create");
        for name in &names {
            let start = |part: &str| process::play(TEST, part, &[("OBJECT", name)]).start();
            let mut senders: Vec<_> = (0..3).map(|n| start(&format!("send {n}"))).collect();
            let mut receivers: Vec<_> = (0..3).map(|n| start(&format!("receive {n}"))).collect();
            for child in senders.iter_mut().chain(&mut receivers) {
                child.says("ready");
            }
            for child in senders.iter_mut().chain(&mut receivers) {
                child.tell("go");
            }
            let record = |children: Vec<process::Child>| {
                let mut steps = Vec::new();
                for mut child in children {
                    steps.extend(heard(&child.line()));
                    child.succeeds();
                }
                steps
            };
            // The receivers end when the last sender has left.
            let sent = record(senders);
            let received = record(receivers);
            assert_eq!(sent.len() as u64, 3 * VALUES);
            if let Err(fault) = check(&sent, &received) {
                panic!("{name}: {fault}");
            }
        }
    }
}

#[test]
fn a_history_that_no_queue_has_is_found() {
    let step = |value, begin, end| Step { value, begin, end };
    let sent = [step(1, 0, 1), step(2, 2, 3)];
    let good = [step(1, 4, 6), step(2, 5, 7)];
    assert_eq!(check(&sent, &good), Ok(()));
    // Both at once: either may have been first.
    assert_eq!(check(&sent, &[step(1, 4, 7), step(2, 5, 6)]), Ok(()));
    for bad in [
        vec![step(1, 6, 7), step(2, 4, 5)],
        vec![step(1, 4, 5)],
        vec![step(1, 4, 5), step(2, 4, 5), step(1, 6, 7)],
        vec![step(1, 4, 5), step(2, 4, 5), step(3, 6, 7)],
        vec![step(1, 4, 5), step(2, 0, 1)],
    ] {
        assert!(check(&sent, &bad).is_err(), "{bad:?}");
    }
}
