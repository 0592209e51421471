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

use super::look::{Look, Wanted, look};

/// More threads only get into each other's way in the kernel.
const THREADS: usize = 4;

struct Shared {
    proc: Arc<ProcFs>,
    wanted: Wanted,
    pids: Vec<u32>,
    next: AtomicUsize,
    /// What each thread reads, and since when; a thread that is not in it has been given up.
    busy: Mutex<HashMap<usize, (u32, Instant)>>,
}

enum Report {
    Look(Box<Look>),
    Done,
}

/// Hands each process to `each`; returns those that did not answer.
pub(super) fn walk(
    proc: &Arc<ProcFs>,
    wanted: Wanted,
    patience: Duration,
    mut each: impl FnMut(Look),
) -> io::Result<Vec<(u32, String)>> {
    let pids = proc.pids()?;
    let shared = Arc::new(Shared {
        proc: Arc::clone(proc),
        wanted,
        pids,
        next: AtomicUsize::new(0),
        busy: Mutex::default(),
    });
    let (reports, inbox) = mpsc::channel();
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS);
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
    let mut lost = Vec::new();
    while working > 0 {
        match inbox.recv_timeout(patience / 4) {
            Ok(Report::Look(look)) => each(*look),
            Ok(Report::Done) => working -= 1,
            Err(RecvTimeoutError::Timeout) => {
                for pid in give_up(&shared, patience) {
                    lost.push((pid, format!("did not answer within {patience:?}")));
                    working -= 1;
                    working += usize::from(spawn().is_ok());
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(lost)
}

fn work(name: usize, shared: &Shared, reports: &Sender<Report>) {
    let mut scratch = Scratch::new();
    let busy = || shared.busy.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(&pid) = shared.pids.get(shared.next.fetch_add(1, Ordering::Relaxed)) {
        busy().insert(name, (pid, Instant::now()));
        let look = look(&shared.proc, pid, &shared.wanted, &mut scratch);
        if busy().remove(&name).is_none() {
            return;
        }
        // One that has ended meanwhile is no loss.
        if let Ok(look) = look
            && reports.send(Report::Look(Box::new(look))).is_err()
        {
            return;
        }
    }
    // Nobody listens any more only when the walk has failed.
    let _ = reports.send(Report::Done);
}

fn give_up(shared: &Shared, patience: Duration) -> Vec<u32> {
    let mut busy = shared.busy.lock().unwrap_or_else(PoisonError::into_inner);
    let late: Vec<_> = busy
        .iter()
        .filter(|(_, (_, since))| since.elapsed() > patience)
        .map(|(&name, &(pid, _))| (name, pid))
        .collect();
    late.into_iter()
        .map(|(name, pid)| {
            busy.remove(&name);
            pid
        })
        .collect()
}
