//! Region: the memory of one channel, which is the header of a segment, the seats of the ends, the words of the flavour, and the ring.
//!
//! ```text
//! page 0     header of a segment: what it is, for whom (memory/segment/header.rs)
//! page 1…    setup | roster | seats, 128 bytes each | the flavour's control words
//! from a page on   the ring; for byte messages mapped twice in a row, so that none of them wraps
//! ```
//!
//! The setup is written before the segment is ready and never again; everybody copies it once and checks the copy.
//! All else changes, and whatever is read from it may be anything.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

use rustix::fs::{SealFlags, fstat};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::FACILITY;
use super::bell::ROUND;
use super::ends::{End, Roster};
use super::full::Full;
use crate::error::{Error, Kind, Result};
use crate::memory::mapping::page;
use crate::memory::segment::file::{self, At, Content, Verb};
use crate::memory::segment::header::{Sort, VALUE};
use crate::memory::segment::{Options, Place, Trust};
use crate::name::Name;
use crate::shared::Death;
use crate::sys::holder::Holder;
use crate::sys::vanished::Watched;

/// What a flavour needs of the memory, for what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How many values, or bytes of messages, it holds; a power of two.
    pub(crate) capacity: u64,
    /// What becomes of a value without room.
    pub(crate) full: Full,
    /// Seats for senders and receivers.
    pub(crate) seats: u32,
    /// Bytes of the flavour's control words.
    pub(crate) control: usize,
    /// Bytes of the ring.
    pub(crate) ring: u64,
}

/// What sort of channel is meant, however large it is.
pub(crate) struct Kin<'a> {
    /// Hash of the flavour, its words and its elements.
    pub(crate) layout: u64,
    /// In words: `one-to-one channel of u64`.
    pub(crate) name: &'a str,
    /// Whether the ring is mapped twice in a row.
    pub(crate) twice: bool,
    /// The plan for a capacity, a policy and a number of seats.
    pub(crate) plan: &'a dyn Fn(u64, Full, u32) -> Result<Plan>,
}

/// The setup, in shared memory.
#[repr(C, align(128))]
#[derive(Clone, Copy)]
struct Setup {
    capacity: u64,
    full: u64,
    seats: u64,
    creator: u64,
}

const ROSTER: usize = VALUE + size_of::<Setup>();
const SEATS: usize = ROSTER + size_of::<Roster>();

/// Where the parts of a plan begin.
fn control(plan: &Plan) -> usize {
    SEATS + plan.seats as usize * size_of::<End>()
}

fn ring(plan: &Plan) -> usize {
    (control(plan) + plan.control).next_multiple_of(page())
}

/// The memory of one channel.
#[derive(Debug)]
pub struct Region {
    /// Dropped before the pages it watches.
    watched: Option<Watched>,
    pages: Pages,
    plan: Plan,
    control: usize,
    ring: usize,
    creator: u64,
    name: Name,
    trust: Trust,
    /// The name to remove with it.
    temporary: Option<Place>,
}

// SAFETY: the pages belong to the process; what lies in them is atomics, and a ring that the flavours guard.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// The object, mapped.
#[derive(Debug)]
pub(crate) struct Pages {
    base: NonNull<u8>,
    /// Of the object; twice as many bytes of the address space are taken.
    len: usize,
    file: OwnedFd,
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: exactly what was reserved; whoever points inside holds the region, so nobody does any more.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), 2 * self.len) };
    }
}

impl Pages {
    /// Reserves twice the length and maps the whole object at the front.
    fn map(file: OwnedFd, len: usize) -> Result<Pages, Errno> {
        let len = len.next_multiple_of(page());
        let space = len
            .checked_mul(2)
            .filter(|space| *space <= isize::MAX as usize);
        let space = space.ok_or(Errno::NOMEM)?;
        // SAFETY: a new mapping at an address that the kernel chooses touches no existing memory.
        let base = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                space,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        let pages = Pages { base, len, file };
        pages.map_at(0, 0, len)?;
        Ok(pages)
    }

