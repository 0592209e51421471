//! Signal: a number sent to a process, with a word of data when queued.
//!
//! Of the ordinary signals one pending stands for all of its number; the real-time signals
//! ([`Signal::realtime`]) queue, each with its value. Handlers are not here: they may call almost
//! nothing (`signal-safety(7)`). Instead block the signals and receive them as data:
//!
//! | need | use |
//! |---|---|
//! | receive in an event loop, or as an iterator | [`Receiver`] |
//! | wait for one, with a time-out | [`wait`], [`try_wait`], [`wait_timeout`] |
//! | keep one away for a while | [`Mask`] |
//! | send to a process, a thread, a process that cannot be mistaken | [`send`], [`send_thread`], [`send_process`] |
//! | send with a value | [`queue`], [`queue_thread`], [`queue_process`] |
//!
//! A pid can be that of another process by the time it is used; a pidfd cannot.
//!
//! `signal(7)`, `sigqueue(3)`, `pidfd_send_signal(2)`, `signalfd(2)`, `sigtimedwait(2)`.

use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::error::{Error, Kind, Result};
use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{
    Accepted, Delivery, Durability, FanOut, Guarantees, Order, Overflow, PeerDeath,
};
use crate::limit::{Limit, Source};
use crate::sys::signal;

pub(crate) mod address;
mod number;
mod receiver;
mod set;

pub use number::Signal;
pub use receiver::{Received, Receiver, try_wait, wait, wait_timeout};
pub use set::{Mask, Set};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "signal",
    title: "signal, real-time signal",
    noun: "signal",
    family: Family::Signal,
    naming: Naming::Pid,
    unnamed_form: false,
    persistence: Persistence::Delivery,
    boundary: None,
    direction: Some(Direction::OneWay),
    reach: Reach::Host,
    pollable: true,
    named_by: "pid",
    lives: "delivery",
    carries: "a number, and a word of data",
    limits: &[Limit {
        name: "RLIMIT_SIGPENDING",
        bounds: "signals queued for the processes of a user",
        source: Source::Rlimit(libc::RLIMIT_SIGPENDING),
        errnos: &[libc::EAGAIN],
    }],
    guarantees: Guarantees {
        delivery: Delivery::AtMostOnce,
        accepted: Accepted::Queued,
        order: Order::Priority,
        durability: Durability::Process,
        fan_out: FanOut::One,
        overflow: Overflow::Merges,
        duplicates: false,
        peer_death: PeerDeath::Noticed,
    },
    man: "signal(7)",
};

/// A thread of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thread {
    /// The process.
    pub pid: i32,
    /// The thread, as `gettid(2)` says.
    pub tid: i32,
}

/// The thread that calls this.
#[must_use]
#[doc(alias = "gettid")]
pub fn this_thread() -> Thread {
    Thread {
        pid: std::process::id().cast_signed(),
        tid: rustix::thread::gettid().as_raw_nonzero().get(),
    }
}

/// Sends a signal to a process.
///
/// # Errors
/// [`Kind::NotFound`] when there is no such process; [`Kind::PermissionDenied`];
/// [`Kind::BadInput`] for a pid below 1, which would mean many processes.
#[doc(alias = "kill")]
pub fn send(pid: i32, what: Signal) -> Result<()> {
    one(pid, what)?;
    signal::kill(pid, what.number()).map_err(|errno| not_sent(what, pid, errno))
}

/// Sends a signal with a value to a process.
///
/// # Errors
/// As for [`send`]; [`Kind::Limit`] when `RLIMIT_SIGPENDING` signals are queued for its user.
#[doc(alias = "sigqueue")]
pub fn queue(pid: i32, what: Signal, value: i32) -> Result<()> {
    one(pid, what)?;
    signal::queue(pid, what.number(), value).map_err(|errno| not_sent(what, pid, errno))
}

/// Sends a signal to a process by its descriptor, which cannot become another's.
///
/// # Errors
/// As for [`send`].
#[doc(alias = "pidfd_send_signal")]
pub fn send_process(process: impl AsFd, what: Signal) -> Result<()> {
    signal::send_to_descriptor(process.as_fd(), what.number(), None)
        .map_err(|errno| not_sent(what, "of the descriptor", errno))
}

/// Sends a signal with a value to a process by its descriptor.
///
/// # Errors
/// As for [`queue`].
#[doc(alias = "pidfd_send_signal")]
pub fn queue_process(process: impl AsFd, what: Signal, value: i32) -> Result<()> {
    signal::send_to_descriptor(process.as_fd(), what.number(), Some(value))
        .map_err(|errno| not_sent(what, "of the descriptor", errno))
}

/// Sends a signal to one thread.
///
/// # Errors
/// As for [`send`].
#[doc(alias = "tgkill")]
#[doc(alias = "pthread_kill")]
pub fn send_thread(to: Thread, what: Signal) -> Result<()> {
    one(to.pid.min(to.tid), what)?;
    signal::kill_thread(to.pid, to.tid, what.number())
        .map_err(|errno| not_sent(what, format!("{} thread {}", to.pid, to.tid), errno))
}

/// Sends a signal with a value to one thread.
///
/// # Errors
/// As for [`queue`].
#[doc(alias = "rt_tgsigqueueinfo")]
#[doc(alias = "pthread_sigqueue")]
pub fn queue_thread(to: Thread, what: Signal, value: i32) -> Result<()> {
    one(to.pid.min(to.tid), what)?;
    signal::queue_thread(to.pid, to.tid, what.number(), value)
        .map_err(|errno| not_sent(what, format!("{} thread {}", to.pid, to.tid), errno))
}

fn one(pid: i32, what: Signal) -> Result<()> {
    if pid > 0 {
        return Ok(());
    }
    let why = "a process or thread id is a number from 1; others mean many processes";
    let error = FACILITY.error(
        Kind::BadInput,
        "send",
        format!("{what} to process {pid}"),
        why,
    );
    Err(error)
}

#[cold]
fn not_sent(what: Signal, to: impl std::fmt::Display, errno: Errno) -> Error {
    let error = FACILITY.failed("send", format!("{what} to process {to}"), errno);
    match errno {
        Errno::AGAIN => error.with_kind(Kind::Limit),
        Errno::SRCH => error.with_kind(Kind::NotFound),
        _ => error,
    }
}
