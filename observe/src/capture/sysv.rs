//! System V objects: the tables of our IPC namespace, and of every other one that a visible process lives in.

use crate::object::{Fill, Object, Unit, Value};
use crate::proc::sysvipc::{self, Common, Queue, Segment, Semaphore, Set};
use crate::proc::{self, ProcFs, Scratch, mqueue, namespace};
use wigwag::facility::Persistence;

use super::{Capture, Key, table};

/// All tables of one namespace.
struct Tables {
    queues: Vec<Queue>,
    limits: Vec<Option<u64>>,
    segments: Vec<Segment>,
    sets: Vec<(Set, Result<Vec<Semaphore>, String>)>,
    posix: Vec<mqueue::Entry>,
}

/// A set larger than this is shown without its values: each costs four system calls.
const SEMAPHORES: u32 = 512;

fn read(proc: &ProcFs, scratch: &mut Scratch) -> std::io::Result<Tables> {
    let queues = sysvipc::queues(proc, scratch)?;
    Ok(Tables {
        limits: queues
            .iter()
            .map(|queue| sysvipc::queue_limit(queue.common.id).ok())
            .collect(),
        queues,
        segments: sysvipc::segments(proc, scratch)?,
        sets: sysvipc::sets(proc, scratch)?
            .into_iter()
            .map(|set| (set, semaphores(&set)))
            .collect(),
        posix: Vec::new(),
    })
}

fn semaphores(set: &Set) -> Result<Vec<Semaphore>, String> {
    if set.count > SEMAPHORES {
        return Err(format!("values: the set has {} semaphores", set.count));
    }
    let all: std::io::Result<Vec<_>> = (0..set.count)
        .map(|number| sysvipc::semaphore(set.common.id, number))
        .collect();
    all.map_err(|error| format!("values: {error}"))
}

impl Capture<'_> {
    /// The tables of our own namespace.
    pub(super) fn system_v(&mut self) {
        if !self.options.wants_any(&["sysv-mq", "sysv-sem", "sysv-shm"]) {
            return;
        }
        match read(&self.proc, &mut self.scratch) {
            Ok(tables) => self.system_v_objects(tables, self.own.ipc, true),
            Err(error) => self.unseen.push(table("/proc/sysvipc", &error.to_string())),
        }
    }

    /// Those of other namespaces that processes of ours are in; after the processes, since only they lead there.
    pub(super) fn foreign_ipc(&mut self) {
        if !self
            .options
            .wants_any(&["sysv-mq", "sysv-sem", "sysv-shm", "mq"])
        {
            return;
        }
        for (space, pid) in std::mem::take(&mut self.ipc_namespaces) {
            let look = |proc: &ProcFs, process: &proc::Process| {
                namespace::inside(process, namespace::Kind::Ipc, || {
                    let mut scratch = Scratch::new();
                    let mut tables = read(proc, &mut scratch)?;
                    // Our own /dev/mqueue is that of our namespace: here only a private instance is right.
                    let directory = mqueue::open_detached();
                    tables.posix = directory
                        .and_then(|directory| mqueue::entries(&directory, &mut scratch))
                        .unwrap_or_default();
                    Ok(tables)
                })
            };
            let tables = self
                .proc
                .process(pid)
                .and_then(|process| look(&self.proc, &process));
            match tables {
                Ok(tables) => self.system_v_objects(tables, space, false),
                Err(error) => self.unseen.push(table(
                    &format!("IPC namespace {space} of process {pid}"),
                    &error.to_string(),
                )),
            }
        }
    }

    fn system_v_objects(&mut self, tables: Tables, space: u64, ours: bool) {
        for entry in &tables.posix {
            self.queue(entry, ours);
        }
        for (queue, limit) in tables.queues.iter().zip(tables.limits) {
            let object = self.object(Key::Queue(space, queue.common.id), || {
                object("sysv-mq", &queue.common, ours, space)
            });
            describe(object, &queue.common);
            let bytes = Fill {
                level: queue.bytes,
                capacity: limit,
                unit: Unit::Bytes,
            };
            object.fill = vec![bytes, Fill::new(queue.messages, Unit::Messages)];
            object.last_used = time(queue.sent.max(queue.received));
            object.detail("last_sender", Value::Number(i64::from(queue.last_sender)));
            object.detail(
                "last_receiver",
                Value::Number(i64::from(queue.last_receiver)),
            );
        }
        for segment in &tables.segments {
            let object = self.object(Key::Segment(space, segment.common.id), || {
                object("sysv-shm", &segment.common, ours, space)
            });
            describe(object, &segment.common);
            object.fill = vec![
                Fill::of(
                    segment.resident + segment.swapped,
                    segment.size,
                    Unit::Bytes,
                ),
                Fill::new(segment.attached, Unit::Attachments),
            ];
            object.last_used = time(segment.attached_at.max(segment.detached_at));
            if segment.removed() {
                object.state = Some("removed".into());
                object.persistence = Persistence::Process;
            }
            object.detail("creator", Value::Number(i64::from(segment.creator)));
            object.detail("last_process", Value::Number(i64::from(segment.last)));
            object.detail("attached", Value::Number(segment.attached.cast_signed()));
        }
        for (set, values) in tables.sets {
            let object = self.object(Key::Set(space, set.common.id), || {
                object("sysv-sem", &set.common, ours, space)
            });
            describe(object, &set.common);
            object.last_used = time(set.operated);
            object.detail("semaphores", Value::Number(i64::from(set.count)));
            match values {
                Ok(values) => {
                    object.fill = vec![Fill::new(
                        values.iter().map(|one| u64::from(one.value)).sum(),
                        Unit::Permits,
                    )];
                    object.waiting = Some(
                        values
                            .iter()
                            .map(|one| one.waiting_for_more + one.waiting_for_zero)
                            .sum(),
                    );
                    object.detail("values", Value::Semaphores(values));
                }
                Err(reason) => object.unseen.push(reason),
            }
        }
    }
}

fn object(facility: &'static str, common: &Common, ours: bool, space: u64) -> Object {
    let name = if common.key == 0 {
        format!("#{}", common.id)
    } else {
        format!("{:#010x}", common.key)
    };
    let mut object = Object::new(facility, name, Persistence::Kernel);
    if ours {
        object = object.addressable();
    } else {
        object.detail("ipc_namespace", Value::Number(space.cast_signed()));
    }
    object
}

fn describe(object: &mut Object, common: &Common) {
    object.id = u64::try_from(common.id).ok();
    object.uid = Some(common.uid);
    object.mode = Some(common.mode & 0o777);
    // Of a set or segment that was never changed since, this is its creation.
    object.created = time(common.changed);
    object.detail("key", Value::Number(i64::from(common.key)));
    object.detail("identifier", Value::Number(i64::from(common.id)));
    object.detail("creator_uid", Value::Number(i64::from(common.cuid)));
}

fn time(seconds: i64) -> Option<i64> {
    (seconds > 0).then_some(seconds)
}
