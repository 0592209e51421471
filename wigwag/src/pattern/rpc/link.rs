//! Link: the client's end of a connection, whatever carries the frames.

use std::fmt;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::frame::{Head, Malformed};
use super::inbox::Got;
use crate::wait::Deadline;

/// Why nothing more comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The server is gone: it ended, or was killed.
    Gone,
    /// The server said that it ends.
    Stopped,
    /// What came is no frame, or the server says that ours was none.
    Malformed(String),
    /// The carrier failed.
    Failed(Errno),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Gone => f.write_str("the server is gone"),
            End::Stopped => f.write_str("the server stopped"),
            End::Malformed(why) => f.write_str(why),
            End::Failed(errno) => errno.fmt(f),
        }
    }
}

impl From<Malformed> for End {
    fn from(Malformed(why): Malformed) -> Self {
        End::Malformed(format!("what came from the server is no frame: {why}"))
    }
}

impl From<Errno> for End {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => End::Gone,
            errno => End::Failed(errno),
        }
    }
}

/// The client's end of a connection. Nothing here waits, except [`wait`](Link::wait).
pub(super) trait Link: Send + Sync {
    /// Takes a whole frame, to be sent in order, or nothing of it; `false` when there is no room now.
    fn try_send(&self, head: Head, body: &[u8]) -> Result<bool, End>;

    /// Whether part of a frame that was taken has not been sent; [`wait`](Link::wait) sends it.
    fn is_behind(&self) -> bool {
        false
    }

    /// Hands over frames that have come; `false` when there are no more. Called by one thread at a time.
    fn receive(&self, deliver: &mut dyn FnMut(Got)) -> Result<bool, End>;

    /// Sleeps until something comes, or there is room, as asked; or for no reason.
    fn wait(&self, comes: bool, room: bool, deadline: Deadline) -> Result<(), End>;

    /// How long a body may be, and what says so.
    fn longest(&self) -> (usize, &'static str);

    /// Whether the descriptor tells everything: that something has come, that there is room, that the server is gone.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    fn tells(&self) -> bool;

    /// Readable when something has come.
    fn descriptor(&self) -> BorrowedFd<'_>;
}
