//! io_uring: its waits are shown for what they are and never alarm, for the kernel does not tell on whom they depend.

use super::victim::{Flavour, Victim};
use wigwag_observe::graph::{State, Thread};

#[test]
fn a_wait_for_completions_says_that_its_wakers_are_not_known() {
    for (case, limited) in [("plain", false), ("extended", false), ("limited", true)] {
        let mut victim = Victim::c("uring.c", Flavour::Glibc, &[case]).settled(&["A"]);
        victim.nothing();
        let graph = victim.look();
        let thread = graph.thread(victim.tid("A"));
        let Some(State::Waiting(wait)) = thread.map(|thread: &Thread| &thread.state) else {
            panic!("it waits: {thread:?}");
        };
        assert_eq!((wait.facility, wait.limited), ("io_uring", limited));
        assert!(wait.why.contains("the kernel does not tell"), "{wait:?}");
        assert_eq!(wait.awaits_world(), Some("the kernel"), "{wait:?}");
        let ring = victim.said("ring")[0];
        assert_eq!(
            wait.resource,
            format!(
                "io_uring, descriptor {ring}: requests taken 1, completions given 0, waiting until a descriptor is ready 1"
            )
        );
    }
}
