//! Channel: calls through shared memory, a pair of one-to-one channels a client, and no system call while both sides are awake.
//!
//! | channel | sender | receiver | lives |
//! |---|---|---|---|
//! | `/name.rpc`, the lobby | the client that is coming in, one at a time | the server | with the server |
//! | `/name.rpc.X.q` | the client | the server | with both; the name goes when the server has opened it |
//! | `/name.rpc.X.a` | the server | the client | the same |
//!
//! A client takes the sender's seat of the lobby, says hello with the random number `X` of the two channels that it is
//! going to make, says so again when it has made them, and leaves the lobby when it is welcomed. If it is killed in the
//! middle, the server knows what to remove. Whoever sleeps does so on the life words of those it waits for
//! ([`crate::sys::keeper`]): they are rung by what these do, and by the kernel when one is killed, so the death of either
//! side is noticed at once.

mod link;
mod reactor;

use std::sync::Arc;
use std::time::Duration;

use self::link::ChannelLink;
use self::reactor::Channels;
use super::carrier::Carrier;
use super::desk::Desk;
use super::frame::HEAD;
use super::link::Link;
use super::{Server, UNIX};
use crate::error::{Kind, Result};
use crate::facility::{Facility, Naming};
use crate::memory::posix::SharedMemory;
use crate::memory::segment::Trust;
use crate::name::Name;
use crate::pattern::channel::one_to_one::{self, RECEIVER, SENDER};
use crate::pattern::channel::{self, Options, bell, region::Region};
use crate::sys::atomic::AtomicU32;
use crate::sys::keeper::{Mark, State};
use crate::wait::Wait;

/// The facts of calls through channels.
pub const FACILITY: Facility = Facility {
    id: "rpc+channel",
    title: "request/response through channels",
    naming: Naming::Slash,
    unnamed_form: false,
    pollable: false,
    named_by: "/name",
    carries: "calls, in shared memory",
    limits: channel::FACILITY.limits,
    man: "shm_overview(7)",
    ..UNIX
};

pub(super) const CARRIER: Carrier = Carrier {
    facility: &FACILITY,
    options: &["capacity"],
    connect,
    listen,
};

fn connect(name: &Name, _: &super::Options, wait: Wait) -> Result<Box<dyn Link>> {
    Ok(Box::new(ChannelLink::connect(name, wait)?))
}

fn listen(name: &Name, options: &super::Options) -> Result<Server> {
    let desk = Desk::new(options.waiting, u32::MAX as usize)
        .map_err(|errno| FACILITY.failed("listen at", name, errno))?;
    let channels = Channels::new(name, options.capacity, options.clients)?;
    Ok(Server::new(channels, desk, &FACILITY, &name.to_string()))
}

type Bytes = one_to_one::Channel<[u8]>;
type Sender = one_to_one::Sender<[u8]>;
type Receiver = one_to_one::Receiver<[u8]>;

/// What the lobby of a server is called.
fn lobby(name: &Name) -> String {
    format!("{name}.rpc")
}

/// What the channels of a client are called: that of the requests, and that of the answers.
fn pair(name: &Name, number: u64) -> [String; 2] {
    ["q", "a"].map(|which| format!("{name}.rpc.{number:016x}.{which}"))
}

/// No side believes what the other can still change.
fn options() -> Options {
    Options::new().trust(Trust::Nobody)
}

/// How long a request or an answer may be.
fn longest(capacity: u64) -> usize {
    // A record has its length before it.
    (capacity as usize).saturating_sub(HEAD + 4)
}

/// Removes what a server that was killed has left.
pub(crate) fn unlink(name: &Name) -> Result<()> {
    let path = lobby(name);
    let found: Bytes = options().open(&path)?;
    if found.receivers() > 0 {
        let why = "a server that lives has it";
        return Err(FACILITY.error(Kind::AlreadyExists, "remove", name, why));
    }
    SharedMemory::unlink(&path)
}

/// The other side of a channel, to be slept on.
struct Peer {
    region: Arc<Region>,
    seat: usize,
}

/// A peer that will wake who sleeps on it.
struct Marked {
    peer: Peer,
    mark: Mark,
    /// Whether it surely notices the mark.
    sure: bool,
}

impl Peer {
    fn sender(receiver: &Receiver) -> Self {
        Peer {
            region: receiver.region().clone(),
            seat: SENDER,
        }
    }

    fn receiver(sender: &Sender) -> Self {
        Peer {
            region: sender.region().clone(),
            seat: RECEIVER,
        }
    }

    /// Whether it is gone, also where its memory was scribbled over, so that the kernel could not say so.
    fn is_gone(&self) -> bool {
        self.region.ends()[self.seat].life.state_in_doubt() != State::Alive
    }

    /// Marks it; `None` when it does not live. Look once more before sleeping.
    fn mark(self) -> Option<Marked> {
        let life = &self.region.ends()[self.seat].life;
        let (state, mark, sure) = bell::mark(life);
        if state != State::Alive {
            // The kernel has woken one of those who sleep there.
            life.pass_on();
            return None;
        }
        Some(Marked {
            peer: self,
            mark,
            sure,
        })
    }
}

impl Marked {
    fn is_gone(&self) -> bool {
        self.peer.is_gone()
    }

    fn word(&self) -> (&AtomicU32, u32) {
        self.peer.region.ends()[self.peer.seat]
            .life
            .watched(self.mark)
    }
}

/// How long one sleeps at all: damage to the memory rings nobody.
const LONGEST: Duration = Duration::from_secs(1);

/// How often looking is worth while before sleeping: more when it paid, less when it did not.
#[derive(Debug)]
struct Patience(u32);

impl Patience {
    const MOST: u32 = 500;
    const LEAST: u32 = 16;

    /// Looks for a while.
    fn look<T>(&mut self, mut found: impl FnMut() -> Option<T>) -> Option<T> {
        if processors() == 1 {
            return found();
        }
        for _ in 0..self.0 {
            crate::sys::atomic::relax();
            if let Some(found) = found() {
                self.0 = (self.0 + self.0 / 8 + 1).min(Self::MOST);
                return Some(found);
            }
        }
        self.0 = (self.0 - self.0 / 4).max(Self::LEAST);
        None
    }
}

/// How many processors this process may use: on a single one nothing comes while we look.
fn processors() -> usize {
    static PROCESSORS: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}
