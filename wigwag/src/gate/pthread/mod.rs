//! POSIX threads objects in shared memory: the gates of a C program that laid out the memory, used from Rust.
//!
//! For memory that another program defined. Between programs of your own use the gates beside
//! this module: they cost less, and they survive what these do not:
//!
//! | object | a holder or waiter is killed | known fault (glibc) |
//! |---|---|---|
//! | [`Mutex`], robust | next owner is told ([`Lock::Orphaned`]) | a second waiter may sleep for ever when the first is killed as it wakes while a third takes the lock |
//! | [`Mutex`], not robust | stays locked for ever | with priority inheritance a blocked waiter aborts |
//! | [`Condvar`] | later signals are lost, then the *signaller* hangs (before glibc 2.41; destroying hangs in all) | – |
//! | [`RwLock`] | stays locked for ever | – |
//! | [`Barrier`] | the others wait for ever; there is no time-out | – |
//! | [`Semaphore`] | its permits are gone | – |
//!
//! **The layout belongs to one C library.** `pthread_mutex_t` is 40 bytes in glibc and in musl, and
//! the two exclude nothing between each other, silently. All programs on one object must use
//! the same C library and word size; nothing in the object says which.
//!
//! **A robust mutex trusts its peers with your memory.** Its list node holds pointers of the
//! owner's address space; a peer that overwrites them makes your `unlock` write elsewhere.
//!
//! **Identity is a thread id.** Between pid namespaces these locks exclude nothing reliably.
//!
//! # Safety of the constructors
//!
//! `at` and `init` of each type are unsafe, everything after them is safe. The caller promises that
//!
//! 1. the memory is mapped, writable and aligned for the object, and stays so for the lifetime
//!    `'a`; for a robust mutex also as long as any thread of this process holds it, even through
//!    a guard that was forgotten;
//! 2. for `at`: a program with the same C library has initialised it, process-shared if
//!    processes share it, and nobody initialises it again or destroys it during `'a`;
//! 3. every other process that can write the memory uses it by the rules of POSIX.
//!
//! A child of `fork(2)` does not own what its parent had locked.
//!
//! # Sources
//! `pthread_mutex_lock(3p)`, `pthread_mutexattr_setrobust(3)`, `pthread_cond_wait(3p)`,
//! `pthread_rwlock_rdlock(3p)`, `pthread_barrier_wait(3p)`, `sem_overview(7)`; glibc bugs 14485, 25847.

mod barrier;
mod condvar;
mod mutex;
mod rwlock;
mod semaphore;

pub use barrier::Barrier;
pub use condvar::Condvar;
pub use mutex::{Guard, Kind, Lock, Mutex, Options, Orphan};
pub use rwlock::{ReadGuard, RwLock, WriteGuard};
pub use semaphore::Semaphore;

use std::ffi::c_int;

use crate::error::Error;
use crate::sys::pthread::checked;

/// The error of a failed call on an object in memory, which has no name.
#[cold]
fn failed(action: &'static str, noun: &'static str, cause: &std::io::Error) -> Error {
    match cause.raw_os_error() {
        // pthread_mutex_trylock says EBUSY where others say EAGAIN.
        Some(libc::EBUSY) => {
            Error::os(action, noun, "", cause).with_kind(crate::error::Kind::WouldBlock)
        }
        Some(libc::ENOTRECOVERABLE) => {
            Error::os(action, noun, "", cause).with_kind(crate::error::Kind::Corrupt)
        }
        Some(libc::EAGAIN) => Error::os(action, noun, "", cause)
            .with_kind(crate::error::Kind::Limit)
            .with_detail("held too many times"),
        _ => Error::os(action, noun, "", cause),
    }
}

/// Runs `with` on an attribute object that `init` made, and destroys the object.
fn with_attributes<A>(
    init: unsafe extern "C" fn(*mut A) -> c_int,
    destroy: unsafe extern "C" fn(*mut A) -> c_int,
    with: impl FnOnce(*mut A) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut attributes = std::mem::MaybeUninit::<A>::uninit();
    // SAFETY: `init` initialises the object it is given, which is ours and writable.
    checked(unsafe { init(attributes.as_mut_ptr()) })?;
    let result = with(attributes.as_mut_ptr());
    // SAFETY: `init` succeeded; nobody uses the object after this.
    unsafe { destroy(attributes.as_mut_ptr()) };
    result
}
