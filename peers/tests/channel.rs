//! Channel suite: that it runs, short, between real processes; what it finds is not judged here.

use std::process::{Command, Stdio};

#[test]
fn every_contestant_of_a_contest_has_a_figure_and_nothing_is_left() {
    let run = Command::new(env!("CARGO_BIN_EXE_peers"))
        .args([
            "channel",
            "--rounds",
            "5",
            "--json",
            "asleep, one core",
            "set-up",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stem = format!("peers-{}", run.id());
    let run = run.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    // 1: some bound does not hold, as may be in a build without optimisation.
    assert!(matches!(run.status.code(), Some(0 | 1)), "{errors}");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&run.stdout).unwrap();
    for peer in [
        "futex, bare",
        "iceoryx2 events",
        "pipe",
        "std::sync::mpsc, threads",
        "ipc-channel",
    ] {
        assert!(
            rows.iter().any(|row| row["peer"] == peer),
            "no {peer}: {errors}"
        );
    }
    for row in &rows {
        let figure = |name: &str| row[name].as_f64().unwrap_or_default();
        assert!(
            figure("ours") > 0.0 && figure("theirs") > 0.0,
            "{row}: {errors}"
        );
        assert!(figure("ratio") > 0.0, "{row}");
    }
    for directory in ["/dev/shm".into(), std::env::temp_dir()] {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let left = entry.file_name().to_string_lossy().contains(&stem);
            assert!(!left, "{} is left", entry.path().display());
        }
    }
}
