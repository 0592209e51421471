//! Walk: all processes, read by a few threads; one that gets stuck in a process's tables is given up and replaced.
//!
//! A process whose memory is served by a dead program can block whoever reads its mappings. The thread that does is left behind,
//! and the process is reported as one that did not answer.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::proc::{ProcFs, Scratch};

use super::look::{Found, Look, Wanted, fills_on_demand, look, segments};

/// More threads only get into each other's way in the kernel.
const THREADS: usize = 4;

struct Shared {
    proc: Arc<ProcFs>,
    wanted: Arc<Wanted>,
    pids: Vec<u32>,
    next: AtomicUsize,
    /// What each thread reads, and since when; a thread that is not in it has been given up.
    busy: Mutex<HashMap<usize, Reading>>,
}

struct Reading {
    pid: u32,
    /// The whole process, or only its memory.
    what: &'static str,
    since: Instant,
}

/// What came out of a walk.
pub(super) struct Walked {
    pub(super) looks: Vec<Look>,
    /// The segments among the mappings of each process that has any.
    pub(super) segments: HashMap<u32, Vec<Found>>,
    /// Who did not answer: the process, what was asked, and a sentence.
    pub(super) lost: Vec<(u32, &'static str, String)>,
}

enum Report {
    Look(Box<Look>),
    Segments(u32, Vec<Found>),
    Done,
}

/// Reads these processes.
pub(super) fn walk(
    proc: &Arc<ProcFs>,
    wanted: &Arc<Wanted>,
    pids: Vec<u32>,
    patience: Duration,
) -> io::Result<Walked> {
    let most = pids.len().min(THREADS);
    let shared = Arc::new(Shared {
        proc: Arc::clone(proc),
        wanted: Arc::clone(wanted),
        pids,
        next: AtomicUsize::new(0),
        busy: Mutex::default(),
    });
    let (reports, inbox) = mpsc::channel();
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(most);
    let mut names = 0..;
    let mut spawn = || {
        let (shared, reports) = (Arc::clone(&shared), reports.clone());
        let name = names.next().unwrap_or(usize::MAX);
        std::thread::Builder::new()
            .name("observe".into())
            .spawn(move || work(name, &shared, &reports))
    };
    let mut working = 0;
    for _ in 0..threads {
        match spawn() {
            Ok(_) => working += 1,
            Err(error) if working == 0 => return Err(error),
            Err(_) => break,
        }
    }
    let mut walked = Walked {
        looks: Vec::new(),
        segments: HashMap::new(),
        lost: Vec::new(),
    };
    while working > 0 {
        match inbox.recv_timeout(patience / 4) {
            Ok(Report::Look(look)) => walked.looks.push(*look),
            Ok(Report::Segments(pid, found)) => drop(walked.segments.insert(pid, found)),
            Ok(Report::Done) => working -= 1,
            Err(RecvTimeoutError::Timeout) => {
                for (pid, what) in give_up(&shared, patience) {
                    let reason = format!("did not answer within {patience:?}");
                    walked.lost.push((pid, what, reason));
                    working -= 1;
                    working += usize::from(spawn().is_ok());
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(walked)
}

fn work(name: usize, shared: &Shared, reports: &Sender<Report>) {
    let mut scratch = Scratch::new();
    while let Some(&pid) = shared.pids.get(shared.next.fetch_add(1, Ordering::Relaxed)) {
        let read = || look(&shared.proc, pid, &shared.wanted, &mut scratch);
        let Some(look) = shared.while_busy(name, pid, "process", read) else {
            return;
        };
        // One that has ended meanwhile is no loss.
        let Ok(look) = look else { continue };
        let mappings =
            (!look.mappings.is_empty() && !fills_on_demand(&look)).then(|| look.mappings.clone());
        if reports.send(Report::Look(Box::new(look))).is_err() {
            return;
        }
        // Last, since touching its memory may keep us for ever, and what is known of it should not be lost then.
        if let Some(mappings) = mappings {
            let read = || segments(&shared.proc, pid, &mappings, &shared.wanted, &mut scratch);
            let Some(found) = shared.while_busy(name, pid, "memory", read) else {
                return;
            };
            if !found.is_empty() && reports.send(Report::Segments(pid, found)).is_err() {
                return;
            }
        }
    }
    // Nobody listens any more only when the walk has failed.
    let _ = reports.send(Report::Done);
}

impl Shared {
    /// Reads something of a process; nothing when we have been given up meanwhile.
    fn while_busy<T>(
        &self,
        name: usize,
        pid: u32,
        what: &'static str,
        read: impl FnOnce() -> T,
    ) -> Option<T> {
        let busy = || self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let since = Instant::now();
        busy().insert(name, Reading { pid, what, since });
        let found = read();
        busy().remove(&name).map(|_| found)
    }
}

fn give_up(shared: &Shared, patience: Duration) -> Vec<(u32, &'static str)> {
    let mut busy = shared.busy.lock().unwrap_or_else(PoisonError::into_inner);
    let late: Vec<usize> = busy
        .iter()
        .filter(|(_, reading)| reading.since.elapsed() > patience)
        .map(|(&name, _)| name)
        .collect();
    late.iter()
        .filter_map(|name| busy.remove(name))
        .map(|reading| (reading.pid, reading.what))
        .collect()
}
