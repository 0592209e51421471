//! Pseudoterminal: bytes two ways through a terminal's line discipline; a program on it believes a person is there.
//!
//! The line discipline stands between the two ends: it echoes, gathers lines, turns `\n` into
//! `\r\n` and keys into signals. For bytes as they are, make the terminal [raw](Terminal::raw).
//!
//! ```
//! use std::io::Read;
//! use std::process::Command;
//! use wigwag::stream::pty;
//!
//! let controller = pty::create()?;
//! controller.set_size(pty::Size { rows: 24, columns: 80 })?;
//! let mut command = Command::new("stty");
//! command.arg("size");
//! let mut child = controller.spawn(command)?;
//! let mut shown = String::new();
//! (&controller).read_to_string(&mut shown)?; // to the end: until the program is gone
//! assert_eq!(shown, "24 80\r\n");
//! child.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Manual pages: `pty(7)`, `pts(4)`, `termios(3)`, `ioctl_tty(2)`.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::{Stream, transfer};
use crate::error::{Kind, Result};
use crate::facility::{Boundary, Direction, Facility, Family, Naming, Persistence, Reach};
use crate::guarantees::Guarantees;
use crate::limit::{self, Limit, Source};
use crate::opening::{Opening, Role, Target};

mod controller;
mod link;
mod terminal;

pub use controller::Controller;
pub use terminal::{Raw, Terminal};

/// The facts.
pub const FACILITY: Facility = Facility {
    id: "pty",
    title: "pseudoterminal",
    noun: "pseudoterminal",
    family: Family::Stream,
    naming: Naming::Terminal,
    unnamed_form: true,
    persistence: Persistence::Process,
    boundary: Some(Boundary::Byte),
    direction: Some(Direction::TwoWay),
    reach: Reach::Host,
    pollable: true,
    named_by: "/dev/pts/N",
    lives: "last process",
    carries: "bytes, two ways, terminal discipline",
    limits: &[limit::OPEN_FILES, limit::MACHINE_FILES, TERMINALS],
    guarantees: Guarantees::STREAM,
    man: "pty(7)",
};

/// Pseudoterminals of the machine.
pub(crate) const TERMINALS: Limit = Limit {
    name: "kernel.pty.max",
    bounds: "pseudoterminals of the machine",
    source: Source::Sysctl("/proc/sys/kernel/pty/max", 0),
    errnos: &[libc::ENOSPC],
};

/// Makes a pseudoterminal. Nobody has its terminal open yet.
///
/// # Errors
/// `Limit` when the machine has too many of them, or this process too many descriptors.
#[doc(alias = "openpt")]
pub fn create() -> Result<Controller> {
    let failed = |errno| FACILITY.failed("create", "", errno);
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = rustix::pty::openpt(flags).map_err(failed)?;
    rustix::pty::grantpt(&controller).map_err(failed)?;
    rustix::pty::unlockpt(&controller).map_err(failed)?;
    Ok(Controller(controller))
}

/// Makes a pseudoterminal and returns both ends.
///
/// # Errors
/// Those of [`create`].
#[doc(alias = "openpty")]
pub fn pair() -> Result<(Controller, Terminal)> {
    let controller = create()?;
    let terminal = controller.terminal()?;
    Ok((controller, terminal))
}

/// How many characters a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

impl Size {
    fn of(end: BorrowedFd<'_>) -> Result<Self> {
        rustix::termios::tcgetwinsize(end)
            .map(|size| Size {
                rows: size.ws_row,
                columns: size.ws_col,
            })
            .map_err(|e| FACILITY.failed("ask for the size of", "", e))
    }

    fn set(self, end: BorrowedFd<'_>) -> Result<()> {
        let size = Winsize {
            ws_row: self.rows,
            ws_col: self.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(end, size)
            .map_err(|e| FACILITY.failed("set the size of", "", e))
    }
}

/// Terminals know no `RWF_NOWAIT`. A terminal that several read at once can make the slower of
/// them wait in spite of this.
fn try_read(end: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    transfer::poll_now(end, PollFlags::IN)?;
    rustix::io::read(end, buffer)
}

/// So little fits into a terminal that poll calls writable, even if every byte becomes two: the
/// kernel's buffers for it are of 256 bytes.
const PIECE: usize = 128;

fn try_write(end: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    transfer::poll_now(end, PollFlags::OUT)?;
    rustix::io::write(end, &bytes[..bytes.len().min(PIECE)])
}

/// Opens by address: `Serve` makes one (`link=PATH` tells others where), `Join` opens `/dev/pts/N`.
pub(crate) fn open(target: &Target, opening: Opening) -> Result<Box<dyn Stream>> {
    let options = &target.options;
    let link = options.get("link").map(PathBuf::from);
    let raw = options.flag("raw")?;
    let size = match (options.value("rows")?, options.value("columns")?) {
        (None, None) => None,
        (rows, columns) => Some(Size {
            rows: rows.unwrap_or(24),
            columns: columns.unwrap_or(80),
        }),
    };
    match (opening.role, target.name.as_path()) {
        (Role::Serve, Some(path)) => Err(FACILITY
            .error(
                Kind::BadInput,
                "create",
                path.display(),
                "the kernel chooses the number",
            )
            .with_hint("write pty:?link=PATH to give it a name")),
        (Role::Serve, None) => {
            let controller = create()?;
            size.map_or(Ok(()), |size| controller.set_size(size))?;
            if raw {
                controller.raw()?.keep();
            }
            Ok(match link {
                Some(path) => Box::new(link::Linked::new(controller, path)?),
                None => Box::new(controller),
            })
        }
        (Role::Join, _) => {
            if link.is_some() {
                return Err(options.bad("link", "only the end that makes it can name it"));
            }
            let terminal = Terminal::open(OsStr::from_bytes(&target.name.to_bytes()))?;
            size.map_or(Ok(()), |size| terminal.set_size(size))?;
            if raw {
                terminal.raw()?.keep();
            }
            Ok(Box::new(terminal))
        }
    }
}

/// Makes one and drops it.
pub(crate) fn probe() -> Result<()> {
    create().map(drop)
}
