//! Leaks: objects that nobody uses any more, and pipes whose reader can never see the end.
//!
//! "Nobody" is only as good as what could be seen: when a process could not be looked into, a leak is *likely*, not *certain*. System V
//! queues and semaphores keep no list of their users, only the number of the last one; there it is never more than likely.

use std::collections::BTreeMap;

use crate::object::{Leak, LeakCertainty, LeakKind, Object, Unit, Value};
use crate::snapshot::ProcessEntry;
use wigwag::facility::Persistence;

/// Gives each object its verdict.
pub(crate) fn judge(
    objects: &mut [Object],
    processes: &BTreeMap<u32, ProcessEntry>,
    now: i64,
    complete: bool,
) {
    let population = Population::new(processes, now);
    for object in objects {
        object.leak = verdict(object, &population).map(|(kind, certainty, reason)| Leak {
            kind,
            reason,
            certainty: if complete {
                certainty
            } else {
                LeakCertainty::Likely
            },
            age_s: object.age(now),
        });
    }
}

/// The processes, and since when they are there.
struct Population<'p> {
    processes: &'p BTreeMap<u32, ProcessEntry>,
    /// When the machine was started, seconds since 1970.
    boot: i64,
    ticks: u64,
}

impl Population<'_> {
    fn new(processes: &BTreeMap<u32, ProcessEntry>, now: i64) -> Population<'_> {
        let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Population {
            processes,
            boot: now - up.tv_sec,
            ticks: rustix::param::clock_ticks_per_second().max(1),
        }
    }

    /// Whether the process that did something with the object is still there: one that was born after the last that was done with it
    /// has only the same number.
    fn has(&self, pid: u32, object: &Object) -> bool {
        let Some(process) = self.processes.get(&pid) else {
            return false;
        };
        let born = self.boot + (process.start / self.ticks).cast_signed();
        let last = object.created.max(object.last_used);
        // Both are rounded.
        last.is_none_or(|last| born <= last + 2)
    }
}

type Verdict = (LeakKind, LeakCertainty, String);

fn verdict(object: &Object, population: &Population<'_>) -> Option<Verdict> {
    // A semaphore still counts a waiter that was killed: only threads that were seen keep it in use.
    let counted = object.facility != "sem" && object.is_waited_for();
    if (counted || !object.waiters.is_empty()) && !matches!(object.facility, "pipe" | "fifo") {
        return None;
    }
    let unused = |certainty, reason: String| Some((LeakKind::Unused, certainty, reason));
    let alive = |name: &str| match object.get(name) {
        Some(Value::Number(pid)) => u32::try_from(*pid)
            .ok()
            .filter(|&pid| pid != 0)
            .map(|pid| population.has(pid, object)),
        _ => None,
    };
    match object.facility {
        "shm" | "sem" if object.holders.is_empty() => unused(
            LeakCertainty::Certain,
            "no process has it open or mapped".into(),
        ),
        // A file outlives its users, and so does a pattern in one.
        "channel" | "mailbox"
            if object.holders.is_empty() && object.persistence == Persistence::Kernel =>
        {
            // The last is how much memory it takes.
            let inside = match &object.fill[..] {
                [fill, _, ..] if fill.level > 0 && object.facility == "mailbox" => {
                    "; a letter is in it"
                }
                [fill, _, ..] if fill.level > 0 => "; something is in it",
                _ => "",
            };
            unused(
                LeakCertainty::Certain,
                format!("no process has it open or mapped{inside}"),
            )
        }
        "mq" if object.holders.is_empty() => {
            let messages = object
                .fill
                .iter()
                .find(|fill| fill.unit == Unit::Messages)
                .map_or(0, |fill| fill.level);
            let inside = if messages == 0 {
                String::new()
            } else {
                format!("; {messages} messages are in it")
            };
            unused(
                LeakCertainty::Certain,
                format!("no process has it open{inside}"),
            )
        }
        "sysv-shm"
            if object.get("attached") == Some(&Value::Number(0)) && object.holders.is_empty() =>
        {
            let users = [alive("creator"), alive("last_process")];
            if users.contains(&Some(true)) {
                return None;
            }
            unused(
                LeakCertainty::Certain,
                "no process has it attached, and neither its creator nor its last user is alive"
                    .into(),
            )
        }
        "sysv-mq" => {
            let users = [alive("last_sender"), alive("last_receiver")];
            if users.contains(&Some(true)) {
                return None;
            }
            let reason = if users == [None, None] {
                "it was never used"
            } else {
                "its last sender and receiver are not alive"
            };
            unused(LeakCertainty::Likely, reason.into())
        }
        "sysv-sem" => {
            let Some(Value::Semaphores(all)) = object.get("values") else {
                return None;
            };
            if all.iter().any(|one| population.has(one.last, object)) {
                return None;
            }
            let used = all.iter().any(|one| one.last != 0);
            let reason = if used {
                "no process that changed it last is alive"
            } else {
                "it was never used, or its last user has ended"
            };
            unused(LeakCertainty::Likely, reason.into())
        }
        "pipe" | "fifo" => never_ends(object, population.processes),
        _ => None,
    }
}

