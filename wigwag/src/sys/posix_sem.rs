//! POSIX semaphores: `sem_t` as the C library lays it out, by pointer.
//!
//! A semaphore is a futex with a count; without contention no call enters the kernel. All functions retry
//! `EINTR`, so that a signal handler never counts as a permit. Whatever bytes a peer leaves in a `sem_t`,
//! the C library does nothing with them but count and sleep: wrong permits and endless waits, nothing worse.
//!
//! `sem_overview(7)`; the layout: glibc, `nptl/sem_post.c` and `sysdeps/nptl/internaltypes.h` (`struct new_sem`)

use std::ffi::CStr;
use std::ptr::NonNull;
#[cfg(target_env = "gnu")]
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use super::last_error;
use crate::interrupt;
use rustix::time::{ClockId, Timespec, clock_gettime};

pub(crate) use libc::sem_t;

#[cfg(not(target_env = "musl"))]
unsafe extern "C" {
    /// glibc 2.30: `sem_timedwait` with a clock that nobody sets.
    fn sem_clockwait(
        sem: *mut sem_t,
        clock: libc::clockid_t,
        until: *const libc::timespec,
    ) -> libc::c_int;
}

/// The same made of what musl has, which goes by the clock on the wall: in slices, since somebody may set that.
#[cfg(target_env = "musl")]
unsafe fn sem_clockwait(
    sem: *mut sem_t,
    _monotonic: libc::clockid_t,
    until: *const libc::timespec,
) -> libc::c_int {
    const SLICE: Duration = Duration::from_secs(1);
    // SAFETY: the caller's pointer is to a live time.
    let until = unsafe { *until };
    let until = Duration::new(until.tv_sec.unsigned_abs().into(), until.tv_nsec as u32);
    loop {
        let now = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
        let left = until.saturating_sub(now(ClockId::Monotonic));
        let end = now(ClockId::Realtime) + left.min(SLICE);
        let end = libc::timespec {
            tv_sec: end.as_secs() as _,
            tv_nsec: end.subsec_nanos() as _,
        };
        // SAFETY: the semaphore is one, as the caller promises; `end` lives.
        let result = unsafe { libc::sem_timedwait(sem, &raw const end) };
        if result == 0 || left.is_zero() || last_error() != Errno::TIMEDOUT {
            return result;
        }
    }
}

#[cfg(target_env = "gnu")]
use glibc::{ONE, Word, is_awaited, permits};

/// 64-bit glibc: the permits below, the number of those who wait above.
#[cfg(all(target_env = "gnu", target_pointer_width = "64"))]
mod glibc {
    pub(super) type Word = std::sync::atomic::AtomicU64;
    pub(super) const ONE: u64 = 1;

    pub(super) fn permits(word: u64) -> u32 {
        word as u32
    }

    pub(super) fn is_awaited(word: u64) -> bool {
        word >> 32 != 0
    }
}

/// 32-bit glibc: bit 0 that somebody waits, the permits above.
#[cfg(all(target_env = "gnu", target_pointer_width = "32"))]
mod glibc {
    pub(super) type Word = std::sync::atomic::AtomicU32;
    pub(super) const ONE: u32 = 2;

    pub(super) fn permits(word: u32) -> u32 {
        word >> 1
    }

    pub(super) fn is_awaited(word: u32) -> bool {
        word & 1 != 0
    }
}

/// The greatest count (`SEM_VALUE_MAX`).
const MOST: i32 = i32::MAX;

/// A semaphore that is there: in mapped, writable memory, for as long as the value lives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sem(NonNull<sem_t>);

// SAFETY: POSIX semaphores are made for any thread of any process.
unsafe impl Send for Sem {}
// SAFETY: as above.
unsafe impl Sync for Sem {}

impl Sem {
    /// Takes the semaphore at this place.
    ///
    /// # Safety
    /// The memory stays mapped for writing as long as the value (or a copy) is used, and is
    /// reached only as a semaphore.
    pub(crate) unsafe fn at(place: NonNull<sem_t>) -> Self {
        Sem(place)
    }

    /// Makes it one for processes that share the memory, with so many permits.
    pub(crate) fn init(self, value: u32) -> Result<(), Errno> {
        // SAFETY: mapped and writable, as `at` requires.
        done(unsafe { libc::sem_init(self.0.as_ptr(), 1, value) })
    }

    /// Opens a named one; with `create` (mode and value) it makes it, and fails if it exists.
    pub(crate) fn open(name: &CStr, create: Option<(u32, u32)>) -> Result<Self, Errno> {
        // SAFETY: `name` ends with NUL; the variadic arguments have the types that sem_open(3) documents.
        let sem = unsafe {
            match create {
                Some((mode, value)) => {
                    libc::sem_open(name.as_ptr(), libc::O_CREAT | libc::O_EXCL, mode, value)
                }
                None => libc::sem_open(name.as_ptr(), 0),
            }
        };
        // SEM_FAILED is null in glibc and musl.
        NonNull::new(sem).map(Sem).ok_or_else(last_error)
    }

    /// Gives back what `open` gave.
    ///
    /// # Safety
    /// It came from `open`, and neither it nor a copy is used again.
    pub(crate) unsafe fn close(self) {
        // SAFETY: as the caller promises.
        unsafe { libc::sem_close(self.0.as_ptr()) };
    }

    /// Takes a permit, waiting as long as it takes.
    #[inline]
    pub(crate) fn wait(self) -> Result<(), Errno> {
        if self.take() {
            Ok(())
        } else {
            self.wait_slowly()
        }
    }

