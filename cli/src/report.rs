//! Report: what a command found out or did, as data; [`render`](crate::render) turns it into text or JSON.

use crate::check::verdict::Checks;
use crate::command::deadlocks::Findings;
use crate::command::facilities::Facilities;
use crate::command::leaks::Leaks;
use crate::command::ls::Listing;
use crate::command::overview::Overview;
use crate::command::show::Shown;
use crate::command::why::Answers;
use crate::exit;

/// What a command found out or did.
#[derive(Debug)]
pub(crate) enum Report {
    /// Done, and there is nothing to say.
    Done,
    /// The exit status of the command that was run.
    Status(u8),
    /// Text made from our own declaration: completions, a manual page, the table of the README.
    Text(Vec<u8>),
    /// The graph of waits as a picture, and the exit code for what is in it.
    Picture(Vec<u8>, u8),
    /// What there is, and what is usable here.
    Facilities(Facilities),
    /// What works here, and how fast.
    Checks(Checks),
    /// The objects that exist.
    Listing(Listing),
    /// Why processes do not go on.
    Why(Answers),
    /// What is stuck on the machine.
    Findings(Findings),
    /// What nobody uses.
    Leaks(Leaks),
    /// Everything about one object or process.
    Shown(Shown),
    /// Everything at a glance.
    Overview(Overview),
}

impl Report {
    /// The exit code.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Report::Status(code) | Report::Picture(_, code) => *code,
            Report::Checks(checks) if !checks.all_well() => exit::NO,
            Report::Why(answers) => answers.exit(),
            Report::Findings(found) => found.exit(),
            Report::Listing(listing) if !listing.complete => exit::INCOMPLETE,
            _ => exit::DONE,
        }
    }
}
