//! Halt: a thread that does not wait but is held: stopped by a signal, by its tracer, or frozen with its control group.

use super::ask::{Ask, Need};
use crate::graph::{Clause, State, Wait, Waker};
use crate::proc::{TaskState, cgroup};

/// The state of a thread that is held, if it is.
pub(super) fn held(ask: &Ask<'_>) -> Option<State> {
    match ask.thread.state {
        TaskState::Stopped => {
            let mut wait = Wait::new(
                "stop",
                format!("process {}", ask.seen.pid),
                "stopped by a signal, until SIGCONT",
            );
            wait = wait.clause(Clause::default());
            wait.halted = true;
            Some(State::Waiting(wait))
        }
        TaskState::Traced => Some(traced(ask)),
        TaskState::Sleeping | TaskState::Uninterruptible if ask.machine.anything_frozen() => {
            frozen(ask)
        }
        _ => None,
    }
}

fn traced(ask: &Ask<'_>) -> State {
    let status = ask.machine.proc.process(ask.seen.pid);
    let status = status.and_then(|process| {
        process
            .task(ask.thread.tid)
            .status(&mut ask.machine.scratch())
    });
    let tracer = status.map_or(0, |status| status.tracer);
    let why = "stopped by its tracer";
    if tracer == 0 || !ask.machine.processes.contains_key(&tracer) {
        return Need::world("ptrace", "tracer", why, "a tracer that cannot be seen").wait();
    }
    let resource = format!("tracer {tracer}");
    Need::new(
        "ptrace",
        resource,
        why,
        Clause::one(Waker::process(tracer).role("tracer")),
    )
    .wait()
}

fn frozen(ask: &Ask<'_>) -> Option<State> {
    let process = ask.machine.proc.process(ask.seen.pid).ok()?;
    if cgroup::frozen(&process, &mut ask.machine.scratch())
        .ok()
        .flatten()
        != Some(true)
    {
        return None;
    }
    let mut wait = Wait::new(
        "freezer",
        format!("process {}", ask.seen.pid),
        "its control group is frozen",
    );
    wait = wait.clause(Clause::default());
    wait.halted = true;
    Some(State::Waiting(wait))
}

impl super::machine::Machine {
    /// Whether any control group on the machine is frozen; seldom so, and then each process has to be asked.
    pub(super) fn anything_frozen(&self) -> bool {
        *self.cache.anything_frozen.get_or_init(|| {
            [
                "/sys/fs/cgroup",
                "/sys/fs/cgroup/unified",
                "/sys/fs/cgroup/freezer",
            ]
            .iter()
            .any(|root| search(std::path::Path::new(root), 0, &mut 4096))
        })
    }
}

/// Looks for a frozen group in a tree of them, no deeper than they are made and no wider than patience.
fn search(group: &std::path::Path, depth: u32, left: &mut u32) -> bool {
    let frozen = |file: &str, wanted: &str| {
        std::fs::read_to_string(group.join(file))
            .is_ok_and(|text| text.lines().any(|line| line == wanted))
    };
    if frozen("cgroup.events", "frozen 1") || frozen("freezer.state", "FROZEN") {
        return true;
    }
    let Ok(entries) = std::fs::read_dir(group) else {
        return false;
    };
    for entry in entries.flatten() {
        if depth > 16 || *left == 0 {
            return false;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            *left -= 1;
            if search(&entry.path(), depth + 1, left) {
                return true;
            }
        }
    }
    false
}
