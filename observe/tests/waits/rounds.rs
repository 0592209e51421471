//! Rounds: ends of channels that sleep, look around and sleep on are no less stuck for it; a caller's time-out is no such round.
//! The victim is this test program, run again.

use super::rust::{again, role, victim_of};
use super::victim::{Victim, path};
use rustix::fs::{FlockOperation, flock};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};
use wigwag::pattern::channel::{
    Options, Pollable, Waitable, broadcast, latest, many_to_many, one_to_one,
};
use wigwag::pattern::rpc::{Client, Server};
use wigwag_observe::graph::{Certainty, Finding, Thread, Verdict, WaitGraph, Who};
use wigwag_observe::why::{Standing, why};

/// A time-out of a caller that no test waits for.
const LIMIT: Duration = Duration::from_secs(60);

/// Two channels by name, one each way: mine to receive from, then mine to send to.
fn crossed<C>(name: &str, first: bool, open: impl Fn(String) -> C) -> (C, C) {
    let [there, back] = [1, 2].map(|n| open(format!("{name}-{n}")));
    if first { (back, there) } else { (there, back) }
}

fn broadcasts(name: &str, first: bool) -> (broadcast::Receiver<u64>, broadcast::Sender<u64>) {
    let open = |name: String| -> broadcast::Channel<u64> {
        Options::new().seats(4).open_or_create(name).expect("open")
    };
    let (mine, other) = crossed(name, first, open);
    (
        mine.receiver().expect("a seat"),
        other.sender().expect("the seat"),
    )
}

fn partner(name: &str, case: &str) -> std::process::Child {
    again("rounds::cases", case)
        .env("WIGWAG_CHANNEL", name)
        .spawn()
        .expect("second process")
}

/// Not a test by itself: the victims. Who is second has a case that ends in a dot.
#[test]
fn cases() {
    let Ok(case) = std::env::var("WIGWAG_RUST_CASE") else {
        return;
    };
    let name = std::env::var("WIGWAG_CHANNEL").expect("its name");
    let first = !case.ends_with('.');
    let who = if first { "A" } else { "B" };
    match case.trim_end_matches('.') {
        "broadcast" | "limit" => {
            let (mut receiver, _sender) = broadcasts(&name, first);
            let _child = first.then(|| partner(&name, &format!("{case}.")));
            role(who);
            let _ = match case.starts_with("limit") {
                true => receiver.recv_timeout(LIMIT).map(drop),
                false => receiver.recv().map(drop),
            };
        }
        "latest" => {
            let open = |name: String| -> latest::Channel<u64> {
                Options::new().open_or_create(name).expect("open")
            };
            let (mine, other) = crossed(&name, first, open);
            let mut receiver = mine.receiver().expect("a seat");
            let _sender = other.sender().expect("the seat");
            let _child = first.then(|| partner(&name, "latest."));
            role(who);
            let _ = receiver.recv();
        }
        "poll" => {
            let open = |name: String| -> one_to_one::Channel<u64> {
                Options::new().open_or_create(name).expect("open")
            };
            let (mine, other) = crossed(&name, first, open);
            let _sender = other.sender().expect("the seat");
            let receiver = mine.receiver().expect("the seat");
            let receiver = Pollable::new(receiver).expect("a descriptor");
            polls(&name, &case, receiver, |end| Ok(end.try_recv()?.map(drop)));
        }
        "poll_broadcast" => {
            let (receiver, _sender) = broadcasts(&name, first);
            let receiver = Pollable::new(receiver).expect("a descriptor");
            polls(&name, &case, receiver, |end| Ok(end.try_recv()?.map(drop)));
        }
        "poll_many" => {
            let open = |name: String| -> many_to_many::Channel<u64> {
                Options::new().open_or_create(name).expect("open")
            };
            let (mine, other) = crossed(&name, first, open);
            let _sender = other.sender().expect("a seat");
            let receiver = mine.receiver().expect("a seat");
            let receiver = Pollable::new(receiver).expect("a descriptor");
            polls(&name, &case, receiver, |end| Ok(end.try_recv()?.map(drop)));
        }
        "busy" | "slow" => {
            let (mut receiver, mut sender) = broadcasts(&name, first);
            let _child = first.then(|| partner(&name, &format!("{case}.")));
            role(who);
            // Who came first would not be heard by who comes.
            if !first {
                sender.send(0).expect("room");
            }
            loop {
                let value = *receiver.recv().expect("the other");
                if case.starts_with("slow") {
                    std::thread::sleep(Duration::from_micros(700));
                }
                sender.send(value + 1).expect("room");
            }
        }
        "many" => several(&name, first),
        "own" => {
            let channel: many_to_many::Channel<u64> =
                Options::new().anonymous().expect("a channel");
            let _sender = channel.sender().expect("a seat");
            let mut receiver = channel.receiver().expect("a seat");
            let mut also = channel.receiver().expect("a seat");
            std::thread::spawn(move || {
                role("B");
                let _ = also.recv();
            });
            role("A");
            let _ = receiver.recv();
        }
        "call" => {
            let path = std::env::var("WIGWAG_LOCK").expect("its path");
            let file = std::fs::File::open(path).expect("open");
            let lock = || flock(&file, FlockOperation::LockExclusive).expect("lock");
            let address = format!("rpc+channel:{name}");
            if !first {
                let server = Server::listen(&address).expect("listen");
                server
                    .serve(|_| {
                        role("B");
                        lock();
                        Ok(Vec::new())
                    })
                    .expect("serve");
            }
            lock();
            let mut child = partner(&name, "call.");
            let client = connected(&address);
            role("A");
            let _ = client.call(b"what the lock guards");
            let _ = child.wait();
        }
        _ => panic!("no case {case}"),
    }
    panic!("it went on");
}

