//! Graph: who waits for whom, with AND-waits and OR-waits, solved by reduction.
//!
//! A plain search for cycles is wrong both ways. A reader of a pipe can be woken by *any* writer, so a cycle through one
//! writer proves nothing; a request for an exclusive file lock needs *every* reader to let go, so a stuck cycle may have a
//! running thread in it. Here a wait is a conjunction of [`Clause`]s, a clause a disjunction of [`Waker`]s, and what
//! cannot be reduced to "can run" is stuck (Knapp, *Deadlock Detection in Distributed Databases*, ACM Computing Surveys
//! 19(4), 1987: the AND–OR model; a closed set of OR-waits is a *knot*).
//!
//! This module knows no kernel: graphs can be made by hand.
//!
//! ```
//! use wigwag_observe::graph::{Clause, Thread, Verdict, Wait, WaitGraph, Waker};
//!
//! let mut graph = WaitGraph::new();
//! for (me, other) in [(1, 2), (2, 1)] {
//!     let wait = Wait::new("mutex", format!("mutex {me}"), "locked by the other").clause(Clause::one(Waker::thread(other)));
//!     graph.add(Thread::waiting(10, me, "worker", wait));
//! }
//! let findings = graph.findings();
//! assert_eq!(findings.len(), 1);
//! assert_eq!(findings[0].verdict, Verdict::Deadlock);
//! ```
//!
//! | need | use |
//! |---|---|
//! | the graph of this machine | [`WaitGraph::capture`] |
//! | what is wrong | [`WaitGraph::findings`] |
//! | a picture | [`WaitGraph::to_dot`], [`WaitGraph::to_svg`] |
//! | for programs | [`WaitGraph::to_json`] |

mod component;
mod dot;
mod finding;
mod json;
mod picture;
mod reduce;
mod svg;
mod thread;
mod wait;

pub use finding::{Certainty, Finding, Verdict};
pub use json::quoted;
pub use thread::{State, Thread};
pub use wait::{Clause, GroupId, Outside, Tier, Wait, Waker, Who};

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};
use std::time::Duration;

/// Every thread that was looked at, what it waits for, and who could end that.
#[derive(Debug, Default)]
pub struct WaitGraph {
    threads: Vec<Thread>,
    index: HashMap<u32, usize>,
    processes: HashMap<u32, Vec<usize>>,
    groups: Vec<Vec<Waker>>,
    group_index: HashMap<u64, Vec<usize>>,
    unseen: Vec<Unseen>,
    /// How the graph was made.
    pub info: Info,
}

/// A process whose waits or descriptors could not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// What was refused, and what to change.
    pub reason: String,
}

/// How a graph was made: what the looks cost and what they dismissed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Info {
    /// Processes seen.
    pub processes: usize,
    /// Threads that were asleep in both looks with the same counters.
    pub steady: usize,
    /// Threads that seemed stuck after the first look.
    pub candidates: usize,
    /// Candidates that a later look dismissed: they had run, or waited for something else.
    pub dismissed: usize,
    /// Time between the looks.
    pub interval: Duration,
    /// Time for everything, the interval included.
    pub elapsed: Duration,
}

impl WaitGraph {
    /// A graph without threads.
    #[must_use]
    pub fn new() -> WaitGraph {
        WaitGraph::default()
    }

    /// Adds a thread. A second thread with the same id replaces the first.
    pub fn add(&mut self, thread: Thread) {
        if let Some(&at) = self.index.get(&thread.tid) {
            if self.threads[at].pid == thread.pid {
                self.threads[at] = thread;
                return;
            }
            let old = self.threads[at].pid;
            if let Some(members) = self.processes.get_mut(&old) {
                members.retain(|&member| member != at);
            }
            self.processes.entry(thread.pid).or_default().push(at);
            self.threads[at] = thread;
            return;
        }
        let at = self.threads.len();
        self.index.insert(thread.tid, at);
        self.processes.entry(thread.pid).or_default().push(at);
        self.threads.push(thread);
    }

