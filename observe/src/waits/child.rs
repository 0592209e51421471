//! Child: a wait for processes to end, and vfork, whose parent sleeps until the child runs another program.

use super::abi::Sys;
use super::ask::{Ask, Need, live};
use super::machine::Seen;
use crate::graph::{Clause, State, Waker};
use crate::proc::{TaskState, kcmp};

/// Blocked in wait4(2), waitpid(2) or waitid(2).
pub(super) fn waiting(ask: &Ask<'_>) -> State {
    let (which, number) = match ask.sys {
        Sys::WaitId => (ask.int(0), ask.int(1)),
        _ => match ask.int(0) {
            -1 => (0, 0),
            0 => (2, 0),
            group if group < 0 => (2, -group),
            pid => (1, pid),
        },
    };
    let me = ask.seen.pid;
    let children: Vec<&Seen> = ask
        .machine
        .processes
        .values()
        .filter(|seen| {
            seen.stat.ppid == me
                || seen
                    .threads
                    .iter()
                    .any(|thread| thread.state == TaskState::Traced)
                    && ask.machine.status(seen).tracer == me
                || ask.machine.detail
                    && !seen.stat.is_kernel_thread()
                    && ask.machine.status(seen).tracer == me
        })
        .collect();
    let wanted: Vec<&Seen> = children
        .into_iter()
        .filter(|child| match which {
            1 => number_for(ask, child) == Some(number.cast_unsigned()),
            3 => {
                ask.machine.fdinfo(me, number).and_then(|info| info.pidfd)
                    == Some(child.pid.cast_signed())
            }
            // A process group may be numbered otherwise in its namespace: all children, which is safe.
            _ => true,
        })
        .collect();
    let resource = match (which, &wanted[..]) {
        (1 | 3, [child]) => format!("process {} ({})", child.pid, child.stat.comm),
        (_, all) => format!("any of {} children", all.len()),
    };
    if wanted.is_empty() {
        return Need::world(
            "waitpid",
            resource,
            "waits for a process",
            "a process that cannot be seen",
        )
        .wait();
    }
    if wanted.iter().any(|child| child.is_zombie()) {
        return live("a child has ended");
    }
    let wakers = wanted
        .iter()
        .map(|child| Waker::process(child.pid).role("child, must end"));
    Need::new(
        "waitpid",
        resource,
        "waits for a child to end",
        Clause::any(wakers),
    )
    .wait()
}

/// The number of a process in the pid namespace of the waiting one.
fn number_for(ask: &Ask<'_>, other: &Seen) -> Option<u32> {
    let depth = ask.machine.status(ask.seen).ns_pids.len();
    if depth <= 1 {
        return Some(other.pid);
    }
    ask.machine.status(other).ns_pids.get(depth - 1).copied()
}

/// In vfork(2) or clone(2) with `CLONE_VFORK`.
pub(super) fn vfork(ask: &Ask<'_>) -> State {
    let me = ask.seen.pid;
    let shares =
        |seen: &&Seen| seen.stat.ppid == me && kcmp::same_memory(me, seen.pid).unwrap_or(false);
    let Some(child) = ask.machine.processes.values().find(shares) else {
        return live("makes a process");
    };
    let waker = Waker::process(child.pid).role("child, must run another program or end");
    let resource = format!("process {} ({})", child.pid, child.stat.comm);
    Need::new(
        "vfork",
        resource,
        "waits for its child, which uses its memory",
        Clause::one(waker),
    )
    .wait()
}
