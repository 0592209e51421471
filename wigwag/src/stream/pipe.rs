//! Pipe: bytes one way between related processes; writes up to [`ATOMIC`] bytes stay whole.

use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::Guarantees;
use crate::limit::{self, Limit, Source};

/// Writes of at most this many bytes are not mixed with those of other writers (`PIPE_BUF`, `pipe(7)`).
pub const ATOMIC: usize = 4096;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "pipe",
    title: "pipe",
    noun: "pipe",
    family: Family::Stream,
    naming: Naming::Unnamed,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Byte),
    direction: Some(Direction::OneWay),
    reach: Reach::Related,
    pollable: true,
    named_by: "– (related processes)",
    lives: "last process",
    carries: "bytes, one way",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        PIPE_SIZE,
        PIPE_USER_PAGES,
    ],
    guarantees: Guarantees::STREAM,
    man: "pipe(7)",
};

/// The greatest capacity an unprivileged process may set.
pub(crate) const PIPE_SIZE: Limit = Limit {
    name: "fs.pipe-max-size",
    bounds: "bytes one pipe may be made to hold",
    source: Source::Sysctl("/proc/sys/fs/pipe-max-size", 0),
    errnos: &[libc::EPERM],
};

/// The pages all pipes of a user may hold.
pub(crate) const PIPE_USER_PAGES: Limit = Limit {
    name: "fs.pipe-user-pages-soft",
    bounds: "pages in all pipes of a user, beyond which new pipes hold one page",
    source: Source::Sysctl("/proc/sys/fs/pipe-user-pages-soft", 0),
    errnos: &[],
};
