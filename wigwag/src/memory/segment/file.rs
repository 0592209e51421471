//! By file: segments in POSIX shared memory, memfds and files, where a byte lock tells a living creator from a dead one.
//!
//! The creator holds a byte beyond the end of the file while it makes the value; the kernel frees it when the
//! creator dies. Whoever gets the byte and finds no ready segment knows that nobody is at it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use rustix::fs::{CWD, FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

use super::header::{self, Found, Header, VALUE};
use super::{GRACE, LOOK, Options, PATIENCE, Pages, Place, Segment, Trust};
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
use crate::memory::mapping::{Access, Mapping, Size};
use crate::memory::memfd;
use crate::name::Name;
use crate::shared::Shared;
use crate::sys::ofd;

/// The byte that the creator holds.
const MAKER: i64 = 1 << 62;

/// A segment without a name.
pub(super) fn anonymous<T: Shared>(options: &Options, value: T) -> Result<Segment<T>> {
    let at = At {
        options,
        facility: &memfd::FACILITY,
        label: Name::None,
    };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file =
        rustix::fs::memfd_create("wigwag", flags).map_err(|errno| at.failed("create", errno))?;
    let pages = at.make(file, || value)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    if let Some(file) = pages.object() {
        rustix::fs::fcntl_add_seals(file, seals).map_err(|errno| at.failed("seal", errno))?;
    }
    Ok(Segment::new(options, pages, None))
}

/// A segment of which the descriptor came from another process.
pub(super) fn received<T: Shared>(options: &Options, file: OwnedFd) -> Result<Segment<T>> {
    let at = At {
        options,
        facility: &memfd::FACILITY,
        label: Name::None,
    };
    // What cannot be sealed (a file, POSIX shared memory) is not a memfd; there its owner is trusted.
    let sealed = rustix::fs::fcntl_get_seals(&file).unwrap_or(SealFlags::SEAL);
    let cannot_be = sealed == SealFlags::SEAL && options.trust == Trust::Peers;
    if !sealed.contains(SealFlags::SHRINK) && !cannot_be {
        let why =
            "it is not sealed against shrinking, which would kill this process at its next access";
        return Err(at
            .error(Kind::Unsupported, "open", why)
            .with_hint("send the descriptor of Segment::anonymous, or add F_SEAL_SHRINK"));
    }
    let (header, len) = at.header(&file)?;
    match header.found(len) {
        Found::Ready => Ok(Segment::new(
            options,
            at.attach::<T>(file, &header, len)?,
            None,
        )),
        Found::Blank | Found::Unfinished => Err(at.unfinished()),
        Found::Foreign => Err(at.foreign()),
    }
}

/// The segment at `path`: the one that exists, if that is wanted, or a new one, if there is a value for it.
pub(super) fn at<T: Shared>(
    options: &Options,
    place: Place,
    path: &Path,
    exists: bool,
    value: Option<impl FnOnce() -> T>,
) -> Result<Segment<T>> {
    let at = At {
        options,
        facility: place.facility,
        label: place.name.clone(),
    };
    let since = Instant::now();
    loop {
        let (file, new) = match at.open(path, value.is_some()) {
            Ok(opened) => opened,
            // Removed by somebody between the attempt to make it and the attempt to open it.
            Err(Errno::NOENT) if value.is_some() => continue,
            Err(errno) => {
                return Err(at.failed(if value.is_some() { "create" } else { "open" }, errno));
            }
        };
        let (header, len) = at.header(&file)?;
        match header.found(len) {
            Found::Ready if !exists => return Err(at.exists()),
            Found::Ready => {
                let pages = at.attach::<T>(file, &header, len)?;
                return Ok(Segment::new(options, pages, Some(place)));
            }
            Found::Foreign => return Err(if exists { at.foreign() } else { at.exists() }),
            Found::Blank | Found::Unfinished => {}
        }
        if !ofd::try_lock(file.as_fd(), MAKER).map_err(|errno| at.failed("lock", errno))? {
            if since.elapsed() > PATIENCE {
                let who = format!("process {} is still making its value", header.creator_pid());
                return Err(at.error(Kind::TimedOut, "open", who));
            }
            std::thread::sleep(LOOK);
            continue;
        }
        // Nobody is at it. But somebody may have finished it, or removed it, since we looked.
        let (header, len) = at.header(&file)?;
        let named = rustix::fs::fstat(&file).is_ok_and(|stat| stat.st_nlink > 0);
        match (header.found(len), &value) {
            (Found::Ready | Found::Foreign, _) => ofd::unlock(file.as_fd(), MAKER),
            _ if !named => {}
            (Found::Blank, None) if since.elapsed() < GRACE => std::thread::sleep(LOOK),
            (_, None) => return Err(at.unfinished()),
            (_, Some(_)) => {
                let Some(value) = value else { continue };
                let pages = {
                    let unfinished = Unfinished(new.then_some(path));
                    let pages = at.make(file, value)?;
                    std::mem::forget(unfinished);
                    pages
                };
                if let Some(file) = pages.object() {
                    ofd::unlock(file, MAKER);
                }
                return Ok(Segment::new(options, pages, Some(place)));
            }
        }
    }
}

