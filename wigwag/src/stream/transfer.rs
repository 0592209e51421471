//! Transfer: moves bytes through one descriptor; the way without a time-out is one system call and nothing else.
//!
//! A handle says how its descriptor moves bytes ([`Source`], [`Sink`]); the macros make
//! `Read`, `Write`, [`Input`](super::Input) and [`Output`](super::Output) of that, for the
//! handle and for a reference to it. No `try_` form sets `O_NONBLOCK`: the flag belongs to the
//! open file, which other processes may have too.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use crate::interrupt;
use crate::sys::patience;
use crate::wait::{Deadline, Wait};

/// How a descriptor gives bytes.
pub(super) trait Source: AsFd {
    /// Waits for bytes; may report `EINTR`.
    fn pull(&self, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// The same into several buffers.
    fn pull_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
        rustix::io::readv(self, buffers)
    }

    /// Takes what is there; `EAGAIN` when nothing is.
    fn try_pull(&self, buffer: &mut [u8]) -> Result<usize, Errno>;
}

/// How a descriptor takes bytes.
pub(super) trait Sink: AsFd {
    /// Waits for room; may report `EINTR`.
    fn push(&self, bytes: &[u8]) -> Result<usize, Errno>;

    /// The same from several buffers.
    fn push_vectored(&self, buffers: &[IoSlice<'_>]) -> Result<usize, Errno>;

    /// Puts in what fits; `EAGAIN` when nothing does.
    fn try_push(&self, bytes: &[u8]) -> Result<usize, Errno>;

    /// Ends the writing where the reading can go on.
    fn end(&self) -> Result<(), Errno>;
}

impl<T: Source> Source for &T {
    #[inline]
    fn pull(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        (**self).pull(buffer)
    }

    fn pull_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
        (**self).pull_vectored(buffers)
    }

    fn try_pull(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        (**self).try_pull(buffer)
    }
}

impl<T: Sink> Sink for &T {
    #[inline]
    fn push(&self, bytes: &[u8]) -> Result<usize, Errno> {
        (**self).push(bytes)
    }

    fn push_vectored(&self, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
        (**self).push_vectored(buffers)
    }

    fn try_push(&self, bytes: &[u8]) -> Result<usize, Errno> {
        (**self).try_push(bytes)
    }

    fn end(&self) -> Result<(), Errno> {
        (**self).end()
    }
}

/// Makes a call that waits. `EINTR` is retried; and where another process with the same open
/// file has set `O_NONBLOCK`, we wait all the same.
#[inline]
pub(super) fn waiting(
    fd: &impl AsFd,
    until: PollFlags,
    mut call: impl FnMut() -> Result<usize, Errno>,
) -> io::Result<usize> {
    loop {
        match call() {
            Ok(count) => return Ok(count),
            Err(errno) => again(fd.as_fd(), until, errno)?,
        }
    }
}

/// Whether a call is to be made again, and when.
#[cold]
fn again(fd: BorrowedFd<'_>, until: PollFlags, errno: Errno) -> io::Result<()> {
    match errno {
        Errno::INTR => interrupt::again().map_err(failure),
        Errno::AGAIN => patience::ready(fd, until, Deadline::Never).map_err(failure),
        errno => Err(failure(errno)),
    }
}

/// With the words of Rust for the two that say nothing about the stream.
#[cold]
pub(super) fn failure(errno: Errno) -> io::Error {
    match errno {
        Errno::AGAIN => io::ErrorKind::WouldBlock.into(),
        Errno::TIMEDOUT => io::ErrorKind::TimedOut.into(),
        errno => errno.into(),
    }
}

pub(super) fn receive_with(from: &impl Source, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
    match wait {
        Wait::Forever => waiting(from, PollFlags::IN, || from.pull(buffer)),
        wait => patience::retry(from.as_fd(), PollFlags::IN, Deadline::from(wait), || {
            from.try_pull(buffer)
        })
        .map_err(failure),
    }
}

pub(super) fn send_with(to: &impl Sink, bytes: &[u8], wait: Wait) -> io::Result<usize> {
    match wait {
        Wait::Forever => waiting(to, PollFlags::OUT, || to.push(bytes)),
        wait => patience::retry(to.as_fd(), PollFlags::OUT, Deadline::from(wait), || {
            to.try_push(bytes)
        })
        .map_err(failure),
    }
}

/// Reads from a pipe without waiting. A FIFO knows no `RWF_NOWAIT`.
pub(super) fn try_read_pipe(pipe: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let pipe = pipe.as_fd();
    let slices = &mut [IoSliceMut::new(buffer)];
    match rustix::io::preadv2(pipe, slices, u64::MAX, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP) => {}
        outcome => return outcome,
    }
    poll_now(pipe, PollFlags::IN)?;
    match opened_again(pipe, OFlags::RDONLY) {
        Some(own) => rustix::io::read(own, buffer),
        None => rustix::io::read(pipe, buffer),
    }
}