/// Starts the second process, finds nothing to receive, and polls for it.
fn polls<E: Waitable>(
    name: &str,
    case: &str,
    mut receiver: Pollable<E>,
    mut look: impl FnMut(&mut E) -> wigwag::Result<Option<()>>,
) {
    let first = !case.ends_with('.');
    let child = first.then(|| partner(name, &format!("{case}.")));
    // Until both are there, an end may say that nobody is left.
    while !matches!(receiver.attempt(&mut look), Ok(None)) {}
    role(if first { "A" } else { "B" });
    let fd = receiver.as_fd();
    let mut fds = [rustix::event::PollFd::new(
        &fd,
        rustix::event::PollFlags::IN,
    )];
    rustix::event::poll(&mut fds, None).expect("poll");
    drop(child);
}

/// Two threads that take from a channel into which only the other sends, who waits for an answer.
fn several(name: &str, first: bool) {
    let open = |name: String| -> many_to_many::Channel<u64> {
        Options::new().seats(6).open_or_create(name).expect("open")
    };
    let (mine, other) = crossed(name, first, open);
    let mut receiver = mine.receiver().expect("a seat");
    let mut sender = other.sender().expect("a seat");
    let child = first.then(|| partner(name, "many."));
    sender.send(1).expect("room");
    receiver.recv().expect("the greeting");
    if first {
        let mut also = mine.receiver().expect("a seat");
        std::thread::spawn(move || {
            role("C");
            let _ = also.recv();
        });
    }
    role(if first { "A" } else { "B" });
    let _ = receiver.recv();
    drop(child);
}

