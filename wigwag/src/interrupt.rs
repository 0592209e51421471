//! Interrupt: what a wait does when a signal handler has run meanwhile: it goes on, unless the program says that it is to end.
//!
//! A system call that a handler interrupts (`EINTR`) is made again, so that nobody has to think of it. A program that
//! wants its handlers to end waits says here how it knows; the wait then fails with [`Kind::Interrupted`](crate::Kind::Interrupted),
//! and nothing was received, sent or acquired by it. What had already been done when the handler ran is returned as always.
//!
//! The danger: a signal that comes just before the system call finds nothing to interrupt. A handler that must be
//! heard comes again until the wait has ended: by a timer that it starts (`setitimer(2)`), or from whoever sent the signal.
//! It is to be installed without `SA_RESTART`.
//!
//! It holds for all waits except, as with `pthread_mutex_lock(3p)`, those for the locks, condition variables and barriers in
//! shared memory, and those of calls ([`rpc`](crate::pattern::rpc)).
//!
//! ```
//! use std::sync::atomic::{AtomicBool, Ordering};
//!
//! static ENDING: AtomicBool = AtomicBool::new(false); // set by a handler of SIGTERM
//! wigwag::interrupt::end_waits_if(|| ENDING.load(Ordering::Relaxed));
//! ```
//!
//! `signal(7)`; Python does the same (PEP 475).

use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use rustix::io::Errno;

/// The program's answer; null while it has given none.
static ANSWER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Why a wait of ours ended that the kernel did not end.
pub(crate) const ENDED: &str = "a signal ended the wait";

/// Asks this after each interruption of a wait, in the thread that waits and not in a handler: whether it is to end. For
/// the whole process, instead of what was given before.
pub fn end_waits_if(ended: fn() -> bool) {
    ANSWER.store(ended as *mut (), Ordering::Release);
}

/// Whether waits are to end.
pub(crate) fn ended() -> bool {
    let answer = ANSWER.load(Ordering::Acquire);
    if answer.is_null() {
        return false;
    }
    // SAFETY: not null, so it is what `end_waits_if` has stored: a function of this type.
    let answer = unsafe { mem::transmute::<*mut (), fn() -> bool>(answer) };
    answer()
}

/// What becomes of a wait that was interrupted: it goes on, or ends with `EINTR`.
#[cold]
pub(crate) fn again() -> Result<(), Errno> {
    if ended() { Err(Errno::INTR) } else { Ok(()) }
}
