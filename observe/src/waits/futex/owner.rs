//! Owner: the thread whose number stands in a lock; the number counts in the locker's pid namespace and may be of the dead.

use super::{Place, Word};
use crate::graph::{Clause, Tier, Waker};
use crate::proc::kcmp;
use crate::waits::ask::Need;

/// Who has a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// These threads have the number, in one namespace or another.
    Living(Vec<u32>),
    /// A thread of the parent that held it when this process was forked.
    AtFork { pid: u32, tid: u32 },
    /// Nobody who can reach the lock has this number.
    Gone(u32),
}

impl Word<'_> {
    /// The living threads with this number that can reach the word.
    pub(super) fn living_owner(&self, number: u32) -> Option<Owner> {
        match self.owner(number) {
            owner @ Owner::Living(_) => Some(owner),
            _ => None,
        }
    }

    /// Whose number this is.
    pub(super) fn owner(&self, number: u32) -> Owner {
        let machine = self.ask.machine;
        let me = self.ask.seen.pid;
        let mut reach = vec![me];
        if let Place::Shared { file, .. } = self.place {
            reach.extend(machine.mappers(file).iter().filter(|&&pid| pid != me));
        }
        let mut found = Vec::new();
        for &pid in &reach {
            let Some(seen) = machine.processes.get(&pid) else {
                continue;
            };
            let nested = machine.status(seen).ns_pids.len() > 1;
            for thread in &seen.threads {
                let same = if nested {
                    machine.inner_number(pid, thread.tid) == Some(number)
                } else {
                    thread.tid == number
                };
                if same {
                    found.push(thread.tid);
                }
            }
        }
        if !found.is_empty() {
            return Owner::Living(found);
        }
        // A process that may not be looked into shows no mappings: if it has the thread, it may be the one.
        if let Some(&pid) = machine.process_of.get(&number)
            && matches!(self.place, Place::Shared { .. })
            && machine
                .processes
                .get(&pid)
                .is_some_and(|seen| seen.refused.is_some())
        {
            return Owner::Living(vec![number]);
        }
        if matches!(self.place, Place::Private { .. })
            && let Some(&pid) = machine.process_of.get(&number)
        {
            // A child of vfork has its parent's memory, not a copy of it.
            if kcmp::same_memory(me, pid).unwrap_or(false) {
                return Owner::Living(vec![number]);
            }
            let same_program = || {
                machine
                    .processes
                    .get(&pid)
                    .is_some_and(|seen| seen.stat.comm == self.ask.seen.stat.comm)
            };
            if pid == self.ask.seen.stat.ppid || same_program() {
                return Owner::AtFork { pid, tid: number };
            }
        }
        Owner::Gone(number)
    }

    /// A wait for a lock that records its owner.
    pub(super) fn owned(&self, facility: &'static str, base: u64, owner: Owner) -> Need {
        let resource = self.resource(base);
        let me = self.ask.thread.tid;
        match owner {
            Owner::Living(tids) => {
                let why = match tids[..] {
                    [owner] if owner == me => "is locked by this thread itself".to_owned(),
                    [owner] => format!("is locked by thread {owner}"),
                    _ => format!(
                        "is locked by one of the threads {tids:?}, in different pid namespaces"
                    ),
                };
                Need::new(
                    facility,
                    resource,
                    why,
                    Clause::any(tids.into_iter().map(|tid| Waker::thread(tid).role("owner"))),
                )
            }
            Owner::AtFork { pid, tid } => Need::new(
                facility,
                resource,
                format!(
                    "was locked by thread {tid} of process {pid} at fork(); its copy here nobody can unlock"
                ),
                Clause::default(),
            ),
            Owner::Gone(number)
                if self.ask.machine.hides() && matches!(self.place, Place::Shared { .. }) =>
            {
                let why = format!("is locked by thread {number}, which cannot be seen");
                Need::world(facility, resource, why, "a process that is hidden here")
            }
            Owner::Gone(number) => {
                let zombie = self
                    .ask
                    .machine
                    .processes
                    .get(&number)
                    .is_some_and(|seen| seen.is_zombie());
                let fate = if zombie {
                    "has ended (its process is a zombie)"
                } else {
                    "has ended"
                };
                let mut clause = Clause::default();
                let named = self.mapping.as_ref().is_some_and(|(_, named)| *named);
                if named && self.ask.machine.is_contained() {
                    // The number may be one of another pid namespace.
                    let outside = Waker::process(0).tier(Tier::Possible);
                    clause
                        .wakers
                        .push(outside.role("may be outside of this container"));
                }
                let why = format!("is locked by thread {number}, which {fate}");
                Need::new(facility, resource, why, clause)
            }
        }
    }
}

impl crate::waits::machine::Machine {
    /// The number of a thread in its own pid namespace.
    fn inner_number(&self, pid: u32, tid: u32) -> Option<u32> {
        let process = self.proc.process(pid).ok()?;
        process
            .task(tid)
            .status(&mut self.scratch())
            .ok()?
            .ns_pids
            .last()
            .copied()
    }

    /// Whether a descriptor's name is the last part of this path.
    pub(super) fn same_name(&self, holder: &crate::waits::machine::Holder, path: &str) -> bool {
        use crate::proc::Link;
        let wanted = path.rsplit('/').next().unwrap_or(path).as_bytes();
        let wanted = wanted.strip_prefix(b"memfd:").unwrap_or(wanted);
        match self.fd(holder.pid, holder.fd).map(|fd| &fd.link) {
            Some(Link::Path { path, .. }) => {
                path.rsplit(|&byte| byte == b'/').next() == Some(wanted)
            }
            Some(Link::Memfd(name)) => **name == *wanted,
            _ => false,
        }
    }
}
