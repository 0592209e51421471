//! Component: strongly connected sets of stuck nodes, and which of them are the cause rather than the queue behind it.
//!
//! A component is a *core* if it stays stuck when everything outside it is set free. A cycle that merely touches a
//! deadlock is no core: it would go on if the deadlock were resolved.

use super::reduce::Edges;
use std::collections::{HashMap, HashSet};

/// The cores among the stuck threads (`live` as [`Edges::reduce`] gives it), each as a sorted list of threads.
pub(super) fn cores(edges: &Edges, live: &[bool], threads: usize) -> Vec<Vec<usize>> {
    let stuck: Vec<usize> = (0..live.len()).filter(|&node| !live[node]).collect();
    let mut cores = Vec::new();
    let mut work = components(edges, live, &stuck);
    while let Some(component) = work.pop() {
        let inside: HashSet<usize> = component.iter().copied().collect();
        let rest = still_stuck(edges, live, &inside);
        if rest.len() == inside.len() {
            let mut core: Vec<usize> = rest.into_iter().filter(|&node| node < threads).collect();
            if !core.is_empty() {
                core.sort_unstable();
                cores.push(core);
            }
        } else if !rest.is_empty() {
            // Part of it leans on the outside; what is left may fall into several.
            let outside_is_live: Vec<bool> =
                (0..live.len()).map(|node| !rest.contains(&node)).collect();
            let rest: Vec<usize> = rest.into_iter().collect();
            work.extend(components(edges, &outside_is_live, &rest));
        }
    }
    cores.sort();
    cores
}

/// The nodes of `inside` that stay stuck when all others run.
fn still_stuck(edges: &Edges, live: &[bool], inside: &HashSet<usize>) -> HashSet<usize> {
    // A thread leaves when each clause that was unsatisfied has a waker that is outside or has left; a group when a member has.
    let mut stuck = inside.clone();
    let mut waiters: HashMap<usize, Vec<usize>> = HashMap::new();
    for &node in inside {
        for blocker in edges
            .blockers(live, node)
            .filter(|blocker| inside.contains(blocker))
        {
            waiters.entry(blocker).or_default().push(node);
        }
    }
    let free = |node: usize, stuck: &HashSet<usize>| match edges.members.get(&node) {
        Some(members) => members.iter().any(|member| !stuck.contains(member)),
        None => edges.clauses[node].as_ref().is_some_and(|clauses| {
            clauses.iter().all(|clause| {
                clause
                    .iter()
                    .any(|waker| live[*waker] || !stuck.contains(waker))
            })
        }),
    };
    let mut work: Vec<usize> = inside.iter().copied().collect();
    while let Some(node) = work.pop() {
        if stuck.contains(&node) && free(node, &stuck) {
            stuck.remove(&node);
            work.extend(waiters.get(&node).into_iter().flatten());
        }
    }
    stuck
}

/// Tarjan's strongly connected components of `nodes` along the edges to blockers, without recursion.
fn components(edges: &Edges, live: &[bool], nodes: &[usize]) -> Vec<Vec<usize>> {
    const UNSEEN: u32 = u32::MAX;
    let allowed: HashSet<usize> = nodes.iter().copied().collect();
    let mut number: HashMap<usize, u32> = HashMap::with_capacity(nodes.len());
    let mut low: HashMap<usize, u32> = HashMap::with_capacity(nodes.len());
    let mut on_stack: HashSet<usize> = HashSet::new();
    let mut stack = Vec::new();
    let mut found = Vec::new();
    let mut next = 0;
    for &root in nodes {
        if number.get(&root).copied().unwrap_or(UNSEEN) != UNSEEN {
            continue;
        }
        let mut frames = vec![(root, edges.blockers(live, root))];
        number.insert(root, next);
        low.insert(root, next);
        next += 1;
        stack.push(root);
        on_stack.insert(root);
        while let Some((node, blockers)) = frames.last_mut() {
            let node = *node;
            match blockers.find(|blocker| allowed.contains(blocker)) {
                Some(blocker) => match number.get(&blocker) {
                    None => {
                        number.insert(blocker, next);
                        low.insert(blocker, next);
                        next += 1;
                        stack.push(blocker);
                        on_stack.insert(blocker);
                        frames.push((blocker, edges.blockers(live, blocker)));
                    }
                    Some(&seen) if on_stack.contains(&blocker) => {
                        let least = low[&node].min(seen);
                        low.insert(node, least);
                    }
                    Some(_) => {}
                },
                None => {
                    frames.pop();
                    let mine = low[&node];
                    if let Some((parent, _)) = frames.last() {
                        let least = low[parent].min(mine);
                        low.insert(*parent, least);
                    }
                    if mine == number[&node] {
                        let mut component = Vec::new();
                        while let Some(member) = stack.pop() {
                            on_stack.remove(&member);
                            component.push(member);
                            if member == node {
                                break;
                            }
                        }
                        found.push(component);
                    }
                }
            }
        }
    }
    found
}
