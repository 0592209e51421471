//! Set and Mask: several signals, and the guard that keeps them from being delivered to a thread.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use super::{FACILITY, Signal};
use crate::error::{Error, Result};
use crate::sys::signal;

/// Several signals: `USR1,RTMIN+1` is read as text.
#[doc(alias = "sigset_t")]
#[derive(Clone, Copy)]
pub struct Set(pub(super) libc::sigset_t);

impl Set {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Set(signal::empty_set())
    }

    /// The signals that are pending for this thread or process: sent, but blocked.
    ///
    /// # Errors
    /// What `sigpending(2)` says.
    #[doc(alias = "sigpending")]
    pub fn pending() -> Result<Self> {
        signal::pending()
            .map(Set)
            .map_err(|errno| FACILITY.failed("look at pending", "", errno))
    }

    /// The signals that are blocked in this thread.
    ///
    /// # Errors
    /// What `pthread_sigmask(3)` says.
    pub fn blocked() -> Result<Self> {
        signal::mask(libc::SIG_BLOCK, None)
            .map(Set)
            .map_err(|errno| FACILITY.failed("look at blocked", "", errno))
    }

    /// Adds one.
    pub fn insert(&mut self, one: Signal) {
        signal::add(&mut self.0, one.number());
    }

    /// Takes one out.
    pub fn remove(&mut self, one: Signal) {
        signal::remove(&mut self.0, one.number());
    }

    /// Whether it is among them.
    #[must_use]
    pub fn contains(&self, one: Signal) -> bool {
        signal::contains(&self.0, one.number())
    }

    /// Each of them, the lowest number first.
    pub fn iter(&self) -> impl Iterator<Item = Signal> + '_ {
        (1..=libc::SIGRTMAX())
            .filter_map(|number| Signal::try_from(number).ok())
            .filter(|one| self.contains(*one))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl Default for Set {
    fn default() -> Self {
        Set::new()
    }
}

impl PartialEq for Set {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Set {}

impl From<Signal> for Set {
    fn from(one: Signal) -> Self {
        Set::from_iter([one])
    }
}

impl<const N: usize> From<[Signal; N]> for Set {
    fn from(signals: [Signal; N]) -> Self {
        Set::from_iter(signals)
    }
}

impl FromIterator<Signal> for Set {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        let mut set = Set::new();
        set.extend(signals);
        set
    }
}

impl Extend<Signal> for Set {
    fn extend<I: IntoIterator<Item = Signal>>(&mut self, signals: I) {
        signals.into_iter().for_each(|one| self.insert(one));
    }
}

impl FromStr for Set {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.split(',').map(str::parse).collect()
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.iter().map(|one| one.to_string()).collect();
        f.pad(&names.join(","))
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Signals that are not delivered to this thread while the guard lives; then the mask is again
/// what it was, and what is pending is delivered.
///
/// It stays in its thread. Threads started meanwhile inherit the mask and keep it.
///
/// ```
/// use wigwag::signal::{self, Mask, Set, Signal};
///
/// let mask = Mask::block(Signal::USR1)?;
/// signal::send_thread(signal::this_thread(), Signal::USR1)?;
/// assert!(Set::pending()?.contains(Signal::USR1));
/// assert_eq!(signal::wait(Signal::USR1)?.signal, Signal::USR1);
/// drop(mask);
/// # Ok::<(), wigwag::Error>(())
/// ```
#[must_use = "dropping it delivers the signals again"]
#[doc(alias = "pthread_sigmask")]
#[doc(alias = "sigprocmask")]
pub struct Mask {
    before: libc::sigset_t,
    // The mask belongs to the thread.
    _here: PhantomData<*const ()>,
}

impl Mask {
    /// Blocks these signals in this thread; `KILL` and `STOP` go through nevertheless.
    ///
    /// # Errors
    /// What `pthread_sigmask(3)` says.
    pub fn block(signals: impl Into<Set>) -> Result<Self> {
        Mask::change(libc::SIG_BLOCK, signals.into())
    }

    /// Lets these signals through to this thread.
    ///
    /// # Errors
    /// What `pthread_sigmask(3)` says.
    pub fn unblock(signals: impl Into<Set>) -> Result<Self> {
        Mask::change(libc::SIG_UNBLOCK, signals.into())
    }

    /// Leaves the signals blocked, or let through, for good.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    fn change(how: i32, set: Set) -> Result<Self> {
        let before = signal::mask(how, Some(&set.0))
            .map_err(|errno| FACILITY.failed("block", set, errno))?;
        Ok(Mask {
            before,
            _here: PhantomData,
        })
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask(before: {:?})", Set(self.before))
    }
}

impl Drop for Mask {
    fn drop(&mut self) {
        // Setting a mask that was in force cannot fail.
        let _ = signal::mask(libc::SIG_SETMASK, Some(&self.before));
    }
}
