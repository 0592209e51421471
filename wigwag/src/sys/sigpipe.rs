//! SIGPIPE: the signal that kills a program for writing to a pipe nobody reads, held back.
//!
//! Programs written in Rust ignore it from their start, so nothing has to be done there. In a
//! program that does not (a C program with a Rust library in it, one that set the signal back to
//! its default) every write is fenced: the signal is blocked in this thread, and taken out again
//! if the write raised it. Sockets need none of this: they have `MSG_NOSIGNAL`.

use std::mem::MaybeUninit;

use rustix::io::Errno;

/// Whether the signal would kill this process now.
pub(crate) fn kills() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null `act` only asks; sigaction(2) fills the live, writable `oact` when it returns 0.
    unsafe {
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_DFL
    }
}

/// Makes one write with the signal held back in this thread. Three more system calls.
#[cold]
pub(crate) fn held_back<T>(write: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let pipe = only_sigpipe();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: all sets are live; `pipe` is initialised, the kernel fills `pending` and `before`.
    // Cannot fail: the arguments are valid.
    let was_pending = unsafe {
        libc::sigpending(pending.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const pipe, before.as_mut_ptr());
        libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1
    };
    let outcome = write();
    // One that was there before is not ours to take.
    if matches!(outcome, Err(Errno::PIPE)) && !was_pending {
        let now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: both arguments are live and initialised; no siginfo is asked for.
        while unsafe { libc::sigtimedwait(&raw const pipe, std::ptr::null_mut(), &raw const now) }
            == -1
            && super::last_error() == Errno::INTR
        {}
    }
    // SAFETY: `before` was filled above; no old mask is asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    outcome
}

fn only_sigpipe() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the live set before sigaddset changes it; SIGPIPE is a signal.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}