    /// Maps a part of the object over a part of what was reserved.
    fn map_at(&self, at: usize, offset: usize, len: usize) -> Result<(), Errno> {
        debug_assert!(at + len <= 2 * self.len);
        // SAFETY: inside what this reserved, where nobody points to yet.
        unsafe {
            let to = self.base.as_ptr().add(at).cast();
            let both = ProtFlags::READ | ProtFlags::WRITE;
            mmap(
                to,
                len,
                both,
                MapFlags::SHARED | MapFlags::FIXED,
                &self.file,
                offset as u64,
            )?;
        }
        Ok(())
    }

    fn setup(&self) -> *mut Setup {
        // SAFETY: the content of a segment begins at VALUE, and `len` was checked to be more.
        unsafe { self.base.as_ptr().add(VALUE).cast() }
    }
}

/// A channel to be made or attached to.
struct Wanted<'a> {
    kin: &'a Kin<'a>,
    plan: Option<Plan>,
}

impl Content for Wanted<'_> {
    type Pages = Pages;

    fn sort(&self) -> Sort<'_> {
        Sort {
            layout: self.kin.layout,
            size: None,
            name: self.kin.name,
        }
    }

    fn size(&self) -> u64 {
        self.plan.as_ref().map_or(0, |plan| {
            ((ring(plan) - VALUE) as u64).saturating_add(plan.ring)
        })
    }

    fn map(&self, file: OwnedFd, len: usize, at: &At<'_>) -> Result<Pages> {
        if len < SEATS {
            return Err(at.error(Kind::Corrupt, "open", "it is too short for a channel"));
        }
        Pages::map(file, len).map_err(|errno| at.failed("map", errno))
    }

    fn file(pages: &Pages) -> Option<BorrowedFd<'_>> {
        Some(pages.file.as_fd())
    }

    fn settle(self, pages: &Pages, _death: Death) {
        let Some(plan) = self.plan else { return };
        let setup = Setup {
            capacity: plan.capacity,
            full: plan.full.number(),
            seats: plan.seats.into(),
            creator: Holder::process().word(),
        };
        // SAFETY: the page is ours, mapped and zeroed, and nobody looks before it is ready. What an earlier creator
        // that died left of it is overwritten: it wrote no more than this.
        unsafe { pages.setup().write(setup) };
        crate::memory::segment::file::ready(pages.base);
    }
}

/// How a channel is found or made; what the flavours' options have in common.
pub(crate) struct How<'a> {
    pub(crate) segment: &'a Options,
    pub(crate) temporary: bool,
    /// Whether a new one leaves alone one that exists, though nobody lives in it.
    pub(crate) keep: bool,
    pub(crate) trust: Trust,
}

impl Region {
    /// Under a name.
    pub(crate) fn at(
        how: &How<'_>,
        name: Name,
        verb: Verb,
        kin: &Kin<'_>,
        plan: Option<Plan>,
    ) -> Result<Region> {
        let place = Place {
            facility: &FACILITY,
            name,
        };
        let Some(path) = place.path() else {
            let why = "the name of a channel is a slash and a name: /camera";
            return Err(FACILITY.error(Kind::BadName, "open", &place.name, why));
        };
        let attempt = |verb| file::at(how.segment, &place, &path, verb, Wanted { kin, plan });
        let understand = |pages| {
            let mut region = Region::of(pages, kin, how.trust, place.name.clone())?;
            region.temporary = how.temporary.then(|| place.clone());
            Ok::<_, Error>(region)
        };
        loop {
            let pages = match attempt(verb) {
                Ok(pages) => pages,
                // A channel in which nobody lives any more does not keep its name from a new one.
                Err(error)
                    if verb == Verb::Create && !how.keep && error.kind() == Kind::AlreadyExists =>
                {
                    let Ok(old) = attempt(Verb::Open)
                        .and_then(|pages| Region::of(pages, kin, how.trust, place.name.clone()))
                    else {
                        return Err(error);
                    };
                    if !old.remove_if_dead(&path) {
                        return Err(error);
                    }
                    continue;
                }
                Err(error) if error.kind() == Kind::PermissionDenied => {
                    let hint = "every end writes into it, one that receives too: its user must be allowed to read and write (see `mode`)";
                    return Err(error.with_hint(hint));
                }
                Err(error) => return Err(error),
            };
            return understand(pages);
        }
    }

