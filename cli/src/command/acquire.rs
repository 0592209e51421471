//! Acquire: takes one permit from a semaphore, and ends with it taken.

use std::ffi::OsString;

use wigwag::facility::{Naming, Persistence};
use wigwag::gate::{Gate, Mode};
use wigwag::guarantees::PeerDeath;
use wigwag::{Address, Endpoint, Facility, Opening, Role, Wait, Way};

use crate::arguments::{self, Object};
use crate::ending::Ending;
use crate::failure::{Failure, Result};
use crate::patience::Limit;
use crate::report::Report;

/// Take a permit from a semaphore or event counter, and keep it taken
///
/// Also called wait, and P. It waits until there is one. Of a System V set it is semaphore 0
/// unless the address says otherwise, without undo. A file lock is held by a process and gone
/// with it: for that, and to be sure that the permit comes back, there is `wigwag lock`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The semaphore or event counter: sem:/slots
    address: OsString,

    #[command(flatten)]
    limit: Limit,
}

pub(crate) fn run(args: Args) -> Result<Report> {
    let object = permits(&args.address, "acquire")?;
    let ending = Ending::noted()?;
    let wait = args.limit.wait();
    let gate = args.limit.attempts(|wait| {
        ending.check()?;
        open(&object, Role::Join, wait)
    })?;
    // Once it is taken, a signal that came too late is no reason to say that it was not.
    ending.ends(|| gate.acquire_with(Mode::Exclusive, wait))?;
    Ok(Report::Done)
}

/// Whether a permit stays taken when the process that took it ends well.
pub(crate) fn stays_held(facility: &Facility) -> bool {
    facility.persistence != Persistence::Process
        || facility.guarantees.peer_death != PeerDeath::Released
}

/// The gate at an address, if permits can be taken from it for good.
pub(super) fn permits(address: &std::ffi::OsStr, verb: &str) -> Result<Object> {
    let mut object = gate(address)?;
    if !stays_held(object.facility) {
        return Err(Failure::Usage(format!(
            "cannot {verb} {}: a {} is gone with the process that holds it; use wigwag lock {} -- COMMAND",
            object.address, object.facility.noun, object.address
        )));
    }
    // What is given back at the end of the process would be given back at once.
    if object
        .entry
        .options
        .iter()
        .any(|option| option.key == "undo")
        && object.address.options().get("undo").is_none()
    {
        object.address = without_undo(object.address);
    }
    Ok(object)
}

fn without_undo(address: Address) -> Address {
    address.with_option("undo", "no")
}

/// The gate at an address; what is none is told which are.
pub(super) fn gate(address: &std::ffi::OsStr) -> Result<Object> {
    let object = arguments::resolve(address)?;
    if object.is_gate() {
        if object.facility.naming == Naming::Unnamed && object.address.options().get("fd").is_none()
        {
            return Err(Failure::Usage(format!(
                "{} would be a new one that nobody else has; give the number of an inherited descriptor: {}:?fd=3",
                object.address, object.facility.id
            )));
        }
        return Ok(object);
    }
    let gates: Vec<&str> = wigwag::catalog::CATALOG
        .iter()
        .filter(|entry| matches!(entry.open, Some(wigwag::catalog::Open::Gate(_))))
        .map(|entry| entry.facility.id)
        .collect();
    Err(Failure::Usage(format!(
        "{} is no gate; the gates are {}",
        object.address,
        gates.join(", ")
    )))
}

/// Opens a gate, which does not wait.
pub(super) fn open(object: &Object, role: Role, wait: Wait) -> Result<Box<dyn Gate>> {
    let opening = Opening {
        role,
        way: Way::Both,
        wait,
    };
    match wigwag::catalog::open(&object.address, opening)? {
        Endpoint::Gate(gate) => Ok(gate),
        _ => Err(Failure::Usage(format!("{} is no gate", object.address))),
    }
}
