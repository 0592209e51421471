//! Broadcast: one sender, and each receiver sees each value, in order, from the moment it joined or from up to n values before.
//!
//! ```
//! use wigwag::pattern::channel::{Options, broadcast::Channel};
//!
//! let channel: Channel<u64> = Options::new().capacity(16).anonymous()?;
//! let (mut sender, mut early) = (channel.sender()?, channel.receiver()?);
//! sender.send(1)?;
//! sender.send(2)?;
//! let mut late = channel.receiver_with_last(1)?; // and what comes
//! assert_eq!(*early.recv()?, 1);
//! assert_eq!(*early.recv()?, 2);
//! assert_eq!(*late.recv()?, 2);
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! | [`Full`] | what the sender does when the slowest receiver is a whole ring behind | receivers read |
//! |---|---|---|
//! | [`Wait`](Full::Wait) | waits for it, as long as it lives | in place |
//! | [`Fail`](Full::Fail) | says `WouldBlock` | in place |
//! | [`DropNewest`](Full::DropNewest) | drops the new value for all, and counts it | in place |
//! | [`OverwriteOldest`](Full::OverwriteOldest) | does not look | a copy, and how many they [missed](Received::missed) |
//!
//! A receiver that overwriting may overtake cannot be given a reference into the ring: the value could change while it is
//! looked at. It gets a copy that is known to be whole.
//!
//! **Who is alone.** Without receivers, what is sent goes by; the newest values stay in the ring for who joins. Receivers are told
//! `Disconnected` when the sender has left or was killed and they have read all; a new sender may come, and they go on.
//!
//! **To poll** ([`Pollable`](super::Pollable)): a receiver is readable when something is behind its own place, the sender when the slowest receiver that
//! lives has made the room that its last attempt wanted; in a channel that overwrites always. A stream says what was missed if it is asked
//! (`Async::with_missed`).
//!
//! **What is lost or doubled by a kill.** Sender: what it had not yet sent. Receiver: it is waited for no longer, its seat is free; one that
//! comes instead of it is a new receiver, which sees what is sent from then on (or the last n). So to each receiver that lives
//! a value is delivered exactly once while nothing overtakes it.
//!
//! **Why one sender.** A value has one place in the order that all receivers see, and here its sender decides it by a plain store, while
//! receivers sleep on one word, which the kernel changes when the sender is killed. Several senders would need a turn that outlives the death
//! of who has it, taken and given back with each value, and each receiver would have to listen to each of them: all would pay for what
//! few need. So several who publish have a channel each, which keeps one's values in order and holds up nobody, and who receives
//! [selects](super::select) among them:
//!
//! ```
//! use wigwag::Wait;
//! use wigwag::pattern::channel::{Pollable, broadcast, select};
//!
//! let (mut north, receiver) = broadcast::pair::<u64>(16)?; // each with a name, in a process of its own
//! let (mut south, other) = broadcast::pair::<u64>(16)?;
//! let mut receivers = [Pollable::new(receiver)?, Pollable::new(other)?];
//! south.send(7)?;
//! north.send(1)?;
//! let mut sum = 0;
//! while sum < 8 {
//!     let [first, second] = &receivers;
//!     let next = select(&[first, second], Wait::Forever)?;
//!     let value = receivers[next].attempt(|end| Ok(end.try_recv()?.map(|value| *value)))?;
//!     sum += value.unwrap_or(0);
//! }
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! Where there must be one order for all, the values go through a [`many_to_many`](super::many_to_many) channel to one who broadcasts them; or the
//! processes take turns at being the sender: the next may be it as soon as the one before leaves or is killed.

use std::marker::PhantomData;

#[cfg(not(loom))]
mod course;
#[cfg(loom)]
#[allow(missing_docs)]
pub mod course;
mod message;
mod message_loan;
#[cfg(loom)]
#[allow(missing_docs)]
pub mod model;
mod poll;
mod publishing;
mod record;
mod subscribed;
mod value;

use self::course::Front;
pub use self::message::{Message, Messages};
pub use self::message_loan::MessageLoan;
use self::publishing::Publishing;
use self::record::{Header, Ring};
use self::subscribed::Subscribed;
pub use self::value::{Batch, Loan, LoanMany, Received};
use super::element::Element;
use super::ends::{End, Role};
use super::flavour::{asked, refuse, ring, sealed};
use super::full::Full;
use super::options::Options;
use super::region::{Plan, Region};
use super::scratch::Scratch;
use crate::error::Result;
use crate::shared::{Layout, layout};
use crate::sys::atomic::{AtomicU64, Ordering};

/// A channel with one sender and many receivers, of which none need be in this process.
pub type Channel<T> = super::Channel<Broadcast, T>;

/// One sender and many receivers, each value for all of these.
#[derive(Debug)]
pub enum Broadcast {}

