//! Facilities: the table of the catalog, with what this machine allows and why something is not usable here.

use serde::Serialize;
use wigwag::catalog::{self, CATALOG, Entry};
use wigwag::guarantees::Guarantees;
use wigwag::pattern::channel;

use crate::arguments;
use crate::failure::Result;
use crate::report::Report;

/// Every facility: what it is, its limits here, what it promises, whether it is usable
///
/// Each facility is tried: one object is made and dropped again. With FACILITY arguments, all
/// that is known of those: address options, verbs, limits, guarantees.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these
    #[arg(value_parser = arguments::facility())]
    facility: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the table of the README
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// Facilities with what was found out about them here.
#[derive(Debug, Serialize)]
pub(crate) struct Facilities {
    pub(crate) facilities: Vec<Row>,
    /// Whether they were asked for by name, and so want to be told in full.
    #[serde(skip)]
    pub(crate) in_full: bool,
}

/// One facility here.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) scheme: &'static str,
    pub(crate) title: &'static str,
    pub(crate) family: String,
    pub(crate) naming: String,
    pub(crate) named_by: &'static str,
    pub(crate) unnamed_form: bool,
    pub(crate) persistence: String,
    pub(crate) lives_until: &'static str,
    pub(crate) boundary: Option<String>,
    pub(crate) direction: Option<String>,
    pub(crate) reach: String,
    pub(crate) pollable: bool,
    pub(crate) carries: &'static str,
    pub(crate) manual: &'static str,
    pub(crate) verbs: Vec<&'static str>,
    pub(crate) options: Vec<OptionRow>,
    pub(crate) limits: Vec<LimitRow>,
    pub(crate) guarantees: GuaranteesRow,
    /// Objects of several kinds that go by this scheme, and what each promises.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) flavours: Vec<FlavourRow>,
    pub(crate) usable: bool,
    pub(crate) why_not: Option<String>,
}

/// What one flavour promises.
#[derive(Debug, Serialize)]
pub(crate) struct FlavourRow {
    pub(crate) flavour: &'static str,
    pub(crate) guarantees: GuaranteesRow,
}

/// One option of its addresses.
#[derive(Debug, Serialize)]
pub(crate) struct OptionRow {
    pub(crate) key: &'static str,
    pub(crate) value: &'static str,
    pub(crate) what: &'static str,
}

/// One limit and its present value; none when unlimited or unreadable.
#[derive(Debug, Serialize)]
pub(crate) struct LimitRow {
    pub(crate) name: &'static str,
    pub(crate) bounds: &'static str,
    pub(crate) value: Option<u64>,
}

/// What it promises, in words.
#[derive(Debug, Serialize)]
pub(crate) struct GuaranteesRow {
    pub(crate) delivery: String,
    pub(crate) accepted: String,
    pub(crate) order: String,
    pub(crate) durability: String,
    pub(crate) fan_out: String,
    pub(crate) overflow: String,
    pub(crate) duplicates: bool,
    pub(crate) peer_death: String,
}

pub(crate) fn run(args: Args) -> Result<Report> {
    if args.markdown {
        return Ok(Report::Text(catalog::markdown().into_bytes()));
    }
    Ok(Report::Facilities(Facilities {
        in_full: !args.facility.is_empty(),
        facilities: chosen(&args.facility).into_iter().map(row).collect(),
    }))
}

/// The entries with these ids in the order of the catalog; all of them for none.
pub(crate) fn chosen(ids: &[String]) -> Vec<&'static Entry> {
    CATALOG
        .iter()
        .filter(|entry| ids.is_empty() || ids.iter().any(|id| id == entry.facility.id))
        .collect()
}

fn row(entry: &'static Entry) -> Row {
    let facility = entry.facility;
    let flavours: &[_] = match facility.id {
        "channel" => &channel::FLAVOURS,
        _ => &[],
    };
    let probed = (entry.probe)();
    Row {
        scheme: facility.id,
        title: facility.title,
        family: facility.family.to_string(),
        naming: facility.naming.to_string(),
        named_by: facility.named_by,
        unnamed_form: facility.unnamed_form,
        persistence: facility.persistence.to_string(),
        lives_until: facility.lives,
        boundary: facility.boundary.map(|boundary| boundary.to_string()),
        direction: facility.direction.map(|direction| direction.to_string()),
        reach: facility.reach.to_string(),
        pollable: facility.pollable,
        carries: facility.carries,
        manual: facility.man,
        verbs: verbs(entry),
        options: entry
            .options
            .iter()
            .map(|option| OptionRow {
                key: option.key,
                value: option.value,
                what: option.what,
            })
            .collect(),
        limits: facility
            .limits
            .iter()
            .map(|limit| LimitRow {
                name: limit.name,
                bounds: limit.bounds,
                value: limit.value(),
            })
            .collect(),
        guarantees: GuaranteesRow::from(&facility.guarantees),
        flavours: flavours
            .iter()
            .map(|(flavour, guarantees)| FlavourRow {
                flavour,
                guarantees: GuaranteesRow::from(guarantees),
            })
            .collect(),
        usable: probed.is_ok(),
        why_not: probed.err().map(|error| error.to_string()),
    }
}

impl From<&Guarantees> for GuaranteesRow {
    fn from(guarantees: &Guarantees) -> Self {
        GuaranteesRow {
            delivery: guarantees.delivery.to_string(),
            accepted: guarantees.accepted.to_string(),
            order: guarantees.order.to_string(),
            durability: guarantees.durability.to_string(),
            fan_out: guarantees.fan_out.to_string(),
            overflow: guarantees.overflow.to_string(),
            duplicates: guarantees.duplicates,
            peer_death: guarantees.peer_death.to_string(),
        }
    }
}

/// The commands that work with it.
fn verbs(entry: &Entry) -> Vec<&'static str> {
    let mut verbs = Vec::new();
    if entry.create.is_some() {
        verbs.push("create");
    }
    match entry.open {
        Some(catalog::Open::Gate(_)) if super::acquire::stays_held(entry.facility) => {
            verbs.extend(["acquire", "release", "lock"]);
        }
        Some(catalog::Open::Gate(_)) => verbs.push("lock"),
        Some(catalog::Open::Calls) => verbs.extend(["call", "serve"]),
        Some(_) => verbs.extend(["send", "recv"]),
        None => {}
    }
    if entry.unlink.is_some() {
        verbs.push("rm");
    }
    verbs.push("check");
    verbs
}
