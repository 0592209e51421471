//! Guarantees: what an endpoint promises, so that a program can refuse at open what would fail at night.
//!
//! There is no value *exactly once*: nothing gives it. A program states its [`Needs`];
//! [`Guarantees::require`] says which of them an endpoint does not meet.
//!
//! ```
//! use wigwag::guarantees::{Needs, Order};
//! use wigwag::{message, stream};
//!
//! let needs = Needs::default().ordered().peer_death_noticed();
//! stream::pipe::FACILITY.guarantees.require("pipe", &needs).unwrap();
//! let udp = message::udp::FACILITY.guarantees.require("udp:localhost:9", &needs);
//! assert!(udp.unwrap_err().to_string().contains("order"));
//! ```

use std::fmt;

use crate::error::{Error, Kind, Result};

/// How often what was accepted arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Delivery {
    /// Nothing is delivered: there is state, not transfer.
    None,
    /// It may get lost on the way even while both ends live.
    BestEffort,
    /// Once, or not at all if an end dies first.
    AtMostOnce,
    /// Again until it is acknowledged.
    AtLeastOnce,
}

/// What a successful send means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Accepted {
    /// Nothing: no send.
    Nothing,
    /// It left this process, nobody else has it yet.
    OnTheWire,
    /// It is in a queue of the kernel, or in the memory both share.
    Queued,
    /// The other side's engine has it.
    ByPeer,
    /// It is on stable storage.
    Stored,
    /// The receiver has dealt with it.
    Processed,
}

/// In which order things arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// In any.
    None,
    /// As sent, for each sender.
    PerSender,
    /// As sent, over all senders.
    Total,
    /// Higher priority first, as sent within one.
    Priority,
}

/// What survives what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Gone with the last process.
    Process,
    /// There until removed or reboot.
    Kernel,
    /// There after a reboot, once flushed.
    Disk,
}

/// Who gets a thing that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FanOut {
    /// One of the receivers.
    One,
    /// Every receiver.
    All,
    /// One or all, as the address says.
    Either,
}

/// What happens to the sender when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// There is nothing to fill.
    Never,
    /// It waits, or is told so if it asked not to.
    Waits,
    /// It gets an error.
    Fails,
    /// The newest is dropped, silently.
    DropsNewest,
    /// A value of the same kind that is pending absorbs it.
    Merges,
    /// The old value is gone.
    Overwrites,
}

/// What the living learn when the other end is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerDeath {
    /// Nothing.
    Unnoticed,
    /// End of file or an error, at once.
    Noticed,
    /// What it held is released by the kernel, nobody is told.
    Released,
    /// What it held is released and the next owner is told.
    Reported,
    /// What it held stays held.
    StaysHeld,
}

/// What an endpoint promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guarantees {
    /// How often what was accepted arrives.
    pub delivery: Delivery,
    /// What a successful send means.
    pub accepted: Accepted,
    /// In which order things arrive.
    pub order: Order,
    /// What survives what.
    pub durability: Durability,
    /// Who gets a thing that was sent.
    pub fan_out: FanOut,
    /// What happens when there is no room.
    pub overflow: Overflow,
    /// Whether a thing can arrive twice.
    pub duplicates: bool,
    /// What the living learn when the other end is killed.
    pub peer_death: PeerDeath,
}

impl Guarantees {
    /// What a byte stream between two processes of one machine promises.
    pub const STREAM: Self = Self {
        delivery: Delivery::AtMostOnce,
        accepted: Accepted::Queued,
        order: Order::Total,
        durability: Durability::Process,
        fan_out: FanOut::One,
        overflow: Overflow::Waits,
        duplicates: false,
        peer_death: PeerDeath::Noticed,
    };

    /// What a piece of shared memory promises: the last write is there, and nobody is told.
    pub const MEMORY: Self = Self {
        delivery: Delivery::None,
        accepted: Accepted::Queued,
        order: Order::None,
        durability: Durability::Kernel,
        fan_out: FanOut::All,
        overflow: Overflow::Overwrites,
        duplicates: false,
        peer_death: PeerDeath::Unnoticed,
    };

    /// What a gate promises that the kernel opens when its holder dies.
    pub const GATE: Self = Self {
        delivery: Delivery::None,
        accepted: Accepted::Nothing,
        order: Order::None,
        durability: Durability::Process,
        fan_out: FanOut::One,
        overflow: Overflow::Never,
        duplicates: false,
        peer_death: PeerDeath::Released,
    };

    /// Whether every need is met; the error names each that is not, and what would meet it.
    ///
    /// # Errors
    /// [`Kind::Unmet`] with the reasons.
    pub fn require(&self, endpoint: impl fmt::Display, needs: &Needs) -> Result<()> {
        let unmet: Vec<&str> = needs
            .0
            .iter()
            .filter(|need| !(need.met)(self))
            .map(|need| need.otherwise)
            .collect();
        if unmet.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Unmet,
            "use",
            "endpoint",
            endpoint,
            unmet.join("; "),
        ))
    }
}

