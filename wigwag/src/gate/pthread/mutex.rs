//! Mutex: `pthread_mutex_t`; when it is robust the next owner learns that the last one died.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::time::Duration;

use super::{failed, with_attributes};
use crate::error::Result;
use crate::sys::pthread::{absolute, checked, pthread_mutex_clocklock};
use crate::wait::{Deadline, Wait};

const NOUN: &str = "pthread mutex";

/// What happens when a thread locks what it has locked already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    /// It waits for itself, for ever.
    Normal,
    /// It gets an error of kind [`Deadlock`](crate::Kind::Deadlock).
    #[default]
    ErrorCheck,
    /// It has the lock once more.
    Recursive,
}

/// How a mutex is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What a thread gets that locks twice.
    pub kind: Kind,
    /// Whether the next owner learns that the last one died. Otherwise the lock stays held.
    pub robust: bool,
    /// Whether an owner runs with the priority of the most urgent waiter (`PTHREAD_PRIO_INHERIT`).
    /// Contended locking takes ten times as long and more.
    pub inherit_priority: bool,
    /// Whether other processes may use it.
    pub shared: bool,
}

/// Robust, error-checking, shared between processes, without priority inheritance.
impl Default for Options {
    fn default() -> Self {
        Options {
            kind: Kind::ErrorCheck,
            robust: true,
            inherit_priority: false,
            shared: true,
        }
    }
}

/// A `pthread_mutex_t` that lies in memory somebody else may have laid out.
///
/// It guards nothing by itself: what it protects lies beside it, and reaching that is unsafe.
///
/// ```
/// # #[cfg(all(target_os = "linux", target_env = "gnu"))] {
/// use wigwag::gate::pthread::{Lock, Mutex, Options};
///
/// let mut memory = std::mem::MaybeUninit::uninit(); // in earnest: inside a shared mapping
/// // SAFETY: the memory outlives the mutex, and nobody else touches it.
/// let mutex = unsafe { Mutex::init(memory.as_mut_ptr(), Options::default())? };
/// match mutex.lock()? {
///     Lock::Clean(_guard) => { /* read and write what it protects */ }
///     Lock::Orphaned(orphan) => { /* mend it first */ orphan.repaired()?; }
/// }
/// let guard = mutex.lock()?.or_repair(|| ())?;
/// assert_eq!(mutex.lock().err().map(|e| e.kind()), Some(wigwag::Kind::Deadlock)); // not a hang
/// drop(guard);
/// # }
/// # Ok::<(), wigwag::Error>(())
/// ```
#[doc(alias = "pthread_mutex_t")]
#[repr(transparent)]
pub struct Mutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a pthread mutex may be used by many threads at once; that is what it is for.
unsafe impl Sync for Mutex {}

impl Mutex {
    /// The mutex that a program with the same C library initialised at `at`.
    ///
    /// # Safety
    /// See [the contract](super#safety-of-the-constructors).
    #[must_use]
    pub unsafe fn at<'a>(at: *mut libc::pthread_mutex_t) -> &'a Mutex {
        // SAFETY: the caller promises a live object; the type is transparent over it.
        unsafe { &*at.cast() }
    }

    /// Makes a mutex at `at`.
    ///
    /// # Errors
    /// `Unsupported` when the kernel has no priority inheritance or robust list.
    ///
    /// # Safety
    /// See [the contract](super#safety-of-the-constructors); and nobody uses the memory yet.
    #[doc(alias = "pthread_mutex_init")]
    pub unsafe fn init<'a>(at: *mut libc::pthread_mutex_t, options: Options) -> Result<&'a Mutex> {
        let made = with_attributes(
            libc::pthread_mutexattr_init,
            libc::pthread_mutexattr_destroy,
            |attributes| {
                let kind = match options.kind {
                    Kind::Normal => libc::PTHREAD_MUTEX_NORMAL,
                    Kind::ErrorCheck => libc::PTHREAD_MUTEX_ERRORCHECK,
                    Kind::Recursive => libc::PTHREAD_MUTEX_RECURSIVE,
                };
                // SAFETY: the attributes are initialised, and the caller gives memory for a mutex.
                unsafe {
                    checked(libc::pthread_mutexattr_settype(attributes, kind))?;
                    if options.robust {
                        checked(libc::pthread_mutexattr_setrobust(
                            attributes,
                            libc::PTHREAD_MUTEX_ROBUST,
                        ))?;
                    }
                    if options.inherit_priority {
                        checked(libc::pthread_mutexattr_setprotocol(
                            attributes,
                            libc::PTHREAD_PRIO_INHERIT,
                        ))?;
                    }
                    if options.shared {
                        checked(libc::pthread_mutexattr_setpshared(
                            attributes,
                            libc::PTHREAD_PROCESS_SHARED,
                        ))?;
                    }
                    checked(libc::pthread_mutex_init(at, attributes))
                }
            },
        );
        made.map_err(|cause| failed("create", NOUN, &cause))?;
        // SAFETY: it is initialised now, and the caller promises the rest.
        Ok(unsafe { Self::at(at) })
    }

    /// Destroys it; the memory may be used for something else afterwards.
    ///
    /// # Errors
    /// `WouldBlock` when it is locked.
    ///
    /// # Safety
    /// Nobody, in any process, uses it any more.
    #[doc(alias = "pthread_mutex_destroy")]
    pub unsafe fn destroy(&self) -> Result<()> {
        // SAFETY: the constructor's caller promised a live mutex, this one that nobody uses it.
        checked(unsafe { libc::pthread_mutex_destroy(self.raw()) })
            .map_err(|cause| failed("destroy", NOUN, &cause))
    }

