//! Markdown: the rows that have a bound as a table for a page, with the machine they were measured on.
//!
//! In a file that has the marks, what is between them is replaced: `<!-- peers -->` and `<!-- /peers -->`, each on a line of its own.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::row::{Must, Row};

const MARKS: [&str; 2] = ["<!-- peers -->\n", "<!-- /peers -->"];

/// Writes the table between the marks of a file, or a file of it.
pub fn publish(rows: &[Row], path: &Path) -> io::Result<()> {
    let table = table(rows);
    let page = match std::fs::read_to_string(path) {
        Ok(page) => between_marks(&page, &table).unwrap_or(table),
        Err(error) if error.kind() == io::ErrorKind::NotFound => table,
        Err(error) => return Err(error),
    };
    std::fs::write(path, page)
}

/// The page with the table in place of what is between its marks.
fn between_marks(page: &str, table: &str) -> Option<String> {
    let [from, to] = MARKS;
    let (before, rest) = page.split_once(from)?;
    let (_, after) = rest.split_once(to)?;
    Some(format!("{before}{from}{table}{to}{after}"))
}

fn table(rows: &[Row]) -> String {
    let mut table = "| what | wigwag | against | theirs | ratio | must be | holds |\n".to_owned();
    table += "|---|---|---|---|---|---|---|\n";
    for row in rows.iter().filter(|row| row.must != Must::Shown) {
        let verdict = if row.holds() { "yes" } else { "**no**" };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {verdict} |",
            row.name,
            quantity(row.ours, row.unit),
            row.peer,
            quantity(row.theirs, row.unit),
            digits(row.ratio),
            row.must.to_string().replace("<=", "≤").replace(">=", "≥"),
        );
    }
    let _ = writeln!(table, "\nMedians; {}.", machine());
    table
}

/// A number with its unit, or a larger one of its kind.
pub fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "ns" if value >= 1e6 => quantity(value / 1e6, "ms"),
        "ns" if value >= 1e4 => quantity(value / 1e3, "µs"),
        "µs" if value >= 1e4 => quantity(value / 1e3, "ms"),
        _ => format!("{} {unit}", digits(value)),
    }
}

/// Three digits that mean something.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// The processor, its cores, the kernel.
pub fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = (cpus.lines())
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("a processor without a name", |(_, model)| model);
    let virtual_machine = cpus
        .lines()
        .any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    format!(
        "{model}, {cores} cores{}, Linux {kernel}",
        if virtual_machine {
            " of a virtual machine"
        } else {
            ""
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(must: Must) -> Row {
        Row {
            name: "one way".into(),
            peer: "pipe".into(),
            ours: 2.0,
            theirs: 12_345.0,
            unit: "ns",
            ratio: 0.000_162,
            must,
        }
    }

    #[test]
    fn only_rows_with_a_bound_are_in_the_table() {
        let text = table(&[row(Must::AtMost(1.0)), row(Must::Shown)]);
        let line = "| one way | 2.00 ns | pipe | 12.3 µs | 0.00 | ≤ 1 | yes |\n";
        assert_eq!(text.matches("pipe").count(), 1, "{text}");
        assert!(text.contains(line), "{text}");
        assert!(table(&[row(Must::AtLeast(1.0))]).contains("**no**"));
    }

    #[test]
    fn what_is_outside_the_marks_stays() {
        let page = "a\n<!-- peers -->\nold\n<!-- /peers -->\nb";
        let new = between_marks(page, "new\n").unwrap();
        assert_eq!(new, "a\n<!-- peers -->\nnew\n<!-- /peers -->\nb");
        assert_eq!(between_marks("no marks", "new"), None);
    }
}
