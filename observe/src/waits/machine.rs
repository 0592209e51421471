//! Machine: all processes, threads and descriptors as one look found them, and which of them have moved when looked at again.
//!
//! A thread whose `schedstat` is the same in both looks has not run in between: it slept throughout, in the same system call.
//! A process none of whose threads ran kept its descriptor table, so only the others are read again.

use crate::proc::{
    Access, Fd, Link, PosixTimer, ProcFs, Process, SchedStat, Scratch, Stat, Status, Syscall,
    TaskState, denied,
};
use std::cell::{OnceCell, RefCell, RefMut};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

/// What the looks know.
pub(super) struct Machine {
    pub(super) proc: ProcFs,
    scratch: RefCell<Scratch>,
    pub(super) processes: BTreeMap<u32, Seen>,
    /// Process of each thread.
    pub(super) process_of: HashMap<u32, u32>,
    index: Index,
    bystanders: Vec<u32>,
    pub(super) cache: super::cache::Cache,
    /// Say how full things are and look for unusual wakers: costs more, for candidates only.
    pub(super) detail: bool,
}

/// A process.
pub(super) struct Seen {
    pub(super) pid: u32,
    pub(super) stat: Stat,
    pub(super) threads: Vec<SeenThread>,
    /// Its descriptors in ascending order; empty if they may not be read.
    pub(super) fds: Vec<Fd>,
    /// What may not be read.
    pub(super) refused: Option<&'static str>,
    status: OnceCell<Status>,
    timers: OnceCell<Vec<PosixTimer>>,
    pub(super) layout: OnceCell<super::layout::Layout>,
}

/// A thread.
#[derive(Clone)]
pub(super) struct SeenThread {
    pub(super) tid: u32,
    pub(super) comm: String,
    pub(super) state: TaskState,
    sched: Option<SchedStat>,
    /// `None`: may not be read.
    pub(super) syscall: Option<Syscall>,
}

/// A descriptor of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) fd: i32,
    pub(super) access: Access,
}

/// Descriptors by what they lead to.
#[derive(Default)]
struct Index {
    pipes: HashMap<u64, Vec<Holder>>,
    sockets: HashMap<u64, Vec<Holder>>,
    anonymous: HashMap<Box<str>, Vec<Holder>>,
    /// By the last part of the path: the name a directory has for the file is the same for all who opened it by it.
    names: HashMap<Box<[u8]>, Vec<Holder>>,
}

impl Machine {
    /// The first look.
    pub(super) fn look(bystanders: &[u32]) -> io::Result<Machine> {
        let proc = ProcFs::open()?;
        let mut scratch = Scratch::new();
        let mut processes = BTreeMap::new();
        for pid in proc.pids()? {
            if let Some(seen) = visit(&proc, pid, bystanders, &mut scratch) {
                processes.insert(pid, seen);
            }
        }
        let mut machine = Machine {
            proc,
            scratch: RefCell::new(scratch),
            processes,
            process_of: HashMap::new(),
            index: Index::default(),
            bystanders: bystanders.to_vec(),
            cache: super::cache::Cache::default(),
            detail: false,
        };
        machine.file();
        Ok(machine)
    }

    /// Looks again; returns the threads that slept all the time since the look before.
    pub(super) fn look_again(&mut self) -> io::Result<HashSet<u32>> {
        let mut steady = HashSet::new();
        let mut now = BTreeMap::new();
        for pid in self.proc.pids()? {
            let scratch = self.scratch.get_mut();
            let unmoved = match self.processes.remove(&pid) {
                None => None,
                Some(seen) if seen.stat.is_kernel_thread() => Some((seen, Vec::new())),
                Some(seen) => match self.proc.process(pid) {
                    Ok(process) => {
                        let asleep = |thread: &&SeenThread| {
                            thread.sched.is_some()
                                && process.task(thread.tid).schedstat(scratch).ok() == thread.sched
                        };
                        let slept: Vec<u32> = seen
                            .threads
                            .iter()
                            .filter(asleep)
                            .map(|thread| thread.tid)
                            .collect();
                        steady.extend(&slept);
                        Some((seen, slept))
                    }
                    Err(_) => continue,
                },
            };
            match unmoved {
                // Nobody in it ran: it has the threads and the descriptors it had.
                Some((seen, slept)) if slept.len() == seen.threads.len() => {
                    now.insert(pid, seen);
                }
                before => {
                    if let Some(fresh) = visit(&self.proc, pid, &self.bystanders, scratch) {
                        let reused = before
                            .as_ref()
                            .is_some_and(|(seen, _)| seen.stat.start != fresh.stat.start);
                        if reused && let Some((seen, _)) = &before {
                            for thread in &seen.threads {
                                steady.remove(&thread.tid);
                            }
                        }
                        now.insert(pid, fresh);
                    }
                }
            }
        }
        self.processes = now;
        self.cache = super::cache::Cache::default();
        self.file();
        Ok(steady)
    }

