//! Listing: one line an object, whatever its name holds.

use std::io::{self, Write};

use wigwag_observe::Object;
use wigwag_observe::object::{Fill, Unit};

use super::Paint;
use super::table::{Align, Cell, Table};
use crate::command::ls::Listing;

pub(super) fn print(out: &mut dyn Write, paint: Paint, listing: &Listing) -> io::Result<()> {
    let mut table = Table::new(&[
        ("ADDRESS", Align::Left),
        ("OWNER", Align::Left),
        ("MODE", Align::Left),
        ("HOLDS", Align::Right),
        ("HOLDERS", Align::Right),
        ("STATE", Align::Left),
    ]);
    for object in &listing.objects {
        let leaked = object.leak.is_some();
        let words = state(object);
        let painted = if leaked { paint.doubtful(&words) } else { words.clone() };
        table.row([
            address(object).into(),
            owner(object).into(),
            object.mode.map_or_else(|| "–".into(), |mode| format!("{mode:04o}")).into(),
            object.fill.first().map_or_else(|| "–".into(), fill).into(),
            holders(object).into(),
            Cell::painted(&words, painted),
        ]);
    }
    table.print(out, paint)?;
    for unseen in listing.unseen.iter().filter(|unseen| unseen.pid.is_none()) {
        writeln!(out, "{}: {}: {}", paint.bad("not seen"), unseen.what, unseen.reason)?;
    }
    let processes = listing.unseen.iter().filter(|unseen| unseen.pid.is_some()).count();
    if processes > 0 {
        let words = format!("of {processes} processes it could not be seen what they have open");
        writeln!(out, "{}", paint.faint(&words))?;
    }
    Ok(())
}

fn address(object: &Object) -> String {
    match &object.address {
        Some(address) => address.clone(),
        None => format!("{}: {}", object.facility, object.name),
    }
}

fn owner(object: &Object) -> String {
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

fn fill(fill: &Fill) -> String {
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
