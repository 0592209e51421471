//! Rm: removes the names of objects; who has one open keeps it.

use std::ffi::OsString;

use wigwag::{Kind, catalog};

use crate::failure::Result;
use crate::render::Output;
use crate::report::Report;

/// Remove named objects
///
/// POSIX objects, files and sockets lose their name and live on in the processes that have
/// them open. System V queues and semaphore sets are gone at once, also for those.
/// A missing object exits 1. Several addresses are all tried.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true)]
    address: Vec<OsString>,

    /// A missing object is fine
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(args: Args, output: &Output) -> Result<Report> {
    super::create::each(&args.address, output, |object| {
        match catalog::unlink(&object.address) {
            Err(error) if args.force && error.kind() == Kind::NotFound => Ok(()),
            outcome => outcome,
        }
    })
}
