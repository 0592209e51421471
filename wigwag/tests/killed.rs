//! Killed: every operation of every gate is killed after any of its instructions, and the survivors go on.
//!
//! `cargo test --release -p wigwag --test killed -- --nocapture` prints one line a scene; it tries a sample
//! of the points, and all of them when `WIGWAG_FULL` is set. The same harness finds the
//! known faults of glibc's robust mutex and condition variable, which shows that it can fail.

mod process;

mod killed {
    pub mod mutex;
    pub mod scene;
    pub mod step;
}

use killed::scene::{Scene, Tally};
use killed::mutex;

/// Every scene of every gate.
const SCENES: &[&[Scene]] = &[mutex::SCENES];

/// The parts of the children.
#[test]
fn plays() {
    if process::part().is_some() {
        Scene::play(SCENES.iter().copied().flatten());
    }
}

/// Runs the scenes of a gate that must bear all of it.
fn survives(scenes: &[Scene]) {
    let faults: Vec<_> = scenes
        .iter()
        .map(|scene| (scene.name, scene.run()))
        .filter(|(_, Tally { points, stuck, torn, leaked })| *points == 0 || stuck + torn + leaked > 0)
        .collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn the_mutex_survives() {
    survives(mutex::SCENES);
}
