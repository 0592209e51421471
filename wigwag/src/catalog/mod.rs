//! Catalog: the one list of facilities, with what can be done with each from its name alone.
//!
//! ```
//! use wigwag::{catalog, Opening};
//!
//! let target = catalog::resolve(&"mq:/jobs?depth=10".parse()?)?;
//! assert_eq!(target.entry.facility.title, "POSIX message queue");
//! assert!(catalog::resolve(&"mq:/jobs?colour=red".parse()?).is_err()); // unknown options are errors
//! # Ok::<(), wigwag::Error>(())
//! ```

use crate::address::Address;
use crate::error::{Error, Kind, Result};
use crate::facility::{Facility, Naming};
use crate::gate::Gate;
use crate::key::Key;
use crate::memory::Region;
use crate::message::Messages;
use crate::name::Name;
use crate::opening::{Opening, Role, Target};
use crate::pattern::rpc;
use crate::stream::Stream;

mod gate;
mod memory;
mod message;
mod options;
mod pattern;
mod stream;

/// A key that an address of the facility may have after its `?`.
#[derive(Debug, Clone, Copy)]
pub struct OptionFact {
    /// The key: `"depth"`.
    pub key: &'static str,
    /// What its value looks like: `"MESSAGES"`; empty for a flag.
    pub value: &'static str,
    /// What it does, with unit and default.
    pub what: &'static str,
}

/// One of them, on one line.
const fn opt(key: &'static str, value: &'static str, what: &'static str) -> OptionFact {
    OptionFact { key, value, what }
}

/// How an object is opened, by what comes out.
#[derive(Debug, Clone, Copy)]
pub enum Open {
    /// A byte stream.
    Stream(fn(&Target, Opening) -> Result<Box<dyn Stream>>),
    /// Messages.
    Messages(fn(&Target, Opening) -> Result<Box<dyn Messages>>),
    /// Memory.
    Region(fn(&Target, Opening) -> Result<Box<dyn Region>>),
    /// A gate.
    Gate(fn(&Target, Opening) -> Result<Box<dyn Gate>>),
    /// Calls: who joins gets a client, who serves a server.
    Calls,
}

/// An open object of any facility.
pub enum Endpoint {
    /// A byte stream.
    Stream(Box<dyn Stream>),
    /// Messages.
    Messages(Box<dyn Messages>),
    /// Memory.
    Region(Box<dyn Region>),
    /// A gate.
    Gate(Box<dyn Gate>),
    /// Who calls a server.
    Client(rpc::Client),
    /// Who answers calls.
    Server(rpc::Server),
}

/// One facility and its verbs.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The facts.
    pub facility: &'static Facility,
    /// The options its addresses may have.
    pub options: &'static [OptionFact],
    /// Opens an object by name.
    pub open: Option<Open>,
    /// Makes a named object and leaves it there.
    pub create: Option<fn(&Target) -> Result<()>>,
    /// Removes a name.
    pub unlink: Option<fn(&Name) -> Result<()>>,
    /// Makes one and drops it again: whether the facility is usable here, or why not.
    pub probe: fn() -> Result<()>,
}

/// An address with its entry, name and options checked.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The facility and its verbs.
    pub entry: &'static Entry,
    /// The object.
    pub target: Target,
}

impl Resolved {
    /// The name that the kernel knows the object by: where a path stands for a System V key, that key.
    ///
    /// # Errors
    /// `BadInput` when the project is none; `action` failed because the path cannot be looked at.
    pub fn kernel_name(&self, action: &'static str) -> Result<Name> {
        let name = &self.target.name;
        let (Naming::Key, Name::Path(_)) = (self.entry.facility.naming, name) else {
            return Ok(name.clone());
        };
        let key = Key::meant(&self.target)?.number();
        let key = key.map_err(|cause| self.entry.facility.failed(action, name, cause))?;
        Ok(key.map_or(Name::None, Name::Key))
    }
}

/// Every facility, grouped by family. The order is that of all tables.
pub const CATALOG: &[Entry] = &[
    stream::PIPE,
    stream::FIFO,
    stream::UNIX,
    stream::TCP,
    stream::PTY,
    message::POSIX,
    message::SYSV,
    message::DATAGRAM,
    message::SEQPACKET,
    message::UDP,
    memory::POSIX,
    memory::SYSV,
    memory::FILE,
    memory::MEMFD,
    memory::ANONYMOUS,
    gate::POSIX,
    gate::UNNAMED,
    gate::SYSV,
    #[cfg(not(loom))]
    gate::SEMAPHORE,
    #[cfg(not(loom))]
    gate::MUTEX,
    #[cfg(not(loom))]
    gate::RWLOCK,
    #[cfg(not(loom))]
    gate::CONDVAR,
    #[cfg(not(loom))]
    gate::BARRIER,
    #[cfg(not(loom))]
    gate::MONITOR,
    #[cfg(not(loom))]
    gate::SPIN,
    gate::FLOCK,
    gate::RECORD,
    gate::OFD,
    gate::EVENT,
    message::SIGNAL,
    pattern::CHANNEL,
    pattern::MAILBOX,
    pattern::RPC_UNIX,
    pattern::RPC_TCP,
    pattern::RPC_CHANNEL,
    pattern::RPC_MQ,
];

