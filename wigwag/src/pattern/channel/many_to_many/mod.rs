//! Many-to-many: any number of senders and receivers share one queue, and a process killed in it holds up nobody.
//!
//! Each value goes to one receiver, in the order in which the senders took their places.
//!
//! ```
//! use wigwag::pattern::channel::{Options, many_to_many::Channel};
//!
//! let channel: Channel<u64> = Options::new().capacity(64).anonymous()?;
//! let (mut one, mut other) = (channel.sender()?, channel.sender()?);
//! one.send(1)?;
//! other.send(2)?;
//! let (mut left, mut right) = (channel.receiver()?, channel.receiver()?);
//! assert_eq!(*left.recv()?, 1);
//! assert_eq!(*right.recv()?, 2);
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! **What is lost or doubled by a kill.** Sender: what it had not yet sent; its place is skipped. Receiver: nothing; the
//! value that it held goes to another, as the next one, so one that was read but not given back is seen twice.
//!
//! **To poll** ([`Pollable`](super::Pollable)): a receiver is readable when it could take a value, also one that comes back from another that was killed;
//! a sender when it could take a place. Another may be faster: then the attempt finds nothing.
//!
//! **Full**: all four policies. One that overwrites drops the oldest value that no receiver holds, and counts it
//! ([`Receiver::lost`]).
//!
//! Byte messages have any length up to the capacity, which counts their bytes, each rounded up to 64. A sender whose message finds no room
//! waits in a line: others whose messages are shorter do not take it away. One that only tries has no place there, as it might never come
//! back, and may try for ever among others; a task under tokio has one until its message is sent or its future dropped.
//!
//! **Batches** are no units: their values go one by one to whoever receives next, and a receiver's batch is what it came to first. A
//! receiver that is killed with a batch leaves all of it to others.

use std::marker::PhantomData;

mod batch;
#[cfg(not(loom))]
mod claim;
#[cfg(loom)]
#[allow(missing_docs)]
pub mod claim;
mod listening;
mod message;
mod messages;
#[cfg(loom)]
#[allow(missing_docs)]
pub mod model;
mod poll;
mod queue;
mod record;
#[cfg(not(loom))]
mod records;
#[cfg(loom)]
#[allow(missing_docs)]
pub mod records;
mod ring;
mod side;
mod undertaker;
mod value;
mod word;

pub use self::batch::{Batch, LoanMany};
use self::claim::Words;
pub use self::message::{Message, MessageLoan};
pub use self::messages::Messages;
pub(super) use self::queue::Queue;
pub(super) use self::records::Records;
pub(super) use self::ring::Ring;
use self::side::Side;
pub use self::value::{Loan, Received};
use super::element::Element;
use super::ends::Role;
use super::flavour::{TOO_MUCH, asked, refuse, ring, sealed};
use super::full::Full;
use super::options::Options;
use super::region::Plan;
use super::scratch::Scratch;
use crate::error::{Kind, Result};
use crate::shared::{Layout, layout};

/// A queue of many senders and many receivers, in any processes.
pub type Channel<T> = super::Channel<ManyToMany, T>;

/// Many senders and many receivers, each value for one of these.
#[derive(Debug)]
pub enum ManyToMany {}

/// An end that sends.
pub struct Sender<T: Element + ?Sized> {
    side: Side<T::Queue>,
    /// What is being filled where peers are not trusted.
    scratch: Scratch,
    of: PhantomData<fn(&T)>,
}

/// An end that receives.
pub struct Receiver<T: Element + ?Sized> {
    side: Side<T::Queue>,
    /// What is being looked at where peers are not trusted.
    scratch: Scratch,
    of: PhantomData<fn() -> Box<T>>,
}

/// Both ends of a new channel without a name; more are made from it by no one else.
///
/// # Errors
/// `Limit` when there is no room.
pub fn pair<T: Element + ?Sized>(capacity: u64) -> Result<(Sender<T>, Receiver<T>)> {
    let channel: Channel<T> = Options::new().capacity(capacity).anonymous()?;
    Ok((channel.sender()?, channel.receiver()?))
}

/// Bytes of a slot, and where in it the value begins; messages lie in a row, and have their words elsewhere.
fn slot<T: Element + ?Sized>() -> Option<(usize, usize)> {
    let Some(size) = T::SIZE else {
        return Some((1, 0));
    };
    let align = T::ALIGN.max(8);
    let bytes = align.checked_add(size)?.checked_next_multiple_of(align)?;
    Some((bytes, align))
}

/// Bytes of the control words, and the most that it can hold.
fn control<T: Element + ?Sized>(capacity: u64) -> Option<usize> {
    match T::SIZE {
        Some(_) => Some(size_of::<Words>()),
        None => records::control(capacity),
    }
}

impl<T: Element + ?Sized> Channel<T> {
    /// Takes an end that sends.
    ///
    /// # Errors
    /// `Limit` while all seats are taken; `Removed` when a new channel has the name by now.
    pub fn sender(&self) -> Result<Sender<T>> {
        Ok(Sender {
            side: self.side(Role::Sender)?,
            scratch: Scratch::default(),
            of: PhantomData,
        })
    }

    /// Takes an end that receives.
    ///
    /// # Errors
    /// As for a sender.
    pub fn receiver(&self) -> Result<Receiver<T>> {
        Ok(Receiver {
            side: self.side(Role::Receiver)?,
            scratch: Scratch::default(),
            of: PhantomData,
        })
    }

    fn side(&self, role: Role) -> Result<Side<T::Queue>> {
        let slot = slot::<T>().ok_or_else(|| {
            let why = "its values are too large";
            self.region.error(Kind::BadInput, "attach to", why)
        })?;
        Side::take(&self.region, role, self.waiting, slot)
    }
}

impl sealed::Form for ManyToMany {
    const NAME: &'static str = "many-to-many";
    const SEATS: u32 = 32;

    fn is_twice<T: Element + ?Sized>() -> bool {
        T::SIZE.is_none()
    }

    fn layout<T: Element + ?Sized>() -> Layout {
        let words = match T::SIZE {
            Some(_) => layout::<Words>("many-to-many channel 1"),
            None => layout::<records::Front>("many-to-many channel 2"),
        };
        let offset = slot::<T>().map_or(0, |(_, offset)| offset);
        words.field("value", offset, T::LAYOUT)
    }

    fn plan<T: Element + ?Sized>(capacity: u64, full: Full, seats: u32) -> Result<Plan> {
        if !(2..=word::SEATS).contains(&seats) {
            return Err(refuse("a many-to-many channel has 2 to 60 seats"));
        }
        let each = slot::<T>().map(|(bytes, _)| bytes);
        let (capacity, ring) = ring::<T>(capacity, each.ok_or_else(|| refuse(TOO_MUCH))?)?;
        if T::SIZE.is_none() && capacity > record::MOST {
            let why = "a many-to-many channel of messages has at most 4 GiB";
            return Err(refuse(why));
        }
        let control = control::<T>(capacity).ok_or_else(|| refuse(TOO_MUCH))?;
        Ok(Plan {
            capacity,
            full,
            seats,
            control,
            ring,
        })
    }

    fn longest(capacity: u64) -> usize {
        message::longest(capacity)
    }
}

asked! { Sender Receiver:
    "About how many values, or bytes of messages, each rounded up to 64, are in it now.",
    "How many values were dropped because it was full, since it was made.",
    "Whether somebody lives at the other side."
}
