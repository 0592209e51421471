//! Gates: who may go on, and who waits.
//!
//! | need | use | when its holder dies |
//! |---|---|---|
//! | one thread of any process at a time, with the value it guards | [`Mutex`] | the next one is told, and repairs |
//! | the same, and waiting inside for a change of the value | [`Monitor`] | the next one is told, and repairs |
//! | a mutex among threads of unlike real-time priority | [`Mutex::inheriting`] | the next one is told, and repairs |
//! | many readers or one writer of a value | [`RwLock`] | a reader's lock is freed; after a writer's death the next one is told, and repairs |
//! | waiting for a change of what a mutex guards | [`Condvar`] | nothing is held |
//! | all of N meet, round by round | [`Barrier`] | it is reported, and not waited for |
//! | count free resources or events, in memory | [`Semaphore`] | stays held |
//! | number free resources, in memory | [`RobustSemaphore`] | given back, and who gets it is told |
//! | sections of a few instructions on dedicated cores (read its page first) | [`SpinLock`], or in order of arrival [`TicketLock`] | the next one is told, and repairs |
//! | the same where a peer may be hostile | [`WaryMutex`] | the next one is told |
//! | make a value once, by whoever comes first | [`OnceCell`] | the next one makes it |
//! | count free resources, by name | [`posix`] semaphore | stays held |
//! | several counts at once, given back at exit | [`sysv`] semaphore set | given back if asked (undo) |
//! | protect a file, or a range of it | [`file_lock`]: OFD | given back |
//! | the same between whole programs, by shell too | [`file_lock`]: flock | given back |
//! | the same with programs that use `lockf(3)` | [`file_lock`]: POSIX record | given back |
//! | memory that a C program laid out with POSIX threads objects | [`pthread`] | see there |
//! | count events, wait for them in an event loop | [`event`] | nothing is held |
//!
//! **Who holds what, of the gates in memory.** A thread: when it ends its locks are orphans, though its process lives on. A
//! [`RobustSemaphore`]'s permit is the process's. A holder that is stopped (SIGSTOP, a debugger) is alive, and waited for. The child
//! of a `fork` holds nothing: guards that it has copies of give nothing back. `exec` ends all threads but one, which holds on, until
//! it ends, to what it held; but the kernel takes from it what is in its robust list: the [`Mutex`], and with it the [`Monitor`] and the writer's
//! side of [`RwLock`], in segments of [`Death::Kernel`](crate::shared::Death::Kernel).
//!
//! **Whom they trust.** A gate that hands out references or keeps pointers in the memory ([`Mutex`], and what is made of it) is for peers that
//! keep the rules: one that writes over it can crash the others. A [`Trust::Nobody`](crate::memory::segment::Trust::Nobody) segment refuses it,
//! and admits [`WaryMutex`], [`Condvar`], [`Semaphore`] and [`RobustSemaphore`], at which the worst that a peer can do is errors, wrong values
//! and waits to the end of their time-out. [`SpinLock`], [`TicketLock`] and [`OnceCell`] follow no pointers either, so that no time-out
//! fails at them, but what they guard is handed out by reference.

use crate::error::Result;
use crate::facility::{Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Guarantees, PeerDeath};
use crate::wait::Wait;

pub(crate) mod address;
pub mod barrier;
pub mod condvar;
pub mod event;
pub mod file_lock;
pub mod monitor;
pub mod mutex;
pub mod once;
pub mod posix;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod pthread;
pub mod robust_semaphore;
pub mod rwlock;
pub mod semaphore;
pub mod spin;
pub mod sysv;
pub mod ticket;
mod waiters;
#[cfg(not(loom))]
pub mod wary;
pub mod watch;

pub use barrier::Barrier;
pub use condvar::Condvar;
pub use monitor::Monitor;
pub use mutex::{Lock, Mutex};
pub use once::OnceCell;
pub use robust_semaphore::RobustSemaphore;
pub use rwlock::RwLock;
pub use semaphore::Semaphore;
pub use spin::SpinLock;
pub use ticket::TicketLock;
#[cfg(not(loom))]
pub use wary::WaryMutex;

/// For models: the calling thread is killed, with all that it holds, and must do nothing more.
#[cfg(loom)]
#[doc(hidden)]
pub fn die() {
    crate::sys::holder::die();
}

/// What the gates that lie in a segment have in common. They have no name of their own: the segment has one.
const IN_A_SEGMENT: Facility = Facility {
    id: "",
    title: "",
    noun: "",
    family: Family::Gate,
    naming: Naming::InMemory,
    unnamed_form: true,
    persistence: Persistence::Memory,
    boundary: None,
    direction: None,
    reach: Reach::Host,
    pollable: false,
    named_by: "– (inside a segment)",
    lives: "its memory",
    carries: "",
    limits: &[],
    guarantees: Guarantees {
        peer_death: PeerDeath::Reported,
        ..Guarantees::GATE
    },
    man: "futex(7)",
};

/// Whether others may be inside at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Others that ask for `Shared` too.
    Shared,
    /// Nobody.
    Exclusive,
}

/// A gate, whatever it is made of.
pub trait Gate: Send + Sync {
    /// Enters, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`, `Removed`, `Deadlock` where the kernel finds one; `BadInput`
    /// when it has no shared mode.
    #[doc(alias = "P")]
    fn acquire_with(&self, mode: Mode, wait: Wait) -> Result<()>;

    /// Leaves, letting another in.
    ///
    /// # Errors
    /// `Limit` when a counter is at its greatest value; what the system call says.
    #[doc(alias = "V")]
    fn release(&self) -> Result<()>;

    /// How many may enter now without waiting, where that is a number; old by the time it is read.
    ///
    /// # Errors
    /// What the system call says.
    fn available(&self) -> Result<Option<u64>>;
}
