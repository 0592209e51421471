//! Interrupts: signals that ask us to end, held back so that nothing is lost half done.
//!
//! A message that was received must be printed, a gate that was entered must be left, objects
//! that a check made must be removed. So the commands that do such things hold the signals
//! back from their start, wait in short slices, and look between the slices.

use std::io;
use std::time::Duration;

use crate::failure::{Failure, Result};

/// The signals that ask a process to end.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Signals held back from now on, in this thread and those it starts.
#[derive(Debug)]
pub(crate) struct Interrupts {
    set: libc::sigset_t,
}

/// A signal that was held back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived {
    pub(crate) signal: i32,
    /// Sent to us by a process; not by the terminal, which sends it to our children too.
    pub(crate) by_process: bool,
}

impl Interrupts {
    /// Holds back the signals that ask us to end, and `also` these. To be called before any thread is started.
    pub(crate) fn hold(also: &[i32]) -> Result<Self> {
        let mut set = std::mem::MaybeUninit::uninit();
        // SAFETY: sigemptyset(3) initialises the set it is given.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: initialised on the line above.
        let mut set: libc::sigset_t = unsafe { set.assume_init() };
        for signal in ENDING.iter().chain(also) {
            // SAFETY: `set` is a live, initialised set.
            unsafe { libc::sigaddset(&raw mut set, *signal) };
        }
        // SAFETY: `set` is a live, initialised set, and the old mask is not asked for.
        let failed =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if failed != 0 {
            return Err(Failure::io(
                "hold back signals",
                &io::Error::from_raw_os_error(failed),
            ));
        }
        Ok(Interrupts { set })
    }

    /// Waits for one as long as told.
    pub(crate) fn next(&self, within: Duration) -> Option<Arrived> {
        let within = libc::timespec {
            tv_sec: within.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: within.subsec_nanos().into(),
        };
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: all three point to live values; the call fills `info` when it returns a signal.
        let signal = unsafe {
            libc::sigtimedwait(&raw const self.set, info.as_mut_ptr(), &raw const within)
        };
        // SAFETY: all-zero bytes are a valid siginfo_t, and so is what the kernel wrote.
        let info = unsafe { info.assume_init() };
        // An EINTR is no signal of ours; whoever waits for one calls again.
        (signal > 0).then_some(Arrived {
            signal,
            by_process: info.si_code <= 0,
        })
    }

    /// A failure when one has arrived.
    pub(crate) fn check(&self) -> Result<()> {
        match self.next(Duration::ZERO) {
            Some(arrived) => Err(Failure::Signalled(arrived.signal)),
            None => Ok(()),
        }
    }
}
