//! FileLock: one open file through which one lock is held at a time.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::holder::{self, Holder};
use super::options::{self, Options, Style};
use crate::error::{Error, Kind, Result};
use crate::gate::{Gate, Mode};
use crate::interrupt;
use crate::sys::fcntl::{self, Owner, Span, Type};
use crate::wait::{Deadline, Wait};

/// The first pause between two questions with a time-out, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(10));

/// One open file through which one lock is held at a time.
///
/// The kernel takes two locks through one handle for one lock that changes its mode, so locking borrows
/// the handle exclusively: threads that are to keep each other out open one each. A process that is
/// forked shares the lock until it executes another program.
#[derive(Debug)]
pub struct FileLock {
    file: OwnedFd,
    style: Style,
    span: Span,
    name: Box<str>,
}

impl FileLock {
    /// Opens a file, or makes an empty one, to lock all of it as [`Style::Ofd`].
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open(path)
    }

    pub(super) fn new(file: OwnedFd, style: Style, span: Span, name: String) -> Result<Self> {
        if style != Style::Flock && options::is_directory(&file) {
            let why = "it is a directory, which only flock can lock";
            return Err(style.facility().error(Kind::BadInput, "open", name, why));
        }
        Ok(FileLock {
            file,
            style,
            span,
            name: name.into(),
        })
    }

    /// Keeps everybody out, waiting as long as it takes.
    ///
    /// # Errors
    /// [`Kind::Deadlock`] with [`Style::Record`] when the kernel sees that waiting would never end;
    /// [`Kind::PermissionDenied`] when an exclusive record lock is wanted on a file that may only be read.
    #[inline]
    pub fn lock(&mut self) -> Result<Held<'_>> {
        self.lock_with(Mode::Exclusive, Wait::Forever)
    }

    /// Keeps out those who want it exclusively, waiting as long as it takes.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    #[inline]
    pub fn lock_shared(&mut self) -> Result<Held<'_>> {
        self.lock_with(Mode::Shared, Wait::Forever)
    }

    /// Keeps everybody out if nobody is in the way.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    #[inline]
    pub fn try_lock(&mut self) -> Result<Option<Held<'_>>> {
        self.try_lock_with(Mode::Exclusive)
    }

    /// Keeps out those who want it exclusively if nobody is in the way.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    #[inline]
    pub fn try_lock_shared(&mut self) -> Result<Option<Held<'_>>> {
        self.try_lock_with(Mode::Shared)
    }

    /// Keeps everybody out, waiting so long at most.
    ///
    /// # Errors
    /// As [`lock`](Self::lock); [`Kind::TimedOut`].
    pub fn lock_timeout(&mut self, limit: Duration) -> Result<Held<'_>> {
        self.lock_with(Mode::Exclusive, Wait::For(limit))
    }

    /// Keeps out those who want it exclusively, waiting so long at most.
    ///
    /// # Errors
    /// As [`lock_timeout`](Self::lock_timeout).
    pub fn lock_shared_timeout(&mut self, limit: Duration) -> Result<Held<'_>> {
        self.lock_with(Mode::Shared, Wait::For(limit))
    }

    /// Locks in this mode, waiting as told.
    ///
    /// # Errors
    /// As [`lock`](Self::lock); [`Kind::WouldBlock`], [`Kind::TimedOut`].
    #[inline]
    pub fn lock_with(&mut self, mode: Mode, wait: Wait) -> Result<Held<'_>> {
        self.acquire(mode, wait)?;
        Ok(Held { lock: self, mode })
    }

    #[inline]
    fn try_lock_with(&mut self, mode: Mode) -> Result<Option<Held<'_>>> {
        match self.set(mode.into(), false) {
            Ok(()) => Ok(Some(Held { lock: self, mode })),
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(self.failed("lock", errno)),
        }
    }

    /// Who would make us wait for a lock of this mode; `None` when nobody would.
    ///
    /// # Errors
    /// What the system call says; `/proc` may be needed.
    #[doc(alias = "F_GETLK")]
    #[doc(alias = "F_OFD_GETLK")]
    pub fn holder(&self, mode: Mode) -> Result<Option<Holder>> {
        holder::find(self.as_fd(), self.style, mode, self.span)
            .map_err(|cause| self.style.facility().failed("inspect", &self.name, cause))
    }

    #[inline]
    fn acquire(&self, mode: Mode, wait: Wait) -> Result<()> {
        let locked = match wait {
            Wait::Forever => self.set(mode.into(), true),
            Wait::Not => self.set(mode.into(), false),
            Wait::For(_) => self.set_within(mode.into(), wait.into()),
        };
        match locked {
            Ok(()) => Ok(()),
            Err(errno) => Err(self.failed("lock", errno)),
        }
    }

    #[inline]
    fn unlock(&self) -> Result<()> {
        match self.set(Type::None, false) {
            Ok(()) => Ok(()),
            Err(errno) => Err(self.failed("unlock", errno)),
        }
    }

    #[inline]
    fn set(&self, kind: Type, wait: bool) -> Result<(), Errno> {
        loop {
            let done = match self.style {
                Style::Ofd => fcntl::set(self.as_fd(), Owner::OpenFile, kind, self.span, wait),
                Style::Record => fcntl::set(self.as_fd(), Owner::Process, kind, self.span, wait),
                Style::Flock => flock(&self.file, operation(kind, wait)),
            };
            match done {
                Err(Errno::INTR) => interrupt::again()?,
                done => return done,
            }
        }
    }

    fn set_within(&self, kind: Type, deadline: Deadline) -> Result<(), Errno> {
        let (mut pause, longest) = PAUSES;
        loop {
            match self.set(kind, false) {
                Err(Errno::AGAIN) => {}
                done => return done,
            }
            let left = deadline.remaining().unwrap_or(longest);
            if left.is_zero() {
                return Err(deadline.errno());
            }
            // A sleep does not tell that it was interrupted.
            interrupt::again()?;
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(longest);
        }
    }

    #[cold]
    fn failed(&self, action: &'static str, errno: Errno) -> Error {
        let facility = self.style.facility();
        match errno {
            // The kernel's word for a descriptor that is not open for writing.
            Errno::BADF => facility
                .error(
                    Kind::PermissionDenied,
                    action,
                    &self.name,
                    "the file may only be read",
                )
                .with_hint("an exclusive record lock needs write permission; flock does not"),
            Errno::NOLCK => facility
                .failed(action, &self.name, errno)
                .with_kind(Kind::Limit),
            errno => facility.failed(action, &self.name, errno),
        }
    }
}

