//! Descriptors: open files handed to another process beside bytes (`SCM_RIGHTS`).
//!
//! They travel with the first byte of a piece, and a receive ends where the next piece with
//! descriptors begins. One piece carries at most 253; more are sent as several pieces, the
//! first ones of one byte each. The receiver gets the same open files under new numbers.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::{FACILITY, Stream};
use crate::error::{Kind, Result};
use crate::sys::ancillary::{self, MOST_DESCRIPTORS};
use crate::sys::patience;
use crate::wait::{Deadline, Wait};

/// What one receive brought.
#[derive(Debug)]
pub struct Received {
    /// How many bytes were put into the buffer; 0 is the end of the stream.
    pub len: usize,
    /// The descriptors that came with them, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
}

impl Stream {
    /// Sends all of `bytes` and `descriptors`, waiting for room. The caller keeps its descriptors.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::fd::AsFd;
    /// use wigwag::stream::{pipe, unix};
    ///
    /// let (here, there) = unix::pair()?;
    /// let (mut reader, writer) = pipe::pair()?;
    /// here.send_descriptors(b"w", &[writer.as_fd()])?;
    /// drop(writer);
    ///
    /// let mut bytes = [0; 16];
    /// let mut received = there.recv_descriptors(&mut bytes)?;
    /// assert_eq!(&bytes[..received.len], b"w");
    /// pipe::Writer::from(received.descriptors.remove(0)).write_all(b"through the pipe")?;
    /// reader.read_exact(&mut bytes)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `BadInput` when there are not bytes enough: one for every 253 descriptors, at least one;
    /// `Limit` when more descriptors are on their way than `RLIMIT_NOFILE` allows;
    /// `Disconnected` when the peer is gone.
    #[doc(alias = "SCM_RIGHTS")]
    #[doc(alias = "sendmsg")]
    pub fn send_descriptors(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        self.send_descriptors_with(bytes, descriptors, Wait::Forever)
    }

    /// The same with a bound on the waiting.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`: part may have been sent, if there was more than one piece or
    /// much to send; and those of [`send_descriptors`](Self::send_descriptors).
    pub fn send_descriptors_with(
        &self,
        mut bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
        wait: Wait,
    ) -> Result<()> {
        let pieces = descriptors.len().div_ceil(MOST_DESCRIPTORS).max(1);
        if bytes.len() < pieces {
            return Err(FACILITY
                .error(
                    Kind::BadInput,
                    "send descriptors over",
                    "",
                    format!("{} bytes cannot carry {}", bytes.len(), descriptors.len()),
                )
                .with_hint(format!("send at least {pieces} with them")));
        }
        let deadline = wait.into();
        let mut rest = descriptors.chunks(MOST_DESCRIPTORS);
        for piece in (1..pieces).rev().map(|_| 1).chain([usize::MAX]) {
            let (now, later) = bytes.split_at(piece.min(bytes.len()));
            self.send_piece(now, rest.next().unwrap_or_default(), deadline)
                .map_err(|e| FACILITY.failed("send descriptors over", "", e))?;
            bytes = later;
        }
        Ok(())
    }

    /// The descriptors go with the first byte that is taken.
    fn send_piece(
        &self,
        mut bytes: &[u8],
        mut descriptors: &[BorrowedFd<'_>],
        deadline: Deadline,
    ) -> Result<(), Errno> {
        let flags = match deadline {
            Deadline::Never => SendFlags::empty(),
            _ => SendFlags::DONTWAIT,
        };
        while !bytes.is_empty() {
            let sent = patience::retry(self.0.as_fd(), PollFlags::OUT, deadline, || {
                ancillary::send(self.0.as_fd(), None, bytes, descriptors, flags)
            })?;
            bytes = &bytes[sent..];
            descriptors = &[];
        }
        Ok(())
    }

    /// Receives bytes and the descriptors that came with them, waiting for something to come.
    ///
    /// Reading with `Read` instead loses descriptors: the kernel closes them.
    ///
    /// # Errors
    /// `Limit` when this process could not open all of them: those it could are closed, and the
    /// bytes they came with are read, so what follows is out of step with the sender.
    #[doc(alias = "recvmsg")]
    pub fn recv_descriptors(&self, buffer: &mut [u8]) -> Result<Received> {
        self.recv_descriptors_with(buffer, Wait::Forever)
    }

    /// The same with a bound on the waiting.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`, and those of [`recv_descriptors`](Self::recv_descriptors).
    pub fn recv_descriptors_with(&self, buffer: &mut [u8], wait: Wait) -> Result<Received> {
        let flags = match wait {
            Wait::Forever => RecvFlags::empty(),
            _ => RecvFlags::DONTWAIT,
        };
        let failed = |errno| FACILITY.failed("receive descriptors from", "", errno);
        if buffer.is_empty() {
            let why = "a buffer without room receives nothing";
            return Err(FACILITY.error(Kind::BadInput, "receive descriptors from", "", why));
        }
        let arrived = patience::retry(self.0.as_fd(), PollFlags::IN, wait.into(), || {
            ancillary::recv(self.0.as_fd(), buffer, flags)
        })
        .map_err(failed)?;
        if arrived.lost {
            return Err(failed(Errno::MFILE).with_hint("raise the limit, or receive fewer at once"));
        }
        Ok(Received {
            len: arrived.len,
            descriptors: arrived.descriptors,
        })
    }
}
