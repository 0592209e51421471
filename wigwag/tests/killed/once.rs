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
