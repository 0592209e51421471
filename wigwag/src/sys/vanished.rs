//! Vanished pages: those that a peer truncated away under a watched mapping read as zeros, and the mapping says so.
//!
//! For what works on shared memory in place, by atomics, and so cannot fail as a copy does: the fault puts a private page
//! of zeros where there was none, for ever, and whoever asks [`Watched::has_vanished`] after his work
//! learns that it came to nothing.
//!
//! `mmap(2)`

use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use super::bus_error;

/// Pages that are watched; reused and never freed, since a signal handler walks along them.
struct Entry {
    base: AtomicUsize,
    /// 0 while it watches nothing.
    len: AtomicUsize,
    vanished: AtomicBool,
    taken: AtomicBool,
    next: *const Entry,
}

// SAFETY: `next` is set before the entry is published, leads to an entry that lives for ever, and is never changed.
unsafe impl Sync for Entry {}

static FIRST: AtomicPtr<Entry> = AtomicPtr::new(null_mut());

fn entries() -> impl Iterator<Item = &'static Entry> {
    let at = |entry: *const Entry| {
        // SAFETY: null, or an entry that was leaked.
        unsafe { entry.as_ref() }
    };
    std::iter::successors(at(FIRST.load(Ordering::Acquire)), move |entry| {
        at(entry.next)
    })
}

/// A mapping that is watched until this is dropped.
#[derive(Debug)]
pub(crate) struct Watched(&'static Entry);

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("base", &self.base)
            .field("len", &self.len)
            .field("vanished", &self.vanished)
            .finish_non_exhaustive()
    }
}

impl Watched {
    /// Watches `len` bytes from `base`.
    ///
    /// # Safety
    /// They are a mapping that stays as long as this, made by `mmap`, whose pages may be replaced by zeros when they are gone.
    pub(crate) unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
        bus_error::install();
        let free = |entry: &&Entry| !entry.taken.swap(true, Ordering::AcqRel);
        let entry = entries().find(free).unwrap_or_else(added);
        entry.vanished.store(false, Ordering::Relaxed);
        entry.base.store(base.addr().get(), Ordering::Relaxed);
        entry.len.store(len, Ordering::Release);
        Watched(entry)
    }

    /// Whether a page of it was gone when it was needed.
    #[inline]
    pub(crate) fn has_vanished(&self) -> bool {
        self.0.vanished.load(Ordering::Relaxed)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.len.store(0, Ordering::Relaxed);
        self.0.taken.store(false, Ordering::Release);
    }
}

fn added() -> &'static Entry {
    let new: &'static mut Entry = Box::leak(Box::new(Entry {
        base: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        vanished: AtomicBool::new(false),
        taken: AtomicBool::new(true),
        next: null_mut(),
    }));
    let mut first = FIRST.load(Ordering::Relaxed);
    loop {
        new.next = first;
        match FIRST.compare_exchange_weak(first, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return new,
            Err(other) => first = other,
        }
    }
}

/// In the handler of a bus error: whether the address is watched, and now there is a page of zeros.
pub(super) fn replace(address: usize) -> bool {
    let inside = |entry: &&Entry| {
        let len = entry.len.load(Ordering::Acquire);
        address.wrapping_sub(entry.base.load(Ordering::Relaxed)) < len
    };
    let Some(entry) = entries().find(inside) else {
        return false;
    };
    let page = rustix::param::page_size();
    let here = std::ptr::with_exposed_provenance_mut(address - address % page);
    // SAFETY: a page of a mapping whose owner allowed this; it is gone, so nothing is lost. The errno of the
    // interrupted code is put back.
    let mapped = unsafe {
        let errno = *libc::__errno_location();
        let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let mapped = libc::mmap(here, page, access, flags, -1, 0);
        *libc::__errno_location() = errno;
        mapped
    };
    entry.vanished.store(true, Ordering::Relaxed);
    mapped != libc::MAP_FAILED
}

#[cfg(test)]
mod tests {
    use rustix::mm::{MapFlags, ProtFlags};

    use super::*;

    #[test]
    fn what_was_truncated_reads_as_zeros_and_is_told() {
        let object = rustix::fs::memfd_create("gone", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&object, 8192).unwrap();
        // SAFETY: a new mapping, reached through the pointer below only.
        let base = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap(null_mut(), 8192, access, MapFlags::SHARED, &object, 0)
        };
        let base = NonNull::new(base.unwrap().cast::<u8>()).unwrap();
        // SAFETY: as above; it stays longer than the watch.
        let watched = unsafe { Watched::new(base, 8192) };
        // SAFETY: aligned, inside the mapping, and nothing but atomics.
        let word = unsafe { base.add(4096).cast::<AtomicUsize>().as_ref() };
        word.store(7, Ordering::Relaxed);
        assert!(!watched.has_vanished());
        rustix::fs::ftruncate(&object, 0).unwrap();
        assert_eq!(word.load(Ordering::Relaxed), 0);
        word.store(8, Ordering::Relaxed);
        assert_eq!(word.load(Ordering::Relaxed), 8, "a private page");
        assert!(watched.has_vanished());
        drop(watched);
        // SAFETY: mapped above, not used any more.
        unsafe { rustix::mm::munmap(base.as_ptr().cast(), 8192) }.unwrap();
    }
}
