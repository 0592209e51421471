//! Brief: a time in which this process has something open only to ask a question, which a look of another thread must not take for a use.
//!
//! Whoever opens such a descriptor has a [`Brief`] for as long; whoever lists this process's own descriptors does it [`between`] them. A
//! thread that is stuck with its descriptor (in the kernel, behind a page that nobody serves) holds up nobody for more than a moment.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Longer than a question takes, shorter than anybody minds.
const PATIENCE: Duration = Duration::from_millis(250);

#[derive(Default)]
struct Open {
    /// How many have something open.
    count: usize,
    /// How many wait for a time in which nobody has: those who come now let them go first.
    waiting: usize,
}

static OPEN: Mutex<Open> = Mutex::new(Open {
    count: 0,
    waiting: 0,
});
static CHANGED: Condvar = Condvar::new();

/// To be begun before the descriptor is opened, and dropped after it is closed. A thread has one at a time.
#[derive(Debug)]
pub(crate) struct Brief(());

impl Brief {
    /// Begins, when no list is being made.
    pub(crate) fn begin() -> Brief {
        let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = CHANGED.wait_timeout_while(open, PATIENCE, |open| open.waiting > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.count += 1;
        Brief(())
    }
}

impl Drop for Brief {
    fn drop(&mut self) {
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).count -= 1;
        CHANGED.notify_all();
    }
}

/// Makes a list of our own descriptors while nobody has one open only to ask, and nobody opens one.
pub(crate) fn between<T>(list: impl FnOnce() -> T) -> T {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.waiting += 1;
    let waited = CHANGED.wait_timeout_while(open, PATIENCE, |open| open.count > 0);
    let mut open = waited.unwrap_or_else(PoisonError::into_inner).0;
    let listed = list();
    open.waiting -= 1;
    CHANGED.notify_all();
    listed
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::probe::Lender;
    use super::super::{ProcFs, Scratch};

    #[test]
    fn what_another_thread_has_borrowed_is_not_among_our_descriptors() {
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        let ended = AtomicBool::new(false);
        let (fd, own) = (reader.as_raw_fd(), std::process::id());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !ended.load(Ordering::Relaxed) {
                        let borrowed = Lender::open(own).and_then(|lender| lender.borrow(fd));
                        assert_eq!(
                            borrowed.and_then(|pipe| pipe.readable_bytes()).ok(),
                            Some(0)
                        );
                    }
                });
            }
            let process = ProcFs::open()
                .and_then(|proc| proc.process(own))
                .expect("ourselves");
            let link = process.fd(fd, &mut Scratch::new()).expect("open").link;
            for _ in 0..300 {
                let all = process.fds(&mut Scratch::new()).expect("our own");
                let ends = all.iter().filter(|other| other.link == link).count();
                assert_eq!(ends, 2, "{all:?}");
            }
            ended.store(true, Ordering::Relaxed);
        });
    }
}
