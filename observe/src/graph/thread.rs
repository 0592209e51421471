//! Thread: the node of the graph; one that can run, or one that waits.

use super::Wait;

/// One thread of the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Thread {
    /// Its process, as the observer's pid namespace numbers it.
    pub pid: u32,
    /// Its own id, in the same namespace.
    pub tid: u32,
    /// Its name (at most 15 bytes; odd bytes replaced).
    pub comm: String,
    /// What it does.
    pub state: State,
    /// The process has signal handlers of its own: a signal may make it do anything.
    pub handlers: bool,
}

/// What a thread does.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// It runs, or will without anybody's help; the text says why we think so.
    Live(String),
    /// It sleeps until somebody acts.
    Waiting(Wait),
}

impl Thread {
    /// A thread that can run.
    #[must_use]
    pub fn live(pid: u32, tid: u32, comm: impl Into<String>, why: impl Into<String>) -> Thread {
        Thread {
            pid,
            tid,
            comm: comm.into(),
            state: State::Live(why.into()),
            handlers: false,
        }
    }

    /// A thread that waits.
    #[must_use]
    pub fn waiting(pid: u32, tid: u32, comm: impl Into<String>, wait: Wait) -> Thread {
        Thread {
            pid,
            tid,
            comm: comm.into(),
            state: State::Waiting(wait),
            handlers: false,
        }
    }

    /// Its wait, if it waits.
    #[must_use]
    pub fn wait(&self) -> Option<&Wait> {
        match &self.state {
            State::Waiting(wait) => Some(wait),
            State::Live(_) => None,
        }
    }
}
