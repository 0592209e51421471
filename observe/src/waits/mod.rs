//! Waits: what each thread of the machine waits for, found out by reading only, and believed only if two looks agree.
//!
//! No thread is stopped or attached to, no end of a pipe is opened. A thread that ran between the looks, or that sleeps
//! in a way we do not understand, counts as able to act: the error is always on the side of silence.
//!
//! ```
//! use wigwag_observe::{graph::WaitGraph, waits::Options};
//!
//! let graph = WaitGraph::capture(&Options::default())?;
//! for finding in graph.findings() {
//!     println!("{}: threads {:?}", finding.verdict.word(), finding.core);
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! | the thread sleeps in | file |
//! |---|---|
//! | a read, write or poll of a descriptor | `descriptor`, and behind it `pipe`, `unix`, `inet`, `terminal`, `event`, `queue` |
//! | a futex: locks of the C libraries and of Rust | `futex` |
//! | flock, fcntl, open | `file_lock`, `opening` |
//! | semop, msgsnd, msgrcv | `sysv` |
//! | poll, select, epoll, io_uring | `multiplex`, `uring` |
//! | wait, vfork; pause, sigwait | `child`, `signal` |
//! | a page fault, a FUSE request; stopped, traced, frozen | `kernel`, `halt` |

use crate::proc::abi;
mod ask;
mod cache;
mod child;
mod descriptor;
mod event;
mod file_lock;
mod futex;
mod halt;
mod inet;
mod kernel;
mod layout;
mod machine;
mod multiplex;
mod opening;
mod pipe;
mod queue;
mod signal;
mod sysv;
mod terminal;
mod unix;
mod uring;

use crate::graph::{State, Thread, Unseen, WaitGraph};
use crate::proc::SchedClock;
use ask::Ask;
use machine::Machine;
use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

/// How to look.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time between the two looks. Longer is surer on a machine where locks are handed round slowly.
    pub interval: Duration,
    /// Find out the waits of these processes only; all others count as able to act. Empty: of all.
    pub only: Vec<u32>,
    /// Find out for every waiting thread how long it has slept, not only for the stuck ones.
    pub ages: bool,
    /// Threads that count as absent, because they will never wake anybody: a watchdog in the observed process.
    pub bystanders: Vec<u32>,
}

impl Default for Options {
    /// 50 ms between the looks, the whole machine.
    fn default() -> Options {
        Options {
            interval: Duration::from_millis(50),
            only: Vec::new(),
            ages: false,
            bystanders: Vec::new(),
        }
    }
}

impl WaitGraph {
    /// Looks at the machine twice and returns who waits for whom. Takes the interval and about 50 µs for each thread and
    /// 10 µs for each descriptor; blocks no one.
    ///
    /// # Errors
    /// Only if `/proc` itself cannot be read. What could not be read of single processes is in
    /// [`unseen`](WaitGraph::unseen).
    pub fn capture(options: &Options) -> io::Result<WaitGraph> {
        capture(options).map(|(graph, _)| graph)
    }
}

/// Captures in a row when threads that nap were awake just then.
const TRIES: u32 = 4;

/// The graph, and what it was derived from.
pub(crate) fn capture(options: &Options) -> io::Result<(WaitGraph, Evidence)> {
    let began = Instant::now();
    let mut tries = 0;
    loop {
        tries += 1;
        let (mut graph, evidence, awake) = capture_once(options)?;
        if !awake || tries == TRIES {
            graph.info.elapsed = began.elapsed();
            return Ok((graph, evidence));
        }
    }
}