/// Writes to a pipe without waiting. A FIFO knows no `RWF_NOWAIT`.
pub(super) fn try_write_pipe(pipe: impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
    let pipe = pipe.as_fd();
    let slices = &[IoSlice::new(bytes)];
    match rustix::io::pwritev2(pipe, slices, u64::MAX, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP) => {}
        outcome => return outcome,
    }
    match opened_again(pipe, OFlags::WRONLY) {
        Some(own) => rustix::io::write(own, bytes),
        None => {
            poll_now(pipe, PollFlags::OUT)?;
            // That much fits into a pipe that poll calls writable.
            rustix::io::write(pipe, &bytes[..bytes.len().min(super::pipe::ATOMIC)])
        }
    }
}

/// The same pipe in an open file of its own that does not block; `None` where there is no
/// /proc or the file's mode does not let us. Then another reader or writer that is quicker than
/// we are after `poll` makes us wait for the next chance.
fn opened_again(pipe: BorrowedFd<'_>, way: OFlags) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    // A pipe of packets cannot be opened again as one, and must not be as another.
    let packets = rustix::fs::fcntl_getfl(pipe).ok()? & OFlags::DIRECT;
    let flags = way | packets | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

/// `EAGAIN` unless it is ready now, or in error.
pub(super) fn poll_now(fd: impl AsFd, until: PollFlags) -> Result<(), Errno> {
    match patience::is_ready(fd.as_fd(), until)? {
        true => Ok(()),
        false => Err(Errno::AGAIN),
    }
}

/// Receives from a socket.
#[inline]
pub(super) fn recv(socket: impl AsFd, buffer: &mut [u8], flags: RecvFlags) -> Result<usize, Errno> {
    rustix::net::recv(socket, buffer, flags).map(|(count, _)| count)
}

/// Sends from several buffers without `SIGPIPE`.
pub(super) fn sendmsg(socket: impl AsFd, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let mut nothing = SendAncillaryBuffer::default();
    rustix::net::sendmsg(socket, buffers, &mut nothing, SendFlags::NOSIGNAL)
}

/// `Source` and `Sink` of a stream socket that is the first field of its handle.
macro_rules! socket {
    ($handle:ty) => {
        impl $crate::stream::transfer::Source for $handle {
            #[inline]
            fn pull(&self, buffer: &mut [u8]) -> Result<usize, rustix::io::Errno> {
                $crate::stream::transfer::recv(&self.0, buffer, rustix::net::RecvFlags::empty())
            }

            fn try_pull(&self, buffer: &mut [u8]) -> Result<usize, rustix::io::Errno> {
                $crate::stream::transfer::recv(&self.0, buffer, rustix::net::RecvFlags::DONTWAIT)
            }
        }

        impl $crate::stream::transfer::Sink for $handle {
            #[inline]
            fn push(&self, bytes: &[u8]) -> Result<usize, rustix::io::Errno> {
                rustix::net::send(&self.0, bytes, rustix::net::SendFlags::NOSIGNAL)
            }

            fn push_vectored(
                &self,
                buffers: &[std::io::IoSlice<'_>],
            ) -> Result<usize, rustix::io::Errno> {
                $crate::stream::transfer::sendmsg(&self.0, buffers)
            }

            fn try_push(&self, bytes: &[u8]) -> Result<usize, rustix::io::Errno> {
                let flags = rustix::net::SendFlags::NOSIGNAL | rustix::net::SendFlags::DONTWAIT;
                rustix::net::send(&self.0, bytes, flags)
            }

            fn end(&self) -> Result<(), rustix::io::Errno> {
                rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write)
            }
        }

        $crate::stream::transfer::reads!($handle);
        $crate::stream::transfer::writes!($handle);
        $crate::stream::transfer::descriptor!($handle, Self);
    };
}

/// `Read` and `Input`, for the handle and for a reference to it.
macro_rules! reads {
    ($handle:ty) => {
        $crate::stream::transfer::reads!(@ $handle);
        $crate::stream::transfer::reads!(@ &$handle);
    };
    (@ $handle:ty) => {
        impl std::io::Read for $handle {
            #[inline]
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                use $crate::stream::transfer::Source as _;
                $crate::stream::transfer::waiting(self, rustix::event::PollFlags::IN, || self.pull(buffer))
            }

            #[inline]
            fn read_vectored(
                &mut self,
                buffers: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                use $crate::stream::transfer::Source as _;
                $crate::stream::transfer::waiting(self, rustix::event::PollFlags::IN, || self.pull_vectored(buffers))
            }
        }

        impl $crate::stream::Input for $handle {
            fn read_with(
                &mut self,
                buffer: &mut [u8],
                wait: $crate::Wait,
            ) -> std::io::Result<usize> {
                $crate::stream::transfer::receive_with(&*self, buffer, wait)
            }
        }
    };
}

