//! Segment: one value in many processes, found by name, checked before it is used, and never seen half-made.
//!
//! The value is moved into the memory by its creator and stays there; everybody gets `&T`, and what
//! changes, changes through the atomics and gates in it. **Trust**: a segment is for programs that keep the rules. Any
//! process that may open it can write anything into it; where that is not acceptable, create it with
//! [`Trust::Nobody`], which admits only types that stay sound then.
//!
//! A creator that is killed half-way leaves an unfinished segment: [`open`](Segment::open) says so,
//! [`create`](Segment::create) and [`open_or_create`](Segment::open_or_create) take it over.
//!
//! ```
//! use wigwag::gate::Mutex;
//! use wigwag::memory::segment::{Options, Segment};
//!
//! wigwag::shared! { struct Bank { pence: Mutex<i64> } }
//!
//! let name = format!("/bank-{}", std::process::id());
//! let bank = Options::new().temporary(true).create(&name, Bank { pence: Mutex::new(100) })?;
//! let same = Segment::<Bank>::open(&name)?;               // in another process
//! *same.pence.lock()?.or_repair(|pence| *pence = 0) += 5; // its owner may have died: repair
//! assert_eq!(*bank.pence.lock()?.or_repair(|_| {}), 105);
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `shm_overview(7)`, `memfd_create(2)`, `shmop(2)`, `mmap(2)`.

use std::ffi::OsStr;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

pub(crate) mod file;
pub(crate) mod header;
mod key;
mod pages;
mod place;
#[cfg(not(loom))]
pub(crate) mod probe;

use self::file::{Value, Verb};
use self::header::VALUE;
use self::pages::{New, Pages};
pub use self::place::Place;
use crate::error::{Error, Kind, Result};
use crate::shared::{Death, Shared};
use crate::sys::holder::Holder;
use crate::sys::robust;

/// How long the making of a value may take before those who wait for it give up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a name may exist before its creator has written the first byte.
const GRACE: Duration = Duration::from_millis(500);
/// How often to look again.
const LOOK: Duration = Duration::from_millis(1);

/// Whether the processes that share the memory rely on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Trust {
    /// On each other, as the threads of one program do: only death is survived, not lies.
    #[default]
    Peers,
    /// On nobody: whatever a peer writes and whenever, the others get wrong data or errors and nothing worse. Nor does one end them that
    /// truncates the file; see [`is_whole`](Segment::is_whole).
    Nobody,
}

/// How a segment is to be made or opened.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Options {
    mode: Option<u32>,
    temporary: bool,
    trust: Trust,
    death: Option<Death>,
}

impl Options {
    /// The defaults: for this user only, left behind, peers that are trusted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who may open a new one: exactly this mode, whatever the umask. Otherwise 0600, less the umask.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Whether the name is removed when this handle is dropped. Not when the process is killed, and not by the child of a `fork`.
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    /// Whom the type must be able to bear; [`Trust::Peers`] unless told otherwise.
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// How the gates in a new segment notice the death of an owner. Unless told otherwise by the kernel, and watched where libc does not
    /// allow that: in 32-bit programs. What those and 64-bit programs are to share is watched.
    pub fn death(mut self, death: Death) -> Self {
        self.death = Some(death);
        self
    }

    /// Makes a new one.
    ///
    /// # Errors
    /// `AlreadyExists`; `Limit` when there is no room; `PermissionDenied`.
    pub fn create<T: Shared>(&self, name: impl AsRef<OsStr>, value: T) -> Result<Segment<T>> {
        self.at(Place::parse(name)?, false, Some(New::Value(|| value)))
    }

