//! Mappings: who has which shared memory, known by device, inode and offset: the path a mapping shows may be that of a temporary name.

use crate::object::{Holder, Object, Role};
use crate::proc::{Device, Mapping};
use wigwag::facility::Persistence;

use super::look::{Found, Look};
use super::{Capture, Key, hold};

/// Device of the kernel's own instance of tmpfs: memfds, System V segments, anonymous shared memory.
const INTERNAL: Device = Device { major: 0, minor: 1 };

/// What a mapping is a mapping of.
pub(super) fn key(mapping: &Mapping, ipc: u64) -> Key {
    if mapping.file.device == INTERNAL
        && mapping.deleted
        && mapping.name.starts_with(b"/SYSV")
        && let Ok(id) = i32::try_from(mapping.file.ino)
    {
        return Key::Segment(ipc, id);
    }
    Key::File(mapping.file)
}

impl Capture<'_> {
    /// Adds a process's shared mappings as holders.
    pub(super) fn mappings(&mut self, look: &Look, segments: &[Found]) {
        let ipc = look.ipc_ns.unwrap_or(self.own.ipc);
        let mut segments = segments.iter().peekable();
        for (at, mapping) in look.mappings.iter().enumerate() {
            let segment = segments.next_if(|(place, _)| *place == at);
            if uninteresting(mapping) {
                continue;
            }
            let role = if mapping.writable {
                Role::MapsWrite
            } else {
                Role::MapsRead
            };
            let holder = Holder {
                pid: look.identity.pid,
                comm: look.stat.comm.clone(),
                fd: None,
                mapped_at: Some(mapping.start),
                role,
                dead: false,
            };
            let key = key(mapping, ipc);
            let object = self.object(key, || object(mapping, key, look.own_mounts));
            // Memory of a file that was met through a descriptor before: now it is known to be shared.
            hold(object, holder);
            let end = mapping.offset.saturating_add(mapping.end - mapping.start);
            if object.fill.is_empty() && matches!(object.facility, "file" | "memfd") {
                object
                    .fill
                    .push(crate::object::Fill::new(end, crate::object::Unit::Bytes));
            }
            if let (Some((_, segment)), Some(&at)) = (segment, self.index.get(&key)) {
                segment.describe(&mut self.objects[at], &self.proc, &mut self.scratch);
            }
        }
    }
}

/// Rings of the kernel and devices: shared, but not between processes.
pub(super) fn uninteresting(mapping: &Mapping) -> bool {
    let name = &*mapping.name;
    name.starts_with(b"/[")
        || name.starts_with(b"/dev/") && !name.starts_with(b"/dev/shm/") && name != b"/dev/zero"
}

fn object(mapping: &Mapping, key: Key, own_mounts: bool) -> Object {
    let name = &*mapping.name;
    let mut object = if let Key::Segment(_, id) = key {
        // Of an IPC namespace whose table we could not read.
        Object::new("sysv-shm", format!("#{id}"), Persistence::Kernel)
    } else if let Some(name) = name.strip_prefix(b"/memfd:") {
        Object::new("memfd", name, Persistence::Process)
    } else if mapping.file.device == INTERNAL || name == b"/dev/zero" {
        let mut object = Object::new(
            "memfd",
            format!("anonymous:[{}]", mapping.file.ino),
            Persistence::Process,
        );
        object.state = Some("anonymous".into());
        object
    } else if let Some(name) = name.strip_prefix(b"/dev/shm/") {
        super::posix::memory_object(name, mapping.deleted)
    } else {
        let object = Object::new("file", name, Persistence::FileSystem);
        if mapping.deleted || !own_mounts {
            object
        } else {
            object.addressable()
        }
    };
    if mapping.deleted && object.facility == "file" {
        object.state = Some("deleted".into());
        object.persistence = Persistence::Process;
    }
    object.id = Some(mapping.file.ino);
    object
}
