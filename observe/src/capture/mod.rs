//! Capture: how a snapshot is made: the tables of the kernel first, then every process, then the joints between them.
//!
//! | step | file |
//! |---|---|
//! | objects that exist without a process: queues, segments, semaphores | `posix`, `sysv` |
//! | every process, read by a few threads that may be given up | `walk`, `look` |
//! | its descriptors and mappings become holders | `descriptors`, `mappings` |
//! | the first bytes of shared memory tell a segment of ours, a channel or a mailbox | `segments`, `channel`, `patterns` |
//! | its sleeping threads become waiters | `waiters` |
//! | sockets get their peers, locks their owners | `sockets`, `locks` |
//! | who is left over is a leak | `leaks` |

mod channel;
mod descriptors;
mod gates;
mod locks;
mod look;
mod mappings;
mod mounts;
pub(crate) mod patterns;
mod posix;
mod segments;
mod signals;
mod sockets;
mod sysv;
pub(crate) mod users;
mod waiters;
mod walk;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::leaks;
use crate::object::{FACILITIES, Holder, Object};
use crate::proc::{self, FileId, Locks, ProcFs, SchedClock, Scratch, namespace};
use crate::snapshot::{Builder, ProcessEntry, Snapshot, Unseen, now};
use wigwag::facility::Persistence;

use look::{Look, Wanted};
use users::Users;

/// What joins the tables: the kernel's own identity of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    /// Anonymous pipe, by inode.
    Pipe(u64),
    /// Socket, by inode.
    Socket(u64),
    /// Anything with a file: FIFO, queue, shared memory, semaphore, mapped file.
    File(FileId),
    /// eventfd, by its id.
    Eventfd(u64),
    /// Terminal, by number.
    Terminal(u32),
    /// System V queue, by IPC namespace and id.
    Queue(u64, i32),
    /// System V set.
    Set(u64, i32),
    /// System V segment.
    Segment(u64, i32),
    /// A descriptor that has no identity of its own.
    Descriptor(u32, i32),
    /// The signals of a process.
    Signals(u32),
}

/// A look in progress.
struct Capture<'o> {
    options: &'o Builder,
    proc: Arc<ProcFs>,
    scratch: Scratch,
    users: Users,
    now: i64,
    clock: Option<SchedClock>,
    /// Namespaces we are in ourselves.
    own: Namespaces,
    objects: Vec<Object>,
    index: HashMap<Key, usize>,
    processes: BTreeMap<u32, ProcessEntry>,
    unseen: Vec<Unseen>,
    locks: Locks,
    lock_owners: Vec<locks::Owner>,
    lock_waiters: Vec<locks::Sleeper>,
    /// Paths of the files that are locked.
    paths: HashMap<FileId, Vec<u8>>,
    /// One process of each foreign network namespace, and of each IPC namespace.
    net_namespaces: HashMap<u64, u32>,
    ipc_namespaces: HashMap<u64, u32>,
    /// Whether every process was met, as far as can be known.
    complete: bool,
}

/// How often to look for processes that were born meanwhile: always, and as long as there is an object that nobody seems to have.
const ROUNDS: u32 = 2;
const MOST_ROUNDS: u32 = 30;

/// Inode numbers of namespaces.
#[derive(Debug, Clone, Copy, Default)]
struct Namespaces {
    net: u64,
    ipc: u64,
    mount: u64,
}

/// Makes a snapshot.
pub(crate) fn capture(options: &Builder) -> io::Result<Snapshot> {
    let begun = Instant::now();
    let proc = Arc::new(ProcFs::open()?);
    let mut scratch = Scratch::new();
    let ourselves = proc.process(std::process::id())?;
    let space = |kind| namespace::of(&ourselves, kind).unwrap_or(0);
    let own = Namespaces {
        net: space(namespace::Kind::Network),
        ipc: space(namespace::Kind::Ipc),
        mount: space(namespace::Kind::Mount),
    };
    let clock = SchedClock::now(&mut scratch).ok();
    let mut capture = Capture {
        options,
        proc,
        scratch,
        users: Users::read(),
        now: now(),
        clock,
        own,
        objects: Vec::new(),
        index: HashMap::new(),
        processes: BTreeMap::new(),
        unseen: Vec::new(),
        locks: Locks::default(),
        lock_owners: Vec::new(),
        lock_waiters: Vec::new(),
        paths: HashMap::new(),
        net_namespaces: HashMap::new(),
        ipc_namespaces: HashMap::new(),
        complete: true,
    };
    capture.tables();
    capture.processes()?;
    capture.sockets();
    capture.foreign_ipc();
    capture.join_locks();
    capture.claims();
    capture.forget_private_files();
    let complete = capture.complete && capture.unseen.iter().all(|unseen| unseen.pid.is_none());
    leaks::judge(
        &mut capture.objects,
        &capture.processes,
        capture.now,
        complete,
    );
    Ok(capture.finish(begun))
}

