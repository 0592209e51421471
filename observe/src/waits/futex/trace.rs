//! Trace: a thread that holds a lock usually has its address on its stack; that is a hint, never more, at who owns a lock that
//! does not say so.
//!
//! An address may stand there for other reasons: it was used before, or will be. So whoever has a trace may be the owner,
//! a thread whose stack cannot be read, too, and only if every one of them is stuck is there a suspicion. Locks in statics
//! leave no trace in optimised programs, because the compiler knows where they are: of them nothing is guessed.

use super::{Word, rust};
use crate::graph::{Tier, Waker};
use crate::proc::{Mapping, Syscall, memory};
use crate::waits::abi::Abi;
use crate::waits::ask::{Ask, Need};
use crate::waits::layout::Layout;
use crate::waits::machine::SeenThread;
use std::collections::HashMap;
use std::rc::Rc;

/// The most of a stack that is read, and the most stacks.
const MOST: u64 = 1 << 20;
const CROWD: usize = 256;

/// Threads, and whether a trace was seen.
type Owners = Vec<(u32, bool)>;
/// By process and lock.
pub(in crate::waits) type Traces = HashMap<(u32, u64), Rc<Owners>>;

/// Adds the threads that may own the lock at this address.
pub(super) fn hint(word: &Word<'_>, lock: u64, mut need: Need) -> Need {
    let hinted = |(tid, known)| {
        let role = match known {
            true => "has the lock's address on its stack",
            false => "may own it: its stack cannot be seen",
        };
        Waker::thread(tid).tier(Tier::Hint).role(role)
    };
    let owners = owners(word, lock);
    // Before those that are only possible: these are to be named first.
    let others = owners.iter().filter(|(tid, _)| *tid != word.ask.thread.tid);
    let wakers = others.copied().map(hinted);
    need.clause.wakers.splice(0..0, wakers);
    need
}

/// The threads with a trace, and those that cannot be read (`false`); none if nobody has one.
fn owners(word: &Word<'_>, lock: u64) -> Rc<Owners> {
    let seen = word.ask.seen;
    let known = &word.ask.machine.cache.traces;
    if let Some(owners) = known.borrow().get(&(seen.pid, lock)) {
        return owners.clone();
    }
    let layout = word.ask.machine.layout(seen);
    let mut owners = Owners::new();
    if seen.threads.len() <= CROWD && !is_static(layout, lock) {
        // Who waits for the lock knows where it is; to have it besides would be to wait for itself.
        let others = seen.threads.iter();
        let others = others.filter(|thread| !waits_for(word.ask, thread, lock));
        for thread in others {
            match has_trace(layout, thread, lock) {
                Some(false) => {}
                trace => owners.push((thread.tid, trace.is_some())),
            }
        }
        if owners.iter().all(|(_, known)| !known) {
            owners.clear();
        }
    }
    let owners = Rc::new(owners);
    known.borrow_mut().insert((seen.pid, lock), owners.clone());
    owners
}

fn waits_for(ask: &Ask<'_>, thread: &SeenThread, lock: u64) -> bool {
    let ask = Ask::about(ask.machine, ask.seen, thread);
    matches!(thread.syscall, Some(Syscall::In(_))) && rust::lock_waited_for(&ask) == Some(lock)
}

/// Whether the address stands on the used part of its stack; `None` if that cannot be known.
fn has_trace(layout: &Layout, thread: &SeenThread, lock: u64) -> Option<bool> {
    let sp = match thread.syscall? {
        Syscall::In(call) => call.sp,
        Syscall::Outside { sp, .. } => sp,
        Syscall::Running => return None,
    };
    let used = layout.mapping(sp)?.end - sp;
    if used > MOST {
        return None;
    }
    let mut stack = vec![0; used as usize];
    let count = memory::read(thread.tid, sp, &mut stack).ok()?;
    let stack = &stack[..count];
    Some(match layout.abi {
        Abi::Native => stack.as_chunks().0.contains(&lock.to_ne_bytes()),
        Abi::Compat => stack.as_chunks().0.contains(&(lock as u32).to_ne_bytes()),
    })
}

/// In the variables of a program or library: in its file, or in what follows on that.
fn is_static(layout: &Layout, address: u64) -> bool {
    let Some(at) = layout
        .mappings
        .iter()
        .position(|mapping| (mapping.start..mapping.end).contains(&address))
    else {
        return true;
    };
    let of_a_file = |mapping: &Mapping| mapping.file.ino != 0;
    let mapping = &layout.mappings[at];
    let before = at.checked_sub(1).map(|before| &layout.mappings[before]);
    of_a_file(mapping)
        || mapping.name.is_empty()
            && before.is_some_and(|before| of_a_file(before) && before.end == mapping.start)
}
