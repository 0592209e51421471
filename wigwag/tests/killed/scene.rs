//! Scene: an operation of a gate, who is present when it is killed, and what the survivors must find.
//!
//! A new gate adds a file with its scenes and one line each in `SCENES`.

use std::any::Any;
use std::sync::mpsc;

use super::step::{At, Victim};
use crate::process::{self, Child};

/// A list of scenes of one gate, whose parts `act` plays.
macro_rules! scenes {
    ($all:ident $gate:literal $($name:literal $sample:literal $make:ident $course:expr;)*) => {
        /// All of them.
        pub const $all: &[Scene] = &[$(Scene {
            gate: $gate,
            name: $name,
            sample: $sample,
            make: $make,
            act,
            course: $course,
        }),*];
    };
}
pub(crate) use scenes;

/// What the survivors found after one kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They went on, and the value was whole or said not to be.
    Good,
    /// They wait still.
    Stuck,
    /// They were given a torn value as a whole one.
    Torn,
    /// Something stays behind: a permit, a count, a name.
    Leaked,
    /// The operation was complete before the point.
    Complete,
}

/// One operation to be killed in.
pub struct Scene {
    /// The gate, as it is printed.
    pub gate: &'static str,
    /// The operation and who is present, as it is printed; unique among the scenes of the gate.
    pub name: &'static str,
    /// The most points that are tried unless all are asked for.
    pub sample: usize,
    /// Makes the shared object under a name that no other has; removed when the result is dropped.
    pub make: fn(&str) -> Box<dyn Any>,
    /// What a child does: the name of its part, and that of the object. The victim calls `step::begin` and `step::end`.
    pub act: fn(&str, &str),
    /// The course of one kill. It ends with the verdict.
    pub course: fn(&Stage<'_>, &dyn Any) -> Verdict,
}

/// One performance: the object, the point, and how to get actors.
pub struct Stage<'a> {
    scene: &'a Scene,
    object: &'a str,
    /// Instructions to execute before the kill.
    pub point: usize,
}

impl Stage<'_> {
    /// Starts an actor.
    pub fn actor(&self, part: &str) -> Child {
        self.actor_with(part, &[])
    }

    /// Starts an actor and tells it more.
    pub fn actor_with(&self, part: &str, more: &[(&str, &str)]) -> Child {
        let scene = format!("{} {}", self.scene.gate, self.scene.name);
        let told = [&[("SCENE", scene.as_str()), ("OBJECT", self.object)], more].concat();
        process::play("plays", part, &told).start()
    }

    /// Starts the victim and returns it stopped at the beginning of the operation.
    pub fn victim(&self, part: &str) -> Victim {
        Victim::of(self.actor(part))
    }

    /// Steps to the point and kills; whether the operation was still going on.
    pub fn kill(&self, victim: Victim) -> bool {
        let at = victim.step(self.point);
        victim.kill();
        at == At::Inside
    }
}

/// Ends the test when one point takes longer than anything may, so that it can never hang.
struct Watchdog(#[allow(dead_code)] mpsc::Sender<()>);

impl Watchdog {
    fn over(what: String) -> Self {
        let (over, heard) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if heard.recv_timeout(2 * process::PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("killed: {what}: hangs");
                std::process::abort();
            }
        });
        Watchdog(over)
    }
}

/// A full sweep kills after every instruction of an operation that has fewer than this, and spreads some thousand kills over a
/// longer one, elsewhere in each run: a kill after n instructions costs n steps, so all of them cost the square.
const LONG: usize = 1024;

/// All that was found in one scene.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub points: usize,
    pub stuck: usize,
    pub torn: usize,
    pub leaked: usize,
}

impl Scene {
    /// Plays the part that this process was started for.
    pub fn play<'a>(mut scenes: impl Iterator<Item = &'a Scene>) {
        let wanted = process::argument("SCENE");
        let scene = scenes.find(|scene| format!("{} {}", scene.gate, scene.name) == wanted);
        let part = process::part().expect("a part");
        // A long look is the same steps again and again: a few of them are enough to be killed in.
        wigwag::gate::watch::set_spin(4);
        (scene.expect("a scene").act)(&part, &process::argument("OBJECT"));
    }

    fn at(&self, point: usize) -> Verdict {
        let _watchdog = Watchdog::over(format!("{} {}, point {point}", self.gate, self.name));
        let object = process::unique("killed");
        let made = (self.make)(&object);
        (self.course)(
            &Stage {
                scene: self,
                object: &object,
                point,
            },
            &*made,
        )
    }

    /// Kills at every point, or at a sample of them, and prints the line.
    pub fn run(&self) -> Tally {
        self.run_from(std::process::id() as usize)
    }

    /// The same with another sample.
    pub fn run_from(&self, offset: usize) -> Tally {
        let full = std::env::var_os("WIGWAG_FULL").is_some();
        let mut tally = Tally::default();
        let mut count = |verdict| {
            match verdict {
                Verdict::Complete => return false,
                Verdict::Good => {}
                Verdict::Stuck => tally.stuck += 1,
                Verdict::Torn => tally.torn += 1,
                Verdict::Leaked => tally.leaked += 1,
            }
            tally.points += 1;
            true
        };
        // Find the length by doubling, then spread the sample over it, elsewhere in each run.
        let mut length = 64;
        while count(self.at(length)) {
            length *= 2;
        }
        let stride = if full {
            length / LONG
        } else {
            // Of most operations that is every tenth to thousandth instruction, others in each run.
            length / (self.sample / 5).max(6)
        };
        let stride = stride.max(1);
        for point in (offset % stride..length).step_by(stride) {
            if !count(self.at(point)) {
                break;
            }
        }
        let Tally {
            points,
            stuck,
            torn,
            leaked,
        } = tally;
        println!(
            "killed: {} {}: {points} points, {stuck} stuck, {torn} torn, {leaked} leaked",
            self.gate, self.name,
        );
        tally
    }
}
