//! POSIX objects that exist without a process: queues, and the shared memory and named semaphores in `/dev/shm`.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};

use crate::object::{Fill, Object, Unit, Value};
use crate::proc::brief::Brief;
use crate::proc::mqueue::{self, Entry, Limits};
use crate::proc::{FileFacts, Scratch, facts};
use wigwag::facility::Persistence;

use super::patterns::{Known, PATTERNS};
use super::{Capture, Key, table};

/// Where glibc and musl keep them.
const DIRECTORY: &str = "/dev/shm";

impl Capture<'_> {
    /// All POSIX queues of our IPC namespace, mounted or not.
    pub(super) fn posix_queues(&mut self) {
        if !self.options.wants("mq") {
            return;
        }
        let listed = mqueue::open_directory()
            .and_then(|directory| mqueue::entries(&directory, &mut self.scratch));
        match listed {
            Ok(entries) => {
                for entry in entries {
                    self.queue(&entry, true);
                }
            }
            // No POSIX queues in this kernel.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            Err(error) => {
                let reason = format!(
                    "{error}: only queues that a visible process has open are listed (mount the mqueue file system to list all)"
                );
                self.unseen.push(table("POSIX message queues", &reason));
            }
        }
    }

    /// A queue that was listed.
    pub(super) fn queue(&mut self, entry: &Entry, ours: bool) {
        let name = [b"/", &*entry.name].concat();
        let object = self.object(Key::File(entry.facts.id), || {
            let object = Object::new("mq", name, Persistence::Kernel);
            if ours { object.addressable() } else { object }
        });
        describe(object, &entry.facts);
        // To read how full it is counts as an access: only the other time is that of the last send or receive.
        object.last_used = Some(entry.facts.modified);
        match entry.limits {
            Some(limits) => queue_limits(object, &limits),
            None => object
                .unseen
                .push("number of messages: no permission to read the queue".into()),
        }
        if let Some(text) = entry.text {
            object.fill.push(Fill::new(text.bytes, Unit::Bytes));
            if text.notify_pid != 0 {
                object.detail("notify_pid", Value::Number(i64::from(text.notify_pid)));
                object.detail("notify_signal", Value::Number(i64::from(text.signal)));
            }
        }
    }

    /// Everything in `/dev/shm`: regular files are shared memory, those called `sem.*` semaphores.
    pub(super) fn posix_memory(&mut self) {
        if !self.options.wants_any(&["shm", "sem"]) && !self.options.wants_any(PATTERNS) {
            return;
        }
        let directory = match openat(
            CWD,
            DIRECTORY,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        ) {
            Ok(directory) => directory,
            Err(error) => return self.unseen.push(table(DIRECTORY, &error.to_string())),
        };
        let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 16 << 10];
        let mut names = RawDir::new(&directory, &mut buffer);
        while let Some(Ok(entry)) = names.next() {
            let name = entry.file_name();
            let Ok(facts) = facts(directory.as_fd(), name) else {
                continue;
            };
            if facts.is_regular() {
                self.shared_memory(&directory, name.to_bytes(), &facts);
            }
        }
    }

    fn shared_memory(&mut self, directory: &OwnedFd, name: &[u8], facts: &FileFacts) {
        let mut semaphore = None;
        if name.starts_with(b"sem.") {
            semaphore = Some(read_semaphore(directory, name, &mut self.scratch));
        }
        let known = match semaphore {
            None => Known::named(directory, name, facts.size),
            Some(_) => None,
        };
        let object = self.object(Key::File(facts.id), || memory_object(name, false));
        describe(object, facts);
        match semaphore {
            None => object
                .fill
                .push(Fill::of(facts.used, facts.size, Unit::Bytes)),
            Some(Ok(Some((value, waiting)))) => {
                object.fill.push(Fill::new(u64::from(value), Unit::Permits));
                object.waiting = Some(waiting);
            }
            Some(Ok(None)) => object
                .unseen
                .push("value: the file is too short for a semaphore".into()),
            Some(Err(error)) => object.unseen.push(format!("value: {error}")),
        }
        if let (Some(known), Some(&at)) = (known, self.index.get(&Key::File(facts.id))) {
            known.describe(&mut self.objects[at], &self.proc, &mut self.scratch);
        }
    }
}

/// A file in `/dev/shm`, by its name there.
pub(super) fn memory_object(name: &[u8], deleted: bool) -> Object {
    let (facility, name) = match name.strip_prefix(b"sem.") {
        Some(name) => ("sem", name),
        None => ("shm", name),
    };
    let name = [b"/", name].concat();
    if deleted {
        let mut object = Object::new(facility, name, Persistence::Process);
        object.state = Some("unlinked".into());
        object
    } else {
        Object::new(facility, name, Persistence::Kernel).addressable()
    }
}

/// Owner, permissions, times.
pub(super) fn describe(object: &mut Object, facts: &FileFacts) {
    object.id = Some(facts.id.ino);
    object.uid = Some(facts.uid);
    object.mode = Some(facts.mode & 0o7777);
    object.last_used = Some(facts.accessed.max(facts.modified));
}

/// Messages, with their limit; first, since this is what makes a sender wait.
pub(super) fn queue_limits(object: &mut Object, limits: &Limits) {
    object.fill.insert(
        0,
        Fill::of(limits.messages, limits.capacity, Unit::Messages),
    );
    object.detail(
        "message_size",
        Value::Number(limits.message_size.cast_signed()),
    );
}

/// Value and number of waiters. glibc keeps 64 bits, the lower half the value; musl two words of 32 bits; on a little-endian machine
/// these are the same bytes. musl's value is negative, or has its highest bit set, while somebody waits.
fn read_semaphore(
    directory: &OwnedFd,
    name: &[u8],
    scratch: &mut Scratch,
) -> std::io::Result<Option<(u32, u32)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let _brief = Brief::begin();
    let file = openat(directory, name, flags, Mode::empty())?;
    let bytes = scratch.read_fd(file.as_fd())?;
    let Some((words, _)) = bytes.split_first_chunk::<8>() else {
        return Ok(None);
    };
    let [a, b, c, d, rest @ ..] = *words;
    let value = i32::from_ne_bytes([a, b, c, d]);
    let value = if value == -1 { 0 } else { value & i32::MAX };
    Ok(Some((value.cast_unsigned(), u32::from_ne_bytes(rest))))
}
