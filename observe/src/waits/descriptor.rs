//! Descriptor: a wait to read, write or poll, handed to the facility the descriptor leads to.

use super::ask::{Ask, Need, live};
use super::machine::{Holder, Machine};
use super::{event, inet, kernel, multiplex, pipe, queue, terminal, unix};
use crate::graph::{Clause, State, Tier, Waker};
use crate::proc::Link;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    /// Waits for data, or the end of it.
    Read,
    /// Waits for room.
    Write,
}

/// Blocked in a call that takes data.
pub(super) fn reading(ask: &Ask<'_>, fd: i32) -> State {
    blocked(ask, fd, Direction::Read)
}

/// Blocked in a call that puts data.
pub(super) fn writing(ask: &Ask<'_>, fd: i32) -> State {
    blocked(ask, fd, Direction::Write)
}

/// Blocked in a call that moves data from one descriptor to another: either may be the cause.
pub(super) fn moving(ask: &Ask<'_>) -> State {
    use super::abi::Sys;
    let (from, to) = match ask.sys {
        Sys::SendFile => (ask.fd(1), ask.fd(0)),
        Sys::Tee => (ask.fd(0), ask.fd(1)),
        _ => (ask.fd(0), ask.fd(2)),
    };
    let wait = |fd, direction| need(ask.machine, ask.seen.pid, fd, direction);
    let (read, write) = (wait(from, Direction::Read), wait(to, Direction::Write));
    match (read, write) {
        (Some(read), Some(write)) => {
            let wchan = ask.wchan();
            let in_one_of = |functions: &[&str]| functions.iter().any(|name| wchan.contains(name));
            if in_one_of(&["ipipe_prep", "pipe_read", "pipe_wait_readable"]) {
                return read.wait();
            }
            if in_one_of(&[
                "opipe_prep",
                "pipe_write",
                "pipe_wait_writable",
                "wait_for_space",
            ]) {
                return write.wait();
            }
            // A file is served by its file system, and for a disk it would sleep uninterruptibly.
            if (read.facility == "file") != (write.facility == "file") {
                let other = if read.facility == "file" { write } else { read };
                return kernel::served(ask).unwrap_or_else(|| other.wait());
            }
            // In a function that is known and not the pipe's.
            let piped = |need: &Need| matches!(need.facility, "pipe" | "fifo");
            if piped(&read) != piped(&write) && !matches!(&*wchan, "" | "0") {
                return if piped(&read) { write } else { read }.wait();
            }
            multiplex::any_of("splice", vec![read, write]).wait()
        }
        (Some(one), None) | (None, Some(one)) => one.wait(),
        (None, None) => live("moves data, by descriptors that are not known"),
    }
}

fn blocked(ask: &Ask<'_>, fd: i32, direction: Direction) -> State {
    let Some(mut need) = need(ask.machine, ask.seen.pid, fd, direction) else {
        return live(format!("descriptor {fd} is not known"));
    };
    if need.facility == "file"
        && let Some(state) = kernel::served(ask)
    {
        return state;
    }
    if ask.sys == super::abi::Sys::ReceiveMany && ask.arg(4) != 0 {
        need.limited = true;
    }
    if ask.sys == super::abi::Sys::Send
        && direction == Direction::Write
        && let Some(other) = unix::sending_to(ask, fd)
    {
        need = other;
    }
    if ask.machine.detail {
        need.limited |= unix::time_limit(ask, fd, direction);
    }
    need.wait()
}

/// Who can make the descriptor ready; `None` if the process has no such descriptor.
pub(super) fn need(machine: &Machine, pid: u32, fd: i32, direction: Direction) -> Option<Need> {
    let entry = machine.fd(pid, fd)?;
    Some(match &entry.link {
        Link::Pipe(ino) => pipe::anonymous(machine, pid, fd, *ino, direction),
        Link::Socket(ino) => match unix::need(machine, pid, fd, *ino, direction) {
            Some(need) => need,
            None => inet::need(machine, *ino, direction),
        },
        Link::Anonymous(kind) => event::need(machine, pid, fd, kind, direction),
        Link::Numbered(kind, _) => event::need(machine, pid, fd, kind, direction),
        Link::Memfd(_) => Need::world("file", "memfd", "reads or writes memory", "the kernel"),
        Link::Path { path, .. } => {
            let facts = machine.facts(pid, fd);
            match facts {
                Some(facts) if facts.is_fifo() => {
                    pipe::named(machine, pid, fd, path, facts, direction)
                }
                Some(facts) if facts.is_character_device() => {
                    terminal::need(machine, pid, fd, path, facts, direction)
                }
                Some(facts) if facts.is_regular() && queue::is_queue(path, facts) => {
                    queue::need(machine, pid, fd, path, facts, direction)
                }
                _ => Need::world(
                    "file",
                    String::from_utf8_lossy(path),
                    "reads or writes a file",
                    "the file system or the device",
                ),
            }
        }
    })
}

/// The holders that `keep` accepts, one waker for each process, with their descriptors in the role.
pub(super) fn wakers(holders: &[Holder], what: &str, keep: impl Fn(&Holder) -> bool) -> Vec<Waker> {
    let mut wakers: Vec<Waker> = Vec::new();
    for holder in holders.iter().filter(|holder| keep(holder)) {
        match wakers.last_mut() {
            // Holders come in the order of their processes.
            Some(last) if last.who == crate::graph::Who::Process(holder.pid) => {
                last.role.push_str(&format!(", {}", holder.fd));
            }
            _ => wakers
                .push(Waker::process(holder.pid).role(format!("{what}, descriptor {}", holder.fd))),
        }
    }
    wakers
}

/// Adds those who may have an end without our seeing it: parents and children of the visible holders that may not be
/// read, and whoever is about to receive a descriptor, which might be this one.
///
/// Process 1 is left out: orphans are its children without its having given them anything.
pub(super) fn add_unseen_holders(machine: &Machine, holders: &[Holder], clause: &mut Clause) {
    if !machine.detail {
        return;
    }
    let mut relatives: Vec<u32> = Vec::new();
    for holder in holders {
        let Some(seen) = machine.processes.get(&holder.pid) else {
            continue;
        };
        if let Some(parent) = machine.processes.get(&seen.stat.ppid)
            && parent.refused.is_some()
            && parent.pid != 1
        {
            relatives.push(parent.pid);
        }
    }
    for (&pid, seen) in &machine.processes {
        if seen.refused.is_some() && holders.iter().any(|holder| holder.pid == seen.stat.ppid) {
            relatives.push(pid);
        }
    }
    relatives.sort_unstable();
    relatives.dedup();
    for pid in relatives {
        let waker = Waker::process(pid).tier(Tier::Possible);
        clause
            .wakers
            .push(waker.role("may not be read; may have it open"));
    }
    for (ino, count) in unix::in_flight(machine) {
        for holder in machine.socket(*ino) {
            let related = holders.iter().any(|known| {
                let session = |pid| {
                    machine
                        .processes
                        .get(&pid)
                        .map(|seen: &super::machine::Seen| seen.stat.session)
                };
                session(known.pid) == session(holder.pid)
            });
            if related
                && !clause
                    .wakers
                    .iter()
                    .any(|waker| waker.who == crate::graph::Who::Process(holder.pid))
            {
                let waker = Waker::process(holder.pid).tier(Tier::Possible);
                clause.wakers.push(waker.role(format!(
                    "has {count} descriptors to receive, this may be one"
                )));
            }
        }
    }
}
