//! Fill: how much is in an object and how much it can take, in the unit that makes somebody wait.

use serde::Serialize;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Messages.
    Messages,
    /// Permits of a semaphore that can be taken now.
    Permits,
    /// Connections that wait to be accepted.
    Connections,
    /// The count of an eventfd, the expirations of a timer.
    Count,
    /// Processes that have it attached.
    Attachments,
}

/// A level, and the limit if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Fill {
    /// How much there is.
    pub level: u64,
    /// How much there can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u64>,
    /// Of what.
    pub unit: Unit,
}

impl Fill {
    pub(crate) fn new(level: u64, unit: Unit) -> Self {
        Fill {
            level,
            capacity: None,
            unit,
        }
    }

    pub(crate) fn of(level: u64, capacity: u64, unit: Unit) -> Self {
        Fill {
            level,
            capacity: Some(capacity),
            unit,
        }
    }

    /// Whether nothing more goes in.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.capacity.is_some_and(|capacity| self.level >= capacity)
    }

    /// Level by capacity, from 0 to 1.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let capacity = self.capacity.filter(|&capacity| capacity > 0)?;
        Some((self.level as f64 / capacity as f64).min(1.0))
    }
}
