//! JSON: every report with a version, which changes when a field changes its meaning or goes.

use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::report::Report;

/// The version of the form of everything we print as JSON.
pub(crate) const VERSION: u32 = 1;

pub(super) fn print(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let value = match report {
        Report::Facilities(facilities) => serde_json::to_value(facilities),
        Report::Checks(checks) => serde_json::to_value(checks),
        Report::Listing(listing) => serde_json::to_value(listing),
        Report::Overview(overview) => serde_json::to_value(overview),
        Report::Leaks(leaks) => serde_json::to_value(leaks),
        Report::Shown(shown) => serde_json::to_value(shown),
        Report::Why(answers) => answers
            .0
            .iter()
            .map(|answer| serde_json::from_str(&answer.to_json()))
            .collect::<Result<Vec<Value>, _>>()
            .map(|answers| serde_json::json!({ "answers": answers })),
        // One line, so that --watch gives one a change.
        Report::Findings(found) => {
            return writeln!(out, "{}", found.graph.findings_to_json(&found.findings));
        }
        // They have nothing to say, or have said it.
        Report::Done | Report::Status(_) | Report::Text(_) | Report::Picture(..) => return Ok(()),
    };
    let mut object = Map::new();
    object.insert("version".into(), VERSION.into());
    if let Value::Object(fields) = value.map_err(io::Error::from)? {
        object.extend(fields);
    }
    serde_json::to_writer_pretty(&mut *out, &object).map_err(io::Error::from)?;
    writeln!(out)
}
