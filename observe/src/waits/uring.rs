//! io_uring: the kernel works through requests whose descriptors it does not tell, so the thread counts as able to go on.

use super::ask::{Ask, Need};
use crate::graph::State;

/// Flags of the call: the last argument is a `struct io_uring_getevents_arg`; the first is the number of a registered ring; the last
/// argument is a place in registered memory.
const EXTENDED: u32 = 1 << 3;
const REGISTERED: u32 = 1 << 4;
const FROM_REGION: u32 = 1 << 6;
/// In a `struct io_uring_getevents_arg`: where the address of the time limit is.
const LIMIT: u64 = 16;

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
    Need::world(
        "io_uring",
        resource,
        "waits for completions of its io_uring; for whom these wait the kernel does not tell",
        "the kernel",
    )
    .limited(limited)
    .wait()
}

/// How far the ring is. Of a request that waits until its descriptor is ready only the kind is told, not the descriptor.
fn progress(ask: &Ask<'_>) -> Option<String> {
    let info = ask.machine.fdinfo(ask.seen.pid, ask.fd(0))?;
    // Both count on and on; a completion may be one of several of its request.
    let number = |name: &str| info.other(name)?.parse::<u32>().ok();
    let (taken, given) = (number("SqHead")?, number("CqTail")?);
    let polls = info.rest.iter().filter(|line| line.starts_with("  op="));
    let polls = polls.count();
    Some(format!(
        ": requests taken {taken}, completions given {given}, waiting until a descriptor is ready {polls}"
    ))
}
