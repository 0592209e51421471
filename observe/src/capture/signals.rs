//! Signals: what is pending for a process and who sleeps until a signal comes; and the process's own line.

use crate::object::{Object, Value, Waiter};
use crate::snapshot::{ProcessEntry, Signals};
use wigwag::facility::Persistence;

use super::look::Look;
use super::users::Users;
use super::{Capture, Key};

/// The process's line in the snapshot.
pub(super) fn entry(look: &Look, users: &Users) -> ProcessEntry {
    let [_, uid, ..] = look.status.uids;
    let unseen = look.denied.iter().any(|(what, _)| *what == "descriptors");
    ProcessEntry {
        pid: look.identity.pid,
        start: look.identity.start,
        ppid: look.stat.ppid,
        comm: look.stat.comm.clone(),
        uid,
        user: users.name(uid),
        state: look.stat.state,
        threads: look.stat.threads,
        descriptors: (!unseen).then_some(look.fds.len()),
        signals: Signals {
            pending: {
                let status = &look.status;
                Signals::list(crate::proc::SignalSet(
                    status.pending.0 | status.shared_pending.0,
                ))
            },
            blocked: Signals::list(look.status.blocked),
            ignored: Signals::list(look.status.ignored),
            caught: Signals::list(look.status.caught),
            queued: look.status.queued,
        },
    }
}

impl Capture<'_> {
    /// A process with pending signals is an object: something was sent and has not arrived.
    pub(super) fn signals(&mut self, look: &Look) {
        if !look.status.pending.is_empty() || !look.status.shared_pending.is_empty() {
            self.signal_object(look);
        }
    }

    pub(super) fn wait_for_signals(&mut self, look: &Look, waiter: &Waiter) {
        self.signal_object(look).waiters.push(waiter.clone());
    }

    fn signal_object(&mut self, look: &Look) -> &mut Object {
        let pid = look.identity.pid;
        let status = &look.status;
        self.object(Key::Signals(pid), || {
            let mut object =
                Object::new("signal", pid.to_string(), Persistence::Delivery).addressable();
            object.id = Some(u64::from(pid));
            object.uid = Some(status.uids[1]);
            let numbers =
                |set: crate::proc::SignalSet| Value::Numbers(set.iter().map(u64::from).collect());
            object.detail("pending", numbers(status.shared_pending));
            object.detail("pending_thread", numbers(status.pending));
            object.detail("blocked", numbers(status.blocked));
            object.detail("queued_by_user", Value::Number(status.queued.cast_signed()));
            object.detail(
                "queue_limit",
                Value::Number(status.queue_limit.cast_signed()),
            );
            object
        })
    }
}
