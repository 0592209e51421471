//! Checks: one line a facility, with its verdict and figures; what did not work is told below.

use std::io::{self, Write};

use super::Paint;
use super::table::{Align, Cell, Table};
use crate::check::verdict::{Check, Checks, Unit, Verdict};

pub(super) fn print(out: &mut dyn Write, paint: Paint, checks: &Checks) -> io::Result<()> {
    let mut table = Table::new(&[
        ("FACILITY", Align::Left),
        ("", Align::Left),
        ("VERDICT", Align::Left),
        ("P50", Align::Right),
        ("P99", Align::Right),
        ("RATE", Align::Right),
        ("VERIFIED", Align::Left),
    ]);
    for check in &checks.checks {
        let mut row = vec![
            check.scheme.into(),
            title(check).into(),
            verdict(paint, check.verdict),
        ];
        match (&check.figures, &check.why) {
            (Some(figures), _) => row.extend([
                time(figures.round_trip.percentile(50.0)).into(),
                time(figures.round_trip.percentile(99.0)).into(),
                rate(figures.rate_per_second, figures.rate_unit).into(),
                verified(check).into(),
            ]),
            // Below, in full: it would make the column too wide for all.
            (None, _) => row.extend(["–".into(), "–".into(), "–".into(), "–".into()]),
        }
        table.row(row);
    }
    table.print(out, paint)?;
    let count = |verdict| {
        checks
            .checks
            .iter()
            .filter(|check| check.verdict == verdict)
            .count()
    };
    for check in &checks.checks {
        if let Some(why) = &check.why {
            let painted = match check.verdict {
                Verdict::Fails => paint.bad("fails"),
                _ => paint.doubtful("not usable here"),
            };
            writeln!(out, "{}, {}: {painted}: {why}", check.scheme, title(check))?;
        }
    }
    writeln!(
        out,
        "{} work, {} fail, {} not usable here; {:.1} s",
        count(Verdict::Works),
        count(Verdict::Fails),
        count(Verdict::NotUsable),
        checks.took_seconds
    )
}

fn title(check: &Check) -> String {
    match check.flavour {
        Some(flavour) => format!("{}, {flavour}", check.title),
        None => check.title.into(),
    }
}

fn verdict(paint: Paint, verdict: Verdict) -> Cell {
    match verdict {
        Verdict::Works => Cell::painted("works", paint.good("works")),
        Verdict::Fails => Cell::painted("FAILS", paint.bad("FAILS")),
        Verdict::NotUsable => Cell::painted("not here", paint.doubtful("not here")),
    }
}

fn time(nanos: u64) -> String {
    let nanos = nanos as f64;
    match nanos {
        ..1e3 => format!("{nanos:.0} ns"),
        ..1e6 => format!("{:.1} µs", nanos / 1e3),
        _ => format!("{:.1} ms", nanos / 1e6),
    }
}

fn rate(per_second: f64, unit: Unit) -> String {
    let unit = match unit {
        Unit::Bytes => "B/s",
        Unit::Entries | Unit::Signals => "/s",
    };
    format!("{}{unit}", amount(per_second))
}

/// With a decimal prefix, as rates have it.
fn amount(number: f64) -> String {
    match number {
        ..1e3 => format!("{number:.0} "),
        ..1e6 => format!("{:.1} k", number / 1e3),
        ..1e9 => format!("{:.1} M", number / 1e6),
        _ => format!("{:.1} G", number / 1e9),
    }
}

fn verified(check: &Check) -> String {
    let Some(figures) = &check.figures else {
        return String::new();
    };
    match figures.rate_unit {
        Unit::Bytes => format!(
            "{}B in {} transfers",
            amount(figures.verified_bytes as f64),
            figures.verified_transfers
        ),
        Unit::Entries => format!("{} entries", figures.verified_transfers),
        Unit::Signals => format!("{} signals", figures.verified_transfers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_units() {
        assert_eq!(time(999), "999 ns");
        assert_eq!(time(1_500), "1.5 µs");
        assert_eq!(time(2_000_000), "2.0 ms");
        assert_eq!(rate(2.5e9, Unit::Bytes), "2.5 GB/s");
        assert_eq!(rate(12_345.0, Unit::Entries), "12.3 k/s");
        assert_eq!(rate(12.0, Unit::Signals), "12 /s");
    }
}
