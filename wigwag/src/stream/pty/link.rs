//! Link: a controller whose terminal has a second name, a symbolic link, while it is open.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::{Controller, FACILITY};
use crate::error::Result;
use crate::stream::{Input, Output};
use crate::wait::Wait;

/// The link is removed on drop.
pub(super) struct Linked(Controller, #[expect(dead_code, reason = "dropped")] Link);

struct Link {
    path: PathBuf,
    to: PathBuf,
}

impl Linked {
    /// # Errors
    /// `AlreadyExists` when something has that name.
    pub(super) fn new(controller: Controller, path: PathBuf) -> Result<Self> {
        let to = controller.path()?;
        std::os::unix::fs::symlink(&to, &path)
            .map_err(|e| FACILITY.failed("link", path.display(), e))?;
        Ok(Linked(controller, Link { path, to }))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Not if it is somebody else's by now.
        if std::fs::read_link(&self.path).is_ok_and(|to| to == Path::new(&self.to)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl AsFd for Linked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for Linked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Input for Linked {
    fn read_with(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<usize> {
        self.0.read_with(buffer, wait)
    }
}

impl Write for Linked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Linked {
    fn write_with(&mut self, bytes: &[u8], wait: Wait) -> io::Result<usize> {
        self.0.write_with(bytes, wait)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.finish()
    }
}
