//! Leaks: objects that nobody uses and nobody will remove, and pipes whose reader never sees the end.

use serde::Serialize;
use wigwag_observe::object::LeakCertainty;
use wigwag_observe::{Object, Snapshot, Unseen};

use crate::arguments;
use crate::failure::{Failure, Result};
use crate::report::Report;

/// List objects that nobody uses, and pipes that can never end
///
/// `wigwag rm --leaked` removes them. An object is likely rather than certain when
/// some process could not be looked into, or the kernel keeps no record of its users.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these
    #[arg(value_parser = arguments::facility())]
    facility: Vec<String>,

    /// Only those that are certain
    #[arg(long)]
    certain: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Objects nobody uses.
#[derive(Debug, Serialize)]
pub(crate) struct Leaks {
    pub(crate) leaks: Vec<Object>,
    pub(crate) unseen: Vec<Unseen>,
}

pub(crate) fn run(args: Args) -> Result<Report> {
    let mut builder = Snapshot::builder();
    if !args.facility.is_empty() {
        builder = builder.facilities(args.facility.iter().cloned());
    }
    let snapshot = builder
        .capture()
        .map_err(|error| Failure::io("look at /proc", &error))?;
    let mut leaks = snapshot.objects;
    leaks.retain(|object| {
        object
            .leak
            .as_ref()
            .is_some_and(|leak| !args.certain || leak.certainty == LeakCertainty::Certain)
    });
    Ok(Report::Leaks(Leaks {
        leaks,
        unseen: snapshot.unseen,
    }))
}
