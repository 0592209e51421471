//! Function: a bell of the program's own, such as a register of the hardware.

use std::fmt;
use std::time::Duration;

use wigwag_mailbox::{Side, Word};

use super::Bell;
use crate::error::Result;

/// Two functions of the program: one rings for a side, one waits.
///
/// ```
/// use std::sync::mpsc;
/// use std::time::Duration;
/// use wigwag::Wait;
/// use wigwag::pattern::mailbox::{Function, Options, Side};
///
/// let mailbox = Options::new().anonymous()?;
/// // In real life: write to the doorbell register; wait for its interrupt.
/// let (register, interrupt) = mpsc::sync_channel(1);
/// let interrupt = std::sync::Mutex::new(interrupt);
/// let ring = move |_: Side| drop(register.try_send(()));
/// let wait = move |_: Side, limit: Option<Duration>| {
///     let limit = limit.unwrap_or(Duration::from_millis(10));
///     let _ = interrupt.lock().map(|interrupt| interrupt.recv_timeout(limit));
///     Ok(())
/// };
/// let mut poster = mailbox.poster_with(Function::new(ring, wait), Wait::Not)?;
/// poster.post(b"by interrupt")?;
/// # Ok::<(), wigwag::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Function<R, W> {
    ring: R,
    wait: W,
}

impl<R, W> Function<R, W>
where
    R: Fn(Side) + Send + Sync,
    W: Fn(Side, Option<Duration>) -> Result<()> + Send + Sync,
{
    /// `ring` rings for a side; `wait` returns when the bell of a side has rung, or earlier, and at the limit at last.
    pub fn new(ring: R, wait: W) -> Self {
        Function { ring, wait }
    }
}

impl<R, W> fmt::Debug for Function<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").finish_non_exhaustive()
    }
}

impl<R, W> Bell for Function<R, W>
where
    R: Fn(Side) + Send + Sync,
    W: Fn(Side, Option<Duration>) -> Result<()> + Send + Sync,
{
    fn ring(&self, side: Side, _: &Word) {
        (self.ring)(side);
    }

    fn wait(&self, side: Side, _: &Word, _: u32, limit: Option<Duration>) -> Result<()> {
        (self.wait)(side, limit)
    }
}
