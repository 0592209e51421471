//! Ls: what exists on this machine, and who has it.

use serde::Serialize;
use wigwag_observe::object::FACILITIES;
use wigwag_observe::{Object, Snapshot, Unseen};

use crate::arguments;
use crate::exit;
use crate::failure::{Failure, Result};
use crate::report::Report;

/// List the objects that exist, with owner, mode, how full, who has them open
///
/// Those that have an address: queues, shared memory, semaphores, FIFOs, sockets, terminals,
/// locked files. With --all also those without a name. ADDRESS is what the other commands take.
/// Nothing is opened or stopped. Exit code 4 when a table of the kernel could not be read.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these
    #[arg(value_parser = arguments::facility())]
    facility: Vec<String>,

    /// Also objects without a name, and connected sockets
    #[arg(short, long)]
    all: bool,

    /// Only those that this process has, waits for, or has the other end of
    #[arg(short, long)]
    pid: Vec<u32>,

    /// Only those of this user, by name or number
    #[arg(short, long)]
    user: Option<String>,

    /// Only those whose name matches; * is any text, ? any character
    #[arg(short, long, value_name = "GLOB")]
    name: Option<String>,

    /// Only those that some thread waits for
    #[arg(short, long)]
    waiting: bool,

    /// Only those that nobody seems to use
    #[arg(short, long)]
    leaked: bool,

    /// Which columns, in which order
    #[arg(
        short = 'o',
        long,
        value_name = "COLUMNS",
        value_delimiter = ',',
        ignore_case = true,
        default_value = "address,owner,mode,holds,holders,state"
    )]
    columns: Vec<Column>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A column of the listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Column {
    /// What the other commands take
    Address,
    /// The scheme
    Facility,
    /// The bare name
    Name,
    /// Inode number or identifier
    Id,
    /// Owner's name
    Owner,
    /// Owner's number
    Uid,
    /// Permission bits
    Mode,
    /// How full
    Holds,
    /// How many processes have it
    Holders,
    /// Who has it
    Who,
    /// Who waits for it
    Waiters,
    /// How long it lives
    Persistence,
    /// Seconds since it was made
    Age,
    /// Seconds since it was last used
    Used,
    /// State, and whether it is leaked
    State,
}

/// The objects that exist.
#[derive(Debug, Serialize)]
pub(crate) struct Listing {
    pub(crate) objects: Vec<Object>,
    /// What could not be read, with the reason.
    pub(crate) unseen: Vec<Unseen>,
    /// Whether no table of objects is missing; of who has them, something may be.
    pub(crate) complete: bool,
    #[serde(skip)]
    pub(crate) columns: Vec<Column>,
    /// When, in seconds since 1970.
    pub(crate) taken: i64,
}

pub(crate) fn run(args: Args) -> Result<Report> {
    if let Some(user) = args.user.as_deref().filter(|user| !exists(user)) {
        return Err(Failure::Usage(format!(
            "there is no user {user} in /etc/passwd; of a user from elsewhere give the number (id -u NAME)"
        )));
    }
    let waiters =
        args.waiting || args.leaked || args.json || args.columns.contains(&Column::Waiters);
    let mut builder = Snapshot::builder().waiters(waiters);
    if !args.pid.is_empty() {
        builder = builder.pids(args.pid.iter().copied());
    }
    if !args.facility.is_empty() {
        builder = builder.facilities(args.facility.iter().cloned());
    } else if !args.all && args.pid.is_empty() && !args.waiting {
        // Half the work of a look is about what would not be listed.
        let nameable = FACILITIES
            .iter()
            .filter(|scheme| !NAMELESS.contains(scheme));
        builder = builder.facilities(nameable.copied());
    }
    let snapshot = builder
        .capture()
        .map_err(|error| Failure::io("look at /proc", &error))?;
    if let Some(pid) = args
        .pid
        .iter()
        .find(|pid| snapshot.process(**pid).is_none())
    {
        return Err(Failure::Coded(
            exit::NO,
            format!("there is no process {pid}"),
        ));
    }
    let mut objects = snapshot.objects;
    objects.retain(|object| {
        (args.all || !args.pid.is_empty() || args.waiting || is_named(object)) && args.wants(object)
    });
    Ok(Report::Listing(Listing {
        objects,
        complete: snapshot.unseen.iter().all(|unseen| unseen.pid.is_some()),
        unseen: snapshot.unseen,
        columns: args.columns,
        taken: snapshot.taken,
    }))
}

/// Whether objects could be said to be of this user: names are those of the file, numbers are anybody's.
fn exists(user: &str) -> bool {
    let known = || {
        let users = std::fs::read("/etc/passwd").unwrap_or_default();
        users
            .split(|byte| *byte == b'\n')
            .any(|line| line.split(|byte| *byte == b':').next() == Some(user.as_bytes()))
    };
    user.parse::<u32>().is_ok() || (!user.is_empty() && known())
}

impl Args {
    fn wants(&self, object: &Object) -> bool {
        let user = |user: &String| {
            object.user.as_ref() == Some(user)
                || object.uid.map(|uid| uid.to_string()).as_ref() == Some(user)
        };
        self.user.as_ref().is_none_or(user)
            && (!self.waiting || object.is_waited_for())
            && (!self.leaked || object.leak.is_some())
            && self.name.as_ref().is_none_or(|glob| {
                let name = object.name.as_bytes();
                matches(glob.as_bytes(), name)
                    || name
                        .strip_prefix(b"/")
                        .is_some_and(|bare| matches(glob.as_bytes(), bare))
                    || object
                        .address
                        .as_ref()
                        .is_some_and(|address| matches(glob.as_bytes(), address.as_bytes()))
            })
    }
}

/// Whether a glob of `*` and `?` matches the whole name. Goes back to the last `*` only, so it is never slow.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                g += 1;
                n += 1;
            }
            _ => match star {
                Some((at, tried)) => {
                    star = Some((at, tried + 1));
                    g = at + 1;
                    n = tried + 1;
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

/// Facilities whose objects never have an address.
const NAMELESS: &[&str] = &[
    "pipe",
    "memfd",
    "eventfd",
    "signalfd",
    "timerfd",
    "epoll",
    "inotify",
    "fanotify",
    "pidfd",
    "io_uring",
    "userfaultfd",
];

/// Whether another process can come to it by its name.
pub(super) fn is_named(object: &Object) -> bool {
    object.address.is_some() && object.state.as_deref() != Some("connected")
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_glob_matches_the_whole_name() {
        for (glob, name) in [
            ("*", ""),
            ("/j*", "/jobs"),
            ("*b?", "/jobs"),
            ("/a**c", "/abbc"),
            ("*a*a*b", "aaaaab"),
        ] {
            assert!(matches(glob.as_bytes(), name.as_bytes()), "{glob} {name}");
        }
        for (glob, name) in [
            ("", "x"),
            ("/j", "/jobs"),
            ("?", ""),
            ("*b", "bc"),
            ("*a*a*b", "aaaa"),
        ] {
            assert!(!matches(glob.as_bytes(), name.as_bytes()), "{glob} {name}");
        }
    }
}
