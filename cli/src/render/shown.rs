//! Shown: all facts about objects, one a line; and leaks, one object a line.

use std::io::{self, Write};

use wigwag_observe::Object;
use wigwag_observe::object::LeakCertainty;

use super::listing::{address, fill, owner};
use super::table::{Align, Table};
use super::{Paint, count};
use crate::command::leaks::Leaks;
use crate::command::show::Shown;

pub(super) fn print(out: &mut dyn Write, paint: Paint, shown: &Shown) -> io::Result<()> {
    if let Some(process) = &shown.process {
        let mut facts = Table::new(&[("", Align::Left), ("", Align::Left)]);
        writeln!(
            out,
            "{}",
            paint.heading(&format!(
                "process {} {}",
                process.pid,
                process.comm.escape_debug()
            ))
        )?;
        let mut row =
            |what: &str, value: String| facts.row([format!("  {what}").into(), value.into()]);
        row("parent", process.ppid.to_string());
        row(
            "user",
            process
                .user
                .clone()
                .unwrap_or_else(|| process.uid.to_string()),
        );
        row("threads", process.threads.to_string());
        if let Some(descriptors) = process.descriptors {
            row("descriptors", descriptors.to_string());
        }
        for (what, signals) in [
            ("signals pending", &process.signals.pending),
            ("signals blocked", &process.signals.blocked),
            ("signals ignored", &process.signals.ignored),
            ("signals caught", &process.signals.caught),
        ] {
            if !signals.is_empty() {
                row(
                    what,
                    signals
                        .iter()
                        .map(u32::to_string)
                        .collect::<Vec<_>>()
                        .join(" "),
                );
            }
        }
        facts.print(out, paint)?;
    }
    for (index, object) in shown.objects.iter().enumerate() {
        if index > 0 || shown.process.is_some() {
            writeln!(out)?;
        }
        self::object(out, paint, object)?;
    }
    Ok(())
}

fn object(out: &mut dyn Write, paint: Paint, object: &Object) -> io::Result<()> {
    let mut facts = Table::new(&[("", Align::Left), ("", Align::Left)]);
    let mut row = |what: &str, value: String| facts.row([format!("  {what}").into(), value.into()]);
    writeln!(out, "{}", paint.heading(&address(object)))?;
    row("facility", object.facility.to_owned());
    if object.uid.is_some() {
        row("owner", owner(object));
    }
    if let Some(mode) = object.mode {
        row("mode", format!("{mode:04o}"));
    }
    row("lives until", object.persistence.to_string());
    if let Some(state) = &object.state {
        row("state", state.clone());
    }
    for one in &object.fill {
        row("holds", fill(one));
    }
    for (what, value) in &object.details {
        row(&what.replace('_', " "), value.to_string());
    }
    for holder in &object.holders {
        let by = match (holder.fd, holder.mapped_at) {
            (Some(fd), _) => format!("descriptor {fd}"),
            (None, Some(at)) => format!("mapped at {at:#x}"),
            _ => "by number".into(),
        };
        let dead = if holder.dead { ", which is dead" } else { "" };
        row(
            "held by",
            format!(
                "{}[{}]{dead}  {by}  {}",
                holder.comm,
                holder.pid,
                holder.role.word()
            ),
        );
    }
    for peer in &object.peers {
        let who: Vec<String> = peer
            .holders
            .iter()
            .map(|holder| format!("{}[{}]", holder.comm, holder.pid))
            .collect();
        let waits = if peer.unaccepted {
            "  not yet accepted"
        } else {
            ""
        };
        row("peer", format!("{}  {}{waits}", peer.name, who.join(" ")));
    }
    for waiter in &object.waiters {
        let thread = waiter
            .tid
            .filter(|tid| *tid != waiter.pid)
            .map_or_else(String::new, |tid| format!(" thread {tid}"));
        let since = waiter.since_ms.map_or_else(String::new, |ms| {
            format!("  for {:.1} s", ms as f64 / 1000.0)
        });
        row(
            "waits",
            format!(
                "{}[{}]{thread}  to {}{since}",
                waiter.comm, waiter.pid, waiter.wants
            ),
        );
    }
    if let Some(leak) = &object.leak {
        row("leaked", leak.reason.clone());
    }
    for unseen in &object.unseen {
        row("not seen", unseen.clone());
    }
    facts.print(out, paint)
}

pub(super) fn print_leaks(out: &mut dyn Write, paint: Paint, leaks: &Leaks) -> io::Result<()> {
    if leaks.leaks.is_empty() {
        writeln!(out, "{}", paint.good("no leak"))?;
    } else {
        let headings = [
            ("ADDRESS", Align::Left),
            ("OWNER", Align::Left),
            ("UNUSED FOR", Align::Right),
            ("SURE", Align::Left),
            ("WHY", Align::Left),
        ];
        let mut table = Table::new(&headings);
        for object in &leaks.leaks {
            let Some(leak) = &object.leak else { continue };
            table.row([
                address(object).into(),
                owner(object).into(),
                leak.age_s.map_or_else(|| "–".into(), age).into(),
                match leak.certainty {
                    LeakCertainty::Certain => "certain",
                    LeakCertainty::Likely => "likely",
                }
                .into(),
                leak.reason.as_str().into(),
            ]);
        }
        table.print(out, paint)?;
    }
    let processes = leaks
        .unseen
        .iter()
        .filter(|unseen| unseen.pid.is_some())
        .count();
    if processes > 0 {
        let words = format!(
            "of {} it could not be seen what is open",
            count(processes, "process", "processes")
        );
        writeln!(out, "{}", paint.faint(&words))?;
    }
    Ok(())
}

fn age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
