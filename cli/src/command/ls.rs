//! Ls: what exists on this machine, and who has it.

use serde::Serialize;
use wigwag_observe::{Object, Snapshot, Unseen};

use crate::arguments;
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

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The objects that exist.
#[derive(Debug, Serialize)]
pub(crate) struct Listing {
    pub(crate) objects: Vec<Object>,
    /// What could not be read, with the reason.
    pub(crate) unseen: Vec<Unseen>,
    /// Whether no table of objects is missing; of who has them, something may be.
    pub(crate) complete: bool,
}

pub(crate) fn run(args: Args) -> Result<Report> {
    let mut builder = Snapshot::builder().waiters(false);
    if !args.facility.is_empty() {
        builder = builder.facilities(args.facility.iter().cloned());
    }
    let snapshot = builder.capture().map_err(|error| Failure::io("look at /proc", &error))?;
    let mut objects = snapshot.objects;
    objects.retain(|object| args.all || is_named(object));
    Ok(Report::Listing(Listing {
        objects,
        complete: snapshot.unseen.iter().all(|unseen| unseen.pid.is_some()),
        unseen: snapshot.unseen,
    }))
}

/// Whether another process can come to it by its name.
pub(super) fn is_named(object: &Object) -> bool {
    object.address.is_some() && object.state.as_deref() != Some("connected")
}
