//! A hang across facilities and processes, which no other tool sees.

use super::victim::{Flavour, Victim, path, text};
use wigwag_observe::graph::{Certainty, Verdict};

#[test]
fn a_pipe_a_mutex_and_a_file_lock_in_three_processes() {
    let lock = path("lock");
    let victim = Victim::c("kernel.c", Flavour::Glibc, &["mixed", text(&lock)])
        .cleaning(&[&lock])
        .settled(&["A", "B", "C"]);
    let report = victim.expect(
        Verdict::Deadlock,
        Certainty::Proven,
        &["flock", "mutex", "pipe"],
        &["A", "B", "C"],
        &[],
    );
    report
        .held_by(&victim, "A", &["B"])
        .held_by(&victim, "B", &["C"])
        .held_by(&victim, "C", &["A"]);
    let dot = report.graph.to_dot();
    assert!(dot.starts_with("digraph") && dot.contains("flock"), "{dot}");
    let svg = report.graph.to_svg();
    assert!(
        svg.starts_with("<svg") && svg.contains("deadlock of 3 threads (proven)"),
        "{svg}"
    );
    assert_eq!(report.finding.core.len(), 3);
}
