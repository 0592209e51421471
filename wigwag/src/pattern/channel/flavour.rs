//! Flavour: what sets one flavour of channel apart from the others, and the handle that all of them have.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::FACILITY;
use super::element::Element;
use super::ends::Role;
use super::full::Full;
use super::region::{Plan, Region};
use super::waiting::Waiting;
use crate::error::{Error, Kind, Result};
use crate::memory::mapping::page;
use crate::shared::Layout;

/// A channel of which neither end need be in this process. Its flavour gives the ends, and has an alias for it: [`one_to_one::Channel`](super::one_to_one::Channel),
/// [`many_to_many::Channel`](super::many_to_many::Channel), [`broadcast::Channel`](super::broadcast::Channel), [`latest::Channel`](super::latest::Channel).
pub struct Channel<F: Form, T: Element + ?Sized> {
    pub(super) region: Arc<Region>,
    pub(super) waiting: Waiting,
    of: PhantomData<fn(F, &T)>,
}

/// A channel of a flavour with what goes through it: what [`Options`](super::Options) make and open.
pub trait Flavour: sealed::Flavour {}

impl<C: sealed::Flavour> Flavour for C {}

/// What sets a flavour apart.
pub trait Form: sealed::Form {}

impl<F: sealed::Form> Form for F {}

pub(crate) mod sealed {
    use super::{Arc, Element, Full, Layout, Plan, Region, Result, Waiting};

    /// What the options must know of a channel.
    pub trait Flavour {
        /// Its flavour.
        type Form: Form;
        /// What goes through it.
        type Element: Element + ?Sized;

        /// Of its memory.
        fn of(region: Arc<Region>, waiting: Waiting) -> Self;
    }

    /// What sets a flavour apart.
    pub trait Form: 'static {
        /// `one-to-one`.
        const NAME: &'static str;
        /// Of a channel for which none was asked.
        const SEATS: u32;

        /// Whether its ring is mapped twice in a row.
        fn is_twice<T: Element + ?Sized>() -> bool;

        /// Hash of the flavour's control words and its elements.
        fn layout<T: Element + ?Sized>() -> Layout;

        /// The capacity of a channel for which none was asked.
        fn capacity<T: Element + ?Sized>() -> u64 {
            match T::SIZE {
                Some(_) => 1024,
                None => 64 << 10,
            }
        }

        /// The memory for at least this capacity; the same again for the capacity of its result.
        fn plan<T: Element + ?Sized>(capacity: u64, full: Full, seats: u32) -> Result<Plan>;

        /// The longest message of a channel with this capacity.
        fn longest(capacity: u64) -> usize;
    }
}

/// What goes through a channel, in words.
pub(super) fn element<T: Element + ?Sized>() -> &'static str {
    match T::SIZE {
        Some(_) => std::any::type_name::<T>(),
        None => "messages",
    }
}

/// That a channel cannot be made so.
#[cold]
pub(super) fn refuse(why: &str) -> Error {
    FACILITY.error(Kind::BadInput, "create", "", why)
}

pub(super) const TOO_MUCH: &str = "no memory is as large as its capacity";
pub(super) const TOO_ALIGNED: &str = "a value in a channel is aligned to at most a page";

/// The capacity, rounded up to a power of two, and the bytes of a ring of so many values (or bytes of messages) that take so many
/// each; nothing takes the memory of more than 2^46.
pub(super) fn ring<T: Element + ?Sized>(capacity: u64, each: usize) -> Result<(u64, u64)> {
    let least = if T::SIZE.is_some() { 1 } else { page() as u64 };
    let capacity = capacity
        .max(least)
        .checked_next_power_of_two()
        .filter(|capacity| *capacity <= 1 << 40);
    let ring = capacity
        .and_then(|capacity| capacity.checked_mul(each as u64))
        .filter(|bytes| *bytes <= 1 << 46);
    if T::ALIGN > page() {
        return Err(refuse(TOO_ALIGNED));
    }
    capacity.zip(ring).ok_or_else(|| refuse(TOO_MUCH))
}

impl<F: Form, T: Element + ?Sized> sealed::Flavour for Channel<F, T> {
    type Form = F;
    type Element = T;

    fn of(region: Arc<Region>, waiting: Waiting) -> Self {
        Channel {
            region,
            waiting,
            of: PhantomData,
        }
    }
}

impl<F: Form, T: Element + ?Sized> Channel<F, T> {
    /// How many values, or bytes of messages, it holds; of the latest value, how many buffers it has or how long a message can be.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.region.plan().capacity
    }

    /// What becomes of a value for which there is no room.
    #[must_use]
    pub fn full(&self) -> Full {
        self.region.plan().full
    }

    /// How many senders it has.
    #[must_use]
    pub fn senders(&self) -> usize {
        self.region.count(Role::Sender)
    }

    /// How many receivers it has.
    #[must_use]
    pub fn receivers(&self) -> usize {
        self.region.count(Role::Receiver)
    }

    /// What it is called; empty without a name.
    #[must_use]
    pub fn name(&self) -> String {
        self.region.name().to_string()
    }
}

/// To be sent to another process, which opens it with [`Options::from_fd`](super::Options::from_fd).
impl<F: Form, T: Element + ?Sized> AsFd for Channel<F, T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.region.fd()
    }
}

impl<F: Form, T: Element + ?Sized> fmt::Debug for Channel<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("flavour", &F::NAME)
            .field("name", &self.name())
            .field("of", &element::<T>())
            .field("capacity", &self.capacity())
            .field("full", &self.full())
            .finish_non_exhaustive()
    }
}

/// What can be asked of either end of every flavour; what `level` and `lost` mean for it is said here.
macro_rules! asked {
    ($($end:ident)*: $level:literal, $lost:literal, $connected:literal) => { $(
        impl<T: Element + ?Sized> $end<T> {
            /// How many values, or bytes of messages, it holds; of the latest value, how many buffers it has or how long a message can be.
            #[must_use]
            pub fn capacity(&self) -> u64 {
                self.side.region().plan().capacity
            }

            #[doc = $level]
            #[must_use]
            #[doc(alias = "len")]
            pub fn level(&self) -> u64 {
                self.side.level()
            }

            #[doc = $lost]
            #[must_use]
            pub fn lost(&self) -> u64 {
                self.side.lost()
            }

            #[doc = $connected]
            #[must_use]
            pub fn is_connected(&self) -> bool {
                self.side.is_connected()
            }

            /// The memory of the channel: its ends can be slept on.
            #[allow(dead_code)] // not of every flavour
            pub(crate) fn region(
                &self,
            ) -> &std::sync::Arc<$crate::pattern::channel::region::Region> {
                self.side.region()
            }

            /// Leaves the channel, as dropping does.
            pub fn close(self) {}
        }

        impl<T: Element + ?Sized> std::fmt::Debug for $end<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($end))
                    .field("channel", &self.region().name().to_string())
                    .field("level", &self.level())
                    .field("is_connected", &self.is_connected())
                    .finish_non_exhaustive()
            }
        }
    )* };
}
pub(super) use asked;
