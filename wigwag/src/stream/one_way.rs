//! One way: a pipe end where a stream of two ways is expected; the missing way is an error, `finish` closes.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::pipe::{self, Reader, Writer};
use super::{Input, Output};
use crate::wait::Wait;

/// A pipe or FIFO to read from.
pub(crate) struct Inbound(pub(crate) Reader);

/// A pipe or FIFO to write to, until it is finished.
pub(crate) struct Outbound(pub(crate) Writer);

#[cold]
fn missing(way: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("a pipe goes one way: this end cannot {way}"),
    )
}

impl AsFd for Inbound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for Inbound {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Input for Inbound {
    fn read_with(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
        self.0.read_with(buffer, wait)
    }
}

impl Write for Inbound {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(missing("write"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Inbound {
    fn write_with(&mut self, _: &[u8], _: Wait) -> io::Result<usize> {
        Err(missing("write"))
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Outbound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for Outbound {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(missing("read"))
    }
}

impl Input for Outbound {
    fn read_with(&mut self, _: &mut [u8], _: Wait) -> io::Result<usize> {
        Err(missing("read"))
    }
}

impl Write for Outbound {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Outbound {
    fn write_with(&mut self, bytes: &[u8], wait: Wait) -> io::Result<usize> {
        self.0.write_with(bytes, wait)
    }

    fn finish(&mut self) -> io::Result<()> {
        // A pipe without a reader takes its place: what is written after the end is refused.
        self.0 = pipe::pair()?.1;
        Ok(())
    }
}
