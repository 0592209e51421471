//! Patience: waits on the monotonic clock for what a descriptor can do, whatever clock its own calls use.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::interrupt;
use crate::wait::Deadline;

/// Makes attempts, which must not block, until one does not end with `EAGAIN`; sleeps in
/// `poll(2)` between them. At the deadline the error is `EAGAIN` or `ETIMEDOUT`, as
/// [`Deadline::errno`] says. `EINTR` is retried.
pub(crate) fn retry<T>(
    fd: BorrowedFd<'_>,
    until: PollFlags,
    deadline: Deadline,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    loop {
        match attempt() {
            Err(Errno::AGAIN) => ready(fd, until, deadline)?,
            Err(Errno::INTR) => interrupt::again()?,
            outcome => return outcome,
        }
    }
}

/// Sleeps until `fd` is ready or in error. `EINTR` is retried.
#[cold]
pub(crate) fn ready(fd: BorrowedFd<'_>, until: PollFlags, deadline: Deadline) -> Result<(), Errno> {
    loop {
        let left = deadline.remaining();
        if left.is_some_and(|left| left.is_zero()) {
            return Err(deadline.errno());
        }
        // A Duration too long for the kernel's time is for ever.
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd, until)], left.as_ref()) {
            Ok(0) => {}
            Err(Errno::INTR) => interrupt::again()?,
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The same for what has nothing to poll: looks again at once for about the time in which a peer
/// that is awake answers, then after sleeps that double from 50 µs to 10 ms, so the answer is late
/// by that much at most.
pub(crate) fn look_again<T>(
    deadline: Deadline,
    mut attempt: impl FnMut() -> Result<T, Errno>,
) -> Result<T, Errno> {
    const AWAKE: u32 = 50;
    const SHORTEST: Duration = Duration::from_micros(50);
    const LONGEST: Duration = Duration::from_millis(10);
    let mut pause = SHORTEST;
    let mut awake = AWAKE;
    loop {
        match attempt() {
            Err(Errno::AGAIN) => {}
            outcome => return outcome,
        }
        // A sleep does not tell that it was interrupted.
        interrupt::again()?;
        let left = deadline.remaining().unwrap_or(LONGEST);
        if left.is_zero() {
            return Err(deadline.errno());
        }
        if awake > 0 {
            awake -= 1;
            std::thread::yield_now();
        } else {
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST);
        }
    }
}

/// Whether `fd` is ready or in error now.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, until: PollFlags) -> Result<bool, Errno> {
    let now = Timespec::default();
    rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd, until)], Some(&now)).map(|n| n > 0)
}
