//! Latest: the newest value of one writer, for any number of readers; nobody ever waits for anybody else to finish.
//!
//! ```
//! use wigwag::pattern::channel::{Options, latest::Channel};
//!
//! let position: Channel<[f64; 3]> = Options::new().anonymous()?;
//! let (mut sender, mut receiver) = (position.sender()?, position.receiver()?);
//! sender.send([0.0, 0.0, 1.0])?;
//! let mut loan = sender.loan()?; // filled in place
//! *loan = [0.0, 0.0, 2.0];
//! loan.send();
//! assert_eq!(*receiver.recv()?, [0.0, 0.0, 2.0]); // one newer than it has seen: the first was missed
//! assert_eq!(receiver.latest()?.as_deref(), Some(&[0.0, 0.0, 2.0])); // or just what there is
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! The sender has several buffers and writes into the one that was written longest ago, never into the newest. A reader copies the
//! newest, and then looks whether the sender has come round to that buffer meanwhile; if so it copies again. One that this happens to
//! thrice in a row asks the sender to leave a buffer alone, who does so from his next value on: so a reader gets its value after
//! one more copy, however fast the sender is, and the sender waits for nobody.
//!
//! **How many buffers** is the [`capacity`](Options::capacity), from 4 to 64; unless told otherwise as many of these as 64 KiB hold. For
//! byte messages, the capacity is the longest of them. All buffers but two can be left alone at a time, 2 of 4 and 62 of 64; if more
//! readers than that are overtaken at once they take turns, and what is promised becomes what is likely.
//!
//! **To poll** ([`Pollable`](super::Pollable)): a receiver is readable when there is a newer value than it received, the sender always. A stream says how
//! many came and went between if it is asked (`Async::with_missed`).
//!
//! **What is lost by a kill.** Sender: what he was writing; the value before stays, and a new sender may come at once. Receiver: nothing; a buffer at
//! which it stayed is written again. The policy [`Full`] has no meaning here: it is never full.

use std::marker::PhantomData;

mod board;
mod guests;
mod many;
mod message;
mod poll;
mod value;
#[cfg(not(loom))]
mod version;
#[cfg(loom)]
#[allow(missing_docs)]
pub mod version;

use self::board::{Reading, Writing};
pub use self::many::{Batch, LoanMany, Messages};
pub use self::message::{Message, MessageLoan};
pub use self::value::{Loan, Received};
use self::version::{MOST, Newest};
use super::element::Element;
use super::ends::Role;
use super::flavour::{TOO_ALIGNED, TOO_MUCH, asked, refuse, sealed};
use super::full::Full;
use super::options::Options;
use super::region::Plan;
use super::scratch::Scratch;
use crate::error::Result;
use crate::memory::mapping::page;
use crate::shared::{Layout, layout};
use crate::sys::atomic::AtomicU64;

/// The newest value of one sender for many receivers, of which none need be in this process.
pub type Channel<T> = super::Channel<Latest, T>;

/// One sender and many receivers, and the newest value only.
#[derive(Debug)]
pub enum Latest {}

/// The end that sends.
pub struct Sender<T: Element + ?Sized> {
    side: Writing,
    /// What is being filled where peers are not trusted.
    scratch: Scratch,
    of: PhantomData<fn(&T)>,
}

/// An end that receives.
pub struct Receiver<T: Element + ?Sized> {
    side: Reading,
    /// The copy.
    scratch: Scratch,
    of: PhantomData<fn() -> Box<T>>,
}

/// The control words, in shared memory.
#[repr(C)]
struct Words {
    version: Newest,
    /// Whether a reader has asked for a buffer that the sender leaves alone.
    asked: Line,
}

#[repr(C, align(64))]
struct Line(AtomicU64);

/// The buffers: how many there are, a power of two, and how many bytes from one to the next.
#[derive(Debug, Clone, Copy)]
struct Shape {
    count: u64,
    stride: u64,
}

/// The sender's seat; all others are receivers'.
const SENDER: usize = 0;
/// Fewer buffers than this leave nothing over for one that cannot keep up.
const FEWEST: u64 = 4;
/// As many buffers as fit into so many bytes, unless told otherwise.
const SPACE: u64 = 64 << 10;
/// Before the bytes of a message: how many they are.
const LENGTH: u64 = 8;
/// The last bytes of a buffer: which version is there.
const TAG: u64 = 8;
/// Buffers begin at multiples of so many bytes, so that the sender in one does not disturb the readers of the other.
const LINE: u64 = 64;

/// A new channel without a name, with its sender and one receiver, of at least `capacity` buffers or bytes of the longest message.
///
/// # Errors
/// `BadInput` for more than 64 buffers; `Limit` when there is no room.
pub fn pair<T: Element + ?Sized>(capacity: u64) -> Result<(Sender<T>, Receiver<T>)> {
    let channel: Channel<T> = Options::new().capacity(capacity).anonymous()?;
    Ok((channel.sender()?, channel.receiver()?))
}