/// The entry with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.facility.id == id)
}

/// Checks an address: its scheme, whether its name can be one of that facility, and its options.
///
/// # Errors
/// `BadAddress`, `BadName` or `BadInput`, with what would be right.
pub fn resolve(address: &Address) -> Result<Resolved> {
    let Some(entry) = find(address.scheme()) else {
        let known: Vec<&str> = CATALOG.iter().map(|entry| entry.facility.id).collect();
        return Err(Error::new(
            Kind::BadAddress,
            "understand",
            "address",
            address,
            format!("there is no facility {}", address.scheme()),
        )
        .with_hint(format!("the facilities are {}", known.join(", "))));
    };
    let facility = entry.facility;
    let name = Name::parse(facility, address.name())?;
    for (key, _) in address.options().iter() {
        if entry.options.iter().any(|option| option.key == key) {
            continue;
        }
        let known: Vec<&str> = entry.options.iter().map(|option| option.key).collect();
        let hint = if known.is_empty() {
            format!(
                "{} has no options; a ? in a name is written %3F",
                facility.id
            )
        } else {
            format!(
                "{} has {}; a ? in a name is written %3F",
                facility.id,
                known.join(", ")
            )
        };
        return Err(address
            .options()
            .bad(key, &format!("there is no such option of {}", facility.id))
            .with_hint(hint));
    }
    Ok(Resolved {
        entry,
        target: Target {
            name,
            options: address.options().clone(),
        },
    })
}

/// The table of all facilities in Markdown: the one in the README and in this crate's documentation.
#[must_use]
pub fn markdown() -> String {
    let mut table = String::from(
        "| family | facility | scheme | named by | lives until | carries |\n|---|---|---|---|---|---|\n",
    );
    for Entry { facility, .. } in CATALOG {
        let Facility {
            family,
            title,
            id,
            named_by,
            lives,
            carries,
            ..
        } = facility;
        table.push_str(&format!(
            "| {family} | {title} | `{id}` | {named_by} | {lives} | {carries} |\n"
        ));
    }
    table
}

/// Opens any object by address.
///
/// # Errors
/// Those of [`resolve`] and of the facility; `Unsupported` when it cannot be opened by name.
pub fn open(address: &Address, opening: Opening) -> Result<Endpoint> {
    let Resolved { entry, target } = resolve(address)?;
    Ok(match entry.open {
        Some(Open::Stream(open)) => Endpoint::Stream(open(&target, opening)?),
        Some(Open::Messages(open)) => Endpoint::Messages(open(&target, opening)?),
        Some(Open::Region(open)) => Endpoint::Region(open(&target, opening)?),
        Some(Open::Gate(open)) => Endpoint::Gate(open(&target, opening)?),
        Some(Open::Calls) => match opening.role {
            Role::Join => Endpoint::Client(rpc::connect_to(entry.facility, &target, opening.wait)?),
            Role::Serve => Endpoint::Server(rpc::listen_at(entry.facility, &target)?),
        },
        None => {
            return Err(entry.facility.error(
                Kind::Unsupported,
                "open",
                address,
                "it cannot be opened by an address",
            ));
        }
    })
}

/// Makes a named object and leaves it there.
///
/// # Errors
/// Those of [`resolve`] and of the facility; `Unsupported` when nothing would stay.
pub fn create(address: &Address) -> Result<()> {
    let Resolved { entry, target } = resolve(address)?;
    let create = entry.create.ok_or_else(|| {
        entry.facility.error(
            Kind::Unsupported,
            "create",
            address,
            "nothing of it would stay when this process ends",
        )
    })?;
    create(&target)
}

/// Removes a name.
///
/// # Errors
/// Those of [`resolve`] and of the facility; `Unsupported` when there is nothing to remove.
pub fn unlink(address: &Address) -> Result<()> {
    let resolved = resolve(address)?;
    let entry = resolved.entry;
    let unlink = entry.unlink.ok_or_else(|| {
        entry.facility.error(
            Kind::Unsupported,
            "remove",
            address,
            "it has no name that outlives its processes",
        )
    })?;
    unlink(&resolved.kernel_name("remove")?)
}
