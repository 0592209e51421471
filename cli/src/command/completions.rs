//! Completions: for a shell, from the declaration that also parses the arguments.

use clap_complete::Shell;

use crate::arguments;
use crate::failure::Result;
use crate::report::Report;

/// Print the completions of a shell
///
/// For bash: wigwag completions bash > ~/.local/share/bash-completion/completions/wigwag
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    shell: Shell,
}

pub(crate) fn run(args: Args) -> Result<Report> {
    let mut text = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut arguments::declaration(),
        "wigwag",
        &mut text,
    );
    Ok(Report::Text(text))
}
