//! Why: what a process waits for, who could wake it, down to the root, and what to do about it.

use std::time::Duration;

use wigwag_observe::waits::Options;
use wigwag_observe::why::{Standing, Why, why};

use crate::exit;
use crate::failure::{Failure, Result};
use crate::report::Report;

/// Say why a process does not go on: what it waits for, who could wake it, what to do
///
/// The verdict comes first (DEADLOCK, DEAD END, BLOCKED BY, WAITING FOR INPUT, STOPPED, FROZEN, SLEEPING,
/// RUNNING), then one line for each wait down to the root, then what to do. The machine is looked at
/// twice and only what both looks agree on counts. Nothing is stopped, traced or opened. Exit code 3 when
/// the process is in a deadlock, or nobody is left who could wake it, or it waits for one of whom that is true;
/// 1 when there is no such process, 4 when it may not be looked into.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A process id, a thread id, or the name of processes
    #[arg(value_name = "PID|TID|NAME")]
    target: String,

    /// Time between the two looks
    #[arg(long, value_name = "MS", default_value_t = 50)]
    interval: u64,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// One answer for a thread, one for each process of a name.
#[derive(Debug)]
pub(crate) struct Answers(pub(crate) Vec<Why>);

impl Answers {
    pub(crate) fn exit(&self) -> u8 {
        let any = |is: fn(&Why) -> bool| self.0.iter().any(is);
        if any(Why::is_alarm) {
            exit::DEADLOCK
        } else if any(|answer| answer.standing == Standing::Unknown) {
            exit::INCOMPLETE
        } else {
            exit::DONE
        }
    }
}

pub(crate) fn run(args: Args) -> Result<Report> {
    let options = Options {
        interval: Duration::from_millis(args.interval),
        ..Options::default()
    };
    match why(&args.target, &options) {
        Ok(answers) => Ok(Report::Why(Answers(answers))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::Coded(
            exit::NO,
            match args.target.contains(':') {
                // An object waits for nothing.
                true => format!(
                    "there is no process, thread or name {0}; who has the object open: wigwag show {0}",
                    args.target
                ),
                false => format!("there is no process, thread or name {}", args.target),
            },
        )),
        Err(error) => Err(Failure::io("look at /proc", &error)),
    }
}
