//! Look: everything read of one process, before anything is concluded from it.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::proc::mqueue::Limits;
use crate::proc::probe::{Borrowed, Lender};
use crate::proc::{
    Call, Fd, FdInfo, FileFacts, FileId, Identity, Link, Mapping, ProcFs, Process, Scratch, Stat,
    Status, TaskState, namespace,
};

use super::mounts::{self, SlowMounts};
use super::patterns::Known;
use super::waiters;

/// What to read.
pub(super) struct Wanted {
    pub(super) descriptors: bool,
    pub(super) mappings: bool,
    pub(super) sleepers: bool,
    pub(super) pipes: bool,
    /// Pipes without a name, and what has no file at all; else only their number counts.
    pub(super) nameless: bool,
    /// Files with locks, whose owners are to be found.
    pub(super) locked: HashSet<FileId>,
    pub(super) mounts: SlowMounts,
    /// Pipes and queues whose fill has been asked for already, through another descriptor.
    pub(super) probed: Mutex<HashSet<FileId>>,
    /// Shared memory whose first bytes have been read already, through another mapping.
    pub(super) opened: Mutex<HashSet<FileId>>,
}

/// One process.
pub(super) struct Look {
    pub(super) identity: Identity,
    pub(super) stat: Stat,
    pub(super) status: Status,
    pub(super) fds: Vec<FdLook>,
    pub(super) mappings: Vec<Mapping>,
    pub(super) sleepers: Vec<Sleeper>,
    pub(super) net_ns: Option<u64>,
    pub(super) ipc_ns: Option<u64>,
    pub(super) own_mounts: bool,
    /// What could not be read, and why.
    pub(super) denied: Vec<(&'static str, String)>,
}

/// One descriptor.
pub(super) struct FdLook {
    pub(super) fd: Fd,
    pub(super) facts: Option<FileFacts>,
    pub(super) info: Option<FdInfo>,
    pub(super) level: Option<Level>,
}

/// How full the object behind a descriptor is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Level {
    Pipe { level: u64, capacity: u64 },
    Queue(Limits),
}

/// A thread asleep in a system call that may be about IPC.
pub(super) struct Sleeper {
    pub(super) tid: u32,
    pub(super) comm: String,
    pub(super) call: Call,
    pub(super) last_ran: Option<u64>,
    /// What `poll` was given.
    pub(super) polled: Vec<i32>,
}

/// Reads the process `pid`.
///
/// # Errors
/// When it has ended, or is a thread of the kernel.
pub(super) fn look(
    proc: &ProcFs,
    pid: u32,
    wanted: &Wanted,
    scratch: &mut Scratch,
) -> io::Result<Look> {
    let process = proc.process(pid)?;
    let stat = process.stat(scratch)?;
    if stat.is_kernel_thread() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let status = process.status(scratch)?;
    let mut look = Look {
        identity: stat.identity(proc.pid_namespace()),
        status,
        fds: Vec::new(),
        mappings: Vec::new(),
        sleepers: Vec::new(),
        net_ns: namespace::of(&process, namespace::Kind::Network).ok(),
        ipc_ns: namespace::of(&process, namespace::Kind::Ipc).ok(),
        own_mounts: namespace::of(&process, namespace::Kind::Mount)
            .is_ok_and(|space| wanted.mounts.is_own(space)),
        denied: Vec::new(),
        stat,
    };
    if matches!(look.stat.state, TaskState::Zombie | TaskState::Dead) {
        return Ok(look);
    }
    if wanted.sleepers {
        let sleepers = sleepers(&process, &look.stat, scratch);
        look.sleepers = look.keep("system calls", sleepers);
    }
    if wanted.descriptors {
        let fds = fds(&process, wanted, scratch);
        look.fds = look.keep("descriptors", fds);
    }
    if wanted.mappings {
        let mappings =
            process.mappings(scratch, |line| line.shared() && line.name.starts_with(b"/"));
        look.mappings = look.keep("mappings", mappings);
    }
    Ok(look)
}

impl Look {
    /// What was read, or nothing and a note why.
    fn keep<T>(&mut self, what: &'static str, result: io::Result<Vec<T>>) -> Vec<T> {
        result.unwrap_or_else(|error| {
            if !crate::proc::gone(&error) {
                let reason = if crate::proc::denied(&error) {
                    "not permitted".into()
                } else {
                    error.to_string()
                };
                self.denied.push((what, reason));
            }
            Vec::new()
        })
    }
}

/// A mapping that is a segment or a pattern: its place in the list of mappings, and what its first bytes say.
pub(super) type Found = (usize, Known);

/// Whether the process may have memory that a program fills in on demand: whoever touches it waits for that program.
pub(super) fn fills_on_demand(look: &Look) -> bool {
    look.fds
        .iter()
        .any(|fd| fd.fd.link.is_anonymous("userfaultfd"))
}

/// The segments and patterns among a process's mappings, each asked for once. A file on a slow mount is left alone: reading its memory may
/// ask a server. It may block for ever where memory is filled in on demand and nobody here is known to do it.
pub(super) fn segments(
    proc: &ProcFs,
    pid: u32,
    mappings: &[Mapping],
    wanted: &Wanted,
    scratch: &mut Scratch,
) -> Vec<Found> {
    let Ok(process) = proc.process(pid) else {
        return Vec::new();
    };
    let slow = wanted.mounts.of(&process, scratch);
    let mut segments = Vec::new();
    for (at, mapping) in mappings.iter().enumerate() {
        if super::mappings::uninteresting(mapping)
            || mounts::covers(&slow, &mapping.name)
            || !set(&wanted.opened).insert(mapping.file)
        {
            continue;
        }
        match Known::mapped(pid, mapping) {
            Some(known) => segments.push((at, known)),
            // Perhaps another process has mapped it from its beginning.
            None => drop(set(&wanted.opened).remove(&mapping.file)),
        }
    }
    segments
}

