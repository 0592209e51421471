//! Relay: signals sent to us go on to the command we run, while we do nothing but wait for it.
//!
//! The waiting is one `waitid(2)`, and the passing on is done in the handler: so who looks from outside (`wigwag why`,
//! `wigwag deadlocks`) sees a process that waits for its child and for nothing else.

use std::process::{Child, ExitStatus};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use wigwag::signal::Signal;

use crate::failure::{Failure, Result};
use crate::interrupt::Interrupts;

/// The command; 0 while there is none to pass anything on to.
static COMMAND: AtomicI32 = AtomicI32::new(0);

/// Waits until the command has ended, and passes on to it what is sent to us meanwhile, also before it was started
/// and since `interrupts` hold it back. Afterwards they hold it back again.
pub(crate) fn attend(command: &mut Child, interrupts: &Interrupts) -> Result<ExitStatus> {
    COMMAND.store(command.id().cast_signed(), Ordering::Release);
    interrupts.signals().iter().try_for_each(handle)?;
    interrupts.let_in()?;
    let pid = command.id();
    let ended = loop {
        // It stays a corpse, and its id its own, until no handler can use that any more.
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
        // SAFETY: the kernel writes to `info`, which is large enough and not read.
        let done = unsafe {
            libc::waitid(
                libc::P_PID,
                pid,
                info.as_mut_ptr(),
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        match done {
            0 => break Ok(()),
            _ => match std::io::Error::last_os_error() {
                error if error.kind() == std::io::ErrorKind::Interrupted => {}
                error => break Err(Failure::io("wait for the command", &error)),
            },
        }
    };
    interrupts.hold_again()?;
    COMMAND.store(0, Ordering::Release);
    ended?;
    command
        .wait()
        .map_err(|error| Failure::io("wait for the command", &error))
}

/// Passes this signal on from now on, unless it is ignored, as `nohup(1)` makes it: the command ignores it too.
fn handle(signal: Signal) -> Result<()> {
    // SAFETY: all bytes zero is a valid sigaction: the default, no flags, no mask.
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    let mut new = old;
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = pass_on;
    new.sa_sigaction = handler as libc::sighandler_t;
    new.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: both are live; the handler does only what is allowed in one.
    let done = unsafe {
        match libc::sigaction(signal.number(), ptr::null(), &raw mut old) {
            0 if old.sa_sigaction == libc::SIG_IGN => 0,
            0 => libc::sigaction(signal.number(), &raw const new, ptr::null_mut()),
            failed => failed,
        }
    };
    match done {
        0 => Ok(()),
        _ => Err(Failure::io(
            format_args!("handle {signal}"),
            &std::io::Error::last_os_error(),
        )),
    }
}

/// What the terminal sent us it has sent to the command too; the codes of what a process sends are not positive.
extern "C" fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let command = COMMAND.load(Ordering::Acquire);
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid one.
    let by_process = unsafe { (*info).si_code } <= 0;
    if command > 0 && by_process {
        // SAFETY: `kill(2)` is allowed in a handler, and errno is as it was when it returns. The command has not
        // been waited for, so the id is its own.
        unsafe {
            let errno = libc::__errno_location();
            let before = *errno;
            libc::kill(command, signal);
            *errno = before;
        }
    }
}
