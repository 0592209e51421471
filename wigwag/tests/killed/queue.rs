//! Queue: what the scenes of the channels that hand each value to one receiver have in common, whatever they are made of.

use std::any::Any;
use std::time::Duration;

use wigwag::pattern::channel::{Options, Waiting, many_to_many, one_to_one};
use wigwag::{Error, Kind};

use super::scene::{Stage, Verdict};
use super::step::{begin, end};
use crate::process;

/// What is there at once comes long before; what never comes is worth no more patience.
pub const LIMIT: Duration = Duration::from_secs(5);

/// What is written in several steps, so that it may be torn.
pub type Value = [u64; 16];

/// A message of `[u8]` says a number by its length too: those of ten and more are short, and of the others one takes more than half of the ring.
pub fn message(n: u64) -> Vec<u8> {
    let len = if n < 10 { LONG } else { 3 * n as usize };
    vec![n as u8; len]
}

/// Of the ring of messages: 64 cells.
pub const CAPACITY: usize = 4096;
pub const LONG: usize = 2200;

/// A channel of numbers, which lie in values or in messages.
pub trait Queue: Sized + 'static {
    type Sender;
    type Receiver;
    /// The system call in which one sleeps who waits for it.
    const SLEEPS: libc::c_long;
    /// What is sent and received in turn after a death: more than the ring has at once.
    const ROUND: &[u64];
    /// What is sent then, before any of it is received: as much as the ring has.
    const LAST: &[u64];

    fn options() -> Options;
    fn make(options: &Options, name: &str) -> Result<Self, Error>;
    fn open(name: &str) -> Self;
    fn unnamed() -> Self;
    fn sender(&self) -> Result<Self::Sender, Error>;
    fn receiver(&self) -> Result<Self::Receiver, Error>;
    fn send(sender: &mut Self::Sender, n: u64) -> Result<(), Error>;
    fn send_timeout(sender: &mut Self::Sender, n: u64, limit: Duration) -> Result<(), Error>;
    /// Fills a loan; sends it if it is to.
    fn lend(sender: &mut Self::Sender, n: u64, sent: bool);
    fn recv(receiver: &mut Self::Receiver);
    /// None when it is torn.
    fn recv_timeout(receiver: &mut Self::Receiver, limit: Duration) -> Result<Option<u64>, Error>;
}

macro_rules! queue {
    ($flavour:ident $element:ty: $sleeps:ident, $options:expr, $round:expr, $last:expr, [$($by:tt)?] $write:expr, $loan:expr, $number:expr) => {
        impl Queue for $flavour::Channel<$element> {
            type Sender = $flavour::Sender<$element>;
            type Receiver = $flavour::Receiver<$element>;
            const SLEEPS: libc::c_long = libc::$sleeps;
            const ROUND: &[u64] = &$round;
            const LAST: &[u64] = &$last;

            fn options() -> Options {
                $options.waiting(Waiting::Block)
            }

            fn make(options: &Options, name: &str) -> Result<Self, Error> {
                options.create(format!("/{name}"))
            }

            fn open(name: &str) -> Self {
                Self::options().open(format!("/{name}")).expect("open")
            }

            fn unnamed() -> Self {
                Self::options().anonymous().expect("another")
            }

            fn sender(&self) -> Result<Self::Sender, Error> {
                self.sender()
            }

            fn receiver(&self) -> Result<Self::Receiver, Error> {
                self.receiver()
            }

            fn send(sender: &mut Self::Sender, n: u64) -> Result<(), Error> {
                sender.send($($by)? $write(n))
            }

            fn send_timeout(
                sender: &mut Self::Sender,
                n: u64,
                limit: Duration,
            ) -> Result<(), Error> {
                sender.send_timeout($($by)? $write(n), limit)
            }

            fn lend(sender: &mut Self::Sender, n: u64, sent: bool) {
                let fill: fn(&mut Self::Sender, u64, bool) = $loan;
                fill(sender, n, sent);
            }

            fn recv(receiver: &mut Self::Receiver) {
                drop(receiver.recv());
            }

            fn recv_timeout(
                receiver: &mut Self::Receiver,
                limit: Duration,
            ) -> Result<Option<u64>, Error> {
                let number: fn(&$element) -> Option<u64> = $number;
                Ok(number(&*receiver.recv_timeout(limit)?))
            }
        }
    };
}

