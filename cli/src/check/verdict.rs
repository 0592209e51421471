//! Verdict: what a check of one facility came to, with the figures.

use serde::{Serialize, Serializer};

use super::sample::Samples;

/// All of them.
#[derive(Debug, Serialize)]
pub(crate) struct Checks {
    pub(crate) checks: Vec<Check>,
    /// How long all of it took, in seconds.
    pub(crate) took_seconds: f64,
}

impl Checks {
    /// Whether nothing failed that should work here.
    pub(crate) fn all_well(&self) -> bool {
        !self
            .checks
            .iter()
            .any(|check| matches!(check.verdict, Verdict::Fails))
    }
}

/// One facility between two processes.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) scheme: &'static str,
    pub(crate) title: &'static str,
    /// Which of several objects that go by this scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flavour: Option<&'static str>,
    pub(crate) family: String,
    pub(crate) verdict: Verdict,
    /// Why it is not usable here, or what went wrong.
    pub(crate) why: Option<String>,
    #[serde(flatten)]
    pub(crate) figures: Option<Figures>,
}

/// What it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Every byte and every hand-over was right.
    Works,
    /// Something was wrong, lost or stuck.
    Fails,
    /// This machine does not let us.
    NotUsable,
}

/// What was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// There and back, or in and out of a gate.
    #[serde(serialize_with = "percentiles")]
    pub(crate) round_trip: Samples,
    pub(crate) rate_per_second: f64,
    pub(crate) rate_unit: Unit,
    /// Bytes that were compared with what was sent.
    pub(crate) verified_bytes: u64,
    /// Transfers, or entries of a gate, that were checked.
    pub(crate) verified_transfers: u64,
}

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    #[default]
    Bytes,
    /// Entries of a gate by two processes that contend for it.
    Entries,
    /// Signals queued with a value.
    Signals,
}

fn percentiles<S: Serializer>(samples: &Samples, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Percentiles {
        p50_ns: u64,
        p99_ns: u64,
        samples: usize,
    }
    let percentiles = Percentiles {
        p50_ns: samples.percentile(50.0),
        p99_ns: samples.percentile(99.0),
        samples: samples.len(),
    };
    percentiles.serialize(serializer)
}
