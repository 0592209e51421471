//! Man: the manual page of wigwag or of one command, from the declaration that also parses the arguments.

use crate::arguments;
use crate::failure::{Failure, Result};
use crate::report::Report;

/// Print a manual page, of wigwag or of one command
///
/// To read one: wigwag man lock | man -l -
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of which command; of wigwag itself without it
    command: Option<String>,
}

pub(crate) fn run(args: Args) -> Result<Report> {
    let mut declared = arguments::declaration();
    declared.build();
    let page = match &args.command {
        None => declared,
        Some(name) => {
            let found = declared.find_subcommand(name).cloned();
            let command =
                found.ok_or_else(|| Failure::Usage(format!("there is no command {name}")))?;
            let full: clap::builder::Str = format!("wigwag-{}", command.get_name()).into();
            command.name(full)
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    Ok(Report::Text(text))
}