impl Shape {
    /// That of a channel of this capacity.
    fn of<T: Element + ?Sized>(capacity: u64) -> Option<Shape> {
        let len = match T::SIZE {
            Some(size) => size as u64,
            None => capacity.checked_add(LENGTH)?,
        };
        let stride = len
            .checked_add(TAG)?
            .checked_next_multiple_of(LINE.max(T::ALIGN as u64))?;
        let usual = (SPACE / stride).clamp(FEWEST, MOST).next_power_of_two();
        let count = match T::SIZE {
            Some(_) if capacity > 0 => capacity,
            _ => usual,
        };
        count.checked_mul(stride)?;
        Some(Shape { count, stride })
    }
}

impl<T: Element + ?Sized> Channel<T> {
    /// Takes the end that sends.
    ///
    /// # Errors
    /// `Limit` while another process or thread has it; `Removed` when a new channel has the name by now; `Corrupt`.
    pub fn sender(&self) -> Result<Sender<T>> {
        Ok(Sender {
            side: Writing::take(&self.region, self.shape())?,
            scratch: Scratch::default(),
            of: PhantomData,
        })
    }

    /// Joins as a receiver.
    ///
    /// # Errors
    /// `Limit` when all seats are taken ([`Options::seats`]); `Removed` when a new channel has the name by now.
    pub fn receiver(&self) -> Result<Receiver<T>> {
        Ok(Receiver {
            side: Reading::take(&self.region, self.shape(), self.waiting)?,
            scratch: Scratch::default(),
            of: PhantomData,
        })
    }

    fn shape(&self) -> Shape {
        match Shape::of::<T>(self.region.plan().capacity) {
            Some(shape) => shape,
            None => unreachable!("the plan was checked when it was made or opened"),
        }
    }
}

impl sealed::Form for Latest {
    const NAME: &'static str = "latest";
    const SEATS: u32 = 64;

    // So that who reads has addresses of its own, see `Reading`.
    fn is_twice<T: Element + ?Sized>() -> bool {
        true
    }

    fn layout<T: Element + ?Sized>() -> Layout {
        layout::<Words>("latest channel 2").with(T::LAYOUT)
    }

    fn capacity<T: Element + ?Sized>() -> u64 {
        match T::SIZE {
            // As if none were asked for: what is usual.
            Some(_) => Shape::of::<T>(0).map_or(FEWEST, |shape| shape.count),
            None => 64 << 10,
        }
    }

    fn plan<T: Element + ?Sized>(capacity: u64, full: Full, seats: u32) -> Result<Plan> {
        if !(2..=1024).contains(&seats) {
            return Err(refuse("a channel of the latest value has 2 to 1024 seats"));
        }
        if matches!(full, Full::Fail | Full::DropNewest) {
            let why = "a channel of the latest value is never full: it keeps the newest only";
            return Err(refuse(why).with_hint("leave the policy out"));
        }
        let least = match T::SIZE {
            Some(_) if capacity > MOST => {
                let why = "a channel of the latest value has 4 to 64 buffers";
                return Err(refuse(why).with_hint("ask for a capacity of 64 at most, or for none"));
            }
            Some(_) => FEWEST,
            None => 8,
        };
        let planned = capacity
            .max(least)
            .checked_next_power_of_two()
            .and_then(|capacity| Some((capacity, Shape::of::<T>(capacity)?)))
            .map(|(capacity, shape)| (capacity, shape.count * shape.stride))
            .filter(|(_, ring)| *ring <= 1 << 46);
        if T::ALIGN > page() {
            return Err(refuse(TOO_ALIGNED));
        }
        let Some((capacity, ring)) = planned else {
            return Err(refuse(TOO_MUCH));
        };
        Ok(Plan {
            capacity,
            full,
            seats,
            control: size_of::<Words>(),
            ring,
        })
    }

    fn longest(capacity: u64) -> usize {
        usize::try_from(capacity).unwrap_or(usize::MAX)
    }
}

asked! { Sender:
    "How many values are in it: the newest, or none.",
    "How many values were dropped for want of room: none, ever.",
    "Whether any receiver lives."
}
asked! { Receiver:
    "How many newer values than the last that it received were sent; only the newest of them can still be had.",
    "How many values came and went, since the first that was sent, without this receiver having seen them.",
    "Whether the sender lives."
}

impl<T: Element + ?Sized> Sender<T> {
    /// How many receivers live.
    #[must_use]
    pub fn receivers(&self) -> usize {
        self.side.region().count(Role::Receiver)
    }

    /// How many values were ever sent, by all senders.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.side.version()
    }
}
