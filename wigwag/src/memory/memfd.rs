//! memfd: a region without a name, passed as a descriptor and sealed against change.
//!
//! The one kind of shared memory that is safe against a hostile peer: sealed against shrinking, which is the default
//! here, nobody can take its pages away. The order of steps: create, pass the descriptor (inherited, or over a
//! Unix socket), [`Memfd::from_fd`] at the other end, which refuses one that is not sealed.
//!
//! ```
//! use wigwag::memory::{Region, memfd::{Memfd, Seals}};
//!
//! let ours = Memfd::create("frames", 4096)?;
//! ours.write_at(0, b"hello")?;
//! ours.add_seals(Seals::FUTURE_WRITE)?; // we go on writing, nobody else does
//! let theirs = Memfd::from_fd(ours.try_clone_fd()?)?;
//! let mut bytes = [0; 5];
//! theirs.read_at(0, &mut bytes)?;
//! assert_eq!(&bytes, b"hello");
//! assert!(theirs.write_at(0, b"adieu").is_err());
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `memfd_create(2)`, `F_ADD_SEALS` in `fcntl(2)`

use std::fmt;
use std::ops::BitOr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create};
use rustix::io::Errno;

use super::mapping::{self, Size};
use super::object;
use super::{Access, Mapping, Region, huge};
use crate::error::{Error, Kind, Result};
use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees};
use crate::limit;
use crate::name::Name;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "memfd",
    title: "anonymous file (memfd)",
    noun: "memfd",
    family: Family::Memory,
    naming: Naming::Unnamed,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: None,
    direction: Some(Direction::Many),
    reach: Reach::Related,
    pollable: false,
    named_by: "– (inherited or passed as a descriptor)",
    lives: "last process",
    carries: "a mapped region",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        limit::MAPS,
        object::FILE_SIZE,
    ],
    guarantees: Guarantees {
        durability: Durability::Process,
        ..Guarantees::MEMORY
    },
    man: "memfd_create(2)",
};

/// What nobody may do any more with an object; once added, a seal stays.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[doc(alias = "F_ADD_SEALS")]
pub struct Seals(SealFlags);

impl Seals {
    /// None.
    pub const NONE: Self = Seals(SealFlags::empty());
    /// Making it smaller.
    #[doc(alias = "F_SEAL_SHRINK")]
    pub const SHRINK: Self = Seals(SealFlags::SHRINK);
    /// Making it larger.
    #[doc(alias = "F_SEAL_GROW")]
    pub const GROW: Self = Seals(SealFlags::GROW);
    /// Changing its bytes; refused as long as anybody has it mapped for writing.
    #[doc(alias = "F_SEAL_WRITE")]
    pub const WRITE: Self = Seals(SealFlags::WRITE);
    /// Changing its bytes except through the maps that are there.
    #[doc(alias = "F_SEAL_FUTURE_WRITE")]
    pub const FUTURE_WRITE: Self = Seals(SealFlags::FUTURE_WRITE);
    /// Adding seals.
    #[doc(alias = "F_SEAL_SEAL")]
    pub const SEAL: Self = Seals(SealFlags::SEAL);
    /// Any other size than it has.
    pub const RESIZE: Self = Seals(SealFlags::SHRINK.union(SealFlags::GROW));

    /// Whether all of `other` are among these.
    #[must_use]
    pub fn contains(self, other: Seals) -> bool {
        self.0.contains(other.0)
    }
}

impl BitOr for Seals {
    type Output = Seals;
    fn bitor(self, other: Seals) -> Seals {
        Seals(self.0 | other.0)
    }
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a [`Memfd`] is made.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    seals: Seals,
    huge: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seals: Seals::RESIZE,
            huge: None,
        }
    }
}

impl Options {
    /// The defaults: sealed against any other size, ordinary pages.
    pub fn new() -> Self {
        Options::default()
    }

    /// The seals it has from the start, instead of [`Seals::RESIZE`]. Without [`Seals::SHRINK`]
    /// it can be resized, by a peer too.
    pub fn seals(mut self, seals: Seals) -> Self {
        self.seals = seals;
        self
    }

    /// Made of huge pages of so many bytes, one of [`huge::sizes`].
    #[doc(alias = "MFD_HUGETLB")]
    pub fn huge(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.huge = bytes.into();
        self
    }

