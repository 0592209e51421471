//! Packets: a pipe that keeps the boundaries of writes up to [`ATOMIC`] bytes (`O_DIRECT`, `pipe(2)`).

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::{ATOMIC, FACILITY, Fenced};
use crate::error::{Error, Kind, Result};
use crate::stream::transfer::{self, descriptor};
use crate::sys::{patience, sigpipe};
use crate::wait::{Deadline, Wait};

/// Makes a pipe of packets: one send is one receive.
///
/// ```
/// use wigwag::stream::pipe;
///
/// let (reader, writer) = pipe::packets()?;
/// writer.send(b"one")?;
/// writer.send(b"two")?;
/// let mut buffer = [0; pipe::ATOMIC];
/// assert_eq!(reader.recv(&mut buffer)?, Some(&b"one"[..]));
/// assert_eq!(reader.recv(&mut buffer)?, Some(&b"two"[..]));
/// # Ok::<(), wigwag::Error>(())
/// ```
///
/// # Errors
/// `Limit` when this process or the machine has too many descriptors.
#[doc(alias = "O_DIRECT")]
pub fn packets() -> Result<(PacketReader, PacketWriter)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT)
        .map_err(|e| FACILITY.failed("create", "", e))?;
    Ok((PacketReader(reader), writer.into()))
}

/// The end to receive packets from.
#[derive(Debug)]
pub struct PacketReader(OwnedFd);

/// The end to send packets to.
#[derive(Debug)]
pub struct PacketWriter(OwnedFd, Fenced);

descriptor!(PacketReader, PacketReader);
descriptor!(PacketWriter, |writer| PacketWriter(
    writer,
    Fenced(sigpipe::kills())
));

impl PacketReader {
    /// Receives one packet; `None` when all writers are gone. The buffer has room for the
    /// longest, so that none is ever cut off.
    ///
    /// # Errors
    /// What `read(2)` says.
    pub fn recv<'b>(&self, buffer: &'b mut [u8; ATOMIC]) -> Result<Option<&'b [u8]>> {
        self.recv_with(buffer, Wait::Forever)
    }

    /// Receives the packet that is there.
    ///
    /// # Errors
    /// `WouldBlock` when none is.
    pub fn try_recv<'b>(&self, buffer: &'b mut [u8; ATOMIC]) -> Result<Option<&'b [u8]>> {
        self.recv_with(buffer, Wait::Not)
    }

    /// Receives one packet if it comes before the time is over.
    ///
    /// # Errors
    /// `TimedOut` when none came.
    pub fn recv_timeout<'b>(
        &self,
        buffer: &'b mut [u8; ATOMIC],
        limit: Duration,
    ) -> Result<Option<&'b [u8]>> {
        self.recv_with(buffer, Wait::For(limit))
    }

    /// Receives one packet, waiting as long as told.
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`, what `read(2)` says.
    pub fn recv_with<'b>(
        &self,
        buffer: &'b mut [u8; ATOMIC],
        wait: Wait,
    ) -> Result<Option<&'b [u8]>> {
        let deadline = Deadline::from(wait);
        let count = patience::retry(self.as_fd(), PollFlags::IN, deadline, || match wait {
            Wait::Forever => rustix::io::read(&self.0, &mut buffer[..]),
            _ => transfer::try_read_pipe(&self.0, &mut buffer[..]),
        })
        .map_err(|e| FACILITY.failed("receive from", "", e))?;
        Ok((count > 0).then_some(&buffer[..count]))
    }
}

impl PacketWriter {
    /// Sends one packet, waiting for room.
    ///
    /// # Errors
    /// `TooBig` above [`ATOMIC`] bytes; `BadInput` when empty, which a pipe cannot carry;
    /// `Disconnected` when nobody reads.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        self.send_with(packet, Wait::Forever)
    }

    /// Sends one packet if there is room.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, and those of [`send`](Self::send).
    pub fn try_send(&self, packet: &[u8]) -> Result<()> {
        self.send_with(packet, Wait::Not)
    }

    /// Sends one packet if there is room before the time is over.
    ///
    /// # Errors
    /// `TimedOut` when there was none, and those of [`send`](Self::send).
    pub fn send_timeout(&self, packet: &[u8], limit: Duration) -> Result<()> {
        self.send_with(packet, Wait::For(limit))
    }

    /// Sends one packet, waiting as long as told.
    ///
    /// # Errors
    /// Those of the three above.
    pub fn send_with(&self, packet: &[u8], wait: Wait) -> Result<()> {
        check(packet)?;
        let deadline = Deadline::from(wait);
        patience::retry(self.as_fd(), PollFlags::OUT, deadline, || {
            self.1.write(|| match wait {
                Wait::Forever => rustix::io::write(&self.0, packet),
                _ => transfer::try_write_pipe(&self.0, packet),
            })
        })
        .map(|_| ())
        .map_err(|e: Errno| FACILITY.failed("send to", "", e))
    }
}

fn check(packet: &[u8]) -> Result<(), Error> {
    let refuse = |kind, why: String| Err(FACILITY.error(kind, "send to", "", why));
    match packet.len() {
        0 => refuse(Kind::BadInput, "a packet has at least one byte".into()),
        1..=ATOMIC => Ok(()),
        len => refuse(
            Kind::TooBig,
            format!("the packet has {len} bytes, the longest has {ATOMIC}"),
        ),
    }
}
