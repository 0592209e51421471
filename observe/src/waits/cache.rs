//! Cache: tables that many waits ask for, read once a look.

use super::machine::Machine;
use crate::proc::locks::Locks;
use crate::proc::namespace::{self, Kind};
use crate::proc::{
    Device, FdInfo, FileFacts, FileId, InetSocket, UnixSocket, inet_diag, locks, unix_diag,
};
use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::os::unix::fs::DirEntryExt as _;
use std::rc::Rc;

/// By process and descriptor; `None`: could not be read.
type ByDescriptor<T> = HashMap<(u32, i32), Option<T>>;

/// What was read since the last look.
#[derive(Default)]
pub(super) struct Cache {
    locks: OnceCell<Locks>,
    unix: OnceCell<HashMap<u64, UnixSocket>>,
    inet: OnceCell<Vec<(u64, InetSocket)>>,
    mappers: OnceCell<HashMap<FileId, Vec<u32>>>,
    infos: RefCell<ByDescriptor<Rc<FdInfo>>>,
    facts: RefCell<ByDescriptor<FileFacts>>,
    namespaces: OnceCell<Vec<(u32, u64)>>,
    pub(super) anything_frozen: OnceCell<bool>,
    pub(super) futexes: OnceCell<super::futex::Crowd>,
    pub(super) traces: RefCell<super::futex::Traces>,
    memory: OnceCell<Option<(Device, HashSet<u64>)>>,
    pub(super) in_flight: OnceCell<Vec<(u64, u64)>>,
}

impl Machine {
    /// All file locks.
    pub(super) fn locks(&self) -> &Locks {
        self.cache
            .locks
            .get_or_init(|| locks::read(&self.proc, &mut self.scratch()).unwrap_or_default())
    }

    /// What is known of a descriptor beyond its link.
    pub(super) fn fdinfo(&self, pid: u32, fd: i32) -> Option<Rc<FdInfo>> {
        if let Some(known) = self.cache.infos.borrow().get(&(pid, fd)) {
            return known.clone();
        }
        let process = self.open(pid).ok();
        let info = process
            .and_then(|process| process.fdinfo(fd, &mut self.scratch()).ok())
            .map(Rc::new);
        self.cache
            .infos
            .borrow_mut()
            .insert((pid, fd), info.clone());
        info
    }

    /// The file behind a descriptor.
    pub(super) fn facts(&self, pid: u32, fd: i32) -> Option<FileFacts> {
        if let Some(known) = self.cache.facts.borrow().get(&(pid, fd)) {
            return *known;
        }
        let process = self.open(pid).ok();
        let facts = process.and_then(|process| process.fd_file(fd).ok());
        self.cache.facts.borrow_mut().insert((pid, fd), facts);
        facts
    }

    /// One process of each network namespace, our own first as 0.
    fn network_namespaces(&self) -> &[(u32, u64)] {
        self.cache.namespaces.get_or_init(|| {
            let own = self.proc.process(std::process::id()).ok();
            let own = own.and_then(|process| namespace::of(&process, Kind::Network).ok());
            let mut known: HashSet<u64> = own.into_iter().collect();
            let mut found = vec![(0, own.unwrap_or(0))];
            for (&pid, seen) in &self.processes {
                if seen.threads.is_empty() || seen.refused.is_some() {
                    continue;
                }
                let Ok(process) = self.open(pid) else {
                    continue;
                };
                let Ok(space) = namespace::of(&process, Kind::Network) else {
                    continue;
                };
                if known.insert(space) {
                    found.push((pid, space));
                }
            }
            found
        })
    }

    /// Unix sockets of all network namespaces, by inode.
    pub(super) fn unix_sockets(&self) -> &HashMap<u64, UnixSocket> {
        self.cache.unix.get_or_init(|| {
            let mut all = HashMap::new();
            for &(pid, _) in self.network_namespaces() {
                let sockets = if pid == 0 {
                    unix_diag::sockets()
                } else {
                    match self.open(pid) {
                        Ok(process) => {
                            namespace::inside(&process, Kind::Network, unix_diag::sockets)
                        }
                        Err(error) => Err(error),
                    }
                };
                all.extend(
                    sockets
                        .into_iter()
                        .flatten()
                        .filter(|socket| socket.ino != 0)
                        .map(|s| (s.ino, s)),
                );
            }
            all
        })
    }

    /// TCP and UDP sockets of all network namespaces, each with its namespace.
    pub(super) fn inet_sockets(&self) -> &[(u64, InetSocket)] {
        self.cache.inet.get_or_init(|| {
            let mut all = Vec::new();
            for &(pid, space) in self.network_namespaces() {
                let sockets = if pid == 0 {
                    inet_diag::sockets()
                } else {
                    match self.open(pid) {
                        Ok(process) => inet_diag::sockets_of(&process, &mut self.scratch()),
                        Err(error) => Err(error),
                    }
                };
                all.extend(sockets.into_iter().flatten().map(|socket| (space, socket)));
            }
            all
        })
    }

    /// Whether a file of `/dev/shm` may be opened by a name: one of there that is not listed has none any more.
    pub(super) fn may_have_name(&self, file: FileId) -> bool {
        let listed = self.cache.memory.get_or_init(|| {
            let device = Device::from_stat(rustix::fs::stat("/dev/shm").ok()?.st_dev);
            let entries = std::fs::read_dir("/dev/shm").ok()?;
            let numbers = entries.map(|entry| entry.map(|entry| entry.ino()));
            Some((device, numbers.collect::<Result<_, _>>().ok()?))
        });
        listed
            .as_ref()
            .is_none_or(|(device, numbers)| *device != file.device || numbers.contains(&file.ino))
    }

    /// The processes that have this file mapped as shared memory.
    pub(super) fn mappers(&self, file: FileId) -> &[u32] {
        let all = self.cache.mappers.get_or_init(|| {
            let mut all: HashMap<FileId, Vec<u32>> = HashMap::new();
            for (&pid, seen) in &self.processes {
                if seen.threads.is_empty() {
                    continue;
                }
                let Ok(process) = self.open(pid) else {
                    continue;
                };
                let _ = process.for_each_mapping(&mut self.scratch(), |line| {
                    if line.shared() && line.file.ino != 0 {
                        let pids = all.entry(line.file).or_default();
                        if pids.last() != Some(&pid) {
                            pids.push(pid);
                        }
                    }
                    true
                });
            }
            all
        });
        all.get(&file).map_or(&[], Vec::as_slice)
    }
}