    /// Whether there are processes of which nothing is to be seen at all, not even that they are there: `/proc` is mounted
    /// with `hidepid`, and process 1 is not ours.
    pub(super) fn hides(&self) -> bool {
        !self.processes.contains_key(&1)
    }

    /// Whether there may be processes outside of the pid namespace that is seen, which have the same memory by its name.
    pub(super) fn is_contained(&self) -> bool {
        // The first namespace has this number on every machine (`PROC_PID_INIT_INO`).
        let namespace = std::fs::read_link("/proc/self/ns/pid");
        namespace.is_ok_and(|link| link.as_os_str() != "pid:[4026531836]")
    }

    /// Of these threads, those that are still asleep as the last look saw them.
    pub(super) fn still_asleep(&self, tids: &[u32]) -> HashSet<u32> {
        let mut scratch = self.scratch.borrow_mut();
        let mut asleep = HashSet::new();
        for &tid in tids {
            let Some(thread) = self.thread(tid) else {
                continue;
            };
            let now = self.process_of.get(&tid).and_then(|&pid| {
                let process = self.proc.process(pid).ok()?;
                let task = process.task(tid);
                let sched = task.schedstat(&mut scratch).ok()?;
                // Woken already, though no processor has had time for it yet: only this says so.
                let woken = matches!(task.syscall(&mut scratch), Ok(Syscall::Running));
                (!woken).then_some(sched)
            });
            if now.is_some() && now == thread.sched {
                asleep.insert(tid);
            }
        }
        asleep
    }

    fn file(&mut self) {
        let mut index = Index::default();
        self.process_of.clear();
        for seen in self.processes.values() {
            for thread in &seen.threads {
                self.process_of.insert(thread.tid, seen.pid);
            }
            for fd in &seen.fds {
                let holder = Holder {
                    pid: seen.pid,
                    fd: fd.fd,
                    access: fd.access,
                };
                match &fd.link {
                    Link::Pipe(ino) => index.pipes.entry(*ino).or_default().push(holder),
                    Link::Socket(ino) => index.sockets.entry(*ino).or_default().push(holder),
                    Link::Anonymous(kind) => match index.anonymous.get_mut(kind) {
                        Some(holders) => holders.push(holder),
                        None => {
                            index.anonymous.insert(kind.clone(), vec![holder]);
                        }
                    },
                    Link::Numbered(kind, _) => index
                        .anonymous
                        .entry(kind.clone())
                        .or_default()
                        .push(holder),
                    Link::Path { path, .. } | Link::Memfd(path) => {
                        let name = last_part(path);
                        match index.names.get_mut(name) {
                            Some(holders) => holders.push(holder),
                            None => {
                                index.names.insert(name.into(), vec![holder]);
                            }
                        }
                    }
                }
            }
        }
        self.index = index;
    }

