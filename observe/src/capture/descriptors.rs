//! Descriptors: who has which pipe, FIFO, terminal, queue, memory or event descriptor open, and in which direction.

use std::collections::HashMap;

use crate::object::{Fill, Holder, Name, Object, Role, Unit, Value};
use crate::proc::{Access, FdInfo, FileFacts, Link};
use wigwag::facility::Persistence;

use super::look::{FdLook, Level, Look};
use super::{Capture, Key, hold, locks, posix};

impl Capture<'_> {
    /// Adds a process's descriptors as holders; returns which object each of them leads to.
    pub(super) fn descriptors(&mut self, look: &Look) -> HashMap<i32, Key> {
        let mut keys = HashMap::with_capacity(look.fds.len());
        for fd in &look.fds {
            self.lock_owner(look, fd);
            let Some((key, role)) = self.descriptor(look, fd) else {
                continue;
            };
            keys.insert(fd.fd.fd, key);
            let holder = Holder {
                pid: look.identity.pid,
                comm: look.stat.comm.clone(),
                fd: Some(fd.fd.fd),
                mapped_at: None,
                role,
                dead: false,
            };
            if let Some(object) = self.known(key) {
                hold(object, holder);
                level(object, fd.level);
            }
        }
        keys
    }

    /// Queues that only their descriptors tell of; before everything else, since only one of a queue's descriptors was asked.
    pub(super) fn queues_by_descriptor(&mut self, look: &Look) {
        for fd in &look.fds {
            if let (Some(Level::Queue(limits)), Link::Path { path, deleted }, Some(facts)) =
                (fd.level, &fd.fd.link, &fd.facts)
            {
                let own = look.ipc_ns == Some(self.own.ipc) && !*deleted;
                let object = self.object(Key::File(facts.id), || {
                    let object = Object::new("mq", &**path, Persistence::Kernel);
                    if own { object.addressable() } else { object }
                });
                posix::describe(object, facts);
                object.last_used = Some(facts.modified);
                if facts.links == 0 {
                    object.state = Some("unlinked".into());
                    object.persistence = Persistence::Process;
                }
                if object.fill.is_empty() {
                    posix::queue_limits(object, &limits);
                }
            }
        }
    }

    fn descriptor(&mut self, look: &Look, fd: &FdLook) -> Option<(Key, Role)> {
        let role = role(fd.fd.access);
        match &fd.fd.link {
            Link::Pipe(_) | Link::Anonymous(_) if !self.wants_nameless() => None,
            Link::Pipe(ino) => {
                let key = Key::Pipe(*ino);
                self.object(key, || {
                    pipe(format!("pipe:[{ino}]"), *ino, fd.facts.as_ref())
                });
                Some((key, role))
            }
            Link::Socket(ino) => {
                let key = Key::Socket(*ino);
                self.object(key, || socket(*ino, fd.facts.as_ref()));
                Some((key, role))
            }
            Link::Anonymous(kind) => self.anonymous(look, fd, kind).map(|key| (key, role)),
            Link::Numbered(kind, _) if &**kind == "pidfd" => {
                self.anonymous(look, fd, "[pidfd]").map(|key| (key, role))
            }
            Link::Numbered(..) => None,
            Link::Memfd(name) => {
                let facts = fd.facts.as_ref()?;
                let key = Key::File(facts.id);
                let object =
                    self.object(key, || Object::new("memfd", &**name, Persistence::Process));
                if object.uid.is_none() {
                    posix::describe(object, facts);
                    object.fill = vec![Fill::of(facts.used, facts.size, Unit::Bytes)];
                }
                Some((key, role))
            }
            Link::Path { path, deleted } => self.file(look, fd, path, *deleted, role),
        }
    }

    fn file(
        &mut self,
        look: &Look,
        fd: &FdLook,
        path: &[u8],
        deleted: bool,
        role: Role,
    ) -> Option<(Key, Role)> {
        let facts = fd.facts.as_ref()?;
        let key = Key::File(facts.id);
        if facts.is_fifo() {
            self.object(key, || fifo(path, deleted, look.own_mounts, facts));
            return Some((key, role));
        }
        if facts.is_character_device() {
            return self.terminal(look, fd, facts);
        }
        if let Some(object) = self.known(key) {
            if object.uid.is_none() {
                posix::describe(object, facts);
            }
            return Some((key, role));
        }
        if let Some(name) = path.strip_prefix(b"/dev/shm/")
            && facts.is_regular()
        {
            let object = self.object(key, || {
                posix::memory_object(name, deleted || facts.links == 0)
            });
            posix::describe(object, facts);
            object.fill = vec![Fill::of(facts.used, facts.size, Unit::Bytes)];
            return Some((key, role));
        }
        None
    }

    /// Master, slave, or `/dev/tty`, which is whichever terminal the process has.
    fn terminal(&mut self, look: &Look, fd: &FdLook, facts: &FileFacts) -> Option<(Key, Role)> {
        let device = facts.stands_for;
        let (index, role) = match (device.major, device.minor) {
            (SLAVE, index) => (index, Role::Slave),
            (5, 2) => (fd.info.as_ref()?.tty_index?, Role::Master),
            (5, 0) if look.stat.tty >> 8 & 0xfff == SLAVE.cast_signed() => {
                let number = look.stat.tty.cast_unsigned();
                (number & 0xff | number >> 12 & 0xf_ff00, Role::Slave)
            }
            _ => return None,
        };
        let key = Key::Terminal(index);
        let object = self.object(key, || {
            let mut object =
                Object::new("pty", format!("/dev/pts/{index}"), Persistence::Process).addressable();
            object.id = Some(u64::from(index));
            object
        });
        if role == Role::Slave && device.major == SLAVE {
            object.uid = Some(facts.uid);
            object.mode = Some(facts.mode & 0o7777);
            object.last_used = Some(facts.accessed.max(facts.modified));
        }
        Some((key, role))
    }

    /// What has no file of its own.
    fn anonymous(&mut self, look: &Look, fd: &FdLook, kind: &str) -> Option<Key> {
        let facility = match kind.trim_matches(['[', ']']) {
            "eventfd" => "eventfd",
            "eventpoll" => "epoll",
            "signalfd" => "signalfd",
            "timerfd" => "timerfd",
            "inotify" => "inotify",
            "fanotify" => "fanotify",
            "pidfd" => "pidfd",
            "io_uring" => "io_uring",
            "userfaultfd" => "userfaultfd",
            _ => return None,
        };
        let number = fd.fd.fd;
        let info = fd.info.as_ref();
        let pid = look.identity.pid;
        let id = info.and_then(|info| info.eventfd_id);
        let key = id.map_or(Key::Descriptor(pid, number), Key::Eventfd);
        self.object(key, || {
            let name = id.map_or_else(
                || format!("{facility}:{pid}/{number}"),
                |id| format!("eventfd:[{id}]"),
            );
            let mut object = Object::new(facility, name, Persistence::Process);
            object.id = id;
            object.uid = Some(look.status.uids[1]);
            match info {
                Some(info) => facts(&mut object, info),
                None => object.unseen.push("fdinfo: not readable".into()),
            }
            object
        });
        Some(key)
    }

    /// A descriptor whose open description owns locks.
    fn lock_owner(&mut self, look: &Look, fd: &FdLook) {
        let Link::Path { path, deleted } = &fd.fd.link else {
            return;
        };
        if let Some(facts) = fd.facts
            && !self.locks.lines.is_empty()
            && self
                .locks
                .lines
                .iter()
                .any(|line| line.file == Some(facts.id))
            && (look.own_mounts && !deleted || !self.paths.contains_key(&facts.id))
        {
            self.paths.insert(facts.id, path.to_vec());
        }
        let Some(info) = &fd.info else { return };
        for line in &info.locks {
            self.lock_owners.push(locks::Owner {
                pid: look.identity.pid,
                comm: look.stat.comm.clone(),
                fd: fd.fd.fd,
                line: line.clone(),
            });
            if let Some(file) = line.file {
                self.paths.entry(file).or_insert_with(|| path.to_vec());
            }
        }
    }
}

