//! Findings: a verdict, one line for each thread of the circle, and who queues behind it.

use std::io::{self, Write};

use super::{Paint, count};
use crate::command::deadlocks::Findings;
use crate::command::why::Answers;

pub(super) fn print(out: &mut dyn Write, paint: Paint, found: &Findings) -> io::Result<()> {
    let graph = &found.graph;
    let (mut told, mut information) = (0, 0);
    for finding in &found.findings {
        if !finding.verdict.is_alarm() && !found.all {
            information += 1;
            continue;
        }
        if told > 0 {
            writeln!(out)?;
        }
        told += 1;
        let verdict = finding.verdict.word().replace('_', " ").to_uppercase();
        let verdict = if finding.verdict.is_alarm() {
            paint.bad(&verdict)
        } else {
            paint.doubtful(&verdict)
        };
        writeln!(
            out,
            "{verdict} ({}): {}",
            finding.certainty.word(),
            finding.facilities.join(", ")
        )?;
        for thread in finding.core.iter().filter_map(|&tid| graph.thread(tid)) {
            write!(out, "  {}", name(&thread.comm, thread.pid, thread.tid))?;
            match thread.wait() {
                Some(wait) => {
                    if let Some(since) = wait.since {
                        write!(out, "  {:.1} s", since.as_secs_f64())?;
                    }
                    writeln!(
                        out,
                        "  {} {}: {}",
                        wait.facility,
                        line(&wait.resource),
                        line(&wait.why)
                    )?;
                }
                None => writeln!(out)?,
            }
        }
        if !finding.behind.is_empty() {
            let behind: Vec<String> = finding
                .behind
                .iter()
                .filter_map(|&tid| graph.thread(tid))
                .map(|thread| name(&thread.comm, thread.pid, thread.tid))
                .collect();
            writeln!(out, "  behind it: {}", behind.join(", "))?;
        }
    }
    if told == 0 {
        writeln!(out, "{}", paint.good("no deadlock"))?;
    }
    if information > 0 {
        let waits = count(information, "wait is", "waits are");
        let words = format!("{waits} information only: --all shows");
        writeln!(out, "{}", paint.faint(&words))?;
    }
    if !graph.unseen().is_empty() {
        let processes = count(graph.unseen().len(), "process", "processes");
        let words = format!("{processes} could not be looked into, and count as able to act");
        writeln!(out, "{}", paint.faint(&words))?;
    }
    Ok(())
}

pub(super) fn print_why(out: &mut dyn Write, paint: Paint, answers: &Answers) -> io::Result<()> {
    for (index, answer) in answers.0.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        let text = answer.to_string();
        let (headline, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let headline = if answer.is_alarm() {
            paint.bad(headline)
        } else {
            paint.heading(headline)
        };
        writeln!(out, "{headline}\n{}", rest.trim_end())?;
    }
    Ok(())
}

fn name(comm: &str, pid: u32, tid: u32) -> String {
    let comm = line(comm);
    if pid == tid {
        format!("{comm}[{pid}]")
    } else {
        format!("{comm}[{pid}] thread {tid}")
    }
}

/// One line, whatever a process has called itself.
fn line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
