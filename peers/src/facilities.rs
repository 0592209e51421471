//! Facilities: each facility of the kernel through the library, against the same system calls made bare.

use crate::duel::Effort;
use crate::row::Row;

/// Every comparison whose name is wanted.
pub fn rows(_effort: Effort, _wanted: &dyn Fn(&str) -> bool) -> wigwag::Result<Vec<Row>> {
    Ok(Vec::new())
}
