//! Why: the answer to "why does this process not go on": a verdict first, then who waits for whom down to the root, then what to do.
//!
//! ```
//! use wigwag_observe::why::{Standing, why};
//!
//! let answers = why(&std::process::id().to_string(), &Default::default())?;
//! assert_eq!(answers.len(), 1);
//! println!("{}", answers[0]);
//! # Ok::<(), std::io::Error>(())
//! ```

mod advice;
mod answer;

pub use answer::{Link, Standing, Waking, Why};

use crate::graph::{Finding, Outside, State, Thread, Verdict, Wait, WaitGraph, Waker, Who};
use crate::waits::{Evidence, Options, capture};
use std::collections::HashSet;
use std::io;

/// Links followed at most: a longer chain is a crowd.
const LINKS: usize = 24;
/// Holders named for one link.
const NAMED: usize = 8;

/// Why the process, thread or processes of that name do not go on: one answer for a thread, one for each process.
///
/// A number is a process or thread id; anything else is a name as `comm` shows it. Takes what
/// [`WaitGraph::capture`] takes.
///
/// # Errors
/// `NotFound` if there is no such process.
pub fn why(target: &str, options: &Options) -> io::Result<Vec<Why>> {
    let (mut graph, mut evidence) = capture(options)?;
    let findings = graph.findings();
    let asked = threads_of(&graph, target, &findings);
    if asked.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no process, thread or name {target}"),
        ));
    }
    Ok(asked
        .into_iter()
        .map(|tid| explain(&mut graph, &mut evidence, &findings, tid))
        .collect())
}

/// The thread that stands for each process that is asked about: one that is stuck, before one that is behind it, or else the first.
fn threads_of(graph: &WaitGraph, target: &str, findings: &[Finding]) -> Vec<u32> {
    let mut pids: Vec<u32> = Vec::new();
    if let Ok(number) = target.parse::<u32>() {
        match graph.thread(number) {
            Some(thread) if thread.tid != thread.pid => return vec![number],
            _ => pids.push(number),
        }
    } else {
        let comm: String = target.chars().take(15).collect();
        pids.extend(
            graph
                .threads()
                .iter()
                .filter(|thread| thread.comm == comm)
                .map(|thread| thread.pid),
        );
        pids.sort_unstable();
        pids.dedup();
    }
    let representative = |pid: u32| {
        let rank = |thread: &&Thread| {
            let found = findings
                .iter()
                .position(|finding| finding.involves(thread.tid));
            let behind = found.is_none_or(|at| !findings[at].core.contains(&thread.tid));
            let found = found.unwrap_or(usize::MAX);
            (found, behind, thread.tid != pid, thread.tid)
        };
        graph.process(pid).min_by_key(rank).map(|thread| thread.tid)
    };
    pids.into_iter().filter_map(representative).collect()
}

fn explain(graph: &mut WaitGraph, evidence: &mut Evidence, findings: &[Finding], tid: u32) -> Why {
    let finding = findings
        .iter()
        .find(|finding| finding.involves(tid))
        .cloned();
    let mut chain = Vec::new();
    let mut visited = HashSet::from([tid]);
    let mut work = std::collections::VecDeque::from([tid]);
    while let Some(at) = work.pop_front() {
        if chain.len() >= LINKS {
            break;
        }
        evidence.refine(graph, at);
        let Some(thread) = graph.thread(at) else {
            continue;
        };
        let link = link(graph, thread, tid);
        // A thread that can go on by itself ends the chain; who else could wake it does not matter.
        let root = at != tid && link.awaits.is_some();
        for waking in link.holders.iter().filter(|_| !root) {
            if waking.tid != tid && visited.insert(waking.tid) {
                work.push_back(waking.tid);
            }
        }
        chain.push(link);
    }
    let standing = standing(graph, finding.as_ref(), tid);
    let thread = graph.thread(tid);
    let mut why = Why {
        pid: thread.map_or(0, |thread| thread.pid),
        tid,
        comm: thread.map(|thread| thread.comm.clone()).unwrap_or_default(),
        standing,
        finding,
        chain,
        advice: Vec::new(),
        unseen: graph.unseen().to_vec(),
    };
    why.advice = advice::advice(&why);
    why
}

