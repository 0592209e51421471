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
use crate::gate::{self, Gate};
use crate::key::Key;
use crate::memory::{self, Region};
use crate::message::{self, Messages};
use crate::name::Name;
use crate::opening::{Opening, Role, Target};
use crate::pattern::{channel, mailbox, rpc};
use crate::signal;
use crate::stream::{self, Stream};

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

// Options that several facilities have.
const EXCLUSIVE: OptionFact = opt(
    "exclusive",
    "",
    "when serving, fail if it exists (create always does)",
);
const TEMPORARY: OptionFact = opt(
    "temporary",
    "",
    "remove it when the one that opened it so closes it",
);
const PROJECT: OptionFact = opt(
    "project",
    "NUMBER",
    "from 1 to 255: which key of a path, as ftok(3) (1)",
);
const SIZE: OptionFact = opt(
    "size",
    "BYTES",
    "how large a new one is (4096); whoever serves makes one only with it",
);
const HUGE: OptionFact = opt(
    "huge",
    "BYTES",
    "make it of huge pages of this size, such as 2M",
);
const CREATE: OptionFact = opt(
    "create",
    "",
    "whether the file is made if there is none (yes)",
);

const MAX_REQUEST: OptionFact = opt(
    "max_request",
    "BYTES",
    "server: how long a request may be (4M)",
);
const MAX_ANSWER: OptionFact = opt(
    "max_answer",
    "BYTES",
    "client: how long an answer may be (64M)",
);
const CLIENTS: OptionFact = opt("clients", "NUMBER", "server: how many there may be (1000)");
const WAITING: OptionFact = opt(
    "waiting",
    "CALLS",
    "server: how many of one client may wait to be begun (64)",
);

