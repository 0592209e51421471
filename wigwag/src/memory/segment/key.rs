//! By key: segments in System V shared memory, where the creator's name in the memory tells a living one from a dead one.
//!
//! There is no descriptor to lock. New memory is all zeros; whoever writes its own name over the zero
//! makes the value. Who finds a name whose process is dead, and no ready segment, puts its own name there.
//!
//! `shmget(2)`, `shmctl(2)`, `ftok(3)`.

use std::sync::atomic::Ordering;
use std::time::Instant;

use rustix::io::Errno;

use super::header::{self, Found, Header, Sort, VALUE};
use super::pages::New;
use super::{GRACE, LOOK, Options, PATIENCE, Pages, Place, Segment, Trust};
use crate::error::{Kind, Result};
use crate::key::Key;
use crate::memory::mapping::{Access, Mapping};
use crate::memory::sysv::FACILITY;
use crate::name::Name;
use crate::shared::{Death, Shared};
use crate::sys::holder::Holder;
use crate::sys::shm;

/// The segment with a key: the one that exists, if that is wanted, or a new one, if there is a value for it.
pub(super) fn at<T: Shared>(
    options: &Options,
    place: Place,
    exists: bool,
    mut value: Option<New<impl FnOnce() -> T>>,
) -> Result<Segment<T>> {
    let label = place.name.to_string();
    let failed = |action, errno: Errno| FACILITY.failed(action, &label, errno);
    let error = |kind, why: &str| FACILITY.error(kind, "open", &label, why);
    let len = VALUE + size_of::<T>();
    let (action, death) = match value {
        Some(_) => ("create", options.way_of_death()),
        None => ("open", Death::Watched),
    };
    let trusting = options.trust == Trust::Peers;
    // First, so that nothing is left behind when it cannot be had.
    let mut new = match value.take() {
        None => None,
        Some(value) => {
            let header = Header::new(&Sort::of::<T>(), size_of::<T>() as u64, death, trusting);
            let header = header.map_err(|cause| {
                let hint = header::hint_for_proc(&cause);
                FACILITY.failed("create", &label, cause).with_hint(hint)
            })?;
            Some((value, header))
        }
    };
    let foreign = || {
        error(
            Kind::Corrupt,
            "it is not a segment: its first bytes are not those of one",
        )
        .with_hint("choose another key, or remove it if nobody needs it")
    };
    let since = Instant::now();
    'found: loop {
        let (id, made) =
            id(&place.name, len, options, new.is_some()).map_err(|errno| failed(action, errno))?;
        let unattached = Unattached(id, made);
        let size = shm::stat(id)
            .map_err(|errno| failed("open", errno))?
            .shm_segsz as u64;
        if size < header::BYTES as u64 {
            return Err(foreign());
        }
        let base = shm::attach(id, false).map_err(|errno| failed("attach", errno))?;
        // SAFETY: just attached, with this length, and nobody else knows of it.
        let pages = Pages::of(unsafe {
            let name = place.name.clone();
            Mapping::attached(base, size as usize, Access::ReadWrite, &FACILITY, name)
        })?;
        std::mem::forget(unattached);
        let own = Holder::process().word();
        loop {
            let creator = pages.creator().load(Ordering::Acquire);
            let head = pages.header();
            match head.found(size) {
                Found::Ready if !exists => return Err(failed("create", Errno::EXIST)),
                Found::Ready => {
                    head.check(&Sort::of::<T>(), size, trusting)
                        .map_err(|(kind, why, hint)| error(kind, &why).with_hint(hint))?;
                    return Ok(Segment::new(options, pages, Some(place)));
                }
                Found::Foreign if head.is_blank() && size == len as u64 => {}
                Found::Foreign => {
                    return Err(if exists {
                        foreign()
                    } else {
                        failed("create", Errno::EXIST)
                    });
                }
                Found::Blank | Found::Unfinished => {}
            }
            let who = Holder::in_word(creator);
            if who.is_some_and(Holder::process_is_alive) {
                // Another thread of this process may be the one that is at it, too.
                if since.elapsed() > PATIENCE {
                    let who = format!("process {} is still making its value", head.creator_pid());
                    return Err(error(Kind::TimedOut, &who));
                }
            } else if new.is_none() {
                if who.is_some() || since.elapsed() > GRACE {
                    let why = "its creator died before it had made the value";
                    return Err(error(Kind::Corrupt, why).with_hint("create takes it over"));
                }
            } else if size != len as u64 {
                let why = format!("an unfinished one has {size} bytes, this type needs {len}");
                return Err(error(Kind::Corrupt, &why).with_hint("remove it first"));
            } else if pages
                .creator()
                .compare_exchange(creator, own, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                // From here until the value is settled an error or a panic leaves our name behind; take it away.
                let unfinished = Unfinished(&pages, made.then_some(id));
                if shm::is_removed(id) {
                    // Its creator gave up; the key leads to nothing, or to another one.
                    if since.elapsed() > PATIENCE {
                        return Err(error(Kind::Removed, "it was removed"));
                    }
                    std::thread::sleep(LOOK);
                    continue 'found;
                }
                if let Some((value, head)) = new.take() {
                    pages.write_header(&head);
                    pages.settle(value, death);
                }
                std::mem::forget(unfinished);
                return Ok(Segment::new(options, pages, Some(place)));
            } else {
                continue;
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Memory that was found or made, and is removed again when it was made and nobody could attach it.
struct Unattached(i32, bool);

impl Drop for Unattached {
    fn drop(&mut self) {
        let Unattached(id, made) = *self;
        if made && shm::stat(id).is_ok_and(|stat| stat.shm_nattch == 0) {
            let _ = shm::remove(id);
        }
    }
}

/// Gives up the place of the creator when making the value failed or panicked. What was made for it goes before others can take the
/// place, who then see that it is gone.
struct Unfinished<'a>(&'a Pages, Option<i32>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.1 {
            let _ = shm::remove(id);
        }
        self.0.creator().store(0, Ordering::Release);
    }
}

/// Removes the memory with this key; it goes when the last process has detached it.
pub(super) fn remove(place: &Place) -> Result<()> {
    id(&place.name, 0, &Options::default(), false)
        .and_then(|(id, _)| shm::remove(id))
        .map_err(|errno| place.facility.failed("remove", &place.name, errno))
}

/// The identifier behind a name, and whether the memory was made now: if it was not there and `make` says so.
fn id(
    name: &Name,
    len: usize,
    options: &Options,
    make: bool,
) -> std::result::Result<(i32, bool), Errno> {
    let key = Key::of(name, Key::PROJECT);
    let number = key
        .number()
        .map_err(|cause| Errno::from_io_error(&cause).unwrap_or(Errno::INVAL))?;
    let number = match (number, key) {
        (None, Key::Id(id)) => return Ok((id, false)),
        (Some(number), _) if number != libc::IPC_PRIVATE => number,
        _ => return Err(Errno::INVAL),
    };
    loop {
        // A length of 0 finds one of any length.
        match shm::get(number, 0, 0) {
            Err(Errno::NOENT) if make => {}
            found => return found.map(|id| (id, false)),
        }
        let flags = libc::IPC_CREAT
            | libc::IPC_EXCL
            | (options.mode.unwrap_or(0o600) & 0o777).cast_signed();
        match shm::get(number, len, flags) {
            Err(Errno::EXIST) => {}
            made => return made.map(|id| (id, true)),
        }
    }
}
