//! Fork: the second process for memory that goes by `fork(2)` only.
//!
//! A program with threads must not fork and go on; so this is done before the first thread is started,
//! and the child waits, at no cost, until its turn comes.

use std::io::BufReader;

use rustix::process::Pid;
use wigwag::memory::anonymous::Anonymous;

use super::peer;
use super::play::{Fault, Play, Result};
use super::region::{self, Memory};
use super::second::Second;

/// A child that shares our memory, and our side of it.
pub(crate) struct Forked {
    pub(crate) second: Second,
    pub(crate) play: Box<dyn Play + Send>,
}

/// Makes the memory and forks.
pub(crate) fn anonymous() -> Result<Forked> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(Fault(format!(
            "there are {threads} threads already, too late to fork"
        )));
    }
    let mut play = Memory::new(Box::new(Anonymous::create(region::SIZE as u64)?))?;
    let (input, to) = std::io::pipe()?;
    let (from, mut output) = std::io::pipe()?;
    // SAFETY: this is the only thread, as was just counted, so no lock is held by another and
    // the child may go on like any process.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error().into()),
        0 => {
            // Ours would keep our own input open for ever.
            drop((to, from));
            let outcome = peer::serve(&mut play, &mut BufReader::new(input), &mut output);
            if let Err(fault) = &outcome {
                use std::io::Write;
                // If nobody hears it, nobody is left who wants to know.
                let _ = writeln!(output, "{fault}");
            }
            // Not `exit`: what the parent still has in its buffers is not ours to print.
            // SAFETY: _exit(2) ends the process; nothing of ours needs to be put away.
            unsafe { libc::_exit(i32::from(outcome.is_err())) }
        }
        pid => Ok(Forked {
            second: Second::forked(
                Pid::from_raw(pid).ok_or_else(|| Fault("fork gave no process".into()))?,
                to,
                from,
            ),
            play: Box::new(play),
        }),
    }
}
