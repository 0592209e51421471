//! Interrupts: signals that ask us to end, held back so that nothing is lost half done.
//!
//! A message that was received must be printed, a gate that was entered must be left, objects
//! that a check made must be removed. So the commands that do such things hold the signals
//! back from their start, wait in short slices, and look between the slices.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use wigwag::signal::{self, Mask, Set, Signal};

use crate::failure::{Failure, Result};

/// The signals that ask a process to end.
const ENDING: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];

/// Signals held back from now on, in this thread and those it starts.
#[derive(Debug)]
pub(crate) struct Interrupts(Set);

impl Interrupts {
    /// Holds back the signals that ask us to end. To be called before any thread is started.
    pub(crate) fn hold() -> Result<Self> {
        let mut set = Set::new();
        for signal in &ENDING {
            set.insert(*signal);
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

    /// A failure when one has arrived.
    pub(crate) fn check(&self) -> Result<()> {
        match signal::try_wait(self.0) {
            Ok(received) => Err(Failure::Signalled(received.signal.number())),
            Err(_) => Ok(()),
        }
    }
}
