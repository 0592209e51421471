//! The making of a segment: a creator killed half-way leaves nothing that keeps another from making it.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};

use wigwag::gate::Mutex;
use wigwag::memory::Segment;

use super::scene::{Scene, Stage, Verdict};
use super::step::{begin, end};
use crate::process;

wigwag::shared! {
    struct Table { a: AtomicU64, lock: Mutex<u64>, b: AtomicU64 }
}

pub const SCENES: &[Scene] = &[
    Scene {
        gate: "segment",
        name: "creator in POSIX shared memory",
        sample: 30,
        make,
        act,
        course: posix,
    },
    Scene {
        gate: "segment",
        name: "creator in a file",
        sample: 30,
        make,
        act,
        course: file,
    },
    Scene {
        gate: "segment",
        name: "creator in System V shared memory",
        sample: 30,
        make,
        act,
        course: sysv,
    },
    Scene {
        gate: "segment",
        name: "creator that takes one over",
        sample: 30,
        make,
        act,
        course: again,
    },
    Scene {
        gate: "segment",
        name: "creator, one waits to open it",
        sample: 20,
        make,
        act,
        course: |stage, object| with_one_who_waits(stage, object, 0, false),
    },
    Scene {
        gate: "segment",
        name: "creator in System V memory, one waits",
        sample: 20,
        make,
        act,
        course: |stage, object| with_one_who_waits(stage, object, 2, false),
    },
    Scene {
        gate: "segment",
        name: "creator that takes one over, one waits",
        sample: 20,
        make,
        act,
        course: |stage, object| with_one_who_waits(stage, object, 0, true),
    },
];

/// The names; what is left there is removed.
struct Names([String; 3]);

impl Drop for Names {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = Segment::<Table>::unlink(name);
        }
    }
}

fn make(object: &str) -> Box<dyn Any> {
    let file = std::env::temp_dir().join(object);
    let number = object
        .rsplit('-')
        .next()
        .and_then(|text| text.parse::<u32>().ok())
        .unwrap_or(0);
    let key = 0x5800_0000 | (std::process::id() & 0xfff) << 12 | number & 0xfff;
    Box::new(Names([
        format!("/{object}"),
        file.to_str().expect("text").to_owned(),
        format!("sysv-shm:{key:#x}"),
    ]))
}

fn value() -> Table {
    Table {
        a: AtomicU64::new(11),
        lock: Mutex::new(0),
        b: AtomicU64::new(11),
    }
}

fn act(part: &str, _: &str) {
    let name = process::argument("PLACE");
    match part {
        "creator" => {
            begin();
            let made = Segment::open_or_create(&name, value);
            end();
            drop(made);
        }
        "opener" => {
            process::say("opens");
            let opened = Segment::open_or_create(&name, value);
            process::say(if opened.is_ok_and(|table| is_whole(&table)) {
                "whole"
            } else {
                "not whole"
            });
            process::hear();
        }
        "half-way" => drop(Segment::open_or_create(&name, || -> Table {
            process::say("half-way");
            process::hear();
            panic!("killed before")
        })),
        part => panic!("no part {part}"),
    }
}

fn course(stage: &Stage<'_>, object: &dyn Any, which: usize, half_way: bool) -> Verdict {
    let Names(names) = object.downcast_ref::<Names>().expect("names");
    let name = &names[which];
    if half_way {
        let mut first = stage.actor_with("half-way", &[("PLACE", name)]);
        first.says("half-way");
        first.kill();
    }
    let victim = super::step::Victim::of(stage.actor_with("creator", &[("PLACE", name)]));
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    let Ok(table) = Segment::open_or_create(name, value) else {
        return Verdict::Stuck;
    };
    if !is_whole(&table) {
        return Verdict::Torn;
    }
    is_removed(name)
}

fn is_whole(table: &Table) -> bool {
    table.a.load(Ordering::Relaxed) == 11
        && table.b.load(Ordering::Relaxed) == 11
        && table.lock.lock().is_ok_and(|lock| !lock.is_orphaned())
}

/// Nothing is left under the name once it is removed.
fn is_removed(name: &str) -> Verdict {
    match Segment::<Table>::unlink(name).and_then(|()| Segment::<Table>::open(name).map(drop)) {
        Err(error) if error.kind() == wigwag::Kind::NotFound => Verdict::Good,
        _ => Verdict::Leaked,
    }
}

/// The same, while another is on the way to open or make it.
fn with_one_who_waits(
    stage: &Stage<'_>,
    object: &dyn Any,
    which: usize,
    half_way: bool,
) -> Verdict {
    let Names(names) = object.downcast_ref::<Names>().expect("names");
    let name = &names[which];
    if half_way {
        let mut first = stage.actor_with("half-way", &[("PLACE", name)]);
        first.says("half-way");
        first.kill();
    }
    let victim = super::step::Victim::of(stage.actor_with("creator", &[("PLACE", name)]));
    let at = victim.step(stage.point);
    let mut opener = stage.actor_with("opener", &[("PLACE", name)]);
    opener.says("opens");
    // Time to find the creator at it; when it is killed earlier, that is another point.
    std::thread::sleep(std::time::Duration::from_millis(3));
    victim.kill();
    match &opener.line()[..] {
        "whole" if at == super::step::At::End => Verdict::Complete,
        "whole" => is_removed(name),
        _ => Verdict::Torn,
    }
}

fn posix(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    course(stage, object, 0, false)
}

fn file(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    course(stage, object, 1, false)
}

fn sysv(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    course(stage, object, 2, false)
}

fn again(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    course(stage, object, 0, true)
}
