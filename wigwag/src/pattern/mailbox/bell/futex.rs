//! Futex: the bell that is the flag itself, on which the kernel lets a side sleep.

use std::time::Duration;

use wigwag_mailbox::{Side, Word};

use super::super::FACILITY;
use super::Bell;
use crate::error::{Kind, Result};
use crate::interrupt::ENDED;
use crate::sys::futex::{self, Sleep};
use crate::wait::Wait;

/// The flag itself, on which the kernel lets a side sleep.
///
/// It works between all processes that map the memory, in whatever namespace, and costs no system call while nobody sleeps.
#[derive(Debug, Clone, Copy, Default)]
#[doc(alias = "futex")]
pub struct Futex;

impl Bell for Futex {
    fn ring(&self, _: Side, flag: &Word) {
        // Both sides may sleep there, though only one can have reason to.
        futex::wake(flag, u32::MAX);
    }

    fn wait(&self, _: Side, flag: &Word, seen: u32, limit: Option<Duration>) -> Result<()> {
        match futex::wait(flag, seen, Wait::from(limit).into()) {
            Sleep::Woken | Sleep::Changed | Sleep::TimedOut => Ok(()),
            Sleep::Interrupted => Err(FACILITY.error(Kind::Interrupted, "wait at", "", ENDED)),
            Sleep::Gone => {
                let why = "its memory is gone";
                Err(FACILITY.error(Kind::Corrupt, "wait at", "", why))
            }
        }
    }
}
