//! Pseudoterminal: a reader of the slave waits for a holder of the master and the other way round; at a real terminal sits a person.

use super::ask::Need;
use super::descriptor::{Direction, wakers};
use super::machine::{Holder, Machine};
use crate::graph::{Clause, Outside};
use crate::proc::FileFacts;

/// Major numbers of `/dev/pts/N`.
const SLAVES: std::ops::RangeInclusive<u32> = 136..=143;

/// Who can make the character device ready.
pub(super) fn need(
    machine: &Machine,
    pid: u32,
    fd: i32,
    path: &[u8],
    facts: FileFacts,
    direction: Direction,
) -> Need {
    let device = facts.stands_for;
    let path = String::from_utf8_lossy(path).into_owned();
    let (verb, whom) = match direction {
        Direction::Read => ("reads the terminal", "may write to it"),
        Direction::Write => ("writes to the terminal; it is full", "may read from it"),
    };
    // /dev/ptmx is 5:2; its fdinfo tells which terminal it is the master of.
    if device.major == 5 && device.minor == 2 {
        let Some(number) = machine.fdinfo(pid, fd).and_then(|info| info.tty_index) else {
            return Need::world("pty", path, verb, "whoever opens the terminal");
        };
        let holders = slaves(machine, number);
        let clause = Clause::any(wakers(&holders, whom, |_| true)).outside(Outside::Named);
        if clause.wakers.is_empty() {
            return Need::world(
                "pty",
                format!("master of /dev/pts/{number}"),
                verb,
                "whoever opens the terminal",
            );
        }
        return Need::new("pty", format!("master of /dev/pts/{number}"), verb, clause);
    }
    let number = if SLAVES.contains(&device.major) {
        Some((device.major - 136) * 256 + device.minor)
    } else if device.major == 5 && device.minor == 0 {
        controlling(machine, pid)
    } else {
        None
    };
    let Some(number) = number else {
        return Need::world("terminal", path, verb, "a person or a device");
    };
    let resource = format!("/dev/pts/{number}");
    let clause = Clause::any(wakers(&masters(machine, number), whom, |_| true));
    if clause.wakers.is_empty() {
        return Need::world("pty", resource, verb, "its master is in no visible process");
    }
    Need::new("pty", resource, verb, clause)
}

fn masters(machine: &Machine, number: u32) -> Vec<Holder> {
    let is_master = |holder: &&Holder| {
        machine
            .fdinfo(holder.pid, holder.fd)
            .and_then(|info| info.tty_index)
            == Some(number)
    };
    machine
        .named(b"ptmx")
        .iter()
        .filter(is_master)
        .copied()
        .collect()
}

fn slaves(machine: &Machine, number: u32) -> Vec<Holder> {
    let is_slave = |holder: &&Holder| {
        machine
            .facts(holder.pid, holder.fd)
            .is_some_and(|facts| SLAVES.contains(&facts.stands_for.major))
    };
    let mut holders: Vec<Holder> = machine
        .named(number.to_string().as_bytes())
        .iter()
        .filter(is_slave)
        .copied()
        .collect();
    let by_dev_tty = |holder: &&Holder| controlling(machine, holder.pid) == Some(number);
    holders.extend(machine.named(b"tty").iter().filter(by_dev_tty));
    holders.sort_unstable_by_key(|holder| (holder.pid, holder.fd));
    holders
}

/// The number of the process's controlling terminal, if that is a pseudoterminal.
fn controlling(machine: &Machine, pid: u32) -> Option<u32> {
    // tty_nr: bits 8–15 are the major, 0–7 and 20–31 the minor number.
    let tty = machine.processes.get(&pid)?.stat.tty.cast_unsigned();
    let (major, minor) = (tty >> 8 & 0xff, tty & 0xff | tty >> 12 & 0xf_ff00);
    SLAVES.contains(&major).then(|| (major - 136) * 256 + minor)
}
