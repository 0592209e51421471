//! Patience: how long a command waits, as its options say.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use wigwag::{Kind, Wait};

use crate::arguments::Object;
use crate::ending::Ending;
use crate::failure::{Failure, Result};

/// `--timeout` and `--nonblock` of a command.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Limit {
    /// Give up after so many seconds, a fraction is allowed, and exit 124
    #[arg(long, value_name = "SECONDS", value_parser = crate::arguments::seconds)]
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

/// Waits until a descriptor can be read or written without blocking.
pub(crate) fn ready(
    object: &Object,
    fd: BorrowedFd<'_>,
    way: PollFlags,
    wait: Wait,
    ending: &Ending,
) -> Result<()> {
    let action = match way.contains(PollFlags::IN) {
        true => "read from",
        false => "write to",
    };
    let error = |kind, cause: &str| {
        let noun = object.facility.noun;
        Failure::Library(wigwag::Error::new(kind, action, noun, object.name(), cause))
    };
    let start = Instant::now();
    loop {
        ending.check()?;
        let left = match wait {
            Wait::Forever => None,
            Wait::Not => Some(Duration::ZERO),
            Wait::For(limit) => Some(limit.saturating_sub(start.elapsed())),
        };
        // A Duration too long for the kernel's time is for ever.
        let limit = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::from_borrowed_fd(fd, way)], limit.as_ref()) {
            Ok(0) if wait == Wait::Not => {
                return Err(error(Kind::WouldBlock, "it would have to wait"));
            }
            Ok(0) => return Err(error(Kind::TimedOut, "timed out")),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(error(Kind::Other, &errno.to_string())),
        }
    }
}
