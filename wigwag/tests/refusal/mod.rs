//! Refusal: what the tests of messages and signals share: how an error must be, and other users and namespaces.
#![allow(dead_code)] // each test binary uses its share

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use wigwag::Kind;
use wigwag::signal::{self, Mask, Set, Signal, Thread};

/// A time-out that is meant to pass.
pub const SHORT: Duration = Duration::from_millis(50);
/// A time-out that is not.
pub const LONG: Duration = Duration::from_secs(20);

/// The outcome must be an error of this kind that says this.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(outcome: wigwag::Result<T>, kind: Kind, says: &str) {
    let error = outcome.expect_err("a refusal");
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains(says), "{text} should contain {says}");
}

/// A child that runs as another user.
pub fn nobody(command: &mut Command) {
    command.uid(65534).gid(65534);
}

/// A child in an IPC namespace of its own.
pub fn own_namespace(command: &mut Command) {
    // SAFETY: unshare(2) is a bare system call, fit for the time after fork.
    unsafe {
        command.pre_exec(|| match libc::unshare(libc::CLONE_NEWIPC) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

/// A child in all of whose threads these signals are blocked.
pub fn blocking(signals: impl Into<Set>) -> impl FnOnce(&mut Command) {
    let set = signals.into();
    move |command| {
        // SAFETY: blocking signals is a bare system call, fit for the time after fork.
        unsafe {
            command.pre_exec(move || {
                Mask::block(set)?.keep();
                Ok(())
            });
        }
    }
}

/// Catches the signal without effect, so that it interrupts system calls.
pub fn interrupted_by(which: Signal) {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing, so it may run at any time; no SA_RESTART.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(which.number(), &raw const action, std::ptr::null_mut());
    }
}

/// This thread, in words for the test.
pub fn this_thread() -> String {
    let me = signal::this_thread();
    format!("{} {}", me.pid, me.tid)
}

/// The thread of these words.
pub fn thread(words: &str) -> Thread {
    let (pid, tid) = words.split_once(' ').expect("pid and tid");
    Thread {
        pid: pid.parse().expect("pid"),
        tid: tid.parse().expect("tid"),
    }
}
