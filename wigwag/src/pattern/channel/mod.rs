//! Channel: values and messages from process to process in shared memory, filled in place and read in place.
//!
//! | need | flavour |
//! |---|---|
//! | one sends, one receives, as fast as the memory | [`one_to_one`] |
//! | many send, many receive, each value once | [`many_to_many`] |
//! | one sends, and every receiver gets every value | [`broadcast`] |
//! | only the newest value counts; nobody waits for anybody | [`latest`] |
//!
//! What goes through is named in the type: numbers, arrays of them, a structure of your own declared by [`plain!`](crate::plain), or
//! `[u8]` for byte messages of any length.
//!
//! ```
//! use wigwag::pattern::channel::one_to_one;
//!
//! wigwag::plain! {
//!     pub struct Reading {
//!         pub celsius: f64,
//!         pub sensor: u64,
//!     }
//! }
//! let (mut sender, mut receiver) = one_to_one::pair::<Reading>(64)?;
//! sender.send(Reading { celsius: 21.5, sensor: 7 })?;
//! assert_eq!(receiver.recv()?.sensor, 7);
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! What all promise: a value is seen whole or not at all; the death of a process at any instruction loses nothing that
//! was accepted, blocks nobody, and is told to those who wait for it at once ([`Kind::Disconnected`](crate::Kind::Disconnected));
//! whatever a broken or hostile peer writes into the memory, the others get wrong values or errors and nothing worse
//! (with [`Trust::Nobody`](crate::memory::segment::Trust::Nobody); with the default the peers are trusted not to change
//! a value while it is looked at).
//!
//! **One interface.** The flavours differ in who gets what, not in how it is said: `Sender` and `Receiver` of each have
//!
//! | | values | byte messages |
//! |---|---|---|
//! | one | `send(value)`, `try_send(value)`, `send_timeout(value, limit)` | the same, of `&[u8]` |
//! | filled in place | `loan()`, `try_loan()` | `loan(len)`, `try_loan(len)`, which can be made shorter |
//! | many | `send_many(&values)`, `try_send_many(&values)`, `loan_many(most)` | `send_many(&messages)`, `try_send_many(&messages)` |
//! | receive | `recv()`, `try_recv()`, `recv_timeout(limit)` | the same |
//! | many | `recv_many()`, `try_recv_many()`: a slice | the same: `next()` gives one after the other |
//! | asked | `capacity()`, `level()`, `lost()`, `is_connected()`, `close()` | and `longest()` |
//!
//! What waits goes on until it can, or says why it never will; `try_` never waits, and says `false`, `None` or how many. What differs:
//!
//! - [`latest`] is never full, so `try_send` always says `true` and no time is ever over; and of many only the last is the newest, so
//!   `loan_many` lends one and `recv_many` gives one. Its receiver has `latest()` besides, for what was seen before.
//! - There is no `loan_many` of byte messages: how long each is must be known before the next can lie behind it.
//! - `receiver_with_last` is of [`broadcast`] only: elsewhere what was received is gone, or only the newest is there.
//! - What is received says how much was `missed()` before it in [`broadcast`] and [`latest`]; in the others nobody is overtaken alone.
//! - Who sends to nobody is told `Disconnected`, when it is full, where values wait for one who takes them away; in [`broadcast`]
//!   and [`latest`] they go by, and `receivers()` says how many there are.
//! - [`many_to_many`]: what is lent holds up those behind it, as is said there.
//!
//! **To wait for several at once**, any end of any flavour becomes a descriptor ([`Pollable`]), readable when an attempt is worth while, for
//! [`select`], `poll(2)` and `epoll(7)`; under tokio (`features = ["tokio"]`) a receiver in an `Async` is a `Stream` and a sender a `Sink`, of values or of `Vec<u8>`. What does
//! not wait (`try_recv`, `try_send`) says `Disconnected` as what waits does, when there is nothing and nobody is left who could change that.
//!
//! **Fork:** the ends belong to the process that took them. A child must not use those it inherits; it opens the channel
//! by name, or by the descriptor, and takes its own.

pub(crate) mod address;
pub(crate) mod bell;
pub mod broadcast;
mod bytes;
mod element;
mod ends;
mod flavour;
mod full;
pub mod latest;
pub mod many_to_many;
pub mod one_to_one;
mod options;
#[cfg(not(loom))]
mod poll;
#[cfg(loom)]
#[allow(missing_docs)]
pub mod poll;
pub(crate) mod region;
mod scratch;
mod select;
mod waiting;

pub use self::element::Element;
pub use self::flavour::{Channel, Flavour, Form};
pub use self::full::Full;
pub use self::options::Options;
pub use self::poll::{Outcome, Pollable, Waitable};
pub use self::select::select;
pub use self::waiting::Waiting;

use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{Accepted, Delivery, Durability, FanOut, Guarantees, Order, Overflow};
use crate::limit;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "channel",
    title: "channel (zero-copy ring)",
    noun: "channel",
    family: Family::Pattern,
    naming: Naming::Slash,
    unnamed_form: true,
    persistence: Persistence::Kernel,
    boundary: Some(Boundary::Message),
    direction: Some(Direction::OneWay),
    reach: Reach::Host,
    pollable: true,
    named_by: "/name, or a descriptor",
    lives: "unlink or reboot",
    carries: "typed values or byte messages",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, limit::MAPS],
    guarantees: Guarantees {
        // A receiver that is killed before it gives a value back leaves it to the next.
        delivery: Delivery::AtLeastOnce,
        accepted: Accepted::Queued,
        order: Order::Total,
        durability: Durability::Kernel,
        duplicates: true,
        ..Guarantees::STREAM
    },
    man: "shm_overview(7), futex(2)",
};

/// The flavours by the names that they have in an address (`channel:/camera?flavour=latest`), and what each promises
/// unless another policy is chosen for one that is full.
pub const FLAVOURS: [(&str, Guarantees); 4] = [
    (name::<one_to_one::OneToOne>(), FACILITY.guarantees),
    (name::<many_to_many::ManyToMany>(), FACILITY.guarantees),
    (
        name::<broadcast::Broadcast>(),
        Guarantees {
            // To those who are there; what a receiver has not given back when it is killed goes to nobody else.
            delivery: Delivery::AtMostOnce,
            fan_out: FanOut::All,
            duplicates: false,
            ..FACILITY.guarantees
        },
    ),
    (
        name::<latest::Latest>(),
        Guarantees {
            delivery: Delivery::BestEffort,
            fan_out: FanOut::All,
            overflow: Overflow::Overwrites,
            duplicates: false,
            ..FACILITY.guarantees
        },
    ),
];

const fn name<F: flavour::sealed::Form>() -> &'static str {
    F::NAME
}
