//! POSIX shared memory: a region under a name, gone at reboot.
//!
//! Its creation is one step: an object gets its size and all its pages before it gets its
//! name, so nobody ever opens a half-made one and a creator that is killed leaves nothing. Any program that
//! uses `shm_open(3)` sees it. A peer with the right to write can also truncate it: copies then fail with
//! `Corrupt`; but put semaphores and locks inside only if every such peer is trusted, else use a sealed
//! [`memfd`](super::memfd).
//!
//! ```
//! use wigwag::memory::{Region, posix::{Options, SharedMemory}};
//!
//! # let name = format!("/wigwag-doc-{}", std::process::id());
//! let ours = Options::new().mode(0o600).temporary(true).create(&name, 4096)?;
//! let theirs = SharedMemory::open(&name)?; // in another process
//! ours.write_at(8, b"hello")?;
//! let mut bytes = [0; 5];
//! theirs.read_at(8, &mut bytes)?;
//! assert_eq!(&bytes, b"hello");
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `shm_overview(7)`, `shm_open(3)`, `mmap(2)`, `O_TMPFILE` in `open(2)`

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::mapping::{self, Size};
use super::object::{self, Stat, Temporary};
use super::{Access, Mapping, Region};
use crate::error::{Kind, Result};
use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees};
use crate::limit;
use crate::name::{NAME_MAX, Name};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "shm",
    title: "POSIX shared memory",
    noun: "shared memory",
    family: Family::Memory,
    naming: Naming::Slash,
    unnamed_form: false,
    persistence: Persistence::Kernel,
    boundary: None,
    direction: Some(Direction::Many),
    reach: Reach::Host,
    pollable: false,
    named_by: "/name",
    lives: "unlink or reboot",
    carries: "a mapped region",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        limit::MAPS,
        object::FILE_SIZE,
    ],
    guarantees: Guarantees {
        durability: Durability::Kernel,
        ..Guarantees::MEMORY
    },
    man: "shm_overview(7)",
};

/// Where Linux keeps the names: a tmpfs that `shm_open(3)` of glibc and musl uses.
const DIRECTORY: &str = "/dev/shm";

/// How shared memory is made or opened.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    mode: Option<u32>,
    access: Access,
    temporary: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: None,
            access: Access::ReadWrite,
            temporary: false,
        }
    }
}

impl Options {
    /// The defaults: read and write, for this user only, kept.
    pub fn new() -> Self {
        Options::default()
    }

    /// Who else may open a new one: exactly this mode, whatever the umask. Otherwise 0600, less the umask.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// What this map of it is for.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Whether the name goes when this handle is dropped. If the process is killed first, it stays.
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    /// Makes a new one of `len` zero bytes.
    ///
    /// # Errors
    /// `AlreadyExists`; `Limit` when `/dev/shm` is full; `BadName`; `PermissionDenied`.
    #[doc(alias = "shm_open")]
    pub fn create(&self, name: impl AsRef<OsStr>, len: u64) -> Result<SharedMemory> {
        self.create_named(parse(name.as_ref())?, len)
    }

    /// Opens one that exists, with the size it has.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`; `BadInput` when it is empty, as one is that another program has
    /// created and not yet given a size.
    #[doc(alias = "shm_open")]
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<SharedMemory> {
        self.open_named(parse(name.as_ref())?)
    }

    /// Opens the one that exists, or makes it.
    ///
    /// # Errors
    /// As for both; `BadInput` when the one that exists has fewer than `len` bytes.
    pub fn open_or_create(&self, name: impl AsRef<OsStr>, len: u64) -> Result<SharedMemory> {
        self.open_or_create_named(&parse(name.as_ref())?, len)
    }

    pub(crate) fn create_named(&self, name: Name, len: u64) -> Result<SharedMemory> {
        self.create_holding(name, len, &[])
    }

    /// Makes one that begins with these bytes from the moment it has its name.
    pub(crate) fn create_holding(
        &self,
        name: Name,
        len: u64,
        contents: &[u8],
    ) -> Result<SharedMemory> {
        let path = path(&name);
        let size = mapping::mappable(len, &FACILITY, &name)?;
        let object = object::create(&path, self.mode, len, contents).map_err(|errno| {
            let error = FACILITY.failed("create", &name, errno);
            match errno {
                Errno::NOSPC => error.with_detail(object::free_space(&path)),
                _ => error,
            }
        })?;
        SharedMemory::of(object, size, self, name)
    }

