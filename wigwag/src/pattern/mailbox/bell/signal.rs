//! Signal: a bell that interrupts the other process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use wigwag_mailbox::{Side, Word};

use super::super::FACILITY;
use super::Bell;
use crate::error::{Kind, Result};
use crate::signal::{self, Receiver};

/// A signal to the process of the other side.
///
/// Each side has one, made with the other's process id: for that very process, not for another that gets its number later. The
/// signal is blocked in the thread that makes it, and must be [blocked](signal::Mask) in all others; it can be polled for.
#[derive(Debug)]
#[doc(alias = "sigwait")]
pub struct Signal {
    which: signal::Signal,
    other: OwnedFd,
    ours: Receiver,
}

impl Signal {
    /// Rings the process `other` by this signal, and hears the same.
    ///
    /// # Errors
    /// `NotFound` when there is no such process; `BadInput` for a signal that cannot be received.
    pub fn new(which: signal::Signal, other: u32) -> Result<Self> {
        let failed = |kind, why| FACILITY.error(kind, "ring process", other, why);
        let pid = Pid::from_raw(other.cast_signed())
            .ok_or_else(|| failed(Kind::BadInput, "a process id is a number from 1"))?;
        let ours = Receiver::open(which)?;
        let other = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| match errno {
            rustix::io::Errno::SRCH => failed(Kind::NotFound, "there is no such process"),
            errno => FACILITY.failed("ring process", other, errno),
        })?;
        Ok(Signal { which, other, ours })
    }
}

impl Bell for Signal {
    fn ring(&self, _: Side, _: &Word) {
        // It is gone: its successor will look before it sleeps.
        let _ = signal::send_process(&self.other, self.which);
    }

    fn wait(&self, _: Side, _: &Word, _: u32, limit: Option<Duration>) -> Result<()> {
        let rung = match limit {
            Some(limit) => self.ours.recv_timeout(limit),
            None => self.ours.recv(),
        };
        match rung {
            Err(error) if error.kind() != Kind::TimedOut => Err(error),
            _ => Ok(()),
        }
    }
}

impl AsFd for Signal {
    /// Readable when we were rung for.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }
}
