//! System V: semaphores and queues belong to nobody and anybody may act on them; who did so last is a hint, never a proof.

use super::abi::Sys;
use super::ask::{Ask, Need, live};
use crate::graph::{Clause, Outside, State, Tier, Waker};
use crate::proc::namespace::{self, Kind};
use crate::proc::sysvipc::{self, Semaphore};
use std::collections::BTreeMap;
use std::io;

/// The call behind ipc(2) of 32-bit programs, with its arguments put where the direct call has them.
pub(super) fn demultiplex(ask: &mut Ask<'_>) -> Sys {
    let [call, first, second, third, pointer, fifth] = std::array::from_fn(|at| ask.arg(at));
    match call & 0xffff {
        1 => {
            ask.call.args = [first, pointer, second, 0, 0, 0];
            Sys::SemOp
        }
        4 => {
            ask.call.args = [first, pointer, second, fifth, 0, 0];
            Sys::SemTimedOp
        }
        11 => {
            ask.call.args = [first, pointer, second, third, 0, 0];
            Sys::MsgSend
        }
        12 => {
            ask.call.args = [first, pointer, second, fifth, third, 0];
            Sys::MsgReceive
        }
        _ => Sys::Other,
    }
}

/// Blocked in semop(2).
pub(super) fn semaphores(ask: &Ask<'_>) -> State {
    let id = ask.int(0);
    let limited = ask.sys == Sys::SemTimedOp && ask.arg(3) != 0;
    let count = ask.arg(2) as u32 as usize;
    if count > 500 {
        return live("operates on more semaphores than can be looked at");
    }
    let Some(bytes) = ask.bytes(ask.arg(1), count * 6) else {
        return live("its operations cannot be read");
    };
    let mut values: BTreeMap<u16, (Semaphore, i64)> = BTreeMap::new();
    let mut blocked: Vec<(Semaphore, bool)> = Vec::new();
    for operation in bytes.chunks_exact(6) {
        let number = u16::from_ne_bytes([operation[0], operation[1]]);
        let change = i64::from(i16::from_ne_bytes([operation[2], operation[3]]));
        let (semaphore, value) = match values.get(&number) {
            Some(&known) => known,
            None => match inside(ask, move || sysvipc::semaphore(id, u32::from(number))) {
                Ok(semaphore) => (semaphore, i64::from(semaphore.value)),
                Err(error) => {
                    let resource = format!("set {id} semaphore {number}");
                    return Need::world(
                        "sysv-sem",
                        resource,
                        format!("cannot be read: {error}"),
                        "anybody",
                    )
                    .wait();
                }
            },
        };
        let lacks = change < 0 && value + change < 0;
        let not_zero = change == 0 && value != 0;
        if lacks || not_zero {
            blocked.push((semaphore, lacks));
        }
        values.insert(number, (semaphore, (value + change).max(0)));
    }
    if blocked.is_empty() {
        return live("its semaphores would let it go on");
    }
    let mut wait: Option<State> = None;
    for (semaphore, lacks) in blocked {
        let resource = format!(
            "set {id} semaphore {} (value {})",
            semaphore.number, semaphore.value
        );
        let last = semaphore.last;
        let why = match (lacks, last) {
            (true, 0) => "waits for it to grow".to_owned(),
            (true, last) => format!("waits for it to grow; process {last} changed it last"),
            (false, _) => "waits for it to become zero".to_owned(),
        };
        let taken = lacks && semaphore.value == 0;
        let clause = hinted(
            ask,
            taken.then_some(last),
            "changed it last, so probably took it",
        );
        match &mut wait {
            None => {
                let mut need = Need::new("sysv-sem", resource, why, clause);
                need.limited = limited;
                wait = Some(need.wait());
            }
            Some(State::Waiting(wait)) => {
                wait.resource.push_str(&format!(" and {resource}"));
                wait.clauses.push(clause);
            }
            Some(State::Live(_)) => {}
        }
    }
    wait.unwrap_or_else(|| live("its semaphores would let it go on"))
}

/// Blocked in msgrcv(2) or msgsnd(2).
pub(super) fn queue(ask: &Ask<'_>) -> State {
    let id = ask.int(0);
    let table = inside(ask, || {
        let proc = crate::proc::ProcFs::open()?;
        sysvipc::queues(&proc, &mut crate::proc::Scratch::new())
    });
    let queue = table
        .ok()
        .and_then(|all| all.into_iter().find(|queue| queue.common.id == id));
    let Some(queue) = queue else {
        return Need::world(
            "sysv-mq",
            format!("queue {id}"),
            "waits for a queue",
            "anybody",
        )
        .wait();
    };
    let resource = format!(
        "queue {id} key {:#010x} ({} messages, {} bytes)",
        queue.common.key, queue.messages, queue.bytes
    );
    let (last, role, why) = match ask.sys {
        Sys::MsgReceive => (
            queue.last_sender,
            "sent to it last",
            "receives; no message that it wants is there",
        ),
        _ => (
            queue.last_receiver,
            "received from it last",
            "sends; the queue is full",
        ),
    };
    let clause = hinted(ask, Some(last), role);
    Need::new("sysv-mq", resource, why, clause).wait()
}

/// Anybody may act; `last` did so last. The waiter itself is no hint: it used what it waits for as an event, not as a lock.
fn hinted(ask: &Ask<'_>, last: Option<u32>, role: &str) -> Clause {
    let clause = Clause::default().outside(Outside::Anyone);
    match last {
        Some(last) if last != 0 && last != ask.seen.pid => Clause {
            wakers: vec![Waker::process(last).tier(Tier::Hint).role(role)],
            ..clause
        },
        _ => clause,
    }
}

/// Looks from the IPC namespace of the process.
fn inside<T: Send>(ask: &Ask<'_>, look: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let own = ask.machine.proc.process(std::process::id())?;
    let process = ask.machine.proc.process(ask.seen.pid)?;
    if namespace::of(&own, Kind::Ipc)? == namespace::of(&process, Kind::Ipc)? {
        look()
    } else {
        namespace::inside(&process, Kind::Ipc, look)
    }
}
