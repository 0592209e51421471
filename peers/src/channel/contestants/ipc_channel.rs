//! ipc-channel: serialised values over Unix sockets; what it does not fit into one packet it splits.

use std::io;
use std::time::{Duration, Instant};

use ipc_channel::TryRecvError;
use ipc_channel::ipc::{
    self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcReceiver, IpcSender,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::channel::sport::{Messages, Sport, Work, expect, fill, read};
use crate::channel::sport::{message_receiver, round_trip, sender};
use crate::channel::team::{Contestant, How, Place, nothing};

pub const CHANNEL: Contestant = Contestant {
    name: "ipc-channel",
    how: How::Processes {
        bring: nothing,
        join,
    },
};

pub const NAMED: Contestant = Contestant {
    name: "ipc-channel",
    how: How::Once(set_up),
};

fn join(place: &mut Place) -> io::Result<Work> {
    let Place { sport, part, .. } = *place;
    match sport {
        Sport::RoundTrip { bytes: 8, .. } => meet(
            place,
            ipc::channel,
            move |to: IpcSender<u64>, from: IpcReceiver<u64>| {
                round_trip(
                    part,
                    move |number| to.send(number).map_err(io::Error::other),
                    move || {
                        while sport.busy() {
                            match from.try_recv() {
                                Err(TryRecvError::Empty) => {}
                                result => return result.map_err(io::Error::other),
                            }
                        }
                        from.recv().map_err(io::Error::other)
                    },
                )
            },
        ),
        Sport::RoundTrip { bytes, .. } => {
            let mut out = vec![0_u64; bytes / 8];
            let work = move |to: IpcBytesSender, from: IpcBytesReceiver| {
                round_trip(
                    part,
                    move |number| {
                        // SAFETY: the words of a vector, as bytes.
                        unsafe {
                            fill(out.as_mut_ptr().cast(), bytes, number);
                            to.send(std::slice::from_raw_parts(out.as_ptr().cast(), bytes))
                        }
                    },
                    move || {
                        let got = from.recv().map_err(io::Error::other)?;
                        // SAFETY: the words of a vector of bytes so long; the allocator puts it on a multiple of 16.
                        unsafe { read(got.as_ptr(), got.len()) }
                    },
                )
            };
            meet(place, ipc::bytes_channel, work)
        }
        _ => {
            let messages = Messages::new();
            let work = move |to: IpcBytesSender, from: IpcBytesReceiver| {
                if part == 0 {
                    sender(move |number| to.send(messages.get(number)))
                } else {
                    message_receiver(move |taken| {
                        taken.take(&from.recv().map_err(io::Error::other)?)
                    })
                }
            };
            meet(place, ipc::bytes_channel, work)
        }
    }
}

/// Gives each part a sender to the other and a receiver from it: the first has a server, to which the second sends its ends.
fn meet<S, R>(
    place: &mut Place,
    channel: fn() -> io::Result<(S, R)>,
    work: impl FnOnce(S, R) -> Work + 'static,
) -> io::Result<Work>
where
    S: Serialize + DeserializeOwned + 'static,
    R: Serialize + DeserializeOwned + 'static,
{
    if place.part == 0 {
        let (server, name) = IpcOneShotServer::<(S, R)>::new()?;
        place.say = name;
        // The other comes when this part is ready: they meet in the first burst.
        let mut joins = Some(move || {
            let (_, (to, from)) = server.accept().map_err(io::Error::other)?;
            Ok::<_, io::Error>(work(to, from))
        });
        let mut joined: Option<Work> = None;
        return Ok(Box::new(move |count| {
            if let Some(join) = joins.take() {
                joined = Some(join()?);
            }
            joined.as_mut().map_or(Ok(()), |work| work(count))
        }));
    }
    let (there, back) = (channel()?, channel()?);
    let server = IpcSender::connect(place.heard.clone())?;
    server.send((back.0, there.1)).map_err(io::Error::other)?;
    Ok(work(there.0, back.1))
}

/// A server with a name, eight bytes sent to it and received.
fn set_up(_: &str) -> io::Result<Duration> {
    let start = Instant::now();
    let (server, name) = IpcOneShotServer::<u64>::new()?;
    let to = IpcSender::connect(name)?;
    to.send(5_u64).map_err(io::Error::other)?;
    let (_, number) = server.accept().map_err(io::Error::other)?;
    let took = start.elapsed();
    expect(number, 5)?;
    Ok(took)
}
