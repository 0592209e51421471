//! Place: in which facility a segment lies, and under which name.
//!
//! ```
//! use wigwag::memory::segment::Place;
//!
//! assert_eq!(Place::parse("/camera")?, Place::parse("shm:/camera")?);
//! assert_eq!(Place::parse("/var/lib/camera")?, Place::parse("file:/var/lib/camera")?);
//! assert_eq!(Place::parse("sysv-shm:0x1234")?.to_string(), "sysv-shm:0x1234");
//! assert!(Place::parse("mq:/camera").is_err());
//! # Ok::<(), wigwag::Error>(())
//! ```

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::address::Address;
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
use crate::memory::{file, posix, sysv};
use crate::name::Name;

/// A facility of memory and a name in it.
#[derive(Clone)]
pub struct Place {
    pub(crate) facility: &'static Facility,
    pub(crate) name: Name,
}

impl Place {
    /// The file behind it; none for System V.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match &self.name {
            Name::Path(path) if self.facility.id == file::FACILITY.id => Some(path.clone()),
            // Where the C library's shm_open looks too; its name has no second slash.
            Name::Slash(name) => Some(Path::new("/dev/shm").join(OsStr::from_bytes(&name[1..]))),
            _ => None,
        }
    }
}

impl Place {
    /// Reads a name: `/name` is POSIX shared memory, any other path a file, `scheme:name` what it says.
    ///
    /// # Errors
    /// `BadName` or `BadAddress`, with what would be right.
    pub fn parse(name: impl AsRef<OsStr>) -> Result<Self> {
        let bytes = name.as_ref().as_bytes();
        match bytes.strip_prefix(b"/") {
            Some(rest) if rest.contains(&b'/') => Place::of(&file::FACILITY, bytes),
            Some(_) => Place::of(&posix::FACILITY, bytes),
            None if bytes.starts_with(b".") => Place::of(&file::FACILITY, bytes),
            // No address either: it tells what a name looks like.
            None if !bytes.contains(&b':') => Place::of(&posix::FACILITY, bytes),
            None => Place::try_from(&String::from_utf8_lossy(bytes).parse::<Address>()?),
        }
    }

    fn of(facility: &'static Facility, name: &[u8]) -> Result<Self> {
        Ok(Place {
            facility,
            name: Name::parse(facility, name)?,
        })
    }
}

impl TryFrom<&Address> for Place {
    type Error = Error;

    fn try_from(address: &Address) -> Result<Self> {
        let known = [&posix::FACILITY, &sysv::FACILITY, &file::FACILITY];
        let Some(facility) = known
            .into_iter()
            .find(|facility| facility.id == address.scheme())
        else {
            let why = format!("a segment does not lie in {}", address.scheme());
            return Err(Error::new(Kind::BadAddress, "place", "segment", address, why)
                .with_hint("use shm:/name, file:/path or sysv-shm:KEY, or a segment without a name (anonymous)"));
        };
        if let Some((key, _)) = address.options().iter().next() {
            return Err(address
                .options()
                .bad(key, "the address of a segment has no options"));
        }
        Place::of(facility, address.name())
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.facility.id == other.facility.id && self.name == other.name
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.facility.id, self.name)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}
