//! vmsplice: lends pages of this process to a pipe instead of copying them.

use std::os::fd::BorrowedFd;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{IoSliceRaw, SpliceFlags};

/// Lends `bytes` to a pipe. They never change and are never freed, so the reader sees what was
/// meant however late it reads.
///
/// # Errors
/// `EBADF` when `pipe` is not the write end of a pipe.
pub(crate) fn lend(pipe: BorrowedFd<'_>, bytes: &'static [u8]) -> Result<usize, Errno> {
    if !rustix::fs::fcntl_getfl(pipe)?.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return Err(Errno::BADF);
    }
    let slice = [IoSliceRaw::from_slice(bytes)];
    // SAFETY: on a descriptor open for writing (checked above, and it cannot change) the call
    // only reads the memory; on one for reading it would write into it. Nothing is gifted.
    unsafe { rustix::pipe::vmsplice(pipe, &slice, SpliceFlags::empty()) }
}
