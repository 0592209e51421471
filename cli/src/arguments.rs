//! Arguments: the one declaration from which parsing, help, completions and manual pages come.

use std::ffi::OsStr;
use std::io::IsTerminal;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use wigwag::catalog::{self, Entry, Open};
use wigwag::facility::Naming;
use wigwag::{Address, Facility};

use crate::{check, command};

/// See, use, measure and debug every kind of interprocess communication.
///
/// An ADDRESS is scheme:name?option=value, such as mq:/jobs?depth=10, fifo:/tmp/f, unix:@app,
/// tcp:localhost:7777, sysv-mq:0x1234, shm:/frame, sem:/slots, flock:/tmp/lock, channel:/camera;
/// `wigwag facilities` lists the schemes, `wigwag facilities SCHEME` its options and limits.
/// Exit codes: 0 done, 1 no (not found, would block, exists), 2 usage or error, 3 deadlock found, 4 incomplete, 124 timed out,
/// 128 + n ended by signal n.
#[derive(Debug, Parser)]
#[command(name = "wigwag", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Print the overview as JSON
    #[arg(long)]
    json: bool,

    /// When to use colour; auto is on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true
    )]
    pub(crate) color: Color,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether to use it on standard output; `NO_COLOR` as <https://no-color.org> has it.
    pub(crate) fn wanted(self) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
                    && std::io::stdout().is_terminal()
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Facilities(command::facilities::Args),
    Check(command::check::Args),
    Ls(command::ls::Args),
    Show(command::show::Args),
    Create(command::create::Args),
    Send(command::send::Args),
    Recv(command::recv::Args),
    Call(command::call::Args),
    Serve(command::serve::Args),
    #[command(visible_aliases = ["wait", "P"])]
    Acquire(command::acquire::Args),
    #[command(visible_aliases = ["post", "V"])]
    Release(command::release::Args),
    Lock(command::lock::Args),
    Rm(command::rm::Args),
    Why(command::why::Args),
    Deadlocks(command::deadlocks::Args),
    Leaks(command::leaks::Args),
    Completions(command::completions::Args),
    Man(command::man::Args),
    #[command(hide = true)]
    Peer(check::peer::Args),
}

/// The headings of the help and the commands under them, in the order of a session.
const GROUPS: &[(&str, &[&str])] = &[
    ("See", &["facilities", "ls", "show"]),
    (
        "Use",
        &[
            "create", "send", "recv", "call", "serve", "acquire", "release", "lock", "rm",
        ],
    ),
    ("Measure", &["check"]),
    ("Debug", &["why", "deadlocks", "leaks"]),
    ("More", &["completions", "man"]),
];

/// The declaration, with the commands of the help under their headings.
pub(crate) fn declaration() -> clap::Command {
    let declared = Arguments::command();
    let groups = grouped(&declared);
    declared
        .mut_subcommands(told_of_signs)
        .help_template(
            "{about-with-newline}\n{usage-heading} {usage}\n       wigwag                  the overview\n{after-help}\n\nOptions:\n{options}",
        )
        .after_help(groups)
}

/// A number below zero is told to be a bad value of an option, and not to be an unknown one. Elsewhere -0 is an option.
fn told_of_signs(command: clap::Command) -> clap::Command {
    command.mut_args(|argument| {
        let takes = argument.get_action().takes_values() && !argument.is_positional();
        argument.allow_negative_numbers(takes)
    })
}

fn grouped(declared: &clap::Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        text.push_str(&format!("\n{heading}:\n"));
        for name in *names {
            let about = declared
                .find_subcommand(name)
                .and_then(clap::Command::get_about)
                .map(ToString::to_string)
                .unwrap_or_default();
            text.push_str(&format!("  {name:<12} {about}\n"));
        }
    }
    text.trim().to_owned()
}

/// Reads the command line.
pub(crate) fn parse() -> Result<Arguments, clap::Error> {
    let matches = declaration().try_get_matches()?;
    let arguments = Arguments::from_arg_matches(&matches)?;
    match &arguments.command {
        Some(command) if arguments.json && command.json().is_none() => Err(declaration().error(
            clap::error::ErrorKind::ArgumentConflict,
            "--json has no meaning for this command",
        )),
        _ => Ok(arguments),
    }
}

impl Arguments {
    /// Whether the report is wanted as JSON.
    pub(crate) fn wants_json(&self) -> bool {
        self.json || self.command.as_ref().and_then(Command::json) == Some(true)
    }
}

impl Command {
    /// Whether JSON was asked for; `None` when the command has nothing to say in JSON.
    fn json(&self) -> Option<bool> {
        match self {
            Command::Facilities(args) => Some(args.json),
            Command::Check(args) => Some(args.json),
            Command::Ls(args) => Some(args.json),
            Command::Show(args) => Some(args.json),
            Command::Why(args) => Some(args.json),
            Command::Deadlocks(args) => Some(args.json),
            Command::Leaks(args) => Some(args.json),
            Command::Recv(args) => Some(args.json),
            _ => None,
        }
    }
}

/// Reads an ADDRESS argument and checks it against the catalog. Not while parsing the command
/// line: its errors are the library's, one line each, as when the object is missing.
pub(crate) fn resolve(argument: &OsStr) -> wigwag::Result<Object> {
    let address = Address::try_from(argument)?;
    let resolved = catalog::resolve(&address)?;
    Ok(Object {
        address,
        facility: resolved.entry.facility,
        entry: resolved.entry,
    })
}

/// What an ADDRESS argument means.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) address: Address,
    pub(crate) facility: &'static Facility,
    pub(crate) entry: &'static Entry,
}

impl Object {
    /// Its name as it is printed.
    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(self.address.name()).into_owned()
    }

    /// Whether one send is one receive.
    pub(crate) fn is_messages(&self) -> bool {
        matches!(self.entry.open, Some(Open::Messages(_)))
    }

    /// Whether it is memory.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.entry.open, Some(Open::Region(_)))
    }

    /// Whether it is a gate.
    pub(crate) fn is_gate(&self) -> bool {
        matches!(self.entry.open, Some(Open::Gate(_)))
    }

    /// Whether its name is made by one end, and the other goes there.
    pub(crate) fn is_made_by_one_end(&self) -> bool {
        matches!(self.facility.naming, Naming::Socket | Naming::HostPort)
    }
}

/// Reads a FACILITY argument, one of the catalog's.
pub(crate) fn facility() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(catalog::CATALOG.iter().map(|entry| entry.facility.id))
}

/// Reads SECONDS: a fraction is allowed, nothing negative, no end of the clock.
pub(crate) fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "a time is a number of seconds, such as 0.5".to_owned())?;
    std::time::Duration::try_from_secs_f64(seconds)
        .map_err(|_| "a time is a number of seconds from 0 to 1e19, such as 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_consistent() {
        declaration().debug_assert();
    }

    #[test]
    fn every_visible_command_stands_under_a_heading() {
        let grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        for command in declaration().get_subcommands().filter(|c| !c.is_hide_set()) {
            assert!(
                grouped.contains(&command.get_name()),
                "{}",
                command.get_name()
            );
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }

    #[test]
    fn seconds_may_have_a_fraction_but_no_sign() {
        assert_eq!(seconds("0.2"), Ok(std::time::Duration::from_millis(200)));
        for bad in ["", "-1", "x", "NaN", "inf", "1e300"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
