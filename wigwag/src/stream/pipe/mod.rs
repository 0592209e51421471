//! Pipe: bytes one way between related processes; writes up to [`ATOMIC`] bytes stay whole.
//!
//! The reader sees the end of the file when the *last* writer is closed: a program that keeps
//! its own writer open while it reads waits for ever. Handles are close-on-exec; a child gets
//! one as its standard input or output.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::process::Command;
//! use wigwag::stream::pipe;
//!
//! let (mut reader, writer) = pipe::pair()?;
//! let mut child = Command::new("echo").arg("hello").stdout(writer).spawn()?;
//! // The command, and the writer in it, is gone: only the child can write now.
//! let mut text = String::new();
//! reader.read_to_string(&mut text)?;
//! assert_eq!(text, "hello\n");
//! child.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Manual pages: `pipe(7)`, `pipe(2)`, `splice(2)`, `tee(2)`, `vmsplice(2)`.

use std::io::{IoSlice, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::process::Stdio;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::transfer::{self, Sink, Source, descriptor, reads, writes};
use super::{Inbound, Outbound, Stream};
use crate::error::{Error, Kind, Result};
use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::Guarantees;
use crate::limit::{self, Limit};
use crate::opening::{Opening, Target, Way};
use crate::sys::{inherited, sigpipe};

mod packet;
mod splice;

pub use packet::{PacketReader, PacketWriter, packets};

/// Writes of at most this many bytes are not mixed with those of other writers (`PIPE_BUF`, `pipe(7)`).
pub const ATOMIC: usize = 4096;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "pipe",
    title: "pipe",
    noun: "pipe",
    family: Family::Stream,
    naming: Naming::Unnamed,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Byte),
    direction: Some(Direction::OneWay),
    reach: Reach::Related,
    pollable: true,
    named_by: "– (related processes)",
    lives: "last process",
    carries: "bytes, one way",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        PIPE_SIZE,
        PIPE_USER_PAGES,
    ],
    guarantees: Guarantees::STREAM,
    man: "pipe(7)",
};

/// The greatest capacity an unprivileged process may set.
pub(crate) const PIPE_SIZE: Limit = Limit {
    name: "fs.pipe-max-size",
    bounds: "bytes one pipe may be made to hold",
    source: limit::Source::Sysctl("/proc/sys/fs/pipe-max-size", 0),
    errnos: &[libc::EPERM],
};

/// The pages all pipes of a user may hold.
pub(crate) const PIPE_USER_PAGES: Limit = Limit {
    name: "fs.pipe-user-pages-soft",
    bounds: "pages in all pipes of a user, beyond which new pipes hold one page",
    source: limit::Source::Sysctl("/proc/sys/fs/pipe-user-pages-soft", 0),
    errnos: &[],
};

/// Makes a pipe and returns its two ends.
///
/// # Errors
/// `Limit` when this process or the machine has too many descriptors.
#[doc(alias = "pipe2")]
pub fn pair() -> Result<(Reader, Writer)> {
    let (reader, writer) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| FACILITY.failed("create", "", e))?;
    Ok((Reader(reader), writer.into()))
}

/// The end to read from.
///
/// Reading waits while the pipe is empty and somebody has it open for writing.
#[derive(Debug)]
pub struct Reader(OwnedFd);

/// The end to write to.
///
/// Writing waits while the pipe is full and somebody has it open for reading; a pipe nobody
/// reads is the error `BrokenPipe`. The process is not killed by `SIGPIPE`, even in a
/// program where that signal is not ignored as it is in all Rust programs (writing then costs
/// three system calls more).
#[derive(Debug)]
pub struct Writer(OwnedFd, Fenced);

/// Whether `SIGPIPE` must be held back.
#[derive(Debug, Clone, Copy)]
struct Fenced(bool);

impl Fenced {
    #[inline]
    fn write<T>(self, write: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        if self.0 {
            sigpipe::held_back(write)
        } else {
            write()
        }
    }
}

impl Source for Reader {
    #[inline]
    fn pull(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::read(&self.0, buffer)
    }

    fn try_pull(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        transfer::try_read_pipe(&self.0, buffer)
    }
}

impl Sink for Writer {
    #[inline]
    fn push(&self, bytes: &[u8]) -> Result<usize, Errno> {
        self.1.write(|| rustix::io::write(&self.0, bytes))
    }

