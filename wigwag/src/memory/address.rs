//! A region from its address: `shm:/camera?size=1M`, `sysv-shm:0x1234`, `file:/var/lib/table`, `memfd:?fd=5`.
//!
//! Whoever serves and says a size makes the region if there is none; all others find it. For receiving it is mapped
//! read-only.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{Access, Region, anonymous, file, memfd, posix, sysv};
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
use crate::key::Key;
use crate::name::Name;
use crate::opening::{Opening, Role, Target, Way};
use crate::sys::inherited;

pub(crate) fn open_posix(target: &Target, opening: Opening) -> Result<Box<dyn Region>> {
    let options = read_posix(target)?.access(access(opening));
    let region = match size_to_make(target, opening)? {
        Some(size) if target.options.flag("exclusive")? => {
            options.create_named(target.name.clone(), size)
        }
        Some(size) => options.open_or_create_named(&target.name, size),
        None => options
            .open_named(target.name.clone())
            .map_err(|e| hint(e, opening)),
    };
    Ok(Box::new(region?))
}

pub(crate) fn create_posix(target: &Target) -> Result<()> {
    let options = read_posix(target)?;
    let size = size_to_leave(target)?;
    options.create_named(target.name.clone(), size).map(drop)
}

fn read_posix(target: &Target) -> Result<posix::Options> {
    let options = posix::Options::new().temporary(target.options.flag("temporary")?);
    Ok(match target.options.mode()? {
        Some(mode) => options.mode(mode),
        None => options,
    })
}

pub(crate) fn open_sysv(target: &Target, opening: Opening) -> Result<Box<dyn Region>> {
    let options = read_sysv(target)?.access(access(opening));
    let key = Key::meant(target)?;
    let region = match size_to_make(target, opening)? {
        Some(size) if target.options.flag("exclusive")? => options.create(key, size),
        Some(size) => options.open_or_create(key, size),
        None => options.open(key).map_err(|e| hint(e, opening)),
    };
    Ok(Box::new(region?))
}

pub(crate) fn create_sysv(target: &Target) -> Result<()> {
    let options = read_sysv(target)?;
    let size = size_to_leave(target)?;
    options.create(Key::meant(target)?, size).map(drop)
}

pub(crate) fn unlink_sysv(name: &Name) -> Result<()> {
    sysv::SharedMemory::unlink(Key::of(name, Key::PROJECT))
}

fn read_sysv(target: &Target) -> Result<sysv::Options> {
    let options = sysv::Options::new()
        .temporary(target.options.flag("temporary")?)
        .huge(target.options.bytes("huge")?);
    Ok(match target.options.mode()? {
        Some(mode) => options.mode(mode),
        None => options,
    })
}

pub(crate) fn open_file(target: &Target, opening: Opening) -> Result<Box<dyn Region>> {
    let options = read_file(target)?.access(access(opening));
    let path = path(target)?;
    let region = match size_to_make(target, opening)? {
        Some(size) if target.options.flag("exclusive")? => options.create(path, size),
        Some(size) => options.open_or_create(path, size),
        None => options.open(path).map_err(|e| hint(e, opening)),
    };
    Ok(Box::new(region?))
}

pub(crate) fn create_file(target: &Target) -> Result<()> {
    let options = read_file(target)?;
    let size = size_to_leave(target)?;
    options.create(path(target)?, size)?.flush()
}

pub(crate) fn unlink_file(name: &Name) -> Result<()> {
    match name.as_path() {
        Some(path) => file::MappedFile::unlink(path),
        None => Err(file::FACILITY.error(Kind::BadName, "delete", name, "it is no path")),
    }
}

fn read_file(target: &Target) -> Result<file::Options> {
    let options = file::Options::new()
        .temporary(target.options.flag("temporary")?)
        .trust_size(target.options.flag("trust-size")?);
    Ok(match target.options.mode()? {
        Some(mode) => options.mode(mode),
        None => options,
    })
}

fn path(target: &Target) -> Result<&std::path::Path> {
    let none = || file::FACILITY.error(Kind::BadName, "open", &target.name, "it is no path");
    target.name.as_path().ok_or_else(none)
}

