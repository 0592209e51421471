//! Kills: whatever instant the command is killed at, nothing is left that the next `create` or `rm` cannot deal with.
//!
//! A short run for each kind of object, 3,000 kills of each with `WIGWAG_FULL=1`. `WIGWAG_KILLS=500` makes it so many, and
//! the names of the tests choose: `WIGWAG_KILLS=500 cargo test --test kills broadcast -- --nocapture`.
#![allow(clippy::unwrap_used)] // what tests share is test too

mod command;
#[path = "../../wigwag/tests/process/mod.rs"]
mod process;

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use command::{Object, Running, eventually, wigwag};
use process::unique;
use rustix::process::Signal;

/// Kills in an ordinary run.
const FEW: u64 = 40;
/// Kills when there is time.
const MANY: u64 = 3000;
/// After so many it is looked at what is left.
const LOOK: u64 = 500;
/// Names that are used at a time, and processes that run at a time.
const NAMES: u64 = 3;
const RUNNING: usize = 4;

#[test]
fn one_to_one() {
    nothing_is_left_of("channel", "?flavour=one-to-one");
}

#[test]
fn many_to_many() {
    nothing_is_left_of("channel", "?flavour=many-to-many");
}

#[test]
fn broadcast() {
    nothing_is_left_of("channel", "?flavour=broadcast");
}

#[test]
fn latest() {
    nothing_is_left_of("channel", "?flavour=latest");
}

#[test]
fn mailbox() {
    nothing_is_left_of("mailbox", "");
}

fn nothing_is_left_of(scheme: &str, options: &str) {
    let wanted = match std::env::var("WIGWAG_KILLS") {
        Ok(kills) => kills.parse().unwrap(),
        Err(_) if std::env::var_os("WIGWAG_FULL").is_some() => MANY,
        Err(_) => FEW,
    };
    let mut random = Random::new();
    let (mut kills, mut left) = (0, 0);
    while kills < wanted {
        let stem = unique("kills");
        let objects: Vec<Object> = (0..NAMES)
            .map(|n| Object::later(format!("{scheme}:/{stem}-{n}")))
            .collect();
        kills += killed(&objects, options, LOOK.min(wanted - kills), &mut random);
        left += files(&stem);
        let leaked = || {
            let told = wigwag(["rm", "--leaked", "--dry-run"]).says();
            told.lines().filter(|line| line.contains(&stem)).count()
        };
        // Who looks at all objects, as other tests do, has each open for a moment.
        eventually("each that is left is found", || leaked() == files(&stem));
        for (number, object) in objects.iter().enumerate() {
            if number % 2 == 0 {
                goes_on(object, options);
            }
            eventually("it is removed", || {
                let removed = wigwag(["rm", object]).ends();
                removed.status.success() || removed.err.contains("no such file")
            });
        }
        assert_eq!(files(&stem), 0);
        let listed = wigwag(["ls", "--name", &format!("*{stem}*")]).says();
        assert!(!listed.contains(&stem), "{listed}");
    }
    eprintln!("{scheme}:{options}: {kills} kills; what was left {left} times is gone");
}

/// Kills so many that live, each at any moment, also while they make the object.
fn killed(objects: &[Object], options: &str, wanted: u64, random: &mut Random) -> u64 {
    let mut running = VecDeque::<Running>::new();
    let mut kills = 0;
    while kills < wanted {
        let object = &objects[random.below(NAMES) as usize];
        let address = format!("{}{options}", &**object);
        let run = match random.below(4) {
            0 => wigwag(["create", &address]),
            1 => wigwag(["send", "--lines", &address]).input("line\n".repeat(20_000)),
            2 => wigwag(["send", &address, "one", "two"]),
            _ => wigwag(["recv", "--follow", &address]),
        };
        running.push_back(run.start());
        std::thread::sleep(Duration::from_micros(random.below(12_000)));
        if running.len() > RUNNING {
            let victim = random.below(running.len() as u64) as usize;
            kills += running.remove(victim).map_or(0, kill);
        }
    }
    running.into_iter().for_each(|victim| {
        kill(victim);
    });
    kills
}

/// Whether it was alive when it was killed: 1 or 0.
fn kill(victim: Running) -> u64 {
    victim.signal(Signal::KILL);
    (victim.ends().status.signal() == Some(Signal::KILL.as_raw())).into()
}

/// What is left is whole, and goes on as it is; what is unfinished is made.
fn goes_on(object: &Object, options: &str) {
    let address = format!("{}{options}", &**object);
    wigwag(["create", "--exist-ok", &address]).ends().code(0);
    // What lies there.
    wigwag(["recv", "--nonblock", "-n", "1000000", object]).ends();
    wigwag(["send", "--nonblock", object, "after all"])
        .ends()
        .code(0);
    let newest = match options.contains("broadcast") {
        true => format!("{}?last=1", &**object),
        false => object.to_string(),
    };
    let received = wigwag(["recv", "--nonblock", &newest]).says();
    assert_eq!(received, "after all\n");
}

fn files(stem: &str) -> usize {
    let files = std::fs::read_dir("/dev/shm").unwrap();
    let names = files.map(|file| file.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().contains(stem))
        .count()
}

/// Xorshift: another run each time.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Random(88_172_645_463_325_252 ^ u64::from(std::process::id()))
    }

    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}