/// A process that reads with all its threads from a pipe, and has a write end of it open: even when every other writer closes, it
/// waits for itself.
fn never_ends(object: &Object, processes: &BTreeMap<u32, ProcessEntry>) -> Option<Verdict> {
    for waiter in object
        .waiters
        .iter()
        .filter(|waiter| matches!(waiter.wants, "read"))
    {
        let own =
            |holder: &&crate::object::Holder| holder.pid == waiter.pid && holder.role.writes();
        let Some(end) = object.holders.iter().find(own) else {
            continue;
        };
        let readers = object
            .waiters
            .iter()
            .filter(|other| other.pid == waiter.pid && other.wants == "read")
            .count();
        let threads = processes
            .get(&waiter.pid)
            .map_or(0, |process| process.threads as usize);
        if readers < threads {
            continue;
        }
        let others = object
            .holders
            .iter()
            .filter(|holder| holder.pid != waiter.pid && holder.role.writes())
            .count();
        let descriptor = end
            .fd
            .map(|fd| format!(" (descriptor {fd})"))
            .unwrap_or_default();
        let (certainty, rest) = if others == 0 {
            (
                LeakCertainty::Certain,
                "and nobody else has one: it waits for ever",
            )
        } else {
            (
                LeakCertainty::Likely,
                "so that it will not see the end when the other writers close",
            )
        };
        let reason = format!(
            "{} [{}] reads from it and holds a write end itself{descriptor}, {rest}",
            waiter.comm, waiter.pid
        );
        return Some((LeakKind::NeverEnds, certainty, reason));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::TaskState;
    use crate::snapshot::Signals;

    #[test]
    fn a_process_that_was_born_later_only_has_the_number_of_the_creator() {
        let mut object = Object::new("sysv-shm", "0", Persistence::Kernel);
        object.created = Some(1_000);
        object.last_used = Some(2_000);
        object.detail("attached", Value::Number(0));
        object.detail("creator", Value::Number(7));
        let entry = |start| ProcessEntry {
            pid: 7,
            start,
            ppid: 1,
            comm: "it".into(),
            uid: 0,
            user: None,
            state: TaskState::Sleeping,
            threads: 1,
            descriptors: None,
            signals: Signals::default(),
        };
        for (start, leaked) in [(900, false), (2_001, false), (2_100, true)] {
            let processes = BTreeMap::from([(7, entry(start))]);
            let population = Population {
                processes: &processes,
                boot: 0,
                ticks: 1,
            };
            let found = verdict(&object, &population).is_some();
            assert_eq!(found, leaked, "born at {start}");
        }
    }
}