    /// Makes a new one of zeros, in place: for values that are too large to be made on the stack first.
    ///
    /// Zeros are a new value of atomics (0) and of all gates but the semaphores, with zeros as the data in them, and of arrays
    /// and structures of those; for other types this does not compile.
    ///
    /// ```
    /// use std::sync::atomic::AtomicU64;
    /// use wigwag::gate::Mutex;
    /// use wigwag::memory::segment::Options;
    ///
    /// wigwag::shared! { struct Cells { taken: AtomicU64, cells: [Mutex<[u64; 4096]>; 1024] } }
    ///
    /// let name = format!("/cells-{}", std::process::id());
    /// let cells = Options::new().temporary(true).create_zeroed::<Cells>(&name)?; // 32 MiB
    /// cells.cells[1023].lock()?.or_repair(|_| {})[4095] = 1;
    /// # Ok::<(), wigwag::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn create_zeroed<T: Shared>(&self, name: impl AsRef<OsStr>) -> Result<Segment<T>> {
        self.at(Place::parse(name)?, false, Some(zeros::<T>()))
    }

    /// Opens one that exists; waits for a creator that has begun.
    ///
    /// # Errors
    /// `NotFound`; `BadInput` when it holds another type; `Corrupt` when it is no segment, truncated, unfinished by a
    /// creator that died, or from an earlier boot; `Unsupported` when this program counts otherwise (libc,
    /// version, word size, pid namespace); `TimedOut` when the creator is still at it after ten seconds.
    pub fn open<T: Shared>(&self, name: impl AsRef<OsStr>) -> Result<Segment<T>> {
        self.at(Place::parse(name)?, true, None::<New<fn() -> T>>)
    }

    /// Opens the one that exists or makes it; of several at once, one makes it and the others open that.
    ///
    /// # Errors
    /// Those of both.
    pub fn open_or_create<T: Shared>(
        &self,
        name: impl AsRef<OsStr>,
        value: impl FnOnce() -> T,
    ) -> Result<Segment<T>> {
        self.at(Place::parse(name)?, true, Some(New::Value(value)))
    }

    /// Opens the one that exists or makes it of zeros, see [`create_zeroed`](Self::create_zeroed).
    ///
    /// # Errors
    /// Those of both.
    pub fn open_or_create_zeroed<T: Shared>(&self, name: impl AsRef<OsStr>) -> Result<Segment<T>> {
        self.at(Place::parse(name)?, true, Some(zeros::<T>()))
    }

    /// Makes one without a name, in a sealed memfd.
    ///
    /// # Errors
    /// `Limit` when there is no room.
    pub fn anonymous<T: Shared>(&self, value: T) -> Result<Segment<T>> {
        self.without_name(New::Value(|| value))
    }

    /// Makes one without a name of zeros, see [`create_zeroed`](Self::create_zeroed).
    ///
    /// # Errors
    /// `Limit` when there is no room.
    pub fn anonymous_zeroed<T: Shared>(&self) -> Result<Segment<T>> {
        self.without_name(zeros::<T>())
    }

    fn without_name<T: Shared>(&self, new: New<impl FnOnce() -> T>) -> Result<Segment<T>> {
        self.can_make::<T>("")?;
        let pages = file::anonymous(self, Value::new(Some(new)))?;
        Ok(Segment::new(self, pages, None))
    }

    /// Opens the one that a descriptor was received for.
    ///
    /// # Errors
    /// As for [`open`](Self::open), and `Unsupported` for a memfd that a peer could shrink, which would kill this process.
    pub fn from_fd<T: Shared>(&self, file: impl Into<OwnedFd>) -> Result<Segment<T>> {
        self.fits::<T>("")?;
        let content = Value::new(None::<New<fn() -> T>>);
        let pages = file::received(self, file.into(), &content)?;
        Ok(Segment::new(self, pages, None))
    }

    fn at<T: Shared>(
        &self,
        place: Place,
        exists: bool,
        new: Option<New<impl FnOnce() -> T>>,
    ) -> Result<Segment<T>> {
        match new {
            Some(_) => self.can_make::<T>(&place.to_string())?,
            None => self.fits::<T>(&place.to_string())?,
        }
        match place.path() {
            Some(path) => {
                let verb = match (exists, new.is_some()) {
                    (false, _) => Verb::Create,
                    (true, true) => Verb::Either,
                    (true, false) => Verb::Open,
                };
                let pages = file::at(self, &place, &path, verb, Value::new(new))?;
                Ok(Segment::new(self, pages, Some(place)))
            }
            None => key::at(self, place, exists, new),
        }
    }

    /// Whether a segment of `T` can keep what is asked.
    fn fits<T: Shared>(&self, label: &str) -> Result<()> {
        let refuse = |why: String| Error::new(Kind::BadInput, "open", "segment", label, why);
        if self.trust == Trust::Nobody && !T::WARY {
            let why = format!(
                "{} hands out references to memory that a hostile peer could change meanwhile",
                std::any::type_name::<T>()
            );
            return Err(refuse(why)
                .with_hint("with Trust::Nobody use atomics, and gates that copy in and out"));
        }
        if align_of::<T>() > VALUE {
            return Err(refuse(format!(
                "a value in a segment is aligned to at most {VALUE} bytes"
            )));
        }
        Ok(())
    }

    /// How the gates of a new segment notice death.
    fn way_of_death(&self) -> Death {
        match self.death {
            _ if self.trust == Trust::Nobody => Death::Watched,
            Some(death) => death,
            None if robust::current().has_list() => Death::Kernel,
            None => Death::Watched,
        }
    }

    /// Whether a new segment of `T` can keep what is asked.
    fn can_make<T: Shared>(&self, label: &str) -> Result<()> {
        self.fits::<T>(label)?;
        if self.way_of_death() == Death::Kernel && !robust::current().has_list() {
            let why = "the kernel has no robust list of this thread that our locks could join";
            return Err(
                Error::new(Kind::Unsupported, "create", "segment", label, why)
                    .with_hint("create it with Death::Watched"),
            );
        }
        Ok(())
    }
}

