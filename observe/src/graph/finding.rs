//! Finding: a set of threads that will not go on, with a verdict and how sure it is.

use super::reduce::Edges;
use super::{Outside, Thread, WaitGraph, component};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A closed set of threads that waits only for itself.
    Deadlock,
    /// One thread, and nobody exists who could wake it.
    DeadEnd,
    /// Nobody who is here will wake it, but a stranger may come by the object's name. Information.
    OpenWait,
    /// Others wait for threads that are stopped or frozen.
    Stopped,
    /// Only a signal handler of the same process could end it. Information.
    SignalWait,
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Certainty {
    /// A heuristic named the wakers.
    Suspect,
    /// True unless a stranger opens a named object, or something unusual is done.
    Likely,
    /// No possible waker can ever run.
    Proven,
}

/// Threads that will not go on, and those behind them.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What it is.
    pub verdict: Verdict,
    /// How sure.
    pub certainty: Certainty,
    /// The facilities of the core's waits, sorted, each once.
    pub facilities: Vec<&'static str>,
    /// Thread ids of those that wait for each other, sorted.
    pub core: Vec<u32>,
    /// Thread ids of those that wait for the core without being waited for, sorted.
    pub behind: Vec<u32>,
}

impl Verdict {
    /// The word in the JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Deadlock => "deadlock",
            Verdict::DeadEnd => "dead_end",
            Verdict::OpenWait => "open_wait",
            Verdict::Stopped => "stopped",
            Verdict::SignalWait => "signal_wait",
        }
    }

    /// Whether this is something to repair, rather than information.
    #[must_use]
    pub fn is_alarm(self) -> bool {
        matches!(self, Verdict::Deadlock | Verdict::DeadEnd)
    }
}

impl Certainty {
    /// The word in the JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Certainty::Proven => "proven",
            Certainty::Likely => "likely",
            Certainty::Suspect => "suspect",
        }
    }
}

impl Finding {
    /// Whether the thread is in the core or behind it.
    #[must_use]
    pub fn involves(&self, tid: u32) -> bool {
        self.core.binary_search(&tid).is_ok() || self.behind.binary_search(&tid).is_ok()
    }
}

