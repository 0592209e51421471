//! By file: segments in POSIX shared memory, memfds and files, where a byte lock tells a living creator from a dead one.
//!
//! The creator holds a byte beyond the end of the file while it makes the value; the kernel frees it when the
//! creator dies. Whoever gets the byte and finds no ready segment knows that nobody is at it.
//! What lies behind the header is [`Content`]: one value, or the ring of a channel.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rustix::fs::{CWD, FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

use super::header::{self, Found, Header, Sort, VALUE};
use super::pages::New;
use super::{GRACE, LOOK, Options, PATIENCE, Pages, Place, Trust};
use crate::error::{Error, Kind, Result};
use crate::facility::Facility;
use crate::memory::affordable;
use crate::memory::mapping::{self, Access, Mapping, Size};
use crate::memory::memfd;
use crate::memory::object::free_space;
use crate::name::Name;
use crate::shared::{Death, Shared};
use crate::sys::ofd;

/// The byte that the creator holds.
const MAKER: i64 = 1 << 62;

/// What is behind the header of a segment.
pub(crate) trait Content {
    /// The mapping of it.
    type Pages;

    /// What it is.
    fn sort(&self) -> Sort<'_>;

    /// How many bytes a new one has behind the header.
    fn size(&self) -> u64;

    /// Maps a file of which `len` bytes, the header with them, are a segment.
    fn map(&self, file: OwnedFd, len: usize, at: &At<'_>) -> Result<Self::Pages>;

    /// The file behind the mapping.
    fn file(pages: &Self::Pages) -> Option<BorrowedFd<'_>>;

    /// Fills a new one and lets everybody see it.
    fn settle(self, pages: &Self::Pages, death: Death);
}

/// One value, and how to make it.
pub(super) struct Value<T, F> {
    new: Option<New<F>>,
    of: PhantomData<T>,
}

impl<T: Shared, F: FnOnce() -> T> Value<T, F> {
    pub(super) fn new(new: Option<New<F>>) -> Self {
        Value {
            new,
            of: PhantomData,
        }
    }
}

impl<T: Shared, F: FnOnce() -> T> Content for Value<T, F> {
    type Pages = Pages;

    fn sort(&self) -> Sort<'_> {
        Sort::of::<T>()
    }

    fn size(&self) -> u64 {
        size_of::<T>() as u64
    }

    fn map(&self, file: OwnedFd, len: usize, at: &At<'_>) -> Result<Pages> {
        Mapping::of(
            file,
            len,
            Access::ReadWrite,
            at.sizes(),
            at.facility,
            at.label.clone(),
        )
        .and_then(Pages::of)
    }

    fn file(pages: &Pages) -> Option<BorrowedFd<'_>> {
        pages.object()
    }

    fn settle(self, pages: &Pages, death: Death) {
        if let Some(new) = self.new {
            pages.settle(new, death);
        }
    }
}

/// Lets everybody see a segment that was filled.
pub(crate) fn ready(base: NonNull<u8>) {
    // SAFETY: the first page of a mapped segment; this word is only ever changed as an atomic while mapped.
    let state = unsafe { AtomicU32::from_ptr(base.add(header::STATE).cast().as_ptr()) };
    state.store(header::READY, Ordering::Release);
}

/// Takes the byte of the creator, without waiting; whether it got it.
pub(crate) fn lock(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    ofd::try_lock(file, MAKER)
}

/// Gives it back.
pub(crate) fn unlock(file: BorrowedFd<'_>) {
    ofd::unlock(file, MAKER);
}

/// A segment without a name.
pub(crate) fn anonymous<C: Content>(options: &Options, content: C) -> Result<C::Pages> {
    let at = At {
        options,
        facility: &memfd::FACILITY,
        label: Name::None,
    };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file =
        rustix::fs::memfd_create("wigwag", flags).map_err(|errno| at.failed("create", errno))?;
    let pages = at.make(file, content)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    if let Some(file) = C::file(&pages) {
        rustix::fs::fcntl_add_seals(file, seals).map_err(|errno| at.failed("seal", errno))?;
    }
    Ok(pages)
}

/// A segment of which the descriptor came from another process.
pub(crate) fn received<C: Content>(
    options: &Options,
    file: OwnedFd,
    content: &C,
) -> Result<C::Pages> {
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
        return Err(at.error(Kind::Unsupported, "open", why).with_hint(
            "send the descriptor of an anonymous one of this library, or add F_SEAL_SHRINK",
        ));
    }
    let (header, len) = at.header(&file)?;
    match header.found(len) {
        Found::Ready => at.attach(file, &header, len, content),
        Found::Blank | Found::Unfinished => Err(at.unfinished()),
        Found::Foreign => Err(at.foreign()),
    }
}

/// What may be done about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Create,
    Open,
    Either,
}

