//! UDP socket: messages across machines, to one or many; they may get lost, doubled or overtaken.
//!
//! ```
//! use wigwag::message::udp::Socket;
//!
//! let server = Socket::bind("127.0.0.1:0")?;
//! let client = Socket::connect(&server.local()?.to_string())?;
//! client.send(b"ping")?;
//! let mut buffer = [0; 64];
//! let (len, from) = server.recv_from(&mut buffer)?;
//! server.send_to(&buffer[..len], from)?;
//! assert_eq!(client.recv(&mut buffer)?, 4);
//! # Ok::<(), wigwag::Error>(())
//! ```
//!
//! A message that is longer than the buffer is an error that says so; the rest of it is lost.
//! That nobody listens at the other end is told, if the other machine tells it, at a later send
//! or receive of a connected socket, as [`Kind::Disconnected`]: the call that reports it has
//! sent or received nothing.
//!
//! `udp(7)`, `ip(7)`, `ipv6(7)`.

mod options;
mod socket;

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::io::Errno;

pub use self::options::{Interface, Options};
pub use self::socket::Socket;
use crate::error::{Error, Kind, Result};
use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::{
    Accepted, Delivery, Durability, FanOut, Guarantees, Order, Overflow, PeerDeath,
};
use crate::limit::{self, Limit, Source};
use crate::message::Messages;
use crate::name::Name;
use crate::opening::{Opening, Role, Target};

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

/// The longest message over IPv4: 65535 bytes less the headers of IP and UDP.
pub const MAX_LEN: usize = 65507;
/// The longest message over IPv6, whose header does not count.
const MAX_LEN_6: usize = 65527;

#[cold]
fn refused(action: &'static str, name: &Name) -> Error {
    let why = "nobody listens there, as the other machine said of an earlier message";
    FACILITY.error(Kind::Disconnected, action, name, why)
}

#[cold]
fn failed(action: &'static str, name: &Name, errno: Errno) -> Error {
    let error = FACILITY.failed(action, name, errno);
    match errno {
        Errno::ADDRNOTAVAIL => error.with_kind(Kind::NotFound),
        _ => error,
    }
}

/// The kernel would take the message and drop it.
#[cold]
fn nobody_at_port_0(action: &'static str, name: &Name) -> Error {
    FACILITY.error(Kind::BadInput, action, name, "nobody can listen at port 0")
}

fn parse(name: &OsStr) -> Result<Name> {
    Name::parse(&FACILITY, name.as_bytes())
}

/// The addresses of a name; no host is every address of this machine (`own`), or itself.
fn resolve(action: &'static str, name: &Name, own: bool) -> Result<Vec<SocketAddr>> {
    let Name::HostPort(host, port) = name else {
        return Err(FACILITY.error(Kind::BadName, action, name, "it is host:port"));
    };
    if host.is_empty() {
        let hosts: [IpAddr; 2] = if own {
            [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()]
        } else {
            [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        };
        return Ok(hosts.map(|host| SocketAddr::new(host, *port)).to_vec());
    }
    (host.as_str(), *port)
        .to_socket_addrs()
        .map(Iterator::collect)
        .map_err(|cause| {
            let why = cause.to_string();
            FACILITY.error(Kind::NotFound, action, name, why)
        })
}

/// `Serve` binds, `Join` connects.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Messages>> {
    let given = &target.options;
    let mut options = Options::new()
        .broadcast(given.flag("broadcast")?)
        .reuse(given.flag("reuse")?)
        .looped(given.get("loop").is_none() || given.flag("loop")?);
    if let Some(group) = given.value::<IpAddr>("group")? {
        options = options.group(group);
    }
    if let Some(hops) = given.value::<u8>("ttl")? {
        options = options.ttl(hops.into());
    }
    if let Some(text) = given.get("interface") {
        let index = text.parse().map(Interface::Index).ok();
        let address = || text.parse().map(Interface::Address).ok();
        let interface = index
            .or_else(address)
            .ok_or_else(|| given.bad("interface", "it is an index, or the IPv4 address it has"))?;
        options = options.interface(interface);
    }
    let name = OsStr::from_bytes(&target.name.to_bytes()).to_owned();
    Ok(Box::new(match opening.role {
        Role::Serve => options.bind(name)?,
        Role::Join => options.connect(name)?,
    }))
}

/// Sends a message from one socket of this machine to another.
pub(crate) fn probe() -> Result<()> {
    let server = Socket::bind("localhost:0")?;
    let client = Socket::connect(server.local()?.to_string())?;
    client.try_send(b"probe")?;
    server
        .recv_timeout(&mut [0; 8], Duration::from_secs(5))
        .map(drop)
}