/// Major number of the slave sides of pseudoterminals.
const SLAVE: u32 = 136;

fn role(access: Access) -> Role {
    match access {
        Access::Read => Role::Reads,
        Access::Write => Role::Writes,
        Access::Both => Role::Both,
        Access::Neither => Role::Knows,
    }
}

fn pipe(name: impl Into<Name>, ino: u64, facts: Option<&FileFacts>) -> Object {
    let mut object = Object::new("pipe", name, Persistence::Process);
    object.id = Some(ino);
    if let Some(facts) = facts {
        object.uid = Some(facts.uid);
        object.mode = Some(facts.mode & 0o7777);
        // Newer kernels do not note the use of a pipe: then this is when it was made.
        object.created = Some(facts.modified.min(facts.accessed));
    }
    object
}

fn fifo(path: &[u8], deleted: bool, own_mounts: bool, facts: &FileFacts) -> Object {
    let mut object = Object::new("fifo", path, Persistence::FileSystem);
    if deleted || facts.links == 0 {
        object.state = Some("deleted".into());
        object.persistence = Persistence::Process;
    } else if own_mounts {
        object = object.addressable();
    }
    posix::describe(&mut object, facts);
    object
}

/// A socket of which only the number is known yet: which family it is of, the tables of its network namespace tell.
fn socket(ino: u64, facts: Option<&FileFacts>) -> Object {
    let mut object = Object::new("socket", format!("socket:[{ino}]"), Persistence::Process);
    object.id = Some(ino);
    if let Some(facts) = facts {
        object.uid = Some(facts.uid);
        object.created = Some(facts.modified);
    }
    object
}

