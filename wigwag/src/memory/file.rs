//! Memory-mapped file: a region that survives a reboot, once flushed.
//!
//! Any program that may write the file can truncate it under the map. That is never a crash nor silent loss
//! here: after each copy the file's size is asked for, and one that no longer holds the copied range
//! is `Corrupt`. Where every writer is trusted not to truncate, [`Options::trust_size`] saves that system
//! call; pages that are gone are noticed even then, the rest of the new last page is not until [`Region::flush`].
//!
//! ```
//! use wigwag::memory::{Region, file::MappedFile};
//!
//! # let path = std::env::temp_dir().join(format!("wigwag-doc-{}", std::process::id()));
//! let ours = MappedFile::create(&path, 4096)?;
//! ours.write_at(0, b"kept")?;
//! ours.flush()?; // from here on it survives a power cut
//! assert!(std::fs::read(&path).unwrap().starts_with(b"kept"));
//! MappedFile::unlink(&path)?;
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `mmap(2)`, `msync(2)`, `fallocate(2)`

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::mapping::{self, Size};
use super::object::{self, Stat, Temporary};
use super::{Access, Mapping, Region};
use crate::error::{Kind, Result};
use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees};
use crate::limit;
use crate::name::Name;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "file",
    title: "memory-mapped file",
    noun: "mapped file",
    family: Family::Memory,
    naming: Naming::Path,
    unnamed_form: false,
    persistence: Persistence::FileSystem,
    boundary: None,
    direction: Some(Direction::Many),
    reach: Reach::Host,
    pollable: false,
    named_by: "path",
    lives: "deleted from the file system: survives a reboot",
    carries: "a mapped region",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        limit::MAPS,
        object::FILE_SIZE,
    ],
    guarantees: Guarantees {
        durability: Durability::Disk,
        ..Guarantees::MEMORY
    },
    man: "mmap(2)",
};

/// How a file is made or opened.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    mode: Option<u32>,
    access: Access,
    temporary: bool,
    size: Size,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: None,
            access: Access::ReadWrite,
            temporary: false,
            size: Size::Checked,
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

    /// Whether the file is deleted when this handle is dropped. If the process is killed first, it stays.
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    /// Whether nobody truncates the file while it is mapped, so that its size need not be asked for after each copy.
    pub fn trust_size(mut self, trust: bool) -> Self {
        self.size = if trust { Size::Faults } else { Size::Checked };
        self
    }

    /// Makes a new file of `len` zero bytes.
    ///
    /// # Errors
    /// `AlreadyExists`; `Limit` when the disk is full; `BadName`; `PermissionDenied`; `NotFound` when
    /// there is no such directory.
    pub fn create(&self, path: impl AsRef<Path>, len: u64) -> Result<MappedFile> {
        self.create_holding(path.as_ref(), len, &[])
    }

    /// Makes one that begins with these bytes from the moment it has its name.
    pub(crate) fn create_holding(
        &self,
        path: &Path,
        len: u64,
        contents: &[u8],
    ) -> Result<MappedFile> {
        let name = parse(path)?;
        let size = mapping::mappable(len, &FACILITY, &name)?;
        let object = object::create(path, self.mode, len, contents).map_err(|errno| {
            let error = FACILITY.failed("create", &name, errno);
            match errno {
                Errno::NOSPC => error.with_detail(object::free_space(path)),
                _ => error,
            }
        })?;
        MappedFile::of(object, size, self, name, path, true)
    }

    /// Maps a file that exists, with the size it has.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`; `BadInput` when it is empty or no regular file.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<MappedFile> {
        let path = path.as_ref();
        let name = parse(path)?;
        let failed = |errno| FACILITY.failed("open", &name, errno);
        let refuse = |why| FACILITY.error(Kind::BadInput, "open", &name, why);
        let opened = object::open(path, self.access, OFlags::empty());
        let object = opened.map_err(|errno| match errno {
            Errno::ISDIR => refuse("it is a directory"),
            Errno::NXIO => refuse("it is no regular file"),
            errno => failed(errno),
        })?;
        let len = match object::regular(object.as_fd()).map_err(failed)? {
            Ok(len) => mapping::mappable(len, &FACILITY, &name)?,
            Err(other) => return Err(refuse(other)),
        };
        MappedFile::of(object, len, self, name, path, false)
    }

    /// Maps the one that exists, or makes it.
    ///
    /// # Errors
    /// As for both; `BadInput` when the one that exists has fewer than `len` bytes.
    pub fn open_or_create(&self, path: impl AsRef<Path>, len: u64) -> Result<MappedFile> {
        let path = path.as_ref();
        loop {
            match self.open(path) {
                Err(error) if error.kind() == Kind::NotFound => {}
                Ok(found) if (found.len() as u64) < len => {
                    let why = format!("it exists with {} bytes, fewer than {len}", found.len());
                    return Err(found.mapping.error(Kind::BadInput, "open", why));
                }
                done => return done,
            }
            match self.create(path, len) {
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                done => return done,
            }
        }
    }
}

