//! Svg: the graph as a picture that a browser shows, without any other program.
//!
//! Columns from left to right in the order of the waiting: a thread, what it waits for, who holds that. Arrows that close
//! a cycle run back below.

use super::picture::{Kind, Picture};
use super::{Finding, WaitGraph};
use std::fmt::Write as _;

const BOX: (f64, f64) = (236.0, 46.0);
const STEP: (f64, f64) = (372.0, 78.0);
const MARGIN: (f64, f64) = (24.0, 64.0);

impl WaitGraph {
    /// The findings and those behind them as an SVG picture; without findings, all waits for somebody who is here.
    #[must_use]
    pub fn to_svg(&self) -> String {
        self.findings_to_svg(&self.findings())
    }

    /// The same for some findings.
    #[must_use]
    pub fn findings_to_svg(&self, findings: &[Finding]) -> String {
        draw(&Picture::of(self, findings))
    }
}

/// Where the boxes are.
struct Places {
    column: Vec<usize>,
    row: Vec<usize>,
    /// Of each node, where its connected part begins, and where the arrows that run back have their lanes.
    top: Vec<f64>,
    lanes: Vec<f64>,
    size: (f64, f64),
}

/// Space between two lanes.
const LANE: f64 = 14.0;

/// Connected parts stand below each other, so that no arrow of one runs through another.
fn places(picture: &Picture) -> Places {
    let column = columns(picture);
    let part = parts(picture);
    let count = picture.nodes.len();
    let mut row = vec![0; count];
    let (mut top, mut lanes) = (vec![0.0; count], vec![0.0; count]);
    let mut y = MARGIN.1;
    let mut order: Vec<usize> = part.clone();
    order.sort_unstable();
    order.dedup();
    for one in order {
        let members: Vec<usize> = (0..count).filter(|&node| part[node] == one).collect();
        rows(picture, &column, &members, &mut row);
        let deep = members.iter().map(|&node| row[node]).max().unwrap_or(0) as f64 + 1.0;
        let back = picture
            .arrows
            .iter()
            .filter(|arrow| part[arrow.from] == one && column[arrow.to] <= column[arrow.from]);
        let back = back.count() as f64;
        for &node in &members {
            top[node] = y;
            lanes[node] = y + deep * STEP.1 - 22.0;
        }
        y += deep * STEP.1 + back * LANE + 16.0;
    }
    let right = column.iter().max().copied().unwrap_or(0) as f64;
    Places {
        column,
        row,
        top,
        lanes,
        size: (2.0 * MARGIN.0 + right * STEP.0 + BOX.0 + 40.0, y + 12.0),
    }
}

/// For each node the smallest node it is connected with.
fn parts(picture: &Picture) -> Vec<usize> {
    let mut part: Vec<usize> = (0..picture.nodes.len()).collect();
    loop {
        let mut changed = false;
        for arrow in &picture.arrows {
            let least = part[arrow.from].min(part[arrow.to]);
            for node in [arrow.from, arrow.to] {
                changed |= std::mem::replace(&mut part[node], least) != least;
            }
        }
        if !changed {
            return part;
        }
    }
}