/// Two looks; also tells whether a thread was awake in between that naps, so that it pays to look once more.
fn capture_once(options: &Options) -> io::Result<(WaitGraph, Evidence, bool)> {
    let mut machine = Machine::look(&options.bystanders)?;
    let looked = Instant::now();
    let mut graph = WaitGraph::new();
    if machine.hides() || machine.is_contained() {
        graph.add(Thread::live(0, 0, "hidden", "cannot be seen"));
    }
    let wanted = |pid: u32| options.only.is_empty() || options.only.contains(&pid);
    for seen in machine.processes.values() {
        for thread in &seen.threads {
            let state = if wanted(seen.pid) {
                Ask::about(&machine, seen, thread).state(&mut graph)
            } else {
                State::Live("not looked at".to_owned())
            };
            graph.add(Thread {
                pid: seen.pid,
                tid: thread.tid,
                comm: thread.comm.clone(),
                state,
                handlers: false,
            });
        }
    }

    std::thread::sleep(options.interval.saturating_sub(looked.elapsed()));
    let steady = machine.look_again()?;
    let threads: Vec<u32> = graph.threads().iter().map(|thread| thread.tid).collect();
    for tid in threads {
        let naps = napping(&graph, tid) && machine.process_of.contains_key(&tid);
        // A thread that naps wakes now and then without having got what it waits for: the last looks decide.
        if !steady.contains(&tid) && !naps {
            let why = if machine.process_of.contains_key(&tid) {
                "ran between the looks"
            } else {
                "has ended"
            };
            set_live(&mut graph, tid, why);
        }
    }
    for seen in machine.processes.values() {
        for thread in &seen.threads {
            if graph
                .thread(thread.tid)
                .is_none_or(|known| known.pid != seen.pid)
            {
                let pid = seen.pid;
                graph.add(Thread::live(
                    pid,
                    thread.tid,
                    thread.comm.clone(),
                    "began between the looks",
                ));
            }
        }
    }

    machine.detail = true;
    let candidates = graph.stuck();
    let nappers: Vec<u32> = candidates
        .iter()
        .copied()
        .filter(|&tid| napping(&graph, tid))
        .collect();
    confirm(&machine, &mut graph, &candidates);
    let asleep = machine.still_asleep(&candidates);
    for &tid in candidates.iter().filter(|tid| !asleep.contains(tid)) {
        set_live(&mut graph, tid, "ran meanwhile");
    }

    let stuck: HashSet<u32> = graph.stuck().into_iter().collect();
    let clock = SchedClock::now(&mut machine.scratch()).ok();
    let awake = nappers.iter().any(|tid| !stuck.contains(tid));
    let mut evidence = Evidence { machine, clock };
    for tid in graph
        .threads()
        .iter()
        .map(|thread| thread.tid)
        .collect::<Vec<_>>()
    {
        if options.ages || stuck.contains(&tid) {
            evidence.age(&mut graph, tid);
        }
    }
    for seen in evidence.machine.processes.values() {
        if let Some(reason) = seen.refused {
            let comm = seen.stat.comm.clone();
            graph.add_unseen(Unseen {
                pid: seen.pid,
                comm,
                reason: reason.to_owned(),
            });
        }
    }
    if evidence.machine.hides() {
        graph.add_unseen(Unseen {
            pid: 0,
            comm: "hidden".to_owned(),
            reason: "processes of other users are hidden: /proc is mounted with hidepid".to_owned(),
        });
    }
    graph.info.processes = evidence
        .machine
        .processes
        .values()
        .filter(|seen| !seen.stat.is_kernel_thread())
        .count();
    graph.info.steady = steady.len();
    graph.info.candidates = candidates.len();
    graph.info.dismissed = candidates.len() - stuck.len().min(candidates.len());
    graph.info.interval = options.interval;
    Ok((graph, evidence, awake))
}

/// Whether the thread waits in naps.
fn napping(graph: &WaitGraph, tid: u32) -> bool {
    graph
        .thread(tid)
        .and_then(Thread::wait)
        .is_some_and(|wait| wait.naps)
}

/// Derives the waits of the candidates once more, with everything that is known only now.
fn confirm(machine: &Machine, graph: &mut WaitGraph, candidates: &[u32]) {
    for &tid in candidates {
        let Some(&pid) = machine.process_of.get(&tid) else {
            continue;
        };
        let (Some(seen), Some(thread)) = (machine.processes.get(&pid), machine.thread(tid)) else {
            continue;
        };
        let ask = Ask::about(machine, seen, thread);
        let handlers = signal::own_handlers(machine, seen, ask.polls());
        let state = ask.state(graph);
        let agrees = match (&state, graph.thread(tid).and_then(Thread::wait)) {
            (State::Waiting(now), Some(before)) => now.agrees(before),
            (State::Live(_), _) => true,
            (State::Waiting(_), None) => false,
        };
        if let Some(known) = graph.thread_mut(tid) {
            known.handlers = handlers;
            known.state = if agrees {
                state
            } else {
                State::Live("the looks do not agree".to_owned())
            };
        }
    }
}

fn set_live(graph: &mut WaitGraph, tid: u32, why: &str) {
    if let Some(thread) = graph.thread_mut(tid) {
        thread.state = State::Live(why.to_owned());
    }
}

/// What a graph was made from, for further questions.
pub(crate) struct Evidence {
    machine: Machine,
    clock: Option<SchedClock>,
}

impl Evidence {
    /// Notes how long a thread has slept.
    pub(crate) fn age(&mut self, graph: &mut WaitGraph, tid: u32) {
        let Some(pid) = self.machine.process_of.get(&tid) else {
            return;
        };
        let Some(State::Waiting(wait)) = graph.thread_mut(tid).map(|thread| &mut thread.state)
        else {
            return;
        };
        let last_ran = self.machine.proc.process(*pid);
        let last_ran =
            last_ran.and_then(|process| process.task(tid).last_ran(&mut self.machine.scratch()));
        if let (Some(clock), Ok(last_ran)) = (self.clock, last_ran) {
            wait.since = Some(clock.since(last_ran));
        }
    }

    /// Finds out once more, and in full, what a thread that slept through the looks waits for.
    pub(crate) fn refine(&mut self, graph: &mut WaitGraph, tid: u32) {
        let steady = graph.thread(tid).is_some_and(|thread| match &thread.state {
            State::Waiting(_) => true,
            // A limit that was not looked behind.
            State::Live(why) => why.contains("time limit"),
        });
        let Some(&pid) = self.machine.process_of.get(&tid).filter(|_| steady) else {
            return;
        };
        if let (Some(seen), Some(thread)) =
            (self.machine.processes.get(&pid), self.machine.thread(tid))
        {
            let state = Ask::about(&self.machine, seen, thread).state(graph);
            if let (State::Waiting(_), Some(known)) = (&state, graph.thread_mut(tid)) {
                known.state = state;
            }
        }
        self.age(graph, tid);
    }
}
