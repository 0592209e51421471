//! Mapping: pages that other processes have too, reached by copies that no peer can turn into a crash.
//!
//! It owns the pages and the descriptor of the object behind them. Regions hold it in an `Arc`, and so
//! does everything that lies inside (a semaphore, a lock, a guard): the pages stay as long as anything may point there.
//!
//! Safe code never gets a reference to the bytes, because another process may write them at any moment; it copies
//! (the soundness of which is argued in `sys/copy.rs`). The pointer is for this crate's own types that
//! are made of atomics.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::fs::{fstat, ftruncate};
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, mmap_anonymous, msync, munmap};

use super::object;
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
use crate::name::Name;
use crate::sys;
use crate::sys::vanished::Watched;

/// What may be done with the bytes of a region through one map of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Access {
    /// Reading.
    ReadOnly,
    /// Reading and writing.
    #[default]
    ReadWrite,
}

/// Whether a peer can take pages away under the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Nobody can: the object has no size that can be changed, or is sealed.
    Fixed,
    /// A peer can; pages that are gone are noticed because they fault, and cost nothing until then.
    Faults,
    /// As before; and after each copy the size is asked for, so that not even the rest of the last
    /// page, which does not fault, is read or written after a truncation without an error.
    Checked,
}

/// How the pages came, and so how they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// By `mmap(2)`.
    Mapped,
    /// By `shmat(2)`.
    Attached,
}

/// Pages that other processes have too.
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
    access: Access,
    size: Size,
    came: Came,
    object: Option<OwnedFd>,
    facility: &'static Facility,
    name: Name,
}

