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
//! let ours = Options::default().mode(0o600).temporary(true).create(&name, 4096)?;
//! let theirs = SharedMemory::open(&name)?; // in another process
//! ours.write_at(8, b"hello")?;
//! let mut bytes = [0; 5];
//! theirs.read_at(8, &mut bytes)?;
//! assert_eq!(&bytes, b"hello");
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `shm_overview(7)`, `shm_open(3)`, `mmap(2)`, `O_TMPFILE` in `open(2)`

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, fstat, linkat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::mapping::{self, Size};
use super::{Access, Mapping, Region};
use crate::error::{Kind, Result};
use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees};
use crate::limit;
use crate::name::Name;

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
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, limit::MAPS],
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
    mode: u32,
    access: Access,
    temporary: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: 0o600,
            access: Access::ReadWrite,
            temporary: false,
        }
    }
}

impl Options {
    /// Who else may open a new one, less the umask; 0600 otherwise.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
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
    pub fn create(&self, name: impl AsRef<[u8]>, len: u64) -> Result<SharedMemory> {
        self.create_named(&Name::parse(&FACILITY, name.as_ref())?, len)
    }

    /// Opens one that exists, with the size it has.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`; `BadInput` when it is empty, as one is that another program has
    /// created and not yet given a size.
    #[doc(alias = "shm_open")]
    pub fn open(&self, name: impl AsRef<[u8]>) -> Result<SharedMemory> {
        self.open_named(&Name::parse(&FACILITY, name.as_ref())?)
    }

    /// Opens the one that exists, or makes it.
    ///
    /// # Errors
    /// As for both; `BadInput` when the one that exists has fewer than `len` bytes.
    pub fn open_or_create(&self, name: impl AsRef<[u8]>, len: u64) -> Result<SharedMemory> {
        self.open_or_create_named(&Name::parse(&FACILITY, name.as_ref())?, len)
    }

    pub(crate) fn create_named(&self, name: &Name, len: u64) -> Result<SharedMemory> {
        let label = name.to_string();
        let size = mapping::mappable(len, &FACILITY, &label)?;
        let failed = |errno| match errno {
            Errno::NOSPC => FACILITY
                .failed("create", &label, errno)
                .with_kind(Kind::Limit)
                .with_detail(free_space()),
            errno => FACILITY.failed("create", &label, errno),
        };
        // Without write permission it could not get its pages; what the map allows is another matter.
        let object = new_object(&path(name), self.mode, len).map_err(failed)?;
        SharedMemory::of(
            object,
            size,
            self.access,
            self.temporary.then(|| name.clone()),
            &label,
        )
    }

    pub(crate) fn open_named(&self, name: &Name) -> Result<SharedMemory> {
        let label = name.to_string();
        let failed = |errno| match errno {
            Errno::LOOP => FACILITY.error(Kind::BadName, "open", &label, "it is a symbolic link"),
            errno => FACILITY.failed("open", &label, errno),
        };
        let way = match self.access {
            Access::ReadOnly => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        let flags = way | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let object = openat(CWD, path(name), flags, Mode::empty()).map_err(failed)?;
        let size = fstat(&object).map_err(failed)?.st_size.cast_unsigned();
        let size = mapping::mappable(size, &FACILITY, &label)?;
        SharedMemory::of(
            object,
            size,
            self.access,
            self.temporary.then(|| name.clone()),
            &label,
        )
    }

    pub(crate) fn open_or_create_named(&self, name: &Name, len: u64) -> Result<SharedMemory> {
        loop {
            // Opening first: O_CREAT on somebody else's object is refused in a sticky directory
            // (fs.protected_regular), plain opening is not.
            match self.open_named(name) {
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
                Ok(found) if (found.len() as u64) < len => {
                    let why = format!("it exists with {} bytes, fewer than {len}", found.len());
                    return Err(found.mapping.error(Kind::BadInput, "open", why));
                }
                Ok(found) => return Ok(found),
            }
            match self.create_named(name, len) {
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
    /// The name to remove on drop.
    temporary: Option<Name>,
}

impl SharedMemory {
    /// Makes a new one of `len` zero bytes for this user only.
    ///
    /// # Errors
    /// As [`Options::create`].
    pub fn create(name: impl AsRef<[u8]>, len: u64) -> Result<Self> {
        Options::default().create(name, len)
    }

    /// Opens one that exists, with the size it has, for reading and writing.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(name: impl AsRef<[u8]>) -> Result<Self> {
        Options::default().open(name)
    }

    /// Opens the one that exists, or makes it.
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create(name: impl AsRef<[u8]>, len: u64) -> Result<Self> {
        Options::default().open_or_create(name, len)
    }

    /// Removes a name. Whoever has the region open keeps it.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`; `BadName`.
    #[doc(alias = "shm_unlink")]
    pub fn unlink(name: impl AsRef<[u8]>) -> Result<()> {
        Self::unlink_named(&Name::parse(&FACILITY, name.as_ref())?)
    }

    pub(crate) fn unlink_named(name: &Name) -> Result<()> {
        unlinkat(CWD, path(name), AtFlags::empty())
            .map_err(|errno| FACILITY.failed("remove", name, errno))
    }

    fn of(
        object: OwnedFd,
        len: usize,
        access: Access,
        temporary: Option<Name>,
        label: &str,
    ) -> Result<Self> {
        let mapping = Mapping::of(object, len, access, Size::Faults, &FACILITY, label);
        match mapping {
            Ok(mapping) => Ok(SharedMemory {
                mapping: Arc::new(mapping),
                temporary,
            }),
            Err(error) => {
                if let Some(name) = temporary {
                    let _ = Self::unlink_named(&name);
                }
                Err(error)
            }
        }
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

    /// The size of the object now, in bytes; another process may have changed it.
    ///
    /// # Errors
    /// What `fstat(2)` says.
    pub fn object_len(&self) -> Result<u64> {
        Ok(self.mapping.object_len()?.unwrap_or(0))
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

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let Some(name) = self.temporary.take() else {
            return;
        };
        // Somebody may have removed the name and made another object of it: that one is not ours to remove.
        let named = statat(CWD, path(&name), AtFlags::SYMLINK_NOFOLLOW);
        if let (Ok(ours), Ok(named)) = (fstat(self.as_fd()), named)
            && identity(&ours) == identity(&named)
        {
            let _ = Self::unlink_named(&name);
        }
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn path(name: &Name) -> Vec<u8> {
    [DIRECTORY.as_bytes(), &name.to_bytes()].concat()
}

/// An object with its pages, then with its name.
fn new_object(path: &[u8], mode: u32, len: u64) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode);
    match openat(CWD, DIRECTORY, flags | OFlags::TMPFILE, mode) {
        Ok(object) => {
            mapping::allocate(object.as_fd(), len)?;
            let unnamed = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&object));
            match linkat(CWD, unnamed, CWD, path, AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return Ok(object),
                // No /proc here: the name must come first.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        // Not a tmpfs, or an old one.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let object = openat(
        CWD,
        path,
        flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW,
        mode,
    )?;
    mapping::allocate(object.as_fd(), len).inspect_err(|_| {
        let _ = unlinkat(CWD, path, AtFlags::empty());
    })?;
    Ok(object)
}

fn free_space() -> String {
    match rustix::fs::statvfs(DIRECTORY) {
        Ok(stat) => format!(
            "{DIRECTORY} has {} bytes free",
            stat.f_bavail * stat.f_frsize
        ),
        Err(_) => format!("see df {DIRECTORY}"),
    }
}
