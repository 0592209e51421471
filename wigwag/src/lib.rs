//! wigwag: every kind of interprocess communication on Unix, in one coherent, safe library.
//!
//! # How to choose
//!
//! | need | family | begin with |
//! |---|---|---|
//! | bytes in order, no boundaries | [`stream`] | [`stream::pipe`] to a child, [`stream::unix`] on one machine, [`stream::tcp`] beyond |
//! | one send is one receive | [`message`] | [`message::posix`] by name, [`message::seqpacket`](message::datagram) with a connection |
//! | one value in many processes | [`memory`] | [`memory::memfd`] passed on, [`memory::posix`] by name, [`memory::file`] to survive a reboot |
//! | who may go on | [`gate`] | [`gate::file_lock`] (its holder's death opens it), [`gate::posix`] to count |
//! | tell a process that something happened | [`signal`] | [`signal`] |
//! | values or messages at the speed of memory | [`pattern`] | [`pattern::channel`] |
//! | one letter at a time, also for unlike processors | [`pattern`] | [`pattern::mailbox`] |
//! | ask a server, and get its answer | [`pattern`] | [`pattern::rpc`] |
//! | whatever an address says | [`catalog`] | [`open()`] |
//!
//! # The verbs
//!
//! The same everywhere: `create open unlink` for what has a name, `pair anonymous` for what has none,
//! `send recv`, `acquire release`, `lock`, `stat`. What can wait comes three times: `x` waits as long as it takes,
//! `try_x` not at all, `x_timeout(Duration)` as long as told, on the monotonic clock. `Drop` closes; it
//! never removes a name unless `temporary(true)` was asked. Descriptors are close-on-exec.
//! A system call that a signal handler interrupts goes on, unless its documentation or the program ([`interrupt`]) says otherwise.
//!
//! # Every facility
//!
#![doc = include_str!("facilities.md")]
//!
//! The table is [`catalog::markdown`]: each row is a [`Facility`], declared in the module that does it.
//!
//! # Features
//!
//! `tokio`: the asynchronous form of everything that has a pollable descriptor. Without it the
//! library needs of others only `rustix` and `libc`.

mod address;
#[cfg(feature = "tokio")]
mod asynchronous;
pub mod catalog;
mod error;
pub mod facility;
pub mod gate;
pub mod guarantees;
pub mod interrupt;
mod key;
pub mod limit;
pub mod memory;
pub mod message;
pub mod name;
pub mod opening;
mod options;
pub mod pattern;
pub mod shared;
pub mod signal;
pub mod stream;
pub(crate) mod sys;
mod wait;

pub use address::Address;
#[cfg(feature = "tokio")]
pub use asynchronous::{Async, WithMissed, WouldBlock};
pub use catalog::{Endpoint, open};
pub use error::{Error, Kind, Result};
pub use facility::Facility;
pub use guarantees::{Guarantees, Needs};
pub use key::Key;
pub use name::Name;
pub use opening::{Opening, Role, Target, Way};
pub use options::Options;
pub use wait::Wait;

/// What the README shows must work as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