    /// Makes it; `label` is seen by people only, in `/proc/PID/maps` and `/proc/PID/fd`.
    ///
    /// # Errors
    /// As [`Memfd::create`]; `Unsupported` or `Limit` when there are no such huge pages.
    pub fn create(&self, label: &str, len: u64) -> Result<Memfd> {
        // A path is what people see it as: /memfd:label.
        let name = Name::Path(label.into());
        let size = mapping::mappable(len, &FACILITY, &name)?;
        let mut flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        if let Some(bytes) = self.huge {
            let bits = huge::size_bits(bytes, len, &FACILITY, &name)?;
            flags |= MemfdFlags::HUGETLB | MemfdFlags::from_bits_retain(bits);
        }
        let failed = |errno: Errno| {
            let error = FACILITY.failed("create", label, errno);
            match self.huge {
                Some(bytes) if matches!(errno, Errno::NOMEM | Errno::NOSPC) => {
                    huge::explain(error, bytes)
                }
                _ => error,
            }
        };
        let object = memfd_create(label, flags).map_err(|errno| match errno {
            Errno::INVAL => FACILITY.error(
                Kind::BadName,
                "create",
                label,
                "a label has at most 249 bytes and no NUL",
            ),
            errno => failed(errno),
        })?;
        object::allocate(object.as_fd(), len).map_err(failed)?;
        // Seals against writing would forbid our own map: they come after it.
        let writing = Seals::WRITE | Seals::SEAL | Seals::FUTURE_WRITE;
        fcntl_add_seals(&object, self.seals.0.difference(writing.0)).map_err(failed)?;
        let shrinks = size_of_object(self.seals);
        let mapping = Mapping::of(object, size, Access::ReadWrite, shrinks, &FACILITY, name)?;
        let memfd = Memfd {
            mapping: Arc::new(mapping),
        };
        memfd.add_seals(Seals(self.seals.0.intersection(writing.0)))?;
        Ok(memfd)
    }
}

/// A region without a name.
#[derive(Debug)]
#[doc(alias = "memfd_create")]
pub struct Memfd {
    mapping: Arc<Mapping>,
}

impl Memfd {
    /// Makes one of `len` zero bytes that nobody can resize; `label` is for people, in `/proc`.
    ///
    /// # Errors
    /// `Limit` when there are too many descriptors, maps, or too little memory; `BadInput` when it would be empty.
    pub fn create(label: &str, len: u64) -> Result<Self> {
        Options::default().create(label, len)
    }

    /// Maps one that somebody passed to us: for writing if that is allowed, else for reading.
    ///
    /// # Errors
    /// `Corrupt` when it is not sealed against shrinking: whoever passed it could take the pages
    /// away. `BadInput` when it is nothing that can be mapped.
    pub fn from_fd(object: OwnedFd) -> Result<Self> {
        let seals =
            seals_of(object.as_fd()).map_err(|errno| FACILITY.failed("inspect", "", errno))?;
        if !seals.contains(Seals::SHRINK) {
            return Err(FACILITY
                .error(
                    Kind::Corrupt,
                    "trust",
                    "",
                    "it is not sealed against shrinking",
                )
                .with_hint("its maker must add Seals::SHRINK; or take it with from_unsealed_fd"));
        }
        Self::received(object)
    }

    /// The same without requiring a seal. If a peer shrinks it, copies fail with `Corrupt`; but do
    /// not put semaphores or locks into it unless every peer is trusted.
    ///
    /// # Errors
    /// `BadInput` when it is nothing that can be mapped.
    pub fn from_unsealed_fd(object: OwnedFd) -> Result<Self> {
        Self::received(object)
    }

    fn received(object: OwnedFd) -> Result<Self> {
        let failed = |errno| FACILITY.failed("inspect", "", errno);
        let len = fstat(&object).map_err(failed)?.st_size.cast_unsigned();
        let len = mapping::mappable(len, &FACILITY, &Name::None)?;
        // An object that has no seals is none of ours, but may be mapped all the same.
        let seals = seals_of(object.as_fd()).unwrap_or(Seals::NONE);
        let flags = rustix::fs::fcntl_getfl(&object).map_err(failed)?;
        let sealed = seals.contains(Seals::WRITE) || seals.contains(Seals::FUTURE_WRITE);
        let access = match flags & rustix::fs::OFlags::RWMODE {
            rustix::fs::OFlags::RDWR if !sealed => Access::ReadWrite,
            _ => Access::ReadOnly,
        };
        let mapping = Mapping::of(
            object,
            len,
            access,
            size_of_object(seals),
            &FACILITY,
            Name::None,
        )?;
        Ok(Memfd {
            mapping: Arc::new(mapping),
        })
    }

