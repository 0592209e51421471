//! Carrier: what is needed to carry calls; one for each facility, in the order of the table.

use super::link::Link;
use super::{Options, Server, channel, queue, stream};
use crate::error::Result;
use crate::facility::Facility;
use crate::name::Name;
use crate::wait::Wait;

/// What carries calls.
pub(super) struct Carrier {
    pub(super) facility: &'static Facility,
    /// The options of its addresses beside those of all ([`COMMON`]).
    pub(super) options: &'static [&'static str],
    pub(super) connect: fn(&Name, &Options, Wait) -> Result<Box<dyn Link>>,
    pub(super) listen: fn(&Name, &Options) -> Result<Server>,
}

/// The options of every carrier.
pub(super) const COMMON: &[&str] = &["clients", "waiting"];

/// All of them.
pub(super) const CARRIERS: &[Carrier] = &[
    stream::unix::CARRIER,
    stream::tcp::CARRIER,
    channel::CARRIER,
    queue::CARRIER,
];
