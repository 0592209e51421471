//! Signal: anybody may send one, so a thread that waits for a signal is never stuck.

use super::abi::Sys;
use super::ask::{Ask, Need};
use super::machine::{Machine, Seen};
use crate::graph::{State, Wait};

/// Blocked in pause(2), sigsuspend(2) or sigwait(3).
pub(super) fn waiting(ask: &Ask<'_>) -> State {
    let why = match ask.sys {
        Sys::SigWait => "waits for one of a set of signals",
        _ => "waits for a signal that it handles",
    };
    let mut need = Need::world("signal", "signals", why, "whoever sends the signal");
    need.limited = ask.sys == Sys::SigWait && ask.arg(2) != 0;
    need.wait()
}

/// Whether a timer of the process's own may interrupt this wait.
///
/// A timer of timer_create(2) is a limit, unless other threads may get its signal; one of alarm(2) shows only by its handler.
pub(super) fn limit(ask: &Ask<'_>, wait: &mut Wait) {
    let machine = ask.machine;
    let status = machine.status(ask.seen);
    let alone = ask.seen.threads.len() == 1;
    let mine = machine.timers(ask.seen).iter().any(|timer| {
        timer.to != 0
            && timer.runs_in_sleep()
            && (alone || !timer.to_thread || status.ns_pids.last() == Some(&timer.to))
    });
    let alarm = libc::SIGALRM.cast_unsigned();
    if mine && alone {
        wait.limited = true;
    } else if mine || status.caught.iter().any(|signal| signal == alarm) {
        wait.alarmed = true;
    }
}

/// Whether the process handles signals by which others might tell it something. Interrupt and window size are a person's,
/// faults are the process's own, the first two real-time signals the C library's. Every shell handles the end of its children, and
/// that is no news for one that reads and has none; a `loop_` of events may have its pipe for nothing else.
pub(super) fn own_handlers(machine: &Machine, seen: &Seen, loop_: bool) -> bool {
    let usual = [
        libc::SIGINT,
        libc::SIGWINCH,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGSYS,
        libc::SIGABRT,
        32,
        33,
        34,
    ];
    let is_parent = || {
        let mut all = machine.processes.values();
        all.any(|other| other.stat.ppid == seen.pid)
    };
    let mut caught = machine.status(seen).caught.iter();
    caught.any(|signal| match signal.cast_signed() {
        libc::SIGCHLD => loop_ || is_parent(),
        signal => !usual.contains(&signal),
    })
}
