//! UDP socket: messages across machines, to one or many; they may get lost, doubled or overtaken.

use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{
    Accepted, Delivery, Durability, FanOut, Guarantees, Order, Overflow, PeerDeath,
};
use crate::limit::{self, Limit, Source};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "udp",
    title: "UDP socket",
    noun: "UDP socket",
    family: Family::Message,
    naming: Naming::HostPort,
    unnamed_form: false,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Message),
    direction: Some(Direction::Many),
    reach: Reach::Network,
    pollable: true,
    named_by: "host:port",
    lives: "last process",
    carries: "messages, unreliable, across machines",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        Limit {
            name: "the length field of IP",
            bounds: "bytes of one message over IPv4",
            source: Source::Fixed(65507),
            errnos: &[libc::EMSGSIZE],
        },
    ],
    guarantees: Guarantees {
        delivery: Delivery::BestEffort,
        accepted: Accepted::OnTheWire,
        order: Order::None,
        durability: Durability::Process,
        fan_out: FanOut::Either,
        overflow: Overflow::DropsNewest,
        duplicates: true,
        peer_death: PeerDeath::Unnoticed,
    },
    man: "udp(7)",
};