    #[cold]
    fn wait_slowly(self) -> Result<(), Errno> {
        loop {
            // SAFETY: mapped and writable, as `at` requires.
            if unsafe { libc::sem_wait(self.0.as_ptr()) } == 0 {
                return Ok(());
            }
            retry()?;
        }
    }

    /// Takes a permit if there is one, else `EAGAIN`.
    #[inline]
    pub(crate) fn try_wait(self) -> Result<(), Errno> {
        if self.take() {
            return Ok(());
        }
        loop {
            // SAFETY: as above.
            if unsafe { libc::sem_trywait(self.0.as_ptr()) } == 0 {
                return Ok(());
            }
            retry()?;
        }
    }

    /// Takes a permit, waiting so long on the monotonic clock at most, else `ETIMEDOUT`.
    pub(crate) fn wait_for(self, limit: Duration) -> Result<(), Errno> {
        if self.take() {
            return Ok(());
        }
        let Some(until) = from_now(limit) else {
            return self.wait();
        };
        loop {
            // SAFETY: as above; `until` lives.
            let result =
                unsafe { sem_clockwait(self.0.as_ptr(), libc::CLOCK_MONOTONIC, &raw const until) };
            if result == 0 {
                return Ok(());
            }
            retry()?;
        }
    }

    /// Gives a permit; `EOVERFLOW` when there are as many as can be counted. Async-signal-safe.
    #[inline]
    pub(crate) fn post(self) -> Result<(), Errno> {
        if self.give(MOST - 1) == Some(true) {
            return Ok(());
        }
        // SAFETY: mapped and writable, as `at` requires.
        done(unsafe { libc::sem_post(self.0.as_ptr()) })
    }

    /// Gives a permit unless there is one: then `EOVERFLOW`, at the same instant. `ENOSYS` with a C library whose
    /// layout we do not know.
    pub(crate) fn post_if_none(self) -> Result<(), Errno> {
        match self.give(0) {
            Some(true) => Ok(()),
            Some(false) => Err(Errno::OVERFLOW),
            None => Err(Errno::NOSYS),
        }
    }

    /// The word that glibc itself accesses as an atomic.
    #[cfg(target_env = "gnu")]
    #[inline]
    fn word(&self) -> &Word {
        const _: () = assert!(size_of::<sem_t>() == 4 * size_of::<usize>());
        // SAFETY: mapped and writable as `at` requires, aligned as a sem_t, which is as this, and accessed as this by all.
        unsafe { Word::from_ptr(self.0.as_ptr().cast()) }
    }

    /// Takes a permit if there is one, as the C library does first too, without calling it.
    #[cfg(target_env = "gnu")]
    #[inline]
    fn take(self) -> bool {
        let word = self.word();
        let seen = word.load(Ordering::Relaxed);
        // Once: what is contended is left to the C library.
        permits(seen) != 0
            && word
                .compare_exchange(seen, seen - ONE, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Gives a permit if there are `most` at most, as the C library's `sem_post` does with its own bound. `None` when we
    /// cannot tell.
    #[cfg(target_env = "gnu")]
    #[inline]
    fn give(self, most: i32) -> Option<bool> {
        let word = self.word();
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            if permits(seen) > most.cast_unsigned() {
                return Some(false);
            }
            let more = seen + ONE;
            match word.compare_exchange_weak(seen, more, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        if is_awaited(seen) {
            self.wake();
        }
        Some(true)
    }

    #[cfg(target_env = "gnu")]
    #[cold]
    fn wake(self) {
        use rustix::thread::futex::{Flags, wake};
        let high = size_of::<Word>() / size_of::<u32>() - 1;
        let low = if cfg!(target_endian = "little") {
            0
        } else {
            high
        };
        // SAFETY: the word above or half of it. It is not read here: only its address is passed on, by which the C library
        // waits with the kind of futex that processes share.
        let count = unsafe { AtomicU32::from_ptr(self.0.as_ptr().cast::<u32>().add(low)) };
        let _ = wake(count, Flags::empty(), 1);
    }

    #[cfg(not(target_env = "gnu"))]
    fn take(self) -> bool {
        false
    }

    #[cfg(not(target_env = "gnu"))]
    fn give(self, _most: i32) -> Option<bool> {
        None
    }

    /// How many permits there are.
    #[inline]
    pub(crate) fn value(self) -> u32 {
        let mut value = 0;
        // SAFETY: as above; `value` is writable.
        unsafe { libc::sem_getvalue(self.0.as_ptr(), &raw mut value) };
        // POSIX allows a negative number for those who wait; Linux never gives one.
        u32::try_from(value).unwrap_or(0)
    }
}

/// Removes a name.
pub(crate) fn unlink(name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` ends with NUL.
    done(unsafe { libc::sem_unlink(name.as_ptr()) })
}

/// A point on the monotonic clock; `None` when it is beyond the clock's end.
#[allow(clippy::useless_conversion)] // a C library's time may have 32 bits
fn from_now(limit: Duration) -> Option<libc::timespec> {
    let limit = Timespec::try_from(limit).ok()?;
    let until = clock_gettime(ClockId::Monotonic).checked_add(limit)?;
    Some(libc::timespec {
        tv_sec: until.tv_sec.try_into().ok()?,
        tv_nsec: until.tv_nsec as _, // less than 2^30
    })
}

fn done(result: libc::c_int) -> Result<(), Errno> {
    if result == 0 {
        Ok(())
    } else {
        Err(last_error())
    }
}

/// `Ok` when the call is to be made again.
#[cold]
fn retry() -> Result<(), Errno> {
    match last_error() {
        Errno::INTR => interrupt::again(),
        errno => Err(errno),
    }
}
