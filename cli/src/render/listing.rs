//! Listing: one line an object, whatever its name holds.

use std::io::{self, Write};

use wigwag_observe::object::{Fill, Unit};
use wigwag_observe::{Object, Unseen};

use super::table::{Align, Cell, Table};
use super::{Paint, count};
use crate::command::ls::{Column, Listing};

pub(super) fn print(out: &mut dyn Write, paint: Paint, listing: &Listing) -> io::Result<()> {
    let headings: Vec<_> = listing
        .columns
        .iter()
        .map(|column| heading(*column))
        .collect();
    let mut table = Table::new(&headings);
    for object in &listing.objects {
        table.row(
            listing
                .columns
                .iter()
                .map(|column| cell(*column, object, listing.taken, paint)),
        );
    }
    table.print(out, paint)?;
    let told = |unseen: &&Unseen| unseen.pid.is_none_or(|pid| pid == 0);
    for unseen in listing.unseen.iter().filter(told) {
        writeln!(
            out,
            "{}: {}: {}",
            paint.bad("not seen"),
            unseen.what,
            unseen.reason
        )?;
    }
    let processes = listing.unseen.iter().filter(|unseen| !told(unseen)).count();
    if processes > 0 {
        let words = format!(
            "of {} it could not be seen what is open",
            count(processes, "process", "processes")
        );
        writeln!(out, "{}", paint.faint(&words))?;
    }
    Ok(())
}

fn heading(column: Column) -> (&'static str, Align) {
    match column {
        Column::Address => ("ADDRESS", Align::Left),
        Column::Facility => ("FACILITY", Align::Left),
        Column::Name => ("NAME", Align::Left),
        Column::Id => ("ID", Align::Right),
        Column::Owner => ("OWNER", Align::Left),
        Column::Uid => ("UID", Align::Right),
        Column::Mode => ("MODE", Align::Left),
        Column::Holds => ("HOLDS", Align::Right),
        Column::Holders => ("HOLDERS", Align::Right),
        Column::Who => ("WHO", Align::Left),
        Column::Waiters => ("WAITERS", Align::Left),
        Column::Persistence => ("LIVES UNTIL", Align::Left),
        Column::Age => ("AGE", Align::Right),
        Column::Used => ("USED", Align::Right),
        Column::State => ("STATE", Align::Left),
    }
}

fn cell(column: Column, object: &Object, now: i64, paint: Paint) -> Cell {
    const NONE: &str = "–";
    let number =
        |number: Option<u64>| number.map_or_else(|| NONE.to_owned(), |number| number.to_string());
    let since = |then: Option<i64>| number(then.and_then(|then| u64::try_from(now - then).ok()));
    match column {
        Column::Address => address(object),
        Column::Facility => object.facility.to_owned(),
        Column::Name => object.name.to_string(),
        Column::Id => number(object.id),
        Column::Owner => owner(object),
        Column::Uid => number(object.uid.map(u64::from)),
        Column::Mode => object
            .mode
            .map_or_else(|| NONE.to_owned(), |mode| format!("{mode:04o}")),
        Column::Holds => object.fill.first().map_or_else(|| NONE.to_owned(), fill),
        Column::Holders => holders(object),
        Column::Who => {
            let mut who: Vec<String> = object
                .holders
                .iter()
                .map(|holder| format!("{}[{}]", holder.comm, holder.pid))
                .collect();
            who.dedup();
            who.join(" ")
        }
        Column::Waiters => {
            let tid = |waiter: &wigwag_observe::object::Waiter| waiter.tid.unwrap_or(waiter.pid);
            let who: Vec<String> = object
                .waiters
                .iter()
                .map(|waiter| format!("{}[{}]", waiter.comm, tid(waiter)))
                .collect();
            who.join(" ")
        }
        Column::Persistence => object.persistence.to_string(),
        Column::Age => since(object.created),
        Column::Used => since(object.last_used),
        Column::State => {
            let words = state(object);
            let painted = if object.leak.is_some() {
                paint.doubtful(&words)
            } else {
                words.clone()
            };
            return Cell::painted(&words, painted);
        }
    }
    .into()
}

pub(super) fn address(object: &Object) -> String {
    match &object.address {
        Some(address) => address.clone(),
        None => format!("{}: {}", object.facility, object.name),
    }
}

pub(super) fn owner(object: &Object) -> String {
    match (&object.user, object.uid) {
        (Some(user), _) => user.clone(),
        (None, Some(uid)) => uid.to_string(),
        (None, None) => "–".into(),
    }
}

/// How many processes have it; nothing where the kernel does not say.
fn holders(object: &Object) -> String {
    let mut pids: Vec<u32> = object.holders.iter().map(|holder| holder.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.len().to_string()
}

fn state(object: &Object) -> String {
    let mut words: Vec<String> = object.state.iter().cloned().collect();
    if let Some(leak) = &object.leak {
        words.push(leak.reason.clone());
    }
    words.join(", ")
}

pub(super) fn fill(fill: &Fill) -> String {
    let unit = match fill.unit {
        Unit::Bytes => "B",
        Unit::Messages => "messages",
        Unit::Permits => "permits",
        Unit::Connections => "waiting",
        Unit::Count => "",
        Unit::Attachments => "attached",
    };
    let level = match fill.capacity {
        Some(capacity) => format!("{}/{capacity} {unit}", fill.level),
        None => format!("{} {unit}", fill.level),
    };
    level.trim_end().to_owned()
}
