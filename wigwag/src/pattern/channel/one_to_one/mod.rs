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
use super::element::Element;
use super::ends::Role;
use super::flavour::{asked, refuse, ring, sealed};
use super::full::Full;
use super::options::Options;
use super::region::Plan;
use crate::error::Result;
use crate::shared::{Layout, layout};

/// A channel with one sender and one receiver, of which neither need be in this process.
pub type Channel<T> = super::Channel<OneToOne, T>;

/// One sender and one receiver.
#[derive(Debug)]
pub enum OneToOne {}

/// The end that sends.
pub struct Sender<T: Element + ?Sized> {
    side: Side,
    /// What is being filled where peers are not trusted.
    scratch: Vec<u64>,
    of: PhantomData<fn(&T)>,
}

/// The end that receives.
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
}

impl sealed::Form for OneToOne {
    const NAME: &'static str = "one-to-one";
    const SEATS: u32 = 2;

    fn is_twice<T: Element + ?Sized>() -> bool {
        T::SIZE.is_none()
    }

    fn layout<T: Element + ?Sized>() -> Layout {
        layout::<Words>("one-to-one channel 1").with(T::LAYOUT)
    }

    fn plan<T: Element + ?Sized>(capacity: u64, full: Full, seats: u32) -> Result<Plan> {
        if full == Full::OverwriteOldest {
            let why =
                "a one-to-one channel cannot overwrite the oldest: its receiver reads in place";
            return Err(refuse(why).with_hint("use wait, fail or drop-newest, or another flavour"));
        }
        if seats != Self::SEATS {
            return Err(refuse("a one-to-one channel has two seats"));
        }
        let (capacity, ring) = ring::<T>(capacity, T::SIZE.unwrap_or(1))?;
        Ok(Plan {
            capacity,
            full,
            seats,
            control: size_of::<Words>(),
            ring,
        })
    }

    fn longest(capacity: u64) -> usize {
        message::longest(capacity)
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

asked! { Sender Receiver:
    "How many values, or bytes of messages and their lengths, are in it now.",
    "How many values were dropped because it was full, since it was made.",
    "Whether somebody lives at the other end."
}