    /// Locks it, waiting as long as it takes.
    ///
    /// # Errors
    /// `Deadlock` when this thread has it (error-checking kind), `Corrupt` when an owner died and the one
    /// who was told did not repair it, `Limit` when a recursive one is held too often.
    #[doc(alias = "pthread_mutex_lock")]
    pub fn lock(&self) -> Result<Lock<'_>> {
        self.lock_with(Wait::Forever)
    }

    /// Locks it if nobody has it.
    ///
    /// # Errors
    /// `Corrupt` and `Limit` as for [`lock`](Self::lock). This thread having it counts as somebody.
    #[doc(alias = "pthread_mutex_trylock")]
    pub fn try_lock(&self) -> Result<Option<Lock<'_>>> {
        match self.lock_with(Wait::Not) {
            Ok(lock) => Ok(Some(lock)),
            Err(error) => match error.kind() {
                // glibc says EBUSY or, of a robust error-checking one, EDEADLK.
                crate::error::Kind::WouldBlock | crate::error::Kind::Deadlock => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Locks it, waiting at most `limit` of monotonic time.
    ///
    /// # Errors
    /// `TimedOut`; otherwise as for [`lock`](Self::lock).
    #[doc(alias = "pthread_mutex_timedlock")]
    #[doc(alias = "pthread_mutex_clocklock")]
    pub fn lock_timeout(&self, limit: Duration) -> Result<Lock<'_>> {
        self.lock_with(Wait::For(limit))
    }

    fn lock_with(&self, wait: Wait) -> Result<Lock<'_>> {
        let time = absolute(Deadline::from(wait));
        // SAFETY: a live mutex, by the contract of the constructors; the time lives across the call.
        let result = unsafe {
            match (wait, &time) {
                (Wait::Not, _) => libc::pthread_mutex_trylock(self.raw()),
                (_, None) => libc::pthread_mutex_lock(self.raw()),
                (_, Some(time)) => pthread_mutex_clocklock(self.raw(), libc::CLOCK_MONOTONIC, time),
            }
        };
        self.outcome(checked(result))
            .map_err(|cause| failed("lock", NOUN, &cause))
    }

    /// What a call that leaves the mutex locked came to.
    pub(super) fn outcome(&self, result: std::io::Result<()>) -> std::io::Result<Lock<'_>> {
        let guard = || Guard {
            mutex: self,
            not_send: PhantomData,
        };
        match result {
            Ok(()) => Ok(Lock::Clean(guard())),
            Err(cause) if cause.raw_os_error() == Some(libc::EOWNERDEAD) => {
                Ok(Lock::Orphaned(Orphan(guard())))
            }
            Err(cause) => Err(cause),
        }
    }

    pub(super) fn raw(&self) -> *mut libc::pthread_mutex_t {
        self.0.get()
    }
}

/// The lock, and whether its last owner left it or died with it.
#[must_use = "it is unlocked at once if it is not kept"]
pub enum Lock<'a> {
    /// The last owner unlocked it.
    Clean(Guard<'a>),
    /// The last owner died with it: what it protects may be half changed.
    Orphaned(Orphan<'a>),
}

impl<'a> Lock<'a> {
    /// The lock, after `mend` where the last owner died with it.
    ///
    /// # Errors
    /// As for [`Orphan::repaired`].
    pub fn or_repair(self, mend: impl FnOnce()) -> Result<Guard<'a>> {
        match self {
            Lock::Clean(guard) => Ok(guard),
            Lock::Orphaned(orphan) => {
                mend();
                orphan.repaired()
            }
        }
    }

    /// Whether the last owner died with it.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        matches!(self, Lock::Orphaned(_))
    }
}

/// The lock after its owner's death. Dropped without [`repaired`](Self::repaired), nobody can lock it again.
#[must_use = "dropping it makes the mutex unusable for everybody"]
pub struct Orphan<'a>(Guard<'a>);

impl<'a> Orphan<'a> {
    /// Says that what it protects is whole again.
    ///
    /// # Errors
    /// `BadInput` when the C library does not think that it is orphaned: somebody broke the rules.
    #[doc(alias = "pthread_mutex_consistent")]
    pub fn repaired(self) -> Result<Guard<'a>> {
        // SAFETY: a live mutex, by the contract of the constructors, which this thread has locked.
        checked(unsafe { libc::pthread_mutex_consistent(self.0.mutex.raw()) })
            .map_err(|cause| failed("repair", NOUN, &cause))?;
        Ok(self.0)
    }
}

/// The lock, until it is dropped. It stays in its thread.
#[must_use = "it is unlocked at once if it is not kept"]
pub struct Guard<'a> {
    mutex: &'a Mutex,
    not_send: PhantomData<*const ()>,
}

impl<'a> Guard<'a> {
    /// The mutex that is locked.
    #[must_use]
    pub fn mutex(&self) -> &'a Mutex {
        self.mutex
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // SAFETY: a live mutex, by the contract of the constructors. That this thread locked it is
        // what a guard says; in a child of fork it is an error, and nothing happens.
        unsafe { libc::pthread_mutex_unlock(self.mutex.raw()) };
    }
}
