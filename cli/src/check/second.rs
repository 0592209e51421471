//! Second: the first process's handle on the second one; killed when dropped.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use super::meeting::Meeting;
use super::play::{Fault, Result, Task};

/// A running second process.
#[derive(Debug)]
pub(crate) struct Second {
    process: Process,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

/// The process, shared with whoever ends it when it is stuck.
#[derive(Debug, Clone)]
pub(crate) struct Process(Arc<Mutex<Child>>);

impl Process {
    fn child(&self) -> MutexGuard<'_, Child> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn end(&self) {
        let mut child = self.child();
        // Gone already: then there is nothing to do.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Second {
    pub(crate) fn start(meeting: &Meeting) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("peer").arg(meeting.there.theirs.to_string());
        for (option, sides) in [("--back", &meeting.back), ("--counters", &meeting.counters)] {
            if let Some(sides) = sides {
                command.arg(option).arg(sides.theirs.to_string());
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let to = child.stdin.take();
        let from = child.stdout.take().ok_or_else(|| Fault("it has no output".into()))?;
        Ok(Second {
            to,
            from: BufReader::new(from),
            process: Process(Arc::new(Mutex::new(child))),
        })
    }

    pub(crate) fn process(&self) -> Process {
        self.process.clone()
    }

    /// Gives it something to do; [`done`](Second::done) is to follow.
    pub(crate) fn tell(&mut self, task: Task) -> Result<()> {
        let to = self.to.as_mut().ok_or_else(|| Fault("the second process was let go".into()))?;
        writeln!(to, "{task}")
            .map_err(|error| Fault(format!("the second process does not listen: {error}")))
    }

    /// Waits until it has done it.
    pub(crate) fn done(&mut self) -> Result<()> {
        self.hear("done")
    }

    /// Waits for this line; any other says what went wrong over there.
    pub(crate) fn hear(&mut self, expected: &str) -> Result<()> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        match line.trim_end() {
            line if line == expected => Ok(()),
            "" => Err(Fault("the second process ended".into())),
            line => Err(Fault(format!("in the second process: {line}"))),
        }
    }

    /// What it still had to say, when something went wrong here first.
    pub(crate) fn last_words(&mut self) -> Option<String> {
        drop(self.to.take());
        self.process.end();
        let mut line = String::new();
        while self.from.read_line(&mut line).is_ok_and(|read| read > 0) {
            let word = line.trim_end();
            if !matches!(word, "ready" | "done") {
                return Some(word.to_owned());
            }
            line.clear();
        }
        None
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        self.process.end();
    }
}
