//! POSIX semaphores in regions: the unnamed form, at an offset that the programs agreed on.
//!
//! ```
//! use wigwag::gate::posix::Semaphore;
//! use wigwag::memory::memfd::Memfd;
//!
//! let region = Memfd::create("slots", 4096)?;
//! let ours = Semaphore::init(&region, 64, 0)?;
//! let theirs = Semaphore::attach(&region, 64)?; // in another process, also in C: (sem_t *)(base + 64)
//! ours.release()?;
//! theirs.acquire()?.forget();
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `sem_init(3)` with pshared, `sem_overview(7)`

use super::Region;
use super::anonymous::Anonymous;
use super::memfd::Memfd;
use crate::error::{Kind, Result};
use crate::gate::Gate;
use crate::gate::posix::{Options, Semaphore, UNNAMED};
use crate::opening::{Opening, Target};
use crate::sys::inherited;
use crate::sys::posix_sem::{Sem, sem_t};

/// How many bytes an unnamed semaphore takes; its offset is a multiple of 8.
pub const SEMAPHORE_SIZE: usize = size_of::<sem_t>();

impl Semaphore {
    /// Makes one with so many permits at this offset of a region. Do it once, before others attach: making it
    /// anew under somebody who waits leaves him waiting.
    ///
    /// # Errors
    /// `BadInput` when the offset is no multiple of 8 or [`SEMAPHORE_SIZE`] bytes do not fit there;
    /// `PermissionDenied` when the region is read-only; `Limit` when the value cannot be counted.
    #[doc(alias = "sem_init")]
    pub fn init(region: &impl Region, offset: usize, value: u32) -> Result<Self> {
        Options::new().init(region, offset, value)
    }

    /// Uses the one that a process, in whatever language, has made at this offset.
    ///
    /// **Trust**: whoever can write the region can spoil the count; and whoever can truncate it can crash those who
    /// use it, so let it lie in a sealed [`memfd`](super::memfd), in System V or anonymous memory,
    /// or in memory that only trusted programs can write.
    ///
    /// # Errors
    /// As [`init`](Self::init).
    pub fn attach(region: &impl Region, offset: usize) -> Result<Self> {
        Options::new().attach(region, offset)
    }
}

impl Options {
    /// Makes one in a region; mode and name are the region's.
    ///
    /// # Errors
    /// As [`Semaphore::init`].
    #[doc(alias = "sem_init")]
    pub fn init(
        &self,
        region: &(impl Region + ?Sized),
        offset: usize,
        value: u32,
    ) -> Result<Semaphore> {
        self.check_value("", value)?;
        let sem = place(region, offset)?;
        sem.init(value)
            .map_err(|errno| UNNAMED.failed("create", "", errno))?;
        Ok(Semaphore::in_memory(sem, self, region.mapping().clone()))
    }

    /// Uses one in a region.
    ///
    /// # Errors
    /// As [`Semaphore::attach`].
    pub fn attach(&self, region: &(impl Region + ?Sized), offset: usize) -> Result<Semaphore> {
        let sem = place(region, offset)?;
        Ok(Semaphore::in_memory(sem, self, region.mapping().clone()))
    }
}

fn place(region: &(impl Region + ?Sized), offset: usize) -> Result<Sem> {
    let place = region.mapping().place::<sem_t>(offset)?;
    // SAFETY: inside the mapping, aligned and writable, as `place` checked; the semaphore keeps the mapping.
    Ok(unsafe { Sem::at(place) })
}

/// From an address: `sem-unnamed:?fd=5&offset=64`, in the memory of an inherited descriptor.
pub(crate) fn open(target: &Target, _: Opening) -> Result<Box<dyn Gate>> {
    let options = Options::new().binary(target.options.flag("binary")?);
    let value = target.options.value::<u32>("value")?;
    let offset = target.options.bytes("offset")?.unwrap_or(0);
    let offset =
        usize::try_from(offset).map_err(|_| target.options.bad("offset", "it is too great"))?;
    let Some(number) = target.options.value::<i32>("fd")? else {
        return Err(UNNAMED
            .error(
                Kind::BadInput,
                "open",
                "",
                "it lies in memory, which an address does not name",
            )
            .with_hint(
                "give the number of a descriptor of that memory: sem-unnamed:?fd=5&offset=64",
            ));
    };
    let object =
        inherited::duplicate(number).map_err(|errno| UNNAMED.failed("inherit", number, errno))?;
    let region = Memfd::from_unsealed_fd(object)?;
    let semaphore = match value {
        Some(value) => options.init(&region, offset, value),
        None => options.attach(&region, offset),
    };
    Ok(Box::new(semaphore?))
}

/// Makes one in anonymous memory and goes through it.
pub(crate) fn probe() -> Result<()> {
    let region = Anonymous::create(SEMAPHORE_SIZE as u64)?;
    let semaphore = Semaphore::init(&region, 0, 0)?;
    semaphore.release()?;
    semaphore.acquire().map(drop)
}
