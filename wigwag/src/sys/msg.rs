//! System V message queue calls: `msgget(2)`, `msgop(2)`, `msgctl(2)`.
//!
//! The kernel wants the type and the bytes of a message in one piece of memory: a message up to
//! [`INLINE`] bytes goes through a frame on the stack, a longer one through one on the heap.

// A type is a C long, which is 32 bits on some machines and the i64 of our signatures on others.
#![allow(clippy::useless_conversion)]

use std::ffi::c_long;
use std::mem::{MaybeUninit, offset_of, size_of};
use std::ptr;

use rustix::io::Errno;

use super::last_error;
use crate::interrupt;

/// Messages up to this many bytes cost no allocation: `kernel.msgmax`, unless it was raised.
const INLINE: usize = 8192;

/// `struct msgbuf`.
#[repr(C)]
struct Frame {
    kind: c_long,
    text: [MaybeUninit<u8>; INLINE],
}

/// `msgget(2)`: the identifier.
pub(crate) fn get(key: i32, flags: i32) -> Result<i32, Errno> {
    // SAFETY: no pointers; any key and flags are allowed.
    match unsafe { libc::msgget(key, flags) } {
        -1 => Err(last_error()),
        id => Ok(id),
    }
}

/// `msgsnd(2)`. `EINTR` is retried.
#[inline]
pub(crate) fn send(id: i32, kind: i64, text: &[u8], flags: i32) -> Result<(), Errno> {
    let kind = c_long::try_from(kind).map_err(|_| Errno::INVAL)?;
    if text.len() > INLINE {
        return send_long(id, kind, text, flags);
    }
    let mut frame = MaybeUninit::<Frame>::uninit();
    let start = frame.as_mut_ptr();
    // SAFETY: `start` points to a frame of our own; the text is not longer than its array. The
    // kernel reads the type and `text.len()` bytes, which is what was written.
    unsafe {
        (&raw mut (*start).kind).write(kind);
        ptr::copy_nonoverlapping(text.as_ptr(), (&raw mut (*start).text).cast(), text.len());
        send_frame(id, start.cast(), text.len(), flags)
    }
}

#[cold]
fn send_long(id: i32, kind: c_long, text: &[u8], flags: i32) -> Result<(), Errno> {
    let mut frame = long_frame(text.len())?;
    frame.extend_from_slice(&kind.to_ne_bytes());
    frame.extend_from_slice(text);
    // SAFETY: the frame holds the type and then the text.
    unsafe { send_frame(id, frame.as_ptr(), text.len(), flags) }
}

/// # Safety
/// `frame` points to a type and `len` bytes after it.
#[inline]
unsafe fn send_frame(id: i32, frame: *const u8, len: usize, flags: i32) -> Result<(), Errno> {
    loop {
        // SAFETY: as the caller promises.
        if unsafe { libc::msgsnd(id, frame.cast(), len, flags) } == 0 {
            return Ok(());
        }
        match last_error() {
            Errno::INTR => interrupt::again()?,
            error => return Err(error),
        }
    }
}

/// `msgrcv(2)` into a slice: the length and type. With `cut` a longer message is cut to fit, and
/// then the length is greater than the slice's. `EINTR` is retried, `ENOMSG` is `EAGAIN`.
#[inline]
pub(crate) fn receive(
    id: i32,
    buffer: &mut [u8],
    select: i64,
    flags: i32,
    cut: bool,
) -> Result<(usize, i64), Errno> {
    // One byte more tells whether a message was cut.
    let (room, flags) = if cut {
        (buffer.len().saturating_add(1), flags | libc::MSG_NOERROR)
    } else {
        (buffer.len(), flags)
    };
    if room > INLINE {
        return receive_long(id, buffer, room, select, flags);
    }
    let mut frame = MaybeUninit::<Frame>::uninit();
    let start = frame.as_mut_ptr();
    // SAFETY: the frame has room for a type and `INLINE` bytes, at least `room`; what the kernel
    // returns says how much of it was written, of which no more is copied than `buffer` holds.
    unsafe {
        let len = receive_frame(id, start.cast(), room, select, flags)?;
        let text = (&raw const (*start).text).cast();
        ptr::copy_nonoverlapping(text, buffer.as_mut_ptr(), len.min(buffer.len()));
        Ok((len, (&raw const (*start).kind).read().into()))
    }
}

