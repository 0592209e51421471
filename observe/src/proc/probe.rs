//! Borrowed: a duplicate of another process's descriptor, held just long enough to ask how full the object behind it is.
//!
//! A duplicate opens nothing: no reader or writer is added to a pipe, no opener of a FIFO wakes. While it is held, an end of file is
//! delayed, so it is dropped at once. Needs the right to trace the process, and kernel 5.6. pidfd_getfd(2).

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::brief::Brief;
use super::mqueue::{self, Limits};

/// A process from which descriptors can be borrowed.
#[derive(Debug)]
pub struct Lender {
    pidfd: OwnedFd,
    brief: Arc<Brief>,
}

impl Lender {
    /// Opens the process `pid`.
    ///
    /// # Errors
    /// `ESRCH` when it has ended. The caller compares start times when the number may have been reused.
    pub fn open(pid: u32) -> io::Result<Self> {
        let pid = Pid::from_raw(pid.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
        let brief = Arc::new(Brief::begin());
        Ok(Lender {
            pidfd: pidfd_open(pid, PidfdFlags::empty())?,
            brief,
        })
    }

    /// Borrows one descriptor.
    pub fn borrow(&self, fd: i32) -> io::Result<Borrowed> {
        Ok(Borrowed {
            fd: pidfd_getfd(&self.pidfd, fd, PidfdGetfdFlags::empty())?,
            _brief: Arc::clone(&self.brief),
        })
    }
}

/// A borrowed descriptor; dropping it gives it back.
#[derive(Debug)]
pub struct Borrowed {
    fd: OwnedFd,
    _brief: Arc<Brief>,
}

impl AsFd for Borrowed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Borrowed {
    /// Bytes that can be read: of a pipe from either end.
    pub fn readable_bytes(&self) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(&self.fd)?)
    }

    /// Bytes written and not yet taken: of a socket (`SIOCOUTQ`) or a terminal (`TIOCOUTQ`), the same number.
    pub fn unsent_bytes(&self) -> io::Result<u64> {
        let mut count: libc::c_int = 0;
        // SAFETY: TIOCOUTQ, which is SIOCOUTQ, writes one int to the place given, and the descriptor is open.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
        if result == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Capacity of a pipe in bytes.
    pub fn pipe_capacity(&self) -> io::Result<u64> {
        Ok(rustix::pipe::fcntl_getpipe_size(&self.fd)? as u64)
    }

    /// Limits and number of messages of a POSIX queue.
    pub fn queue_limits(&self) -> io::Result<Limits> {
        mqueue::limits(self.as_fd())
    }

    /// Seals of a memfd (`F_SEAL_*`).
    pub fn seals(&self) -> io::Result<u32> {
        Ok(rustix::fs::fcntl_get_seals(&self.fd)?.bits())
    }

    /// Whether it is of the mqueue file system.
    #[must_use]
    pub fn is_queue(&self) -> bool {
        mqueue::is_mqueue(self.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_fill_of_a_pipe_is_seen_from_its_writing_end() {
        let (_reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(b"hello").expect("room");
        let borrowed = Lender::open(std::process::id())
            .and_then(|lender| lender.borrow(writer.as_raw_fd()))
            .expect("our own");
        assert_eq!(borrowed.readable_bytes().expect("FIONREAD"), 5);
        assert!(borrowed.pipe_capacity().expect("F_GETPIPE_SZ") >= 4096);
    }
}