/// `Write` and `Output`, for the handle and for a reference to it.
macro_rules! writes {
    ($handle:ty) => {
        $crate::stream::transfer::writes!(@ $handle);
        $crate::stream::transfer::writes!(@ &$handle);
    };
    (@ $handle:ty) => {
        impl std::io::Write for $handle {
            #[inline]
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                use $crate::stream::transfer::Sink as _;
                $crate::stream::transfer::waiting(self, rustix::event::PollFlags::OUT, || self.push(bytes))
            }

            #[inline]
            fn write_vectored(
                &mut self,
                buffers: &[std::io::IoSlice<'_>],
            ) -> std::io::Result<usize> {
                use $crate::stream::transfer::Sink as _;
                $crate::stream::transfer::waiting(self, rustix::event::PollFlags::OUT, || self.push_vectored(buffers))
            }

            /// Nothing is held back in this process.
            #[inline]
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl $crate::stream::Output for $handle {
            fn write_with(&mut self, bytes: &[u8], wait: $crate::Wait) -> std::io::Result<usize> {
                $crate::stream::transfer::send_with(&*self, bytes, wait)
            }

            fn finish(&mut self) -> std::io::Result<()> {
                use $crate::stream::transfer::Sink as _;
                self.end().map_err(Into::into)
            }
        }
    };
}

/// `AsFd`, `AsRawFd`, from and into `OwnedFd`, of a handle whose first field is its descriptor.
macro_rules! descriptor {
    ($handle:ty, $make:expr) => {
        impl std::os::fd::AsFd for $handle {
            #[inline]
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $handle {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.0.as_raw_fd()
            }
        }

        impl From<$handle> for std::os::fd::OwnedFd {
            fn from(handle: $handle) -> Self {
                handle.0
            }
        }

        impl From<std::os::fd::OwnedFd> for $handle {
            /// Unchecked: the wrong kind of descriptor gives errors when it is used.
            fn from(descriptor: std::os::fd::OwnedFd) -> Self {
                ($make)(descriptor)
            }
        }
    };
}

pub(super) use {descriptor, reads, socket, writes};
