//! Picture: what is drawn of a graph: threads, the objects they wait for, and who holds those.

use super::{Finding, Outside, Thread, Verdict, WaitGraph};
use std::collections::HashMap;

/// Nodes drawn at most; a picture with more cannot be read.
const DRAWN: usize = 300;

/// Boxes and arrows, without places.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) nodes: Vec<Node>,
    pub(super) arrows: Vec<Arrow>,
    /// What the picture says in one line.
    pub(super) title: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Lines of text.
    pub(super) label: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A thread in the core of a finding.
    Core,
    /// A thread behind a core, or one of a graph without findings.
    Behind,
    /// A thread that can run.
    Live,
    /// What is waited for.
    Object,
    /// Somebody outside.
    World,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: String,
    /// Several arrows from one object are alternatives.
    pub(super) any_of: bool,
}

impl Picture {
    /// The findings with those behind them; without findings, all waits for somebody who is here.
    pub(super) fn of(graph: &WaitGraph, findings: &[Finding]) -> Picture {
        let mut picture = Picture::default();
        let mut place: HashMap<u32, usize> = HashMap::new();
        let mut objects: HashMap<(String, String), usize> = HashMap::new();
        let shown: Vec<&Thread> = if findings.is_empty() {
            let inside = |thread: &&Thread| {
                thread
                    .wait()
                    .is_some_and(|wait| wait.clauses.iter().any(|clause| !clause.wakers.is_empty()))
            };
            graph
                .threads()
                .iter()
                .filter(inside)
                .take(DRAWN / 2)
                .collect()
        } else {
            let ids = findings
                .iter()
                .flat_map(|finding| finding.core.iter().chain(&finding.behind));
            ids.filter_map(|&tid| graph.thread(tid))
                .take(DRAWN / 2)
                .collect()
        };
        picture.title = match findings {
            [] => "no deadlock; who waits for whom".to_owned(),
            _ => {
                let words = findings.iter().map(|finding| {
                    let (count, certainty) =
                        (threads(finding.core.len()), finding.certainty.word());
                    match finding.verdict {
                        Verdict::Stopped => format!("{count} stopped ({certainty})"),
                        verdict => format!(
                            "{} of {count} ({certainty})",
                            verdict.word().replace('_', " ")
                        ),
                    }
                });
                words.collect::<Vec<_>>().join(" · ")
            }
        };
        for thread in &shown {
            let core = findings
                .iter()
                .any(|finding| finding.core.binary_search(&thread.tid).is_ok());
            picture.thread(
                &mut place,
                thread,
                if core { Kind::Core } else { Kind::Behind },
            );
        }
        for thread in shown {
            let Some(wait) = thread.wait() else { continue };
            let from = place[&thread.tid];
            let key = (wait.facility.to_owned(), wait.resource.clone());
            let object = *objects.entry(key).or_insert_with(|| {
                picture.nodes.push(Node {
                    kind: Kind::Object,
                    label: vec![wait.facility.to_owned(), shortened(&wait.resource, 44)],
                });
                picture.nodes.len() - 1
            });
            let since = wait.since.map_or(String::new(), |since| {
                format!(" {:.1} s", since.as_secs_f64())
            });
            picture.arrow(from, object, format!("waits{since}"), false);
            for clause in &wait.clauses {
                let mut any = Vec::new();
                for waker in &clause.wakers {
                    for member in graph.members(waker, thread.tid) {
                        any.push((member, waker.role.clone()));
                    }
                }
                let several = any.len() > 1;
                for (member, role) in any.into_iter().take(16) {
                    if picture.nodes.len() >= DRAWN {
                        break;
                    }
                    let to = picture.thread(
                        &mut place,
                        member,
                        if member.wait().is_some() {
                            Kind::Behind
                        } else {
                            Kind::Live
                        },
                    );
                    picture.arrow(object, to, role, several);
                }
                let outside = match &clause.outside {
                    Outside::Closed => continue,
                    Outside::Named => "whoever opens it by name".to_owned(),
                    Outside::Anyone => "anybody".to_owned(),
                    Outside::World(whom) => whom.clone(),
                };
                picture.nodes.push(Node {
                    kind: Kind::World,
                    label: vec![shortened(&outside, 44)],
                });
                let to = picture.nodes.len() - 1;
                picture.arrow(object, to, String::new(), true);
            }
        }
        picture
    }

    fn thread(&mut self, place: &mut HashMap<u32, usize>, thread: &Thread, kind: Kind) -> usize {
        *place.entry(thread.tid).or_insert_with(|| {
            let id = if thread.pid == thread.tid {
                format!("[{}]", thread.pid)
            } else {
                format!("[{}] thread {}", thread.pid, thread.tid)
            };
            self.nodes.push(Node {
                kind,
                label: vec![thread.comm.clone(), id],
            });
            self.nodes.len() - 1
        })
    }

    fn arrow(&mut self, from: usize, to: usize, label: String, any_of: bool) {
        let known = self
            .arrows
            .iter()
            .any(|arrow| arrow.from == from && arrow.to == to);
        if !known {
            self.arrows.push(Arrow {
                from,
                to,
                label: shortened(&label, 30),
                any_of,
            });
        }
    }
}

fn threads(count: usize) -> String {
    if count == 1 {
        "1 thread".to_owned()
    } else {
        format!("{count} threads")
    }
}

/// The text without control characters, its middle left out if it is longer than `most` characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let clean: Vec<char> = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if clean.len() <= most {
        return clean.into_iter().collect();
    }
    let head = most / 2;
    let tail = most - head - 1;
    clean[..head]
        .iter()
        .chain(['…'].iter())
        .chain(&clean[clean.len() - tail..])
        .collect()
}
