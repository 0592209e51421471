//! Signal calls: `kill(2)`, `sigqueue(3)`, `pidfd_send_signal(2)`, `rt_tgsigqueueinfo(2)`,
//! `signalfd(2)`, `sigtimedwait(2)`, `pthread_sigmask(3)`.

use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;

use super::last_error;

/// The first fields of `siginfo_t` for a signal that was queued with a value; the kernel's layout
/// on 64-bit and 32-bit machines, as long as a `siginfo_t`.
#[repr(C)]
union QueuedInfo {
    fields: QueuedFields,
    whole: libc::siginfo_t,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct QueuedFields {
    signo: i32,
    errno: i32,
    code: i32,
    /// The union after it is aligned like a pointer.
    sender: Sender,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Sender {
    _align: [usize; 0],
    pid: i32,
    uid: u32,
    value: usize,
}

const _: () = assert!(size_of::<QueuedInfo>() == size_of::<libc::siginfo_t>());

/// What came with a signal, from either way of receiving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) signal: i32,
    pub(crate) code: i32,
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    pub(crate) value: i32,
}

fn done(result: libc::c_long) -> Result<(), Errno> {
    if result == 0 {
        Ok(())
    } else {
        Err(last_error())
    }
}

/// `kill(2)`.
pub(crate) fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no pointers; any numbers are allowed.
    done(unsafe { libc::kill(pid, signal) }.into())
}

/// `tgkill(2)`: to one thread of a process.
pub(crate) fn kill_thread(pid: i32, tid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no pointers; any numbers are allowed.
    done(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) })
}

/// `sigqueue(3)`.
pub(crate) fn queue(pid: i32, signal: i32, value: i32) -> Result<(), Errno> {
    // SAFETY: no pointers that anybody follows; any numbers are allowed.
    done(unsafe { libc::sigqueue(pid, signal, word(value)) }.into())
}

/// `rt_tgsigqueueinfo(2)`: with a value to one thread of a process.
pub(crate) fn queue_thread(pid: i32, tid: i32, signal: i32, value: i32) -> Result<(), Errno> {
    let info = queued(signal, value);
    let call = libc::SYS_rt_tgsigqueueinfo;
    // SAFETY: `info` is a live, initialised siginfo_t.
    done(unsafe { libc::syscall(call, pid, tid, signal, &raw const info) })
}

/// `pidfd_send_signal(2)`, with a value or, as `kill(2)`, without.
pub(crate) fn send_to_descriptor(
    process: BorrowedFd<'_>,
    signal: i32,
    value: Option<i32>,
) -> Result<(), Errno> {
    let info = value.map(|value| queued(signal, value));
    let info = info.as_ref().map_or(ptr::null(), ptr::from_ref);
    let (call, fd) = (libc::SYS_pidfd_send_signal, process.as_raw_fd());
    // SAFETY: `info` is null or points to a live, initialised siginfo_t.
    done(unsafe { libc::syscall(call, fd, signal, info, 0) })
}

/// The value in the place where both a C program that reads `sival_int` and one that reads
/// `sival_ptr` find it.
fn word(value: i32) -> libc::sigval {
    let mut word = libc::sigval {
        sival_ptr: ptr::null_mut(),
    };
    // SAFETY: sigval is a union of a pointer and an int in C, so an int fits at its start.
    unsafe { (&raw mut word).cast::<i32>().write(value) };
    word
}

fn queued(signal: i32, value: i32) -> QueuedInfo {
    // SAFETY: siginfo_t of zeroes is valid, it is plain numbers.
    let mut info: QueuedInfo = unsafe { std::mem::zeroed() };
    info.fields = QueuedFields {
        signo: signal,
        errno: 0,
        code: libc::SI_QUEUE,
        sender: Sender {
            _align: [],
            pid: std::process::id().cast_signed(),
            // SAFETY: getuid(2) always succeeds.
            uid: unsafe { libc::getuid() },
            value: word(value).sival_ptr.addr(),
        },
    };
    info
}

/// A set with every signal in it but those of a thread's own faults: where one of these is blocked, it kills.
pub(crate) fn all_but_faults() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset(3) initialises the whole set and cannot fail; the numbers taken out of it are signals.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        let mut set = set.assume_init();
        for fault in [
            libc::SIGBUS,
            libc::SIGSEGV,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGTRAP,
            libc::SIGSYS,
        ] {
            libc::sigdelset(&raw mut set, fault);
        }
        set
    }
}

