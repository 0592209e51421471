//! Kernel: sleeps that no system call number explains: page faults, requests to a FUSE server, restarted calls.

use super::abi::Sys;
use super::ask::{Ask, Need, live};
use super::descriptor::wakers;
use super::machine::Holder;
use crate::graph::{Clause, State};
use crate::proc::TaskState;

/// Asleep, but in no system call.
pub(super) fn outside(ask: &Ask<'_>) -> State {
    if ask.thread.state == TaskState::Running {
        return live("runs");
    }
    match ask.wchan().as_str() {
        fault if fault.contains("handle_userfault") => userfault(ask),
        fuse if fuse.contains("request_wait_answer") => {
            served(ask).unwrap_or_else(|| live("in a page fault"))
        }
        _ => live("runs, or in a page fault"),
    }
}

/// State D: what the kernel waits for itself ends without anybody's help, with a few exceptions.
pub(super) fn uninterruptible(ask: &Ask<'_>) -> Option<State> {
    if ask.thread.state != TaskState::Uninterruptible || matches!(ask.sys, Sys::Vfork | Sys::Clone)
    {
        return None;
    }
    let wchan = ask.wchan();
    if wchan.contains("handle_userfault") {
        return Some(userfault(ask));
    }
    if wchan.contains("request_wait_answer") {
        return served(ask);
    }
    Some(
        Need::world(
            "kernel",
            wchan,
            "waits inside the kernel",
            "the kernel: a disk, a lock",
        )
        .wait(),
    )
}

/// Waits for the answer of a FUSE server.
pub(super) fn served(ask: &Ask<'_>) -> Option<State> {
    let wchan = ask.wchan();
    if wchan.contains("handle_userfault") {
        return Some(userfault(ask));
    }
    if !wchan.contains("request_wait_answer") {
        return None;
    }
    // Which file system it is cannot be seen in every call: any server that has a connection may be the one. The file of
    // the first argument decides if it is a descriptor.
    let device = match ask.sys {
        Sys::Read | Sys::Write => ask
            .machine
            .facts(ask.seen.pid, ask.fd(0))
            .map(|facts| facts.id.device.minor),
        _ => None,
    };
    let serves = |holder: &&Holder| {
        let info = ask.machine.fdinfo(holder.pid, holder.fd);
        let connection = info.and_then(|info| info.other("fuse_connection")?.parse::<u32>().ok());
        match (device, connection) {
            (Some(device), Some(connection)) => device == connection,
            _ => true,
        }
    };
    let servers: Vec<Holder> = ask
        .machine
        .named(b"fuse")
        .iter()
        .filter(serves)
        .copied()
        .collect();
    let resource = match device {
        Some(device) => format!("FUSE file system 0:{device}"),
        None => "FUSE file system".to_owned(),
    };
    let clause = Clause::any(wakers(&servers, "serves it", |_| true));
    let why = "waits for the answer of a FUSE server";
    Some(if clause.wakers.is_empty() {
        Need::world("fuse", resource, why, "a server that cannot be seen").wait()
    } else {
        Need::new("fuse", resource, why, clause).wait()
    })
}

fn userfault(ask: &Ask<'_>) -> State {
    let pending = |holder: &&Holder| {
        let info = ask.machine.fdinfo(holder.pid, holder.fd);
        info.and_then(|info| info.other("pending")?.parse::<u64>().ok())
            .is_none_or(|pending| pending > 0)
    };
    let handlers: Vec<Holder> = ask
        .machine
        .anonymous("userfaultfd")
        .iter()
        .filter(pending)
        .copied()
        .collect();
    let clause = Clause::any(wakers(&handlers, "handles it", |_| true));
    let why = "touched a page that another thread has to fill";
    if clause.wakers.is_empty() {
        return Need::world("userfaultfd", "page", why, "a handler that cannot be seen").wait();
    }
    Need::new("userfaultfd", "page", why, clause).wait()
}

/// The call that restart_syscall(2) goes on with; its arguments are still the call's.
pub(super) fn restarted(ask: &Ask<'_>) -> Sys {
    let wchan = ask.wchan();
    if wchan.contains("poll") {
        Sys::Poll
    } else if wchan.contains("futex") {
        Sys::Futex
    } else if wchan.contains("nanosleep") {
        Sys::Sleep
    } else {
        Sys::Other
    }
}

/// A call that is no wait we know.
pub(super) fn other(ask: &Ask<'_>) -> State {
    served(ask).unwrap_or_else(|| {
        live(format!(
            "in system call {}, which is no known wait",
            ask.call.number
        ))
    })
}
