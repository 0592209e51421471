//! Markdown: the rows as a table for a page, with the machine they were measured on.

use std::fmt::Write as _;

use crate::row::{Must, Row};

/// Two tables: what has a bound, and what is there to be seen.
pub fn page(rows: &[Row]) -> String {
    let (shown, bound): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.must == Must::Shown);
    let mut page = format!("Measured on {}.\n\n", machine());
    if !bound.is_empty() {
        page += "| what | wigwag | against | theirs | ratio | must be | holds |\n|---|---|---|---|---|---|---|\n";
        for row in bound {
            let verdict = if row.holds() { "yes" } else { "**no**" };
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} | {verdict} |",
                row.name,
                quantity(row.ours, row.unit),
                row.peer,
                quantity(row.theirs, row.unit),
                digits(row.ratio),
                row.must.to_string().replace("<=", "≤").replace(">=", "≥"),
            );
        }
    }
    if !shown.is_empty() {
        page += "\nFor comparison, without a bound:\n\n| what | wigwag | against | theirs | ratio |\n|---|---|---|---|---|\n";
        for row in shown {
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} |",
                row.name,
                quantity(row.ours, row.unit),
                row.peer,
                quantity(row.theirs, row.unit),
                digits(row.ratio),
            );
        }
    }
    page
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
    fn a_row_with_a_bound_says_whether_it_holds_and_one_without_does_not() {
        let text = page(&[row(Must::AtMost(1.0)), row(Must::Shown)]);
        assert!(text.contains("| one way | 2.00 ns | pipe | 12.3 µs | 0.00 | ≤ 1 | yes |\n"));
        assert!(text.contains("| one way | 2.00 ns | pipe | 12.3 µs | 0.00 |\n"));
        assert!(page(&[row(Must::AtLeast(1.0))]).contains("**no**"));
    }
}
