//! Exit codes: what the command answers to a script.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | no: not found, would have to wait, exists already, nobody at the other end, refused there |
//! | 2 | wrong usage, or an error |
//! | 3 | deadlock found |
//! | 4 | incomplete: something could not be read |
//! | 124 | timed out, as `timeout(1)` has it |
//! | 128 + n | ended by signal n, with everything put away |
//!
//! `wigwag lock` passes on the status of the command it ran: 126 when it cannot be executed,
//! 127 when it is not found, 128 + n when signal n killed it, as the shell has it.

use wigwag::Kind;

pub(crate) const DONE: u8 = 0;
pub(crate) const NO: u8 = 1;
pub(crate) const ERROR: u8 = 2;
pub(crate) const DEADLOCK: u8 = 3;
pub(crate) const INCOMPLETE: u8 = 4;
pub(crate) const TIMED_OUT: u8 = 124;
pub(crate) const NOT_EXECUTABLE: u8 = 126;
pub(crate) const NO_SUCH_COMMAND: u8 = 127;
/// Plus the number of the signal.
pub(crate) const SIGNALLED: u8 = 128;

/// The exit code for a kind of error.
pub(crate) fn of(kind: Kind) -> u8 {
    match kind {
        Kind::NotFound
        | Kind::AlreadyExists
        | Kind::WouldBlock
        | Kind::Disconnected
        | Kind::Refused => NO,
        Kind::Deadlock => DEADLOCK,
        Kind::TimedOut => TIMED_OUT,
        _ => ERROR,
    }
}