fn operation(kind: Type, wait: bool) -> FlockOperation {
    match (kind, wait) {
        (Type::Shared, true) => FlockOperation::LockShared,
        (Type::Shared, false) => FlockOperation::NonBlockingLockShared,
        (Type::Exclusive, true) => FlockOperation::LockExclusive,
        (Type::Exclusive, false) => FlockOperation::NonBlockingLockExclusive,
        (Type::None, _) => FlockOperation::Unlock,
    }
}

impl From<Mode> for Type {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Shared => Type::Shared,
            Mode::Exclusive => Type::Exclusive,
        }
    }
}

impl AsFd for FileLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A lock that is held, given back when it is dropped, or by the kernel when its owner is gone.
#[derive(Debug)]
#[must_use = "the lock is given back when this is dropped"]
pub struct Held<'a> {
    lock: &'a FileLock,
    mode: Mode,
}

impl Held<'_> {
    /// Its mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// From shared to exclusive, if nobody is in the way; `Ok(false)` otherwise.
    ///
    /// Record locks change in one step, and a refused change leaves the shared lock. `flock(2)` gives
    /// the shared lock up first: somebody else may have had the file meanwhile, so read it again; and when the change is
    /// refused we take the shared lock again, which fails if somebody has it exclusively by then.
    ///
    /// There is no form that waits: two that wait for each other's shared lock would wait for ever.
    ///
    /// # Errors
    /// [`Kind::Disconnected`] when `flock` lost the shared lock: drop this and lock anew.
    pub fn try_upgrade(&mut self) -> Result<bool> {
        match self.lock.set(Type::Exclusive, false) {
            Ok(()) => {
                self.mode = Mode::Exclusive;
                Ok(true)
            }
            Err(Errno::AGAIN) if self.lock.style != Style::Flock => Ok(false),
            Err(Errno::AGAIN) => match self.lock.set(self.mode.into(), false) {
                Ok(()) => Ok(false),
                Err(_) => Err(self.lock.style.facility().error(
                    Kind::Disconnected,
                    "upgrade",
                    &self.lock.name,
                    "another has locked it meanwhile, and the shared lock is lost",
                )),
            },
            Err(errno) => Err(self.lock.failed("upgrade", errno)),
        }
    }

    /// From exclusive to shared. Nobody can be in the way, and with record locks nobody gets it
    /// exclusively in between.
    ///
    /// # Errors
    /// What the system call says.
    pub fn downgrade(&mut self) -> Result<()> {
        self.lock
            .set(Type::Shared, false)
            .map_err(|errno| self.lock.failed("downgrade", errno))?;
        self.mode = Mode::Shared;
        Ok(())
    }

    /// The file, to read and write what the lock protects, as a descriptor of the same open file.
    ///
    /// **Beware** with [`Style::Record`]: closing it drops the lock.
    ///
    /// # Errors
    /// `Limit` when there are too many descriptors.
    pub fn file(&self) -> Result<File> {
        let cloned = self.lock.file.try_clone().map(File::from);
        cloned.map_err(|cause| {
            self.lock
                .style
                .facility()
                .failed("open", &self.lock.name, cause)
        })
    }

    /// Keeps the lock until the [`FileLock`] is dropped.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.facility().id)
    }
}

/// Without the compiler's help: whoever acquires twice through one handle changes the mode of one lock.
impl Gate for FileLock {
    fn acquire_with(&self, mode: Mode, wait: Wait) -> Result<()> {
        self.acquire(mode, wait)
    }

    fn release(&self) -> Result<()> {
        self.unlock()
    }

    fn available(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}
