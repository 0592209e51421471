//! Table: columns as wide as their widest cell, two spaces apart, the last one open to the right.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::Paint;

/// How a cell stands in its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under a heading.
pub(crate) struct Table {
    headings: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

/// Text, and how it looks when painted.
pub(crate) struct Cell {
    width: usize,
    painted: String,
}

impl Cell {
    /// A cell in colour: `plain` gives the width.
    pub(crate) fn painted(plain: &str, painted: String) -> Self {
        Cell {
            width: plain.width(),
            painted,
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    /// One line, whatever a peer has put into the name of its object.
    fn from(text: T) -> Self {
        let line: String = text
            .as_ref()
            .chars()
            .flat_map(|c| {
                let escaped = c.is_control().then(|| c.escape_default());
                let plain = (!c.is_control()).then_some(c);
                escaped.into_iter().flatten().chain(plain)
            })
            .collect();
        Cell {
            width: line.width(),
            painted: line,
        }
    }
}

impl Table {
    pub(crate) fn new(headings: &[(&'static str, Align)]) -> Self {
        Table {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn print(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        let widths: Vec<usize> = self
            .headings
            .iter()
            .enumerate()
            .map(|(column, (heading, _))| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| cell.width)
                    .fold(heading.width(), usize::max)
            })
            .collect();
        let headings: Vec<Cell> = self
            .headings
            .iter()
            .map(|(heading, _)| Cell::painted(heading, paint.heading(heading)))
            .collect();
        // A list of facts has no headings.
        let headed = self.headings.iter().any(|(heading, _)| !heading.is_empty());
        let headings = headed.then_some(&headings);
        for row in headings.into_iter().chain(&self.rows) {
            let mut line = String::new();
            let last = row.len().saturating_sub(1);
            for (column, cell) in row.iter().enumerate() {
                let space = " ".repeat(widths[column].saturating_sub(cell.width));
                match self.headings[column].1 {
                    Align::Right => line.extend([space.as_str(), &cell.painted]),
                    Align::Left if column == last => line.push_str(&cell.painted),
                    Align::Left => line.extend([cell.painted.as_str(), &space]),
                }
                if column != last {
                    line.push_str("  ");
                }
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_also_with_wide_letters_and_colour() {
        let mut table = Table::new(&[
            ("NAME", Align::Left),
            ("N", Align::Right),
            ("W", Align::Left),
        ]);
        table.row(["日本".into(), "10".into(), "x".into()]);
        table.row([
            Cell::painted("a", "\x1b[1ma\x1b[0m".into()),
            "1".into(),
            "y\nz".into(),
        ]);
        let mut out = Vec::new();
        table.print(&mut out, Paint::new(false)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "NAME   N  W\n日本  10  x\n\x1b[1ma\x1b[0m      1  y\\nz\n"
        );
    }
}
