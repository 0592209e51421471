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

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

pub mod fifo;
pub mod pipe;
pub mod pty;
pub mod tcp;
pub mod unix;

/// An open byte stream, whatever it is made of.
///
/// One-way streams give an error for the way they do not have.
pub trait Stream: Read + Write + AsFd + Send {
    /// Says that nothing more will be written, so that the reader sees the end of the file;
    /// reading goes on where the stream has two ways.
    ///
    /// # Errors
    /// What `shutdown(2)` or `close(2)` says.
    fn finish(&mut self) -> io::Result<()>;
}
