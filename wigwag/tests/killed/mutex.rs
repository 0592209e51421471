//! The mutex, with nobody waiting, with a waiter, and with the woken waiter killed while a third has barged in.

use std::any::Any;
use std::time::Duration;

use wigwag::gate::{Lock, Mutex};
use wigwag::memory::Segment;
use wigwag::memory::segment::Options;
use wigwag::shared::Death;

use super::scene::{Scene, Stage, Verdict};
use super::step::{begin, end};
use crate::process;

wigwag::plain! {
    /// Two numbers that are equal whenever nobody is inside.
    struct Pair { a: u64, b: u64 }
}
wigwag::shared! {
    struct Table { pair: Mutex<Pair> }
}

pub const SCENES: &[Scene] = &[
    Scene {
        gate: "mutex",
        name: "owner, nobody waits",
        sample: 40,
        make,
        act,
        course: alone,
    },
    Scene {
        gate: "mutex",
        name: "owner, one waits",
        sample: 40,
        make,
        act,
        course: with_a_waiter,
    },
    Scene {
        gate: "mutex",
        name: "woken waiter, another waits",
        sample: 30,
        make,
        act,
        course: woken,
    },
    Scene {
        gate: "mutex",
        name: "woken waiter, a third barged in",
        sample: 30,
        make,
        act,
        course: barged,
    },
    Scene {
        gate: "mutex",
        name: "woken waiter and the third",
        sample: 30,
        make,
        act,
        course: barged_and_killed,
    },
    Scene {
        gate: "mutex",
        name: "repair after a death",
        sample: 40,
        make,
        act,
        course: repairing,
    },
    Scene {
        gate: "watched mutex",
        name: "owner, nobody waits",
        sample: 40,
        make: make_watched,
        act,
        course: alone,
    },
    Scene {
        gate: "watched mutex",
        name: "owner, one waits",
        sample: 40,
        make: make_watched,
        act,
        course: with_a_waiter,
    },
    Scene {
        gate: "watched mutex",
        name: "woken waiter, another waits",
        sample: 30,
        make: make_watched,
        act,
        course: woken,
    },
    Scene {
        gate: "watched mutex",
        name: "woken waiter, a third barged in",
        sample: 30,
        make: make_watched,
        act,
        course: barged,
    },
    Scene {
        gate: "watched mutex",
        name: "repair after a death",
        sample: 30,
        make: make_watched,
        act,
        course: repairing,
    },
    Scene {
        gate: "watched mutex",
        name: "woken waiter and the third",
        sample: 30,
        make: make_watched,
        act,
        course: barged_and_killed,
    },
    Scene {
        gate: "inheriting mutex",
        name: "owner, nobody waits",
        sample: 40,
        make: make_inheriting,
        act,
        course: alone,
    },
    Scene {
        gate: "inheriting mutex",
        name: "owner, one waits",
        sample: 40,
        make: make_inheriting,
        act,
        course: with_a_waiter,
    },
    Scene {
        gate: "inheriting mutex",
        name: "woken waiter, another waits",
        sample: 30,
        make: make_inheriting,
        act,
        course: woken,
    },
    Scene {
        gate: "inheriting mutex",
        name: "repair after a death",
        sample: 40,
        make: make_inheriting,
        act,
        course: repairing,
    },
    Scene {
        gate: "watched inheriting mutex",
        name: "owner, nobody waits",
        sample: 40,
        make: make_watched_inheriting,
        act,
        course: alone,
    },
    Scene {
        gate: "watched inheriting mutex",
        name: "owner, one waits",
        sample: 40,
        make: make_watched_inheriting,
        act,
        course: with_a_waiter,
    },
    Scene {
        gate: "watched inheriting mutex",
        name: "woken waiter, another waits",
        sample: 30,
        make: make_watched_inheriting,
        act,
        course: woken,
    },
];

/// Longer than the longest nap, and than anything on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(10);

fn table(name: &str, death: Death, pair: Mutex<Pair>) -> Box<dyn Any> {
    let options = Options::new().temporary(true).death(death);
    let value = Table { pair };
    Box::new(options.create(format!("/{name}"), value).expect("create"))
}

const EQUAL: Pair = Pair { a: 0, b: 0 };

fn make(name: &str) -> Box<dyn Any> {
    table(name, process::DEATHS[0], Mutex::new(EQUAL))
}

fn make_watched(name: &str) -> Box<dyn Any> {
    table(name, Death::Watched, Mutex::new(EQUAL))
}

fn make_inheriting(name: &str) -> Box<dyn Any> {
    table(name, process::DEATHS[0], Mutex::inheriting(EQUAL))
}

fn make_watched_inheriting(name: &str) -> Box<dyn Any> {
    table(name, Death::Watched, Mutex::inheriting(EQUAL))
}

fn of(object: &dyn Any) -> &Mutex<Pair> {
    &object
        .downcast_ref::<Segment<Table>>()
        .expect("the table")
        .pair
}

#[inline(never)]
fn change(pair: &mut Pair) {
    // SAFETY: two ordinary stores, kept apart so that a kill can come between them.
    unsafe {
        std::ptr::write_volatile(&raw mut pair.a, pair.a + 1);
        std::ptr::write_volatile(&raw mut pair.b, pair.b + 1);
    }
}

