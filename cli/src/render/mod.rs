//! Rendering: the only place that prints; text for people, JSON for programs.
//!
//! Data goes to standard output, words to standard error. Text may change between versions;
//! JSON has a `version` that changes with its meaning, and numbers are numbers.

mod base64;
mod checks;
mod facilities;
mod findings;
mod json;
mod listing;
pub(crate) mod messages;
mod overview;
mod paint;
mod progress;
mod shown;
mod table;

use std::io::{self, Write};

pub(crate) use paint::Paint;
pub(crate) use progress::Progress;

use crate::arguments::Color;
use crate::failure::Failure;
use crate::report::Report;

/// A number with its noun: `1 process`, `2 processes`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Where and how a command's outcome is printed.
#[derive(Debug)]
pub(crate) struct Output {
    paint: Paint,
    json: bool,
}

impl Output {
    pub(crate) fn new(color: Color, json: bool) -> Self {
        Output {
            paint: Paint::new(color.wanted()),
            json,
        }
    }

    /// Prints a report on standard output.
    pub(crate) fn print(&self, report: &Report) -> io::Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        match report {
            Report::Text(text) | Report::Picture(text, _) => out.write_all(text)?,
            report if self.json => json::print(&mut out, report)?,
            Report::Done | Report::Status(_) => {}
            Report::Facilities(facilities) => facilities::print(&mut out, self.paint, facilities)?,
            Report::Checks(checks) => checks::print(&mut out, self.paint, checks)?,
            Report::Listing(listing) => listing::print(&mut out, self.paint, listing)?,
            Report::Why(answers) => findings::print_why(&mut out, self.paint, answers)?,
            Report::Findings(found) => findings::print(&mut out, self.paint, found)?,
            Report::Leaks(leaks) => shown::print_leaks(&mut out, self.paint, leaks)?,
            Report::Shown(shown) => shown::print(&mut out, self.paint, shown)?,
            Report::Overview(overview) => overview::print(&mut out, self.paint, overview)?,
        }
        out.flush()
    }

    /// Tells a failure in one line on standard error, and returns its exit code.
    pub(crate) fn tell(&self, failure: &Failure) -> u8 {
        match failure {
            Failure::Closed | Failure::Told(_) | Failure::Signalled(_) => {}
            failure => self.say(failure),
        }
        failure.exit()
    }

    /// One line of words.
    pub(crate) fn say(&self, words: impl std::fmt::Display) {
        // When nobody reads our words there is nobody to tell that to.
        let _ = writeln!(io::stderr(), "wigwag: {words}");
    }

    /// A line that tells how far a long command is, where somebody watches.
    pub(crate) fn progress(&self) -> Progress {
        Progress::new()
    }
}
