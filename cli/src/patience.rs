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
    #[arg(long, conflicts_with_all = ["timeout", "wait"])]
    nonblock: bool,

    #[command(flatten)]
    hope: Hope,
}

/// `--wait` of a command.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Hope {
    /// Wait also for what is not there yet, and for the one who makes it
    #[arg(long)]
    wait: bool,
}

/// How often an object is looked for that is not there yet.
const LOOK: Duration = Duration::from_millis(5);

impl Hope {
    /// Attempts until the object is there, if it is to be waited for; each attempt is told what is left of the time.
    pub(crate) fn attempts<T>(
        self,
        wait: Wait,
        mut attempt: impl FnMut(Wait) -> Result<T>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            let left = match wait {
                Wait::For(limit) => Wait::For(limit.saturating_sub(start.elapsed())),
                wait => wait,
            };
            match attempt(left) {
                Err(Failure::Library(error))
                    if self.wait && matches!(error.kind(), Kind::NotFound | Kind::Disconnected) =>
                {
                    let pause = match left {
                        Wait::For(Duration::ZERO) => {
                            let waited = format!("waited {:?} for it", start.elapsed());
                            let error = error.with_kind(Kind::TimedOut).with_detail(waited);
                            return Err(error.into());
                        }
                        Wait::Not => return Err(error.into()),
                        Wait::For(left) => left.min(LOOK),
                        Wait::Forever => LOOK,
                    };
                    std::thread::sleep(pause);
                }
                outcome => return outcome,
            }
        }
    }
}

impl Limit {
    /// Attempts until the object is there, if it is to be waited for.
    pub(crate) fn attempts<T>(self, attempt: impl FnMut(Wait) -> Result<T>) -> Result<T> {
        self.hope.attempts(self.wait(), attempt)
    }

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
