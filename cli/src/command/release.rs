//! Release: puts one permit into a semaphore.

use std::ffi::OsString;

use wigwag::{Role, Wait};

use super::acquire;
use crate::failure::Result;
use crate::report::Report;

/// Put a permit into a semaphore or event counter, letting one waiter go on
///
/// Also called post, and V. Nobody has to have taken it before.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The semaphore or event counter: sem:/slots
    address: OsString,
}

pub(crate) fn run(args: Args) -> Result<Report> {
    let object = acquire::permits(&args.address, "release")?;
    acquire::open(&object, Role::Join, Wait::Forever)?.release()?;
    Ok(Report::Done)
}
