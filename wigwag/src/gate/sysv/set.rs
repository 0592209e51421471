//! Set: semaphores that change together.

use std::fmt;
use std::time::Duration;

use rustix::io::Errno;

use super::{FACILITY, Op, Options, Permit};
use crate::error::{Error, Kind, Result};
use crate::gate::{Gate, Mode};
use crate::interrupt;
use crate::key::Key;
use crate::name::Name;
use crate::sys::{sem, since_1970};
use crate::wait::{Deadline, Wait};

/// Semaphores that change together. Any thread may use it.
#[doc(alias = "semget")]
pub struct Set {
    id: i32,
    count: usize,
    undo: bool,
    temporary: bool,
    name: Name,
}

/// What the kernel knows of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// How many semaphores it has.
    pub count: usize,
    /// Its permissions.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it was last operated on, in seconds since 1970; 0 for never.
    #[doc(alias = "sem_otime")]
    pub operated: i64,
    /// When it was made, or a value or its permissions were set.
    #[doc(alias = "sem_ctime")]
    pub changed: i64,
}

/// How many wait for one semaphore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// For permits.
    #[doc(alias = "GETNCNT")]
    pub for_permits: u32,
    /// For zero.
    #[doc(alias = "GETZCNT")]
    pub for_zero: u32,
}

impl Set {
    /// Makes a new set with one semaphore for each value, for this user only; with [`Key::Private`], one that only its
    /// identifier names.
    ///
    /// # Errors
    /// As [`Options::create`].
    pub fn create(key: impl Into<Key>, values: &[u16]) -> Result<Self> {
        Options::new().create(key, values)
    }

