//! Mailboxes: who sleeps at one waits for whoever else has its memory. The victim is this test program, run again.

use super::rust::{again, role, victim_of};
use wigwag::pattern::mailbox::Mailbox;
use wigwag_observe::graph::Verdict;

/// Not a test by itself: the victims.
#[test]
fn cases() {
    let Ok(case) = std::env::var("WIGWAG_RUST_CASE") else {
        return;
    };
    let name = std::env::var("WIGWAG_MAILBOX").expect("its name");
    let names = [format!("{name}-1"), format!("{name}-2")];
    let mailboxes = names.map(|name| Mailbox::open_or_create(name).expect("open"));
    let mut letter = [0; 3968];
    match case.as_str() {
        "one" => {
            let mut other = again("mailbox::cases", "other")
                .env("WIGWAG_MAILBOX", name)
                .spawn()
                .expect("second process");
            role("A");
            let _ = mailboxes[0].fetcher().expect("ours").fetch(&mut letter);
            let _ = other.wait();
        }
        "other" => {
            let mut poster = mailboxes[1].poster().expect("ours");
            poster.post(b"the first goes").expect("post");
            role("B");
            let _ = poster.post(b"the second waits for ever");
        }
        _ => panic!("no case {case}"),
    }
    panic!("it went on");
}

#[test]
fn one_waits_for_a_letter_and_the_other_for_room() {
    let name = format!("/wigwag-waits-box-{}", std::process::id());
    let victim =
        victim_of("mailbox::cases", "one", &[("WIGWAG_MAILBOX", &name)]).settled(&["A", "B"]);
    // With the main threads of the test programs, which wait for these.
    let (graph, finding) = victim.found(&["A", "B"]);
    for name in [format!("{name}-1"), format!("{name}-2")] {
        let _ = Mailbox::unlink(name);
    }
    for (who, other, why) in [("A", "B", "a letter"), ("B", "A", "be fetched")] {
        let wait = graph
            .thread(victim.tid(who))
            .and_then(|thread| thread.wait())
            .unwrap_or_else(|| panic!("{who} waits: {}", graph.to_json()));
        assert_eq!(wait.facility, "mailbox");
        let text = format!("{wait:?}");
        assert!(text.contains(why), "{text}");
        let wakers: Vec<u32> = wait.clauses[0]
            .wakers
            .iter()
            .flat_map(|waker| graph.members(waker, victim.tid(who)))
            .map(|thread| thread.tid)
            .collect();
        assert!(wakers.contains(&victim.tid(other)), "{wakers:?}: {text}");
    }
    assert_eq!(finding.verdict, Verdict::Deadlock, "{}", graph.to_json());
    assert!(finding.facilities.contains(&"mailbox"));
}
