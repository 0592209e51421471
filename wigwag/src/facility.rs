//! Facility: what sets one kind of interprocess communication apart, as data.
//!
//! Every module of a facility declares one `pub const FACILITY: Facility`; the
//! [catalog](crate::catalog) lists them. Tables, limits in error messages,
//! `wigwag facilities`, shell completion and the conformance tests read nothing else.
//!
//! The axes are those of M. Kerrisk, *The Linux Programming Interface*, chapter 43, and
//! of W. R. Stevens, *UNIX Network Programming*, volume 2, section 1.3 (persistence).

use std::fmt;

use crate::error::{Error, Kind};
use crate::guarantees::Guarantees;
use crate::limit::Limit;

/// What a facility is for, the first column of every table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Bytes in order, without boundaries.
    Stream,
    /// One send is one receive.
    Message,
    /// One piece of memory in many address spaces.
    Memory,
    /// Who may go on, and who waits.
    Gate,
    /// A number sent to a process.
    Signal,
    /// Built from the above.
    Pattern,
    /// Across machines, on somebody else's engine.
    Net,
}

/// How an object of the facility gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Naming {
    /// It has none: related processes inherit it, or it is passed as a descriptor.
    Unnamed,
    /// It lies at an address inside memory that the processes share.
    InMemory,
    /// A path in the file system.
    Path,
    /// A slash and a name without further slashes: `/jobs`.
    Slash,
    /// `/name` in shared memory; with a further slash, or a dot before the first, the path of a file.
    SlashOrPath,
    /// A System V key (`0x1234`), an identifier (`#7`), or a path for `ftok(3)`.
    Key,
    /// A path, or `@` and a name in the abstract namespace.
    Socket,
    /// A host and a port.
    HostPort,
    /// A process id.
    Pid,
    /// A terminal, `/dev/pts/N`.
    Terminal,
}

/// How long an object lives when nobody removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Persistence {
    /// Until the last process that has it open is gone.
    Process,
    /// As long as the memory it lies in.
    Memory,
    /// Until it is removed or the machine reboots.
    Kernel,
    /// Until it is deleted from the file system: it survives a reboot.
    FileSystem,
    /// Until it is delivered.
    Delivery,
}

/// Where one transfer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Boundary {
    /// Nowhere: a read may return part of a write, or several.
    Byte,
    /// One send is one receive.
    Message,
}

/// Which way data goes through one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From its writers to its readers.
    OneWay,
    /// Both ways between two ends.
    TwoWay,
    /// From anybody to anybody.
    Many,
}

/// How far apart the processes may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Related by `fork(2)`, or handed the descriptor.
    Related,
    /// On one machine.
    Host,
    /// On different machines.
    Network,
}

/// One facility and the facts that set it apart.
#[derive(Debug, Clone, Copy)]
pub struct Facility {
    /// Short name: address scheme and command-line argument, `"mq"`.
    pub id: &'static str,
    /// What people call it: `"POSIX message queue"`.
    pub title: &'static str,
    /// The noun for error messages: `"message queue"`.
    pub noun: &'static str,
    /// What it is for.
    pub family: Family,
    /// How its objects are named.
    pub naming: Naming,
    /// Whether it also has a form without a name (`pair`, `anonymous`).
    pub unnamed_form: bool,
    /// How long its objects live.
    pub persistence: Persistence,
    /// Where one transfer ends; `None` when nothing is transferred.
    pub boundary: Option<Boundary>,
    /// Which way data goes; `None` when nothing is transferred.
    pub direction: Option<Direction>,
    /// How far apart the processes may be.
    pub reach: Reach,
    /// Whether its handle can be waited for with `poll(2)`.
    pub pollable: bool,
    /// How it is named, in words for the table.
    pub named_by: &'static str,
    /// How long it lives, in words for the table.
    pub lives: &'static str,
    /// What it carries, in words for the table.
    pub carries: &'static str,
    /// What the kernel allows, and which error says that it was reached.
    pub limits: &'static [Limit],
    /// What an endpoint of it promises.
    pub guarantees: Guarantees,
    /// Its manual page.
    pub man: &'static str,
}

impl Facility {
    /// An error of this facility, with the operating system's cause and, where one of
    /// the facility's limits is known to cause it, that limit and its present value.
    pub(crate) fn failed(
        &self,
        action: &'static str,
        object: impl fmt::Display,
        cause: impl Into<std::io::Error>,
    ) -> Error {
        let cause = cause.into();
        let error = Error::os(action, self.noun, object, &cause);
        let Some(errno) = cause.raw_os_error() else {
            return error;
        };
        let reached: Vec<String> = self
            .limits
            .iter()
            .filter(|limit| limit.errnos.contains(&errno))
            .map(Limit::to_string)
            .collect();
        if reached.is_empty() {
            return error;
        }
        let error = match error.kind() {
            // A full queue or a permission has its own kind even if a limit bounds it.
            Kind::WouldBlock | Kind::PermissionDenied | Kind::TooBig => error,
            _ => error.with_kind(Kind::Limit),
        };
        error.with_detail(reached.join(", "))
    }

    /// An error of this facility without a cause from the operating system.
    pub(crate) fn error(
        &self,
        kind: Kind,
        action: &'static str,
        object: impl fmt::Display,
        cause: impl Into<String>,
    ) -> Error {
        Error::new(kind, action, self.noun, object, cause)
    }
}

impl fmt::Display for Facility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title)
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

words!(Family {
    Stream => "stream", Message => "message", Memory => "memory", Gate => "gate",
    Signal => "signal", Pattern => "pattern", Net => "net",
});
words!(Naming {
    Unnamed => "unnamed", InMemory => "in memory", Path => "path", Slash => "/name", SlashOrPath => "/name or path", Key => "key",
    Socket => "path or @abstract", HostPort => "host:port", Pid => "pid", Terminal => "/dev/pts/N",
});
words!(Persistence {
    Process => "process", Memory => "its memory", Kernel => "kernel",
    FileSystem => "file system", Delivery => "delivery",
});
words!(Boundary { Byte => "byte", Message => "message" });
words!(Direction { OneWay => "one way", TwoWay => "two ways", Many => "many" });
words!(Reach { Related => "related", Host => "host", Network => "network" });
