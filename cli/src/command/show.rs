//! Show: everything about one object, or about one process and what it has.

use serde::Serialize;
use wigwag_observe::{Object, ProcessEntry, Snapshot};

use crate::exit;
use crate::failure::{Failure, Result};
use crate::report::Report;

/// Show everything about one object, or about one process and every object it has
///
/// TARGET is an address (mq:/jobs), a name as `wigwag ls --all` prints it (`pipe:[1234]`), or a process
/// id. For an object: owner, mode, how full, who has it open by which descriptor, which threads wait for
/// it, its peers, its age. Exit code 1 when there is none.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to show: mq:/jobs, channel:/camera, a pipe by its number, 4711
    #[arg(value_name = "ADDRESS|PID")]
    target: String,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What there is about it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) process: Option<ProcessEntry>,
    pub(crate) objects: Vec<Object>,
}

pub(crate) fn run(args: Args) -> Result<Report> {
    let pid = args.target.parse::<u32>().ok();
    let mut builder = Snapshot::builder();
    if let Some(pid) = pid {
        builder = builder.pids([pid]);
    }
    let snapshot = builder
        .capture()
        .map_err(|error| Failure::io("look at /proc", &error))?;
    let process = pid.and_then(|pid| snapshot.process(pid)).cloned();
    let mut objects: Vec<Object> = match pid {
        Some(_) => snapshot.objects,
        None => snapshot.find(&args.target).into_iter().cloned().collect(),
    };
    if pid.is_none() && objects.is_empty() {
        // A name in the file system is there though nobody has it open.
        if let Ok(address) = args.target.parse() {
            objects.extend(Object::at_rest(&address)?);
        }
    }
    if process.is_none() && objects.is_empty() {
        let what = if pid.is_some() { "process" } else { "object" };
        let hint = if pid.is_some() {
            ""
        } else {
            "; wigwag ls --all lists them"
        };
        return Err(Failure::Coded(
            exit::NO,
            format!("there is no {what} {}{hint}", args.target),
        ));
    }
    Ok(Report::Shown(Shown { process, objects }))
}
