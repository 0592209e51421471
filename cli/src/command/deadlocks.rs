//! Deadlocks: every circle of waits on the machine, and every wait that nobody can end.

use std::time::Duration;

use wigwag_observe::WaitGraph;
use wigwag_observe::graph::Finding;
use wigwag_observe::waits::Options;

use crate::exit;
use crate::failure::{Failure, Result};
use crate::interrupt::Interrupts;
use crate::render::Output;
use crate::report::Report;

/// Find every deadlock on the machine, and every wait that nobody is left to end
///
/// Follows locks, pipes, sockets, queues, semaphores, file locks, terminals, signals and children, in any
/// program, without touching it. Each finding says how sure it is: proven (no possible waker can ever
/// run), likely (unless a stranger opens a named object), suspect (the owner is inferred). Exit code 3 when a
/// deadlock or dead end is found, 0 when there is none or only information.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Time between the two looks, whose agreement counts
    #[arg(long, value_name = "MS", default_value_t = 50)]
    interval: u64,

    /// Look again and again, and print whenever the findings change; Ctrl-C ends it
    #[arg(long)]
    watch: bool,

    /// Seconds between the looks of --watch
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = crate::arguments::seconds, requires = "watch")]
    every: Duration,

    /// Also information: waits that a stranger may end, stopped processes, waits for signals
    #[arg(short, long)]
    all: bool,

    /// Print JSON
    #[arg(long, conflicts_with_all = ["dot", "svg"])]
    pub(crate) json: bool,

    /// Print the graph for graphviz
    #[arg(long, conflicts_with = "svg")]
    dot: bool,

    /// Print a picture of the graph
    #[arg(long)]
    svg: bool,
}

/// What is stuck.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) graph: WaitGraph,
    pub(crate) findings: Vec<Finding>,
    /// Whether to tell information too.
    pub(crate) all: bool,
}

impl Findings {
    fn new(graph: WaitGraph, all: bool) -> Self {
        let findings = graph.findings();
        Findings {
            graph,
            findings,
            all,
        }
    }

    pub(crate) fn exit(&self) -> u8 {
        let alarm = self
            .findings
            .iter()
            .any(|finding| finding.verdict.is_alarm());
        if alarm { exit::DEADLOCK } else { exit::DONE }
    }

    /// What is told, in a form that is equal when nothing has changed.
    fn told(&self) -> Vec<(bool, Vec<u32>, Vec<u32>)> {
        let told = self
            .findings
            .iter()
            .filter(|finding| self.all || finding.verdict.is_alarm());
        told.map(|finding| {
            (
                finding.verdict.is_alarm(),
                finding.core.clone(),
                finding.behind.clone(),
            )
        })
        .collect()
    }
}

pub(crate) fn run(args: Args, output: &Output) -> Result<Report> {
    let options = Options {
        interval: Duration::from_millis(args.interval),
        ..Options::default()
    };
    let look = || {
        let graph =
            WaitGraph::capture(&options).map_err(|error| Failure::io("look at /proc", &error))?;
        Ok::<_, Failure>(Findings::new(graph, args.all))
    };
    let report = |found: Findings| match (args.dot, args.svg) {
        (true, _) => Report::Picture(
            found.graph.findings_to_dot(&found.findings).into_bytes(),
            found.exit(),
        ),
        (_, true) => Report::Picture(
            found.graph.findings_to_svg(&found.findings).into_bytes(),
            found.exit(),
        ),
        _ => Report::Findings(found),
    };
    if !args.watch {
        return look().map(report);
    }
    let interrupts = Interrupts::hold()?;
    let mut before = None;
    loop {
        let found = look()?;
        let told = found.told();
        if before.as_ref() != Some(&told) {
            before = Some(told);
            output.print(&report(found))?;
        }
        if interrupts.next(args.every).is_some() {
            return Ok(Report::Done);
        }
    }
}
