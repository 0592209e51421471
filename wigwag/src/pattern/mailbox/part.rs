//! Part: who may be the poster and who the fetcher, as a lock on one byte that the kernel frees at death.
//!
//! The lock belongs to an open file of its own, opened anew for each claim, so that it keeps out other claims of this
//! process too, and those of a process that inherited the descriptor.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use wigwag_mailbox::Side;

use super::{FACILITY, Shared};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::sys::fcntl::{self, Owner, Span, Type};
use crate::sys::patience;
use crate::wait::Deadline;

/// A claim, until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Part(
    #[expect(dead_code, reason = "the lock lives as long as it is open")] OwnedFd,
);

/// The byte that a side locks: of the first word that only this side writes.
const fn byte(side: Side) -> Span {
    let start = match side {
        Side::Poster => 68,
        Side::Fetcher => 80,
    };
    Span { start, len: 1 }
}

/// Claims a part, waiting as told while another has it.
pub(super) fn claim(shared: &Shared, side: Side, deadline: Deadline) -> Result<Part> {
    let action = match side {
        Side::Poster => "post to",
        Side::Fetcher => "fetch from",
    };
    let file = reopened(shared).map_err(|errno| not_reopened(shared, action, errno))?;
    let lock = |wait| {
        let owner = Owner::OpenFile;
        fcntl::set(file.as_fd(), owner, Type::Exclusive, byte(side), wait)
    };
    let locked = match deadline {
        Deadline::Never => loop {
            match lock(true) {
                Err(Errno::INTR) if !interrupt::ended() => {}
                done => break done,
            }
        },
        Deadline::Now => lock(false),
        Deadline::At(_) => patience::look_again(deadline, || lock(false)),
    };
    match locked {
        Ok(()) => Ok(Part(file)),
        Err(errno) => Err(not_claimed(shared, side, action, errno)),
    }
}

#[cold]
fn not_claimed(shared: &Shared, side: Side, action: &'static str, errno: Errno) -> Error {
    let who = match side {
        Side::Poster => "somebody else posts to it",
        Side::Fetcher => "somebody else fetches from it",
    };
    match errno {
        Errno::AGAIN => shared.error(Kind::WouldBlock, action, who),
        Errno::TIMEDOUT => shared.error(Kind::TimedOut, action, who),
        errno => FACILITY.failed(action, shared.name(), errno),
    }
}

/// Whether anybody, also of this process, has claimed a part.
pub(super) fn is_claimed(shared: &Shared, side: Side) -> Result<bool> {
    reopened(shared)
        .and_then(|file| {
            let owner = Owner::OpenFile;
            fcntl::get(file.as_fd(), owner, Type::Exclusive, byte(side))
        })
        .map(|obstacle| obstacle.is_some())
        .map_err(|errno| not_reopened(shared, "inspect", errno))
}

/// The object through an open file of its own.
fn reopened(shared: &Shared) -> rustix::io::Result<OwnedFd> {
    let object = shared.region.mapping().object_fd().as_raw_fd();
    let path = format!("/proc/self/fd/{object}");
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

#[cold]
fn not_reopened(shared: &Shared, action: &'static str, errno: Errno) -> Error {
    let error = FACILITY.failed(action, shared.name(), errno);
    match errno {
        Errno::NOENT => error.with_hint("it is opened once more by /proc/self/fd: mount /proc"),
        Errno::ACCESS => error.with_hint(
            "it is opened once more by /proc/self/fd: give this user the right to read and write it",
        ),
        _ => error,
    }
}
