//! Scratch: one buffer for the thousands of small files that a look at the machine reads.

use std::io;

use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::path::Arg;

/// A buffer that is read into again and again; what a reader returns borrows it or is a value of its own.
///
/// One per thread that reads. It grows to the largest file met (`maps` of a big process: a few megabytes).
#[derive(Debug, Default)]
pub struct Scratch {
    bytes: Vec<u8>,
}

/// Largest file that is believed: no table of the kernel comes near it, an endless one must not take the memory.
const LIMIT: usize = 512 << 20;

impl Scratch {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Scratch {
            bytes: Vec::with_capacity(16 << 10),
        }
    }

    /// The whole file `path`, relative to the directory `at`.
    pub(crate) fn read_all(&mut self, at: impl AsFd, path: impl Arg) -> io::Result<&[u8]> {
        let file = open(at.as_fd(), path)?;
        self.read_fd(file.as_fd())
    }

    /// Everything from the descriptor's position on.
    pub(crate) fn read_fd(&mut self, file: BorrowedFd<'_>) -> io::Result<&[u8]> {
        self.bytes.clear();
        loop {
            if self.bytes.capacity() - self.bytes.len() < 4096 {
                if self.bytes.len() > LIMIT {
                    return Err(Errno::FBIG.into());
                }
                self.bytes.reserve(self.bytes.capacity().max(4096));
            }
            match rustix::io::read(file, spare_capacity(&mut self.bytes)) {
                Ok(0) => return Ok(&self.bytes),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The buffer, emptied, with room for `length` bytes.
    pub(crate) fn empty(&mut self, length: usize) -> &mut Vec<u8> {
        self.bytes.clear();
        self.bytes.reserve(length);
        &mut self.bytes
    }

    /// A file that the kernel writes as one record: a single read has all of it.
    pub(crate) fn read_record(&mut self, at: BorrowedFd<'_>, path: impl Arg) -> io::Result<&[u8]> {
        let file = open(at, path)?;
        self.bytes.clear();
        self.bytes.reserve(4096);
        loop {
            match rustix::io::read(&file, spare_capacity(&mut self.bytes)) {
                Ok(_) => return Ok(&self.bytes),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn open(at: BorrowedFd<'_>, path: impl Arg) -> io::Result<OwnedFd> {
    Ok(openat(
        at,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )?)
}

/// The entries of a directory whose names are numbers.
pub(crate) fn numbers(
    at: BorrowedFd<'_>,
    path: impl Arg,
    mut each: impl FnMut(u32),
) -> io::Result<()> {
    let directory = openat(
        at,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 16 << 10];
    let mut entries = rustix::fs::RawDir::new(&directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if let Some(number) = super::text::decimal(entry.file_name().to_bytes())
            && let Ok(number) = u32::try_from(number)
        {
            each(number);
        }
    }
    Ok(())
}
