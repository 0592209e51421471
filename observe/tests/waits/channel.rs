//! Channels: an end that sleeps waits for the process at the other end. The victim is this test program, run again.

use super::rust::{again, role, victim_of};
use wigwag::pattern::channel::Options;
use wigwag::pattern::channel::one_to_one::Channel;
use wigwag_observe::graph::{Certainty, Thread, Verdict};

/// Two that take from each other and send nothing: each sleeps on the ends of the other and on who may come.
fn many_ways(name: &str, case: &str) {
    use wigwag::pattern::channel::many_to_many::Channel;
    let [there, back] = [1, 2].map(|n| -> Channel<u64> {
        let channel = Options::new()
            .seats(4)
            .open_or_create(format!("{name}-{n}"));
        channel.expect("open")
    });
    let first = case == "many";
    let (mine, other) = if first { (back, there) } else { (there, back) };
    let mut receiver = mine.receiver().expect("a seat");
    // For whose death it listens too, but not for what it does.
    let _idle = mine.receiver().expect("a seat");
    let mut sender = other.sender().expect("a seat");
    let child = first.then(|| partner(name, "many answer"));
    sender.send(1).expect("room");
    receiver.recv().expect("the greeting");
    role(if first { "A" } else { "B" });
    let _ = receiver.recv();
    drop(child);
}

fn partner(name: &str, case: &str) -> std::process::Child {
    let mut other = again("channel::cases", case);
    other
        .env("WIGWAG_CHANNEL", name)
        .spawn()
        .expect("second process")
}

/// Not a test by itself: the victims.
#[test]
fn cases() {
    let Ok(case) = std::env::var("WIGWAG_RUST_CASE") else {
        return;
    };
    let name = std::env::var("WIGWAG_CHANNEL").expect("its name");
    match case.as_str() {
        "many" | "many answer" => many_ways(&name, &case),
        _ => one_way_each(&name, &case),
    }
}

/// Two that send to each other and take nothing.
fn one_way_each(name: &str, case: &str) {
    let [there, back] = [1, 2].map(|n| {
        let channel = Options::new()
            .capacity(1)
            .open_or_create(format!("{name}-{n}"));
        channel.expect("open")
    });
    let (there, back): (Channel<u64>, Channel<u64>) = (there, back);
    match case {
        "asks" => {
            let mut sender = there.sender().expect("ours");
            let mut receiver = back.receiver().expect("ours");
            let mut other = again("channel::cases", "answers")
                .env("WIGWAG_CHANNEL", name)
                .spawn()
                .expect("second process");
            sender.send(1).expect("room");
            role("A");
            // Nobody receives the first.
            let _ = sender.send(2);
            let _ = receiver.recv();
            let _ = other.wait();
        }
        "answers" => {
            let mut receiver = there.receiver().expect("ours");
            let mut sender = back.sender().expect("ours");
            sender.send(1).expect("room");
            role("B");
            // Nor the answer.
            let _ = sender.send(2);
            let _ = receiver.recv();
        }
        _ => panic!("no case {case}"),
    }
    panic!("it went on");
}

#[test]
fn two_that_wait_for_room_wait_for_each_other() {
    let name = format!("/wigwag-waits-chan-{}", std::process::id());
    let victim =
        victim_of("channel::cases", "asks", &[("WIGWAG_CHANNEL", &name)]).settled(&["A", "B"]);
    let (graph, finding) = victim.found(&["A", "B"]);
    unlink(&name);
    for (who, other) in [("A", "B"), ("B", "A")] {
        let wait = graph
            .thread(victim.tid(who))
            .and_then(|thread| thread.wait())
            .unwrap_or_else(|| panic!("{who} waits: {}", graph.to_json()));
        assert_eq!(wait.facility, "channel", "{}", graph.to_json());
        let wakers: Vec<u32> = wait.clauses[0]
            .wakers
            .iter()
            .flat_map(|waker| graph.members(waker, victim.tid(who)))
            .map(|thread| thread.tid)
            .collect();
        assert!(wakers.contains(&victim.tid(other)), "{wakers:?}: {wait:?}");
    }
    assert_eq!(finding.verdict, Verdict::Deadlock);
    assert!(finding.facilities.contains(&"channel"));
}

#[test]
fn two_that_take_from_each_other_among_many_wait_for_each_other() {
    let name = format!("/wigwag-waits-many-{}", std::process::id());
    let variables = [("WIGWAG_CHANNEL", name.as_str())];
    let victim = victim_of("channel::cases", "many", &variables).settled(&["A", "B"]);
    let (graph, finding) = victim.found(&["A", "B"]);
    unlink(&name);
    assert_eq!(finding.verdict, Verdict::Deadlock, "{}", graph.to_json());
    // A stranger may come and send.
    assert_eq!(finding.certainty, Certainty::Likely, "{}", graph.to_json());
    let wait = graph.thread(victim.tid("A")).and_then(Thread::wait);
    let wait = wait.expect("a wait");
    assert_eq!((wait.facility, wait.limited), ("channel", false));
    for part in ["a message of a channel's sender", "somebody to come"] {
        assert!(wait.why.contains(part), "{wait:?}");
    }
}

fn unlink(name: &str) {
    for n in [1, 2] {
        let _ = std::fs::remove_file(format!("/dev/shm{name}-{n}"));
    }
}
