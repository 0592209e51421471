//! Fault: why a mailbox did not do it.

use core::fmt;

/// Why a mailbox did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// There is a letter in it already.
    Full,
    /// There is no letter in it.
    Empty,
    /// The letter is longer than the mailbox or the buffer.
    TooBig,
    /// Its flag or length cannot be: the other side is broken or hostile.
    Corrupt,
    /// Its magic is missing: nobody has made it yet, or it is something else.
    NotYet,
    /// It has another layout, of this version.
    Version(u32),
    /// The memory is too small, or not aligned to 4 bytes.
    Memory,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Full => f.write_str("the mailbox is full"),
            Fault::Empty => f.write_str("the mailbox is empty"),
            Fault::TooBig => f.write_str("the letter is longer than the mailbox or the buffer"),
            Fault::Corrupt => f.write_str("the mailbox holds what no mailbox can hold"),
            Fault::NotYet => f.write_str("the memory holds no mailbox, or none yet"),
            Fault::Version(version) => {
                write!(f, "the mailbox has version {version} of the layout, not 1")
            }
            Fault::Memory => f.write_str("the memory is too small for the mailbox, or not aligned"),
        }
    }
}

impl core::error::Error for Fault {}