/// A region that is a file.
#[derive(Debug)]
#[doc(alias = "mmap")]
pub struct MappedFile {
    mapping: Arc<Mapping>,
    /// Whether the directory must be flushed too, since the name is new.
    new: AtomicBool,
    _temporary: Option<Temporary>,
}

impl MappedFile {
    /// Makes a new file of `len` zero bytes for this user only.
    ///
    /// # Errors
    /// As [`Options::create`].
    pub fn create(path: impl AsRef<Path>, len: u64) -> Result<Self> {
        Options::default().create(path, len)
    }

    /// Maps a file that exists, with the size it has, for reading and writing.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::default().open(path)
    }

    /// Maps the one that exists, or makes it.
    ///
    /// # Errors
    /// As [`Options::open_or_create`].
    pub fn open_or_create(path: impl AsRef<Path>, len: u64) -> Result<Self> {
        Options::default().open_or_create(path, len)
    }

    /// Deletes a file. Whoever has it mapped keeps it.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`.
    pub fn unlink(path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        object::unlink(path).map_err(|errno| FACILITY.failed("delete", path.display(), errno))
    }

    fn of(
        object: OwnedFd,
        len: usize,
        options: &Options,
        name: Name,
        path: &Path,
        new: bool,
    ) -> Result<Self> {
        let temporary = match options.temporary {
            true => Temporary::new(path, object.as_fd()).ok(),
            false => None,
        };
        let mapping = Mapping::of(object, len, options.access, options.size, &FACILITY, name)?;
        Ok(MappedFile {
            mapping: Arc::new(mapping),
            new: AtomicBool::new(new),
            _temporary: temporary,
        })
    }

    /// Waits until what was written in this range is on the disk.
    ///
    /// # Errors
    /// As [`Region::flush`]; `BadInput` when the range is not inside.
    #[doc(alias = "msync")]
    pub fn flush_range(&self, offset: usize, len: usize) -> Result<()> {
        self.mapping.flush(offset, len)?;
        if self.new.swap(false, Ordering::Relaxed) {
            self.flush_name()
                .inspect_err(|_| self.new.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    }

    /// A new file is not found after a power cut before its directory is on the disk (`fsync(2)`).
    fn flush_name(&self) -> Result<()> {
        let directory = match self.mapping.name().as_path().and_then(Path::parent) {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flush = || {
            let directory = object::open(directory, Access::ReadOnly, OFlags::DIRECTORY)?;
            rustix::io::retry_on_intr(|| rustix::fs::fsync(&directory))
        };
        match flush() {
            // A directory that may be written but not read, or on a file system that cannot flush one.
            Ok(()) | Err(Errno::ACCESS | Errno::INVAL) => Ok(()),
            Err(errno) => Err(self.mapping.failed("flush", errno)),
        }
    }

    /// Changes its size and maps it anew; other processes keep the map they have. Everything that
    /// lies inside keeps the old map.
    ///
    /// # Errors
    /// `Limit` when the disk is full; `BadInput` when it would shrink under something that lies inside it.
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

impl Region for MappedFile {
    #[inline]
    fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    fn flush(&self) -> Result<()> {
        self.flush_range(0, self.len())
    }
}

impl AsFd for MappedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mapping.object_fd()
    }
}

fn parse(path: &Path) -> Result<Name> {
    Name::parse(&FACILITY, path.as_os_str().as_bytes())
}
