//! Check: every facility between two real processes here: does it work, how fast, and if not, why not.

use std::time::Instant;

use rustix::process::{Resource, getrlimit};

use crate::arguments;
use crate::check::verdict::Checks;
use crate::check::{self, Scene};
use crate::failure::{Failure, Result};
use crate::interrupt::Interrupts;
use crate::render::Output;
use crate::report::Report;

/// Try every facility between two real processes: does it work, and how fast
///
/// For each FACILITY a second process is started. Small and large data go both ways and every
/// byte is compared; of a gate, both processes count what it lets in, and the sum must be exact.
/// A round trip carries 64 bytes there and back; of a gate it is in and out while another process
/// wants in too. A channel is tried in each flavour. Exit code 1 when something fails that should work here.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these
    #[arg(value_parser = arguments::facility())]
    facility: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: Args, output: &Output) -> Result<Report> {
    enough_descriptors()?;
    let start = Instant::now();
    let scene = Scene::watched(Interrupts::hold()?)?;
    let progress = output.progress();
    let entries = super::facilities::chosen(&args.facility);
    let parts: Vec<_> = entries
        .into_iter()
        .flat_map(|entry| {
            check::flavours(entry)
                .into_iter()
                .map(move |flavour| (entry, flavour))
        })
        .collect();
    let mut checks = Vec::new();
    for (done, &(entry, flavour)) in parts.iter().enumerate() {
        progress.show(done, parts.len(), entry.facility.title);
        checks.push(check::check(entry, flavour, &scene));
    }
    progress.wipe();
    Ok(Report::Checks(Checks {
        checks,
        took_seconds: start.elapsed().as_secs_f64(),
    }))
}

/// With fewer a working facility would be said to fail.
fn enough_descriptors() -> Result<()> {
    /// What a meeting of two processes has open at a time, twice.
    const NEEDED: u64 = 24;
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < NEEDED => Err(Failure::Other(format!(
            "cannot check: it needs {NEEDED} descriptors, and RLIMIT_NOFILE is {limit}; raise it: ulimit -n {NEEDED}"
        ))),
        _ => Ok(()),
    }
}
