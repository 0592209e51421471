//! Streams: bytes in order, without boundaries.
//!
//! | need | use |
//! |---|---|
//! | from a parent to its child, or two ends of one program | [`pipe`] |
//! | a name in the file system that any program can redirect to | [`fifo`] |
//! | two ways, descriptors, credentials of the peer, on one machine | [`unix`] |
//! | across machines | [`tcp`] |
//! | a program that insists on a terminal | [`pty`] |
//!
//! All members promise: order, no duplicates, end of file (or an error on writing) at once
//! when the other end is closed or killed, and that a full buffer makes the writer wait.
//! Writing to a stream that nobody reads is an error (`EPIPE`), never a `SIGPIPE`.
//! A call that a signal handler interrupts goes on, and one that is to wait does so even where
//! another process has set `O_NONBLOCK` on the open file it shares with us.
//!
//! `Read` and `Write` wait as long as it takes; [`Input`] and [`Output`] add time-outs. Handles
//! and references to them have both, so that one thread can read while another writes.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use crate::wait::Wait;

pub mod fifo;
mod one_way;
pub mod pipe;
pub mod pty;
pub mod tcp;
mod transfer;
pub mod unix;

pub(crate) use one_way::{Inbound, Outbound};

/// Bytes that come in, with a bound on the waiting.
///
/// The bound holds for one call and touches no flag of the open file, which other processes
/// may have too.
///
/// ```
/// use std::{io, time::Duration};
/// use wigwag::stream::{Input, pipe};
///
/// let (mut reader, _writer) = pipe::pair()?;
/// let nothing = reader.read_timeout(&mut [0; 8], Duration::from_millis(10));
/// assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::TimedOut);
/// # Ok::<(), wigwag::Error>(())
/// ```
pub trait Input: Read + AsFd {
    /// Reads what is there, waiting as long as told; 0 is the end of the file.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`, and those of `read(2)`.
    fn read_with(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<usize>;

    /// Reads what is there now.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_with(buffer, Wait::Not)
    }

    /// Reads what is there, or comes before the time is over.
    ///
    /// # Errors
    /// `TimedOut` when nothing came.
    fn read_timeout(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.read_with(buffer, Wait::For(limit))
    }
}

/// Bytes that go out, with a bound on the waiting.
///
/// ```
/// use std::io;
/// use wigwag::stream::{Output, pipe};
///
/// let (_reader, mut writer) = pipe::pair()?;
/// while writer.try_write(&[0; pipe::ATOMIC]).is_ok() {}
/// assert_eq!(writer.try_write(b"more").unwrap_err().kind(), io::ErrorKind::WouldBlock);
/// # Ok::<(), wigwag::Error>(())
/// ```
pub trait Output: Write + AsFd {
    /// Writes as much as there is room for, waiting as long as told for some room.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut` when nothing was written; `BrokenPipe` when nobody reads; those
    /// of `write(2)`.
    fn write_with(&mut self, bytes: &[u8], wait: Wait) -> io::Result<usize>;

    /// Writes what fits now.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_with(bytes, Wait::Not)
    }

    /// Writes what fits, or will before the time is over.
    ///
    /// # Errors
    /// `TimedOut` when nothing did.
    fn write_timeout(&mut self, bytes: &[u8], limit: Duration) -> io::Result<usize> {
        self.write_with(bytes, Wait::For(limit))
    }

    /// Says that nothing more will be written, so that the reader sees the end of the file;
    /// reading goes on where the stream has two ways. A pipe or FIFO ends when its last writer
    /// is dropped, and this does nothing.
    ///
    /// # Errors
    /// What `shutdown(2)` says.
    fn finish(&mut self) -> io::Result<()>;
}

impl<T: Input + ?Sized> Input for Box<T> {
    fn read_with(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
        (**self).read_with(buffer, wait)
    }
}

impl<T: Output + ?Sized> Output for Box<T> {
    fn write_with(&mut self, bytes: &[u8], wait: Wait) -> io::Result<usize> {
        (**self).write_with(bytes, wait)
    }

    fn finish(&mut self) -> io::Result<()> {
        (**self).finish()
    }
}

/// An open byte stream, whatever it is made of.
///
/// One-way streams opened by address give an error for the way they do not have.
pub trait Stream: Input + Output + Send {}

impl<T: Input + Output + Send> Stream for T {}
