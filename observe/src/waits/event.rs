//! Event: descriptors without a name, which share one inode: eventfd, timerfd, signalfd, pidfd, epoll and the rest.

use super::ask::Need;
use super::descriptor::{Direction, add_unseen_holders, wakers};
use super::machine::{Holder, Machine};
use super::{multiplex, uring};
use crate::graph::{Clause, Who};

/// Who can make it ready.
pub(super) fn need(machine: &Machine, pid: u32, fd: i32, kind: &str, direction: Direction) -> Need {
    match kind {
        "eventfd" => eventfd(machine, pid, fd, direction),
        "eventpoll" => multiplex::watched(machine, pid, fd),
        "pidfd" => pidfd(machine, pid, fd),
        "timerfd" => Need::world("timer", "timerfd", "waits for a timer", "a timer"),
        "signalfd" => Need::world("signal", "signalfd", "waits for a signal", "a signal"),
        "inotify" | "fanotify" => Need::world(
            "file",
            kind,
            "waits for a change of a file",
            "whoever changes the file",
        ),
        _ => Need::world(
            "descriptor",
            format!("anon_inode:[{kind}]"),
            "waits for the kernel",
            "the kernel",
        ),
    }
}

fn eventfd(machine: &Machine, pid: u32, fd: i32, direction: Direction) -> Need {
    let Some(info) = machine.fdinfo(pid, fd) else {
        return Need::world(
            "eventfd",
            "eventfd",
            "waits for an event",
            "somebody who cannot be seen",
        );
    };
    let Some(id) = info.eventfd_id else {
        return Need::world(
            "eventfd",
            "eventfd",
            "waits for an event",
            "its id is not known (kernel before 5.2)",
        );
    };
    let same = |holder: &&Holder| {
        machine
            .fdinfo(holder.pid, holder.fd)
            .and_then(|other| other.eventfd_id)
            == Some(id)
    };
    let holders: Vec<Holder> = machine
        .anonymous("eventfd")
        .iter()
        .filter(same)
        .copied()
        .collect();
    let resource = format!("eventfd {id} (count {})", info.eventfd_count.unwrap_or(0));
    let why = match direction {
        Direction::Read => "reads the count, which is 0",
        Direction::Write => "adds to the count, which is at its limit",
    };
    let mut clause = Clause::any(wakers(&holders, "may add to it", |_| true));
    let own = clause
        .wakers
        .iter_mut()
        .find(|waker| waker.who == Who::Process(pid));
    let by_handler = match own {
        Some(own) => {
            own.who = Who::Others(pid);
            true
        }
        None => false,
    };
    // All have the same name: this may be another.
    uring::add_registered(machine, "anon_inode:[eventfd]", &mut clause);
    add_unseen_holders(machine, &holders, &mut clause);
    let need = Need::new("eventfd", resource, why, clause);
    if by_handler { need.by_handler() } else { need }
}

fn pidfd(machine: &Machine, pid: u32, fd: i32) -> Need {
    let target = machine
        .fdinfo(pid, fd)
        .and_then(|info| info.pidfd)
        .and_then(|pid| u32::try_from(pid).ok());
    match target {
        Some(target) if machine.processes.contains_key(&target) => Need::new(
            "pidfd",
            format!("process {target}"),
            "waits for the process to end",
            Clause::one(crate::graph::Waker::process(target).role("must end")),
        ),
        _ => Need::world(
            "pidfd",
            "pidfd",
            "waits for a process to end",
            "a process that cannot be seen",
        ),
    }
}