    /// A buffer to read into. Not to be held across calls of other methods.
    pub(super) fn scratch(&self) -> RefMut<'_, Scratch> {
        self.scratch.borrow_mut()
    }

    /// The directory by which to look into a process.
    pub(super) fn open(&self, pid: u32) -> std::io::Result<Process> {
        self.proc
            .process(self.processes.get(&pid).map_or(pid, Seen::door))
    }

    pub(super) fn thread(&self, tid: u32) -> Option<&SeenThread> {
        let seen = self.processes.get(self.process_of.get(&tid)?)?;
        seen.threads.iter().find(|thread| thread.tid == tid)
    }

    /// The status of a process, read once.
    pub(super) fn status<'s>(&self, seen: &'s Seen) -> &'s Status {
        seen.status.get_or_init(|| {
            let process = self.proc.process(seen.pid);
            process
                .and_then(|process| process.status(&mut self.scratch()))
                .unwrap_or_default()
        })
    }

    /// The timers of a process, read once.
    pub(super) fn timers<'s>(&self, seen: &'s Seen) -> &'s [PosixTimer] {
        seen.timers.get_or_init(|| {
            let process = self.open(seen.pid);
            process
                .and_then(|process| process.timers(&mut self.scratch()))
                .unwrap_or_default()
        })
    }

    /// Who has this pipe.
    pub(super) fn pipe(&self, ino: u64) -> &[Holder] {
        self.index.pipes.get(&ino).map_or(&[], Vec::as_slice)
    }

    /// Who has this socket.
    pub(super) fn socket(&self, ino: u64) -> &[Holder] {
        self.index.sockets.get(&ino).map_or(&[], Vec::as_slice)
    }

    /// All sockets, by inode.
    pub(super) fn sockets(&self) -> impl Iterator<Item = (u64, &[Holder])> {
        self.index
            .sockets
            .iter()
            .map(|(&ino, holders)| (ino, holders.as_slice()))
    }

    /// Who has a descriptor of this kind: `eventfd`, `eventpoll`, `pidfd`.
    pub(super) fn anonymous(&self, kind: &str) -> &[Holder] {
        self.index.anonymous.get(kind).map_or(&[], Vec::as_slice)
    }

    /// Who may have the file of this name open: the device and inode are still to be compared.
    pub(super) fn named(&self, path: &[u8]) -> &[Holder] {
        self.index
            .names
            .get(last_part(path))
            .map_or(&[], Vec::as_slice)
    }

    /// All descriptors with a path.
    pub(super) fn all_named(&self) -> impl Iterator<Item = &Holder> {
        self.index.names.values().flatten()
    }

    /// A descriptor of a process.
    pub(super) fn fd(&self, pid: u32, fd: i32) -> Option<&Fd> {
        let fds = &self.processes.get(&pid)?.fds;
        fds.binary_search_by_key(&fd, |entry| entry.fd)
            .ok()
            .map(|at| &fds[at])
    }
}

impl Seen {
    /// The thread by which to look into the process: the first, or another if that has ended.
    pub(super) fn door(&self) -> u32 {
        if self.stat.state != TaskState::Zombie {
            self.pid
        } else {
            self.threads.first().map_or(self.pid, |thread| thread.tid)
        }
    }

    /// Whether nothing of it runs any more; it only waits to be waited for.
    pub(super) fn is_zombie(&self) -> bool {
        self.threads.is_empty()
    }
}

/// Everything about one process; `None` if it is gone.
fn visit(proc: &ProcFs, pid: u32, bystanders: &[u32], scratch: &mut Scratch) -> Option<Seen> {
    let process = proc.process(pid).ok()?;
    let stat = process.stat(scratch).ok()?;
    let mut seen = Seen {
        pid,
        stat,
        threads: Vec::new(),
        fds: Vec::new(),
        refused: None,
        status: OnceCell::new(),
        timers: OnceCell::new(),
        layout: OnceCell::new(),
    };
    if seen.stat.is_kernel_thread() {
        return Some(seen);
    }
    let tids = if seen.stat.threads <= 1 && seen.stat.state != TaskState::Zombie {
        vec![pid]
    } else {
        process.tids().ok()?
    };
    for tid in tids {
        if bystanders.contains(&tid) {
            continue;
        }
        let task = process.task(tid);
        // The counters first: if they are the same later, everything read in between is true of one sleep.
        let sched = task.schedstat(scratch).ok();
        let (comm, state) = if tid == pid {
            (seen.stat.comm.clone(), seen.stat.state)
        } else {
            match task.stat(scratch) {
                Ok(stat) => (stat.comm, stat.state),
                Err(_) => continue,
            }
        };
        if matches!(state, TaskState::Zombie | TaskState::Dead) {
            continue;
        }
        let syscall = match task.syscall(scratch) {
            Ok(syscall) => Some(syscall),
            Err(error) if denied(&error) => {
                seen.refused = Some("its system calls may not be read (ptrace permission)");
                None
            }
            // A zombie, or gone meanwhile.
            Err(_) => continue,
        };
        seen.threads.push(SeenThread {
            tid,
            comm,
            state,
            sched,
            syscall,
        });
    }
    if !seen.threads.is_empty() {
        // Where the first thread has ended, only the others still have the descriptors.
        let fds = match seen.door() {
            door if door == pid => process.fds(scratch),
            other => process.fds_of_task(other, scratch),
        };
        match fds {
            Ok(mut fds) => {
                fds.sort_unstable_by_key(|fd| fd.fd);
                seen.fds = fds;
            }
            Err(error) if denied(&error) => {
                seen.refused = Some("its descriptors may not be read (ptrace permission)");
            }
            Err(_) => {}
        }
    }
    Some(seen)
}

fn last_part(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}