impl Capture<'_> {
    /// Everything that is listed without looking at a process.
    fn tables(&mut self) {
        // Who claims a part in a mailbox says so by a lock.
        if self
            .options
            .wants_any(&["flock", "lockf", "ofd", "lease", "mailbox"])
        {
            match proc::locks::read(&self.proc, &mut self.scratch) {
                Ok(locks) => {
                    for line in &locks.odd {
                        self.unseen.push(table(
                            "/proc/locks",
                            &format!("cannot understand the line {line:?}"),
                        ));
                    }
                    self.locks = locks;
                }
                Err(error) => self.unseen.push(table("/proc/locks", &error.to_string())),
            }
        }
        self.posix_queues();
        self.posix_memory();
        self.system_v();
    }

    /// Every process: its part in the objects.
    fn processes(&mut self) -> io::Result<()> {
        let wanted = Wanted {
            descriptors: self.options.wants_any(&[
                "pipe",
                "fifo",
                "unix",
                "tcp",
                "pty",
                "mq",
                "unix-dgram",
                "unix-seqpacket",
                "udp",
                "shm",
                "file",
                "memfd",
                "sem",
                "flock",
                "lockf",
                "ofd",
                "lease",
                "eventfd",
                "signalfd",
                "timerfd",
                "epoll",
                "inotify",
                "fanotify",
                "pidfd",
                "io_uring",
                "userfaultfd",
            ]) || self.options.wants_any(patterns::PATTERNS),
            mappings: self
                .options
                .wants_any(&["shm", "sysv-shm", "file", "memfd", "sem"])
                || self.options.wants_any(patterns::PATTERNS),
            sleepers: self.options.waiters,
            pipes: self.options.wants_any(&["pipe", "fifo"]),
            nameless: self.wants_nameless(),
            locked: self
                .locks
                .lines
                .iter()
                .filter_map(|line| line.file)
                .collect::<HashSet<_>>(),
            mounts: mounts::SlowMounts::new(self.own.mount),
            probed: Default::default(),
            opened: Default::default(),
        };
        let wanted = Arc::new(wanted);
        let mut known = HashSet::new();
        for round in 0.. {
            // One that was born meanwhile may have inherited what its parent, which has ended, had open.
            let mut pids = self.proc.pids()?;
            pids.retain(|&pid| known.insert(pid));
            let enough = round >= ROUNDS && !self.anything_unheld();
            if pids.is_empty() || enough {
                break;
            }
            if round == MOST_ROUNDS {
                self.complete = false;
                break;
            }
            self.some(&wanted, pids)?;
        }
        let init = self.proc.process(1);
        if init.and_then(|init| init.stat(&mut self.scratch)).is_err() {
            // Not even that they are there can be seen: no number of processes says how many.
            self.unseen.push(Unseen {
                pid: Some(0),
                comm: Some("hidden".into()),
                what: "processes of other users".into(),
                reason: "they are hidden: /proc is mounted with hidepid".into(),
            });
        }
        Ok(())
    }

    /// Some of the processes.
    fn some(&mut self, wanted: &Arc<Wanted>, pids: Vec<u32>) -> io::Result<()> {
        let walk::Walked {
            mut looks,
            segments,
            lost,
        } = walk::walk(&self.proc, wanted, pids, self.options.patience)?;
        // In ascending order, whichever thread was faster.
        looks.sort_unstable_by_key(|look| look.identity.pid);
        for look in &looks {
            self.queues_by_descriptor(look);
            let segments = segments.get(&look.identity.pid);
            self.mappings(look, segments.map_or(&[], Vec::as_slice));
        }
        for look in looks {
            self.process(look);
        }
        for (pid, what, reason) in lost {
            self.unseen.push(Unseen {
                pid: Some(pid),
                comm: None,
                what: what.into(),
                reason,
            });
        }
        Ok(())
    }

    /// Whether there is an object that outlives processes, and none was found that has it.
    fn anything_unheld(&self) -> bool {
        let unheld = |object: &Object| {
            object.persistence == Persistence::Kernel && object.holders.is_empty()
        };
        self.objects.iter().any(unheld)
    }

    /// Whether anything is wanted that only descriptors lead to.
    fn wants_nameless(&self) -> bool {
        self.options.wants_any(&[
            "pipe",
            "eventfd",
            "signalfd",
            "timerfd",
            "epoll",
            "inotify",
            "fanotify",
            "pidfd",
            "io_uring",
            "userfaultfd",
        ])
    }

    fn process(&mut self, look: Look) {
        let pid = look.identity.pid;
        for (what, reason) in &look.denied {
            let comm = Some(look.stat.comm.clone());
            self.unseen.push(Unseen {
                pid: Some(pid),
                comm,
                what: (*what).into(),
                reason: reason.clone(),
            });
        }
        if let Some(net) = look.net_ns.filter(|&net| net != self.own.net) {
            self.net_namespaces.entry(net).or_insert(pid);
        }
        if let Some(ipc) = look.ipc_ns.filter(|&ipc| ipc != self.own.ipc) {
            self.ipc_namespaces.entry(ipc).or_insert(pid);
        }
        self.signals(&look);
        let keys = self.descriptors(&look);
        self.waiters(&look, &keys);
        self.processes
            .insert(pid, signals::entry(&look, &self.users));
    }

    /// The object with this key, made by `new` when it is the first time we meet it.
    fn object(&mut self, key: Key, new: impl FnOnce() -> Object) -> &mut Object {
        let objects = &mut self.objects;
        let at = *self.index.entry(key).or_insert_with(|| {
            objects.push(new());
            objects.len() - 1
        });
        &mut self.objects[at]
    }

    fn known(&mut self, key: Key) -> Option<&mut Object> {
        self.index.get(&key).map(|&at| &mut self.objects[at])
    }

    /// A file that is mapped shared but writable by nobody carries nothing between processes.
    fn forget_private_files(&mut self) {
        self.objects.retain(|object| {
            object.facility != "file"
                || object
                    .holders
                    .iter()
                    .any(|holder| holder.role.writes_memory())
        });
    }

    fn finish(mut self, begun: Instant) -> Snapshot {
        let options = self.options;
        self.objects.retain(|object| {
            options.wants(object.facility)
                && options
                    .pids
                    .as_ref()
                    .is_none_or(|pids| pids.iter().any(|&pid| object.concerns(pid)))
        });
        let place = |object: &Object| {
            FACILITIES
                .iter()
                .position(|known| *known == object.facility)
        };
        self.objects.sort_by(|one, other| {
            (place(one), &one.name, one.id).cmp(&(place(other), &other.name, other.id))
        });
        for object in &mut self.objects {
            object.user = object.uid.and_then(|uid| self.users.name(uid));
        }
        Snapshot {
            version: 1,
            taken: self.now,
            took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            objects: self.objects,
            processes: self.processes.into_values().collect(),
            unseen: self.unseen,
        }
    }
}

/// A table that could not be read.
fn table(what: &str, reason: &str) -> Unseen {
    Unseen {
        pid: None,
        comm: None,
        what: what.into(),
        reason: reason.into(),
    }
}

/// Adds a holder once: the same descriptor is not met twice, but a mapping may be split in several.
fn hold(object: &mut Object, holder: Holder) {
    let same =
        |other: &Holder| other.pid == holder.pid && other.fd.is_none() && holder.fd.is_none();
    match object
        .holders
        .iter_mut()
        .rev()
        .take(64)
        .find(|other| same(other))
    {
        Some(other) => other.role = other.role.max(holder.role),
        None => object.holders.push(holder),
    }
}