fn act(part: &str, object: &str) {
    let table = Segment::<Table>::open(format!("/{object}")).expect("open");
    let mutex = &table.pair;
    // What a thread does once only is not what is looked at.
    drop(Mutex::new(()).lock());
    drop(Mutex::inheriting(()).lock());
    match part {
        "owner" => {
            begin();
            let mut pair = mutex.lock().expect("lock").or_repair(|_| {});
            change(&mut pair);
            drop(pair);
            end();
        }
        "owner with a waiter" => {
            let mut pair = mutex.lock().expect("lock").or_repair(|_| {});
            process::say("holds");
            process::hear();
            begin();
            change(&mut pair);
            drop(pair);
            end();
        }
        "mender" => {
            begin();
            let pair = mutex
                .lock()
                .expect("lock")
                .or_repair(|pair| pair.a = pair.b);
            drop(pair);
            end();
        }
        "dies inside" => {
            let mut pair = mutex.lock().expect("lock").or_repair(|_| {});
            pair.a += 1;
            process::say("holds");
            process::hear();
        }
        "victim" => {
            begin();
            let mut pair = mutex.lock().expect("lock").or_repair(|_| {});
            change(&mut pair);
            drop(pair);
            end();
        }
        "waiter" => {
            process::say("waits");
            process::say(verdict(mutex));
        }
        "third" => {
            let pair = mutex.lock().expect("lock").or_repair(|_| {});
            process::say("holds");
            process::hear();
            drop(pair);
        }
        part => panic!("no part {part}"),
    }
}

/// What a survivor finds.
fn verdict(mutex: &Mutex<Pair>) -> &'static str {
    match mutex.lock_timeout(LIMIT) {
        Ok(Lock::Clean(pair)) if pair.a == pair.b => "good",
        Ok(Lock::Clean(_)) => "torn",
        Ok(Lock::Orphaned(mut orphan)) => {
            orphan.b = orphan.a;
            drop(orphan.repaired());
            "good"
        }
        Err(_) => "stuck",
    }
}

fn judged(verdict: &str) -> Verdict {
    match verdict {
        "good" => Verdict::Good,
        "torn" => Verdict::Torn,
        _ => Verdict::Stuck,
    }
}

/// The last survivor: gets it too, and nothing is left of the dead.
fn aftermath(mutex: &Mutex<Pair>, so_far: &str) -> Verdict {
    if so_far != "good" {
        return judged(so_far);
    }
    let last = verdict(mutex);
    if last != "good" {
        return judged(last);
    }
    for _ in 0..1100 {
        drop(mutex.lock());
    }
    if mutex.waiters() != 0 || mutex.owner().is_some() {
        Verdict::Leaked
    } else {
        Verdict::Good
    }
}

fn alone(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    if !stage.kill(stage.victim("owner")) {
        return Verdict::Complete;
    }
    aftermath(of(object), "good")
}

fn waiter(stage: &Stage<'_>) -> process::Child {
    let mut waiter = stage.actor("waiter");
    waiter.says("waits");
    waiter.sleeps_in(libc::SYS_futex);
    waiter
}

fn with_a_waiter(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let mut owner = stage.actor("owner with a waiter");
    owner.says("holds");
    let mut waiter = waiter(stage);
    owner.tell("go on");
    let victim = super::step::Victim::of(owner);
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    aftermath(of(object), &waiter.line())
}

fn repairing(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let mut first = stage.actor("dies inside");
    first.says("holds");
    first.kill();
    if !stage.kill(stage.victim("mender")) {
        return Verdict::Complete;
    }
    aftermath(of(object), "good")
}

fn woken(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let mutex = of(object);
    let held = mutex.lock().expect("lock");
    let victim = stage.victim("victim");
    victim.run_into_futex();
    let mut waiter = waiter(stage);
    drop(held);
    victim.returns();
    if !stage.kill(victim) {
        return Verdict::Complete;
    }
    aftermath(mutex, &waiter.line())
}

fn barged(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let mutex = of(object);
    let held = mutex.lock().expect("lock");
    let victim = stage.victim("victim");
    victim.run_into_futex();
    let mut waiter = waiter(stage);
    drop(held);
    let third = match mutex.lock_timeout(LIMIT) {
        Ok(third) => third,
        Err(_) => return Verdict::Stuck,
    };
    victim.returns();
    // It cannot get through while the third holds it: it ends in the futex again.
    let inside = victim.step_until_asleep(stage.point);
    victim.kill();
    drop(third);
    let verdict = aftermath(mutex, &waiter.line());
    if inside { verdict } else { Verdict::Complete }
}

fn barged_and_killed(stage: &Stage<'_>, object: &dyn Any) -> Verdict {
    let mutex = of(object);
    let held = mutex.lock().expect("lock");
    let victim = stage.victim("victim");
    victim.run_into_futex();
    let mut waiter = waiter(stage);
    drop(held);
    let mut third = stage.actor("third");
    third.says("holds");
    victim.returns();
    let inside = victim.step_until_asleep(stage.point);
    victim.kill();
    third.kill();
    let verdict = aftermath(mutex, &waiter.line());
    if inside { verdict } else { Verdict::Complete }
}
