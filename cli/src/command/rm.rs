//! Rm: removes the names of objects that nobody uses any more.

use std::collections::HashSet;
use std::ffi::OsString;

use wigwag::{Kind, catalog};
use wigwag_observe::Snapshot;
use wigwag_observe::object::{LeakCertainty, LeakKind, Object};

use crate::failure::{Failure, Result};
use crate::render::Output;
use crate::report::Report;

/// Remove named objects
///
/// What somebody uses is refused with exit code 1 and the names of those who do; with --force, POSIX
/// objects, files and sockets lose their name and live on in the processes that have them
/// open, System V queues and semaphore sets are gone at once. A missing object exits 1.
/// Several addresses are all tried. With --leaked, everything of which
/// `wigwag leaks` says that nobody uses it; System V queues and sets, whose users nobody records, only with --force.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to remove: mq:/jobs, sysv-mq:0x1234
    #[arg(required_unless_present = "leaked")]
    address: Vec<OsString>,

    /// A missing object is fine, and so is one in use
    #[arg(short, long)]
    force: bool,

    /// Instead of ADDRESS: all that nobody uses (wigwag leaks)
    #[arg(long, conflicts_with = "address")]
    leaked: bool,

    /// Only say what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, output: &Output) -> Result<Report> {
    if args.leaked {
        return leaked(&args, output);
    }
    super::create::each(&args.address, output, |object| {
        if object.entry.unlink.is_none() {
            // The library's words for what has no name that could be removed.
            return catalog::unlink(&object.address);
        }
        if args.dry_run {
            let outcome = wigwag_observe::removable(&object.address, args.force);
            if outcome.is_ok() {
                output.say(format_args!("would remove {}", object.address));
            }
            return match outcome {
                Err(error) if args.force && error.kind() == Kind::NotFound => Ok(()),
                outcome => outcome,
            };
        }
        match wigwag_observe::remove(&object.address, args.force) {
            Err(error) if args.force && error.kind() == Kind::NotFound => Ok(()),
            outcome => outcome.map(drop),
        }
    })
}

fn leaked(args: &Args, output: &Output) -> Result<Report> {
    let look = || Snapshot::capture().map_err(|error| Failure::io("look at /proc", &error));
    // Twice, and only what nobody had either time: on a busy machine who has it may change hands during one look.
    let before = look()?;
    let before: HashSet<_> = before
        .leaks()
        .map(|object| (object.address.clone(), object.id))
        .collect();
    let snapshot = look()?;
    let both = |object: &&Object| before.contains(&(object.address.clone(), object.id));
    let mut lines = String::new();
    let mut first = None;
    for object in snapshot.leaks().filter(both) {
        let (Some(leak), Some(address)) = (&object.leak, &object.address) else {
            continue;
        };
        // A pipe has no name: its processes must close it.
        if leak.kind == LeakKind::NeverEnds {
            continue;
        }
        // Whoever has the others open after all, unseen, keeps them when the name goes.
        let gone_at_once = matches!(object.facility, "sysv-mq" | "sysv-sem");
        if gone_at_once && leak.certainty == LeakCertainty::Likely && !args.force {
            output.say(format_args!(
                "left {address} alone: {}, and it would be gone at once for whoever uses it; --force removes it",
                leak.reason
            ));
            continue;
        }
        if args.dry_run {
            lines.push_str(&format!("{address}\n"));
            continue;
        }
        match object.remove(args.force) {
            Ok(removed) => lines.push_str(&format!("{}\n", removed.address)),
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => {
                let code = output.tell(&Failure::Library(error));
                first.get_or_insert(code);
            }
        }
    }
    output.print(&Report::Text(lines.into_bytes()))?;
    first.map_or(Ok(Report::Done), |code| Err(Failure::Told(code)))
}
