//! Leak: why nobody seems to use an object, for how long, and how sure that is.

use serde::Serialize;

/// What kind of leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakKind {
    /// Nobody has the object, and it stays until somebody removes it.
    Unused,
    /// A reader of a pipe holds a write end itself and will never see the end.
    NeverEnds,
    /// A socket that nobody can reach, or a file that leads to no socket.
    Unreachable,
}

/// How sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakCertainty {
    /// All processes could be seen and none has it.
    Certain,
    /// Some processes could not be looked into, or the facility keeps no record of its users.
    Likely,
}

/// The verdict on an object nobody uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leak {
    /// What kind.
    pub kind: LeakKind,
    /// One sentence.
    pub reason: String,
    /// How sure.
    pub certainty: LeakCertainty,
    /// Seconds since the last recorded use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
}
