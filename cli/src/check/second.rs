//! Second: the first process's handle on the second one; killed when dropped.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::meeting::Meeting;
use super::play::{Fault, Result, Task};

/// A running second process.
#[derive(Debug)]
pub(crate) struct Second {
    process: Process,
    to: Option<PipeWriter>,
    from: BufReader<PipeReader>,
}

/// The process, shared with whoever ends it when it is stuck.
#[derive(Debug, Clone)]
pub(crate) struct Process(Arc<Mutex<Kin>>);

/// How we came to it.
#[derive(Debug)]
enum Kin {
    Started(Child),
    Forked(Pid),
    Ended,
}

impl Process {
    fn kin(&self) -> MutexGuard<'_, Kin> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its process id; nothing when it has ended.
    pub(crate) fn id(&self) -> Option<i32> {
        match &*self.kin() {
            Kin::Started(child) => Some(child.id().cast_signed()),
            Kin::Forked(pid) => Some(pid.as_raw_nonzero().get()),
            Kin::Ended => None,
        }
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn end(&self) {
        // Gone already: then there is nothing to do. Not waited for yet: then its pid is its own.
        match std::mem::replace(&mut *self.kin(), Kin::Ended) {
            Kin::Started(mut child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Kin::Forked(pid) => {
                let _ = kill_process(pid, Signal::KILL);
                let _ = waitpid(Some(pid), WaitOptions::empty());
            }
            Kin::Ended => {}
        }
    }
}

impl Second {
    /// This program again, with the objects that it is to open.
    pub(crate) fn start(id: &str, meeting: &Meeting) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("peer").arg(id);
        for (option, sides) in [
            ("--there", &meeting.there),
            ("--back", &meeting.back),
            ("--counters", &meeting.counters),
        ] {
            if let Some(sides) = sides {
                command.arg(option).arg(sides.theirs.to_string());
            }
        }
        let (input, to) = std::io::pipe()?;
        let (from, output) = std::io::pipe()?;
        command.stdin(input).stdout(output);
        Ok(Second::of(Kin::Started(command.spawn()?), to, from))
    }

    /// One that was forked, and reads and writes the other ends of these.
    pub(super) fn forked(pid: Pid, to: PipeWriter, from: PipeReader) -> Self {
        Second::of(Kin::Forked(pid), to, from)
    }

    fn of(kin: Kin, to: PipeWriter, from: PipeReader) -> Self {
        Second {
            process: Process(Arc::new(Mutex::new(kin))),
            to: Some(to),
            from: BufReader::new(from),
        }
    }

    pub(crate) fn process(&self) -> Process {
        self.process.clone()
    }

    /// Gives it something to do; [`done`](Second::done) is to follow.
    pub(crate) fn tell(&mut self, task: Task) -> Result<()> {
        let to = self
            .to
            .as_mut()
            .ok_or_else(|| Fault("the second process was let go".into()))?;
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
