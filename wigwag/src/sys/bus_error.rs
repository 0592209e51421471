//! Bus error: the one handler of SIGBUS, for pages of shared memory that are gone.
//!
//! When the file behind a shared mapping is truncated, or the file system is full when a page is first
//! touched, the kernel sends SIGBUS (`mmap(2)`). Two kinds of access survive it here: a
//! [`copy`](super::copy), which fails, and whatever touches pages that are [watched](super::vanished), which reads zeros.
//! Every other SIGBUS goes to the handler that was there before. What it cannot help: a program that installs
//! its own handler later and does not call ours, or blocks SIGBUS; then truncation ends the process, as it would without us.
//!
//! `sigaction(2)`, `signal-safety(7)`

use std::sync::OnceLock;

use super::{copy, vanished};

/// `si_code` of an address without a page behind it (`BUS_ADRERR`).
const NO_PAGE: libc::c_int = 2;

/// What was done about SIGBUS before us.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// Installs the handler, once in the process.
pub(crate) fn install() {
    BEFORE.get_or_init(|| {
        // SAFETY: an all-zero sigaction is a valid value of the C type.
        let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: `before` is live and writable; nothing is changed by a null new action.
        unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut before) };
        before
    });
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // SAFETY: as above.
        let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
        ours.sa_sigaction = on_bus_error as *const () as usize;
        // On the alternate stack if the thread has one, as std's own handler.
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        // SAFETY: the handler has the signature of SA_SIGINFO and is async-signal-safe: it reads atomics and an
        // initialised OnceLock (one atomic load), writes its own context, and calls mmap and sigaction at most.
        unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, std::ptr::null_mut()) };
    });
}

extern "C" fn on_bus_error(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid siginfo_t to an SA_SIGINFO handler.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr()) };
    // Codes above 0 are the kernel's own faults; the others were sent by somebody.
    // SAFETY: the context is the kernel's.
    if code > 0 && unsafe { copy::resume(context) } {
        return;
    }
    if code == NO_PAGE && vanished::replace(address.addr()) {
        return;
    }
    let Some(before) = BEFORE.get() else { return };
    match before.sa_sigaction {
        libc::SIG_IGN if code <= 0 => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: puts back an action that sigaction returned. The fault happens again on
            // return; a signal that was sent is sent once more.
            unsafe {
                let mut default = *before;
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &raw const default, std::ptr::null_mut());
                if code <= 0 {
                    libc::raise(signal);
                }
            }
        }
        handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
            type Informed = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
            // SAFETY: SA_SIGINFO says that the handler has this signature.
            let handler: Informed = unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without SA_SIGINFO a handler takes the number alone.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
}
