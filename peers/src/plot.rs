//! Plot: the rows as a picture, a panel for each thing that is compared, on a logarithmic scale.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::markdown::{machine, quantity};
use crate::row::{Must, Row};

const WIDTH: i32 = 1240;
const COLUMNS: i32 = 2;
const MARGIN: i32 = 20;
const LINE: i32 = 20;
/// Room for the names, and for the figures at the right.
const NAMES: i32 = 190;
const FIGURES: i32 = 80;

const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(228, 230, 234);
const OURS: RGBColor = RGBColor(214, 77, 38);
const THEIRS: RGBColor = RGBColor(120, 136, 160);

/// All rows about one thing.
struct Panel<'a> {
    name: &'a str,
    unit: &'static str,
    /// Who, how much, and whether it is us.
    bars: Vec<(&'a str, f64, bool)>,
}

impl Panel<'_> {
    fn height(&self) -> i32 {
        LINE * (self.bars.len() as i32 + 2)
    }
}

/// One panel for each name, in the order of the rows.
fn panels(rows: &[Row]) -> Vec<Panel<'_>> {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for row in rows {
        if panels.last().is_none_or(|panel| panel.name != row.name) {
            panels.push(Panel {
                name: &row.name,
                unit: row.unit,
                bars: vec![("wigwag", row.ours, true)],
            });
        }
        if let Some(panel) = panels.last_mut() {
            panel.bars.push((&row.peer, row.theirs, false));
        }
    }
    panels
}

/// Writes the picture as SVG.
pub fn draw(rows: &[Row], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let panels = panels(rows);
    // Down the left column as long as it is not the longer one.
    let total: i32 = panels.iter().map(Panel::height).sum();
    let mut places = Vec::new();
    let (mut column, mut y) = (0, 2 * LINE + MARGIN);
    let mut bottom = y;
    for panel in &panels {
        if column + 1 < COLUMNS && y - LINE > total / COLUMNS {
            (column, y) = (column + 1, 2 * LINE + MARGIN);
        }
        places.push((column, y));
        y += panel.height();
        bottom = bottom.max(y);
    }
    let size = (WIDTH as u32, (bottom + MARGIN) as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let ink = |size: i32| ("sans-serif", size).into_font().color(&INK);
    let title = format!("{}. Logarithmic scales; medians.", machine());
    root.draw(&Text::new(title, (MARGIN, MARGIN), ink(14)))?;
    let width = (WIDTH - MARGIN) / COLUMNS - MARGIN;
    for (panel, (column, top)) in panels.iter().zip(places) {
        let left = MARGIN + column * (width + MARGIN);
        let more = (rows.iter())
            .find(|row| row.name == panel.name && row.must != Must::Shown)
            .is_some_and(|row| matches!(row.must, Must::AtLeast(_)));
        let heading = format!(
            "{} ({}, {} is better)",
            panel.name,
            panel.unit,
            if more { "more" } else { "less" }
        );
        root.draw(&Text::new(
            heading,
            (left, top),
            ink(14).transform(FontTransform::None),
        ))?;
        draw_panel(&root, panel, (left, top + LINE), width)?;
    }
    root.present()?;
    Ok(())
}

fn draw_panel(
    root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    panel: &Panel<'_>,
    (left, top): (i32, i32),
    width: i32,
) -> Result<(), Box<dyn std::error::Error>> {
    let values = || panel.bars.iter().map(|(_, value, _)| value.max(1e-9));
    let low = values().fold(f64::INFINITY, f64::min).log10().floor() as i32;
    let high = values().fold(0.0, f64::max).log10().ceil() as i32;
    let (low, high) = (low, high.max(low + 1));
    let (start, length) = (left + NAMES, width - NAMES - FIGURES);
    let x = |value: f64| {
        let part = (value.max(1e-9).log10() - f64::from(low)) / f64::from(high - low);
        start + (part * f64::from(length)) as i32
    };
    let bottom = top + LINE * panel.bars.len() as i32;
    for decade in low..=high {
        let at = x(10_f64.powi(decade));
        root.draw(&PathElement::new([(at, top), (at, bottom)], FAINT))?;
    }
    let right = Pos::new(HPos::Right, VPos::Center);
    let center = Pos::new(HPos::Left, VPos::Center);
    let font = || ("sans-serif", 12).into_font().color(&INK);
    for (line, (who, value, ours)) in panel.bars.iter().enumerate() {
        let middle = top + LINE * line as i32 + LINE / 2;
        let color = if *ours { OURS } else { THEIRS };
        root.draw(&Text::new(
            (*who).to_owned(),
            (start - 8, middle),
            font().pos(right),
        ))?;
        let bar = [(start, middle - 5), (x(*value), middle + 5)];
        root.draw(&Rectangle::new(bar, color.filled()))?;
        let figure = quantity(*value, panel.unit);
        root.draw(&Text::new(
            figure,
            (x(*value) + 6, middle),
            font().pos(center),
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_every_name_and_ours_once_a_panel() {
        let row = |name: &str, peer: &str| Row {
            name: name.into(),
            peer: peer.into(),
            ours: 1.5,
            theirs: 1234.0,
            unit: "ns",
            ratio: 0.5,
            must: Must::AtMost(1.0),
        };
        let rows = [row("a", "x"), row("a", "y"), row("b", "x")];
        let path = std::env::temp_dir().join(format!("peers-plot-{}.svg", std::process::id()));
        draw(&rows, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.matches("wigwag").count(), 2, "{text}");
        assert_eq!(text.matches("1234 ns").count(), 3, "{text}");
        assert!(text.contains("a (ns, less is better)"), "{text}");
    }
}