/// The segment at `path`: the one that exists, or a new one, as the verb says.
pub(crate) fn at<C: Content>(
    options: &Options,
    place: &Place,
    path: &Path,
    verb: Verb,
    content: C,
) -> Result<C::Pages> {
    let (make, exists) = (verb != Verb::Open, verb != Verb::Create);
    let at = At {
        options,
        facility: place.facility,
        label: place.name.clone(),
    };
    let since = Instant::now();
    loop {
        let (file, new) = match at.open(path, verb) {
            Ok(Some(opened)) => opened,
            Ok(None) if since.elapsed() < PATIENCE => continue,
            Ok(None) => {
                let why = "others make and remove it again and again";
                return Err(at.error(Kind::TimedOut, "create", why));
            }
            Err(errno) => {
                return Err(at.failed(if make { "create" } else { "open" }, errno));
            }
        };
        let (header, len) = at.header(&file)?;
        match header.found(len) {
            Found::Ready if !exists => return Err(at.exists()),
            Found::Ready => return at.attach(file, &header, len, &content),
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
        match (header.found(len), make) {
            (Found::Ready | Found::Foreign, _) => ofd::unlock(file.as_fd(), MAKER),
            _ if !named => {}
            (Found::Blank, false) if since.elapsed() < GRACE => std::thread::sleep(LOOK),
            (_, false) => return Err(at.unfinished()),
            (_, true) => {
                let unfinished = Unfinished(new.then_some(path));
                let pages = at
                    .make(file, content)
                    .map_err(|error| match error.raw_os_error() {
                        Some(libc::ENOSPC) => error.with_detail(free_space(path)),
                        _ => error,
                    })?;
                std::mem::forget(unfinished);
                if let Some(file) = C::file(&pages) {
                    ofd::unlock(file, MAKER);
                }
                return Ok(pages);
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
pub(crate) struct At<'a> {
    options: &'a Options,
    pub(crate) facility: &'static Facility,
    pub(crate) label: Name,
}

impl At<'_> {
    /// The file and whether it is new; none if somebody removed it between the attempt to make it and the attempt to open it.
    fn open(&self, path: &Path, verb: Verb) -> Result<Option<(OwnedFd, bool)>, Errno> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        if verb != Verb::Open {
            let exact = self.options.mode.map(Mode::from_raw_mode);
            let mode = exact.unwrap_or(Mode::RUSR | Mode::WUSR);
            match rustix::fs::openat(CWD, path, flags | OFlags::CREATE | OFlags::EXCL, mode) {
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
                Ok(file) => {
                    // Less the umask until here, so never more than asked for.
                    exact.map_or(Ok(()), |mode| rustix::fs::fchmod(&file, mode))?;
                    return Ok(Some((file, true)));
                }
            }
        }
        match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Err(Errno::NOENT) if verb != Verb::Open => Ok(None),
            // Of another user: who wants a new one need not know more.
            Err(Errno::ACCESS) if verb == Verb::Create => Err(Errno::EXIST),
            opened => opened.map(|file| Some((file, false))),
        }
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
    fn attach<C: Content>(
        &self,
        file: OwnedFd,
        header: &Header,
        len: u64,
        content: &C,
    ) -> Result<C::Pages> {
        header
            .check(&content.sort(), len, self.options.trust == Trust::Peers)
            .map_err(|(kind, why, hint)| self.error(kind, "open", why).with_hint(hint))?;
        let len = mapping::mappable(
            (VALUE as u64).saturating_add(header.size()),
            self.facility,
            &self.label,
        )?;
        content.map(file, len, self)
    }

    /// Whether somebody can take pages away: what has a name can be truncated by whoever may write it.
    pub(crate) fn sizes(&self) -> Size {
        if self.facility.id == memfd::FACILITY.id {
            Size::Fixed
        } else {
            Size::Faults
        }
    }

    /// Makes a segment of a file in which nobody else makes one.
    fn make<C: Content>(&self, file: OwnedFd, content: C) -> Result<C::Pages> {
        let failed = |errno| self.failed("create", errno);
        let (death, trusting) = (
            self.options.way_of_death(),
            self.options.trust == Trust::Peers,
        );
        let size = content.size();
        let header = Header::new(&content.sort(), size, death, trusting).map_err(|cause| {
            let hint = header::hint_for_proc(&cause);
            self.facility
                .failed("create", &self.label, cause)
                .with_hint(hint)
        })?;
        let size = (VALUE as u64).saturating_add(size);
        let len = mapping::mappable(size, self.facility, &self.label)?;
        // The first write says that it is an unfinished segment, and not an empty file of somebody.
        let bytes = header.to_bytes();
        let written =
            rustix::io::retry_on_intr(|| rustix::io::pwrite(&file, &bytes, 0)).map_err(failed)?;
        if written < bytes.len() {
            return Err(failed(Errno::NOSPC));
        }
        if let Some(left) = affordable::beyond(file.as_fd(), size) {
            let why =
                format!("it takes {size} bytes, and of the memory of this machine {left} are left");
            let error = self.error(Kind::Limit, "create", why);
            return Err(error.with_hint("ask for less"));
        }
        rustix::fs::ftruncate(&file, size).map_err(failed)?;
        // Without its pages the first touch of each would kill the process when the file system is full.
        match rustix::io::retry_on_intr(|| {
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size)
        }) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let pages = content.map(file, len, self)?;
        content.settle(&pages, death);
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
        .with_hint("choose another name, or remove it if nobody needs it")
    }

    fn unfinished(&self) -> Error {
        self.error(
            Kind::Corrupt,
            "open",
            "its creator died before it had made the value",
        )
        .with_hint("create takes it over")
    }

    pub(crate) fn error(&self, kind: Kind, action: &'static str, why: impl Into<String>) -> Error {
        self.facility.error(kind, action, &self.label, why)
    }

    pub(crate) fn failed(&self, action: &'static str, errno: Errno) -> Error {
        self.facility.failed(action, &self.label, errno)
    }
}
