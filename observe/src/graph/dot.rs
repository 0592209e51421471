//! Dot: the graph in the language of Graphviz.

use super::picture::{Kind, Picture};
use super::{Finding, WaitGraph};
use std::fmt::Write as _;

impl WaitGraph {
    /// The findings and those behind them for `dot(1)`; without findings, all waits for somebody who is here.
    ///
    /// Solid arrows must all be satisfied, dashed arrows are alternatives.
    #[must_use]
    pub fn to_dot(&self) -> String {
        self.findings_to_dot(&self.findings())
    }

    /// The same for some findings.
    #[must_use]
    pub fn findings_to_dot(&self, findings: &[Finding]) -> String {
        let picture = Picture::of(self, findings);
        let mut out = String::from(
            "digraph waits {\n  rankdir=LR;\n  node [fontname=\"sans-serif\", fontsize=11];\n",
        );
        let _ = writeln!(
            out,
            "  edge [fontname=\"sans-serif\", fontsize=9];\n  label={};",
            text(&[picture.title])
        );
        for (at, node) in picture.nodes.iter().enumerate() {
            let look = match node.kind {
                Kind::Core => {
                    r##"shape=box, style="filled,bold", fillcolor="#f8d0d0", color="#b00020""##
                }
                Kind::Behind => {
                    r##"shape=box, style=filled, fillcolor="#fff2cc", color="#b08000""##
                }
                Kind::Live => r##"shape=box, style=filled, fillcolor="#d5f0d5", color="#207020""##,
                Kind::Object => r##"shape=ellipse, color="#404060""##,
                Kind::World => r##"shape=plaintext, fontcolor="#606060""##,
            };
            let _ = writeln!(out, "  n{at} [label={}, {look}];", text(&node.label));
        }
        for arrow in &picture.arrows {
            let style = if arrow.any_of { ", style=dashed" } else { "" };
            let label = text(std::slice::from_ref(&arrow.label));
            let _ = writeln!(
                out,
                "  n{} -> n{} [label={label}{style}];",
                arrow.from, arrow.to
            );
        }
        out.push_str("}\n");
        out
    }
}

/// A quoted string of the DOT language.
fn text(lines: &[String]) -> String {
    let escaped = lines
        .iter()
        .map(|line| line.replace('\\', "\\\\").replace('"', "\\\""));
    format!("\"{}\"", escaped.collect::<Vec<_>>().join("\\n"))
}
