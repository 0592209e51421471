//! Queue: calls over POSIX message queues, one for the requests of all clients and one for the answers to each.
//!
//! A queue outlives its processes and tells nobody that they are gone. So each has *seats*: bytes that the process
//! which must live locks in the open file of the queue (`fcntl(2)`, "Open file description locks"). The kernel gives a seat
//! free when its process dies, at whatever instruction, and nobody else can; whoever waits looks at the seat from time
//! to time. No process id is trusted, and no namespace in the way. So that a death is noticed at once all the same, the
//! process locks a second byte as its own, which tells others its id, and they wait for that to end too
//! (`pidfd_open(2)`); where this fails, because a descriptor was closed or it is in another namespace, the seat still tells.
//!
//! | queue | seat | taken by | free means |
//! |---|---|---|---|
//! | `/name.rpc` | 0 | the server | nobody serves it: the next server replaces it |
//! | `/name.rpc.X` | 0 | the client | the client is gone |
//! | `/name.rpc.X` | 1 | the server | the server is gone, or has ended this connection |
//!
//! A client says hello before it makes its answer queue, so that the server can remove that if the client is killed there,
//! and again when it is made. The name goes when both have the queue open, so nobody who is killed later leaves it.
//! `X` is random, and so is the number that marks the frames of a client and the answers to it: who may send to the
//! request queue can speak for himself only.

mod link;
mod reactor;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use self::link::QueueLink;
use self::reactor::Queues;
use super::carrier::Carrier;
use super::desk::Desk;
use super::frame::HEAD;
use super::link::Link;
use super::{Server, UNIX};
use crate::error::{Kind, Result};
use crate::facility::{Facility, Naming};
use crate::message::posix::{self, Options, Queue};
use crate::name::{NAME_MAX, Name};
use crate::sys::fcntl::{self, Owner, Span, Type};
use crate::wait::Wait;

/// The facts of calls over POSIX message queues.
pub const FACILITY: Facility = Facility {
    id: "rpc+mq",
    title: "request/response over POSIX message queues",
    naming: Naming::Slash,
    unnamed_form: false,
    named_by: "/name",
    limits: posix::FACILITY.limits,
    man: "mq_overview(7)",
    ..UNIX
};

pub(super) const CARRIER: Carrier = Carrier {
    facility: &FACILITY,
    options: &["mode", "depth", "max_len"],
    connect,
    listen,
};

fn connect(name: &Name, _: &super::Options, wait: Wait) -> Result<Box<dyn Link>> {
    Ok(Box::new(QueueLink::connect(name, wait)?))
}

fn listen(name: &Name, options: &super::Options) -> Result<Server> {
    let mut make = Options::new().mode(options.mode.unwrap_or(0o600));
    if let Some(requests) = options.depth {
        make = make.depth(requests);
    }
    if let Some(bytes) = options.max_len {
        make = make.max_len(bytes);
    }
    // A message is never longer than the queue's.
    let desk = Desk::new(options.waiting, u32::MAX as usize)
        .map_err(|errno| FACILITY.failed("listen at", name, errno))?;
    let queues = Queues::new(name, &make, options.clients, &desk)?;
    Ok(Server::new(queues, desk, &FACILITY, &name.to_string()))
}

/// Of whom a queue is.
pub(super) const OWNER: Seat = Seat(0);
/// Of the server in the answer queue of a client.
pub(super) const SERVER: Seat = Seat(1);

/// A byte of a queue's file that the process locks which must live.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat(i64);

impl Seat {
    fn span(self) -> Span {
        Span {
            start: self.0,
            len: 1,
        }
    }

    /// Where the process that has it says who it is.
    fn sign(self) -> Span {
        Span {
            start: self.0 + 16,
            len: 1,
        }
    }

    /// Which process has it, to wait for its end; `None` when that cannot be known, or is ourselves.
    pub(super) fn process(self, queue: BorrowedFd<'_>) -> Option<OwnedFd> {
        let pid = || {
            let found = fcntl::get(queue, Owner::Process, Type::Exclusive, self.sign());
            Pid::from_raw(found.ok()??.pid).filter(|pid| pid.as_raw_nonzero().get() > 0)
        };
        let before = pid()?;
        let process = pidfd_open(before, PidfdFlags::empty()).ok()?;
        // Still its own: so it was its own when it was opened.
        (pid() == Some(before)).then_some(process)
    }