fn link(graph: &WaitGraph, thread: &Thread, start: u32) -> Link {
    let mut link = Link {
        pid: thread.pid,
        tid: thread.tid,
        comm: thread.comm.clone(),
        facility: None,
        resource: String::new(),
        why: String::new(),
        since: None,
        limited: false,
        holders: Vec::new(),
        more: 0,
        awaits: None,
        start: thread.tid == start,
    };
    let wait = match &thread.state {
        State::Live(why) => {
            link.awaits = Some(why.clone());
            return link;
        }
        State::Waiting(wait) => wait,
    };
    link.facility = Some(wait.facility);
    link.resource.clone_from(&wait.resource);
    link.why.clone_from(&wait.why);
    link.since = wait.since;
    link.limited = wait.limited;
    for clause in &wait.clauses {
        for waker in &clause.wakers {
            for (member, role) in representatives(graph, waker, thread.tid) {
                if link.holders.iter().any(|known| known.tid == member.tid) {
                    continue;
                }
                if link.holders.len() < NAMED {
                    let (pid, tid, comm) = (member.pid, member.tid, member.comm.clone());
                    link.holders.push(Waking {
                        pid,
                        tid,
                        comm,
                        role,
                    });
                } else {
                    link.more += 1;
                }
            }
        }
        match &clause.outside {
            Outside::World(whom) => link.awaits = Some(format!("waits for {whom}")),
            Outside::Named if clause.wakers.is_empty() => {
                link.awaits = Some("waits for whoever opens it by name".to_owned());
            }
            Outside::Anyone if clause.wakers.is_empty() => {
                link.awaits = Some("waits for anybody".to_owned())
            }
            _ => {}
        }
    }
    link
}

/// Of a process, the thread most likely to act: one that can run before one that waits, and last those that their own process
/// might wake, as parked helpers are, and a server's threads that wait for the next call.
fn representatives<'g>(
    graph: &'g WaitGraph,
    waker: &Waker,
    except: u32,
) -> Vec<(&'g Thread, String)> {
    match waker.who {
        Who::Group(group) => graph
            .group(group)
            .iter()
            .flat_map(|waker| representatives(graph, waker, except))
            .collect(),
        Who::Process(pid) => {
            let own = |wait: &Wait| {
                let mut wakers = wait.clauses.iter().flat_map(|clause| &clause.wakers);
                wakers.any(
                    |waker| matches!(waker.who, Who::Others(of) | Who::Process(of) if of == pid),
                )
            };
            let idle = |thread: &Thread| thread.wait().is_some_and(own);
            let rank = |thread: &&Thread| (thread.wait().is_some(), idle(thread), thread.tid);
            let best = graph.process(pid).min_by_key(rank);
            best.into_iter()
                .map(|thread| (thread, waker.role.clone()))
                .collect()
        }
        _ => graph
            .members(waker, except)
            .into_iter()
            .map(|thread| (thread, waker.role.clone()))
            .collect(),
    }
}

/// Whether it waits for what is typed: who has the other end of the terminal only passes it on.
fn reads_a_terminal(wait: &crate::graph::Wait) -> bool {
    wait.facility == "pty"
        && wait.resource.starts_with("/dev/pts/")
        && wait.why.starts_with("reads")
}

fn standing(graph: &WaitGraph, finding: Option<&Finding>, tid: u32) -> Standing {
    let Some(thread) = graph.thread(tid) else {
        return Standing::Unknown;
    };
    let wait = match &thread.state {
        State::Live(why) if why.contains("may not be read") => return Standing::Unknown,
        State::Live(why) if why.starts_with("sleeps") => return Standing::Sleeping,
        State::Live(_) => return Standing::Running,
        State::Waiting(wait) => wait,
    };
    if wait.halted {
        return if wait.facility == "freezer" {
            Standing::Frozen
        } else {
            Standing::Stopped
        };
    }
    if let Some(finding) = finding {
        let in_core = finding.core.binary_search(&tid).is_ok();
        match finding.verdict {
            Verdict::Deadlock if in_core => return Standing::Deadlock,
            Verdict::DeadEnd if in_core => return Standing::DeadEnd,
            Verdict::OpenWait | Verdict::SignalWait if in_core => return Standing::WaitingForInput,
            _ => return Standing::Blocked,
        }
    }
    match wait.awaits_world() {
        Some(_) if wait.clauses.iter().all(|clause| clause.wakers.is_empty()) => {
            Standing::WaitingForInput
        }
        Some(_)
            if wait.facility == "poll" || wait.facility == "epoll" || wait.facility == "select" =>
        {
            Standing::WaitingForInput
        }
        _ => {
            let nobody = wait.clauses.iter().all(|clause| clause.wakers.is_empty());
            if nobody || reads_a_terminal(wait) {
                Standing::WaitingForInput
            } else {
                Standing::Blocked
            }
        }
    }
}