/// One value in many processes.
pub struct Segment<T: Shared> {
    pages: Pages,
    place: Option<Place>,
    /// The process that removes the name.
    temporary: Option<Holder>,
    value: PhantomData<T>,
}

// SAFETY: it gives `&T` and nothing else of what lies in the memory, and `T` is `Sync`.
unsafe impl<T: Shared> Send for Segment<T> {}
// SAFETY: as above.
unsafe impl<T: Shared> Sync for Segment<T> {}

impl<T: Shared> Segment<T> {
    /// Makes a new one, see [`Options::create`].
    ///
    /// # Errors
    /// As there.
    pub fn create(name: impl AsRef<OsStr>, value: T) -> Result<Self> {
        Options::new().create(name, value)
    }

    /// Opens one that exists, see [`Options::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::new().open(name)
    }

    /// Opens the one that exists or makes it, see [`Options::open_or_create`].
    ///
    /// # Errors
    /// As there.
    pub fn open_or_create(name: impl AsRef<OsStr>, value: impl FnOnce() -> T) -> Result<Self> {
        Options::new().open_or_create(name, value)
    }

    /// Makes one without a name, to be inherited or passed as a descriptor.
    ///
    /// # Errors
    /// `Limit` when there is no room.
    pub fn anonymous(value: T) -> Result<Self> {
        Options::new().anonymous(value)
    }

    /// Opens the one that a descriptor was received for, see [`Options::from_fd`].
    ///
    /// # Errors
    /// As there.
    pub fn from_fd(file: impl Into<OwnedFd>) -> Result<Self> {
        Options::new().from_fd(file)
    }

    /// Removes a name. Who has the segment open keeps it.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`.
    #[doc(alias("shm_unlink", "IPC_RMID"))]
    pub fn unlink(name: impl AsRef<OsStr>) -> Result<()> {
        remove(&Place::parse(name)?)
    }

    /// Where it lies, if it has a name.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The descriptor behind it, to be sent to another process; System V memory has none.
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pages.object()
    }

    /// Whether all of it is still there. Whoever may write a file, or POSIX shared memory, can truncate it; a sealed one (without a
    /// name) and System V memory cannot be. With [`Trust::Nobody`] what is gone reads as zeros that only this process sees, so ask
    /// before what was read is believed; with [`Trust::Peers`] the next access to it ends the process (SIGBUS).
    ///
    /// # Errors
    /// `Corrupt` when somebody truncated it since it was opened. What `fstat(2)` says.
    pub fn is_whole(&self) -> Result<()> {
        match self.pages.truncated()? {
            None => Ok(()),
            Some(now) => {
                let why = format!("somebody truncated it; it has {now} bytes now");
                Err(self
                    .pages
                    .error(Kind::Corrupt, "use", why)
                    .with_hint("remove it and create it again"))
            }
        }
    }

    fn new(options: &Options, mut pages: Pages, place: Option<Place>) -> Self {
        if options.trust == Trust::Nobody {
            pages.bear_truncation();
        }
        Segment {
            pages,
            place,
            temporary: options.temporary.then(Holder::process),
            value: PhantomData,
        }
    }
}

impl<T: Shared> Deref for Segment<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the pages hold a T at VALUE: the creator wrote it before the state said so, and the header was
        // checked. They stay mapped as long as this lives. Peers change it only as `Shared` allows.
        unsafe { self.pages.base().add(VALUE).cast::<T>().as_ref() }
    }
}

impl<T: Shared> Drop for Segment<T> {
    fn drop(&mut self) {
        // What somebody truncated away cannot be asked.
        if self.is_whole().is_err() || self.in_use() {
            // A guard was leaked, perhaps: the kernel will look at its lock when the thread ends.
            self.pages.keep();
        }
        if self.temporary == Some(Holder::process())
            && let Some(place) = &self.place
        {
            // Somebody may have removed it already.
            let _ = remove(place);
        }
    }
}

impl<T: Shared> fmt::Debug for Segment<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Segment");
        debug
            .field("of", &std::any::type_name::<T>())
            .field("at", &self.place)
            .finish_non_exhaustive()
    }
}

/// Zeros, where they are a value.
fn zeros<T: Shared>() -> New<fn() -> T> {
    const { assert!(T::ZEROS, "zeros are no new value of this type") };
    New::Zeros
}

fn remove(place: &Place) -> Result<()> {
    match place.path() {
        Some(path) => std::fs::remove_file(path)
            .map_err(|cause| place.facility.failed("remove", &place.name, cause)),
        None => key::remove(place),
    }
}
