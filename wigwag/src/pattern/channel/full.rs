//! Full: what becomes of a value for which there is no room.

use std::fmt;

use crate::error::{Error, Kind};

/// What becomes of a value for which there is no room. Chosen when a channel is made, for all its senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Full {
    /// The sender waits until there is room: nothing is lost.
    #[default]
    Wait,
    /// The sender gets [`Kind::WouldBlock`] at once.
    Fail,
    /// The new value is dropped and counted; the receiver can ask how many.
    DropNewest,
    /// The oldest value makes room and is counted; the receiver is told that it missed it.
    OverwriteOldest,
}

impl Full {
    pub(super) fn number(self) -> u64 {
        self as u64
    }

    pub(super) fn from_number(number: u64) -> Option<Self> {
        [
            Full::Wait,
            Full::Fail,
            Full::DropNewest,
            Full::OverwriteOldest,
        ]
        .into_iter()
        .find(|full| full.number() == number)
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Full::Wait => "wait",
            Full::Fail => "fail",
            Full::DropNewest => "drop-newest",
            Full::OverwriteOldest => "overwrite-oldest",
        })
    }
}

impl std::str::FromStr for Full {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match word {
            "wait" => Ok(Full::Wait),
            "fail" => Ok(Full::Fail),
            "drop-newest" => Ok(Full::DropNewest),
            "overwrite-oldest" => Ok(Full::OverwriteOldest),
            _ => Err(Error::new(
                Kind::BadInput,
                "read",
                "policy",
                word,
                "a full channel can wait, fail, drop-newest or overwrite-oldest",
            )),
        }
    }
}
