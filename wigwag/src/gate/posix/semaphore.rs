//! Semaphore: a count of permits; whoever finds none waits.

use std::any::Any;
use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::stat;
use rustix::io::Errno;

use super::options::{self, Options};
use super::{FACILITY, Permit, UNNAMED};
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
use crate::gate::{Gate, Mode};
use crate::name::Name;
use crate::sys::posix_sem::Sem;
use crate::wait::Wait;

/// What keeps the memory of a semaphore.
enum Home {
    /// `sem_open` mapped it, `sem_close` unmaps it.
    Named {
        unlink: Option<Name>,
        /// Device and inode, for the case that somebody else has the name by then.
        identity: Option<(u64, u64)>,
    },
    /// It lies in a region.
    Region(#[expect(dead_code, reason = "held, not used")] Arc<dyn Any + Send + Sync>),
}

/// A count of permits; whoever finds none waits.
///
/// Any thread may use it. Releasing needs no earlier acquiring, and may be done in a signal handler. A
/// signal handler that runs meanwhile does not end a wait.
#[doc(alias = "sem_t")]
pub struct Semaphore {
    sem: Sem,
    binary: bool,
    home: Home,
    name: Name,
}

impl Semaphore {
    /// Makes a new one with so many permits, for this user only.
    ///
    /// # Errors
    /// As [`Options::create`].
    #[doc(alias = "sem_open")]
    pub fn create(name: impl AsRef<OsStr>, value: u32) -> Result<Self> {
        Options::new().create(name, value)
    }

    /// Opens one that exists.
    ///
    /// # Errors
    /// As [`Options::open`].
    #[doc(alias = "sem_open")]
    pub fn open(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().open(name)
    }

    /// Opens the one that exists, whatever its value, or makes it with so many permits.
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create(name: impl AsRef<OsStr>, value: u32) -> Result<Self> {
        Options::new().open_or_create(name, value)
    }

    /// Removes a name. Whoever has the semaphore open goes on with it.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`; `BadName`.
    #[doc(alias = "sem_unlink")]
    pub fn unlink(name: impl AsRef<OsStr>) -> Result<()> {
        Self::unlink_named(&options::parse(name.as_ref())?)
    }

    pub(crate) fn unlink_named(name: &Name) -> Result<()> {
        options::unlink(name)
    }

    pub(super) fn named(sem: Sem, binary: bool, name: &Name, unlink: Option<Name>) -> Self {
        let identity = unlink.as_ref().and_then(identity);
        let name = name.clone();
        Semaphore {
            sem,
            binary,
            home: Home::Named { unlink, identity },
            name,
        }
    }

    /// One that lies in memory which `keep` keeps.
    pub(crate) fn in_memory(sem: Sem, options: &Options, keep: Arc<dyn Any + Send + Sync>) -> Self {
        Semaphore {
            sem,
            binary: options.is_binary(),
            home: Home::Region(keep),
            name: Name::None,
        }
    }

    /// Takes a permit, waiting as long as it takes.
    ///
    /// # Errors
    /// None of an intact semaphore.
    #[doc(alias = "sem_wait")]
    #[doc(alias = "P")]
    #[inline]
    pub fn acquire(&self) -> Result<Permit<'_>> {
        match self.sem.wait() {
            Ok(()) => Ok(Permit::new(self)),
            Err(errno) => Err(self.failed("acquire", errno)),
        }
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    /// None of an intact semaphore.
    #[doc(alias = "sem_trywait")]
    #[inline]
    pub fn try_acquire(&self) -> Result<Option<Permit<'_>>> {
        match self.sem.try_wait() {
            Ok(()) => Ok(Some(Permit::new(self))),
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(self.failed("acquire", errno)),
        }
    }

    /// Takes a permit, waiting so long at most, on the monotonic clock.
    ///
    /// # Errors
    /// [`Kind::TimedOut`].
    #[doc(alias = "sem_timedwait")]
    #[doc(alias = "sem_clockwait")]
    #[inline]
    pub fn acquire_timeout(&self, limit: Duration) -> Result<Permit<'_>> {
        match self.sem.wait_for(limit) {
            Ok(()) => Ok(Permit::new(self)),
            Err(errno) => Err(self.failed("acquire", errno)),
        }
    }

    /// Gives a permit, waking one that waits. Needs no earlier acquiring; async-signal-safe when it succeeds.
    ///
    /// # Errors
    /// [`Kind::Limit`] when there are as many permits as it can count, which is one if it is binary.
    #[doc(alias = "sem_post")]
    #[doc(alias = "V")]
    #[inline]
    pub fn release(&self) -> Result<()> {
        let released = if self.binary {
            self.sem.post_if_none()
        } else {
            self.sem.post()
        };
        match released {
            Ok(()) => Ok(()),
            Err(errno) => Err(self.failed("release", errno)),
        }
    }

    /// How many permits there are; old by the time it is read.
    #[doc(alias = "sem_getvalue")]
    #[must_use]
    #[inline]
    pub fn value(&self) -> u32 {
        self.sem.value()
    }

    /// Whether this handle never lets the count exceed one.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.binary
    }

    fn facility(&self) -> &'static Facility {
        match self.home {
            Home::Named { .. } => &FACILITY,
            Home::Region(_) => &UNNAMED,
        }
    }

    #[cold]
    fn failed(&self, action: &'static str, errno: Errno) -> Error {
        match errno {
            Errno::OVERFLOW if self.binary => self.facility().error(
                Kind::Limit,
                action,
                &self.name,
                "it is binary, and its one permit is there already",
            ),
            errno => self.facility().failed(action, &self.name, errno),
        }
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        if let Home::Named {
            unlink,
            identity: made,
        } = &mut self.home
        {
            // SAFETY: it came from sem_open; permits borrow self, so nobody uses it any more.
            unsafe { self.sem.close() };
            if let Some(name) = unlink.take()
                && made.is_some()
                && *made == identity(&name)
            {
                let _ = options::unlink(&name);
            }
        }
    }
}

fn identity(name: &Name) -> Option<(u64, u64)> {
    let stat = stat(options::path(name)).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

impl Gate for Semaphore {
    fn acquire_with(&self, mode: Mode, wait: Wait) -> Result<()> {
        if mode == Mode::Shared {
            return Err(self.facility().error(
                Kind::BadInput,
                "acquire",
                &self.name,
                "a semaphore has no shared mode; give it as many permits as may be inside",
            ));
        }
        let acquired = match wait {
            Wait::Forever => self.sem.wait(),
            Wait::Not => self.sem.try_wait(),
            Wait::For(limit) => self.sem.wait_for(limit),
        };
        acquired.map_err(|errno| self.failed("acquire", errno))
    }

    fn release(&self) -> Result<()> {
        Semaphore::release(self)
    }

    fn available(&self) -> Result<Option<u64>> {
        Ok(Some(u64::from(self.value())))
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("name", &self.name)
            .field("value", &self.value())
            .field("binary", &self.binary)
            .finish()
    }
}