/// The end that sends to all.
pub struct Sender<T: Element + ?Sized> {
    side: Publishing,
    ring: Ring,
    /// Of messages: the number of the next one, and the size of the record before it.
    sequence: u64,
    back: u32,
    /// What is being filled where others may look meanwhile.
    scratch: Scratch,
    of: PhantomData<fn(&T)>,
}

/// An end that receives all.
pub struct Receiver<T: Element + ?Sized> {
    side: Subscribed,
    ring: Ring,
    /// Of messages: the number of the next one.
    sequence: u64,
    /// What is being looked at where it might change meanwhile.
    scratch: Scratch,
    of: PhantomData<fn() -> Box<T>>,
}

/// The control words, in shared memory.
#[repr(C, align(64))]
struct Words {
    front: Front,
    /// How many values were dropped.
    lost: Line,
    /// How many seats were ever taken: the sender looks at no more cursors. Raised before the cursor is set.
    seats: Line,
}

impl Words {
    /// The seats that were ever taken.
    fn seats<'a>(&self, region: &'a Region) -> &'a [End] {
        let seats = self.seats.0.load(Ordering::Acquire);
        let ends = region.ends();
        &ends[..ends.len().min(seats as usize)]
    }
}

#[repr(C, align(64))]
struct Line(AtomicU64);

/// The sender's seat; all others are receivers'.
const SENDER: usize = 0;

/// A new channel without a name, with its sender and one receiver.
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
    /// `Limit` while another process or thread has it; `Removed` when a new channel has the name by now; `Corrupt`.
    pub fn sender(&self) -> Result<Sender<T>> {
        let side = Publishing::take(&self.region, self.waiting)?;
        let next = match T::SIZE {
            Some(_) => Header::default(),
            None => record::next(&side)?,
        };
        Ok(Sender {
            side,
            ring: Ring::of(&self.region),
            sequence: next.sequence,
            back: next.back,
            scratch: Scratch::default(),
            of: PhantomData,
        })
    }

    /// Joins as a receiver that sees what is sent from now on.
    ///
    /// # Errors
    /// `Limit` when all seats are taken ([`Options::seats`]); `Removed` when a new channel has the name by now; `Corrupt`.
    pub fn receiver(&self) -> Result<Receiver<T>> {
        self.receiver_with_last(0)
    }

    /// The same, and before it the last `count` values: fewer when there were fewer, or when they have left the ring, which keeps at
    /// least seven eighths of its capacity.
    ///
    /// # Errors
    /// As for [`receiver`](Self::receiver).
    #[doc(alias = "history")]
    pub fn receiver_with_last(&self, count: u64) -> Result<Receiver<T>> {
        let seat = Subscribed::sit(&self.region)?;
        let (start, sequence) = match T::SIZE {
            Some(_) => Subscribed::join(&seat, |tail, _| (tail.saturating_sub(count), 0))?,
            None => Subscribed::join(&seat, |tail, floor| {
                record::walk_back(&self.region, tail, floor, count)
            })?,
        };
        Ok(Receiver {
            side: Subscribed::new(seat, start, self.waiting),
            ring: Ring::of(&self.region),
            sequence,
            scratch: Scratch::default(),
            of: PhantomData,
        })
    }
}

impl sealed::Form for Broadcast {
    const NAME: &'static str = "broadcast";
    const SEATS: u32 = 32;

    // Messages, so that none wraps; values, so that who reads has addresses of its own, see `Subscribed::ring`.
    fn is_twice<T: Element + ?Sized>() -> bool {
        true
    }

    fn layout<T: Element + ?Sized>() -> Layout {
        layout::<Words>("broadcast channel 2").with(T::LAYOUT)
    }

    fn plan<T: Element + ?Sized>(capacity: u64, full: Full, seats: u32) -> Result<Plan> {
        if !(2..=1024).contains(&seats) {
            return Err(refuse("a broadcast channel has 2 to 1024 seats"));
        }
        let (capacity, ring) = ring::<T>(capacity, T::SIZE.unwrap_or(1))?;
        Ok(Plan {
            capacity,
            full,
            seats,
            control: size_of::<Words>(),
            // A type of no bytes has a ring nevertheless.
            ring: ring.max(1),
        })
    }

    fn longest(capacity: u64) -> usize {
        record::longest(capacity)
    }
}

asked! { Sender:
    "How many values, or bytes of messages, the slowest receiver is behind.",
    "How many values were dropped because it was full, since it was made.",
    "Whether any receiver lives."
}
asked! { Receiver:
    "How many values, or bytes of messages, this receiver is behind.",
    "How many values never came to this receiver: those that it missed because they were overwritten, or, in a channel
that drops the newest, all that were dropped since the channel was made.",
    "Whether the sender lives."
}

impl<T: Element + ?Sized> Sender<T> {
    /// How many receivers live.
    #[must_use]
    pub fn receivers(&self) -> usize {
        self.side.region().count(Role::Receiver)
    }
}
