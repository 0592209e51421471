//! Options of a System V queue: for whom, how long it stays, how much it holds.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;

use super::{FACILITY, Queue};
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::sys::msg;

/// How a queue is made and opened, in the manner of [`std::fs::OpenOptions`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Options {
    mode: u32,
    project: u8,
    capacity: Option<u64>,
    temporary: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: 0o600,
            project: 1,
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

    /// Which of the keys that can be derived from a path, from 1.
    #[doc(alias = "ftok")]
    pub fn project(mut self, project: u8) -> Self {
        self.project = project;
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

    /// Makes a queue under a key that had none.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`]; [`Kind::Limit`] when `kernel.msgmni` is reached; those of a path
    /// that leads nowhere.
    #[doc(alias = "msgget")]
    pub fn create(&self, name: impl AsRef<OsStr>) -> Result<Queue> {
        self.create_named(&parse(name.as_ref())?)
    }

    /// Opens the queue under a key, or with an identifier.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::PermissionDenied`].
    #[doc(alias = "msgget")]
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Queue> {
        self.open_named(&parse(name.as_ref())?)
    }

    /// Opens the queue under a key, making it if there is none.
    ///
    /// # Errors
    /// Those of both.
    #[doc(alias = "msgget")]
    pub fn open_or_create(&self, name: impl AsRef<OsStr>) -> Result<Queue> {
        self.open_or_create_named(&parse(name.as_ref())?)
    }

    /// Makes a queue without a key: others find it by its [`id`](Queue::id) only.
    ///
    /// # Errors
    /// [`Kind::Limit`] when `kernel.msgmni` is reached.
    #[doc(alias = "IPC_PRIVATE")]
    pub fn private(&self) -> Result<Queue> {
        self.make(libc::IPC_PRIVATE, 0, &Name::None)
    }

    pub(super) fn open_named(&self, name: &Name) -> Result<Queue> {
        if let Name::Id(id) = name {
            let mut queue = Queue::from_id(*id)?;
            queue.temporary = self.temporary;
            return Ok(queue);
        }
        self.adopt(msg::get(self.key(name)?, 0), "open", name)
    }

    pub(super) fn create_named(&self, name: &Name) -> Result<Queue> {
        self.make(self.key(name)?, libc::IPC_EXCL, name)
    }

    pub(super) fn open_or_create_named(&self, name: &Name) -> Result<Queue> {
        loop {
            match self.open_named(name) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                outcome => return outcome,
            }
            match self.create_named(name) {
                // Somebody made it between our two looks.
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                outcome => return outcome,
            }
        }
    }

    fn key(&self, name: &Name) -> Result<i32> {
        let bad = |why| FACILITY.error(Kind::BadName, "name", name, why);
        match name {
            Name::Key(key) => Ok(*key),
            Name::Path(_) if self.project == 0 => Err(bad("a project is a number from 1 to 255")),
            Name::Path(path) => msg::key_of(path, self.project)
                .map_err(|errno| FACILITY.failed("derive a key from the path of", name, errno)),
            _ => Err(bad("the system gives identifiers; choose a key or a path")),
        }
    }

    fn make(&self, key: i32, exclusive: i32, name: &Name) -> Result<Queue> {
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

    fn adopt(&self, id: Result<i32, Errno>, action: &'static str, name: &Name) -> Result<Queue> {
        match id {
            Ok(id) if *name == Name::None => Ok(Queue::new(id, Name::Id(id), self.temporary)),
            Ok(id) => Ok(Queue::new(id, name.clone(), self.temporary)),
            Err(errno) => Err(refused(action, name, errno)),
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

fn parse(name: &OsStr) -> Result<Name> {
    Name::parse(&FACILITY, name.as_bytes())
}
