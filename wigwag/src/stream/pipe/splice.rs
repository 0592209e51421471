//! Splice: moves bytes between a pipe and any file inside the kernel, without a copy through this process.
//!
//! What can be safe is here. `vmsplice(2)` lends the program's own pages to the pipe; whoever
//! changed or freed them before the reader came would send what was never meant, so
//! [`Writer::lend`] takes only bytes that stay as they are until the program ends. Gifting
//! pages (`SPLICE_F_GIFT`) has no safe form.
//!
//! Pages spliced from a file stay those of the file: a change to the file before the reader comes
//! is read by the reader.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use super::{FACILITY, Fenced, Reader, Writer};
use crate::error::Result;
use crate::interrupt;
use crate::sys::{sigpipe, vmsplice};

impl Reader {
    /// Moves up to `len` bytes to `to` (a file, a socket, another pipe), from its present position.
    /// Waits for bytes and for room. Returns how many were moved; 0 is the end of the file.
    ///
    /// # Errors
    /// `BadInput` when `to` cannot be spliced to, such as a file opened for appending;
    /// `Disconnected` when nobody reads it.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use wigwag::stream::pipe;
    ///
    /// let (reader, mut writer) = pipe::pair()?;
    /// let (mut further, to) = pipe::pair()?;
    /// writer.write_all(b"onward")?;
    /// assert_eq!(reader.splice_to(&to, 100)?, 6);
    /// let mut bytes = [0; 6];
    /// further.read_exact(&mut bytes)?;
    /// assert_eq!(&bytes, b"onward");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "splice")]
    pub fn splice_to(&self, to: impl AsFd, len: usize) -> Result<usize> {
        Fenced(sigpipe::kills())
            .write(|| splice(&self.0, to.as_fd(), len))
            .map_err(|e| FACILITY.failed("splice from", "", e))
    }

    /// Copies up to `len` bytes to another pipe and leaves them here. Waits for bytes and for
    /// room. Returns how many were copied; 0 is the end of the file.
    ///
    /// # Errors
    /// `BadInput` when both ends are of one pipe; `Disconnected` when nobody reads `to`.
    pub fn tee(&self, to: &Writer, len: usize) -> Result<usize> {
        to.1.write(|| {
            uninterrupted(|| rustix::pipe::tee(&self.0, &to.0, len, SpliceFlags::empty()))
        })
        .map_err(|e| FACILITY.failed("tee from", "", e))
    }
}

impl Writer {
    /// Moves up to `len` bytes from `from` (a file, a socket, another pipe), from its present
    /// position. Waits for bytes and for room. Returns how many were moved; 0 is the end of the file.
    ///
    /// # Errors
    /// `BadInput` when `from` cannot be spliced from; `Disconnected` when nobody reads.
    ///
    /// ```
    /// use std::fs::File;
    /// use wigwag::stream::pipe;
    ///
    /// let (reader, writer) = pipe::pair()?;
    /// let moved = writer.splice_from(File::open("/proc/self/exe")?, 4096)?;
    /// assert_eq!(reader.unread()?, moved);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "splice")]
    pub fn splice_from(&self, from: impl AsFd, len: usize) -> Result<usize> {
        self.1
            .write(|| splice(from.as_fd(), &self.0, len))
            .map_err(|e| FACILITY.failed("splice to", "", e))
    }

    /// Puts bytes into the pipe without copying them: the pipe holds their pages. Waits for
    /// room, and returns how many bytes were put.
    ///
    /// # Errors
    /// `Disconnected` when nobody reads.
    ///
    /// ```
    /// use wigwag::stream::pipe;
    ///
    /// static TABLE: [u8; 10_000] = [7; 10_000];
    /// let (reader, writer) = pipe::pair()?;
    /// assert_eq!(writer.lend(&TABLE)?, 10_000);
    /// assert_eq!(reader.unread()?, 10_000);
    /// # Ok::<(), wigwag::Error>(())
    /// ```
    #[doc(alias = "vmsplice")]
    pub fn lend(&self, bytes: &'static [u8]) -> Result<usize> {
        self.1
            .write(|| uninterrupted(|| vmsplice::lend(self.0.as_fd(), bytes)))
            .map_err(|e| FACILITY.failed("lend to", "", e))
    }
}

fn splice(from: impl AsFd, to: impl AsFd, len: usize) -> Result<usize, Errno> {
    uninterrupted(|| rustix::pipe::splice(&from, None, &to, None, len, SpliceFlags::empty()))
}

fn uninterrupted(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => interrupt::again()?,
            outcome => return outcome,
        }
    }
}
