//! Options of a System V queue: for whom, how long it stays, how much it holds.

use rustix::io::Errno;

use super::{FACILITY, Queue};
use crate::error::{Error, Kind, Result};
use crate::key::Key;
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

    /// Makes a queue under a key that had none; with [`Key::Private`] one without a key.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`]; [`Kind::Limit`] when `kernel.msgmni` is reached; those of a path
    /// that leads nowhere; [`Kind::BadName`] for an identifier, which the system gives.
    #[doc(alias = "msgget")]
    pub fn create(&self, key: impl Into<Key>) -> Result<Queue> {
        let key = key.into();
        match number(&key)? {
            Some(number) => self.make(number, libc::IPC_EXCL, name(&key)),
            None => Err(FACILITY.error(
                Kind::BadName,
                "create",
                &key,
                "the system gives identifiers; choose a key or a path",
            )),
        }
    }

    /// Opens the queue under a key, or with an identifier.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::PermissionDenied`]; [`Kind::BadName`] for [`Key::Private`].
    #[doc(alias = "msgget")]
    pub fn open(&self, key: impl Into<Key>) -> Result<Queue> {
        let key = key.into();
        match key {
            Key::Id(id) => {
                let mut queue = Queue::from_id(id)?;
                queue.temporary = self.temporary;
                Ok(queue)
            }
            Key::Private => Err(FACILITY.error(
                Kind::BadName,
                "open",
                &key,
                "a private queue is opened by its identifier",
            )),
            key => {
                let number = number(&key)?.unwrap_or(libc::IPC_PRIVATE);
                self.adopt(msg::get(number, 0), "open", name(&key))
            }
        }
    }

    /// Opens the queue under a key, making it if there is none.
    ///
    /// # Errors
    /// Those of both.
    #[doc(alias = "msgget")]
    pub fn open_or_create(&self, key: impl Into<Key>) -> Result<Queue> {
        let key = key.into();
        loop {
            match self.open(key.clone()) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                outcome => return outcome,
            }
            match self.create(key.clone()) {
                // Somebody made it between our two looks.
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                outcome => return outcome,
            }
        }
    }

    /// Makes a queue without a key: others find it by its [`id`](Queue::id) only.
    ///
    /// # Errors
    /// [`Kind::Limit`] when `kernel.msgmni` is reached.
    #[doc(alias = "IPC_PRIVATE")]
    pub fn private(&self) -> Result<Queue> {
        self.create(Key::Private)
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

/// The number of a key; `None` for an identifier.
fn number(key: &Key) -> Result<Option<i32>> {
    if let Key::File(path, 0) = key {
        let why = "a project is a number from 1 to 255";
        return Err(FACILITY.error(Kind::BadName, "name", path.display(), why));
    }
    key.number()
        .map_err(|cause| FACILITY.failed("derive a key from the path of", key, cause))
}

fn name(key: &Key) -> Name {
    match key {
        Key::Private => Name::None,
        Key::Number(number) => Name::Key(*number),
        Key::Id(id) => Name::Id(*id),
        Key::File(path, _) => Name::Path(path.clone()),
    }
}