fn level(object: &mut Object, level: Option<Level>) {
    match level {
        Some(Level::Pipe { level, capacity }) => {
            object.fill = vec![Fill::of(level, capacity, Unit::Bytes)]
        }
        Some(Level::Queue(_)) | None => {}
    }
}

/// What `fdinfo` says of an event descriptor.
fn facts(object: &mut Object, info: &FdInfo) {
    if let Some(count) = info.eventfd_count {
        object.fill = vec![Fill::of(count, u64::MAX - 1, Unit::Count)];
        object.detail("semaphore", Value::Flag(info.eventfd_semaphore));
    }
    if let Some(signals) = info.signals {
        object.detail(
            "signals",
            Value::Numbers(signals.iter().map(u64::from).collect()),
        );
    }
    if let Some(timer) = info.timer {
        object.fill = vec![Fill::new(timer.ticks, Unit::Count)];
        object.state = Some(
            if timer.left.is_zero() {
                "disarmed"
            } else {
                "armed"
            }
            .into(),
        );
        object.detail("clock", Value::Number(i64::from(timer.clock)));
        object.detail(
            "left_ms",
            Value::Number(i64::try_from(timer.left.as_millis()).unwrap_or(i64::MAX)),
        );
        object.detail(
            "interval_ms",
            Value::Number(i64::try_from(timer.interval.as_millis()).unwrap_or(i64::MAX)),
        );
    }
    if let Some(pid) = info.pidfd {
        object.state = Some(if pid == -1 { "ended" } else { "alive" }.into());
        object.detail("pid", Value::Number(i64::from(pid)));
    }
    if !info.epoll.is_empty() {
        let mut watched: Vec<_> = info
            .epoll
            .iter()
            .map(|target| u64::from(target.fd.cast_unsigned()))
            .collect();
        watched.sort_unstable();
        object.detail("watches", Value::Numbers(watched));
    }
    if info.watches > 0 {
        object.detail("watches", Value::Number(i64::from(info.watches)));
    }
}