    /// Adds a set of wakers that many waits share, so that n waiters with m wakers are n + m edges and not n × m.
    pub fn add_group(&mut self, wakers: Vec<Waker>) -> GroupId {
        self.groups.push(wakers);
        GroupId(self.groups.len() - 1)
    }

    /// The group with exactly these wakers, made if there is none.
    pub(crate) fn shared_group(&mut self, wakers: Vec<Waker>) -> GroupId {
        let mut hasher = std::hash::DefaultHasher::new();
        wakers.iter().for_each(|waker| waker.who.hash(&mut hasher));
        let key = hasher.finish();
        for &known in self.group_index.get(&key).into_iter().flatten() {
            if self.groups[known] == wakers {
                return GroupId(known);
            }
        }
        let group = self.add_group(wakers);
        self.group_index.entry(key).or_default().push(group.0);
        group
    }

    /// Notes a process that could not be looked into. That it may wake anybody is for the waits to say.
    pub fn add_unseen(&mut self, unseen: Unseen) {
        self.unseen.push(unseen);
    }

    /// All threads, in the order they were added.
    #[must_use]
    pub fn threads(&self) -> &[Thread] {
        &self.threads
    }

    /// The thread with this id.
    #[must_use]
    pub fn thread(&self, tid: u32) -> Option<&Thread> {
        self.index.get(&tid).map(|&at| &self.threads[at])
    }

    /// For a later look that knows better.
    pub(crate) fn thread_mut(&mut self, tid: u32) -> Option<&mut Thread> {
        self.index.get(&tid).map(|&at| &mut self.threads[at])
    }

    /// The threads of a process.
    pub fn process(&self, pid: u32) -> impl Iterator<Item = &Thread> {
        self.processes
            .get(&pid)
            .into_iter()
            .flatten()
            .map(|&at| &self.threads[at])
    }

    /// The members of a group made by [`add_group`](Self::add_group).
    #[must_use]
    pub fn group(&self, group: GroupId) -> &[Waker] {
        self.groups.get(group.0).map_or(&[], Vec::as_slice)
    }

    /// Whether a group has any thread in the end.
    fn peopled(&self, group: GroupId) -> bool {
        let mut work = vec![group];
        let mut visited = Vec::new();
        while let Some(group) = work.pop() {
            visited.push(group);
            for waker in self.group(group) {
                match waker.who {
                    Who::Thread(tid) if self.index.contains_key(&tid) => return true,
                    Who::Process(pid) | Who::Others(pid)
                        if self.processes.get(&pid).is_some_and(|all| !all.is_empty()) =>
                    {
                        return true;
                    }
                    Who::Group(inner) if !visited.contains(&inner) => work.push(inner),
                    _ => {}
                }
            }
        }
        false
    }

    /// Processes that could not be looked into.
    #[must_use]
    pub fn unseen(&self) -> &[Unseen] {
        &self.unseen
    }

    /// The threads that a waker stands for: itself, all of its process, the members of the group; never `except`, if the
    /// waker means *other* threads.
    #[must_use]
    pub fn members(&self, waker: &Waker, except: u32) -> Vec<&Thread> {
        let mut found = Vec::new();
        let mut work = vec![waker];
        let mut visited = Vec::new();
        while let Some(waker) = work.pop() {
            match waker.who {
                Who::Thread(tid) => found.extend(self.thread(tid)),
                Who::Process(pid) => found.extend(self.process(pid)),
                Who::Others(pid) => {
                    found.extend(self.process(pid).filter(|thread| thread.tid != except))
                }
                Who::Group(group) if !visited.contains(&group) => {
                    visited.push(group);
                    work.extend(self.group(group));
                }
                Who::Group(_) => {}
            }
        }
        found.sort_by_key(|thread| (thread.pid, thread.tid));
        found.dedup_by_key(|thread| thread.tid);
        found
    }
}

#[cfg(test)]
mod tests;
