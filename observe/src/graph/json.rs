//! Json: the findings for programs, in a versioned form that only grows.

use super::{Finding, Thread, WaitGraph, Waker};
use std::fmt::Write as _;

/// Wakers written out for one wait; a pool of ten thousand threads is counted, not listed.
const LISTED: usize = 16;

impl WaitGraph {
    /// The findings as one JSON object, version 1: `{"version":1,"findings":[…],"unseen":[…],"info":{…}}`.
    ///
    /// Ids are numbers as the observer's pid namespace sees them, times are seconds (`since_s` may be off by some hundredths, see
    /// [`since`](super::Wait::since)). A waker list that was cut short has
    /// `wakers_total` beside it.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.findings_to_json(&self.findings())
    }

    /// The same for findings already at hand, or some of them.
    #[must_use]
    pub fn findings_to_json(&self, findings: &[Finding]) -> String {
        let findings = list(findings.iter().map(|finding| self.finding_to_json(finding)));
        let unseen = list(self.unseen.iter().map(|unseen| {
            format!(
                r#"{{"pid":{},"comm":{},"reason":{}}}"#,
                unseen.pid,
                quoted(&unseen.comm),
                quoted(&unseen.reason)
            )
        }));
        let info = format!(
            r#"{{"processes":{},"threads":{},"steady":{},"candidates":{},"dismissed":{},"interval_s":{:.6},"elapsed_s":{:.6}}}"#,
            self.info.processes,
            self.threads.len(),
            self.info.steady,
            self.info.candidates,
            self.info.dismissed,
            self.info.interval.as_secs_f64(),
            self.info.elapsed.as_secs_f64(),
        );
        format!(r#"{{"version":1,"findings":{findings},"unseen":{unseen},"info":{info}}}"#)
    }

    fn finding_to_json(&self, finding: &Finding) -> String {
        let core = finding.core.iter().filter_map(|&tid| self.thread(tid));
        let behind = finding.behind.iter().filter_map(|&tid| self.thread(tid));
        format!(
            r#"{{"verdict":"{}","certainty":"{}","facilities":{},"core":{},"behind":{}}}"#,
            finding.verdict.word(),
            finding.certainty.word(),
            list(finding.facilities.iter().map(|facility| quoted(facility))),
            list(core.map(|thread| self.thread_to_json(thread))),
            list(behind.map(|thread| self.thread_to_json(thread))),
        )
    }

    fn thread_to_json(&self, thread: &Thread) -> String {
        let wait = thread.wait();
        let waits = list(wait.into_iter().map(|wait| {
            let all: Vec<&Waker> = wait
                .clauses
                .iter()
                .flat_map(|clause| &clause.wakers)
                .collect();
            let mut wakers = Vec::new();
            for waker in all {
                for woken_by in self.members(waker, thread.tid) {
                    if !wakers
                        .iter()
                        .any(|(seen, _): &(&Thread, &str)| seen.tid == woken_by.tid)
                    {
                        wakers.push((woken_by, waker.role.as_str()));
                    }
                    if wakers.len() > 4 * LISTED {
                        break;
                    }
                }
            }
            let total = wakers.len();
            let listed = list(wakers.into_iter().take(LISTED).map(|(woken_by, role)| {
                format!(
                    r#"{{"pid":{},"tid":{},"comm":{},"role":{}}}"#,
                    woken_by.pid,
                    woken_by.tid,
                    quoted(&woken_by.comm),
                    quoted(role)
                )
            }));
            let mut text = format!(
                r#"{{"facility":{},"resource":{},"why":{},"since_s":{},"wakers":{}"#,
                quoted(wait.facility),
                quoted(&wait.resource),
                quoted(&wait.why),
                wait.since.map_or("null".to_owned(), |since| format!(
                    "{:.3}",
                    since.as_secs_f64()
                )),
                listed,
            );
            if total > LISTED {
                let _ = write!(text, r#","wakers_total":{total}"#);
            }
            text.push('}');
            text
        }));
        format!(
            r#"{{"pid":{},"tid":{},"comm":{},"waits":{}}}"#,
            thread.pid,
            thread.tid,
            quoted(&thread.comm),
            waits
        )
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// A JSON string with its quotes (RFC 8259).
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
