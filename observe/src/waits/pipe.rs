//! Pipe: a reader waits for any writer, a writer for any reader, whoever has that end open; often it is the waiter himself.
//!
//! A pipe without writers does not block its reader: if we see none, somebody we cannot see has one.

use super::ask::Need;
use super::descriptor::{Direction, add_unseen_holders, wakers};
use super::machine::{Holder, Machine};
use super::uring;
use crate::graph::{Clause, Outside, Who};
use crate::proc::FileFacts;
use crate::proc::probe::Lender;

/// A pipe made by pipe(2).
pub(super) fn anonymous(
    machine: &Machine,
    pid: u32,
    fd: i32,
    ino: u64,
    direction: Direction,
) -> Need {
    need(
        machine,
        "pipe",
        pid,
        fd,
        format!("pipe:[{ino}]"),
        machine.pipe(ino),
        Outside::Closed,
        direction,
    )
}

/// A FIFO.
pub(super) fn named(
    machine: &Machine,
    pid: u32,
    fd: i32,
    path: &[u8],
    facts: FileFacts,
    direction: Direction,
) -> Need {
    let holders = same_file(machine, path, facts);
    let outside = if facts.links == 0 {
        Outside::Closed
    } else {
        Outside::Named
    };
    let name = String::from_utf8_lossy(path).into_owned();
    need(machine, "fifo", pid, fd, name, &holders, outside, direction)
}

/// Everybody who has this very file open.
pub(super) fn same_file(machine: &Machine, path: &[u8], facts: FileFacts) -> Vec<Holder> {
    let same = |holder: &&Holder| {
        machine
            .facts(holder.pid, holder.fd)
            .is_some_and(|other| other.id == facts.id)
    };
    machine.named(path).iter().filter(same).copied().collect()
}

#[allow(clippy::too_many_arguments)]
fn need(
    machine: &Machine,
    facility: &'static str,
    pid: u32,
    fd: i32,
    mut resource: String,
    holders: &[Holder],
    outside: Outside,
    direction: Direction,
) -> Need {
    if machine.detail
        && let Some(fill) = fill(pid, fd)
    {
        resource.push_str(&fill);
    }
    let (what, why) = match direction {
        Direction::Read => ("write end", "reads; it is empty and has a write end open"),
        Direction::Write => ("read end", "writes; it is full and has a read end open"),
    };
    let wakers = wakers(holders, what, |holder| match direction {
        Direction::Read => holder.access.writes(),
        Direction::Write => holder.access.reads(),
    });
    if wakers.is_empty() {
        let whom = format!("somebody who cannot be seen has the {what}");
        return Need::world(facility, resource, why, whom);
    }
    let own = wakers.iter().any(|waker| waker.who == Who::Process(pid));
    let why = match (&wakers[..], own) {
        ([_], true) => format!("{why}, but only in this process itself"),
        _ => why.to_owned(),
    };
    let mut clause = Clause { wakers, outside };
    let link = resource.split(" (").next().unwrap_or_default();
    uring::add_registered(machine, link, &mut clause);
    add_unseen_holders(machine, holders, &mut clause);
    let need = Need::new(facility, resource, why, clause);
    if own { need.by_handler() } else { need }
}

fn fill(pid: u32, fd: i32) -> Option<String> {
    let pipe = Lender::open(pid).ok()?.borrow(fd).ok()?;
    Some(format!(
        " ({} of {} bytes)",
        pipe.readable_bytes().ok()?,
        pipe.pipe_capacity().ok()?
    ))
}
