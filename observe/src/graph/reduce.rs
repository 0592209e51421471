//! Reduce: everything that some possible waker could free is freed, until nothing changes; the rest is stuck.
//!
//! A least fixpoint, so nobody frees himself: a thread may stand in the very group it waits for. Linear in the edges.

use super::{Certainty, Outside, State, Tier, WaitGraph, Who};
use std::collections::HashMap;

/// The edges that count at one level of certainty. Nodes are numbered: threads, then processes, then groups.
#[derive(Debug)]
pub(super) struct Edges {
    /// For each thread, its unsatisfied clauses as lists of nodes. `None`: the thread is live from the start.
    pub(super) clauses: Vec<Option<Vec<Vec<usize>>>>,
    /// For each process or group node, its members.
    pub(super) members: HashMap<usize, Vec<usize>>,
    nodes: usize,
}

impl Edges {
    /// The edges of a graph as they count for findings of this certainty.
    pub(super) fn of(graph: &WaitGraph, certainty: Certainty) -> Edges {
        let threads = graph.threads.len();
        let mut pids: Vec<u32> = graph.processes.keys().copied().collect();
        pids.sort_unstable();
        let process_node: HashMap<u32, usize> = pids
            .iter()
            .enumerate()
            .map(|(at, &pid)| (pid, threads + at))
            .collect();
        let first_group = threads + pids.len();
        let resolve = |who: Who| match who {
            Who::Thread(tid) => graph.index.get(&tid).copied(),
            Who::Process(pid) | Who::Others(pid) => process_node.get(&pid).copied(),
            // An empty group is nobody: it must not look like somebody who could be set free.
            Who::Group(group) => graph.peopled(group).then_some(first_group + group.0),
        };

        let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
        for (pid, &node) in &process_node {
            members.insert(node, graph.processes[pid].clone());
        }
        for (at, group) in graph.groups.iter().enumerate() {
            let counted = group
                .iter()
                .filter(|waker| waker.tier != Tier::Possible || certainty == Certainty::Proven);
            members.insert(
                first_group + at,
                counted.filter_map(|waker| resolve(waker.who)).collect(),
            );
        }

        let clauses = graph
            .threads
            .iter()
            .map(|thread| {
                let State::Waiting(wait) = &thread.state else {
                    return None;
                };
                if wait.limited || (wait.naps || wait.alarmed) && certainty == Certainty::Proven {
                    return None;
                }
                let mut needed = Vec::new();
                for clause in &wait.clauses {
                    let hinted = clause.wakers.iter().any(|waker| waker.tier == Tier::Hint);
                    let believed = certainty == Certainty::Suspect && hinted;
                    let freed_from_outside = match clause.outside {
                        Outside::Closed => false,
                        Outside::Named => certainty == Certainty::Proven,
                        Outside::Anyone => !believed,
                        Outside::World(_) => true,
                    };
                    if freed_from_outside {
                        continue;
                    }
                    let counts = |tier: Tier| match tier {
                        Tier::Hint => true,
                        Tier::Evident => !believed,
                        Tier::Possible => certainty == Certainty::Proven,
                    };
                    let wakers = clause.wakers.iter().filter(|waker| counts(waker.tier));
                    needed.push(wakers.filter_map(|waker| resolve(waker.who)).collect());
                }
                (!needed.is_empty()).then_some(needed)
            })
            .collect();
        Edges {
            clauses,
            members,
            nodes: first_group + graph.groups.len(),
        }
    }

    /// Which nodes can run in the end. Threads marked in `dead` were found stuck before, with fewer assumptions.
    pub(super) fn reduce(&self, dead: &[bool]) -> Vec<bool> {
        let mut live = vec![false; self.nodes];
        let mut unmet: Vec<usize> = vec![0; self.clauses.len()];
        let mut met: Vec<(usize, bool)> = Vec::new();
        let mut wakes: Vec<Vec<u32>> = vec![Vec::new(); self.nodes];
        let mut member_of: Vec<Vec<u32>> = vec![Vec::new(); self.nodes];
        let mut work = Vec::new();
        for (at, clauses) in self.clauses.iter().enumerate() {
            match clauses {
                None if !dead[at] => {
                    live[at] = true;
                    work.push(at);
                }
                None => unmet[at] = usize::MAX,
                Some(_) if dead[at] => unmet[at] = usize::MAX,
                Some(clauses) => {
                    unmet[at] = clauses.len();
                    for clause in clauses {
                        for &waker in clause {
                            wakes[waker].push(met.len() as u32);
                        }
                        met.push((at, false));
                    }
                }
            }
        }
        for (&group, members) in &self.members {
            for &member in members {
                member_of[member].push(group as u32);
            }
        }
        while let Some(at) = work.pop() {
            for &group in &member_of[at] {
                let group = group as usize;
                if !std::mem::replace(&mut live[group], true) {
                    work.push(group);
                }
            }
            for &clause in &wakes[at] {
                let (thread, satisfied) = &mut met[clause as usize];
                if !std::mem::replace(satisfied, true) {
                    unmet[*thread] -= 1;
                    if unmet[*thread] == 0 {
                        live[*thread] = true;
                        work.push(*thread);
                    }
                }
            }
        }
        live
    }

    /// The nodes that keep a stuck node from running: of a thread, the wakers of its unsatisfied clauses; of a group, its
    /// members.
    pub(super) fn blockers<'a>(
        &'a self,
        live: &'a [bool],
        node: usize,
    ) -> Box<dyn Iterator<Item = usize> + 'a> {
        if let Some(members) = self.members.get(&node) {
            return Box::new(members.iter().copied());
        }
        let clauses = self.clauses[node].as_deref().unwrap_or_default();
        Box::new(
            clauses
                .iter()
                .filter(|clause| !clause.iter().any(|&waker| live[waker]))
                .flat_map(|clause| clause.iter().copied()),
        )
    }

    /// For each stuck node, who is kept waiting by it.
    pub(super) fn backwards(&self, live: &[bool]) -> HashMap<usize, Vec<usize>> {
        let mut backwards: HashMap<usize, Vec<usize>> = HashMap::new();
        for node in (0..self.nodes).filter(|&node| !live[node]) {
            for blocker in self.blockers(live, node) {
                backwards.entry(blocker).or_default().push(node);
            }
        }
        backwards
    }

    /// Whether the thread is named among its own wakers, alone or as a member of its process; "other threads" is not it.
    pub(super) fn waits_for_itself(&self, graph: &WaitGraph, at: usize) -> bool {
        let thread = &graph.threads[at];
        let Some(wait) = thread.wait() else {
            return false;
        };
        let mut work: Vec<Who> = wait
            .clauses
            .iter()
            .flat_map(|clause| &clause.wakers)
            .map(|waker| waker.who)
            .collect();
        let mut visited = Vec::new();
        while let Some(who) = work.pop() {
            match who {
                Who::Thread(tid) if tid == thread.tid => return true,
                Who::Process(pid) if pid == thread.pid => return true,
                Who::Group(group) if !visited.contains(&group) => {
                    visited.push(group);
                    work.extend(graph.group(group).iter().map(|waker| waker.who));
                }
                _ => {}
            }
        }
        false
    }
}