/// What a program needs of an endpoint; starts empty, each method adds one need.
#[derive(Debug, Clone, Default)]
pub struct Needs(Vec<Need>);

#[derive(Debug, Clone)]
struct Need {
    met: fn(&Guarantees) -> bool,
    otherwise: &'static str,
}

impl Needs {
    fn and(mut self, met: fn(&Guarantees) -> bool, otherwise: &'static str) -> Self {
        self.0.push(Need { met, otherwise });
        self
    }

    /// Nothing accepted is lost while both ends live.
    #[must_use]
    pub fn reliable(self) -> Self {
        self.and(
            |g| g.delivery >= Delivery::AtMostOnce && g.overflow != Overflow::DropsNewest,
            "it may lose what it accepted: use a stream, a queue or seqpacket",
        )
    }

    /// What was accepted arrives again until it is acknowledged.
    #[must_use]
    pub fn at_least_once(self) -> Self {
        self.and(
            |g| g.delivery == Delivery::AtLeastOnce,
            "it does not redeliver what a dead receiver took: use a broker with acknowledgement",
        )
    }

    /// Things arrive in the order in which each sender sent them.
    #[must_use]
    pub fn ordered(self) -> Self {
        self.and(
            |g| g.order != Order::None,
            "it keeps no order: use a stream, a queue or seqpacket",
        )
    }

    /// A send succeeds only when at least this much is known.
    #[must_use]
    pub fn accepted(self, at_least: Accepted) -> Self {
        match at_least {
            Accepted::Nothing => self,
            Accepted::OnTheWire => {
                self.and(|g| g.accepted >= Accepted::OnTheWire, "it sends nothing")
            }
            Accepted::Queued => self.and(
                |g| g.accepted >= Accepted::Queued,
                "a send is not yet queued when it returns",
            ),
            Accepted::ByPeer => self.and(
                |g| g.accepted >= Accepted::ByPeer,
                "a send does not wait for the peer: use a request with a response",
            ),
            Accepted::Stored => self.and(
                |g| g.accepted >= Accepted::Stored,
                "a send does not wait for storage: use a broker with confirmation",
            ),
            Accepted::Processed => self.and(
                |g| g.accepted >= Accepted::Processed,
                "a send does not wait for processing: use a request with a response",
            ),
        }
    }

    /// Contents outlive all processes.
    #[must_use]
    pub fn outlives_processes(self) -> Self {
        self.and(
            |g| g.durability >= Durability::Kernel,
            "it is gone with its last process: use a queue, named memory or a file",
        )
    }

    /// Contents outlive a reboot.
    #[must_use]
    pub fn survives_reboot(self) -> Self {
        self.and(
            |g| g.durability == Durability::Disk,
            "it does not survive a reboot: use a file or a broker with durable queues",
        )
    }

    /// Every receiver gets everything.
    #[must_use]
    pub fn to_all(self) -> Self {
        self.and(
            |g| matches!(g.fan_out, FanOut::All | FanOut::Either),
            "only one receiver gets each thing: use multicast, memory or a broadcast channel",
        )
    }

    /// The living learn that the other end was killed, or that what it held is free.
    #[must_use]
    pub fn peer_death_noticed(self) -> Self {
        self.and(
            |g| {
                matches!(
                    g.peer_death,
                    PeerDeath::Noticed | PeerDeath::Released | PeerDeath::Reported
                )
            },
            "nobody learns of a killed peer: use a stream, seqpacket, file lock or robust gate",
        )
    }
}

macro_rules! words {
    ($type:ident { $($variant:ident => $word:literal),* $(,)? }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($type::$variant => $word),* })
            }
        }
    };
}

words!(Delivery { None => "none", BestEffort => "best effort", AtMostOnce => "at most once", AtLeastOnce => "at least once" });
words!(Accepted { Nothing => "nothing", OnTheWire => "on the wire", Queued => "queued", ByPeer => "accepted by the peer", Stored => "stored", Processed => "processed" });
words!(Order { None => "none", PerSender => "per sender", Total => "total", Priority => "by priority" });
words!(Durability { Process => "process", Kernel => "kernel", Disk => "disk" });
words!(FanOut { One => "one", All => "all", Either => "one or all" });
words!(Overflow { Never => "never", Waits => "waits", Fails => "fails", DropsNewest => "drops the newest", Merges => "merges", Overwrites => "overwrites" });
words!(PeerDeath { Unnoticed => "unnoticed", Noticed => "noticed", Released => "released", Reported => "reported", StaysHeld => "stays held" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unmet_need_is_named_with_a_remedy() {
        let error = Guarantees::MEMORY
            .require("shm:/x", &Needs::default().reliable().ordered().to_all())
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Unmet);
        let text = error.to_string();
        assert!(
            text.contains("lose") && text.contains("order") && !text.contains("only one receiver"),
            "{text}"
        );
    }

    #[test]
    fn no_need_is_always_met() {
        Guarantees::GATE
            .require("eventfd", &Needs::default())
            .unwrap();
    }
}
