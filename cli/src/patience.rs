//! Patience: waiting as long as told while looking, between slices, whether it is still worth it.
//!
//! A slice does not delay what is waited for: each is a blocking wait that ends at once when
//! the thing happens. It bounds only how late an interrupt, or a reader that went away, is noticed.

use std::os::fd::BorrowedFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wigwag::facility::Family;
use wigwag::{Endpoint, Kind, Opening, Wait, catalog};

use crate::arguments::Object;
use crate::failure::{self, Failure, Result};

const SLICE: Duration = Duration::from_millis(100);

/// `--timeout` and `--nonblock` of a command.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Limit {
    /// Give up after so many seconds, a fraction is allowed, and exit 124
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = crate::arguments::seconds)]
    timeout: Option<Duration>,

    /// Do not wait at all: exit 1 when it would have to
    #[arg(long, conflicts_with = "timeout")]
    nonblock: bool,
}

impl Limit {
    pub(crate) fn wait(self) -> Wait {
        match self {
            Limit { nonblock: true, .. } => Wait::Not,
            Limit { timeout, .. } => timeout.into(),
        }
    }
}

/// Tries until it succeeds, fails, or `wait` is over; `worth_it` is asked between the slices.
pub(crate) fn patiently<T>(
    wait: Wait,
    worth_it: impl Fn() -> Result<()>,
    mut attempt: impl FnMut(Wait) -> wigwag::Result<T>,
) -> Result<T> {
    worth_it()?;
    let Some(limit) = limit(wait) else {
        return Ok(attempt(Wait::Not)?);
    };
    let start = Instant::now();
    loop {
        let left = limit.saturating_sub(start.elapsed());
        match attempt(Wait::For(left.min(SLICE))) {
            Err(error) if error.kind() == Kind::TimedOut && left > SLICE => worth_it()?,
            outcome => return Ok(outcome?),
        }
    }
}

/// How long that is; nothing for not at all.
fn limit(wait: Wait) -> Option<Duration> {
    match wait {
        Wait::Not => None,
        Wait::Forever => Some(Duration::MAX),
        Wait::For(limit) => Some(limit),
    }
}

/// Opens an object: opening may have to wait for the other end of a FIFO or for a connection,
/// and cannot be cut into slices without giving up its place.
pub(crate) fn open(
    object: &Object,
    opening: Opening,
    worth_it: impl Fn() -> Result<()>,
) -> Result<Endpoint> {
    let may_wait = object.is_made_by_one_end() || object.facility.family == Family::Stream;
    if !may_wait {
        // Also because a signal is held back by the thread that opens it.
        return Ok(catalog::open(&object.address, opening)?);
    }
    let (done, opened) = mpsc::channel();
    let address = object.address.clone();
    let open = move || {
        // A receiver that is gone was interrupted, and this process ends.
        let _ = done.send(catalog::open(&address, opening));
    };
    failure::thread(open)?;
    loop {
        match opened.recv_timeout(SLICE) {
            Ok(outcome) => return Ok(outcome?),
            Err(mpsc::RecvTimeoutError::Timeout) => worth_it()?,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(Failure::Other(format!(
                    "opening {} broke off",
                    object.address
                )));
            }
        }
    }
}

/// Waits until a descriptor can be read or written without blocking.
pub(crate) fn ready(
    object: &Object,
    fd: BorrowedFd<'_>,
    way: PollFlags,
    wait: Wait,
    worth_it: impl Fn() -> Result<()>,
) -> Result<()> {
    patiently(wait, worth_it, |slice| {
        let limit = limit(slice).unwrap_or_default();
        let limit = Timespec::try_from(limit).ok();
        let mut fds = [PollFd::from_borrowed_fd(fd, way)];
        let action = if way.contains(PollFlags::IN) {
            "read from"
        } else {
            "write to"
        };
        let error = |kind, cause: &str| {
            wigwag::Error::new(kind, action, object.facility.noun, object.name(), cause)
        };
        match poll(&mut fds, limit.as_ref()) {
            Ok(0) if slice == Wait::Not => Err(error(Kind::WouldBlock, "it would have to wait")),
            Ok(0) | Err(rustix::io::Errno::INTR) => Err(error(Kind::TimedOut, "timed out")),
            Ok(_) => Ok(()),
            Err(errno) => Err(error(Kind::Other, &errno.to_string())),
        }
    })
}
