//! One-to-one: one sender and one receiver, and no step on the way of a value but writing it and one store.
//!
//! ```
//! use wigwag::pattern::channel::one_to_one;
//!
//! let (mut sender, mut receiver) = one_to_one::pair::<[u8]>(64 << 10)?;
//! sender.send(b"hello")?;
//! let mut loan = sender.loan(5)?; // filled in place
//! loan.copy_from_slice(b"again");
//! loan.send();
//! assert_eq!(&*receiver.recv()?, b"hello"); // read in place, given back when dropped
//! assert_eq!(&*receiver.recv()?, b"again");
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! **What is lost or doubled by a kill.** Sender: what it had not yet sent. Receiver: nothing; the value that it held
//! goes to the next receiver, so one that was read but not given back is seen twice.
//! A channel outlives its ends: what was sent and not received waits for the next receiver.
//!
//! **To poll**: the receiver is readable when something is there, the sender when there is as much room as its last attempt wanted.
//!
//! **Full**: [`Wait`](Full::Wait), [`Fail`](Full::Fail) and [`DropNewest`](Full::DropNewest). Overwriting needs a receiver
//! that copies before it believes: that is a flavour of its own.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

mod bytes;
#[cfg(not(loom))]
mod cursor;
#[cfg(loom)]
#[allow(missing_docs)]
pub mod cursor;
mod link;
mod message;
mod poll;
mod value;

use self::cursor::Words;
use self::link::Side;
pub(crate) use self::link::{RECEIVER, SENDER};
pub use self::message::{Message, MessageLoan, Messages};
pub use self::value::{Batch, Loan, LoanMany, Received};
use super::FACILITY;
use super::element::Element;
use super::ends::Role;
use super::full::Full;
use super::options::{Options, sealed};
use super::region::{Plan, Region};
use super::waiting::Waiting;
use crate::error::{Kind, Result};
use crate::memory::mapping::page;
use crate::shared::{Layout, layout};

/// A channel with one sender and one receiver, of which neither need be in this process.
#[derive(Debug)]
pub struct Channel<T: Element + ?Sized> {
    region: Arc<Region>,
    waiting: Waiting,
    of: PhantomData<fn(&T)>,
}

/// The end that sends.
#[derive(Debug)]
pub struct Sender<T: Element + ?Sized> {
    side: Side,
    /// What is being filled where peers are not trusted.
    scratch: Vec<u64>,
    of: PhantomData<fn(&T)>,
}

/// The end that receives.
#[derive(Debug)]
pub struct Receiver<T: Element + ?Sized> {
    side: Side,
    /// What is being looked at where peers are not trusted.
    scratch: Vec<u64>,
    of: PhantomData<fn() -> Box<T>>,
}

/// Both ends of a new channel without a name, for values of at least `capacity` or bytes of messages.
///
/// # Errors
/// `Limit` when there is no room.
pub fn pair<T: Element + ?Sized>(capacity: u64) -> Result<(Sender<T>, Receiver<T>)> {
    let channel: Channel<T> = Options::new().capacity(capacity).anonymous()?;
    Ok((channel.sender()?, channel.receiver()?))
}

impl<T: Element + ?Sized> Channel<T> {
    /// Takes the end that sends.
    ///
    /// # Errors
    /// `Limit` while another process or thread has it; `Removed` when a new channel has the name by now.
    pub fn sender(&self) -> Result<Sender<T>> {
        Ok(Sender {
            side: Side::take(&self.region, Role::Sender, self.waiting, unit::<T>())?,
            scratch: Vec::new(),
            of: PhantomData,
        })
    }

    /// Takes the end that receives.
    ///
    /// # Errors
    /// As for the sender.
    pub fn receiver(&self) -> Result<Receiver<T>> {
        Ok(Receiver {
            side: Side::take(&self.region, Role::Receiver, self.waiting, unit::<T>())?,
            scratch: Vec::new(),
            of: PhantomData,
        })
    }

