//! Ending: a signal that asks us to end, or the reader of our output going away, ends the wait that we are in.
//!
//! The waits are whole ones, so who looks from outside (`wigwag why`, `wigwag deadlocks`) sees what we wait for and since when.
//! The handlers only note; a wait that was interrupted is then given up by the library ([`wigwag::interrupt`]), and what it had
//! already brought is kept: a message that was taken is printed, a permit given back. So that none is missed between
//! the last look and the system call, a noted signal comes again, as a timer's, until we have ended.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use wigwag::signal::{Mask, Set, Signal};

use crate::failure::{Failure, Result};
use crate::interrupt;

/// Why we are to end: the number of a signal, or [`UNREAD`]; 0 as long as we are not.
static WHY: AtomicI32 = AtomicI32::new(0);
/// Nobody reads what we print any more.
const UNREAD: i32 = -1;
/// Since when, milliseconds of the monotonic clock.
static SINCE: AtomicU64 = AtomicU64::new(0);
/// How long it is between two ticks of the timer.
const TICK: libc::suseconds_t = 20_000;
/// After a second, whoever asks once more does not want to wait for whatever we are stuck in.
const STUCK: u64 = 1000;

/// What ends our waits from now on.
#[derive(Debug)]
pub(crate) struct Ending(());

impl Ending {
    /// Notes the signals that ask us to end from now on, but for those that are ignored, as `nohup(1)` makes them.
    pub(crate) fn noted() -> Result<Self> {
        wigwag::interrupt::end_waits_if(|| WHY.load(Ordering::SeqCst) != 0);
        let_in(libc::SIGALRM)?;
        for signal in interrupt::ENDING {
            if !interrupt::is_ignored(signal)? {
                handle(signal.number(), note)?;
            }
        }
        Ok(Ending(()))
    }

    /// Notes also that the last reader of our standard output goes away.
    pub(crate) fn with_reader(self) -> Result<Self> {
        handle(libc::SIGIO, look)?;
        let_in(libc::SIGIO)?;
        let stdout = std::io::stdout();
        tell_of_end(stdout.as_fd());
        // Perhaps it is gone already.
        look(libc::SIGIO);
        Ok(self)
    }

    /// A failure when we are to end.
    pub(crate) fn check(&self) -> Result<()> {
        match WHY.load(Ordering::SeqCst) {
            0 => Ok(()),
            UNREAD => Err(Failure::Closed),
            signal => Err(Failure::Signalled(signal)),
        }
    }

    /// Makes an attempt that may wait as long as it likes.
    pub(crate) fn ends<T>(&self, attempt: impl FnOnce() -> wigwag::Result<T>) -> Result<T> {
        self.check()?;
        attempt().map_err(|error| match self.check() {
            Err(ended) if error.kind() == wigwag::Kind::Interrupted => ended,
            _ => error.into(),
        })
    }
}

/// Asks the kernel to tell us when the other side of a pipe or socket goes away.
fn tell_of_end(out: BorrowedFd<'_>) {
    let kind = rustix::fs::fstat(out).map(|stat| FileType::from_raw_mode(stat.st_mode));
    // If it fails, it is found out when the next message is printed.
    let _ = match kind {
        // An open file of our own: those who share the other one want no signals.
        Ok(FileType::Fifo) => {
            let path = format!("/proc/self/fd/{}", out.as_raw_fd());
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            match rustix::fs::open(path, flags, Mode::empty()) {
                // For good, as long as this process.
                Ok(own) => ask(&own).map(|()| std::mem::forget(own)),
                Err(_) => ask(&out),
            }
        }
        Ok(FileType::Socket) => ask(&out),
        // A file has no reader; a terminal that hangs up sends a signal of its own.
        _ => Ok(()),
    };
}

fn ask(out: &impl AsFd) -> Result<(), Errno> {
    let out = out.as_fd();
    // SAFETY: takes a live descriptor and a number.
    if unsafe { libc::fcntl(out.as_raw_fd(), libc::F_SETOWN, libc::getpid()) } != 0 {
        return Err(Errno::INVAL);
    }
    let flags = rustix::fs::fcntl_getfl(out)?;
    rustix::fs::fcntl_setfl(out, flags | OFlags::from_bits_retain(libc::O_ASYNC as u32))
}

/// Lets a handler run when the signal comes; a system call that sleeps is interrupted by it.
fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) -> Result<()> {
    match set(signal, handler) {
        0 => Ok(()),
        _ => Err(Failure::io(
            format_args!("handle signal {signal}"),
            &std::io::Error::last_os_error(),
        )),
    }
}

/// sigaction(2), which is allowed in a handler.
fn set(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) -> libc::c_int {
    // SAFETY: all bytes zero is a valid sigaction, without SA_RESTART; it is live, and the handlers do only what is
    // allowed in one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        libc::sigaction(signal, &raw const action, ptr::null_mut())
    }
}

/// Lets a signal that is between us and ourselves through, whatever whoever started us holds back.
fn let_in(signal: libc::c_int) -> Result<()> {
    let mut set = Set::new();
    set.insert(Signal::try_from(signal)?);
    Mask::unblock(set)?.keep();
    Ok(())
}

/// A signal asks us to end.
extern "C" fn note(signal: libc::c_int) {
    if end(signal) || now().saturating_sub(SINCE.load(Ordering::SeqCst)) < STUCK {
        return;
    }
    // SAFETY: both are allowed in a handler. It comes when this handler has returned.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Something happened at the other end of our output.
extern "C" fn look(_: libc::c_int) {
    let mut out = libc::pollfd {
        fd: libc::STDOUT_FILENO,
        events: 0,
        revents: 0,
    };
    // SAFETY: `poll(2)` is allowed in a handler; `out` is live; errno is as it was when it returns.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        if libc::poll(&raw mut out, 1, 0) == 1 && out.revents & (libc::POLLERR | libc::POLLHUP) != 0
        {
            end(UNREAD);
        }
        *errno = before;
    }
}

/// To interrupt is all.
extern "C" fn tick(_: libc::c_int) {}

/// Milliseconds of the monotonic clock; allowed in a handler.
fn now() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time is written to the place given, and clock_gettime(2) is allowed in a handler.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1000 + now.tv_nsec.cast_unsigned() / 1_000_000
}

/// The first reason counts; whether this is it.
fn end(why: i32) -> bool {
    // Before it counts: another signal may come right after.
    if WHY.load(Ordering::SeqCst) == 0 {
        SINCE.store(now(), Ordering::SeqCst);
    }
    let first = WHY
        .compare_exchange(0, why, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok();
    if first {
        // Not before: a handler for an alarm would look as if each of our waits had a limit, and to whoever sent us one with
        // an exec it is to be the end.
        set(libc::SIGALRM, tick);
        let tick = libc::timeval {
            tv_sec: 0,
            tv_usec: TICK,
        };
        let timer = libc::itimerval {
            it_interval: tick,
            it_value: tick,
        };
        // SAFETY: a system call on Linux, so allowed in a handler; `timer` is live. It does not fail with these values.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
    }
    first
}
