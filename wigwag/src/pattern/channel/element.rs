//! Element: what goes through a channel, values of one type or byte messages of any length.

use super::many_to_many::{Queue, Records, Ring};
use crate::shared::{Layout, Plain, layout};

/// What goes through a channel: a [`Plain`] type, or `[u8]` for byte messages of any length.
pub trait Element: sealed::Sealed + 'static {
    /// Hash of what its bytes mean.
    #[doc(hidden)]
    const LAYOUT: Layout;
    /// Bytes of one value; `None` for messages, which have a length each.
    #[doc(hidden)]
    const SIZE: Option<usize>;
    /// What one value must be a multiple of in memory.
    #[doc(hidden)]
    const ALIGN: usize;
    /// One that is kept for later.
    #[doc(hidden)]
    type Owned: Send + Sync;
    /// How a channel of many to many keeps it.
    #[doc(hidden)]
    type Queue: Queue;
}

mod sealed {
    pub trait Sealed {}
    impl<T: crate::shared::Plain> Sealed for T {}
    impl Sealed for [u8] {}
}

impl<T: Plain> Element for T {
    const LAYOUT: Layout = T::LAYOUT;
    const SIZE: Option<usize> = Some(size_of::<T>());
    const ALIGN: usize = align_of::<T>();
    type Owned = T;
    type Queue = Ring;
}

impl Element for [u8] {
    const LAYOUT: Layout = layout::<u8>("messages");
    const SIZE: Option<usize> = None;
    const ALIGN: usize = 8;
    type Owned = Vec<u8>;
    type Queue = Records;
}
