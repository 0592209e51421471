//! Failure: why a command did not do what it was told, in one line, and the exit code for it.

use std::fmt;
use std::io;

use crate::exit;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command did not do what it was told.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the library said.
    Library(wigwag::Error),
    /// The arguments have no meaning together.
    Usage(String),
    /// Something around the facility failed: standard input, a program to run.
    Other(String),
    /// The same, with an exit code of its own.
    Coded(u8, String),
    /// Our reader went away: not an error.
    Closed,
    /// A signal asked us to end.
    Signalled(i32),
    /// Already told; only the exit code is left.
    Told(u8),
}

impl Failure {
    /// The exit code.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Failure::Library(error) => exit::of(error.kind()),
            Failure::Usage(_) | Failure::Other(_) => exit::ERROR,
            Failure::Closed => exit::DONE,
            Failure::Signalled(signal) => {
                exit::SIGNALLED.wrapping_add(u8::try_from(*signal).unwrap_or(0))
            }
            Failure::Told(code) | Failure::Coded(code, _) => *code,
        }
    }

    /// An error of reading or writing, with what was being done.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        Failure::Other(format!("cannot {what}: {}", words(error)))
    }
}

/// The system's words without ` (os error N)`.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Library(error) => error.fmt(f),
            Failure::Usage(words) | Failure::Other(words) | Failure::Coded(_, words) => {
                f.write_str(words)
            }
            Failure::Closed => f.write_str("the reader of the output is gone"),
            Failure::Signalled(signal) => write!(f, "ended by signal {signal}"),
            Failure::Told(code) => write!(f, "exit code {code}"),
        }
    }
}

impl From<wigwag::Error> for Failure {
    fn from(error: wigwag::Error) -> Self {
        Failure::Library(error)
    }
}

/// What printing says: a reader that went away is no error.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::io("write standard output", &error),
        }
    }
}

/// Starts a thread that nobody waits for.
pub(crate) fn thread(work: impl FnOnce() + Send + 'static) -> Result<()> {
    match std::thread::Builder::new().spawn(work) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::Other(format!(
            "cannot start a thread: {}; RLIMIT_NPROC (ulimit -u) or a control group allows no more",
            words(&error)
        ))),
    }
}