    /// How many values, or bytes of messages, it holds.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.region.plan().capacity
    }

    /// What becomes of a value for which there is no room.
    #[must_use]
    pub fn full(&self) -> Full {
        self.region.plan().full
    }

    /// How many senders it has: 0 or 1.
    #[must_use]
    pub fn senders(&self) -> usize {
        self.region.count(Role::Sender)
    }

    /// How many receivers it has: 0 or 1.
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

/// To be sent to another process, which opens it with [`Options::from_fd`].
impl<T: Element + ?Sized> AsFd for Channel<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.region.fd()
    }
}

impl<T: Element + ?Sized> sealed::Flavour for Channel<T> {
    const NAME: &'static str = "one-to-one";
    const SEATS: u32 = 2;
    const TWICE: bool = T::SIZE.is_none();

    fn layout() -> Layout {
        layout::<Words>("one-to-one channel 1").with(T::LAYOUT)
    }

    fn element() -> &'static str {
        match T::SIZE {
            Some(_) => std::any::type_name::<T>(),
            None => "messages",
        }
    }

    fn capacity() -> u64 {
        match T::SIZE {
            Some(_) => 1024,
            None => 64 << 10,
        }
    }

    fn plan(capacity: u64, full: Full, seats: u32) -> Result<Plan> {
        let refuse = |why: &str| FACILITY.error(Kind::BadInput, "create", "", why);
        if full == Full::OverwriteOldest {
            let why =
                "a one-to-one channel cannot overwrite the oldest: its receiver reads in place";
            return Err(refuse(why).with_hint("use wait, fail or drop-newest, or another flavour"));
        }
        if seats != Self::SEATS {
            return Err(refuse("a one-to-one channel has two seats"));
        }
        let least = if T::SIZE.is_some() { 1 } else { page() as u64 };
        let capacity = capacity
            .max(least)
            .checked_next_power_of_two()
            .filter(|capacity| *capacity <= 1 << 40)
            .ok_or_else(|| refuse("no memory is as large as its capacity"))?;
        let ring = capacity
            .checked_mul(T::SIZE.unwrap_or(1) as u64)
            .filter(|bytes| *bytes <= 1 << 46)
            .ok_or_else(|| refuse("no memory is as large as its capacity"))?;
        if T::ALIGN > page() {
            return Err(refuse("a value in a channel is aligned to at most a page"));
        }
        Ok(Plan {
            capacity,
            full,
            seats,
            control: size_of::<Words>(),
            ring,
        })
    }

    fn of(region: Arc<Region>, waiting: Waiting) -> Self {
        Channel {
            region,
            waiting,
            of: PhantomData,
        }
    }
}

/// What positions are multiples of: one value, or the alignment of a record.
fn unit<T: Element + ?Sized>() -> u64 {
    if T::SIZE.is_some() {
        1
    } else {
        message::RECORD
    }
}

macro_rules! both {
    ($($end:ident)*) => { $(
        impl<T: Element + ?Sized> $end<T> {
            /// How many values, or bytes of messages, it holds.
            #[must_use]
            pub fn capacity(&self) -> u64 {
                self.side.capacity()
            }

            /// How many values, or bytes of messages and their lengths, are in it now.
            #[must_use]
            #[doc(alias = "len")]
            pub fn level(&self) -> u64 {
                self.side.len()
            }

            /// How many values were dropped because it was full, since it was made.
            #[must_use]
            pub fn lost(&self) -> u64 {
                self.side.lost()
            }

            /// Whether somebody lives at the other end.
            #[must_use]
            pub fn is_connected(&self) -> bool {
                self.side.is_connected()
            }

            /// The memory of the channel: its ends can be slept on.
            pub(crate) fn region(&self) -> &Arc<Region> {
                self.side.region()
            }

            /// Leaves the channel, as dropping does.
            pub fn close(self) {}
        }
    )* };
}
both!(Sender Receiver);