/// Removes the name again when making the value failed or panicked.
struct Unfinished<'a>(Option<&'a Path>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            // It was ours alone; if it is gone, so much the better.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// One attempt at one file.
struct At<'a> {
    options: &'a Options,
    facility: &'static Facility,
    label: Name,
}

impl At<'_> {
    /// The file and whether it is new.
    fn open(&self, path: &Path, make: bool) -> Result<(OwnedFd, bool), Errno> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        if make {
            let mode = Mode::from_raw_mode(self.options.mode);
            match rustix::fs::openat(CWD, path, flags | OFlags::CREATE | OFlags::EXCL, mode) {
                Err(Errno::EXIST) => {}
                made => return made.map(|file| (file, true)),
            }
        }
        rustix::fs::openat(CWD, path, flags, Mode::empty()).map(|file| (file, false))
    }

    /// Its first bytes, zeros where it has fewer, and its length.
    fn header(&self, file: &OwnedFd) -> Result<(Header, u64)> {
        let failed = |errno| self.failed("open", errno);
        let stat = rustix::fs::fstat(file).map_err(failed)?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(self.error(Kind::BadName, "open", "it is not a file"));
        }
        let mut bytes = [0; header::BYTES];
        let mut filled = 0;
        while filled < bytes.len() {
            match rustix::io::pread(file, &mut bytes[filled..], filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok((Header::from_bytes(bytes), stat.st_size.cast_unsigned()))
    }

    /// Maps a ready segment that this program understands.
    fn attach<T: Shared>(&self, file: OwnedFd, header: &Header, len: u64) -> Result<Pages> {
        header
            .check::<T>(len, self.options.trust == Trust::Peers)
            .map_err(|(kind, why, hint)| self.error(kind, "open", why).with_hint(hint))?;
        self.map::<T>(file)
    }

    fn map<T: Shared>(&self, file: OwnedFd) -> Result<Pages> {
        // What has a name can be truncated by whoever may write it.
        let size = if self.facility.id == memfd::FACILITY.id {
            Size::Fixed
        } else {
            Size::Faults
        };
        let len = VALUE + size_of::<T>();
        Mapping::of(
            file,
            len,
            Access::ReadWrite,
            size,
            self.facility,
            self.label.clone(),
        )
        .and_then(Pages::of)
    }

    /// Makes a segment of a file in which nobody else makes one.
    fn make<T: Shared>(&self, file: OwnedFd, value: impl FnOnce() -> T) -> Result<Pages> {
        let failed = |errno| self.failed("create", errno);
        let (death, trusting) = (
            self.options.way_of_death(),
            self.options.trust == Trust::Peers,
        );
        let header = Header::new::<T>(death, trusting).map_err(|cause| {
            self.facility
                .failed("create", &self.label, cause)
                .with_hint("mount /proc")
        })?;
        let len = VALUE + size_of::<T>();
        // The first write says that it is an unfinished segment, and not an empty file of somebody.
        let bytes = header.to_bytes();
        let written =
            rustix::io::retry_on_intr(|| rustix::io::pwrite(&file, &bytes, 0)).map_err(failed)?;
        if written < bytes.len() {
            return Err(failed(Errno::NOSPC));
        }
        rustix::fs::ftruncate(&file, len as u64).map_err(failed)?;
        // Without its pages the first touch of each would kill the process when the file system is full.
        match rustix::io::retry_on_intr(|| {
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len as u64)
        }) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let pages = self.map::<T>(file)?;
        pages.settle(value(), death);
        Ok(pages)
    }

    fn exists(&self) -> Error {
        self.failed("create", Errno::EXIST)
    }

    fn foreign(&self) -> Error {
        self.error(
            Kind::Corrupt,
            "open",
            "it is not a segment: its first bytes are not those of one",
        )
    }

    fn unfinished(&self) -> Error {
        self.error(
            Kind::Corrupt,
            "open",
            "its creator died before it had made the value",
        )
        .with_hint("create takes it over")
    }

    fn error(&self, kind: Kind, action: &'static str, why: impl Into<String>) -> Error {
        self.facility.error(kind, action, &self.label, why)
    }

    fn failed(&self, action: &'static str, errno: Errno) -> Error {
        self.facility.failed(action, &self.label, errno)
    }
}