    /// Takes it for as long as this open queue lives; `false` when another has it.
    pub(super) fn take(self, queue: BorrowedFd<'_>) -> Result<bool, Errno> {
        match fcntl::set(queue, Owner::OpenFile, Type::Exclusive, self.span(), false) {
            Ok(()) => {
                let _ = fcntl::set(queue, Owner::Process, Type::Exclusive, self.sign(), false);
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Gives it back before the queue is closed: an answer that is sent just now may still have it open.
    pub(super) fn leave(self, queue: BorrowedFd<'_>) {
        // What is open can be unlocked.
        let _ = fcntl::set(queue, Owner::OpenFile, Type::None, self.span(), false);
    }

    /// Whether another open file has it, and so its process lives.
    pub(super) fn is_taken(self, queue: BorrowedFd<'_>) -> Result<bool, Errno> {
        let obstacle = fcntl::get(queue, Owner::OpenFile, Type::Exclusive, self.span())?;
        Ok(obstacle.is_some())
    }
}

/// What the queue of a server is called.
pub(super) fn request_queue(name: &Name) -> String {
    format!("{name}.rpc")
}

/// What the answer queue of a client is called.
fn answer_queue(name: &Name, number: u64) -> String {
    format!("{name}.rpc.{number:016x}")
}

/// Makes the queue of a server, replacing that of one that is gone.
///
/// Only who has the seat of the queue that the name means may remove the name, so of several that start at once
/// exactly one succeeds, and one that lives is never disturbed.
fn make(name: &Name, options: &Options) -> Result<Queue> {
    let path = request_queue(name);
    let longest = answer_queue(name, 0).len() - 1;
    if longest > NAME_MAX {
        let why = format!(
            "the names of its answer queues would have {longest} bytes, the longest has {NAME_MAX}"
        );
        return Err(FACILITY.error(Kind::BadName, "listen at", name, why));
    }
    let failed = |errno| FACILITY.failed("listen at", name, errno);
    let taken = || {
        let why = "a server that lives has the name";
        Err(FACILITY.error(Kind::AlreadyExists, "listen at", name, why))
    };
    // Kept until ours is ready: nobody who waits for it must take it meanwhile.
    let mut old = None;
    loop {
        let made = options.create(&path);
        let ours = made.is_ok();
        let found = match made {
            Err(error) if error.kind() == Kind::AlreadyExists => Queue::open(&path),
            outcome => outcome,
        };
        let found = match found {
            Ok(found) => found,
            Err(error) if error.kind() == Kind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if !OWNER.take(found.as_fd()).map_err(failed)? {
            return taken();
        }
        // Another may have replaced it, also one that we have made, before we took its seat.
        let same = match Queue::open(&path) {
            Ok(named) => same_file(&named, &found).map_err(failed)?,
            Err(error) if error.kind() == Kind::NotFound => false,
            Err(error) => return Err(error),
        };
        match (same, ours) {
            (false, _) => {}
            (true, false) => {
                Queue::unlink(&path)?;
                old = Some(found);
            }
            (true, true) if found.max_len() <= HEAD => {
                Queue::unlink(&path)?;
                let len = found.max_len();
                let why = format!("max_len is {len}, and a head alone has {HEAD} bytes");
                return Err(FACILITY.error(Kind::BadInput, "listen at", name, why));
            }
            (true, true) => {
                drop(old);
                return Ok(found);
            }
        }
    }
}

fn same_file(one: &Queue, other: &Queue) -> Result<bool, Errno> {
    let (one, other) = (rustix::fs::fstat(one)?, rustix::fs::fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// The queue of a server that must be gone, removed.
pub(crate) fn unlink(name: &Name) -> Result<()> {
    let path = request_queue(name);
    let found = Queue::open(&path)?;
    let errno = |errno| FACILITY.failed("remove", name, errno);
    if OWNER.is_taken(found.as_fd()).map_err(errno)? {
        let why = "a server that lives has it";
        return Err(FACILITY.error(Kind::AlreadyExists, "remove", name, why));
    }
    Queue::unlink(&path)
}
