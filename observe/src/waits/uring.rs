//! io_uring: the kernel works through requests whose descriptors it does not tell, so the thread counts as able to go on.
//!
//! What is known: how far the ring is, which kinds of requests wait until their descriptor is ready, and by name the files that are
//! registered in it, which the process can use without a descriptor. The requests themselves lie in memory of the program, which
//! may have written others over them since: as long as the ring has not come round they are a hint, never more.

use super::ask::{Ask, Need, add};
use super::descriptor::{self, Direction};
use super::machine::Machine;
use super::multiplex::any_of;
use crate::graph::{Clause, Outside, State, Tier, Waker};
use crate::proc::FdInfo;

/// Flags of the call: the last argument is a `struct io_uring_getevents_arg`; the first is the number of a registered ring; the last
/// argument is a place in registered memory.
const EXTENDED: u32 = 1 << 3;
const REGISTERED: u32 = 1 << 4;
const FROM_REGION: u32 = 1 << 6;
/// In a `struct io_uring_getevents_arg`: where the address of the time limit is.
const LIMIT: u64 = 16;
/// `IORING_OFF_SQES`: where the requests are mapped from; the bytes of one, and the flag that its descriptor is none.
const REQUESTS: u64 = 0x1000_0000;
const REQUEST: usize = 64;
const FIXED_FILE: u8 = 1;

/// Blocked in io_uring_enter(ring, submit, complete, flags, argument, size).
pub(super) fn waiting(ask: &Ask<'_>) -> State {
    let flags = ask.arg(3) as u32;
    let resource = if flags & REGISTERED != 0 {
        format!("io_uring, registered as {}", ask.fd(0))
    } else {
        let progress = progress(ask).unwrap_or_default();
        format!("io_uring, descriptor {}{progress}", ask.fd(0))
    };
    let limited = if flags & FROM_REGION != 0 {
        true
    } else if flags & EXTENDED != 0 {
        // What cannot be read may be a limit.
        ask.words::<2>(ask.arg(4).wrapping_add(LIMIT))
            .is_none_or(|limit| limit != [0; 2])
    } else {
        false
    };
    let why = "waits for completions of its io_uring; for whom these wait the kernel does not tell";
    let need = requests(ask).filter(|_| flags & REGISTERED == 0);
    let need = match need {
        Some(need) => Need {
            resource: format!("{resource}: {}", need.resource),
            why: format!("{why}, but its requests seem to"),
            ..need
        },
        None => Need::world("io_uring", resource, why, "the kernel"),
    };
    need.limited(limited).wait()
}

/// What the requests that wait seem to wait for; `None` if any of them is not known.
fn requests(ask: &Ask<'_>) -> Option<Need> {
    let (machine, pid) = (ask.machine, ask.seen.pid);
    let info = machine.fdinfo(pid, ask.fd(0))?;
    let (taken, given) = (number(&info, "SqHead")?, number(&info, "CqTail")?);
    let young = taken <= number(&info, "SqMask")? && info.other("SqThread") == Some("-1");
    let waiting: Vec<u8> = polls(&info).collect();
    if !young || waiting.is_empty() || taken.checked_sub(given)? as usize != waiting.len() {
        return None;
    }
    let mappings = &machine.layout(ask.seen).mappings;
    let list = mappings
        .iter()
        .find(|map| Some(map.file.ino) == info.ino && map.offset == REQUESTS)?;
    let list = ask.bytes(list.start, taken as usize * REQUEST)?;
    let list: Vec<&[u8; REQUEST]> = list.as_chunks().0.iter().collect();
    let of_kind = |kind: u8| list.iter().filter(move |request| request[0] == kind);
    let missing = |&kind: &u8| {
        let wanted = waiting.iter().filter(|&&other| other == kind).count();
        of_kind(kind).count() < wanted
    };
    if waiting.iter().any(missing) {
        return None;
    }
    let mut needs = Vec::new();
    for request in list.iter().filter(|request| waiting.contains(&request[0])) {
        let direction = direction(request[0]).filter(|_| request[1] & FIXED_FILE == 0)?;
        let fd = i32::from_ne_bytes(std::array::from_fn(|byte| request[4 + byte]));
        needs.push(descriptor::need(machine, pid, fd, direction)?);
    }
    let mut need = any_of("io_uring", needs);
    for waker in &mut need.clause.wakers {
        waker.tier = Tier::Hint;
    }
    need.clause = need.clause.outside(Outside::Anyone);
    Some(need)
}

/// What kind of readiness a request waits for, where its kind alone tells.
fn direction(kind: u8) -> Option<Direction> {
    match kind {
        // READV, READ_FIXED, RECVMSG, ACCEPT, READ, RECV.
        1 | 4 | 10 | 13 | 22 | 27 => Some(Direction::Read),
        // WRITEV, WRITE_FIXED, SENDMSG, WRITE, SEND.
        2 | 5 | 9 | 23 | 26 => Some(Direction::Write),
        _ => None,
    }
}

/// The kinds of the requests that wait until their descriptor is ready.
fn polls(info: &FdInfo) -> impl Iterator<Item = u8> {
    let lines = info.rest.iter();
    let kinds = lines.filter_map(|line| line.strip_prefix("  op=")?.split(',').next());
    kinds.map(|kind| kind.parse().unwrap_or(u8::MAX))
}

fn number(info: &FdInfo, name: &str) -> Option<u32> {
    let text = info.other(name)?;
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// How far the ring is. Of a request that waits until its descriptor is ready only the kind is told, not the descriptor.
fn progress(ask: &Ask<'_>) -> Option<String> {
    let info = ask.machine.fdinfo(ask.seen.pid, ask.fd(0))?;
    // Both count on and on; a completion may be one of several of its request.
    let (taken, given) = (number(&info, "SqHead")?, number(&info, "CqTail")?);
    let polls = polls(&info).count();
    Some(format!(
        ": requests taken {taken}, completions given {given}, waiting until a descriptor is ready {polls}"
    ))
}

/// Adds the processes that have a file of this name, as the link of a descriptor would say it, registered in a ring.
pub(super) fn add_registered(machine: &Machine, name: &str, clause: &mut Clause) {
    for ring in machine.anonymous("io_uring") {
        let info = machine.fdinfo(ring.pid, ring.fd);
        let files = info.iter().flat_map(|info| &info.rest);
        let mut files = files
            .skip_while(|line| !line.starts_with("UserFiles:"))
            .skip(1)
            .map_while(|line| line.trim_start().split_once(": "));
        if files.any(|(_, file)| file == name) {
            let role = format!("has it registered in its io_uring, descriptor {}", ring.fd);
            add(&mut clause.wakers, Waker::process(ring.pid).role(role));
        }
    }
}