// SAFETY: the pages belong to the process, not to a thread, and are reached only by copies and by atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above; no method hands out a reference to the bytes.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of `object`.
    pub(crate) fn of(
        object: OwnedFd,
        len: usize,
        access: Access,
        size: Size,
        facility: &'static Facility,
        name: Name,
    ) -> Result<Self> {
        let protection = match access {
            Access::ReadOnly => ProtFlags::READ,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        };
        if len == 0 {
            return Err(empty(facility, &name));
        }
        if size != Size::Fixed {
            sys::copy::protect();
        }
        // SAFETY: a new mapping at an address that the kernel chooses touches no existing memory.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                protection,
                MapFlags::SHARED,
                &object,
                0,
            )
        };
        let base = pages(base).map_err(|errno| facility.failed("map", &name, errno))?;
        Ok(Mapping {
            base,
            len,
            access,
            size,
            came: Came::Mapped,
            object: Some(object),
            facility,
            name,
        })
    }

    /// Maps new, zeroed pages that this process and its future children share.
    pub(crate) fn anonymous(
        len: usize,
        flags: MapFlags,
        facility: &'static Facility,
    ) -> Result<Self> {
        if len == 0 {
            return Err(empty(facility, &Name::None));
        }
        // SAFETY: as above.
        let base = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            mmap_anonymous(std::ptr::null_mut(), len, access, MapFlags::SHARED | flags)
        };
        let base = pages(base).map_err(|errno| facility.failed("map", "", errno))?;
        Ok(Mapping {
            base,
            len,
            access: Access::ReadWrite,
            size: Size::Fixed,
            came: Came::Mapped,
            object: None,
            facility,
            name: Name::None,
        })
    }

    /// Takes over a System V segment of `len` bytes that was attached at `base`.
    ///
    /// # Safety
    /// `base` is what `shmat(2)` returned for such a segment, and nobody else detaches it.
    pub(crate) unsafe fn attached(
        base: NonNull<u8>,
        len: usize,
        access: Access,
        facility: &'static Facility,
        name: Name,
    ) -> Self {
        Mapping {
            base,
            len,
            access,
            size: Size::Fixed,
            came: Came::Attached,
            object: None,
            facility,
            name,
        }
    }

    /// Its length in bytes.
    #[must_use]
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// What may be done with its bytes.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// The descriptor of the object behind it, where there is one.
    #[must_use]
    pub fn object(&self) -> Option<BorrowedFd<'_>> {
        self.object.as_ref().map(AsFd::as_fd)
    }

    /// The same where it is known to be there, by construction of the region.
    pub(crate) fn object_fd(&self) -> BorrowedFd<'_> {
        match &self.object {
            Some(object) => object.as_fd(),
            None => unreachable!("a region of an object has its descriptor"),
        }
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Where a `T` would lie at `offset`: inside, aligned, and writable. Valid as long as the mapping lives; for
    /// references to nothing but atomics and cells.
    pub(crate) fn place<T>(&self, offset: usize) -> Result<NonNull<T>> {
        if self.access != Access::ReadWrite {
            return Err(self.read_only());
        }
        if !offset.is_multiple_of(align_of::<T>()) {
            let why = format!("offset {offset} is not a multiple of {}", align_of::<T>());
            return Err(self.error(Kind::BadInput, "use", why));
        }
        self.check(offset, size_of::<T>())?;
        // SAFETY: `offset` is inside the mapping, as was just checked.
        Ok(unsafe { self.base.add(offset) }.cast())
    }

    /// Watches for pages that a peer takes away, where one can: they read as zeros then. To be dropped before the mapping.
    pub(crate) fn watched(&self) -> Option<Watched> {
        let can_vanish = self.size != Size::Fixed && self.came == Came::Mapped;
        // SAFETY: the whole mapping, of mmap; the caller keeps it longer. What reads zeros instead of ending the process
        // asks afterwards whether it did.
        can_vanish.then(|| unsafe { Watched::new(self.base, self.len) })
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// As [`Region::read_at`](super::Region::read_at).
    #[inline]
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        self.check(offset, bytes.len())?;
        // SAFETY: the range was checked to be inside the mapping, which is readable; `bytes` is exclusively borrowed, so
        // the two do not overlap (no reference to mapped bytes exists); `protect` was called if pages can go.
        let copied = unsafe {
            let from = self.base.add(offset).as_ptr();
            sys::copy::copy(bytes.as_mut_ptr(), from, bytes.len())
        };
        self.still_there(copied, "read", offset, bytes.len())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// As [`Region::write_at`](super::Region::write_at).
    #[inline]
    pub fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        if self.access != Access::ReadWrite {
            return Err(self.read_only());
        }
        self.check(offset, bytes.len())?;
        // SAFETY: as for reading, with a mapping that was just checked to be writable.
        let copied = unsafe {
            let to = self.base.add(offset).as_ptr();
            sys::copy::copy(to, bytes.as_ptr(), bytes.len())
        };
        self.still_there(copied, "write", offset, bytes.len())
    }

    /// Waits until what was written in this range is where the object keeps it.
    pub(crate) fn flush(&self, offset: usize, len: usize) -> Result<()> {
        self.check(offset, len)?;
        let start = offset - offset % page();
        // SAFETY: `start` is inside the mapping and a multiple of the page size; msync changes no bytes.
        let done = retry_on_intr(|| unsafe {
            let from = self.base.add(start).as_ptr().cast();
            msync(from, len + (offset - start), MsyncFlags::SYNC)
        });
        done.map_err(|errno| self.failed("flush", errno))?;
        match self.object_len()? {
            Some(now) if now < (offset + len) as u64 => Err(self.truncated("flush", offset, len)),
            _ => Ok(()),
        }
    }

    /// The present size of the object, which a peer may have changed.
    pub(crate) fn object_len(&self) -> Result<Option<u64>> {
        let Some(object) = &self.object else {
            return Ok(None);
        };
        let stat = fstat(object).map_err(|errno| self.failed("inspect", errno))?;
        Ok(Some(stat.st_size.cast_unsigned()))
    }

    /// The same object mapped again with another length; the old pages stay while anything uses them.
    pub(crate) fn again(&self, len: usize) -> Result<Self> {
        let Some(object) = &self.object else {
            return Err(self.error(Kind::Unsupported, "resize", "it has no descriptor"));
        };
        let object = object
            .try_clone()
            .map_err(|cause| self.facility.failed("resize", &self.name, cause))?;
        Self::of(
            object,
            len,
            self.access,
            self.size,
            self.facility,
            self.name.clone(),
        )
    }

    /// An error about this object.
    pub(crate) fn error(&self, kind: Kind, action: &'static str, why: impl Into<String>) -> Error {
        self.facility.error(kind, action, &self.name, why)
    }

    /// An error about this object with the system's cause.
    pub(crate) fn failed(&self, action: &'static str, errno: Errno) -> Error {
        self.facility.failed(action, &self.name, errno)
    }

    #[inline]
    fn check(&self, offset: usize, len: usize) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(self.outside(offset, len)),
        }
    }

    #[inline]
    fn still_there(
        &self,
        copied: bool,
        action: &'static str,
        offset: usize,
        len: usize,
    ) -> Result<()> {
        if copied && self.size != Size::Checked {
            return Ok(());
        }
        self.still_long_enough(copied, action, offset, len)
    }

    fn still_long_enough(
        &self,
        copied: bool,
        action: &'static str,
        offset: usize,
        len: usize,
    ) -> Result<()> {
        let now = self.object_len()?.unwrap_or(u64::MAX);
        match (copied, now >= (offset + len) as u64) {
            (true, true) => Ok(()),
            (_, false) => Err(self.truncated(action, offset, len)),
            (false, true) => Err(self
                .error(Kind::Limit, action, "a page of it could not be had")
                .with_hint("the file system or the pool of huge pages behind it is full, or the disk failed")),
        }
    }

    #[cold]
    fn truncated(&self, action: &'static str, offset: usize, len: usize) -> Error {
        let now = self.object_len().ok().flatten().unwrap_or(0);
        self.error(
            Kind::Corrupt,
            action,
            format!(
                "somebody truncated it to {now} bytes; bytes {offset} to {} are gone",
                offset + len
            ),
        )
    }

    #[cold]
    fn outside(&self, offset: usize, len: usize) -> Error {
        self.error(
            Kind::BadInput,
            "access",
            format!(
                "{len} bytes at offset {offset} are not inside its {} bytes",
                self.len
            ),
        )
    }

    #[cold]
    fn read_only(&self) -> Error {
        self.error(
            Kind::PermissionDenied,
            "write",
            "it was opened for reading only",
        )
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let base = self.base.as_ptr().cast();
        match self.came {
            // SAFETY: exactly what mmap returned; whoever points inside holds the Arc, so nobody does any more.
            Came::Mapped => drop(unsafe { munmap(base, self.len) }),
            // SAFETY: as above, with what shmat returned.
            Came::Attached => drop(unsafe { sys::shm::detach(base) }),
        }
    }
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping")
            .field("facility", &self.facility.id)
            .field("name", &self.name)
            .field("len", &self.len)
            .field("access", &self.access)
            .finish()
    }
}

