//! Task: one thread, read through its process's directory.

use std::io;

use super::file::Scratch;
use super::process::PathBuffer;
use super::{Process, SchedStat, Stat, Status, Syscall, sched, stat, status, syscall};

/// A thread of a [`Process`].
#[derive(Debug, Clone, Copy)]
pub struct Task<'p> {
    process: &'p Process,
    tid: u32,
}

impl<'p> Task<'p> {
    pub(crate) fn new(process: &'p Process, tid: u32) -> Self {
        Task { process, tid }
    }

    /// Thread number, as the observer sees it.
    #[must_use]
    pub fn tid(&self) -> u32 {
        self.tid
    }

    /// The process it belongs to.
    #[must_use]
    pub fn process(&self) -> &'p Process {
        self.process
    }

    /// State, start time, times. Readable by everybody.
    pub fn stat(&self, scratch: &mut Scratch) -> io::Result<Stat> {
        stat::parse(self.record("stat", scratch)?)
    }

    /// Masks, users, namespaced numbers. Readable by everybody.
    pub fn status(&self, scratch: &mut Scratch) -> io::Result<Status> {
        Ok(status::parse(scratch.read_all(
            self.process.dir(),
            self.path("status").as_str(),
        )?))
    }

    /// How often and how long it ran: unchanged means asleep throughout. Readable by everybody, and the cheapest of all.
    pub fn schedstat(&self, scratch: &mut Scratch) -> io::Result<SchedStat> {
        sched::parse_schedstat(self.record("schedstat", scratch)?)
    }

    /// When it last ran, in nanoseconds of the scheduler's clock: give it to
    /// [`SchedClock::since`](super::SchedClock::since). Readable by everybody.
    pub fn last_ran(&self, scratch: &mut Scratch) -> io::Result<u64> {
        sched::parse_exec_start(scratch.read_all(self.process.dir(), self.path("sched").as_str())?)
    }

    /// The system call it sleeps in. Needs the right to trace it.
    pub fn syscall(&self, scratch: &mut Scratch) -> io::Result<Syscall> {
        syscall::parse(self.record("syscall", scratch)?)
    }

    /// The kernel function it sleeps in; `None` when it runs, or when we may not know (the kernel shows `0` for both).
    /// Names differ between kernel versions.
    pub fn wchan(&self, scratch: &mut Scratch) -> io::Result<Option<String>> {
        let name = self.record("wchan", scratch)?.trim_ascii();
        Ok((name != b"0" && !name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned()))
    }

    /// Its stack in the kernel, one function a line. Needs root.
    pub fn stack(&self, scratch: &mut Scratch) -> io::Result<String> {
        let text = scratch.read_all(self.process.dir(), self.path("stack").as_str())?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn record<'s>(&self, file: &str, scratch: &'s mut Scratch) -> io::Result<&'s [u8]> {
        scratch.read_record(self.process.dir(), self.path(file).as_str())
    }

    fn path(&self, file: &str) -> PathBuffer {
        let mut path = PathBuffer::new();
        path.push("task/");
        path.push_number(self.tid);
        path.push("/");
        path.push(file);
        path
    }
}
