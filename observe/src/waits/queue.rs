//! POSIX queue: a receiver waits for any who has it open for sending, a sender for any who has it open for receiving.

use super::abi::Sys;
use super::ask::{Ask, Need, live};
use super::descriptor::{Direction, add_unseen_holders, wakers};
use super::machine::Machine;
use super::pipe::same_file;
use crate::graph::{Clause, Outside, State};
use crate::proc::FileFacts;
use crate::proc::probe::Lender;

/// Blocked in mq_receive(3) or mq_send(3).
pub(super) fn waiting(ask: &Ask<'_>) -> State {
    let direction = if ask.sys == Sys::MqReceive {
        Direction::Read
    } else {
        Direction::Write
    };
    let (pid, fd) = (ask.seen.pid, ask.fd(0));
    let facts = ask.machine.facts(pid, fd);
    let path = ask.machine.fd(pid, fd).and_then(|fd| fd.link.path());
    let (Some(facts), Some(path)) = (facts, path) else {
        return live(format!("queue descriptor {fd} is not known"));
    };
    let mut need = need(ask.machine, pid, fd, path, facts, direction);
    need.limited = ask.arg(4) != 0;
    need.wait()
}

/// Whether a file with this link may be a queue: the path has one part, and the file is of no device.
pub(super) fn is_queue(path: &[u8], facts: FileFacts) -> bool {
    facts.id.device.major == 0
        && path.iter().filter(|&&byte| byte == b'/').count() == 1
        && facts.size == 80
}

/// Who can make it ready.
pub(super) fn need(
    machine: &Machine,
    pid: u32,
    fd: i32,
    path: &[u8],
    facts: FileFacts,
    direction: Direction,
) -> Need {
    let holders = same_file(machine, path, facts);
    let mut resource = String::from_utf8_lossy(path).into_owned();
    if machine.detail
        && let Some(fill) = fill(pid, fd)
    {
        resource.push_str(&fill);
    }
    let (why, what) = match direction {
        Direction::Read => ("receives; the queue is empty", "may send"),
        Direction::Write => ("sends; the queue is full", "may receive"),
    };
    let wakers = wakers(&holders, what, |holder| match direction {
        Direction::Read => holder.access.writes(),
        Direction::Write => holder.access.reads(),
    });
    let outside = if facts.links == 0 {
        Outside::Closed
    } else {
        Outside::Named
    };
    let mut clause = Clause { wakers, outside };
    add_unseen_holders(machine, &holders, &mut clause);
    Need::new("mq", resource, why, clause)
}

fn fill(pid: u32, fd: i32) -> Option<String> {
    let limits = Lender::open(pid)
        .ok()?
        .borrow(fd)
        .ok()?
        .queue_limits()
        .ok()?;
    Some(format!(
        " ({} of {} messages)",
        limits.messages, limits.capacity
    ))
}
