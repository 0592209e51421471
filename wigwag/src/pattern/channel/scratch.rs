//! Scratch: private memory of one end, for what cannot be looked at or filled where it lies.

use crate::shared::Plain;

/// Private memory that grows to what was needed most.
#[derive(Debug, Default)]
pub(super) struct Scratch(Vec<u64>);

impl Scratch {
    /// Room for `count` values, which hold anything.
    pub(super) fn values<T: Plain>(&mut self, count: usize) -> *mut T {
        // The alignment is made by leaving bytes out.
        let start = self.bytes(count * size_of::<T>() + align_of::<T>());
        // SAFETY: at most the alignment, for which there is room.
        unsafe { start.add(start.align_offset(align_of::<T>())).cast() }
    }

    /// Room for `len` bytes, aligned to eight.
    pub(super) fn bytes(&mut self, len: usize) -> *mut u8 {
        let words = len.div_ceil(8);
        if self.0.len() < words {
            self.0.resize(words, 0);
        }
        self.0.as_mut_ptr().cast()
    }
}
