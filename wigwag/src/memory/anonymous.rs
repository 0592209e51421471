//! Anonymous shared memory: a region that only a process and its children see.
//!
//! It goes to a child by `fork(2)` and is gone after `exec(2)`: for programs that fork without executing another.
//! A program that starts others passes a [`memfd`](super::memfd) instead.
//!
//! ```
//! use wigwag::memory::{Region, anonymous::Anonymous};
//!
//! let region = Anonymous::create(4096)?;
//! region.write_at(100, b"hello")?;
//! let mut bytes = [0; 5];
//! region.read_at(100, &mut bytes)?;
//! assert_eq!(&bytes, b"hello");
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! `mmap(2)`, MAP_SHARED with MAP_ANONYMOUS

use std::sync::Arc;

use rustix::mm::MapFlags;

use super::{Mapping, Region, huge, mapping};
use crate::error::{Kind, Result};
use crate::facility::{Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Durability, Guarantees};
use crate::limit;
use crate::name::Name;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "anon",
    title: "anonymous shared memory",
    noun: "anonymous memory",
    family: Family::Memory,
    naming: Naming::Unnamed,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: None,
    direction: Some(Direction::Many),
    reach: Reach::Related,
    pollable: false,
    named_by: "– (inherited)",
    lives: "last process",
    carries: "a mapped region",
    limits: &[limit::MAPS],
    guarantees: Guarantees {
        durability: Durability::Process,
        ..Guarantees::MEMORY
    },
    man: "mmap(2)",
};

/// A region for a process and its children.
#[derive(Debug)]
#[doc(alias = "MAP_ANONYMOUS")]
pub struct Anonymous {
    mapping: Arc<Mapping>,
}

impl Anonymous {
    /// Maps `len` zero bytes. Pages are taken when they are first touched; if there are none left
    /// then, the kernel's out-of-memory killer chooses a process.
    ///
    /// # Errors
    /// `Limit` when there is too little address space or memory; `BadInput` when it would be empty.
    pub fn create(len: u64) -> Result<Self> {
        Self::with(len, MapFlags::empty())
    }

    /// The same, made of huge pages of so many bytes, one of [`huge::sizes`], which `len` is a multiple of.
    ///
    /// # Errors
    /// `Unsupported` when there are none of this size; `Limit` when too few are free.
    #[doc(alias = "MAP_HUGETLB")]
    pub fn create_huge(len: u64, bytes: u64) -> Result<Self> {
        let size = huge::size_bits(bytes, len, &FACILITY, &Name::None)?;
        Self::with(len, MapFlags::HUGETLB | MapFlags::from_bits_retain(size)).map_err(|error| {
            match error.kind() {
                Kind::Limit => huge::explain(error, bytes),
                _ => error,
            }
        })
    }

    fn with(len: u64, flags: MapFlags) -> Result<Self> {
        let len = mapping::mappable(len, &FACILITY, &Name::None)?;
        let mapping = Mapping::anonymous(len, flags, &FACILITY)?;
        Ok(Anonymous {
            mapping: Arc::new(mapping),
        })
    }
}

impl Region for Anonymous {
    #[inline]
    fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }
}
