//! Receiver: signals as things to read, at a descriptor that can be polled, or by waiting for them.
//!
//! Right order: block them in **every** thread (before the first thread is started), then make
//! the receiver, then let others know. A signal that some thread does not block is delivered to
//! that thread, with its usual effect, and not read here.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;

use super::{FACILITY, Mask, Set, Signal};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::sys::{patience, signal};
use crate::wait::{Deadline, Wait};

/// A received signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Which.
    pub signal: Signal,
    /// How it was sent: `SI_USER` by `kill(2)`, `SI_TKILL` to a thread (which glibc says to be
    /// `SI_USER` where it is waited for, not read), `SI_QUEUE` with a value,
    /// `SI_MESGQ` by a POSIX queue, `SI_KERNEL`, …
    pub code: i32,
    /// Who sent it, in our pid namespace; 0 when the sender lies outside or is the kernel.
    pub pid: i32,
    /// The sender's real user.
    pub uid: u32,
    /// The value, if it was [queued](super::queue) or comes from a POSIX queue.
    #[doc(alias = "sival_int")]
    pub value: Option<i32>,
}

impl From<signal::Info> for Received {
    fn from(info: signal::Info) -> Self {
        let has_value = matches!(info.code, libc::SI_QUEUE | libc::SI_MESGQ | libc::SI_TIMER);
        Received {
            signal: Signal::from_kernel(info.signal),
            code: info.code,
            pid: info.pid,
            uid: info.uid,
            value: has_value.then_some(info.value),
        }
    }
}

/// Receives signals at a descriptor: readable in `poll(2)` when one is pending.
///
/// Making one blocks its signals in this thread, and they stay blocked when it is dropped: a
/// pending one would have its usual effect, which for most is the end of the process.
///
/// ```
/// use wigwag::signal::{self, Receiver, Signal};
///
/// let signals = Receiver::open(Signal::realtime(5)?)?;
/// signal::queue_thread(signal::this_thread(), Signal::realtime(5)?, 42)?;
/// assert_eq!(signals.recv()?.value, Some(42));
/// # Ok::<(), wigwag::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "signalfd")]
pub struct Receiver {
    fd: OwnedFd,
    set: Set,
}

impl Receiver {
    /// Blocks these signals in this thread and opens a descriptor for them.
    ///
    /// # Errors
    /// [`Kind::BadInput`] for none, and for `KILL` and `STOP`, which nobody can receive;
    /// [`Kind::Limit`] when the process may not open more descriptors.
    pub fn open(signals: impl Into<Set>) -> Result<Self> {
        let set = signals.into();
        receivable(&set)?;
        let mask = Mask::block(set)?;
        let fd =
            signal::descriptor(&set.0).map_err(|errno| FACILITY.failed("receive", set, errno))?;
        mask.keep();
        Ok(Receiver { fd, set })
    }

    /// The signals it receives.
    #[must_use]
    pub fn signals(&self) -> Set {
        self.set
    }

    /// Receives the next, waiting while none is pending: the lowest number first, real-time
    /// signals of one number in the order sent.
    ///
    /// # Errors
    /// What `read(2)` says.
    pub fn recv(&self) -> Result<Received> {
        self.recv_until(Deadline::Never)
    }

    /// Receives one if one is pending.
    ///
    /// # Errors
    /// [`Kind::WouldBlock`] when none is.
    #[inline]
    pub fn try_recv(&self) -> Result<Received> {
        self.recv_until(Deadline::Now)
    }

    /// Receives one, waiting at most this long.
    ///
    /// # Errors
    /// [`Kind::TimedOut`].
    pub fn recv_timeout(&self, limit: Duration) -> Result<Received> {
        self.recv_until(Wait::For(limit).into())
    }

    /// Receives for ever.
    pub fn iter(&self) -> impl Iterator<Item = Result<Received>> + '_ {
        std::iter::repeat_with(|| self.recv())
    }

    #[inline]
    pub(super) fn recv_until(&self, deadline: Deadline) -> Result<Received> {
        patience::retry(self.fd.as_fd(), PollFlags::IN, deadline, || {
            signal::read(self.fd.as_fd())
        })
        .map(Received::from)
        .map_err(|errno| not_received(&self.set, errno))
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Receiver {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Waits until one of these signals, which must be [blocked](Mask), is pending, and takes it.
///
/// # Errors
/// [`Kind::BadInput`] for none, `KILL` or `STOP`, or one that is not blocked in this thread.
#[doc(alias = "sigwaitinfo")]
pub fn wait(signals: impl Into<Set>) -> Result<Received> {
    wait_until(&signals.into(), Deadline::Never)
}

/// Takes one of these signals if one is pending.
///
/// # Errors
/// [`Kind::WouldBlock`] when none is; as for [`wait`].
pub fn try_wait(signals: impl Into<Set>) -> Result<Received> {
    wait_until(&signals.into(), Deadline::Now)
}

/// Waits at most this long.
///
/// # Errors
/// [`Kind::TimedOut`]; as for [`wait`].
#[doc(alias = "sigtimedwait")]
pub fn wait_timeout(signals: impl Into<Set>, limit: Duration) -> Result<Received> {
    wait_until(&signals.into(), Wait::For(limit).into())
}

fn wait_until(set: &Set, deadline: Deadline) -> Result<Received> {
    receivable(set)?;
    let blocked = Set::blocked()?;
    if let Some(open) = set.iter().find(|one| !blocked.contains(*one)) {
        return Err(FACILITY
            .error(
                Kind::BadInput,
                "wait for",
                open,
                "it is not blocked in this thread, so it would be delivered instead",
            )
            .with_hint("block it with a Mask first"));
    }
    loop {
        let left = deadline.remaining();
        let limit = left.map(|left| libc::timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: left.subsec_nanos() as _, // less than 2^30
        });
        match signal::wait(&set.0, limit) {
            Ok(info) => return Ok(info.into()),
            Err(Errno::INTR) => interrupt::again().map_err(|errno| not_received(set, errno))?,
            Err(Errno::AGAIN) if deadline.passed() => {
                return Err(not_received(set, deadline.errno()));
            }
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(not_received(set, errno)),
        }
    }
}

fn receivable(set: &Set) -> Result<()> {
    let bad = |object: String, why| Err(FACILITY.error(Kind::BadInput, "receive", object, why));
    if set.is_empty() {
        return bad(String::new(), "no signal was named");
    }
    match [Signal::KILL, Signal::STOP]
        .into_iter()
        .find(|one| set.contains(*one))
    {
        Some(one) => bad(
            one.to_string(),
            "it cannot be blocked, so nobody receives it",
        ),
        None => Ok(()),
    }
}

#[cold]
fn not_received(set: &Set, errno: Errno) -> Error {
    let error = |kind, cause| FACILITY.error(kind, "receive", set, cause);
    match errno {
        Errno::AGAIN => error(Kind::WouldBlock, "none is pending"),
        Errno::TIMEDOUT => error(Kind::TimedOut, "none came within the time"),
        errno => FACILITY.failed("receive", set, errno),
    }
}
