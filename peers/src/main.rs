//! Peers: side-by-side benchmarks of wigwag against the bare system calls and other people's work.
//!
//! `cargo run --release -p peers -- facilities` prints a table; `--json` a list of rows
//! `{"name","peer","ours","theirs","unit","ratio","must","holds"}`. It ends with 1 when a
//! row does not hold.

mod channel;
mod clock;
mod cores;
mod duel;
mod facilities;
mod gates;
mod markdown;
mod observe;
mod plot;
mod row;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::duel::Effort;
use crate::row::Row;

/// Compares wigwag with the bare system calls and with other people's work, alternating in one run.
#[derive(Parser)]
struct Arguments {
    /// What to compare.
    suite: Suite,
    /// Only rows whose name contains one of these.
    names: Vec<String>,
    /// Print a list of objects instead of a table.
    #[arg(long)]
    json: bool,
    /// Write the table of what has a bound, too: a file, or what is between the marks of one.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Draw the rows, too, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Alternations of each row: more are steadier and take longer.
    #[arg(long, default_value_t = 301, value_parser = clap::value_parser!(u32).range(5..))]
    rounds: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Suite {
    /// Each facility of the kernel against the same system calls made bare.
    Facilities,
    /// The gates in memory against POSIX threads, between two processes.
    Gates,
    /// The channel against whatever else carries messages; needs `c++` and Boost.
    Channel,
    /// What looking at the machine costs; needs the command's release build and `lsfd`.
    Observe,
}

fn main() -> ExitCode {
    if gates::partner() || channel::partner() || observe::partner() {
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let wanted = |name: &str| {
        arguments.names.is_empty() || arguments.names.iter().any(|part| name.contains(&part[..]))
    };
    let effort = Effort {
        rounds: arguments.rounds,
    };
    let rows = match arguments.suite {
        Suite::Facilities => facilities::rows(effort, &wanted).map_err(std::io::Error::from),
        Suite::Gates => gates::rows(effort, &wanted),
        Suite::Channel => channel::rows(effort, &wanted),
        Suite::Observe => observe::rows(effort, &wanted),
    };
    match rows {
        Ok(rows) if rows.is_empty() => {
            eprintln!("peers: no row has such a name");
            ExitCode::from(2)
        }
        Ok(rows) => {
            if arguments.json {
                row::print_json(&rows);
            } else {
                row::print_table(&rows);
            }
            if let Err(error) = publish(&arguments, &rows) {
                eprintln!("peers: {error}");
                return ExitCode::from(2);
            }
            ExitCode::from(u8::from(!rows.iter().all(Row::holds)))
        }
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::from(2)
        }
    }
}

/// Writes the files that were asked for.
fn publish(arguments: &Arguments, rows: &[Row]) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(path) = &arguments.markdown {
        markdown::publish(rows, path)?;
    }
    if let Some(path) = &arguments.plot {
        plot::draw(rows, path)?;
    }
    Ok(())
}
