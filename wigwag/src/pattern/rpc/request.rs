//! Request: what a handler gets, and how it learns that nobody waits for its answer any more.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::error::Error;
use crate::message::Credentials;
use crate::shared::Plain;
use crate::wait::{Deadline, Wait};

/// A call that is being handled.
pub struct Request {
    pub(super) bytes: Vec<u8>,
    pub(super) cancellation: Cancellation,
    pub(super) caller: Option<Credentials>,
}

impl Request {
    /// What was sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was sent, to keep.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was sent, as a value.
    ///
    /// # Errors
    /// A refusal that says so when it has another size than `T`.
    pub fn value<T: Plain>(&self) -> Result<T, Refusal> {
        super::plain::value(&self.bytes).map_err(|why| Refusal::new(format!("the request {why}")))
    }

    /// How much time the caller gives; `None` for as long as it takes.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.cancellation.remaining()
    }

    /// Whether nobody waits for the answer any more: cancelled, the time is over, or the caller is gone.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_set()
    }

    /// The same to look at, or wait for, from elsewhere.
    #[must_use]
    pub fn cancellation(&self) -> Cancellation {
        self.cancellation.clone()
    }

    /// Who calls, as the kernel vouches for it; over a Unix socket only. It is who connected.
    #[must_use]
    pub fn caller(&self) -> Option<Credentials> {
        self.caller
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("bytes", &self.bytes.len())
            .field("remaining", &self.remaining())
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// Whether somebody still waits for the answer of one call.
#[derive(Clone)]
pub struct Cancellation(Arc<State>);

struct State {
    deadline: Option<Instant>,
    set: Mutex<Flag>,
    changed: Condvar,
}

#[derive(Default)]
struct Flag {
    set: bool,
    /// Made when somebody asks for it.
    descriptor: Option<OwnedFd>,
}

impl Cancellation {
    pub(super) fn new(deadline: Option<Instant>) -> Self {
        Cancellation(Arc::new(State {
            deadline,
            set: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    pub(super) fn set(&self) {
        let mut flag = self.flag();
        flag.set = true;
        if let Some(descriptor) = &flag.descriptor {
            // Room is there for 2⁶⁴ of them.
            let _ = rustix::io::write(descriptor, &1_u64.to_ne_bytes());
        }
        drop(flag);
        self.0.changed.notify_all();
    }

    fn flag(&self) -> MutexGuard<'_, Flag> {
        self.0.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A descriptor that is readable when the caller cancels or is gone, to be polled beside others; of the deadline it
    /// tells nothing ([`Request::remaining`]).
    ///
    /// # Errors
    /// `Limit` when this process has too many descriptors.
    pub fn descriptor(&self) -> Result<OwnedFd, Error> {
        let failed = |errno: Errno| Error::os("watch", "call", "", &errno.into());
        let mut flag = self.flag();
        let made = match flag.descriptor.take() {
            Some(made) => made,
            None => eventfd(u32::from(flag.set), EventfdFlags::CLOEXEC).map_err(failed)?,
        };
        let twin = made.try_clone();
        flag.descriptor = Some(made);
        twin.map_err(|cause| Error::os("watch", "call", "", &cause))
    }

    /// Whether the caller said so or is gone.
    pub(super) fn by_caller(&self) -> bool {
        self.flag().set
    }

    fn remaining(&self) -> Option<Duration> {
        self.0
            .deadline
            .map(|then| then.saturating_duration_since(Instant::now()))
    }

    /// Whether nobody waits any more.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.remaining() == Some(Duration::ZERO) || self.by_caller()
    }

    /// Waits so long at most until nobody waits any more: whether that is so.
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        let ours = Deadline::from(Wait::For(limit));
        let mut flag = self.flag();
        loop {
            if flag.set || self.remaining() == Some(Duration::ZERO) {
                return true;
            }
            let left = ours.remaining().unwrap_or(Duration::MAX);
            if left.is_zero() {
                return false;
            }
            let left = left.min(self.remaining().unwrap_or(Duration::MAX));
            let waited = self.0.changed.wait_timeout(flag, left);
            flag = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancellation").field(&self.is_set()).finish()
    }
}

/// Why a handler does not answer; its words are the caller's error.
///
/// Any error becomes one with `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub(super) String);

impl Refusal {
    /// With these words.
    pub fn new(why: impl Into<String>) -> Self {
        Refusal(why.into())
    }
}

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Self {
        Refusal(error.to_string())
    }
}