    fn push_vectored(&self, buffers: &[IoSlice<'_>]) -> Result<usize, Errno> {
        self.1.write(|| rustix::io::writev(&self.0, buffers))
    }

    fn try_push(&self, bytes: &[u8]) -> Result<usize, Errno> {
        self.1.write(|| transfer::try_write_pipe(&self.0, bytes))
    }

    /// The last writer's drop is the end.
    fn end(&self) -> Result<(), Errno> {
        Ok(())
    }
}

reads!(Reader);
writes!(Writer);
descriptor!(Reader, Reader);
descriptor!(Writer, |writer| Writer(writer, Fenced(sigpipe::kills())));

macro_rules! both_ends {
    ($($end:ty)*) => {$(
        impl $end {
            /// How many bytes fit into the pipe.
            ///
            /// # Errors
            /// When the descriptor is no pipe.
            #[doc(alias = "F_GETPIPE_SZ")]
            pub fn capacity(&self) -> Result<usize> {
                rustix::pipe::fcntl_getpipe_size(&self.0)
                    .map_err(|e| FACILITY.failed("read the capacity of", "", e))
            }

            /// Makes room for at least `bytes`, for both ends; the kernel rounds up to a power
            /// of two of pages. Returns the new capacity.
            ///
            /// # Errors
            /// `Limit` above `fs.pipe-max-size` without privilege; `WouldBlock` when more bytes
            /// than that are in the pipe now.
            #[doc(alias = "F_SETPIPE_SZ")]
            pub fn set_capacity(&self, bytes: usize) -> Result<usize> {
                set_capacity(self.0.as_fd(), bytes)
            }

            /// How many bytes are in the pipe, unread.
            ///
            /// # Errors
            /// When the descriptor is no pipe.
            #[doc(alias = "FIONREAD")]
            pub fn unread(&self) -> Result<usize> {
                rustix::io::ioctl_fionread(&self.0)
                    .map(|count| count as usize)
                    .map_err(|e| FACILITY.failed("count the bytes in", "", e))
            }

            /// Another handle on the same end. The end is closed when all of them are.
            ///
            /// # Errors
            /// `Limit` when this process has too many descriptors.
            pub fn try_clone(&self) -> Result<Self> {
                let twin = self.0.try_clone().map_err(|e| FACILITY.failed("clone an end of", "", e))?;
                Ok(twin.into())
            }
        }

        impl From<$end> for Stdio {
            fn from(end: $end) -> Self {
                Stdio::from(end.0)
            }
        }
    )*};
}

both_ends!(Reader Writer);

fn set_capacity(pipe: std::os::fd::BorrowedFd<'_>, bytes: usize) -> Result<usize> {
    rustix::pipe::fcntl_setpipe_size(pipe, bytes).map_err(|errno| match errno {
        Errno::BUSY => FACILITY.error(
            Kind::WouldBlock,
            "shrink",
            "",
            format!("more than {bytes} bytes are in it; read some first"),
        ),
        // What the kernel cannot represent is above the limit too.
        Errno::INVAL | Errno::PERM => FACILITY
            .failed("set the capacity of", "", Errno::PERM)
            .with_kind(Kind::Limit),
        errno => FACILITY.failed("set the capacity of", "", errno),
    })
}

impl From<PipeReader> for Reader {
    fn from(std: PipeReader) -> Self {
        OwnedFd::from(std).into()
    }
}

impl From<PipeWriter> for Writer {
    fn from(std: PipeWriter) -> Self {
        OwnedFd::from(std).into()
    }
}

impl From<Reader> for PipeReader {
    fn from(reader: Reader) -> Self {
        reader.0.into()
    }
}

impl From<Writer> for PipeWriter {
    fn from(writer: Writer) -> Self {
        writer.0.into()
    }
}

/// Opens `pipe:?fd=N`: one that this process inherited.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Stream>> {
    let number = target.options.value::<RawFd>("fd")?.ok_or_else(|| {
        FACILITY
            .error(Kind::BadInput, "open", "", "it has no name")
            .with_hint("say which inherited descriptor it is: pipe:?fd=3")
    })?;
    let failed = |errno: Errno| FACILITY.failed("open", format_args!("?fd={number}"), errno);
    let bad = |why: &str| -> Error { target.options.bad("fd", why) };
    let end = match inherited::duplicate(number) {
        Err(Errno::BADF) => return Err(bad("no descriptor of this number was inherited")),
        end => end.map_err(failed)?,
    };
    let kind = rustix::fs::fstat(&end).map_err(failed)?.st_mode;
    if FileType::from_raw_mode(kind) != FileType::Fifo {
        return Err(bad("the descriptor is no pipe"));
    }
    let flags = rustix::fs::fcntl_getfl(&end).map_err(failed)?;
    let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR);
    let reads = flags.contains(OFlags::RDWR) || !writes;
    if let Some(capacity) = target.options.bytes("capacity")? {
        set_capacity(end.as_fd(), usize::try_from(capacity).unwrap_or(usize::MAX))?;
    }
    match opening.way {
        Way::In if reads => Ok(Box::new(Inbound(end.into()))),
        Way::Out if writes => Ok(Box::new(Outbound(end.into()))),
        Way::In => Err(bad("this is the end to write to")),
        Way::Out => Err(bad("this is the end to read from")),
        Way::Both if writes => Ok(Box::new(Outbound(end.into()))),
        Way::Both => Ok(Box::new(Inbound(end.into()))),
    }
}

/// Makes one and drops it.
pub(crate) fn probe() -> Result<()> {
    pair().map(drop)
}