/// mmap never returns null for an address that it chose itself; if it did, it would be no memory to use.
fn pages(mapped: rustix::io::Result<*mut std::ffi::c_void>) -> rustix::io::Result<NonNull<u8>> {
    NonNull::new(mapped?.cast()).ok_or(Errno::NOMEM)
}

/// Changes the size of the object and maps it anew.
pub(crate) fn resize(mapping: &mut Arc<Mapping>, len: u64) -> Result<()> {
    let size = mappable(len, mapping.facility, &mapping.name)?;
    if mapping.access != Access::ReadWrite {
        return Err(mapping.read_only());
    }
    let object = mapping.object_fd();
    if size < mapping.len() {
        if Arc::get_mut(mapping).is_none() {
            let why = "something in this process lies inside it";
            return Err(mapping.error(Kind::BadInput, "shrink", why));
        }
        retry_on_intr(|| ftruncate(mapping.object_fd(), len))
    } else {
        object::allocate(object, len)
    }
    .map_err(|errno| mapping.failed("resize", errno))?;
    *mapping = Arc::new(mapping.again(size)?);
    Ok(())
}

/// A length as a mapping can have it.
pub(crate) fn mappable(len: u64, facility: &'static Facility, name: &Name) -> Result<usize> {
    match usize::try_from(len) {
        Ok(0) => Err(empty(facility, name)),
        Ok(len) if len <= isize::MAX as usize => Ok(len),
        _ => Err(facility.error(
            Kind::TooBig,
            "map",
            name,
            format!("{len} bytes are more than an address space has"),
        )),
    }
}

#[cold]
fn empty(facility: &'static Facility, name: &Name) -> Error {
    facility
        .error(Kind::BadInput, "map", name, "it has no bytes")
        .with_hint("give it a size, such as size=64K; or its creator has not finished")
}

/// The size of a page in bytes.
pub(crate) fn page() -> usize {
    rustix::param::page_size()
}
