//! The once cell: a maker that dies half-way is replaced, also by one who waited for it.

use std::any::Any;

use wigwag::gate::OnceCell;
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;
use wigwag::{Kind, Wait};

use super::mutex::LIMIT;
use super::scene::{Scene, Stage, Verdict};
use super::step::{Victim, begin, end};
use crate::process;

wigwag::shared! {
    struct Table { value: OnceCell<[u64; 2]> }
}

pub const SCENES: &[Scene] = &[
    Scene {
        gate: "once cell",
        name: "maker, nobody waits",
        sample: 40,
        make,
        act,
        course: alone,
    },
    Scene {
        gate: "once cell",
        name: "maker, one waits",
        sample: 40,
        make,
        act,
        course: with_a_waiter,
    },
    Scene {
        gate: "once cell",
        name: "woken waiter, a third makes it",
        sample: 20,
        make,
        act,
        course: with_a_third,
    },
    Scene {
        gate: "once cell",
        name: "woken waiter and the third",
        sample: 20,
        make,
        act,
        course: and_the_third,
    },
];

fn make(name: &str) -> Box<dyn Any> {
    let value = Table {
        value: OnceCell::new(),
    };
    Box::new(
        Options::new()
            .temporary(true)
            .create(format!("/{name}"), value)
            .expect("create"),
    )
}

fn act(part: &str, object: &str) {
    let table = Segment::<Table>::open(format!("/{object}")).expect("open");
    match part {
        "maker" => {
            begin();
            let _ = table.value.get_or_init(|| [3, 3]);
            end();
        }
        "maker with a waiter" => {
            let _ = table.value.get_or_init(|| {
                process::say("makes");
                process::hear();
                begin();
                [3, 3]
            });
            end();
        }
        "gives up" => {
            let given_up = std::panic::AssertUnwindSafe(|| {
                let _ = table.value.get_or_init(|| {
                    process::say("makes");
                    process::hear();
                    std::panic::resume_unwind(Box::new("gives up"))
                });
            });
            assert!(std::panic::catch_unwind(given_up).is_err());
            process::say("gave up");
            process::hear();
        }
        "third" => {
            process::say("ready");
            process::hear();
            let _ = table.value.get_or_init(|| {
                process::say("makes");
                process::hear();
                [3, 3]
            });
            // Somebody was faster.
            process::say("missed");
            process::hear();
        }
        "waiter" => {
            process::say("waits");
            process::say(verdict(&table));
        }
        part => panic!("no part {part}"),
    }
}

fn verdict(table: &Table) -> &'static str {
    match table.value.get_or_init_with(Wait::For(LIMIT), || [3, 3]) {
        Ok([3, 3]) => "good",
        Ok(_) => "torn",
        Err(error) if error.kind() == Kind::TimedOut => "stuck",
        Err(_) => "error",
    }
}

fn judged(stage: &str, object: &dyn Any) -> Verdict {
    let table = object.downcast_ref::<Segment<Table>>().expect("the table");
    match (stage, verdict(table)) {
        ("good", "good") => Verdict::Good,
        ("torn", _) | (_, "torn") => Verdict::Torn,
        _ => Verdict::Stuck,
    }
}

fn alone(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("maker")) {
        return Verdict::Complete;
    }
    judged("good", object)
}

fn with_a_waiter(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let mut maker = stage.actor("maker with a waiter");
    maker.says("makes");
    let mut waiter = stage.actor("waiter");
    waiter.says("waits");
    waiter.sleeps_in(libc::SYS_futex);
    maker.tell("go on");
    if !stage.kill(Victim::of(maker)) {
        return Verdict::Complete;
    }
    judged(&waiter.line(), object)
}

/// A maker gives up while the victim and another sleep; a third comes; the victim is killed as it wakes.
fn woken(stage: &Stage<'_>, object: &dyn Any, third: impl FnOnce(&mut process::Child)) -> Verdict {
    let mut maker = stage.actor("gives up");
    maker.says("makes");
    let mut late = stage.actor("third");
    late.says("ready");
    let victim = stage.victim("maker");
    victim.run_into_futex();
    let mut waiter = stage.actor("waiter");
    waiter.says("waits");
    waiter.sleeps_in(libc::SYS_futex);
    maker.tell("give up");
    maker.says("gave up");
    late.tell("go on");
    let line = late.line();
    assert!(matches!(&line[..], "makes" | "missed"), "{line}");
    victim.returns();
    let inside = victim.step_until_asleep(stage.point);
    victim.kill();
    third(&mut late);
    let verdict = judged(&waiter.line(), object);
    if inside || verdict != Verdict::Good {
        verdict
    } else {
        Verdict::Complete
    }
}

fn with_a_third(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    woken(stage, object, |third| third.tell("make it"))
}

fn and_the_third(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    woken(stage, object, process::Child::kill)
}
