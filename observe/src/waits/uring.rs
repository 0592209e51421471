//! io_uring: the kernel works through requests we cannot see, so the thread counts as able to go on.

use super::ask::{Ask, Need};
use crate::graph::State;

/// Blocked in io_uring_enter(2).
pub(super) fn waiting(ask: &Ask<'_>) -> State {
    let resource = format!("io_uring, descriptor {}", ask.fd(0));
    Need::world(
        "io_uring",
        resource,
        "waits for a request to be completed",
        "the kernel",
    )
    .wait()
}
