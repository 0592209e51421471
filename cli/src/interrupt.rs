//! Interrupts: signals that ask us to end, held back so that nothing is lost half done.
//!
//! A gate that was entered must be left, objects that a check made must be removed, calls that were begun
//! answered. So the commands that do such things hold the signals back, and wait for them beside
//! what they do. What only waits is ended by its handlers instead ([`ending`](crate::ending)).

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::time::Duration;

use wigwag::signal::{self, Mask, Set, Signal};

use crate::failure::{Failure, Result};

/// The signals that ask a process to end.
pub(crate) const ENDING: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];

/// Signals held back from now on, in this thread and those it starts.
#[derive(Debug)]
pub(crate) struct Interrupts(Set);

impl Interrupts {
    /// Holds back the signals that ask us to end, but for those that are ignored, as `nohup(1)` makes them. To be
    /// called before any thread is started.
    pub(crate) fn hold() -> Result<Self> {
        let mut set = Set::new();
        for signal in &ENDING {
            if !is_ignored(*signal)? {
                set.insert(*signal);
            }
        }
        // For good: this process ends when the command has.
        Mask::block(set)?.keep();
        Ok(Interrupts(set))
    }

    /// Lets them through in a program about to be started, which would inherit that they are held back.
    pub(crate) fn let_through(&self, program: &mut Command) {
        let Interrupts(set) = *self;
        // SAFETY: between fork and exec only `pthread_sigmask(3)` is called, which is async-signal-safe;
        // nothing is allocated, since changing the mask of valid signals does not fail.
        unsafe {
            program.pre_exec(move || {
                if let Ok(mask) = Mask::unblock(set) {
                    mask.keep();
                }
                Ok(())
            });
        }
    }

    /// Which they are.
    pub(crate) fn signals(&self) -> Set {
        self.0
    }

    /// Lets them through, to handlers that are there.
    pub(crate) fn let_in(&self) -> Result<()> {
        Mask::unblock(self.0)?.keep();
        Ok(())
    }

    /// Holds them back again.
    pub(crate) fn hold_again(&self) -> Result<()> {
        Mask::block(self.0)?.keep();
        Ok(())
    }

    /// Waits for one as long as told.
    pub(crate) fn next(&self, within: Duration) -> Option<Signal> {
        Some(signal::wait_timeout(self.0, within).ok()?.signal)
    }
}

/// Whether whoever started us wants us to ignore it.
pub(crate) fn is_ignored(signal: Signal) -> Result<bool> {
    // SAFETY: all bytes zero is a valid sigaction, to which the kernel writes.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `now` is live; nothing is changed.
    match unsafe { libc::sigaction(signal.number(), ptr::null(), &raw mut now) } {
        0 => Ok(now.sa_sigaction == libc::SIG_IGN),
        _ => Err(Failure::io(
            format_args!("ask what {signal} does"),
            &std::io::Error::last_os_error(),
        )),
    }
}