fn connected(address: &str) -> Client {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match Client::connect(address) {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a case, and waits until its roles are told.
fn victim(case: &str, name: &str, roles: &[&str], more: &[(&str, &str)]) -> Victim {
    let mut variables = vec![("WIGWAG_CHANNEL", name)];
    variables.extend(more);
    let mut victim = victim_of("rounds::cases", case, &variables);
    victim.hear_all(roles);
    victim
}

/// A name that no other test has. Dropped, what has it or begins with it is removed.
struct Name(String);

impl Name {
    fn of(case: &str) -> Name {
        Name(format!("/wigwag-rounds-{case}-{}-", std::process::id()))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let entries = std::fs::read_dir("/dev/shm").into_iter().flatten();
        for entry in entries.flatten() {
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(&self.0[1..])
            {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Looks until there is a finding that involves all these roles. One who is just looking around is awake.
fn found(victim: &Victim, roles: &[&str]) -> (WaitGraph, Finding) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let graph = victim.look();
        let all = |finding: &&Finding| {
            roles
                .iter()
                .all(|role| finding.core.contains(&victim.tid(role)))
        };
        if let Some(finding) = graph.findings().iter().find(all) {
            let finding = finding.clone();
            return (graph, finding);
        }
        assert!(
            Instant::now() < end,
            "{}\n{:#?}",
            graph.to_json(),
            graph.threads()
        );
    }
}

/// Requires a likely deadlock of these, in which each waits for all the threads of the other's process.
fn cycle(victim: &Victim, roles: &[&str], facility: &str) -> WaitGraph {
    let (graph, finding) = found(victim, roles);
    assert_eq!(finding.verdict, Verdict::Deadlock, "{}", graph.to_json());
    // A stranger may open it by its name.
    assert_eq!(finding.certainty, Certainty::Likely, "{}", graph.to_json());
    assert!(finding.facilities.contains(&facility), "{finding:?}");
    graph
}

fn wait<'g>(graph: &'g WaitGraph, victim: &Victim, role: &str) -> &'g wigwag_observe::graph::Wait {
    let thread = graph.thread(victim.tid(role)).and_then(Thread::wait);
    thread.unwrap_or_else(|| panic!("{role} waits: {}", graph.to_json()))
}

#[test]
fn two_that_wait_for_each_others_broadcast_are_deadlocked_though_they_look_around() {
    let name = Name::of("broadcast");
    let victim = victim("broadcast", &name.0, &["A", "B"], &[]);
    let graph = cycle(&victim, &["A", "B"], "channel");
    for (who, other) in [("A", "B"), ("B", "A")] {
        let wait = wait(&graph, &victim, who);
        assert_eq!(wait.facility, "channel", "{wait:?}");
        assert_eq!(wait.why, "waits for a message of a channel's sender");
        assert!(wait.naps && !wait.limited, "{wait:?}");
        let wakers: Vec<Who> = wait.clauses[0]
            .wakers
            .iter()
            .map(|waker| waker.who)
            .collect();
        assert_eq!(wakers, [Who::Process(victim.pid(other))], "{wait:?}");
    }
}

#[test]
fn two_that_wait_for_each_others_newest_value() {
    let name = Name::of("latest");
    let victim = victim("latest", &name.0, &["A", "B"], &[]);
    cycle(&victim, &["A", "B"], "channel");
}

#[test]
fn a_callers_own_time_out_is_a_limit_and_no_alarm() {
    let name = Name::of("limit");
    let victim = victim("limit", &name.0, &["A", "B"], &[]);
    let end = Instant::now() + Duration::from_secs(20);
    let mut seen = 0;
    while seen < 4 {
        let graph = victim.look();
        assert!(graph.findings().is_empty(), "{}", graph.to_json());
        let waits = graph.thread(victim.tid("A")).and_then(Thread::wait);
        if let Some(wait) = waits {
            assert_eq!(
                (wait.facility, wait.limited, wait.naps),
                ("channel", true, false)
            );
            seen += 1;
        }
        assert!(Instant::now() < end, "{}", graph.to_json());
    }
}

#[test]
fn several_receivers_of_one_side_are_all_part_of_the_deadlock() {
    let name = Name::of("many");
    let victim = victim("many", &name.0, &["A", "B", "C"], &[]);
    let graph = cycle(&victim, &["A", "B", "C"], "channel");
    for who in ["A", "C"] {
        let wait = wait(&graph, &victim, who);
        assert!(wait.naps && !wait.limited, "{wait:?}");
        for part in ["a message of a channel's sender", "somebody to come"] {
            assert!(wait.why.contains(part), "{wait:?}");
        }
        let other = Who::Process(victim.pid("B"));
        assert!(
            wait.clauses[0]
                .wakers
                .iter()
                .any(|waker| waker.who == other),
            "{wait:?}"
        );
    }
}

#[test]
fn receivers_whose_only_sender_is_their_own_process_are_stuck_for_good() {
    let victim = victim("own", "/none", &["A", "B"], &[]);
    let (graph, finding) = found(&victim, &["A", "B"]);
    assert_eq!(finding.verdict, Verdict::Deadlock, "{}", graph.to_json());
    // Without a name nobody else can come; that they look around keeps it from being proven.
    assert_eq!(finding.certainty, Certainty::Likely, "{}", graph.to_json());
}

#[test]
fn two_that_poll_for_each_other_are_deadlocked_through_the_threads_that_sleep_for_them() {
    for case in ["poll", "poll_broadcast", "poll_many"] {
        let name = Name::of(case);
        let victim = victim(case, &name.0, &["A", "B"], &[]);
        let graph = cycle(&victim, &["A", "B"], "channel");
        assert_eq!(wait(&graph, &victim, "A").facility, "poll", "{case}");
    }
}

#[test]
fn a_call_through_channels_whose_server_waits_for_its_client() {
    let (name, lock) = (Name::of("call"), path("lock"));
    std::fs::write(&lock, "").expect("the lock's file");
    let more = [("WIGWAG_LOCK", super::victim::text(&lock))];
    let victim = victim("call", &name.0, &["A", "B"], &more).cleaning(&[&lock]);
    let graph = cycle(&victim, &["A", "B"], "flock");
    assert_eq!(wait(&graph, &victim, "A").facility, "channel");
    assert_eq!(wait(&graph, &victim, "B").facility, "flock");

    // And from the client down to the lock, which it has itself.
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = why(&victim.tid("A").to_string(), &Default::default()).expect("it is there");
        let chain: Vec<u32> = answer[0].chain.iter().map(|link| link.tid).collect();
        if answer[0].standing == Standing::Deadlock
            && chain.starts_with(&[victim.tid("A"), victim.tid("B")])
        {
            break;
        }
        assert!(Instant::now() < end, "{}", answer[0]);
    }
}

#[test]
fn ends_that_answer_each_other_are_no_deadlock() {
    for case in ["busy", "slow"] {
        let name = Name::of(case);
        let victim = victim(case, &name.0, &["A", "B"], &[]);
        for _ in 0..25 {
            let graph = victim.look();
            assert!(graph.findings().is_empty(), "{}", graph.to_json());
        }
    }
}
