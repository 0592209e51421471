//! Messages: one send is one receive.
//!
//! | need | use |
//! |---|---|
//! | a queue with a name that outlives its processes, priorities | [`posix`] |
//! | the same with types to choose from at the receiver, older programs | [`sysv`] |
//! | messages between connected processes, with an end, descriptors | [`seqpacket`] |
//! | messages to a socket that anybody may send to | [`datagram`] |
//! | across machines, to one or many, may be lost | [`udp`] |
//!
//! All members promise: a message arrives whole or not at all, and two that arrive from one
//! sender (at one priority or type) arrive in the order sent, except over UDP.

use crate::error::{Kind, Result};
use crate::facility::Facility;
use crate::name::Name;
use crate::sys::ancillary;
use crate::wait::Wait;

pub mod datagram;
pub mod posix;
pub mod seqpacket;
pub mod sysv;
mod transfer;
pub mod udp;

/// What goes with a message beside its bytes. Where a facility has no such thing, asking for it is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Note {
    /// POSIX queues: higher is received first.
    pub priority: Option<u32>,
    /// System V queues: the type, from 1.
    pub kind: Option<i64>,
}

/// Who sent a message, as the kernel vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// A process of this machine.
    Process {
        /// Its process id in our pid namespace; 0 when it lies outside.
        pid: i32,
        /// Its effective user.
        uid: u32,
        /// Its effective group; `u32::MAX` where the kernel does not tell, as for signals.
        gid: u32,
    },
    /// An address that can be sent to, written as one of ours.
    Address(String),
}

/// A process and whom it runs for, as the kernel vouches for it.
#[doc(alias = "ucred")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Its process id in our pid namespace; 0 when it lies outside.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl From<ancillary::Credentials> for Credentials {
    fn from(ancillary::Credentials { pid, uid, gid }: ancillary::Credentials) -> Self {
        Credentials { pid, uid, gid }
    }
}

impl From<Credentials> for Sender {
    fn from(Credentials { pid, uid, gid }: Credentials) -> Self {
        Sender::Process { pid, uid, gid }
    }
}

/// What came with a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Received {
    /// The priority, type.
    pub note: Note,
    /// Who sent it, where the facility tells.
    pub sender: Option<Sender>,
    /// How many messages this receiver missed directly before this one: in a channel that overwrites.
    pub missed: u64,
    /// How many messages never came to this receiver because the object was full, as far as it counts them: those it
    /// missed itself, or, where receivers share messages or the newest are dropped, all since the object was made.
    pub lost: u64,
}

/// An open message facility, whatever it is made of.
pub trait Messages: Send + Sync {
    /// Sends one message.
    ///
    /// # Errors
    /// [`TooBig`](crate::Kind::TooBig) over [`max_len`](Messages::max_len), `WouldBlock`, `TimedOut`,
    /// `Disconnected`, `Removed`; `BadInput` when `note` has what the facility has not.
    fn send_with(&self, message: &[u8], note: Note, wait: Wait) -> Result<()>;

    /// Receives one message into `buffer`, replacing what was there; `None` when all senders
    /// of a connection are gone and nothing is left. `kind` chooses by type (`msgrcv(2)`),
    /// where the facility has types.
    ///
    /// # Errors
    /// As for sending.
    fn recv_with(
        &self,
        buffer: &mut Vec<u8>,
        kind: Option<i64>,
        wait: Wait,
    ) -> Result<Option<Received>>;

    /// The longest message in bytes.
    fn max_len(&self) -> usize;
}

/// Refuses what the messages of a socket do not have.
#[inline]
fn no_note(facility: &Facility, name: &Name, note: Note) -> Result<()> {
    match note {
        Note {
            priority: None,
            kind: None,
        } => Ok(()),
        _ => Err(facility.error(
            Kind::BadInput,
            "send to",
            name,
            "its messages have no priority and no type",
        )),
    }
}

/// The same when receiving.
#[inline]
fn no_kind(facility: &Facility, name: &Name, kind: Option<i64>) -> Result<()> {
    match kind {
        None => Ok(()),
        Some(_) => Err(facility.error(
            Kind::BadInput,
            "receive from",
            name,
            "its messages have no type to choose by",
        )),
    }
}
