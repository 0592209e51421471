//! Stream: entries of the facilities that carry bytes in order.

use super::options::{BACKLOG, PIPE_CAPACITY};
use super::{Entry, Open, opt};
use crate::stream;

pub(super) const PIPE: Entry = Entry {
    facility: &stream::pipe::FACILITY,
    options: &[
        opt(
            "fd",
            "NUMBER",
            "the descriptor that was inherited; required",
        ),
        PIPE_CAPACITY,
    ],
    open: Some(Open::Stream(stream::pipe::open)),
    create: None,
    unlink: None,
    probe: stream::pipe::probe,
};

pub(super) const FIFO: Entry = Entry {
    facility: &stream::fifo::FACILITY,
    options: &[
        opt("mode", "OCTAL", "permissions of a new one; 0600 by default"),
        opt(
            "temporary",
            "",
            "removes the name when both ends have it open",
        ),
        PIPE_CAPACITY,
    ],
    open: Some(Open::Stream(stream::fifo::open)),
    create: Some(stream::fifo::create),
    unlink: Some(stream::fifo::unlink),
    probe: stream::fifo::probe,
};

pub(super) const UNIX: Entry = Entry {
    facility: &stream::unix::FACILITY,
    options: &[
        opt(
            "mode",
            "OCTAL",
            "permissions of the path; 0777 less the umask by default",
        ),
        BACKLOG,
        opt("take-over", "", "replaces a path whose process is gone"),
    ],
    open: Some(Open::Stream(stream::unix::open)),
    create: None,
    unlink: Some(stream::unix::unlink_name),
    probe: stream::unix::probe,
};

pub(super) const TCP: Entry = Entry {
    facility: &stream::tcp::FACILITY,
    options: &[opt("nodelay", "", "sends small writes at once"), BACKLOG],
    open: Some(Open::Stream(stream::tcp::open)),
    create: None,
    unlink: None,
    probe: stream::tcp::probe,
};

pub(super) const PTY: Entry = Entry {
    facility: &stream::pty::FACILITY,
    options: &[
        opt(
            "raw",
            "",
            "turns the line discipline off: bytes pass as they are",
        ),
        opt("rows", "LINES", "height of the terminal"),
        opt("columns", "CHARACTERS", "width of the terminal"),
        opt(
            "link",
            "PATH",
            "a symbolic link to the new terminal, while it is open",
        ),
    ],
    open: Some(Open::Stream(stream::pty::open)),
    create: None,
    unlink: None,
    probe: stream::pty::probe,
};