/// Every facility, grouped by family. The order is that of all tables.
pub const CATALOG: &[Entry] = &[
    Entry {
        facility: &stream::pipe::FACILITY,
        options: &[
            opt(
                "fd",
                "NUMBER",
                "the descriptor that was inherited; required",
            ),
            opt(
                "capacity",
                "BYTES",
                "makes room for at least so many bytes; 65536 by default",
            ),
        ],
        open: Some(Open::Stream(stream::pipe::open)),
        create: None,
        unlink: None,
        probe: stream::pipe::probe,
    },
    Entry {
        facility: &stream::fifo::FACILITY,
        options: &[
            opt("mode", "OCTAL", "permissions of a new one; 0600 by default"),
            opt(
                "temporary",
                "",
                "removes the name when both ends have it open",
            ),
            opt(
                "capacity",
                "BYTES",
                "makes room for at least so many bytes; 65536 by default",
            ),
        ],
        open: Some(Open::Stream(stream::fifo::open)),
        create: Some(stream::fifo::create),
        unlink: Some(stream::fifo::unlink),
        probe: stream::fifo::probe,
    },
    Entry {
        facility: &stream::unix::FACILITY,
        options: &[
            opt(
                "mode",
                "OCTAL",
                "permissions of the path; 0777 less the umask by default",
            ),
            opt(
                "backlog",
                "CONNECTIONS",
                "how many may wait to be accepted; net.core.somaxconn by default",
            ),
            opt("take-over", "", "replaces a path whose process is gone"),
        ],
        open: Some(Open::Stream(stream::unix::open)),
        create: None,
        unlink: Some(stream::unix::unlink_name),
        probe: stream::unix::probe,
    },
    Entry {
        facility: &stream::tcp::FACILITY,
        options: &[
            opt("nodelay", "", "sends small writes at once"),
            opt(
                "backlog",
                "CONNECTIONS",
                "how many may wait to be accepted; net.core.somaxconn by default",
            ),
        ],
        open: Some(Open::Stream(stream::tcp::open)),
        create: None,
        unlink: None,
        probe: stream::tcp::probe,
    },
    Entry {
        facility: &stream::pty::FACILITY,
        options: &[
            opt(
                "raw",
                "",
                "turns the line discipline off: bytes pass as they are",
            ),
            opt("rows", "LINES", "height of the terminal"),
            opt("columns", "CHARACTERS", "width of the terminal"),
            opt(
                "link",
                "PATH",
                "a symbolic link to the new terminal, while it is open",
            ),
        ],
        open: Some(Open::Stream(stream::pty::open)),
        create: None,
        unlink: None,
        probe: stream::pty::probe,
    },
    Entry {
        facility: &message::posix::FACILITY,
        options: &[
            opt(
                "depth",
                "MESSAGES",
                "how many messages it may hold (fs.mqueue.msg_default)",
            ),
            opt(
                "max_len",
                "BYTES",
                "how long a message may be (fs.mqueue.msgsize_default)",
            ),
            opt(
                "mode",
                "OCTAL",
                "who may open it, whatever the umask (0600)",
            ),
            EXCLUSIVE,
            TEMPORARY,
        ],
        open: Some(Open::Messages(message::posix::address::open)),
        create: Some(message::posix::address::create),
        unlink: Some(message::posix::unlink),
        probe: message::posix::address::probe,
    },
    Entry {
        facility: &message::sysv::FACILITY,
        options: &[
            opt(
                "mode",
                "OCTAL",
                "who may receive (read) and send (write) (0600)",
            ),
            opt(
                "capacity",
                "BYTES",
                "how much a new queue may hold (kernel.msgmnb)",
            ),
            PROJECT,
            EXCLUSIVE,
            opt(
                "temporary",
                "",
                "remove it when the one that opened it so is done",
            ),
        ],
        open: Some(Open::Messages(message::sysv::address::open)),
        create: Some(message::sysv::address::create),
        unlink: Some(message::sysv::address::unlink),
        probe: message::sysv::address::probe,
    },
    Entry {
        facility: &message::datagram::FACILITY,
        options: &[
            opt(
                "take-over",
                "",
                "replace the path of a process that is gone",
            ),
            opt(
                "mode",
                "OCTAL",
                "who may send: those with write permission (0777 less the umask)",
            ),
        ],
        open: Some(Open::Messages(message::datagram::open)),
        create: None,
        unlink: Some(message::datagram::unlink_name),
        probe: message::datagram::probe,
    },
    Entry {
        facility: &message::seqpacket::FACILITY,
        options: &[
            opt(
                "take-over",
                "",
                "replace the path of a process that is gone",
            ),
            opt(
                "mode",
                "OCTAL",
                "who may connect: those with write permission (0777 less the umask)",
            ),
        ],
        open: Some(Open::Messages(message::seqpacket::open)),
        create: None,
        unlink: Some(message::seqpacket::unlink_name),
        probe: message::seqpacket::probe,
    },
    Entry {
        facility: &message::udp::FACILITY,
        options: &[
            opt(
                "group",
                "ADDRESS",
                "join this multicast group to receive (the host, if it is one)",
            ),
            opt(
                "interface",
                "ADDRESS or INDEX",
                "for multicast: the IPv4 address or the index of the interface (the system chooses)",
            ),
            opt("ttl", "HOPS", "how far multicast goes (1)"),
            opt(
                "loop",
                "YES or NO",
                "whether receivers of this machine get our multicast (yes)",
            ),
            opt("broadcast", "", "allow sending to all hosts of a network"),
            opt("reuse", "", "several receivers of a group on one port"),
        ],
        open: Some(Open::Messages(message::udp::open)),
        create: None,
        unlink: None,
        probe: message::udp::probe,
    },
    Entry {
        facility: &memory::posix::FACILITY,
        options: &[
            SIZE,
            opt(
                "mode",
                "OCTAL",
                "who else may use a new one, whatever the umask (0600)",
            ),
            EXCLUSIVE,
            TEMPORARY,
        ],
        open: Some(Open::Region(memory::address::open_posix)),
        create: Some(memory::address::create_posix),
        unlink: Some(memory::posix::SharedMemory::unlink_named),
        probe: memory::address::probe::posix,
    },
    Entry {
        facility: &memory::sysv::FACILITY,
        options: &[
            SIZE,
            opt("mode", "OCTAL", "who else may use a new one (0600)"),
            HUGE,
            PROJECT,
            EXCLUSIVE,
            TEMPORARY,
        ],
        open: Some(Open::Region(memory::address::open_sysv)),
        create: Some(memory::address::create_sysv),
        unlink: Some(memory::address::unlink_sysv),
        probe: memory::address::probe::sysv,
    },
    Entry {
        facility: &memory::file::FACILITY,
        options: &[
            SIZE,
            opt(
                "mode",
                "OCTAL",
                "who else may use a new one, whatever the umask (0600)",
            ),
            EXCLUSIVE,
            TEMPORARY,
            opt(
                "trust-size",
                "",
                "nobody truncates the file, so do not ask for its size after each copy",
            ),
        ],
        open: Some(Open::Region(memory::address::open_file)),
        create: Some(memory::address::create_file),
        unlink: Some(memory::address::unlink_file),
        probe: memory::address::probe::file,
    },
    Entry {
        facility: &memory::memfd::FACILITY,
        options: &[
            opt("fd", "NUMBER", "take an inherited descriptor"),
            opt("size", "BYTES", "how large a new one is"),
            HUGE,
            opt(
                "unsealed",
                "",
                "leave a new one unsealed; take one that is not sealed against shrinking",
            ),
        ],
        open: Some(Open::Region(memory::address::open_memfd)),
        create: None,
        unlink: None,
        probe: memory::address::probe::memfd,
    },
    Entry {
        facility: &memory::anonymous::FACILITY,
        options: &[opt("size", "BYTES", "how large it is"), HUGE],
        open: Some(Open::Region(memory::address::open_anonymous)),
        create: None,
        unlink: None,
        probe: memory::address::probe::anonymous,
    },
    Entry {
        facility: &gate::posix::FACILITY,
        options: &[
            opt("value", "PERMITS", "how many permits a new one has (1)"),
            opt("binary", "", "never let the count exceed 1"),
            opt(
                "mode",
                "OCTAL",
                "who else may use a new one, whatever the umask (0600)",
            ),
            EXCLUSIVE,
            TEMPORARY,
        ],
        open: Some(Open::Gate(gate::address::open_posix)),
        create: Some(gate::address::create_posix),
        unlink: Some(gate::posix::Semaphore::unlink_named),
        probe: gate::address::probe::posix,
    },
    Entry {
        facility: &gate::posix::UNNAMED,
        options: &[
            opt(
                "fd",
                "NUMBER",
                "an inherited descriptor of the memory it lies in",
            ),
            opt(
                "offset",
                "BYTES",
                "where it lies there, a multiple of 8 (0)",
            ),
            opt("value", "PERMITS", "make it anew with so many permits"),
            opt("binary", "", "never let the count exceed 1"),
        ],
        open: Some(Open::Gate(memory::semaphore::open)),
        create: None,
        unlink: None,
        probe: memory::semaphore::probe,
    },
    Entry {
        facility: &gate::sysv::FACILITY,
        options: &[
            opt(
                "value",
                "PERMITS",
                "how many permits each semaphore of a new set has (1)",
            ),
            opt(
                "count",
                "NUMBER",
                "how many semaphores a new set has (as the index needs)",
            ),
            opt("index", "NUMBER", "which semaphore of the set is meant (0)"),
            opt(
                "undo",
                "",
                "whether the kernel gives permits back when the process ends (yes)",
            ),
            opt("mode", "OCTAL", "who else may use a new one (0600)"),
            PROJECT,
            EXCLUSIVE,
            TEMPORARY,
        ],
        open: Some(Open::Gate(gate::address::open_sysv)),
        create: Some(gate::address::create_sysv),
        unlink: Some(gate::address::unlink_sysv),
        probe: gate::address::probe::sysv,
    },
    #[cfg(not(loom))]
    Entry {
        facility: &gate::semaphore::FACILITY,
        options: &[],
        open: None,
        create: None,
        unlink: None,
        probe: memory::segment::probe::semaphore,
    },
    #[cfg(not(loom))]
    Entry {
        facility: &gate::mutex::FACILITY,
        options: &[],
        open: None,
        create: None,
        unlink: None,
        probe: memory::segment::probe::mutex,
    },
    #[cfg(not(loom))]
    Entry {
        facility: &gate::rwlock::FACILITY,
        options: &[],
        open: None,
        create: None,
        unlink: None,
        probe: memory::segment::probe::rwlock,
    },
    #[cfg(not(loom))]
    Entry {
        facility: &gate::condvar::FACILITY,
        options: &[],
        open: None,
        create: None,
        unlink: None,
        probe: memory::segment::probe::condvar,
    },
    #[cfg(not(loom))]
    Entry {
        facility: &gate::barrier::FACILITY,
        options: &[],
        open: None,
        create: None,
        unlink: None,
        probe: memory::segment::probe::barrier,
    },
    #[cfg(not(loom))]
    Entry {
        facility: &gate::monitor::FACILITY,
        options: &[],
        open: None,
        create: None,
        unlink: None,
        probe: memory::segment::probe::monitor,
    },
    #[cfg(not(loom))]
    Entry {
        facility: &gate::spin::FACILITY,
        options: &[],
        open: None,
        create: None,
        unlink: None,
        probe: memory::segment::probe::spin,
    },
    Entry {
        facility: &gate::file_lock::FLOCK,
        options: &[
            CREATE,
            opt(
                "mode",
                "OCTAL",
                "who else may use a file that is made, whatever the umask (0666 less the umask)",
            ),
        ],
        open: Some(Open::Gate(gate::address::open_flock)),
        create: None,
        unlink: None,
        probe: gate::address::probe::flock,
    },
    Entry {
        facility: &gate::file_lock::RECORD,
        options: &[
            opt("range", "START..END", "which bytes are locked (all)"),
            CREATE,
            opt(
                "mode",
                "OCTAL",
                "who else may use a file that is made, whatever the umask (0666 less the umask)",
            ),
        ],
        open: Some(Open::Gate(gate::address::open_record)),
        create: None,
        unlink: None,
        probe: gate::address::probe::record,
    },
    Entry {
        facility: &gate::file_lock::OFD,
        options: &[
            opt("range", "START..END", "which bytes are locked (all)"),
            CREATE,
            opt(
                "mode",
                "OCTAL",
                "who else may use a file that is made, whatever the umask (0666 less the umask)",
            ),
        ],
        open: Some(Open::Gate(gate::address::open_ofd)),
        create: None,
        unlink: None,
        probe: gate::address::probe::ofd,
    },
    Entry {
        facility: &gate::event::FACILITY,
        options: &[
            opt("fd", "NUMBER", "take an inherited descriptor"),
            opt("value", "COUNT", "the count a new one begins with (0)"),
            opt("semaphore", "", "take one at a time instead of all"),
        ],
        open: Some(Open::Gate(gate::address::open_event)),
        create: None,
        unlink: None,
        probe: gate::address::probe::event,
    },
    Entry {
        facility: &signal::FACILITY,
        options: &[opt(
            "signal",
            "NAMES",
            "which to send (one), or to receive: USR1,RTMIN+1",
        )],
        open: Some(Open::Messages(signal::address::open)),
        create: None,
        unlink: None,
        probe: signal::address::probe,
    },
    Entry {
        facility: &channel::FACILITY,
        options: &[
            opt(
                "flavour",
                "NAME",
                "one-to-one, many-to-many, broadcast or latest; of a new one (one-to-one), else that of the one that exists",
            ),
            opt(
                "capacity",
                "BYTES",
                "how much a new one holds, rounded up to a power of two (64K)",
            ),
            opt(
                "full",
                "POLICY",
                "what becomes of a message without room: wait, fail, drop-newest, overwrite-oldest (wait)",
            ),
            opt(
                "trust",
                "WHOM",
                "whether a new one is for programs that trust each other: peers or nobody (peers)",
            ),
            opt(
                "last",
                "MESSAGES",
                "broadcast: how many of the newest messages a new receiver gets first (0)",
            ),
            opt(
                "seats",
                "NUMBER",
                "how many senders and receivers a new one can have, where there may be many",
            ),
            opt(
                "mode",
                "OCTAL",
                "who else may use a new one, less the umask (0600)",
            ),
            EXCLUSIVE,
            TEMPORARY,
        ],
        open: Some(Open::Messages(channel::address::open)),
        create: Some(channel::address::create),
        unlink: Some(channel::address::unlink),
        probe: channel::address::probe,
    },
    Entry {
        facility: &mailbox::FACILITY,
        options: &[
            opt("max_len", "BYTES", "how long a letter may be (3968)"),
            opt(
                "mode",
                "OCTAL",
                "who else may use a new one, whatever the umask (0600)",
            ),
            EXCLUSIVE,
            TEMPORARY,
        ],
        open: Some(Open::Messages(mailbox::address::open)),
        create: Some(mailbox::address::create),
        unlink: Some(mailbox::address::unlink),
        probe: mailbox::address::probe,
    },
    Entry {
        facility: &rpc::UNIX,
        options: &[
            MAX_REQUEST,
            MAX_ANSWER,
            CLIENTS,
            WAITING,
            opt(
                "mode",
                "OCTAL",
                "who may connect: those with write permission (0777 less the umask)",
            ),
            opt(
                "backlog",
                "CONNECTIONS",
                "how many may wait to be accepted; net.core.somaxconn by default",
            ),
        ],
        open: Some(Open::Calls),
        create: None,
        unlink: Some(stream::unix::unlink_name),
        probe: rpc::probe_unix,
    },
    Entry {
        facility: &rpc::TCP,
        options: &[
            MAX_REQUEST,
            MAX_ANSWER,
            CLIENTS,
            WAITING,
            opt(
                "backlog",
                "CONNECTIONS",
                "how many may wait to be accepted; net.core.somaxconn by default",
            ),
        ],
        open: Some(Open::Calls),
        create: None,
        unlink: None,
        probe: rpc::probe_tcp,
    },
    Entry {
        facility: &rpc::CHANNEL,
        options: &[
            CLIENTS,
            WAITING,
            opt(
                "capacity",
                "BYTES",
                "server: how much of one client may be under way each way (256K)",
            ),
        ],
        open: Some(Open::Calls),
        create: None,
        unlink: Some(rpc::unlink_channel),
        probe: rpc::probe_channel,
    },
    Entry {
        facility: &rpc::MQ,
        options: &[
            CLIENTS,
            WAITING,
            opt(
                "depth",
                "REQUESTS",
                "server: how many the queue holds (fs.mqueue.msg_default)",
            ),
            opt(
                "max_len",
                "BYTES",
                "server: how long a request or answer may be, with a head of 32 (fs.mqueue.msgsize_default)",
            ),
            opt(
                "mode",
                "OCTAL",
                "who may call: those with write permission, whatever the umask (0600)",
            ),
        ],
        open: Some(Open::Calls),
        create: None,
        unlink: Some(rpc::unlink_queue),
        probe: rpc::probe_mq,
    },
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
    let Resolved { entry, target } = resolve(address)?;
    let unlink = entry.unlink.ok_or_else(|| {
        entry.facility.error(
            Kind::Unsupported,
            "remove",
            address,
            "it has no name that outlives its processes",
        )
    })?;
    let project = target.options.value::<u8>("project")?;
    if let (Naming::Key, Name::Path(path), Some(project)) =
        (entry.facility.naming, &target.name, project)
    {
        // A path alone means its project 1; here it is another key.
        let key = Key::file(path, project)
            .number()
            .map_err(|cause| entry.facility.failed("remove", &target.name, cause))?;
        return unlink(&key.map_or(Name::None, Name::Key));
    }
    unlink(&target.name)
}
