//! Options of a System V queue: for whom, how long it stays, how much it holds.

use rustix::io::Errno;

use super::{FACILITY, Key, Queue};
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::sys::msg;

/// How a queue is made and opened, in the manner of [`std::fs::OpenOptions`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Options {
    mode: u32,
    capacity: Option<u64>,
    temporary: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: 0o600,
            capacity: None,
            temporary: false,
        }
    }
}

impl Options {
    /// For this user only (mode `0o600`), holding `kernel.msgmnb` bytes, staying when dropped.
    pub fn new() -> Self {
        Options::default()
    }

    /// Who may receive (read) and send (write); the umask has no part in it.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o777;
        self
    }

    /// Bytes a new queue may hold; over `kernel.msgmnb` needs the privilege `CAP_SYS_RESOURCE`.
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// Removes the queue when it is dropped.
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    pub(super) fn open(&self, key: &Key) -> Result<Queue> {
        let id = msg::get(key.number()?, 0);
        self.adopt(id, "open", key.name())
    }

    pub(super) fn create(&self, key: &Key) -> Result<Queue> {
        self.make(key.number()?, libc::IPC_EXCL, key.name())
    }

    pub(super) fn private(&self) -> Result<Queue> {
        self.make(libc::IPC_PRIVATE, 0, Name::None)
    }

    pub(super) fn open_or_create(&self, key: &Key) -> Result<Queue> {
        loop {
            match self.open(key) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                outcome => return outcome,
            }
            match self.create(key) {
                // Somebody made it between our two looks.
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                outcome => return outcome,
            }
        }
    }

    fn make(&self, key: i32, exclusive: i32, name: Name) -> Result<Queue> {
        let id = msg::get(key, libc::IPC_CREAT | exclusive | self.mode.cast_signed());
        let mut queue = self.adopt(id, "create", name)?;
        if let Some(bytes) = self.capacity {
            // A queue that does not hold what was asked for is not left behind.
            let temporary = std::mem::replace(&mut queue.temporary, true);
            queue.set_capacity(bytes)?;
            queue.temporary = temporary;
        }
        Ok(queue)
    }

    fn adopt(&self, id: Result<i32, Errno>, action: &'static str, name: Name) -> Result<Queue> {
        match id {
            Ok(id) if name == Name::None => Ok(Queue::new(id, Name::Id(id), self.temporary)),
            Ok(id) => Ok(Queue::new(id, name, self.temporary)),
            Err(errno) => Err(refused(action, &name, errno)),
        }
    }
}

#[cold]
fn refused(action: &'static str, name: &Name, errno: Errno) -> Error {
    let error = FACILITY.failed(action, name, errno);
    match errno {
        Errno::NOSPC => error.with_hint("ipcs -q lists them, wigwag rm removes one"),
        _ => error,
    }
}
