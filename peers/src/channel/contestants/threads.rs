//! Threads: channels that do not leave their process, between two threads on two cores.

use std::io;
use std::sync::mpsc;

use crate::channel::sport::{BATCH, DEPTH, MESSAGE, Messages, Sport, Touch, Wait, Work};
use crate::channel::sport::{message_receiver, receiver, round_trip, sender, taker};
use crate::channel::team::{Contestant, Entry, How};

pub const CROSSBEAM: Contestant = Contestant {
    name: "crossbeam-channel, threads",
    how: How::Threads(crossbeam),
};

pub const STD: Contestant = Contestant {
    name: "std::sync::mpsc, threads",
    how: How::Threads(std_mpsc),
};

pub const RTRB: Contestant = Contestant {
    name: "rtrb, threads",
    how: How::Threads(rtrb),
};

fn gone<E>(_: E) -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// An entry of this type.
fn entry(work: impl FnOnce() -> Work + Send + 'static) -> Entry {
    Box::new(move || Ok(work()))
}

/// The ends of a round trip, whatever the channels.
fn two_ways<S: Send + 'static, R: Send + 'static>(
    [there, back]: [(S, R); 2],
    send: impl Fn(&S, u64) -> io::Result<()> + Send + Copy + 'static,
    recv: impl Fn(&R) -> io::Result<u64> + Send + Copy + 'static,
) -> Vec<Entry> {
    let ends = [(there.0, back.1), (back.0, there.1)];
    (ends.into_iter().enumerate())
        .map(|(part, (to, from))| {
            entry(move || round_trip(part, move |number| send(&to, number), move || recv(&from)))
        })
        .collect()
}

fn crossbeam(sport: Sport) -> Vec<Entry> {
    use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
    let send = |to: &Sender<u64>, number| to.send(number).map_err(gone);
    let recv = |from: &Receiver<u64>| from.recv().map_err(gone);
    match sport {
        Sport::RoundTrip {
            bytes: 8,
            touch: Touch::All,
            wait,
        } => {
            let ends = [bounded(DEPTH), bounded(DEPTH)];
            if wait == Wait::Busy {
                two_ways(ends, send, |from| {
                    loop {
                        match from.try_recv() {
                            Ok(number) => return Ok(number),
                            Err(TryRecvError::Empty) => std::hint::spin_loop(),
                            Err(gone) => return Err(io::Error::other(gone)),
                        }
                    }
                })
            } else {
                two_ways(ends, send, recv)
            }
        }
        Sport::OneWay { bytes: 8, .. } => {
            let (to, from) = bounded(DEPTH);
            vec![
                entry(move || sender(move |number| send(&to, number))),
                entry(move || receiver(move || recv(&from))),
            ]
        }
        Sport::ManyToMany => {
            let (to, from) = bounded(DEPTH);
            (0..4)
                .map(|part| {
                    let (to, from) = (to.clone(), from.clone());
                    if sport.sends(part) {
                        entry(move || sender(move |number| send(&to, number)))
                    } else {
                        entry(move || taker(move || recv(&from)))
                    }
                })
                .collect()
        }
        _ => {
            let (to, from) = bounded::<[u8; MESSAGE]>(DEPTH);
            let messages = Messages::new();
            vec![
                entry(move || sender(move |number| to.send(*messages.get(number)).map_err(gone))),
                entry(move || {
                    message_receiver(move |taken| taken.take(&from.recv().map_err(gone)?))
                }),
            ]
        }
    }
}

fn std_mpsc(sport: Sport) -> Vec<Entry> {
    use mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
    let send = |to: &SyncSender<u64>, number| to.send(number).map_err(gone);
    let recv = |from: &Receiver<u64>| from.recv().map_err(gone);
    match sport {
        Sport::RoundTrip { wait, .. } => {
            let ends = [sync_channel(DEPTH), sync_channel(DEPTH)];
            if wait == Wait::Busy {
                two_ways(ends, send, |from| {
                    loop {
                        match from.try_recv() {
                            Ok(number) => return Ok(number),
                            Err(TryRecvError::Empty) => std::hint::spin_loop(),
                            Err(gone) => return Err(io::Error::other(gone)),
                        }
                    }
                })
            } else {
                two_ways(ends, send, recv)
            }
        }
        _ => {
            let (to, from) = sync_channel(DEPTH);
            vec![
                entry(move || sender(move |number| send(&to, number))),
                entry(move || receiver(move || recv(&from))),
            ]
        }
    }
}

fn rtrb(sport: Sport) -> Vec<Entry> {
    let (mut to, mut from) = rtrb::RingBuffer::new(DEPTH);
    if sport
        == (Sport::OneWay {
            bytes: 8,
            batch: true,
        })
    {
        return vec![
            entry(move || {
                Box::new(move |count| {
                    let mut number = 0;
                    while number < count {
                        let slots = (BATCH as u64).min(count - number);
                        let Ok(chunk) = to.write_chunk_uninit(slots as usize) else {
                            continue;
                        };
                        number += chunk.fill_from_iter(number..) as u64;
                    }
                    Ok(())
                })
            }),
            entry(move || {
                Box::new(move |count| {
                    let mut number = 0;
                    while number < count {
                        let slots = from.slots().min(BATCH);
                        let Ok(chunk) = from.read_chunk(slots) else {
                            continue;
                        };
                        for found in chunk {
                            crate::channel::sport::expect(found, number)?;
                            number += 1;
                        }
                    }
                    Ok(())
                })
            }),
        ];
    }
    vec![
        entry(move || {
            sender(move |number| {
                while to.push(number).is_err() {}
                Ok(())
            })
        }),
        entry(move || {
            receiver(move || {
                loop {
                    if let Ok(number) = from.pop() {
                        return Ok(number);
                    }
                }
            })
        }),
    ]
}