/// One of values, of which two have room.
macro_rules! values {
    ($flavour:ident: $sleeps:ident, $options:expr) => {
        queue!(
            $flavour Value: $sleeps,
            $options,
            [10, 11, 12, 13],
            [20, 21],
            [] |n| [n; 16],
            |sender, n, sent| {
                if let Ok(mut loan) = sender.loan() {
                    loan.fill(n);
                    if sent {
                        loan.send();
                    }
                }
            },
            |value| value.iter().all(|n| *n == value[0]).then_some(value[0])
        );
    };
}
values!(one_to_one: SYS_futex, Options::new().capacity(2));
values!(many_to_many: SYS_futex_waitv, Options::new().capacity(2).seats(8));
queue!(
    many_to_many [u8]: SYS_futex_waitv,
    Options::new().capacity(CAPACITY as u64).seats(8),
    [1, 2, 3, 4, 5, 6, 7],
    [20, 9, 21],
    [&] message,
    |sender, n, sent| {
        if let Ok(mut loan) = sender.loan(LONG + 1000) {
            loan.fill(n as u8);
            loan.truncate(LONG);
            if sent {
                loan.send();
            }
        }
    },
    |bytes| {
        let n = u64::from(*bytes.first()?);
        (*bytes == *message(n)).then_some(n)
    }
);

/// One with these numbers in it.
pub fn with<Q: Queue>(options: &Options, name: &str, numbers: &[u64]) -> Box<dyn Any> {
    let channel = Q::make(&options.clone().temporary(true), name).expect("create");
    for n in numbers {
        let mut sender = channel.sender().expect("a sender");
        Q::send(&mut sender, *n).expect("send");
    }
    Box::new(channel)
}

/// The parts that are in each of them; whether it is one of these.
pub fn acts<Q: Queue>(part: &str, object: &str) -> bool {
    let sender = || Q::open(object).sender().expect("a sender");
    let receiver = || Q::open(object).receiver().expect("a receiver");
    match part {
        "sender" => {
            let mut sender = sender();
            begin();
            let _ = Q::send(&mut sender, 9);
            end();
        }
        "lender" => {
            let mut sender = sender();
            begin();
            Q::lend(&mut sender, 9, true);
            end();
        }
        "waverer" => {
            let mut sender = sender();
            begin();
            Q::lend(&mut sender, 9, false);
            end();
        }
        "receiver" => {
            let mut receiver = receiver();
            begin();
            Q::recv(&mut receiver);
            end();
        }
        "newcomer" => {
            // What a process does once is not what is to be killed here.
            let warm = Q::unnamed();
            let _seat = warm.sender().expect("a seat");
            let channel = Q::open(object);
            begin();
            let sender = channel.sender();
            end();
            drop(sender);
        }
        "waits for a value" => {
            let mut receiver = receiver();
            process::say("waits");
            process::say(&words(Q::recv_timeout(&mut receiver, 2 * LIMIT)));
        }
        "waits for room" => {
            let mut sender = sender();
            process::say("waits");
            let sent = Q::send_timeout(&mut sender, 3, 2 * LIMIT);
            process::say(&words(sent.map(|()| Some(3))));
        }
        _ => return false,
    }
    true
}

fn words(outcome: Result<Option<u64>, Error>) -> String {
    match outcome {
        Ok(number) => number.map_or("torn".to_owned(), |number| number.to_string()),
        Err(error) => format!("{:?}", error.kind()),
    }
}

pub fn channel<Q: Queue>(object: &dyn Any) -> &Q {
    object.downcast_ref().expect("a channel")
}

/// All that comes, as it comes, until nobody is there who could send.
pub fn rest<Q: Queue>(receiver: &mut Q::Receiver) -> Result<Vec<u64>, Verdict> {
    let mut came = Vec::new();
    loop {
        match Q::recv_timeout(receiver, LIMIT) {
            Ok(number) => came.push(number.ok_or(Verdict::Torn)?),
            Err(error) if error.kind() == Kind::Disconnected => return Ok(came),
            Err(_) => return Err(Verdict::Stuck),
        }
        if came.len() > 4 {
            return Err(Verdict::Torn);
        }
    }
}