    /// Without a name, in a sealed memfd.
    pub(crate) fn anonymous(how: &How<'_>, kin: &Kin<'_>, plan: Plan) -> Result<Region> {
        let plan = Some(plan);
        let pages = file::anonymous(how.segment, Wanted { kin, plan })?;
        Region::of(pages, kin, how.trust, Name::None)
    }

    /// That for which a descriptor was received.
    pub(crate) fn received(how: &How<'_>, file: OwnedFd, kin: &Kin<'_>) -> Result<Region> {
        let pages = file::received(how.segment, file, &Wanted { kin, plan: None })?;
        Region::of(pages, kin, how.trust, Name::None)
    }

    /// Understands pages, or refuses them.
    fn of(pages: Pages, kin: &Kin<'_>, trust: Trust, name: Name) -> Result<Region> {
        let corrupt = |why: &str| FACILITY.error(Kind::Corrupt, "open", &name, why);
        // SAFETY: mapped and aligned; a peer may write meanwhile, so it is one volatile copy, of which any bytes are a value.
        let setup = unsafe { pages.setup().read_volatile() };
        let full = Full::from_number(setup.full).ok_or_else(|| corrupt("its policy is none"))?;
        let seats = u32::try_from(setup.seats).map_err(|_| corrupt("its seats are too many"))?;
        let plan = (kin.plan)(setup.capacity, full, seats)
            .ok()
            .filter(|plan| plan.capacity == setup.capacity && plan.seats == seats)
            .ok_or_else(|| corrupt("its capacity is none that a channel of its kind has"))?;
        let (control, ring) = (control(&plan), ring(&plan));
        let len = usize::try_from(plan.ring)
            .ok()
            .and_then(|bytes| ring.checked_add(bytes));
        if len.map(|len| len.next_multiple_of(page())) != Some(pages.len) {
            return Err(corrupt("its length does not fit its capacity"));
        }
        if kin.twice {
            pages
                .map_at(pages.len, ring, plan.ring as usize)
                .map_err(|errno| FACILITY.failed("map", &name, errno))?;
        }
        let seals = rustix::fs::fcntl_get_seals(&pages.file);
        let can_vanish = !seals.is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
        // SAFETY: all that the pages reserved, which the region keeps longer; what is read as zeros there comes to an error
        // at the latest when it waits, or makes sense.
        let watched = can_vanish.then(|| unsafe { Watched::new(pages.base, 2 * pages.len) });
        Ok(Region {
            watched,
            pages,
            plan,
            control,
            ring,
            creator: setup.creator,
            name,
            trust,
            temporary: None,
        })
    }

    /// Removes the name of a channel in which nobody lives, if it is still this channel's; whether the name is free.
    fn remove_if_dead(&self, path: &Path) -> bool {
        if Holder::in_word(self.creator).is_some_and(Holder::process_is_alive) {
            return false;
        }
        // Of several who come to this, only one at a time goes on.
        if !file::lock(self.fd()).unwrap_or(false) {
            return false;
        }
        let is_this = |path: &Path| {
            let (Ok(named), Ok(own)) = (rustix::fs::stat(path), fstat(self.fd())) else {
                return false;
            };
            (named.st_dev, named.st_ino) == (own.st_dev, own.st_ino)
        };
        // Nobody else removes the name while we hold the lock, but who does it by hand.
        let free = self.give_up()
            && (!is_this(path) || std::fs::remove_file(path).is_ok() || !is_this(path));
        file::unlock(self.fd());
        free
    }

