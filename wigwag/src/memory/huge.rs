//! Huge pages: fewer, larger pages for large regions, taken from a pool that the administrator fills.
//!
//! ```
//! for bytes in wigwag::memory::huge::sizes() {
//!     println!("pages of {bytes} bytes");
//! }
//! ```
//!
//! `mmap(2)` (MAP_HUGETLB), `memfd_create(2)`, `shmget(2)`, the kernel's `admin-guide/mm/hugetlbpage`

use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
use crate::name::Name;

/// Where the size stands in the flags of mmap, memfd_create and shmget (`MAP_HUGE_SHIFT`).
const SHIFT: u32 = 26;

/// The sizes of huge pages that this kernel has, in bytes, smallest first.
#[must_use]
pub fn sizes() -> Vec<u64> {
    let Ok(pools) = std::fs::read_dir("/sys/kernel/mm/hugepages") else {
        return Vec::new();
    };
    let mut sizes: Vec<u64> = pools
        .filter_map(|pool| {
            let name = pool.ok()?.file_name();
            let kib = name
                .to_str()?
                .strip_prefix("hugepages-")?
                .strip_suffix("kB")?;
            kib.parse::<u64>().ok()?.checked_mul(1024)
        })
        .collect();
    sizes.sort_unstable();
    sizes
}

/// The bits for the flags that ask for pages of this size, once it is known that `len` is a multiple of it.
pub(crate) fn size_bits(bytes: u64, len: u64, facility: &Facility, name: &Name) -> Result<u32> {
    if !sizes().contains(&bytes) {
        let known: Vec<String> = sizes().iter().map(u64::to_string).collect();
        let why = format!("this kernel has no huge pages of {bytes} bytes");
        let error = facility.error(Kind::Unsupported, "create", name, why);
        return Err(match &known[..] {
            [] => error.with_hint("it has none at all"),
            some => error.with_hint(format!("it has pages of {} bytes", some.join(" and "))),
        });
    }
    if !len.is_multiple_of(bytes) {
        let why = format!("{len} bytes are not a multiple of the huge page of {bytes} bytes");
        return Err(facility.error(Kind::BadInput, "create", name, why));
    }
    Ok(bytes.trailing_zeros() << SHIFT)
}

/// An error for want of huge pages says how many there are.
pub(crate) fn explain(error: Error, bytes: u64) -> Error {
    let pool = format!("/sys/kernel/mm/hugepages/hugepages-{}kB", bytes / 1024);
    let count = |file: &str| {
        std::fs::read_to_string(format!("{pool}/{file}"))
            .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
    };
    error
        .with_kind(Kind::Limit)
        .with_detail(format!(
            "{} of {} huge pages of {bytes} bytes are free",
            count("free_hugepages"),
            count("nr_hugepages")
        ))
        .with_hint(format!(
            "write the number that is needed to {pool}/nr_hugepages"
        ))
}
