//! Pipes, sockets, terminals, queues, events, and waits for several of them.

use super::victim::{Flavour, Victim, path, text};
use wigwag_observe::graph::{Certainty, Verdict};

fn each_waits_for_the_other(case: &str, facility: &str) {
    let victim = Victim::c("stream.c", Flavour::Glibc, &[case]).settled(&["A", "B"]);
    let report = victim.deadlock(Certainty::Proven, facility, &["A", "B"]);
    report
        .held_by(&victim, "A", &["B"])
        .held_by(&victim, "B", &["A"]);
}

macro_rules! pairs {
    ($($name:ident: $case:literal $facility:literal,)*) => { $(
        #[test]
        fn $name() {
            each_waits_for_the_other($case, $facility);
        }
    )* };
}

pairs! {
    two_that_read_empty_pipes: "pipe_read" "pipe",
    two_that_write_full_pipes: "pipe_write" "pipe",
    two_that_read_a_socket_pair: "unix_read" "unix",
    two_that_write_a_full_socket_pair: "unix_write" "unix",
    two_that_read_a_seqpacket_pair: "unix_seqpacket" "unix-seqpacket",
    two_that_read_a_datagram_pair: "unix_dgram" "unix-dgram",
    two_that_write_a_full_datagram_pair: "unix_dgram_write" "unix-dgram",
    two_that_read_a_tcp_connection: "tcp" "tcp",
    two_that_read_a_tcp_connection_of_version_6: "tcp6" "tcp",
    two_that_write_a_full_tcp_connection: "tcp_write" "tcp",
}

#[test]
fn a_socket_with_a_time_limit_is_not_stuck() {
    Victim::c("stream.c", Flavour::Glibc, &["tcp_timeout"])
        .settled(&["A", "B"])
        .nothing();
}

#[test]
fn a_forgotten_write_end_of_ones_own() {
    let victim = Victim::c("stream.c", Flavour::Glibc, &["pipe_own_end"]).settled(&["A"]);
    let report = victim.deadlock(Certainty::Proven, "pipe", &["A"]);
    report.held_by(&victim, "A", &["A"]);
    let wait = report.wait(victim.tid("A"));
    assert!(
        wait["why"]
            .as_str()
            .is_some_and(|why| why.contains("only in this process itself")),
        "{wait}"
    );
    assert!(
        wait["resource"]
            .as_str()
            .is_some_and(|resource| resource.contains("0 of 65536 bytes")),
        "{wait}"
    );
}

#[test]
fn a_write_end_in_flight_may_still_be_used() {
    Victim::c("stream.c", Flavour::Glibc, &["pipe_in_flight"])
        .settled(&["A"])
        .nothing();
}

#[test]
fn fifos_have_names_so_a_stranger_may_come() {
    let (a, b) = (path("a"), path("b"));
    let victim = Victim::c(
        "stream.c",
        Flavour::Glibc,
        &["fifo_read", text(&a), text(&b)],
    )
    .cleaning(&[&a, &b])
    .settled(&["A", "B"]);
    let report = victim.deadlock(Certainty::Likely, "fifo", &["A", "B"]);
    report
        .held_by(&victim, "A", &["B"])
        .held_by(&victim, "B", &["A"]);
}

#[test]
fn an_open_of_a_fifo_waits_for_a_partner() {
    let fifo = path("fifo");
    let victim = Victim::c("stream.c", Flavour::Glibc, &["fifo_open", text(&fifo)])
        .cleaning(&[&fifo])
        .settled(&["A"]);
    let report = victim.expect(Verdict::OpenWait, Certainty::Likely, &["fifo"], &["A"], &[]);
    assert_eq!(report.wait(victim.tid("A"))["resource"], text(&fifo));
}

#[test]
fn an_unaccepted_connection_waits_for_the_server() {
    let socket = path("socket");
    for case in ["unix_unaccepted", "unix_backlog"] {
        let victim = Victim::c("stream.c", Flavour::Glibc, &[case, text(&socket)])
            .cleaning(&[&socket])
            .settled(&["A", "B"]);
        let report = victim.expect(
            Verdict::Deadlock,
            Certainty::Proven,
            &["unix", "waitpid"],
            &["A", "B"],
            &[],
        );
        report
            .held_by(&victim, "A", &["B"])
            .held_by(&victim, "B", &["A"]);
        drop(victim);
    }
}

