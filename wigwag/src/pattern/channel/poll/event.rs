//! Event: what the poller makes readable, which is an event counter of this process.
//!
//! `eventfd(2)`.

#[cfg(not(loom))]
mod kernel {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use rustix::event::{EventfdFlags, eventfd};
    use rustix::io::Errno;

    /// A descriptor that is readable from when it is raised until it is lowered.
    #[derive(Debug)]
    pub(crate) struct Event(OwnedFd);

    impl Event {
        /// A raised one.
        pub(crate) fn new() -> Result<Self, Errno> {
            eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Event)
        }

        pub(crate) fn raise(&self) {
            // A counter that cannot count further is readable.
            let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
        }

        pub(crate) fn lower(&self) {
            // Nothing in it is fine, too.
            let _ = rustix::io::read(&self.0, &mut [0; 8]);
        }
    }

    impl AsFd for Event {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
}
#[cfg(not(loom))]
pub(crate) use kernel::Event;

#[cfg(loom)]
#[allow(dead_code)] // the model has no descriptors, so no Pollable
mod model {
    use crate::sys::atomic::{AtomicU32, Ordering};
    use crate::sys::futex;
    use crate::wait::Deadline;

    /// One on which a thread of the model sleeps.
    #[derive(Debug)]
    pub(crate) struct Event(AtomicU32);

    impl Event {
        pub(crate) fn new() -> Result<Self, rustix::io::Errno> {
            Ok(Event(AtomicU32::new(1)))
        }

        pub(crate) fn raise(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            futex::wake(&self.0, u32::MAX);
        }

        pub(crate) fn lower(&self) {
            self.0.swap(0, Ordering::SeqCst);
        }

        /// Sleeps until it is raised.
        pub(crate) fn await_raised(&self) {
            while self.0.load(Ordering::SeqCst) == 0 {
                futex::wait(&self.0, 0, Deadline::Never);
            }
        }
    }

    impl std::os::fd::AsFd for Event {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            unreachable!("a model polls nothing")
        }
    }
}
#[cfg(loom)]
pub(crate) use model::Event;
