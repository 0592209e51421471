//! POSIX message queue calls: `mq_overview(7)`. On Linux a queue descriptor is a file descriptor.
//!
//! The attempts here that must not block leave the queue's `O_NONBLOCK` alone, which belongs to
//! everybody who shares the open file: they give a time-out that has passed.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;

use super::last_error;
use crate::interrupt;

/// `struct mq_attr`: how many messages of how many bytes, and how many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) depth: usize,
    pub(crate) max_len: usize,
    pub(crate) queued: usize,
}

/// The deadline that has always passed.
static PAST: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// `mq_open(3)`. The kernel sets close-on-exec.
pub(crate) fn open(
    name: &CStr,
    flags: i32,
    mode: u32,
    size: Option<(usize, usize)>,
) -> Result<OwnedFd, Errno> {
    // SAFETY: an mq_attr of zeroes is valid, it is plain numbers.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    let mut pointer = ptr::null_mut();
    if let Some((depth, max_len)) = size {
        let fit = |size: usize| size.try_into().map_err(|_| Errno::INVAL);
        attributes.mq_maxmsg = fit(depth)?;
        attributes.mq_msgsize = fit(max_len)?;
        pointer = &raw mut attributes;
    }
    // SAFETY: `name` ends with NUL; with O_CREAT the two further arguments are a mode and null or
    // a pointer to a live mq_attr, without it they are not looked at.
    let fd = unsafe { libc::mq_open(name.as_ptr(), flags, mode, pointer) };
    if fd == -1 {
        return Err(last_error());
    }
    // SAFETY: mq_open(3) just opened `fd`, a file descriptor on Linux, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `mq_unlink(3)`.
pub(crate) fn unlink(name: &CStr) -> Result<(), Errno> {
    // SAFETY: `name` ends with NUL.
    match unsafe { libc::mq_unlink(name.as_ptr()) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

/// `mq_getattr(3)`.
pub(crate) fn attributes(queue: BorrowedFd<'_>) -> Result<Attributes, Errno> {
    // SAFETY: an mq_attr of zeroes is valid, it is plain numbers.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    // SAFETY: `attributes` is live and writable.
    if unsafe { libc::mq_getattr(queue.as_raw_fd(), &raw mut attributes) } != 0 {
        return Err(last_error());
    }
    let size = |number: libc::c_long| usize::try_from(number).unwrap_or(0);
    Ok(Attributes {
        depth: size(attributes.mq_maxmsg),
        max_len: size(attributes.mq_msgsize),
        queued: size(attributes.mq_curmsgs),
    })
}

/// `mq_send(3)`, waiting while the queue is full. `EINTR` is retried.
#[inline]
pub(crate) fn send(queue: BorrowedFd<'_>, message: &[u8], priority: u32) -> Result<(), Errno> {
    loop {
        // SAFETY: the pointer and length are those of a live slice.
        let sent = unsafe {
            libc::mq_send(
                queue.as_raw_fd(),
                message.as_ptr().cast(),
                message.len(),
                priority,
            )
        };
        if sent == 0 {
            return Ok(());
        }
        match last_error() {
            Errno::INTR => interrupt::again()?,
            error => return Err(error),
        }
    }
}

/// The same, `EAGAIN` instead of waiting.
#[inline]
pub(crate) fn try_send(queue: BorrowedFd<'_>, message: &[u8], priority: u32) -> Result<(), Errno> {
    // SAFETY: the pointer and length are those of a live slice, the time is a constant.
    let sent = unsafe {
        let (start, len) = (message.as_ptr().cast(), message.len());
        libc::mq_timedsend(queue.as_raw_fd(), start, len, priority, &raw const PAST)
    };
    if sent == 0 {
        Ok(())
    } else {
        Err(would_block(last_error()))
    }
}

/// `mq_receive(3)`, waiting while the queue is empty: the length and priority. `EINTR` is retried.
#[inline]
pub(crate) fn receive(queue: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, u32), Errno> {
    // SAFETY: the pointer and length are those of a live, writable slice.
    unsafe { receive_at(queue, buffer.as_mut_ptr(), buffer.len(), ptr::null()) }
}

/// The same, `EAGAIN` instead of waiting.
#[inline]
pub(crate) fn try_receive(queue: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, u32), Errno> {
    // SAFETY: the pointer and length are those of a live, writable slice.
    unsafe { receive_at(queue, buffer.as_mut_ptr(), buffer.len(), &raw const PAST) }
        .map_err(would_block)
}

/// Receives into `buffer`, replacing what was there, with room for `max_len` bytes: the priority.
/// Does not wait unless `wait`, then `EAGAIN`.
pub(crate) fn receive_into(
    queue: BorrowedFd<'_>,
    buffer: &mut Vec<u8>,
    max_len: usize,
    wait: bool,
) -> Result<u32, Errno> {
    buffer.clear();
    buffer.reserve(max_len);
    let deadline = if wait { ptr::null() } else { &raw const PAST };
    // SAFETY: the vector has room for `max_len` bytes at its pointer.
    let (len, priority) = unsafe { receive_at(queue, buffer.as_mut_ptr(), max_len, deadline) }
        .map_err(would_block)?;
    // SAFETY: the kernel wrote the first `len` bytes, at most `max_len`.
    unsafe { buffer.set_len(len) };
    Ok(priority)
}

/// # Safety
/// `len` bytes at `start` may be written; `deadline` is null or points to a time.
#[inline]
unsafe fn receive_at(
    queue: BorrowedFd<'_>,
    start: *mut u8,
    len: usize,
    deadline: *const libc::timespec,
) -> Result<(usize, u32), Errno> {
    loop {
        let mut priority = 0;
        let (fd, start) = (queue.as_raw_fd(), start.cast());
        // SAFETY: as the caller promises.
        let received =
            unsafe { libc::mq_timedreceive(fd, start, len, &raw mut priority, deadline) };
        if let Ok(len) = usize::try_from(received) {
            return Ok((len, priority));
        }
        match last_error() {
            Errno::INTR => interrupt::again()?,
            error => return Err(error),
        }
    }
}

/// A time-out that had passed before the call means that it would have waited.
#[cold]
fn would_block(error: Errno) -> Errno {
    match error {
        Errno::TIMEDOUT => Errno::AGAIN,
        error => error,
    }
}

/// `mq_notify(3)` by signal, with `value` as its data.
pub(crate) fn notify_by_signal(
    queue: BorrowedFd<'_>,
    signal: i32,
    value: i32,
) -> Result<(), Errno> {
    // SAFETY: a sigevent of zeroes is valid, it is plain numbers and null pointers.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = signal;
    event.sigev_value.sival_ptr = ptr::without_provenance_mut(value.cast_unsigned() as usize);
    notify(queue, &raw const event)
}

/// What a notification socket delivers: 32 bytes, of which the kernel sets the last.
const COOKIE_LEN: usize = 32;
/// The last byte of the cookie: a message came.
const WOKEN: u8 = 1;

/// `mq_notify(3)` by a message on `socket`, a netlink socket: what the C library builds
/// `SIGEV_THREAD` from.
pub(crate) fn notify_by_socket(queue: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> Result<(), Errno> {
    let cookie = [0u8; COOKIE_LEN];
    // SAFETY: a sigevent of zeroes is valid, it is plain numbers and null pointers.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_THREAD;
    event.sigev_signo = socket.as_raw_fd();
    event.sigev_value.sival_ptr = cookie.as_ptr().cast_mut().cast();
    // For SIGEV_THREAD the kernel copies COOKIE_LEN bytes from `sival_ptr` before it returns.
    notify(queue, &raw const event)
}

/// Takes this process's registration back, if it has one.
pub(crate) fn unnotify(queue: BorrowedFd<'_>) -> Result<(), Errno> {
    notify(queue, ptr::null())
}

fn notify(queue: BorrowedFd<'_>, event: *const libc::sigevent) -> Result<(), Errno> {
    // The system call itself: the C library's function would start its own thread for SIGEV_THREAD.
    // SAFETY: `event` is null or points to a live sigevent whose `sival_ptr`, where the kernel
    // reads it, points to a live cookie.
    let done = unsafe { libc::syscall(libc::SYS_mq_notify, queue.as_raw_fd(), event) };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

/// A socket for [`notify_by_socket`]; readable when there is something to tell.
pub(crate) fn notification_socket() -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(
        rustix::net::AddressFamily::NETLINK,
        rustix::net::SocketType::RAW,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
}

/// Reads what a notification socket tells: whether a message came (otherwise the registration
/// was taken back). `EAGAIN` when there is nothing yet.
pub(crate) fn notified(socket: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut cookie = [0u8; COOKIE_LEN];
    let (len, _) = rustix::net::recv(socket, &mut cookie, rustix::net::RecvFlags::DONTWAIT)?;
    Ok(len == COOKIE_LEN && cookie[COOKIE_LEN - 1] == WOKEN)
}
