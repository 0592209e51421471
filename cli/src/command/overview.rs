//! Overview: what there is on this machine, at a glance.

use serde::Serialize;
use wigwag::catalog::CATALOG;
use wigwag_observe::graph::Verdict;
use wigwag_observe::waits::Options;
use wigwag_observe::{Snapshot, WaitGraph};

use crate::failure::{Failure, Result};
use crate::report::Report;

/// What there is, by facility.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    pub(crate) facilities: Vec<Count>,
    pub(crate) processes: usize,
    /// Objects that nobody seems to use.
    pub(crate) leaks: usize,
    /// Objects into which nothing more goes.
    pub(crate) full: usize,
    /// Circles of waits.
    pub(crate) deadlocks: usize,
    /// Waits that nobody is left to end.
    pub(crate) dead_ends: usize,
    /// Threads that wait for somebody on this machine.
    pub(crate) waiting: usize,
    /// Processes of which something could not be read.
    pub(crate) unseen_processes: usize,
}

/// The objects of one facility.
#[derive(Debug, Serialize)]
pub(crate) struct Count {
    pub(crate) scheme: &'static str,
    pub(crate) title: &'static str,
    pub(crate) family: String,
    pub(crate) objects: usize,
    /// Of these, how many have a name that another process can open.
    pub(crate) named: usize,
    /// How many processes have one.
    pub(crate) processes: usize,
    pub(crate) leaks: usize,
}

pub(crate) fn run() -> Result<Report> {
    let snapshot = Snapshot::builder()
        .waiters(false)
        .capture()
        .map_err(|error| Failure::io("look at /proc", &error))?;
    let facilities = CATALOG.iter().map(|entry| {
        let objects = || {
            let id = entry.facility.id;
            snapshot
                .objects
                .iter()
                .filter(move |object| object.facility == id)
        };
        let mut holders: Vec<u32> = objects()
            .flat_map(|object| object.holders.iter().map(|holder| holder.pid))
            .collect();
        holders.sort_unstable();
        holders.dedup();
        Count {
            scheme: entry.facility.id,
            title: entry.facility.title,
            family: entry.facility.family.to_string(),
            objects: objects().count(),
            named: objects()
                .filter(|object| super::ls::is_named(object))
                .count(),
            processes: holders.len(),
            leaks: objects().filter(|object| object.leak.is_some()).count(),
        }
    });
    let facilities = facilities.collect();
    let mut unseen: Vec<u32> = snapshot
        .unseen
        .iter()
        .filter_map(|unseen| unseen.pid)
        .collect();
    unseen.sort_unstable();
    unseen.dedup();
    let graph = WaitGraph::capture(&Options::default())
        .map_err(|error| Failure::io("look at /proc", &error))?;
    let findings = graph.findings();
    let found = |verdict| {
        findings
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    };
    Ok(Report::Overview(Overview {
        deadlocks: found(Verdict::Deadlock),
        dead_ends: found(Verdict::DeadEnd),
        waiting: graph
            .threads()
            .iter()
            .filter(|thread| thread.wait().is_some())
            .count(),
        facilities,
        processes: snapshot.processes.len(),
        leaks: snapshot.leaks().count(),
        full: snapshot
            .objects
            .iter()
            .filter(|object| {
                object
                    .fill
                    .first()
                    .is_some_and(wigwag_observe::object::Fill::is_full)
            })
            .count(),
        unseen_processes: unseen.len(),
    }))
}