#[test]
fn two_that_read_the_two_sides_of_a_terminal() {
    let victim = Victim::c("stream.c", Flavour::Glibc, &["pty"]).settled(&["A", "B"]);
    victim
        .deadlock(Certainty::Likely, "pty", &["A", "B"])
        .held_by(&victim, "A", &["B"]);
}

#[test]
fn queues_without_a_name_prove_it_and_with_one_make_it_likely() {
    let names = [path("a"), path("b")].map(|path| {
        format!(
            "/{}",
            path.file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default()
        )
    });
    let victim = Victim::c(
        "stream.c",
        Flavour::Glibc,
        &["mq", &names[0], &names[1], "unlink"],
    )
    .settled(&["A", "B"]);
    let report = victim.deadlock(Certainty::Proven, "mq", &["A", "B"]);
    report
        .held_by(&victim, "A", &["B"])
        .held_by(&victim, "B", &["A"]);
    let victim =
        Victim::c("stream.c", Flavour::Glibc, &["mq", &names[0], &names[1]]).settled(&["A", "B"]);
    victim.deadlock(Certainty::Likely, "mq", &["A", "B"]);
    for name in &names {
        unlink_queue(name);
    }
}

#[test]
fn a_full_queue_that_nobody_receives_from() {
    let name = format!(
        "/{}",
        path("q")
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    );
    let victim =
        Victim::c("stream.c", Flavour::Glibc, &["mq_full", &name, "unlink"]).settled(&["A"]);
    let report = victim.expect(Verdict::DeadEnd, Certainty::Proven, &["mq"], &["A"], &[]);
    assert!(
        report.wait(victim.tid("A"))["resource"]
            .as_str()
            .is_some_and(|text| text.contains("1 of 1 messages"))
    );
    let victim = Victim::c("stream.c", Flavour::Glibc, &["mq_full", &name]).settled(&["A"]);
    victim.expect(Verdict::OpenWait, Certainty::Likely, &["mq"], &["A"], &[]);
    unlink_queue(&name);
}

fn unlink_queue(name: &str) {
    let name = std::ffi::CString::new(name).expect("a name of ours");
    // SAFETY: the name is a C string that lives through the call.
    unsafe { libc::mq_unlink(name.as_ptr()) };
}

#[test]
fn two_that_read_eventfds_which_both_have() {
    let victim = Victim::c("stream.c", Flavour::Glibc, &["eventfd"]).settled(&["A", "B"]);
    victim
        .deadlock(Certainty::Proven, "eventfd", &["A", "B"])
        .held_by(&victim, "A", &["B"]);
}

#[test]
fn a_knot_of_three_through_poll_select_and_epoll() {
    for call in ["poll", "select", "epoll"] {
        let victim =
            Victim::c("stream.c", Flavour::Glibc, &["poll", call]).settled(&["A", "B", "C"]);
        let report = victim.expect(
            Verdict::Deadlock,
            Certainty::Proven,
            &["pipe", call],
            &["A", "B", "C"],
            &[],
        );
        report
            .held_by(&victim, "A", &["B", "C"])
            .held_by(&victim, "B", &["A"]);
    }
}

#[test]
fn a_knot_with_one_that_goes_on_is_none() {
    for call in ["poll", "select", "epoll"] {
        Victim::c("stream.c", Flavour::Glibc, &["poll", call, "live"])
            .settled(&["A", "B", "C"])
            .nothing();
    }
}

#[test]
fn a_32_bit_program_waits_for_pipes_and_sockets_too() {
    for (case, facility) in [
        ("pipe_read", "pipe"),
        ("unix_read", "unix"),
        ("unix_dgram_write", "unix-dgram"),
    ] {
        let victim = Victim::c("stream.c", Flavour::Glibc32, &[case]).settled(&["A", "B"]);
        victim
            .deadlock(Certainty::Proven, facility, &["A", "B"])
            .held_by(&victim, "A", &["B"]);
    }
    let victim =
        Victim::c("stream.c", Flavour::Glibc32, &["poll", "select"]).settled(&["A", "B", "C"]);
    victim.expect(
        Verdict::Deadlock,
        Certainty::Proven,
        &["pipe", "select"],
        &["A", "B", "C"],
        &[],
    );
}