    /// What was planned when it was made, checked.
    #[inline]
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whom its programs trust.
    #[inline]
    pub(crate) fn trust(&self) -> Trust {
        self.trust
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Its descriptor.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.pages.file.as_fd()
    }

    /// Who comes and goes.
    #[inline]
    pub(crate) fn roster(&self) -> &Roster {
        // SAFETY: inside the mapping and aligned, by construction; atomics.
        unsafe { self.pages.base.add(ROSTER).cast().as_ref() }
    }

    /// The seats.
    #[inline]
    pub(crate) fn ends(&self) -> &[End] {
        // SAFETY: so many were planned, inside the mapping and aligned; atomics.
        unsafe {
            let first = self.pages.base.add(SEATS).cast().as_ptr();
            std::slice::from_raw_parts(first, self.plan.seats as usize)
        }
    }

    /// The flavour's control words, made of atomics; zeros when the channel is new.
    #[inline]
    pub(crate) fn control<C>(&self) -> &C {
        assert!(size_of::<C>() <= self.plan.control && align_of::<C>() <= 128);
        // SAFETY: so many bytes were planned for it at a multiple of 128, inside the mapping.
        unsafe { self.pages.base.add(self.control).cast().as_ref() }
    }

    /// What is planned for the flavour behind its control words of this type, up to [`Plan::control`] bytes with them.
    pub(crate) fn behind<C>(&self) -> NonNull<u8> {
        assert!(size_of::<C>() <= self.plan.control);
        // SAFETY: inside the mapping, as was just checked.
        unsafe { self.pages.base.add(self.control + size_of::<C>()) }
    }

    /// The first byte of the ring, which has [`Plan::ring`] bytes, and as many again after them where it is mapped twice.
    #[inline]
    pub(crate) fn ring(&self) -> NonNull<u8> {
        // SAFETY: inside the mapping.
        unsafe { self.pages.base.add(self.ring) }
    }

    /// How long one may sleep over it without looking whether it is there: no word changes when somebody truncates it.
    pub(crate) fn vigil(&self) -> Duration {
        match self.watched {
            Some(_) => ROUND,
            None => Duration::MAX,
        }
    }

    /// Whether all of it was there whenever it was touched: what somebody truncated away reads as zeros.
    ///
    /// # Errors
    /// `Corrupt`.
    #[inline]
    pub(crate) fn is_there(&self, action: &'static str) -> Result<()> {
        match self.has_vanished() {
            false => Ok(()),
            true => Err(self.vanished(action)),
        }
    }

    #[inline]
    fn has_vanished(&self) -> bool {
        self.watched.as_ref().is_some_and(Watched::has_vanished)
    }

    #[cold]
    fn vanished(&self, action: &'static str) -> Error {
        let now = fstat(&self.pages.file).map_or(0, |stat| stat.st_size);
        let why = format!("somebody truncated its memory to {now} bytes");
        FACILITY
            .error(Kind::Corrupt, action, &self.name, why)
            .with_hint("remove it and make it anew")
    }

    /// An error about this channel.
    #[cold]
    pub(crate) fn error(&self, kind: Kind, action: &'static str, why: impl Into<String>) -> Error {
        if self.has_vanished() {
            return self.vanished(action);
        }
        FACILITY.error(kind, action, &self.name, why)
    }

    /// An error about this channel with the system's cause.
    #[cold]
    pub(crate) fn failed(&self, action: &'static str, cause: impl Into<std::io::Error>) -> Error {
        FACILITY.failed(action, &self.name, cause)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if let Some(path) = self.temporary.as_ref().and_then(Place::path) {
            // Somebody may have removed it already.
            let _ = std::fs::remove_file(path);
        }
    }
}
