//! Ours: the one-to-one channel, a pair of them for what goes both ways.

use std::io;
use std::time::{Duration, Instant};

use wigwag::pattern::channel::one_to_one::{Channel, Receiver, Sender};
use wigwag::pattern::channel::{Element, Options, Waiting, many_to_many};

use crate::channel::sport::{BATCH, DEPTH, MESSAGE, Messages, Sport, Work};
use crate::channel::sport::{
    expect, fill, message_receiver, read, receiver, round_trip, sender, taker,
};
use crate::channel::team::{Contestant, How, Place, nothing};

/// Its receiver spins.
pub const SPIN: Contestant = ours("wigwag", |place| join(place, Waiting::Spin));

/// As it is when nothing is asked for.
pub const ADAPTIVE: Contestant = ours("wigwag", |place| join(place, Waiting::Adaptive));

/// Its receiver sleeps at once.
pub const BLOCK: Contestant = ours("wigwag", |place| join(place, Waiting::Block));

/// Spins, with messages of 64 KiB whatever the others have.
pub const SMALL: Contestant = ours("wigwag, 64 KiB", |place| {
    two_ways::<8192>(place, Waiting::Spin)
});

/// The one for many at both sides.
pub const MANY: Contestant = ours("wigwag", many);

/// With a name, in a process that had no channel before.
pub const NAMED: Contestant = Contestant {
    name: "wigwag",
    how: How::Once(set_up),
};

const fn ours(name: &'static str, join: fn(&mut Place) -> io::Result<Work>) -> Contestant {
    Contestant {
        name,
        how: How::Processes {
            bring: nothing,
            join,
        },
    }
}

fn join(place: &mut Place, waiting: Waiting) -> io::Result<Work> {
    match place.sport {
        Sport::RoundTrip { bytes: 8, .. } => two_ways::<1>(place, waiting),
        Sport::RoundTrip { bytes: 64, .. } => two_ways::<8>(place, waiting),
        Sport::RoundTrip { bytes: 65_536, .. } => two_ways::<8192>(place, waiting),
        Sport::RoundTrip {
            bytes: 1_048_576, ..
        } => two_ways::<131_072>(place, waiting),
        Sport::OneWay { bytes: 8, batch } => numbers(place, batch),
        Sport::OneWay { .. } => messages(place),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn channel<T: Element + ?Sized>(
    name: &str,
    capacity: usize,
    waiting: Waiting,
) -> io::Result<Channel<T>> {
    let options = Options::new().capacity(capacity as u64).waiting(waiting);
    Ok(options.temporary(true).open_or_create(format!("/{name}"))?)
}

/// Round trips of so many words, filled in place and read in place.
fn two_ways<const WORDS: usize>(place: &Place, waiting: Waiting) -> io::Result<Work> {
    let names = ["there", "back"].map(|way| format!("{}-{way}", place.name));
    let [to, from] = [&names[place.part], &names[1 - place.part]];
    // Of what fills pages two are enough to take turns, as with the others.
    let depth = if WORDS > 512 { 2 } else { DEPTH };
    let mut to: Sender<[u64; WORDS]> = channel(to, depth, waiting)?.sender()?;
    let mut from: Receiver<[u64; WORDS]> = channel(from, depth, waiting)?.receiver()?;
    let touched = place.sport.touched().min(8 * WORDS);
    let send = move |number| {
        let mut loan = to.loan()?;
        // SAFETY: a value is this long, or longer.
        unsafe { fill(loan.as_mut_ptr().cast(), touched, number) };
        loan.send();
        Ok(())
    };
    let recv = move || {
        let value = from.recv()?;
        // SAFETY: as above.
        unsafe { read(value.as_ptr().cast(), touched) }
    };
    Ok(round_trip(place.part, send, recv))
}

fn numbers(place: &Place, batch: bool) -> io::Result<Work> {
    let channel: Channel<u64> = channel(&place.name, DEPTH, Waiting::Adaptive)?;
    Ok(match (batch, place.part) {
        (false, 0) => {
            let mut to = channel.sender()?;
            sender(move |number| Ok(to.send(number)?))
        }
        (false, _) => {
            let mut from = channel.receiver()?;
            receiver(move || Ok(*from.recv()?))
        }
        (true, 0) => {
            let mut to = channel.sender()?;
            Box::new(move |count| {
                let mut number = 0;
                while number < count {
                    let mut loan = to.loan_many(BATCH.min((count - number) as usize))?;
                    for place in loan.iter_mut() {
                        *place = number;
                        number += 1;
                    }
                    let filled = loan.len();
                    loan.send(filled);
                }
                Ok(())
            })
        }
        (true, _) => {
            let mut from = channel.receiver()?;
            Box::new(move |count| {
                let mut number = 0;
                while number < count {
                    for found in from.recv_many()?.iter() {
                        expect(*found, number)?;
                        number += 1;
                    }
                }
                Ok(())
            })
        }
    })
}

fn many(place: &mut Place) -> io::Result<Work> {
    let options = Options::new().capacity(DEPTH as u64).temporary(true);
    let channel: many_to_many::Channel<u64> = options.open_or_create(format!("/{}", place.name))?;
    Ok(if place.sport.sends(place.part) {
        let mut to = channel.sender()?;
        sender(move |number| Ok(to.send(number)?))
    } else {
        let mut from = channel.receiver()?;
        taker(move || Ok(*from.recv()?))
    })
}

/// Byte messages: of any length, though here all have one.
fn messages(place: &Place) -> io::Result<Work> {
    let bytes = DEPTH * (MESSAGE + 12);
    let channel: Channel<[u8]> = channel(&place.name, bytes, Waiting::Adaptive)?;
    Ok(if place.sport.sends(place.part) {
        let mut to = channel.sender()?;
        let messages = Messages::new();
        sender(move |number| Ok(to.send(messages.get(number))?))
    } else {
        let mut from = channel.receiver()?;
        message_receiver(move |taken| taken.take(&from.recv()?))
    })
}

/// Created, opened by its name, both ends taken, eight bytes sent and received.
fn set_up(name: &str) -> io::Result<Duration> {
    let name = format!("/{name}");
    let start = Instant::now();
    let created: Channel<u64> = Options::new().temporary(true).create(&name)?;
    let opened: Channel<u64> = Options::new().open(&name)?;
    let (mut to, mut from) = (created.sender()?, opened.receiver()?);
    to.send(5)?;
    let number = *from.recv()?;
    let took = start.elapsed();
    expect(number, 5)?;
    Ok(took)
}
