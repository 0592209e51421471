//! Pending: a call whose answer has not been asked for yet; dropping it cancels the call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::client::Line;
use crate::error::Result;
use crate::wait::{Deadline, Wait};

/// A call in flight.
///
/// Dropping it cancels the call: the server is told, its handler can know
/// ([`Request::is_cancelled`](super::Request::is_cancelled)), and an answer that comes all the same is discarded.
#[must_use = "dropping it cancels the call"]
pub struct Pending {
    line: Arc<Line>,
    id: u64,
    deadline: Deadline,
}

impl Pending {
    pub(super) fn new(line: Arc<Line>, id: u64, deadline: Deadline) -> Self {
        Pending { line, id, deadline }
    }

    /// Waits for the answer, until the deadline the call was started with.
    ///
    /// # Errors
    /// Those of [`Client::call_timeout`](super::Client::call_timeout).
    pub fn wait(self) -> Result<Vec<u8>> {
        match self.line.wait(self.id, self.deadline)? {
            Some(answer) => Ok(answer),
            None => Err(self.line.too_late()),
        }
    }

    /// Waits so long at most: `None` when the time is over and the call goes on.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait). After an answer or an error there is nothing more to wait for.
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<Option<Vec<u8>>> {
        let own = Deadline::from(Wait::For(limit));
        let sooner = match (self.deadline.remaining(), own.remaining()) {
            (Some(left), Some(limit)) if left <= limit => self.deadline,
            (Some(_), None) => self.deadline,
            _ => own,
        };
        match self.line.wait(self.id, sooner)? {
            None if self.deadline.passed() => Err(self.line.too_late()),
            outcome => Ok(outcome),
        }
    }

    /// The answer, if it has come: `None` when the call goes on.
    ///
    /// # Errors
    /// As [`wait_timeout`](Self::wait_timeout).
    pub fn try_wait(&mut self) -> Result<Option<Vec<u8>>> {
        self.wait_timeout(Duration::ZERO)
    }

    /// The answer, for a task.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll(&mut self, waker: &std::task::Waker) -> Option<Result<Vec<u8>>> {
        self.line.poll(self.id, waker)
    }

    /// Cancels the call, as dropping does.
    pub fn cancel(self) {}
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.line.cancel(self.id);
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("call", &self.id).finish()
    }
}