    /// Its seals.
    ///
    /// # Errors
    /// `Unsupported` when the object cannot have any.
    #[doc(alias = "F_GET_SEALS")]
    pub fn seals(&self) -> Result<Seals> {
        seals_of(self.as_fd()).map_err(|errno| self.mapping.failed("inspect", errno))
    }

    /// Adds seals, for ever and for everybody.
    ///
    /// # Errors
    /// `PermissionDenied` when it is sealed against that; `WouldBlock` for [`Seals::WRITE`] as long
    /// as it is mapped for writing, which our own map is.
    #[doc(alias = "F_ADD_SEALS")]
    pub fn add_seals(&self, seals: Seals) -> Result<()> {
        if seals == Seals::NONE {
            return Ok(());
        }
        fcntl_add_seals(self.as_fd(), seals.0).map_err(|errno| self.seal_failed(errno))
    }

    #[cold]
    fn seal_failed(&self, errno: Errno) -> Error {
        match errno {
            Errno::BUSY => self
                .mapping
                .error(
                    Kind::WouldBlock,
                    "seal",
                    "somebody has it mapped for writing",
                )
                .with_hint("use Seals::FUTURE_WRITE, or make_constant if it is our own map"),
            errno => self.mapping.failed("seal", errno),
        }
    }

    /// Seals it against writing, for ever and for everybody, and maps it for reading only.
    ///
    /// # Errors
    /// `WouldBlock` while another process has it mapped for writing, and `BadInput` while something
    /// in this process uses the map: then nothing has changed.
    pub fn make_constant(&mut self) -> Result<()> {
        if Arc::get_mut(&mut self.mapping).is_none() {
            let why = "something in this process uses it";
            return Err(self.mapping.error(Kind::BadInput, "make constant", why));
        }
        let size = size_of_object(self.seals()?);
        // Mapped through a descriptor that could write, even a read-only map counts as one that writes.
        let path = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&self.as_fd())
        );
        let reader = object::open(path.as_ref(), Access::ReadOnly, rustix::fs::OFlags::empty())
            .map_err(|errno| self.mapping.failed("make constant", errno))?;
        let writer = self.try_clone_fd()?;
        self.mapping = Arc::new(self.remapped(reader, Access::ReadOnly, size)?);
        let Err(errno) = fcntl_add_seals(&writer, SealFlags::WRITE) else {
            return Ok(());
        };
        self.mapping = Arc::new(self.remapped(writer, Access::ReadWrite, size)?);
        Err(self.seal_failed(errno))
    }

    fn remapped(&self, object: OwnedFd, access: Access, size: Size) -> Result<Mapping> {
        let (len, name) = (self.mapping.len(), self.mapping.name().clone());
        Mapping::of(object, len, access, size, &FACILITY, name)
    }

    /// Changes its size and maps it anew. Everything that lies inside keeps the old map.
    ///
    /// # Errors
    /// `PermissionDenied` when it is sealed against that; `BadInput` when it would shrink under
    /// something that lies inside it; `Limit` when there is no memory.
    #[doc(alias = "ftruncate")]
    pub fn resize(&mut self, len: u64) -> Result<()> {
        mapping::resize(&mut self.mapping, len)
    }

    /// A second descriptor of the same object, to be passed on.
    ///
    /// # Errors
    /// `Limit` when there are too many.
    pub fn try_clone_fd(&self) -> Result<OwnedFd> {
        self.as_fd()
            .try_clone_to_owned()
            .map_err(|cause| FACILITY.failed("duplicate", self.mapping.name(), cause))
    }
}

impl Region for Memfd {
    #[inline]
    fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }
}

impl AsFd for Memfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mapping.object_fd()
    }
}

fn seals_of(object: BorrowedFd<'_>) -> rustix::io::Result<Seals> {
    fcntl_get_seals(object).map(Seals)
}

fn size_of_object(seals: Seals) -> Size {
    if seals.contains(Seals::SHRINK) {
        Size::Fixed
    } else {
        Size::Faults
    }
}
