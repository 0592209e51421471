//! Facilities: the table of all, or one in full, or the Markdown of the README.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::Paint;
use super::table::{Align, Cell, Table};
use crate::command::facilities::{Facilities, Row};

/// All in tables, or each in full.
pub(super) fn print(out: &mut dyn Write, paint: Paint, report: &Facilities) -> io::Result<()> {
    if report.in_full {
        for (index, row) in report.facilities.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            in_full(out, paint, row)?;
        }
        return Ok(());
    }
    all(out, paint, &report.facilities)?;
    writeln!(out)?;
    limits(out, paint, &report.facilities)?;
    writeln!(out)?;
    guarantees(out, paint, &report.facilities)?;
    for row in report.facilities.iter().filter(|row| !row.usable) {
        let why = row.why_not.as_deref().unwrap_or("unknown");
        writeln!(
            out,
            "\n{} is {}: {why}",
            row.scheme,
            paint.bad("not usable here")
        )?;
    }
    Ok(())
}

fn all(out: &mut dyn Write, paint: Paint, rows: &[Row]) -> io::Result<()> {
    let mut table = Table::new(&[
        ("FAMILY", Align::Left),
        ("SCHEME", Align::Left),
        ("FACILITY", Align::Left),
        ("HERE", Align::Left),
        ("NAMED BY", Align::Left),
        ("LIVES UNTIL", Align::Left),
        ("CARRIES", Align::Left),
    ]);
    for row in rows {
        table.row([
            row.family.as_str().into(),
            row.scheme.into(),
            row.title.into(),
            here(paint, row),
            row.named_by.into(),
            row.lives_until.into(),
            row.carries.into(),
        ]);
    }
    table.print(out, paint)
}

fn here(paint: Paint, row: &Row) -> Cell {
    match row.usable {
        true => Cell::painted("usable", paint.good("usable")),
        false => Cell::painted("no", paint.bad("no")),
    }
}

/// Each limit once, with those it bounds.
fn limits(out: &mut dyn Write, paint: Paint, rows: &[Row]) -> io::Result<()> {
    let mut table = Table::new(&[
        ("LIMIT", Align::Left),
        ("HERE", Align::Right),
        ("BOUNDS", Align::Left),
        ("OF", Align::Left),
    ]);
    let mut bounded: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut order = Vec::new();
    for row in rows {
        for limit in &row.limits {
            if !bounded.contains_key(limit.name) {
                order.push(limit);
            }
            bounded.entry(limit.name).or_default().push(row.scheme);
        }
    }
    for limit in order {
        let of = &bounded[limit.name];
        table.row([
            limit.name.into(),
            value(limit.value).into(),
            limit.bounds.into(),
            if of.len() > 6 {
                format!("{} facilities", of.len())
            } else {
                of.join(" ")
            }
            .into(),
        ]);
    }
    table.print(out, paint)
}

fn value(value: Option<u64>) -> String {
    value.map_or_else(|| "unlimited".into(), |value| value.to_string())
}

fn guarantees(out: &mut dyn Write, paint: Paint, rows: &[Row]) -> io::Result<()> {
    let mut table = Table::new(&[
        ("PROMISES", Align::Left),
        ("DELIVERY", Align::Left),
        ("ACCEPTED MEANS", Align::Left),
        ("ORDER", Align::Left),
        ("TO", Align::Left),
        ("WHEN FULL", Align::Left),
        ("CONTENTS LAST", Align::Left),
        ("A KILLED PEER IS", Align::Left),
    ]);
    for row in rows {
        let promised = &row.guarantees;
        table.row([
            row.scheme.into(),
            promised.delivery.as_str().into(),
            promised.accepted.as_str().into(),
            promised.order.as_str().into(),
            promised.fan_out.as_str().into(),
            promised.overflow.as_str().into(),
            promised.durability.as_str().into(),
            promised.peer_death.as_str().into(),
        ]);
    }
    table.print(out, paint)
}

fn in_full(out: &mut dyn Write, paint: Paint, row: &Row) -> io::Result<()> {
    writeln!(
        out,
        "{}",
        paint.heading(&format!("{}: {}", row.scheme, row.title))
    )?;
    let usable = match &row.why_not {
        None => paint.good("usable here"),
        Some(why) => format!("{}: {why}", paint.bad("not usable here")),
    };
    writeln!(out, "  {usable}")?;
    let mut facts = Table::new(&[("", Align::Left), ("", Align::Left)]);
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    for (what, fact) in [
        ("  family", row.family.as_str()),
        ("  carries", row.carries),
        ("  named by", row.named_by),
        ("  lives until", row.lives_until),
        (
            "  one transfer ends at",
            row.boundary
                .as_deref()
                .unwrap_or("– (nothing is transferred)"),
        ),
        ("  direction", row.direction.as_deref().unwrap_or("–")),
        ("  reach", row.reach.as_str()),
        ("  pollable", yes(row.pollable)),
        ("  commands", &row.verbs.join(" ")),
        ("  manual", row.manual),
    ] {
        facts.row([what.into(), fact.into()]);
    }
    let promised = &row.guarantees;
    for (what, fact) in [
        ("  delivery", promised.delivery.as_str()),
        ("  accepted means", &promised.accepted),
        ("  order", &promised.order),
        ("  goes to", &promised.fan_out),
        ("  when full, it", &promised.overflow),
        ("  contents last", &promised.durability),
        ("  duplicates", yes(promised.duplicates)),
        ("  a killed peer is", &promised.peer_death),
    ] {
        facts.row([what.into(), fact.into()]);
    }
    facts.print(out, paint)?;
    if !row.flavours.is_empty() {
        let mut flavours = Table::new(&[
            ("  flavour", Align::Left),
            ("delivery", Align::Left),
            ("goes to", Align::Left),
            ("when full, it", Align::Left),
            ("duplicates", Align::Left),
        ]);
        for row in &row.flavours {
            let promised = &row.guarantees;
            flavours.row([
                format!("    {}", row.flavour).into(),
                promised.delivery.as_str().into(),
                promised.fan_out.as_str().into(),
                promised.overflow.as_str().into(),
                yes(promised.duplicates).into(),
            ]);
        }
        flavours.print(out, paint)?;
    }
    if !row.options.is_empty() {
        writeln!(
            out,
            "  options of an address, {}:NAME?KEY=VALUE",
            row.scheme
        )?;
        let mut options = Table::new(&[("", Align::Left), ("", Align::Left)]);
        for option in &row.options {
            let key = match option.value {
                "" => format!("    {}", option.key),
                value => format!("    {}={value}", option.key),
            };
            options.row([key.into(), option.what.into()]);
        }
        options.print(out, paint)?;
    }
    if !row.limits.is_empty() {
        writeln!(out, "  limits of this machine")?;
        let mut limits = Table::new(&[("", Align::Left), ("", Align::Right), ("", Align::Left)]);
        for limit in &row.limits {
            limits.row([
                format!("    {}", limit.name).into(),
                value(limit.value).into(),
                limit.bounds.into(),
            ]);
        }
        limits.print(out, paint)?;
    }
    Ok(())
}