    pub(crate) fn open_named(&self, name: Name) -> Result<SharedMemory> {
        let failed = |errno| match errno {
            Errno::LOOP => FACILITY.error(Kind::BadName, "open", &name, "it is a symbolic link"),
            errno => FACILITY.failed("open", &name, errno),
        };
        let object = object::open(&path(&name), self.access, OFlags::NOFOLLOW).map_err(failed)?;
        let len = object::stat(object.as_fd()).map_err(failed)?.len;
        let len = mapping::mappable(len, &FACILITY, &name)?;
        SharedMemory::of(object, len, self, name)
    }

    pub(crate) fn open_or_create_named(&self, name: &Name, len: u64) -> Result<SharedMemory> {
        loop {
            // Opening first: O_CREAT on somebody else's object is refused in a sticky directory
            // (fs.protected_regular), plain opening is not.
            match self.open_named(name.clone()) {
                Err(error) if error.kind() == Kind::NotFound => {}
                Ok(found) if (found.len() as u64) < len => {
                    let why = format!("it exists with {} bytes, fewer than {len}", found.len());
                    return Err(found.mapping.error(Kind::BadInput, "open", why));
                }
                done => return done,
            }
            match self.create_named(name.clone(), len) {
                // Somebody was faster: theirs is opened, unless it is gone again by then.
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                done => return done,
            }
        }
    }
}

/// A region under a name.
#[derive(Debug)]
#[doc(alias = "shm_open")]
pub struct SharedMemory {
    mapping: Arc<Mapping>,
    _temporary: Option<Temporary>,
}

impl SharedMemory {
    /// Makes a new one of `len` zero bytes for this user only.
    ///
    /// # Errors
    /// As [`Options::create`].
    pub fn create(name: impl AsRef<OsStr>, len: u64) -> Result<Self> {
        Options::default().create(name, len)
    }

    /// Opens one that exists, with the size it has, for reading and writing.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(name: impl AsRef<OsStr>) -> Result<Self> {
        Options::default().open(name)
    }

    /// Opens the one that exists, or makes it.
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create(name: impl AsRef<OsStr>, len: u64) -> Result<Self> {
        Options::default().open_or_create(name, len)
    }

    /// Removes a name. Whoever has the region open keeps it.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`; `BadName`.
    #[doc(alias = "shm_unlink")]
    pub fn unlink(name: impl AsRef<OsStr>) -> Result<()> {
        Self::unlink_named(&parse(name.as_ref())?)
    }

    pub(crate) fn unlink_named(name: &Name) -> Result<()> {
        object::unlink(&path(name)).map_err(|errno| FACILITY.failed("remove", name, errno))
    }

    fn of(object: OwnedFd, len: usize, options: &Options, name: Name) -> Result<Self> {
        let temporary = match options.temporary {
            true => Temporary::new(&path(&name), object.as_fd()).ok(),
            false => None,
        };
        let mapping = Mapping::of(object, len, options.access, Size::Faults, &FACILITY, name)?;
        Ok(SharedMemory {
            mapping: Arc::new(mapping),
            _temporary: temporary,
        })
    }

    /// Changes its size and maps it anew; other processes keep the map they have. Everything that
    /// lies inside keeps the old map.
    ///
    /// # Errors
    /// `Limit` when `/dev/shm` is full; `BadInput` when it would shrink under something that lies inside it.
    #[doc(alias = "ftruncate")]
    pub fn resize(&mut self, len: u64) -> Result<()> {
        mapping::resize(&mut self.mapping, len)
    }

    /// Its size now, its owner, and whether it still has a name.
    ///
    /// # Errors
    /// What `fstat(2)` says.
    #[doc(alias = "fstat")]
    pub fn stat(&self) -> Result<Stat> {
        object::stat(self.as_fd()).map_err(|errno| self.mapping.failed("inspect", errno))
    }
}

impl Region for SharedMemory {
    #[inline]
    fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mapping.object_fd()
    }
}

fn parse(name: &OsStr) -> Result<Name> {
    Name::parse(&FACILITY, name.as_bytes())
}

fn path(name: &Name) -> PathBuf {
    let mut bytes = Vec::with_capacity(DIRECTORY.len() + NAME_MAX + 1);
    bytes.extend_from_slice(DIRECTORY.as_bytes());
    match name {
        Name::Slash(name) => bytes.extend_from_slice(name),
        // None of this facility's.
        other => bytes.extend(other.to_bytes()),
    }
    PathBuf::from(OsString::from_vec(bytes))
}