/// A set with no signal in it.
pub(crate) fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset(3) initialises the whole set and cannot fail.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

/// `sigaddset(3)`; false for a number that is no signal.
pub(crate) fn add(set: &mut libc::sigset_t, signal: i32) -> bool {
    // SAFETY: `set` is a live, initialised set; a bad number is refused.
    unsafe { libc::sigaddset(set, signal) == 0 }
}

/// `sigdelset(3)`.
pub(crate) fn remove(set: &mut libc::sigset_t, signal: i32) {
    // SAFETY: `set` is a live, initialised set; a bad number is refused.
    unsafe { libc::sigdelset(set, signal) };
}

/// `sigismember(3)`.
pub(crate) fn contains(set: &libc::sigset_t, signal: i32) -> bool {
    // SAFETY: `set` is a live, initialised set; a bad number is refused.
    unsafe { libc::sigismember(set, signal) == 1 }
}

/// `pthread_sigmask(3)`: the mask of this thread before. `how` is `SIG_BLOCK`, `SIG_UNBLOCK` or
/// `SIG_SETMASK`; without a set nothing changes.
pub(crate) fn mask(how: i32, set: Option<&libc::sigset_t>) -> Result<libc::sigset_t, Errno> {
    let mut before = empty_set();
    let set = set.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `set` is null or points to a live set, `before` is live and writable.
    match unsafe { libc::pthread_sigmask(how, set, &raw mut before) } {
        0 => Ok(before),
        code => Err(Errno::from_raw_os_error(code)),
    }
}

/// `sigpending(2)`: what waits for this thread or its process.
pub(crate) fn pending() -> Result<libc::sigset_t, Errno> {
    let mut set = empty_set();
    // SAFETY: `set` is live and writable.
    done(unsafe { libc::sigpending(&raw mut set) }.into()).map(|()| set)
}

/// `sigtimedwait(2)` or, without a limit, `sigwaitinfo(2)`. `EINTR` is reported.
pub(crate) fn wait(set: &libc::sigset_t, limit: Option<libc::timespec>) -> Result<Info, Errno> {
    // SAFETY: siginfo_t of zeroes is valid, it is plain numbers.
    let mut info: QueuedInfo = unsafe { std::mem::zeroed() };
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `set` and `info` are live, `limit` is null or points to a live time.
    let signal = unsafe { libc::sigtimedwait(set, &raw mut info.whole, limit) };
    if signal == -1 {
        return Err(last_error());
    }
    // SAFETY: both members of the union are plain numbers, all of them initialised.
    let fields = unsafe { info.fields };
    let value = fields.sender.value.to_ne_bytes();
    Ok(Info {
        signal,
        code: fields.code,
        pid: fields.sender.pid,
        uid: fields.sender.uid,
        value: i32::from_ne_bytes([value[0], value[1], value[2], value[3]]),
    })
}

/// `signalfd(2)`, close-on-exec; reading does not block.
pub(crate) fn descriptor(set: &libc::sigset_t) -> Result<OwnedFd, Errno> {
    // SAFETY: `set` is a live set.
    let fd = unsafe { libc::signalfd(-1, set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd == -1 {
        return Err(last_error());
    }
    // SAFETY: signalfd(2) just opened `fd`, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads one signal of a [`descriptor`]; `EAGAIN` when none is pending.
#[inline]
pub(crate) fn read(descriptor: BorrowedFd<'_>) -> Result<Info, Errno> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: `info` has `size` writable bytes.
    let read = unsafe { libc::read(descriptor.as_raw_fd(), info.as_mut_ptr().cast(), size) };
    match usize::try_from(read) {
        Ok(read) if read == size => {
            // SAFETY: the kernel wrote the whole structure, which is plain numbers.
            let info = unsafe { info.assume_init() };
            Ok(Info {
                signal: info.ssi_signo.cast_signed(),
                code: info.ssi_code,
                pid: info.ssi_pid.cast_signed(),
                uid: info.ssi_uid,
                value: info.ssi_int,
            })
        }
        Ok(_) => Err(Errno::IO),
        Err(_) => Err(last_error()),
    }
}
