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
    let whole = table.a.load(Ordering::Relaxed) == 11 && table.b.load(Ordering::Relaxed) == 11;
    if !whole || !table.lock.lock().is_ok_and(|lock| !lock.is_orphaned()) {
        return Verdict::Torn;
    }
    match Segment::<Table>::unlink(name).and_then(|()| Segment::<Table>::open(name).map(drop)) {
        Err(error) if error.kind() == wigwag::Kind::NotFound => Verdict::Good,
        _ => Verdict::Leaked,
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
