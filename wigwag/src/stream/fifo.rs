//! FIFO: a pipe with a name in the file system; opening it waits for the other end.

use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::Guarantees;
use crate::limit;
use crate::stream::pipe;

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "fifo",
    title: "FIFO",
    noun: "FIFO",
    family: Family::Stream,
    naming: Naming::Path,
    unnamed_form: false,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Byte),
    direction: Some(Direction::OneWay),
    reach: Reach::Host,
    pollable: true,
    named_by: "path",
    lives: "last process (name: file system)",
    carries: "bytes, one way",
    limits: &[
        limit::OPEN_FILES,
        limit::MACHINE_FILES,
        pipe::PIPE_SIZE,
        pipe::PIPE_USER_PAGES,
    ],
    guarantees: Guarantees::STREAM,
    man: "fifo(7)",
};
