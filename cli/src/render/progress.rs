//! Progress: one line on standard error that is rewritten while a long command runs; nothing where nobody watches.

use std::io::{self, IsTerminal, Write};

/// The line; wiped when dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    watched: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Progress {
            watched: io::stderr().is_terminal(),
        }
    }

    /// Rewrites the line.
    pub(crate) fn show(&self, done: usize, all: usize, what: &str) {
        if self.watched {
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\x1b[K[{done:>2}/{all}] {what}");
            let _ = err.flush();
        }
    }

    /// Takes the line away.
    pub(crate) fn wipe(&self) {
        if self.watched {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.wipe();
    }
}