impl WaitGraph {
    /// Everything that is stuck, surest first; among equals, deadlocks before dead ends before information.
    ///
    /// Three passes, each with more assumptions than the one before. What a pass has found, later ones do not repeat.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        let mut dead = vec![false; self.threads.len()];
        let mut in_core: HashSet<usize> = HashSet::new();
        for certainty in [Certainty::Proven, Certainty::Likely, Certainty::Suspect] {
            let edges = Edges::of(self, certainty);
            let live = edges.reduce(&dead);
            for core in component::cores(&edges, &live, self.threads.len()) {
                if core.iter().any(|at| in_core.contains(at)) {
                    continue;
                }
                in_core.extend(&core);
                findings.push(self.judge(&edges, core, certainty));
            }
            self.attach_behind(&edges, &live, &mut findings, &in_core);
            for (at, dead) in dead.iter_mut().enumerate() {
                *dead |= !live[at];
            }
        }
        let mut findings = self.merge_stopped(findings);
        findings
            .retain(|finding| finding.verdict != Verdict::Stopped || !finding.behind.is_empty());
        findings.sort_by_key(|finding| {
            (
                std::cmp::Reverse(finding.certainty),
                order(finding.verdict),
                finding.core[0],
            )
        });
        findings
    }

    /// The threads that seem stuck under the weakest assumptions: candidates for a second look.
    pub(crate) fn stuck(&self) -> Vec<u32> {
        let mut dead = vec![false; self.threads.len()];
        for certainty in [Certainty::Proven, Certainty::Likely, Certainty::Suspect] {
            let live = Edges::of(self, certainty).reduce(&dead);
            for (at, dead) in dead.iter_mut().enumerate() {
                *dead |= !live[at];
            }
        }
        self.threads
            .iter()
            .zip(dead)
            .filter(|(_, dead)| *dead)
            .map(|(thread, _)| thread.tid)
            .collect()
    }

    fn judge(&self, edges: &Edges, core: Vec<usize>, certainty: Certainty) -> Finding {
        let threads: Vec<&Thread> = core.iter().map(|&at| &self.threads[at]).collect();
        let waits = || threads.iter().filter_map(|thread| thread.wait());
        let stranger = waits().any(|wait| {
            wait.clauses
                .iter()
                .any(|clause| matches!(clause.outside, Outside::Named | Outside::Anyone))
        });
        let one_resource = waits()
            .map(|wait| (wait.facility, &wait.resource))
            .collect::<HashSet<_>>()
            .len()
            == 1;
        let one_process = threads.iter().all(|thread| thread.pid == threads[0].pid);
        let handler = one_process && threads[0].handlers && waits().any(|wait| wait.by_handler);
        let verdict = if waits().all(|wait| wait.halted) {
            Verdict::Stopped
        } else if stranger && one_resource && certainty != Certainty::Suspect {
            Verdict::OpenWait
        } else if handler {
            Verdict::SignalWait
        } else if core.len() > 1 || edges.waits_for_itself(self, core[0]) {
            Verdict::Deadlock
        } else {
            Verdict::DeadEnd
        };
        let mut facilities: Vec<&'static str> = waits().map(|wait| wait.facility).collect();
        facilities.sort_unstable();
        facilities.dedup();
        let mut core: Vec<u32> = threads.iter().map(|thread| thread.tid).collect();
        core.sort_unstable();
        Finding {
            verdict,
            certainty,
            facilities,
            core,
            behind: Vec::new(),
        }
    }

    /// Each stuck thread that is in no core hangs on the first core it can reach.
    fn attach_behind(
        &self,
        edges: &Edges,
        live: &[bool],
        findings: &mut [Finding],
        in_core: &HashSet<usize>,
    ) {
        let backwards = edges.backwards(live);
        let mut taken: HashSet<usize> = in_core.clone();
        for finding in findings.iter() {
            taken.extend(finding.behind.iter().filter_map(|tid| self.index.get(tid)));
        }
        for finding in findings.iter_mut() {
            let mut work: Vec<usize> = finding
                .core
                .iter()
                .chain(&finding.behind)
                .map(|tid| self.index[tid])
                .collect();
            let mut visited: HashSet<usize> = work.iter().copied().collect();
            while let Some(at) = work.pop() {
                for &waiter in backwards.get(&at).into_iter().flatten() {
                    if visited.insert(waiter) {
                        if waiter < self.threads.len() {
                            if !taken.insert(waiter) {
                                continue;
                            }
                            finding.behind.push(self.threads[waiter].tid);
                        }
                        work.push(waiter);
                    }
                }
            }
            finding.behind.sort_unstable();
        }
    }

    /// A stopped process is one finding, with those of its threads that somebody waits for.
    fn merge_stopped(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let mut merged = Vec::new();
        let mut by_process: BTreeMap<u32, Finding> = BTreeMap::new();
        let pid_of: HashMap<u32, u32> = self
            .threads
            .iter()
            .map(|thread| (thread.tid, thread.pid))
            .collect();
        for finding in findings {
            if finding.verdict != Verdict::Stopped {
                merged.push(finding);
                continue;
            }
            let pid = pid_of[&finding.core[0]];
            match by_process.get_mut(&pid) {
                None => {
                    by_process.insert(pid, finding);
                }
                Some(whole) => {
                    whole.core.extend(finding.core);
                    whole.behind.extend(finding.behind);
                    whole.certainty = whole.certainty.min(finding.certainty);
                    whole.core.sort_unstable();
                    whole.behind.sort_unstable();
                }
            }
        }
        merged.extend(by_process.into_values());
        merged
    }
}

fn order(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Deadlock => 0,
        Verdict::DeadEnd => 1,
        Verdict::Stopped => 2,
        Verdict::SignalWait => 3,
        Verdict::OpenWait => 4,
    }
}
