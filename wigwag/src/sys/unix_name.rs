//! Unix name: binds a socket to a path or abstract name, and removes the path it made and no other.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketAddrUnix};

use super::unix_path::{self, State};
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
use crate::name::Name;

/// How a name is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct How {
    /// Exactly this mode, whatever the umask; 0777 less the umask otherwise.
    pub(crate) mode: Option<u32>,
    /// The path is removed when [`Made`] is dropped.
    pub(crate) temporary: bool,
    /// A path whose process is gone is replaced.
    pub(crate) take_over: bool,
}

/// What all `Options` that have such a `how` say of the name they make.
macro_rules! naming {
    () => {
        /// Who may connect or send: those with write permission. The path has exactly this mode, whatever the umask,
        /// before anybody can.
        pub fn mode(mut self, mode: u32) -> Self {
            self.how.mode = Some(mode);
            self
        }

        /// Removes the path when what it was made for is dropped, if it is still this one's.
        pub fn temporary(mut self, temporary: bool) -> Self {
            self.how.temporary = temporary;
            self
        }

        /// Takes over a path that a dead process left. Of several that start at once exactly one
        /// succeeds; a process that lives is never disturbed. Needs permission to read the directory.
        pub fn take_over(mut self, take_over: bool) -> Self {
            self.how.take_over = take_over;
            self
        }
    };
}
pub(crate) use naming;

/// Binds `socket` to `name`.
pub(crate) fn bind(
    facility: &Facility,
    socket: BorrowedFd<'_>,
    name: &Name,
    how: How,
) -> Result<Option<Made>> {
    let failed = |errno| facility.failed("bind", name, errno);
    let to = address(facility, "bind", name)?;
    let Name::Path(path) = name else {
        if how.mode.is_some() {
            let why = "an abstract name has no mode: everybody may connect or send";
            return Err(facility
                .error(Kind::BadInput, "bind", name, why)
                .with_hint("look at who the peer is, or use a path"));
        }
        rustix::net::bind(socket, &to).map_err(failed)?;
        return Ok(None);
    };
    if let Some(mode) = how.mode {
        // The inode that bind(2) makes has the mode of the socket, less the umask (Linux): at no
        // time may more users than asked for send to it.
        rustix::fs::fchmod(socket, Mode::from_raw_mode(mode)).map_err(failed)?;
    }
    let lock = how.take_over.then(|| lock(facility, path)).transpose()?;
    if lock.is_some() && unix_path::state(path).map_err(failed)? == State::Stale {
        rustix::fs::unlink(path).map_err(failed)?;
    }
    rustix::net::bind(socket, &to).map_err(|errno| taken(facility, path, errno))?;
    let made = Made::at(path);
    if let Some(mode) = how.mode {
        let made = rustix::fs::chmod(path, Mode::from_raw_mode(mode));
        made.map_err(|errno| facility.failed("set the mode of", name, errno))?;
    }
    if how.temporary {
        return Ok(made);
    }
    if let Some(made) = made {
        made.stay();
    }
    Ok(None)
}

fn lock(facility: &Facility, path: &Path) -> Result<std::os::fd::OwnedFd> {
    unix_path::lock(path).map_err(|errno| match errno {
        Errno::TIMEDOUT => facility
            .error(
                Kind::TimedOut,
                "take over",
                path.display(),
                "the directory stays locked",
            )
            .with_hint("see with lslocks who has a lock on the directory"),
        errno => facility
            .failed("take over", path.display(), errno)
            .with_hint("taking over reads the directory of the path"),
    })
}

#[cold]
fn taken(facility: &Facility, path: &Path, errno: Errno) -> Error {
    let error = facility.failed("bind", path.display(), errno);
    match (errno, unix_path::state(path)) {
        (Errno::ADDRINUSE, Ok(State::Stale)) => error
            .with_detail("its process is gone")
            .with_hint("take it over, or remove it with wigwag rm"),
        (Errno::ADDRINUSE, Ok(State::Alive)) => error.with_detail("a process is bound to it"),
        (Errno::ADDRINUSE, Ok(State::Foreign)) => error.with_detail("it is no socket"),
        _ => error,
    }
}

/// Removes the path of a socket whose process is gone.
pub(crate) fn unlink(facility: &Facility, name: &Name) -> Result<()> {
    let failed = |errno| facility.failed("remove", name, errno);
    let refused = |kind, why: &str| Err(facility.error(kind, "remove", name, why));
    let Name::Path(path) = name else {
        return refused(
            Kind::Unsupported,
            "only a path can be removed; an abstract name ends with its process",
        );
    };
    let _lock = unix_path::lock(path).map_err(failed)?;
    match unix_path::state(path).map_err(failed)? {
        State::Stale => rustix::fs::unlink(path).map_err(failed),
        State::Free => Err(failed(Errno::NOENT)),
        State::Alive => refused(Kind::AlreadyExists, "a process is bound to it"),
        State::Foreign => refused(Kind::BadInput, "it is no socket"),
    }
}

/// The kernel's form of a name.
pub(crate) fn address(
    facility: &Facility,
    action: &'static str,
    name: &Name,
) -> Result<SocketAddrUnix> {
    match name {
        Name::Path(path) => SocketAddrUnix::new(path.as_path()),
        Name::Abstract(name) => SocketAddrUnix::new_abstract_name(name),
        _ => Err(Errno::INVAL),
    }
    .map_err(|errno| facility.failed(action, name, errno))
}

/// A name in the kernel's form, as ours.
pub(crate) fn name_of(address: Option<&SocketAddrUnix>) -> Name {
    match address.map(|unix| (unix.path_bytes(), unix.abstract_name())) {
        Some((Some(path), _)) => Name::Path(OsStr::from_bytes(path).into()),
        Some((_, Some(name))) => Name::Abstract(name.to_vec()),
        _ => Name::None,
    }
}

/// The name a socket is bound to.
pub(crate) fn own_name(socket: BorrowedFd<'_>) -> Name {
    let own: Option<SocketAddrAny> = rustix::net::getsockname(socket).ok();
    name_of(
        own.and_then(|any| SocketAddrUnix::try_from(any).ok())
            .as_ref(),
    )
}

/// The file that was made, removed on drop, and no other that has its path by then.
#[derive(Debug)]
pub(crate) struct Made {
    path: PathBuf,
    file: (u64, u64),
}

impl Made {
    fn at(path: &Path) -> Option<Self> {
        // A later chdir must not make it another file.
        let path = std::path::absolute(path).ok()?;
        let file = identity(&path)?;
        Some(Made { path, file })
    }

    /// Leaves the path where it is.
    pub(crate) fn stay(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if identity(&self.path) == Some(self.file) {
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = rustix::fs::lstat(path).ok()?;
    Some((file.st_dev, file.st_ino))
}
