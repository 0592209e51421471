//! Play: what both processes of a check do with an object, whatever family it is of.
//!
//! One process asks and the other answers; one pours and the other drains. Both know what comes
//! next from the [`Pattern`](super::pattern::Pattern) and from how far they are, so each checks
//! everything it gets by itself.

use std::fmt;
use std::io;
use std::time::Duration;

use super::sample::Samples;

/// Longer than anything takes that works, also on a loaded machine; then it is stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);

/// What went wrong.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) String);

pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<wigwag::Error> for Fault {
    fn from(error: wigwag::Error) -> Self {
        Fault(error.to_string())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault(crate::failure::words(&error))
    }
}

impl From<super::pattern::Wrong> for Fault {
    fn from(wrong: super::pattern::Wrong) -> Self {
        Fault(wrong.to_string())
    }
}

/// What a facility is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Bytes go from one process to the other.
    Bytes,
    /// One process at a time goes on.
    Entries,
    /// Numbers arrive.
    Signals,
}

/// What can be done with one object between two processes.
pub(crate) trait Play {
    /// Sends `size` bytes and takes back as many, `count` times. Of a gate: enters and leaves.
    fn ask(&mut self, count: u64, size: usize, samples: &mut Samples) -> Result<()>;

    /// The other side of [`ask`](Play::ask).
    fn answer(&mut self, count: u64, size: usize) -> Result<()>;

    /// Sends `size` bytes `count` times, as fast as they are taken.
    fn pour(&mut self, count: u64, size: usize) -> Result<()>;

    /// The other side of [`pour`](Play::pour).
    fn drain(&mut self, count: u64, size: usize) -> Result<()>;

    /// Says that nothing more comes, where that can be said, and closes.
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }

    /// The other side of [`finish`](Play::finish).
    fn ended(&mut self) -> Result<()> {
        Ok(())
    }

    /// How large one large transfer is, in bytes.
    fn large(&self) -> usize {
        0
    }

    /// What it is about.
    fn about(&self) -> About {
        About::Bytes
    }

    /// What can be checked only when both are through: that a gate let in one at a time.
    /// Returns how often it was handed over.
    fn settle(&mut self, entries: u64) -> Result<u64> {
        Ok(entries)
    }
}

/// What one process tells the other to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Answer(u64, usize),
    Pour(u64, usize),
    Drain(u64, usize),
    Ended,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Task::Answer(count, size) => write!(f, "answer {count} {size}"),
            Task::Pour(count, size) => write!(f, "pour {count} {size}"),
            Task::Drain(count, size) => write!(f, "drain {count} {size}"),
            Task::Ended => f.write_str("ended"),
        }
    }
}

impl std::str::FromStr for Task {
    type Err = Fault;

    fn from_str(line: &str) -> Result<Task> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| {
            word.parse()
                .map_err(|_| Fault(format!("odd task {line:?}")))
        };
        match words[..] {
            ["ended"] => Ok(Task::Ended),
            [verb, count, size] => {
                let (count, size) = (number(count)?, number(size)? as usize);
                match verb {
                    "answer" => Ok(Task::Answer(count, size)),
                    "pour" => Ok(Task::Pour(count, size)),
                    "drain" => Ok(Task::Drain(count, size)),
                    _ => Err(Fault(format!("odd task {line:?}"))),
                }
            }
            _ => Err(Fault(format!("odd task {line:?}"))),
        }
    }
}

impl Task {
    /// Does it.
    pub(crate) fn run(self, play: &mut dyn Play) -> Result<()> {
        match self {
            Task::Answer(count, size) => play.answer(count, size),
            Task::Pour(count, size) => play.pour(count, size),
            Task::Drain(count, size) => play.drain(count, size),
            Task::Ended => play.ended(),
        }
    }
}