fn set(of: &Mutex<HashSet<FileId>>) -> std::sync::MutexGuard<'_, HashSet<FileId>> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sleepers(process: &Process, stat: &Stat, scratch: &mut Scratch) -> io::Result<Vec<Sleeper>> {
    let mut sleepers = Vec::new();
    for tid in process.tids()? {
        let task = process.task(tid);
        let call = match task.syscall(scratch) {
            Ok(call) => call,
            Err(error) if crate::proc::gone(&error) => continue,
            Err(error) => return Err(error),
        };
        let Some(&call) = call.call() else { continue };
        if !waiters::concerns_ipc(&call) {
            continue;
        }
        let comm = if tid == process.pid() {
            Some(stat.comm.clone())
        } else {
            task.stat(scratch).ok().map(|stat| stat.comm)
        };
        let last_ran = task.last_ran(scratch).ok();
        let polled = waiters::polled(process.pid(), &call);
        sleepers.push(Sleeper {
            tid,
            comm: comm.unwrap_or_default(),
            call,
            last_ran,
            polled,
        });
    }
    Ok(sleepers)
}

fn fds(process: &Process, wanted: &Wanted, scratch: &mut Scratch) -> io::Result<Vec<FdLook>> {
    let fds = process.fds(scratch)?;
    let slow = wanted.mounts.of(process, scratch);
    let mut lender = None;
    let mut looks = Vec::with_capacity(fds.len());
    for fd in fds {
        let facts = match &fd.link {
            Link::Anonymous(_) | Link::Numbered(..) => None,
            Link::Pipe(_) if !wanted.nameless => None,
            Link::Path { path, .. } if mounts::covers(&slow, path) || boring(path) => None,
            _ => process.fd_file(fd.fd).ok(),
        };
        if names_something(&fd, facts.as_ref()) && !still_so(process, &fd, scratch) {
            continue;
        }
        let number = fd.fd;
        let info = needs_info(&fd, facts.as_ref(), wanted)
            .then(|| process.fdinfo(number, scratch).ok())
            .flatten();
        let level = facts.and_then(|facts| level(process.pid(), &fd, &facts, wanted, &mut lender));
        looks.push(FdLook {
            fd,
            facts,
            info,
            level,
        });
    }
    Ok(looks)
}

/// Whether an object gets its name from this link.
fn names_something(fd: &Fd, facts: Option<&FileFacts>) -> bool {
    let Link::Path { path, .. } = &fd.link else {
        return false;
    };
    facts.is_some_and(FileFacts::is_fifo) || path.starts_with(b"/dev/shm/")
}

/// Whether the link still leads there: a busy process may have closed the descriptor after its link was read and
/// opened another file under the same number, whose facts would then go under a wrong name.
fn still_so(process: &Process, fd: &Fd, scratch: &mut Scratch) -> bool {
    process
        .fd(fd.fd, scratch)
        .is_ok_and(|now| now.link == fd.link)
}

fn boring(path: &[u8]) -> bool {
    matches!(
        path,
        b"/dev/null" | b"/dev/zero" | b"/dev/urandom" | b"/dev/full"
    )
}

/// Whether `fdinfo` says more than the link: all that has no inode of its own, masters of terminals, owners of locks.
fn needs_info(fd: &Fd, facts: Option<&FileFacts>, wanted: &Wanted) -> bool {
    match &fd.link {
        Link::Anonymous(_) => wanted.nameless,
        Link::Numbered(kind, _) => &**kind == "pidfd" && wanted.nameless,
        Link::Path { path, .. } => {
            path.ends_with(b"/ptmx")
                || facts.is_none_or(|facts| wanted.locked.contains(&facts.id))
                    && !wanted.locked.is_empty()
                    && !boring(path)
        }
        Link::Memfd(_) => facts.is_some_and(|facts| wanted.locked.contains(&facts.id)),
        Link::Pipe(_) | Link::Socket(_) => false,
    }
}

/// Asks once for each pipe, FIFO and queue how full it is.
fn level(
    pid: u32,
    fd: &Fd,
    facts: &FileFacts,
    wanted: &Wanted,
    lender: &mut Option<Lender>,
) -> Option<Level> {
    let pipe = facts.is_fifo();
    let queue = facts.is_regular() && facts.size == QUEUE_FILE_SIZE && facts.id.device.major == 0;
    if !(pipe && wanted.pipes || queue) || fd.access == crate::proc::Access::Neither {
        return None;
    }
    if !wanted
        .probed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(facts.id)
    {
        return None;
    }
    let answer = borrow(pid, fd.fd, lender).and_then(|borrowed| {
        if pipe {
            let level = borrowed.readable_bytes().ok()?;
            Some(Level::Pipe {
                level,
                capacity: borrowed.pipe_capacity().ok()?,
            })
        } else if borrowed.is_queue() {
            Some(Level::Queue(borrowed.queue_limits().ok()?))
        } else {
            None
        }
    });
    if answer.is_none() && pipe {
        // Perhaps another of its holders may be asked.
        wanted
            .probed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&facts.id);
    }
    answer
}

/// `FILENT_SIZE` of the kernel's ipc/mqueue.c: what the file of every queue claims to be long.
const QUEUE_FILE_SIZE: u64 = 80;

fn borrow(pid: u32, fd: i32, lender: &mut Option<Lender>) -> Option<Borrowed> {
    if lender.is_none() {
        *lender = Lender::open(pid).ok();
    }
    lender.as_ref()?.borrow(fd).ok()
}