fn draw(picture: &Picture) -> String {
    let places = places(picture);
    let Places {
        column,
        row,
        top,
        lanes,
        size: (width, height),
    } = &places;
    let place = |node: usize| {
        (
            MARGIN.0 + column[node] as f64 * STEP.0,
            top[node] + row[node] as f64 * STEP.1,
        )
    };

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<title>{0}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto-start-reverse\">\
         <path d=\"M0 0 10 5 0 10z\" fill=\"#445\"/></marker></defs>\n<text x=\"{1}\" y=\"34\" font-size=\"17\" font-weight=\"600\" fill=\"#223\">{0}</text>\n",
        escaped(&picture.title),
        MARGIN.0,
    );
    let mut taken: std::collections::HashMap<u64, f64> = std::collections::HashMap::new();
    for arrow in &picture.arrows {
        let (from, to) = (place(arrow.from), place(arrow.to));
        let dash = if arrow.any_of {
            " stroke-dasharray=\"5 4\""
        } else {
            ""
        };
        let (path, at) = if column[arrow.to] > column[arrow.from] {
            let (x1, y1, x2, y2) = (
                from.0 + BOX.0,
                from.1 + BOX.1 / 2.0,
                to.0,
                to.1 + BOX.1 / 2.0,
            );
            let bend = ((x2 - x1) / 2.0).max(40.0);
            let path = format!(
                "M{x1:.0} {y1:.0}C{:.0} {y1:.0} {:.0} {y2:.0} {x2:.0} {y2:.0}",
                x1 + bend,
                x2 - bend
            );
            (path, ((x1 + x2) / 2.0, (y1 + y2) / 2.0 - 5.0))
        } else {
            // Round below everything, each in a lane of its own.
            let lane = taken.entry(lanes[arrow.from].to_bits()).or_insert(0.0);
            *lane += 1.0;
            let deep = lanes[arrow.from] + *lane * LANE;
            let (x1, y1) = (from.0 + BOX.0 * 0.6, from.1 + BOX.1);
            let (x2, y2) = (to.0 + BOX.0 * 0.4, to.1 + BOX.1);
            let path = format!(
                "M{x1:.0} {y1:.0}C{x1:.0} {deep:.0} {x1:.0} {deep:.0} {:.0} {deep:.0}L{:.0} {deep:.0}C{x2:.0} {deep:.0} {x2:.0} {deep:.0} {x2:.0} {y2:.0}",
                x1 - 30.0,
                x2 + 30.0
            );
            (path, ((x1 + x2) / 2.0, deep - 4.0))
        };
        let _ = writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"#445\" stroke-width=\"1.4\" marker-end=\"url(#tip)\"{dash}/>"
        );
        if !arrow.label.is_empty() {
            let _ = writeln!(
                out,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\" font-size=\"10\" fill=\"#556\" stroke=\"#fff\" stroke-width=\"3\" paint-order=\"stroke\">{}</text>",
                at.0,
                at.1,
                escaped(&arrow.label)
            );
        }
    }
    for (at, node) in picture.nodes.iter().enumerate() {
        let (x, y) = place(at);
        let (fill, line, round) = match node.kind {
            Kind::Core => ("#fbdcdc", "#b00020", 4),
            Kind::Behind => ("#fff2cc", "#b08000", 4),
            Kind::Live => ("#dcf3dc", "#207020", 4),
            Kind::Object => ("#eef1fb", "#404a80", 23),
            Kind::World => ("#f4f4f4", "#999", 23),
        };
        let _ = writeln!(
            out,
            "<rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{}\" height=\"{}\" rx=\"{round}\" fill=\"{fill}\" stroke=\"{line}\" stroke-width=\"1.5\"/>",
            BOX.0, BOX.1
        );
        let middle = x + BOX.0 / 2.0;
        for (line_at, line) in node.label.iter().enumerate() {
            let y = y + if node.label.len() == 1 {
                27.0
            } else {
                19.0 + 17.0 * line_at as f64
            };
            let weight = if line_at == 0 && node.label.len() > 1 {
                600
            } else {
                400
            };
            let line = super::picture::shortened(line, 32);
            let _ = writeln!(
                out,
                "<text x=\"{middle:.0}\" y=\"{y:.0}\" text-anchor=\"middle\" font-weight=\"{weight}\" fill=\"#223\">{}</text>",
                escaped(&line)
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

/// The column of each node: its distance along the arrows from where the waiting begins; arrows that close a cycle do not count.
fn columns(picture: &Picture) -> Vec<usize> {
    let count = picture.nodes.len();
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut arrives = vec![0usize; count];
    for arrow in &picture.arrows {
        next[arrow.from].push(arrow.to);
        arrives[arrow.to] += 1;
    }
    let mut column = vec![usize::MAX; count];
    let mut begin: Vec<usize> = (0..count).filter(|&node| arrives[node] == 0).collect();
    begin.extend((0..count).filter(|&node| arrives[node] != 0));
    let mut work = std::collections::VecDeque::new();
    for start in begin {
        if column[start] != usize::MAX {
            continue;
        }
        column[start] = 0;
        work.push_back(start);
        while let Some(node) = work.pop_front() {
            for &to in &next[node] {
                if column[to] == usize::MAX {
                    column[to] = column[node] + 1;
                    work.push_back(to);
                }
            }
        }
    }
    column
}

/// The row of each node in its column: near those whose arrows reach it.
fn rows(picture: &Picture, column: &[usize], members: &[usize], row: &mut [usize]) {
    let deepest = members.iter().map(|&node| column[node]).max().unwrap_or(0);
    for depth in 0..=deepest {
        let mut here: Vec<usize> = members
            .iter()
            .copied()
            .filter(|&node| column[node] == depth)
            .collect();
        let pull = |node: usize| {
            let arrives = picture
                .arrows
                .iter()
                .filter(|arrow| arrow.to == node && column[arrow.from] < depth);
            let from: Vec<usize> = arrives.map(|arrow| row[arrow.from]).collect();
            if from.is_empty() {
                usize::MAX
            } else {
                from.iter().sum::<usize>() * 16 / from.len()
            }
        };
        here.sort_by_cached_key(|&node| (pull(node), node));
        for (at, node) in here.into_iter().enumerate() {
            row[node] = at;
        }
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
