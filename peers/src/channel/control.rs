//! Control: the memory that the parts of a team share: one word that starts them, and the times they report.
//!
//! The referee writes `count`, adds one to `go` and sleeps on `done`. Each part, asleep on `go` until then, meets the
//! others at `arrived`, works, and reports when it began and ended on the monotonic clock, which all processes share.
//! Asleep, it costs the others nothing. The first page has this, in the layout that `boost.cpp` has too; the rest is for
//! the contestants that are nothing but memory.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::nanoseconds;

/// More parts no sport has.
pub const PARTS: usize = 4;
/// The control page, then two buffers of 1 MiB with a page each for words.
const SIZE: usize = 4 << 20;
/// The value of `go` that ends a part.
const STOP: u32 = u32::MAX;
/// A burst that has not ended by then never will.
const HUNG: Duration = Duration::from_secs(20);

/// The first page. `boost.cpp` has the same words.
#[repr(C)]
struct Control {
    go: AtomicU32,
    parts: AtomicU32,
    count: AtomicU64,
    arrived: AtomicU32,
    done: AtomicU32,
    failed: AtomicU32,
    unused: AtomicU32,
    began: [AtomicU64; PARTS],
    ended: [AtomicU64; PARTS],
}

/// A mapping of it. Every process has its own, threads share one.
pub struct Memory {
    fd: OwnedFd,
    start: *mut u8,
}

// SAFETY: the control words are atomics; of the rest only raw pointers are handed out.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this size; nothing borrowed outlives `self`.
        unsafe { libc::munmap(self.start.cast(), SIZE) };
    }
}

impl Memory {
    /// New memory of zeroes, for so many parts.
    pub fn create(parts: usize) -> io::Result<Self> {
        // SAFETY: the name is a C string; the descriptor is new.
        let fd = unsafe {
            let fd = libc::memfd_create(c"peers".as_ptr(), libc::MFD_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        // SAFETY: takes numbers.
        if unsafe { libc::ftruncate(fd.as_raw_fd(), SIZE as i64) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let memory = Self::map(fd)?;
        let parts = u32::try_from(parts).map_err(io::Error::other)?;
        memory.control().parts.store(parts, Ordering::Relaxed);
        Ok(memory)
    }

    /// The memory behind a descriptor that `create` made.
    pub fn map(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: a new shared mapping, populated so that no fault falls into a burst.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                fd.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = start.cast();
        Ok(Memory { fd, start })
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The address of byte `offset` of what is free for contestants; `bytes` from there on are mapped.
    pub fn free(&self, offset: usize, bytes: usize) -> *mut u8 {
        let offset = offset + 4096;
        assert!(offset + bytes <= SIZE, "{offset} + {bytes} is outside");
        // SAFETY: inside the mapping.
        unsafe { self.start.add(offset) }
    }

    fn control(&self) -> &Control {
        // SAFETY: mapped, page-aligned, long enough, and all bits are atomics that any value suits.
        unsafe { &*self.start.cast() }
    }

    /// One burst: every part does `count` operations. Nanoseconds from the first beginning to the last end.
    pub fn burst(&self, count: u64) -> io::Result<f64> {
        use Ordering::{Acquire, Relaxed, Release};
        let control = self.control();
        control.count.store(count, Relaxed);
        control.arrived.store(0, Relaxed);
        control.done.store(0, Relaxed);
        control.go.fetch_add(1, Release);
        wake(&control.go);
        let (parts, start) = (control.parts.load(Relaxed), Instant::now());
        loop {
            let done = control.done.load(Acquire);
            if control.failed.load(Acquire) != 0 {
                return Err(io::Error::other("a part failed"));
            }
            if done == parts {
                break;
            }
            if start.elapsed() > HUNG {
                return Err(io::Error::other("the parts do not come to an end"));
            }
            sleep(&control.done, done, Some(Duration::from_millis(500)));
        }
        let parts = parts as usize;
        let times = |of: &[AtomicU64; PARTS]| -> Vec<u64> {
            of[..parts].iter().map(|word| word.load(Relaxed)).collect()
        };
        let began = times(&control.began).into_iter().min().unwrap_or(0);
        let ended = times(&control.ended).into_iter().max().unwrap_or(0);
        Ok(ended.saturating_sub(began) as f64)
    }

    /// Ends all parts.
    pub fn stop(&self) {
        self.control().go.store(STOP, Ordering::Release);
        wake(&self.control().go);
    }

    /// In a part: works whenever the referee says so, until it says stop.
    pub fn play(&self, part: usize, work: &mut super::sport::Work) -> io::Result<()> {
        use Ordering::{AcqRel, Acquire, Relaxed, Release};
        let control = self.control();
        let parts = control.parts.load(Relaxed);
        let mut last = 0;
        loop {
            let go = control.go.load(Acquire);
            if go == STOP {
                return Ok(());
            }
            if go == last {
                sleep(&control.go, last, None);
                continue;
            }
            last = go;
            let count = control.count.load(Relaxed);
            control.arrived.fetch_add(1, AcqRel);
            let mut looks = 0_u32;
            while control.arrived.load(Acquire) != parts {
                looks += 1;
                // The other may have to come to this core.
                if looks.is_multiple_of(256) {
                    std::thread::yield_now();
                }
                std::hint::spin_loop();
            }
            let began = nanoseconds();
            let result = work(count);
            let ended = nanoseconds();
            control.began[part].store(began, Relaxed);
            control.ended[part].store(ended, Relaxed);
            if let Err(error) = result {
                control.failed.store(1, Release);
                wake(&control.done);
                return Err(error);
            }
            if control.done.fetch_add(1, AcqRel) + 1 == parts {
                wake(&control.done);
            }
        }
    }
}

/// Sleeps while the word has this value; returns early for any reason.
pub fn sleep(word: &AtomicU32, value: u32, at_most: Option<Duration>) {
    let limit = at_most.map(|limit| libc::timespec {
        tv_sec: limit.as_secs() as i64,
        tv_nsec: i64::from(limit.subsec_nanos()),
    });
    let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the word and the limit live until the call returns.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            value,
            limit,
        )
    };
}

/// Wakes all who sleep on the word.
pub fn wake(word: &AtomicU32) {
    // SAFETY: the word lives until the call returns.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}
