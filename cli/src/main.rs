//! wigwag: see, use, measure and debug every kind of interprocess communication.
//!
//! Arguments become a command, the command a [`Report`](report::Report), and only
//! [`render`] prints. Exit codes are in [`exit`].

mod arguments;
mod check;
mod command;
mod ending;
mod exit;
mod failure;
mod interrupt;
mod made_name;
mod patience;
mod relay;
mod render;
mod report;

use std::process::ExitCode;

use clap::error::ErrorKind;

fn main() -> ExitCode {
    let arguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(told(&error)),
    };
    let output = render::Output::new(arguments.color, arguments.wants_json());
    let result = command::run(arguments, &output).and_then(|report| {
        output.print(&report)?;
        Ok(report.exit())
    });
    ExitCode::from(result.unwrap_or_else(|failure| output.tell(&failure)))
}

/// Help goes to standard output and is no error; a usage error exits 2.
fn told(error: &clap::Error) -> u8 {
    // Whoever closed our output early has seen enough of the help.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => exit::DONE,
        _ => exit::ERROR,
    }
}