#[cold]
fn receive_long(
    id: i32,
    buffer: &mut [u8],
    room: usize,
    select: i64,
    flags: i32,
) -> Result<(usize, i64), Errno> {
    let mut frame = long_frame(room)?;
    // SAFETY: the vector has room for a type and `room` bytes.
    let len = unsafe { receive_frame(id, frame.as_mut_ptr(), room, select, flags) }?;
    // SAFETY: the kernel wrote the type and `len` bytes.
    unsafe { frame.set_len(size_of::<c_long>() + len) };
    let (kind, text) = frame.split_at(size_of::<c_long>());
    let copied = len.min(buffer.len());
    buffer[..copied].copy_from_slice(&text[..copied]);
    Ok((len, number(kind)))
}

/// The same into a vector, replacing what was there, with room for `room` bytes.
pub(crate) fn receive_into(
    id: i32,
    buffer: &mut Vec<u8>,
    room: usize,
    select: i64,
    flags: i32,
) -> Result<i64, Errno> {
    const HEAD: usize = size_of::<c_long>();
    buffer.clear();
    buffer.reserve(HEAD.checked_add(room).ok_or(Errno::INVAL)?);
    // SAFETY: the vector has room for a type and `room` bytes.
    let len = unsafe { receive_frame(id, buffer.as_mut_ptr(), room, select, flags) }?;
    // SAFETY: the kernel wrote the type and `len` bytes.
    unsafe { buffer.set_len(HEAD + len) };
    let kind = number(&buffer[..HEAD]);
    buffer.copy_within(HEAD.., 0);
    buffer.truncate(len);
    Ok(kind)
}

/// # Safety
/// At `frame` a type and `room` bytes after it may be written.
#[inline]
unsafe fn receive_frame(
    id: i32,
    frame: *mut u8,
    room: usize,
    select: i64,
    flags: i32,
) -> Result<usize, Errno> {
    let select = c_long::try_from(select).map_err(|_| Errno::INVAL)?;
    loop {
        // SAFETY: as the caller promises.
        let received = unsafe { libc::msgrcv(id, frame.cast(), room, select, flags) };
        if let Ok(len) = usize::try_from(received) {
            return Ok(len);
        }
        match last_error() {
            Errno::INTR => interrupt::again()?,
            Errno::NOMSG => return Err(Errno::AGAIN),
            error => return Err(error),
        }
    }
}

/// Memory for a type and `room` bytes; no message is longer than an `int` says.
fn long_frame(room: usize) -> Result<Vec<u8>, Errno> {
    const { assert!(offset_of!(Frame, text) == size_of::<c_long>()) };
    let room = room.min(i32::MAX as usize) + size_of::<c_long>();
    let mut frame = Vec::new();
    frame.try_reserve_exact(room).map_err(|_| Errno::NOMEM)?;
    Ok(frame)
}

fn number(bytes: &[u8]) -> i64 {
    let mut kind = [0; size_of::<c_long>()];
    kind.copy_from_slice(bytes);
    c_long::from_ne_bytes(kind).into()
}

/// `msgctl(2)` with `IPC_STAT`.
pub(crate) fn stat(id: i32) -> Result<libc::msqid_ds, Errno> {
    // SAFETY: an msqid_ds of zeroes is valid, it is plain numbers.
    let mut state: libc::msqid_ds = unsafe { std::mem::zeroed() };
    control(id, libc::IPC_STAT, Some(&mut state)).map(|()| state)
}

/// `msgctl(2)` with `IPC_SET`: owner, mode and the bytes it may hold.
pub(crate) fn set(id: i32, state: &mut libc::msqid_ds) -> Result<(), Errno> {
    control(id, libc::IPC_SET, Some(state))
}

/// `msgctl(2)` with `IPC_RMID`.
pub(crate) fn remove(id: i32) -> Result<(), Errno> {
    control(id, libc::IPC_RMID, None)
}

fn control(id: i32, command: i32, state: Option<&mut libc::msqid_ds>) -> Result<(), Errno> {
    let state = state.map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: `state` is null for IPC_RMID, which ignores it, or points to a live msqid_ds.
    match unsafe { libc::msgctl(id, command, state) } {
        -1 => Err(last_error()),
        _ => Ok(()),
    }
}
