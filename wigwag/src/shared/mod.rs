//! Shared: which types may lie in memory that several processes change at once.
//!
//! Two traits. [`Plain`] is data: any bytes are a value of it, so what a peer leaves there is at worst wrong. It can
//! be used only behind a lock. [`Shared`] is what may lie in a [`Segment`](crate::memory::segment::Segment) itself: atomics, gates
//! with plain data in them, and structures and arrays of those. Neither may hold a pointer, a reference, a `bool`, a
//! `char` or an enum. Two macros prove it field by field, without `unsafe`:
//!
//! ```
//! use std::sync::atomic::AtomicU64;
//! use wigwag::gate::Mutex;
//!
//! wigwag::plain! {
//!     /// What the lock guards.
//!     pub struct Account { pub pence: i64, pub transfers: u64 }
//! }
//! wigwag::shared! {
//!     /// What the processes share.
//!     pub struct Bank { pub visits: AtomicU64, pub accounts: [Mutex<Account>; 2] }
//! }
//! ```
//!
//! What does not fit does not compile, and the message names the type of the field and what to take instead:
//!
//! ```compile_fail,E0277
//! # use std::sync::atomic::AtomicU64;
//! wigwag::shared! { struct Boxed { visits: AtomicU64, list: Box<u64> } } // a pointer, of one process
//! ```
//! ```compile_fail,E0277
//! wigwag::shared! { struct Named { name: String } }
//! ```
//! ```compile_fail,E0277
//! wigwag::shared! { struct Borrowed { name: &'static str } }
//! ```
//! ```compile_fail,E0277
//! wigwag::shared! { struct Pointing { next: *mut u8 } }
//! ```
//! ```compile_fail,E0277
//! wigwag::shared! { struct Bare { count: u64 } } // changed by two at once; an AtomicU64, or in a lock
//! ```
//! ```compile_fail,E0277
//! wigwag::shared! { struct Standing { open: bool } } // any byte but 0 and 1 would be undefined behaviour
//! ```
//! ```compile_fail,E0277
//! # use wigwag::gate::Mutex;
//! wigwag::shared! { struct Locked { name: Mutex<String> } } // a lock makes no pointer fit
//! ```
//! ```compile_fail,E0277
//! # use wigwag::gate::Mutex;
//! wigwag::shared! { struct Flag { open: Mutex<bool> } } // nor a bool: Mutex<u8>
//! ```
//! ```compile_fail,E0277
//! wigwag::shared! { struct Std { lock: std::sync::Mutex<u64> } } // works between the threads of one process only
//! ```
//! ```compile_fail,E0277
//! wigwag::plain! { struct Moment { at: std::time::Instant } }
//! ```
//! ```compile_fail,E0080
//! wigwag::plain! { struct Gap { small: u8, large: u64 } } // seven bytes that nobody names
//! # let _ = <Gap as wigwag::shared::Plain>::LAYOUT;
//! ```
//!
//! The layout of a type is hashed at compile time (names, sizes and places of all fields, through all levels) and the
//! hash is kept in the segment: a program that has another idea of `Bank` is refused when it opens it. A 32-bit program has the same
//! idea of it, unless there is a `usize` or `isize` in it.

mod layout;
mod survey;

use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize,
};

pub use self::layout::{Layout, layout};
pub use self::survey::{Sort, Visit, below};

/// Data of which any bytes are a value.
///
/// # Safety
/// `repr(C)` or a primitive; every bit pattern is valid; no padding, no pointers, no interior mutability, no drop glue.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not plain data: not every bit pattern that another process may leave is a value of it",
    label = "not `Plain`",
    note = "plain are integers, floating-point numbers, arrays of those, and structures declared with `wigwag::plain!`",
    note = "instead of a `bool` or an enum take a `u8`, instead of a `String` or `Vec` an array of bytes and a length, instead of a pointer an index"
)]
pub unsafe trait Plain: Copy + Send + Sync + 'static {
    /// Hash of what its bytes mean.
    const LAYOUT: Layout;
}

/// What may lie in a segment, changed by several processes at once.
///
/// # Safety
/// `repr(C)`; no pointers that one process sets and another follows; every bit pattern a peer may leave is valid or
/// checked before use; through `&self` all change goes through atomics or a lock kept beside the data; and
/// dropping it is not needed, because a segment never drops its value. Where [`ZEROS`](Self::ZEROS) says so, zero bytes are a value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot lie in memory that several processes change at once",
    label = "not `Shared`",
    note = "what can: atomics (AtomicU64 …), gates of wigwag with plain data in them (Mutex<u64>, RwLock<[u8; 64]>, Semaphore …), arrays of those, and structures declared with `wigwag::shared!`",
    note = "a pointer, reference, Box, String or Vec leads into the memory of one process only: take an array, or an index into one",
    note = "a plain number, that two may change at once, goes into an atomic or into a `wigwag::gate::Mutex`"
)]
pub unsafe trait Shared: Sync + 'static {
    /// Hash of what its bytes mean.
    const LAYOUT: Layout;

    /// Whether it stays sound when a peer writes any bytes at any moment: no reference to its data is ever
    /// handed out, and no pointer is kept in it. A [`Trust::Nobody`](crate::memory::segment::Trust) segment holds nothing else.
    const WARY: bool;

    /// Whether there are gates in it, so that [`survey`](Self::survey) is worth while.
    const GATES: bool = false;

    /// Whether zeros are a new value of it, so that it can be made
    /// [in place](crate::memory::segment::Options::create_zeroed).
    const ZEROS: bool = false;

    /// Called once by the creator, at the final place and before anybody else sees it: a gate learns that it is
    /// shared, and how the death of its owner will be noticed.
    fn settle(&self, _death: Death) {}

    /// Whether a thread of this process is inside a gate in it: then the memory must stay mapped.
    fn in_use(&self) -> bool {
        false
    }

    /// Shows the gates in it, itself perhaps, at `path` from the value of the segment.
    fn survey(&self, _path: &str, _visit: &mut Visit<'_>) {}
}