/// After the death: what comes is one of these, and then all places are free again and what is sent is received.
pub fn ends_well<Q: Queue>(object: &dyn Any, may_come: &[&[u64]]) -> Verdict {
    let Ok(mut receiver) = channel::<Q>(object).receiver() else {
        return Verdict::Leaked;
    };
    match rest::<Q>(&mut receiver) {
        Ok(came) if may_come.contains(&came.as_slice()) => {}
        Ok(_) => return Verdict::Torn,
        Err(verdict) => return verdict,
    }
    let Ok(mut sender) = channel::<Q>(object).sender() else {
        return Verdict::Leaked;
    };
    // A place that nobody gives back would stop it.
    for n in Q::ROUND {
        if Q::send_timeout(&mut sender, *n, LIMIT).is_err() {
            return Verdict::Leaked;
        }
        match Q::recv_timeout(&mut receiver, LIMIT) {
            Ok(found) if found == Some(*n) => {}
            Ok(_) => return Verdict::Torn,
            Err(_) => return Verdict::Stuck,
        }
    }
    for n in Q::LAST {
        if Q::send_timeout(&mut sender, *n, LIMIT).is_err() {
            return Verdict::Leaked;
        }
    }
    drop(sender);
    match rest::<Q>(&mut receiver) {
        Ok(came) if came == Q::LAST => Verdict::Good,
        Ok(_) => Verdict::Torn,
        Err(verdict) => verdict,
    }
}

/// The course in which a part is alone when it is killed, with what may come then.
macro_rules! alone {
    ($ends_well:expr; $($course:ident $part:literal $may_come:expr;)*) => { $(
        fn $course(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
            match stage.kill(stage.victim($part)) {
                true => $ends_well(object, &$may_come),
                false => Verdict::Complete,
            }
        }
    )* };
}
pub(crate) use alone;

pub fn sender_and_waiter<Q: Queue>(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let victim = stage.victim("sender");
    let mut waiter = stage.actor("waits for a value");
    waiter.says("waits");
    waiter.sleeps_in(Q::SLEEPS);
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    match waiter.line().as_str() {
        "9" | "Disconnected" => {}
        "torn" => return Verdict::Torn,
        _ => return Verdict::Stuck,
    }
    waiter.succeeds();
    ends_well::<Q>(object, &[&[]])
}

/// The ring is full: what may come when the waiter has sent, and when it was told that nobody is there.
pub fn receiver_and_waiter<Q: Queue>(
    stage: &Stage<'_>,
    object: &dyn Any,
    sent: &[&[u64]],
    refused: &[&[u64]],
) -> Verdict {
    let victim = stage.victim("receiver");
    let mut waiter = stage.actor("waits for room");
    waiter.says("waits");
    waiter.sleeps_in(Q::SLEEPS);
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    let said = waiter.line();
    waiter.succeeds();
    match said.as_str() {
        "3" => ends_well::<Q>(object, sent),
        // It may have given the value back and been killed before it rang; the room was seen then, or not.
        "Disconnected" => ends_well::<Q>(object, refused),
        _ => Verdict::Stuck,
    }
}

pub fn sender_attaches<Q: Queue>(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let mut waiter = stage.actor("waits for a value");
    waiter.says("waits");
    waiter.sleeps_in(libc::SYS_futex);
    if !stage.kill(stage.victim("newcomer")) {
        return Verdict::Complete;
    }
    // Whether it had come is not known; a next one comes, and its value is received.
    let Ok(mut sender) = channel::<Q>(object).sender() else {
        return Verdict::Leaked;
    };
    let sent = Q::send_timeout(&mut sender, 7, LIMIT);
    let heard = waiter.line();
    waiter.succeeds();
    drop(sender);
    match (sent, heard.as_str()) {
        (Ok(()), "7") => ends_well::<Q>(object, &[&[]]),
        (Ok(()), "Disconnected") => ends_well::<Q>(object, &[&[7]]),
        (_, "torn") => Verdict::Torn,
        _ => Verdict::Stuck,
    }
}

/// As long as somebody could send, another receiver waits for what the victim leaves.
pub fn receiver_and_receiver<Q: Queue>(stage: &Stage<'_>, object: &dyn Any, there: u64) -> Verdict {
    let alive = channel::<Q>(object).sender().expect("a seat");
    if !stage.kill(stage.victim("receiver")) {
        return Verdict::Complete;
    }
    let Ok(mut other) = channel::<Q>(object).receiver() else {
        return Verdict::Leaked;
    };
    match Q::recv_timeout(&mut other, Duration::from_millis(300)) {
        Ok(found) if found == Some(there) => {}
        Ok(_) => return Verdict::Torn,
        // It had given it back.
        Err(error) if error.kind() == Kind::TimedOut => {}
        Err(_) => return Verdict::Stuck,
    }
    drop((alive, other));
    ends_well::<Q>(object, &[&[]])
}
