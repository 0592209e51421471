//! Gate: one lock or semaphore inside a segment of wigwag's, as its word said at one moment.

use std::fmt;

use serde::Serialize;

/// One lock or semaphore inside a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gate {
    /// What it is: `mutex`, `semaphore`.
    pub kind: &'static str,
    /// The fields that lead to it: `accounts[3].lock`; empty when it is the whole value.
    pub path: String,
    /// Where its word lies in the memory.
    pub offset: u64,
    /// The thread that holds it, of a kind that says so; of a readers–writer lock, the writer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// Whether its last owner died and nobody has repaired it.
    pub orphaned: bool,
    /// Whether somebody waits for it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<bool>,
    /// Permits left of a semaphore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permits: Option<u32>,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if !self.path.is_empty() {
            write!(f, " {}", self.path)?;
        }
        match (self.permits, self.owner) {
            (Some(permits), _) => write!(f, ": {permits} left")?,
            (None, Some(owner)) => write!(f, ": held by thread {owner}")?,
            (None, None) if self.orphaned => f.write_str(": its owner died")?,
            (None, None) if self.waited_for.is_some() => f.write_str(": free")?,
            (None, None) => {}
        }
        match self.waited_for {
            Some(true) => f.write_str(", waited for"),
            _ => Ok(()),
        }
    }
}
