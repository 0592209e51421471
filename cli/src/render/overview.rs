//! Overview: counts by facility, what is wrong, and where to go from here.

use std::io::{self, Write};

use super::table::{Align, Cell, Table};
use super::{Paint, count};
use crate::command::overview::Overview;

pub(super) fn print(out: &mut dyn Write, paint: Paint, overview: &Overview) -> io::Result<()> {
    let mut table = Table::new(&[
        ("FAMILY", Align::Left),
        ("SCHEME", Align::Left),
        ("OBJECTS", Align::Right),
        ("NAMED", Align::Right),
        ("PROCESSES", Align::Right),
        ("LEAKED", Align::Right),
        ("FACILITY", Align::Left),
    ]);
    for count in &overview.facilities {
        let leaks = number(count.leaks);
        let painted = if count.leaks > 0 {
            paint.doubtful(&leaks)
        } else {
            leaks.clone()
        };
        table.row([
            count.family.as_str().into(),
            count.scheme.into(),
            number(count.objects).into(),
            number(count.named).into(),
            number(count.processes).into(),
            Cell::painted(&leaks, painted),
            count.title.into(),
        ]);
    }
    table.print(out, paint)?;
    writeln!(
        out,
        "\n{}; {} full, {} to be used by nobody",
        count(overview.processes, "process", "processes"),
        count(overview.full, "object is", "objects are"),
        count(overview.leaks, "seems", "seem")
    )?;
    let stuck = match (overview.deadlocks, overview.dead_ends) {
        (0, 0) => paint.good("no deadlock"),
        (deadlocks, dead_ends) => paint.bad(&format!(
            "{}, {} that nobody is left to end: wigwag deadlocks",
            count(deadlocks, "deadlock", "deadlocks"),
            count(dead_ends, "wait", "waits")
        )),
    };
    writeln!(
        out,
        "{} threads wait for somebody here; {stuck}",
        overview.waiting
    )?;
    if overview.unseen_processes > 0 {
        let processes = count(overview.unseen_processes, "process", "processes");
        let words = format!("{processes} could not be looked into");
        writeln!(out, "{}", paint.faint(&words))?;
    }
    writeln!(out)?;
    let mut hints = Table::new(&[("", Align::Left), ("", Align::Left)]);
    for (command, what) in [
        ("wigwag ls", "the objects one by one"),
        (
            "wigwag facilities",
            "what there is, its limits here, what it promises",
        ),
        ("wigwag check", "whether it works here, and how fast"),
        (
            "wigwag why PID",
            "what a process waits for, down to the root",
        ),
        ("wigwag --help", "all commands"),
    ] {
        hints.row([command.into(), what.into()]);
    }
    hints.print(out, paint)
}

/// Nothing is easier to overlook than a zero.
fn number(number: usize) -> String {
    if number == 0 {
        "·".into()
    } else {
        number.to_string()
    }
}
