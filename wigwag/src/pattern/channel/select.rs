//! Select: waits for the first of several channels, of any flavours, and descriptors.
//!
//! ```
//! use std::time::Duration;
//! use wigwag::Wait;
//! use wigwag::pattern::channel::{Pollable, broadcast, one_to_one, select};
//! use wigwag::stream::pipe;
//!
//! let (mut sender, receiver) = one_to_one::pair::<u64>(16)?;
//! let mut receiver = Pollable::new(receiver)?;
//! let (_writer, reader) = pipe::pair()?;
//! assert!(receiver.attempt(|end| end.try_recv().map(|value| value.map(|value| *value)))?.is_none());
//! sender.send(7)?;
//! assert_eq!(select(&[&reader, &receiver], Wait::For(Duration::from_secs(1)))?, 1);
//!
//! // Of another flavour: nobody is left who could send, which is a reason to look, too.
//! let (sender, other) = broadcast::pair::<[u8]>(4096)?;
//! let mut other = Pollable::new(other)?;
//! assert!(other.attempt(|end| Ok(end.try_recv()?.map(|message| message.to_vec())))?.is_none());
//! drop(sender);
//! assert_eq!(select(&[&reader, &other], Wait::For(Duration::from_secs(1)))?, 1);
//! assert!(other.attempt(|end| Ok(end.try_recv()?.map(|message| message.to_vec()))).is_err());
//! # Ok::<(), wigwag::Error>(())
//! ```

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::FACILITY;
use crate::error::{Kind, Result};
use crate::interrupt;
use crate::wait::{Deadline, Wait};

/// Waits until one can be read (or, for the sender of a channel, has room), and says which: the first of several.
///
/// Ends of channels of every flavour take part as [`Pollable`](super::Pollable), and whatever has a descriptor as it is. One that can
/// be read calls for an attempt: there may be something, or nobody is left at the other side. The first in the list comes first: to be
/// fair to the others, change their order.
///
/// # Errors
/// `WouldBlock` and `TimedOut` when none can; `BadInput` for none at all.
pub fn select(among: &[&dyn AsFd], wait: Wait) -> Result<usize> {
    let error = |kind, why: &str| FACILITY.error(kind, "select among", "", why);
    if among.is_empty() {
        return Err(error(Kind::BadInput, "there is nothing to wait for"));
    }
    let deadline = Deadline::from(wait);
    let mut list: Vec<_> = among
        .iter()
        .map(|one| PollFd::from_borrowed_fd(one.as_fd(), PollFlags::IN))
        .collect();
    loop {
        let left = deadline.remaining();
        // A Duration too long for the kernel's time is for ever.
        let limit = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut list, limit.as_ref()) {
            Ok(0) => {}
            Err(Errno::INTR) => {
                interrupt::again().map_err(|errno| FACILITY.failed("select among", "", errno))?;
            }
            Ok(_) => {
                // End and error are to be read, too.
                let ready = list.iter().position(|one| !one.revents().is_empty());
                return ready.ok_or_else(|| error(Kind::Other, "none is ready"));
            }
            Err(errno) => return Err(FACILITY.failed("select among", "", errno)),
        }
        if deadline.passed() {
            return Err(match deadline {
                Deadline::Now => error(Kind::WouldBlock, "none is ready"),
                _ => error(Kind::TimedOut, "none was ready until the time was over"),
            });
        }
    }
}
