//! Wait: how long a call may block, for interfaces that take it as an argument.
//!
//! Most calls come as three methods instead: `x`, `try_x` and `x_timeout(Duration)`.

use std::time::{Duration, Instant};

/// How long a call may block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// As long as it takes.
    Forever,
    /// Not at all: [`Kind::WouldBlock`](crate::Kind::WouldBlock) instead.
    Not,
    /// This long, on the monotonic clock; then [`Kind::TimedOut`](crate::Kind::TimedOut).
    For(Duration),
}

impl From<Duration> for Wait {
    fn from(limit: Duration) -> Self {
        Wait::For(limit)
    }
}

impl From<Option<Duration>> for Wait {
    fn from(limit: Option<Duration>) -> Self {
        limit.map_or(Wait::Forever, Wait::For)
    }
}

/// What is left until then, counted from now: to give one deadline to several calls, convert it for each.
///
/// ```
/// use std::time::{Duration, Instant};
/// use wigwag::gate::{Mutex, Semaphore};
///
/// let (slots, total) = (Semaphore::new(1), Mutex::new(0));
/// let deadline = Instant::now() + Duration::from_secs(1);
/// let _slot = slots.acquire_with(deadline.into())?;
/// *total.lock_with(deadline.into())?.or_repair(|_| ()) += 1; // within the same second
/// # Ok::<(), wigwag::Error>(())
/// ```
impl From<Instant> for Wait {
    fn from(deadline: Instant) -> Self {
        Wait::For(deadline.saturating_duration_since(Instant::now()))
    }
}

/// A [`Wait`] whose clock is running: an EINTR and a retry do not start it again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Deadline {
    /// As long as it takes.
    Never,
    /// Not at all.
    Now,
    /// Until then.
    At(Instant),
}

impl From<Wait> for Deadline {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Forever => Deadline::Never,
            Wait::Not => Deadline::Now,
            // A limit beyond the end of the clock is no limit.
            Wait::For(limit) => Instant::now()
                .checked_add(limit)
                .map_or(Deadline::Never, Deadline::At),
        }
    }
}

impl Deadline {
    /// What is left: `None` for ever, zero when it has passed.
    pub(crate) fn remaining(self) -> Option<Duration> {
        match self {
            Deadline::Never => None,
            Deadline::Now => Some(Duration::ZERO),
            Deadline::At(then) => Some(then.saturating_duration_since(Instant::now())),
        }
    }

    /// What is left, for a call that takes a [`Wait`].
    pub(crate) fn wait(self) -> Wait {
        match self {
            Deadline::Never => Wait::Forever,
            Deadline::Now => Wait::Not,
            Deadline::At(then) => Wait::For(then.saturating_duration_since(Instant::now())),
        }
    }

    /// Whether nothing is left.
    pub(crate) fn passed(self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }

    /// The `errno` that tells why waiting ended: EAGAIN when it was not to wait at all.
    pub(crate) fn errno(self) -> rustix::io::Errno {
        match self {
            Deadline::Now => rustix::io::Errno::AGAIN,
            _ => rustix::io::Errno::TIMEDOUT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_duration_is_for_ever() {
        let deadline = Deadline::from(Wait::For(Duration::MAX));
        assert_eq!(deadline.remaining(), None);
        assert!(!deadline.passed());
    }

    #[test]
    fn zero_has_passed_and_tells_its_two_reasons() {
        assert!(Deadline::from(Wait::Not).passed());
        assert_eq!(Deadline::from(Wait::Not).errno(), rustix::io::Errno::AGAIN);
        let zero = Deadline::from(Wait::For(Duration::ZERO));
        assert!(zero.passed());
        assert_eq!(zero.errno(), rustix::io::Errno::TIMEDOUT);
    }
}
