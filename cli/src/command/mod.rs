//! Commands: one file each, `fn run(args) -> Result<Report>`; none prints.

use wigwag::catalog;

use crate::arguments::{Arguments, Command, Object};
use crate::ending::Ending;
use crate::failure::{Failure, Result};
use crate::render::Output;
use crate::report::Report;

pub(crate) mod acquire;
pub(crate) mod call;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod create;
pub(crate) mod deadlocks;
pub(crate) mod facilities;
pub(crate) mod leaks;
pub(crate) mod lock;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod overview;
pub(crate) mod recv;
pub(crate) mod release;
pub(crate) mod rm;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod why;

/// Runs what was asked for; `output` is for those that print while they go on.
pub(crate) fn run(arguments: Arguments, output: &Output) -> Result<Report> {
    match arguments.command {
        None => overview::run(),
        Some(Command::Facilities(args)) => facilities::run(args),
        Some(Command::Check(args)) => check::run(args, output),
        Some(Command::Ls(args)) => ls::run(args),
        Some(Command::Create(args)) => create::run(args, output),
        Some(Command::Send(args)) => send::run(args),
        Some(Command::Recv(args)) => recv::run(args, output),
        Some(Command::Call(args)) => call::run(args),
        Some(Command::Serve(args)) => serve::run(args, output),
        Some(Command::Acquire(args)) => acquire::run(args),
        Some(Command::Release(args)) => release::run(args),
        Some(Command::Lock(args)) => lock::run(args),
        Some(Command::Rm(args)) => rm::run(args, output),
        Some(Command::Show(args)) => show::run(args),
        Some(Command::Why(args)) => why::run(args),
        Some(Command::Deadlocks(args)) => deadlocks::run(args, output),
        Some(Command::Leaks(args)) => leaks::run(args),
        Some(Command::Completions(args)) => completions::run(args),
        Some(Command::Man(args)) => man::run(args),
        Some(Command::Peer(args)) => crate::check::peer::run(args),
    }
}

/// Opens an object for data.
fn open(object: &Object, opening: wigwag::Opening, ending: &Ending) -> Result<wigwag::Endpoint> {
    if matches!(
        object.entry.open,
        Some(catalog::Open::Gate(_) | catalog::Open::Calls)
    ) {
        return Err(no_data(object));
    }
    ending.ends(|| catalog::open(&object.address, opening))
}

/// The failure of sending to, or receiving from, a gate or a server.
fn no_data(object: &Object) -> Failure {
    if matches!(object.entry.open, Some(catalog::Open::Calls)) {
        return Failure::Usage(format!(
            "{} answers calls; use wigwag call or serve",
            object.address
        ));
    }
    Failure::Usage(format!(
        "{} is a gate, which carries no data; use wigwag {}",
        object.address,
        if acquire::stays_held(object.facility) {
            "acquire, release or lock"
        } else {
            "lock"
        }
    ))
}