/// How a gate notices that its owner died. One way for a whole segment, fixed at its creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Death {
    /// The kernel frees the lock at the owner's death and wakes the next, through the robust list of libc.
    Kernel,
    /// Those who wait look after the owner from time to time. No pointers in the segment.
    Watched,
}

macro_rules! numbers {
    ($($type:ident)*) => { $(
        // SAFETY: a number: all bit patterns are valid, and there is nothing else in it.
        unsafe impl Plain for $type {
            const LAYOUT: Layout = layout::<$type>(stringify!($type));
        }
    )* };
}
numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

macro_rules! atomics {
    ($($type:ident)*) => { $(
        // SAFETY: all bit patterns are valid, and it changes by itself.
        unsafe impl Shared for $type {
            const LAYOUT: Layout = layout::<$type>(stringify!($type));
            const WARY: bool = true;
            const ZEROS: bool = true;
        }
    )* };
}
atomics!(AtomicU8 AtomicU16 AtomicU32 AtomicU64 AtomicUsize AtomicI8 AtomicI16 AtomicI32 AtomicI64 AtomicIsize);

// SAFETY: an array has no padding between its elements, so it is what they are.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {
    const LAYOUT: Layout = layout::<[T; N]>("[]").with(T::LAYOUT);
}

// SAFETY: as above.
unsafe impl Plain for () {
    const LAYOUT: Layout = layout::<()>("()");
}

// SAFETY: as above, for each element.
unsafe impl<T: Shared, const N: usize> Shared for [T; N] {
    const LAYOUT: Layout = layout::<[T; N]>("[]").with(T::LAYOUT);
    const WARY: bool = T::WARY;
    const GATES: bool = T::GATES;
    const ZEROS: bool = T::ZEROS;

    fn settle(&self, death: Death) {
        self.iter().for_each(|element| element.settle(death));
    }

    fn in_use(&self) -> bool {
        self.iter().any(T::in_use)
    }

    fn survey(&self, path: &str, visit: &mut Visit<'_>) {
        // Of more there is no room to tell.
        let some = if T::GATES { 128 } else { 0 };
        for (index, element) in self.iter().enumerate().take(some) {
            element.survey(&format!("{path}[{index}]"), visit);
        }
    }
}

/// Declares a structure that is [`Shared`] because each of its fields is.
#[macro_export]
macro_rules! shared {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty),* $(,)? })+) => { $(
        $(#[$meta])*
        #[repr(C)]
        $vis struct $name { $($(#[$field_meta])* $field_vis $field: $type),* }

        // SAFETY: repr(C), and every field is Shared, which `LAYOUT` makes the compiler check.
        unsafe impl $crate::shared::Shared for $name {
            const LAYOUT: $crate::shared::Layout = $crate::shared::layout::<Self>("struct")
                $(.field(stringify!($field), ::core::mem::offset_of!($name, $field),
                    <$type as $crate::shared::Shared>::LAYOUT))*;
            const WARY: bool = true $(&& <$type as $crate::shared::Shared>::WARY)*;
            const GATES: bool = false $(|| <$type as $crate::shared::Shared>::GATES)*;
            const ZEROS: bool = true $(&& <$type as $crate::shared::Shared>::ZEROS)*;

            fn settle(&self, death: $crate::shared::Death) {
                let _ = death;
                $($crate::shared::Shared::settle(&self.$field, death);)*
            }

            fn in_use(&self) -> bool {
                false $(|| $crate::shared::Shared::in_use(&self.$field))*
            }

            fn survey(&self, path: &str, visit: &mut $crate::shared::Visit<'_>) {
                let _ = (path, &visit);
                $($crate::shared::Shared::survey(
                    &self.$field,
                    &$crate::shared::below(path, stringify!($field)),
                    visit,
                );)*
            }
        }
    )+ };
}

/// Declares a structure that is [`Plain`] because each of its fields is and nothing lies between them.
#[macro_export]
macro_rules! plain {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty),* $(,)? })+) => { $(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq)]
        $vis struct $name { $($(#[$field_meta])* $field_vis $field: $type),* }

        // SAFETY: repr(C), every field is Plain, which `LAYOUT` makes the compiler check, and the sum of their
        // sizes is that of the whole, so there is no padding.
        unsafe impl $crate::shared::Plain for $name {
            const LAYOUT: $crate::shared::Layout = {
                assert!(
                    ::core::mem::size_of::<Self>() == 0 $(+ ::core::mem::size_of::<$type>())*,
                    "there is padding between the fields, which would leak memory: order them by size, or name the gap"
                );
                $crate::shared::layout::<Self>("struct")
                    $(.field(stringify!($field), ::core::mem::offset_of!($name, $field),
                        <$type as $crate::shared::Plain>::LAYOUT))*
            };
        }
    )+ };
}
