//! Membarrier: a full barrier on every processor at once, paid by one so that all others need none.
//!
//! "I store mine, then look at yours" needs a full barrier on both sides. Where one side does it a hundred million
//! times a second and the other seldom, the seldom one calls [`everywhere`], and the other has only to keep the
//! compiler from reordering. Both must have called [`register`] before.
//!
//! `membarrier(2)`, `MEMBARRIER_CMD_GLOBAL_EXPEDITED`.

#[cfg(not(loom))]
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};

const GLOBAL_EXPEDITED: libc::c_int = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: libc::c_int = 1 << 2;

/// A fork keeps the registration.
static REGISTERED: AtomicBool = AtomicBool::new(cfg!(loom));

/// Whether the threads of this process take part.
#[inline]
pub(crate) fn registered() -> bool {
    REGISTERED.load(Ordering::Acquire)
}

/// Makes the threads of this process, present and future, take part. With one thread it takes microseconds, with
/// more tens of milliseconds.
pub(crate) fn register() {
    if !registered() && membarrier(REGISTER_GLOBAL_EXPEDITED) {
        REGISTERED.store(true, Ordering::Release);
    }
}

/// The same if that is quick.
#[cfg(not(loom))]
pub(crate) fn register_if_quick() {
    // A directory has two links and one for each directory in it: `.`, `..` and one thread.
    let alone = std::fs::metadata("/proc/self/task").is_ok_and(|task| task.nlink() == 3);
    if alone {
        register();
    }
}

/// When it returns, each running thread of each registered process has gone through a full barrier
/// between the call and the return. A few microseconds, and an interrupt for the processors concerned.
pub(crate) fn everywhere() -> bool {
    #[cfg(loom)]
    super::atomic::fence(super::atomic::Ordering::SeqCst);
    cfg!(loom) || membarrier(GLOBAL_EXPEDITED)
}

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes two numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_it() {
        register();
        assert!(registered() && everywhere());
    }
}
