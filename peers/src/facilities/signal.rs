//! signal.

use super::Case;

/// The comparisons.
pub const CASES: &[Case] = &[];