    /// Opens a set that exists.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(key: impl Into<Key>) -> Result<Self> {
        Options::new().open(key)
    }

    /// Opens the set that exists, with the values it has, or makes it.
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create(key: impl Into<Key>, values: &[u16]) -> Result<Self> {
        Options::new().open_or_create(key, values)
    }

    /// Removes a set. Whoever waits for it gets [`Kind::Removed`].
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied` for anybody but owner, creator and root.
    #[doc(alias = "IPC_RMID")]
    pub fn unlink(key: impl Into<Key>) -> Result<()> {
        let key = key.into();
        let id = find(&key, "remove")?;
        sem::remove(id).map_err(|errno| failed("remove", &key, errno))
    }

    pub(super) fn new(id: i32, key: &Key, count: usize, undo: bool, temporary: bool) -> Self {
        Set {
            id,
            count,
            undo,
            temporary,
            name: key.name(id),
        }
    }

    /// Lets go of the handle without removing the set.
    pub(super) fn keep(mut self) {
        self.temporary = false;
    }

    /// Its identifier, by which others can open it without a key.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// How many semaphores it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Performs all operations at once, waiting until that is possible.
    ///
    /// # Errors
    /// [`Kind::Removed`]; [`Kind::BadInput`] when an index is not in the set or there are no operations;
    /// [`Kind::Limit`] when a value would get too great, or there are too many operations.
    #[doc(alias = "semop")]
    #[inline]
    pub fn apply(&self, ops: &[Op]) -> Result<()> {
        self.perform(ops, Deadline::Never)
    }

    /// Performs all operations at once if that is possible now.
    ///
    /// # Errors
    /// As [`apply`](Self::apply). `Ok(false)` when it is not possible now.
    #[inline]
    pub fn try_apply(&self, ops: &[Op]) -> Result<bool> {
        match self.attempt(ops, Deadline::Now) {
            Ok(()) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(errno) => Err(self.refused(ops, Deadline::Now, errno)),
        }
    }

    /// Performs all operations at once, waiting so long at most.
    ///
    /// # Errors
    /// As [`apply`](Self::apply); [`Kind::TimedOut`].
    #[doc(alias = "semtimedop")]
    pub fn apply_timeout(&self, ops: &[Op], limit: Duration) -> Result<()> {
        self.perform(ops, Wait::For(limit).into())
    }

    /// Takes a permit of one semaphore, waiting as long as it takes.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    #[doc(alias = "P")]
    #[inline]
    pub fn acquire(&self, index: u16) -> Result<Permit<'_>> {
        self.apply(&[self.op(Op::acquire(index, 1))])?;
        Ok(self.permit(index))
    }

    /// Takes a permit of one semaphore if there is one.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    #[inline]
    pub fn try_acquire(&self, index: u16) -> Result<Option<Permit<'_>>> {
        let taken = self.try_apply(&[self.op(Op::acquire(index, 1))])?;
        Ok(taken.then(|| self.permit(index)))
    }

    /// Takes a permit of one semaphore, waiting so long at most.
    ///
    /// # Errors
    /// As [`apply_timeout`](Self::apply_timeout).
    pub fn acquire_timeout(&self, index: u16, limit: Duration) -> Result<Permit<'_>> {
        self.apply_timeout(&[self.op(Op::acquire(index, 1))], limit)?;
        Ok(self.permit(index))
    }

    /// All values; old by the time they are read, but of one instant.
    ///
    /// # Errors
    /// [`Kind::Removed`], [`Kind::PermissionDenied`].
    #[doc(alias = "GETALL")]
    pub fn values(&self) -> Result<Vec<u16>> {
        sem::values(self.id, self.count).map_err(|errno| self.failed("read", errno))
    }

    /// One value.
    ///
    /// # Errors
    /// As [`values`](Self::values); `BadInput` when the index is not in the set.
    #[doc(alias = "GETVAL")]
    pub fn value(&self, index: u16) -> Result<u16> {
        let value = self.number(index, libc::GETVAL)?;
        Ok(u16::try_from(value).unwrap_or(0))
    }

    /// Sets one value, and forgets what processes would undo of it.
    ///
    /// # Errors
    /// As [`value`](Self::value); `Limit` when it is too great.
    #[doc(alias = "SETVAL")]
    pub fn set_value(&self, index: u16, value: u16) -> Result<()> {
        self.check(index)?;
        sem::set_value(self.id, index, value).map_err(|errno| self.failed("set", errno))
    }

    /// The process that changed a semaphore last; 0 for none, or for one of another process namespace.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    #[doc(alias = "GETPID")]
    pub fn last_process(&self, index: u16) -> Result<i32> {
        self.number(index, libc::GETPID)
    }

    /// How many wait for a semaphore.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn waiting(&self, index: u16) -> Result<Waiting> {
        let count = |which| Ok(u32::try_from(self.number(index, which)?).unwrap_or(0));
        Ok(Waiting {
            for_permits: count(libc::GETNCNT)?,
            for_zero: count(libc::GETZCNT)?,
        })
    }

    /// What the kernel knows of it.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    #[doc(alias = "IPC_STAT")]
    pub fn stat(&self) -> Result<Stat> {
        let stat = sem::stat(self.id).map_err(|errno| self.failed("inspect", errno))?;
        Ok(Stat {
            count: usize::try_from(stat.sem_nsems).unwrap_or(usize::MAX),
            mode: u32::from(stat.sem_perm.mode) & 0o777,
            uid: stat.sem_perm.uid,
            gid: stat.sem_perm.gid,
            operated: since_1970(stat.sem_otime),
            changed: since_1970(stat.sem_ctime),
        })
    }

    /// Removes it. Whoever waits for it gets [`Kind::Removed`].
    ///
    /// # Errors
    /// `PermissionDenied` for anybody but owner, creator and root; `Removed` when somebody did already.
    #[doc(alias = "IPC_RMID")]
    pub fn remove(&self) -> Result<()> {
        sem::remove(self.id).map_err(|errno| self.failed("remove", errno))
    }

    #[inline]
    fn perform(&self, ops: &[Op], deadline: Deadline) -> Result<()> {
        match self.attempt(ops, deadline) {
            Ok(()) => Ok(()),
            Err(errno) => Err(self.refused(ops, deadline, errno)),
        }
    }

    #[inline]
    fn attempt(&self, ops: &[Op], deadline: Deadline) -> Result<(), Errno> {
        loop {
            // The kernel's time-out is relative: after a signal, what is left of it.
            match sem::operate(self.id, Op::operations(ops), deadline.remaining()) {
                Err(Errno::INTR) => interrupt::again()?,
                done => return done,
            }
        }
    }

    #[cold]
    fn refused(&self, ops: &[Op], deadline: Deadline, errno: Errno) -> Error {
        match errno {
            Errno::AGAIN => self.failed("operate on", deadline.errno()),
            _ if ops.is_empty() => {
                self.error(Kind::BadInput, "operate on", "there are no operations")
            }
            Errno::FBIG => {
                let why = format!("an operation is on a semaphore beyond its {}", self.count);
                self.error(Kind::BadInput, "operate on", why)
            }
            errno => self.failed("operate on", errno),
        }
    }

    #[inline]
    pub(super) fn op(&self, op: Op) -> Op {
        if self.undo { op.undo() } else { op }
    }

    #[inline]
    fn permit(&self, index: u16) -> Permit<'_> {
        Permit::new(self, self.op(Op::release(index, 1)))
    }

    fn number(&self, index: u16, which: i32) -> Result<i32> {
        self.check(index)?;
        sem::number(self.id, index, which).map_err(|errno| self.failed("read", errno))
    }

    fn check(&self, index: u16) -> Result<()> {
        if usize::from(index) < self.count {
            return Ok(());
        }
        let why = format!("there is no semaphore {index} among its {}", self.count);
        Err(self.error(Kind::BadInput, "use", why))
    }

    pub(super) fn error(&self, kind: Kind, action: &'static str, why: impl Into<String>) -> Error {
        FACILITY.error(kind, action, &self.name, why)
    }

    #[cold]
    pub(super) fn failed(&self, action: &'static str, errno: Errno) -> Error {
        match errno {
            // The identifier was good once.
            Errno::INVAL | Errno::IDRM => FACILITY
                .failed(action, &self.name, Errno::IDRM)
                .with_kind(Kind::Removed),
            errno => FACILITY.failed(action, &self.name, errno),
        }
    }
}

/// The identifier of a set that exists.
pub(super) fn find(key: &Key, action: &'static str) -> Result<i32> {
    let number = key
        .number()
        .map_err(|cause| FACILITY.failed(action, key, cause))?;
    match (key, number) {
        (Key::Id(id), _) => Ok(*id),
        (Key::Private, _) | (_, None) => Err(FACILITY.error(
            Kind::BadName,
            action,
            key,
            "a private one is found by its identifier only",
        )),
        (_, Some(number)) => sem::get(number, 0, 0).map_err(|errno| failed(action, key, errno)),
    }
}

#[cold]
pub(super) fn failed(action: &'static str, key: &Key, errno: Errno) -> Error {
    match errno {
        Errno::INVAL | Errno::IDRM => FACILITY.error(
            Kind::NotFound,
            action,
            key,
            "there is none with this identifier",
        ),
        errno => FACILITY.failed(action, key, errno),
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        if self.temporary {
            let _ = sem::remove(self.id);
        }
    }
}

/// Semaphore 0 of the set.
impl Gate for Set {
    fn acquire_with(&self, mode: Mode, wait: Wait) -> Result<()> {
        self.acquire_at(0, mode, wait)
    }

    fn release(&self) -> Result<()> {
        self.release_at(0)
    }

    fn available(&self) -> Result<Option<u64>> {
        Ok(Some(self.value(0)?.into()))
    }
}

impl Set {
    pub(in crate::gate) fn acquire_at(&self, index: u16, mode: Mode, wait: Wait) -> Result<()> {
        if mode == Mode::Shared {
            let why = "a semaphore has no shared mode; give it as many permits as may be inside";
            return Err(self.error(Kind::BadInput, "acquire", why));
        }
        self.perform(&[self.op(Op::acquire(index, 1))], wait.into())
    }

    pub(in crate::gate) fn release_at(&self, index: u16) -> Result<()> {
        self.perform(&[self.op(Op::release(index, 1))], Deadline::Never)
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Set")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("count", &self.count)
            .field("undo", &self.undo)
            .finish()
    }
}
