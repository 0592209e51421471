//! Looks at the whole machine and prints what is stuck: `cargo run --example deadlocks [--json|--dot|--svg]`.

use wigwag_observe::graph::{Verdict, WaitGraph};
use wigwag_observe::waits::Options;

fn main() -> std::io::Result<()> {
    let graph = WaitGraph::capture(&Options::default())?;
    match std::env::args().nth(1).as_deref() {
        Some("--json") => println!("{}", graph.to_json()),
        Some("--dot") => print!("{}", graph.to_dot()),
        Some("--svg") => print!("{}", graph.to_svg()),
        Some("--all") => {
            for thread in graph.threads() {
                match thread.wait() {
                    Some(wait) => println!(
                        "{} {} {}: {} {}; {}",
                        thread.pid, thread.tid, thread.comm, wait.facility, wait.resource, wait.why
                    ),
                    None => println!(
                        "{} {} {}: {:?}",
                        thread.pid, thread.tid, thread.comm, thread.state
                    ),
                }
            }
        }
        _ => {
            for finding in graph.findings() {
                println!(
                    "{} ({}), behind it {:?}",
                    finding.verdict.word(),
                    finding.certainty.word(),
                    finding.behind
                );
                for thread in finding.core.iter().filter_map(|&tid| graph.thread(tid)) {
                    let Some(wait) = thread.wait() else { continue };
                    println!(
                        "  {}[{}] {} {}: {}",
                        thread.comm, thread.tid, wait.facility, wait.resource, wait.why
                    );
                }
            }
            eprintln!("{:?}", graph.info);
        }
    }
    let stuck = graph
        .findings()
        .iter()
        .any(|finding| matches!(finding.verdict, Verdict::Deadlock | Verdict::DeadEnd));
    std::process::exit(if stuck { 3 } else { 0 })
}
