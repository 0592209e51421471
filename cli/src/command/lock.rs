//! Lock: holds any gate around a command and passes on its exit status; the gate is left whatever happens.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use wigwag::facility::Naming;
use wigwag::gate::Mode;
use wigwag::{Kind, Role, Wait};

use super::acquire;
use crate::ending::Ending;
use crate::exit;
use crate::failure::{Failure, Result};
use crate::interrupt::Interrupts;
use crate::relay;
use crate::report::Report;

/// Hold a file lock or semaphore while a command runs, and pass on its exit status
///
/// The gate is left when the command ends, whatever way it ends. 128 + n when signal n killed
/// it, 127 when it is not found, 126 when it cannot be executed, 124 when the gate was not free
/// in time. SIGINT, SIGTERM, SIGHUP and SIGQUIT sent to wigwag are passed on to the command.
/// The file of a file lock is made if it is missing; a semaphore has to exist (wigwag create).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The gate: flock:/tmp/lock, ofd:/var/lib/db?range=0..100, sem:/slots
    address: OsString,

    /// Let others in that ask for shared too
    #[arg(short, long)]
    shared: bool,

    /// Give up after so many seconds, a fraction is allowed, and exit 124
    #[arg(short = 'w', long, value_name = "SECONDS", value_parser = crate::arguments::seconds)]
    timeout: Option<Duration>,

    /// Do not wait at all: exit 1 when the gate is not free
    #[arg(short, long, conflicts_with = "timeout")]
    nonblock: bool,

    /// The command to run
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(args: Args) -> Result<Report> {
    let object = acquire::gate(&args.address)?;
    let mode = if args.shared {
        Mode::Shared
    } else {
        Mode::Exclusive
    };
    let wait = if args.nonblock {
        Wait::Not
    } else {
        args.timeout.into()
    };
    // A file to lock is made, as flock(1) does; a semaphore made on the way would guard nothing.
    let role = if object.facility.naming == Naming::Path {
        Role::Serve
    } else {
        Role::Join
    };

    let ending = Ending::noted()?;
    let gate = acquire::open(&object, role, wait)?;
    ending.ends(|| gate.acquire_with(mode, wait))?;
    let interrupts = Interrupts::hold()?;
    // One that came when we had it and before they were held back.
    let outcome = ending
        .check()
        .and_then(|()| attend(&args.command, &interrupts));
    match gate.release() {
        // Removed in the meantime: there is nothing left to leave.
        Err(error) if error.kind() != Kind::Removed => outcome.and(Err(error.into())),
        _ => outcome.map(Report::Status),
    }
}

/// Runs the command and passes signals on to it until it has ended.
fn attend(command: &[OsString], interrupts: &Interrupts) -> Result<u8> {
    let [program, arguments @ ..] = command else {
        return Err(Failure::Usage("there is no command to run".into()));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    interrupts.let_through(&mut command);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Err(cannot_run(program, &error)),
    };
    relay::attend(&mut child, interrupts).map(passed_on)
}

fn passed_on(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, Some(signal)) => exit::SIGNALLED.wrapping_add(signal as u8),
        (None, None) => exit::ERROR,
    }
}

fn cannot_run(program: &OsString, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::NotFound => exit::NO_SUCH_COMMAND,
        _ => exit::NOT_EXECUTABLE,
    };
    Failure::Coded(
        code,
        Failure::io(format_args!("run {}", program.display()), error).to_string(),
    )
}
