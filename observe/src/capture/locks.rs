//! Locks: a held lock with those who hold it now, which is not who took it, and those who queue behind it.

use std::collections::HashMap;

use wigwag::Address;
use wigwag::facility::Persistence;

use crate::object::{Holder, Object, Role, Value, Waiter};
use crate::proc::{FileId, LockKind, LockLine};

use super::Capture;

/// A descriptor whose open description owns a lock.
pub(super) struct Owner {
    pub(super) pid: u32,
    pub(super) comm: String,
    pub(super) fd: i32,
    pub(super) line: LockLine,
}

/// A thread that sleeps in `flock` or `fcntl`.
pub(super) struct Sleeper {
    pub(super) file: FileId,
    pub(super) scheme: &'static str,
    pub(super) waiter: Waiter,
}

/// What makes two lines one lock: several processes may share it.
type Identity = (&'static str, Option<FileId>, u64, Option<u64>, bool);

fn identity(line: &LockLine) -> Option<Identity> {
    let scheme = match line.kind {
        LockKind::Flock => "flock",
        LockKind::Posix => "lockf",
        LockKind::Ofd => "ofd",
        LockKind::Lease | LockKind::Delegation => "lease",
        LockKind::Other => return None,
    };
    Some((scheme, line.file, line.start, line.end, line.exclusive))
}

impl Capture<'_> {
    /// Makes an object of each lock that is held.
    pub(super) fn join_locks(&mut self) {
        let locks = std::mem::take(&mut self.locks);
        let mut made: HashMap<Identity, usize> = HashMap::new();
        // The object of each line, and for a line in the queue that of the lock at its head.
        let mut of_line = vec![None; locks.lines.len()];
        for (at, line) in locks.lines.iter().enumerate() {
            if let Some(blocker) = locks.blocker(at) {
                of_line[at] = of_line[blocker];
                let object: Option<usize> = of_line[at];
                if let Some(object) = object {
                    self.queued(object, line);
                }
                continue;
            }
            let Some(identity) = identity(line) else {
                continue;
            };
            let object = *made.entry(identity).or_insert_with(|| {
                self.objects.push(self.lock(&identity, line));
                self.objects.len() - 1
            });
            of_line[at] = Some(object);
            for holder in self.holders(line) {
                self.objects[object].holders.push(holder);
            }
        }
        self.anonymous_waiters(&made);
    }

    fn lock(&self, &(scheme, file, start, end, exclusive): &Identity, line: &LockLine) -> Object {
        let path = file.and_then(|file| self.paths.get(&file));
        let name = path.cloned().unwrap_or_else(|| {
            let FileId { device, ino } = file.unwrap_or_default();
            format!("{:02x}:{:02x}:{ino}", device.major, device.minor).into_bytes()
        });
        let mut object = Object::new(scheme, name.clone(), Persistence::Process);
        let range = match (start, end) {
            (0, None) => None,
            (start, None) => Some(format!("{start}..")),
            // The kernel's last byte is part of it.
            (start, Some(end)) => Some(format!("{start}..{}", end.saturating_add(1))),
        };
        if path.is_some() && scheme != "lease" {
            let address = Address::new(scheme, name).ok();
            let address = match &range {
                Some(range) => address.map(|address| address.with_option("range", range)),
                None => address,
            };
            object.address = address.map(|address| address.to_string());
        }
        object.id = file.map(|file| file.ino);
        object.state = Some(if scheme == "lease" {
            line.state.to_lowercase()
        } else {
            if exclusive { "write" } else { "read" }.into()
        });
        object.detail("exclusive", Value::Flag(exclusive));
        object.detail("start", Value::Number(start.cast_signed()));
        if let Some(end) = end {
            object.detail("end", Value::Number(end.cast_signed()));
        }
        if let Some(file) = file {
            object.detail(
                "device",
                Value::Text(format!(
                    "{:02x}:{:02x}",
                    file.device.major, file.device.minor
                )),
            );
        }
        if line.pid > 0 {
            object.detail("taken_by", Value::Number(i64::from(line.pid)));
        }
        object
    }

    /// Who holds it: the descriptors whose description owns it, or, when these cannot be read, the one that took it.
    fn holders(&self, line: &LockLine) -> Vec<Holder> {
        let same = |owner: &&Owner| {
            let other = &owner.line;
            identity(other) == identity(line) && other.pid == line.pid
        };
        let mut holders: Vec<_> = self
            .lock_owners
            .iter()
            .filter(same)
            .map(|owner| Holder {
                pid: owner.pid,
                comm: owner.comm.clone(),
                fd: Some(owner.fd),
                mapped_at: None,
                role: Role::Owns,
                dead: false,
            })
            .collect();
        if holders.is_empty()
            && let Ok(pid) = u32::try_from(line.pid)
            && pid > 0
        {
            let process = self.processes.get(&pid);
            let comm = process
                .map(|process| process.comm.clone())
                .unwrap_or_default();
            holders.push(Holder {
                pid,
                comm,
                fd: None,
                mapped_at: None,
                role: Role::Owns,
                dead: process.is_none(),
            });
        }
        holders
    }

    /// A line in the queue: its thread, if one of the process sleeps in the call.
    fn queued(&mut self, object: usize, line: &LockLine) {
        let count = self.objects[object].waiting.get_or_insert(0);
        *count += 1;
        let Ok(pid) = u32::try_from(line.pid) else {
            return;
        };
        if pid == 0 {
            return;
        }
        let file = line.file.or_else(|| Some(FileId::default()));
        let thread = self
            .lock_waiters
            .iter()
            .position(|sleeper| sleeper.waiter.pid == pid && Some(sleeper.file) == file);
        let waiter = match thread {
            Some(at) => self.lock_waiters.swap_remove(at).waiter,
            None => {
                let comm = self
                    .processes
                    .get(&pid)
                    .map(|process| process.comm.clone())
                    .unwrap_or_default();
                let wants = if line.kind == LockKind::Lease {
                    "break the lease"
                } else {
                    "lock"
                };
                Waiter {
                    pid,
                    tid: None,
                    comm,
                    wants,
                    since_ms: None,
                }
            }
        };
        self.objects[object].waiters.push(waiter);
    }

    /// Waiters for a lock of an open description have no number in the table: only their own system call tells.
    fn anonymous_waiters(&mut self, made: &HashMap<Identity, usize>) {
        for sleeper in std::mem::take(&mut self.lock_waiters) {
            let blocked = made.iter().filter(|((scheme, file, ..), _)| {
                *scheme == sleeper.scheme && *file == Some(sleeper.file)
            });
            // Of several locks on the file, it waits for one that has a queue.
            let queued = blocked
                .filter(|&(_, &object)| self.objects[object].waiting.is_some_and(|count| count > 0))
                .map(|(_, &object)| object);
            for object in queued.collect::<Vec<_>>() {
                self.objects[object].waiters.push(sleeper.waiter.clone());
            }
        }
    }
}