pub(crate) fn open_memfd(target: &Target, _: Opening) -> Result<Box<dyn Region>> {
    let size = target.options.bytes("size")?;
    let huge = target.options.bytes("huge")?;
    let unsealed = target.options.flag("unsealed")?;
    let region = match (target.options.value::<i32>("fd")?, size) {
        (Some(_), Some(_)) => {
            return Err(target.options.bad("size", "an inherited one has its size"));
        }
        (Some(number), None) => {
            let object = inherited::duplicate(number)
                .map_err(|errno| memfd::FACILITY.failed("inherit", number, errno))?;
            match unsealed {
                true => memfd::Memfd::from_unsealed_fd(object),
                false => memfd::Memfd::from_fd(object),
            }
        }
        (None, Some(size)) => {
            let options = memfd::Options::new().huge(huge);
            match unsealed {
                true => options.seals(memfd::Seals::NONE),
                false => options,
            }
            .create("wigwag", size)
        }
        (None, None) => {
            return Err(nameless(
                &memfd::FACILITY,
                "give its size, or the number of an inherited descriptor: memfd:?fd=5",
            ));
        }
    };
    Ok(Box::new(region?))
}

pub(crate) fn open_anonymous(target: &Target, _: Opening) -> Result<Box<dyn Region>> {
    let Some(size) = target.options.bytes("size")? else {
        return Err(nameless(
            &anonymous::FACILITY,
            "give its size: anon:?size=64K",
        ));
    };
    let region = match target.options.bytes("huge")? {
        Some(bytes) => anonymous::Anonymous::create_huge(size, bytes),
        None => anonymous::Anonymous::create(size),
    };
    Ok(Box::new(region?))
}

fn nameless(facility: &Facility, hint: &'static str) -> Error {
    facility
        .error(Kind::BadInput, "open", "", "an address says nothing of it")
        .with_hint(hint)
}

fn access(opening: Opening) -> Access {
    match opening.way {
        Way::In => Access::ReadOnly,
        Way::Out | Way::Both => Access::ReadWrite,
    }
}

/// How large a region is that is created without a size, in bytes: the smallest page.
const DEFAULT_SIZE: u64 = 4096;

/// The size with which the region is to be made if there is none.
fn size_to_make(target: &Target, opening: Opening) -> Result<Option<u64>> {
    let size = target.options.bytes("size")?;
    Ok(size.filter(|_| opening.role == Role::Serve))
}

fn size_to_leave(target: &Target) -> Result<u64> {
    if target.options.flag("temporary")? {
        let why = "nothing would stay of what is created here";
        return Err(target.options.bad("temporary", why));
    }
    Ok(target.options.bytes("size")?.unwrap_or(DEFAULT_SIZE))
}

fn hint(error: Error, opening: Opening) -> Error {
    match (error.kind(), opening.role) {
        (Kind::NotFound, Role::Serve) => error.with_hint("give it a size to make it: size=64K"),
        (Kind::NotFound, Role::Join) => error.with_hint("whoever serves or creates it comes first"),
        _ => error,
    }
}

/// Makes one of each, writes and reads, and drops it.
pub(crate) mod probe {
    use super::*;

    pub(crate) fn posix() -> Result<()> {
        let options = posix::Options::new().temporary(true);
        works(&options.create(format!("/{}", unique()), SIZE)?)
    }

    pub(crate) fn sysv() -> Result<()> {
        works(
            &sysv::Options::new()
                .temporary(true)
                .create(Key::Private, SIZE)?,
        )
    }

    pub(crate) fn file() -> Result<()> {
        let options = file::Options::new().temporary(true);
        works(&options.create(std::env::temp_dir().join(unique()), SIZE)?)
    }

    pub(crate) fn memfd() -> Result<()> {
        works(&memfd::Memfd::create("wigwag-probe", SIZE)?)
    }

    pub(crate) fn anonymous() -> Result<()> {
        works(&anonymous::Anonymous::create(SIZE)?)
    }

    const SIZE: u64 = 4096;

    fn works(region: &impl Region) -> Result<()> {
        region.write_at(7, b"probe")?;
        let mut bytes = [0; 5];
        region.read_at(7, &mut bytes)?;
        match &bytes {
            b"probe" => region.flush(),
            _ => Err(region
                .mapping()
                .error(Kind::Corrupt, "use", "it does not keep its bytes")),
        }
    }

    /// A name that nobody else has.
    pub(crate) fn unique() -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("wigwag-probe-{}-{number}", std::process::id())
    }
}
