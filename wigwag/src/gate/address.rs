//! A gate of the kernel from its address: `sem:/slots?value=3`, `sysv-sem:0x1234?index=2`, `ofd:/var/lib/db?range=0..100`.

use std::sync::atomic::{AtomicU32, Ordering};

use super::file_lock::{self, FileLock, Style};
use super::{Gate, Mode, event, posix, sysv};
use crate::error::{Error, Kind, Result};
use crate::key::Key;
use crate::name::Name;
use crate::opening::{Opening, Role, Target};
use crate::sys::inherited;
use crate::wait::Wait;

/// Whoever serves makes the semaphore if there is none.
pub(crate) fn open_posix(target: &Target, opening: Opening) -> Result<Box<dyn Gate>> {
    let options = read_posix(target)?;
    let semaphore = match opening.role {
        Role::Serve => make_posix(target, &options)?,
        Role::Join => options.open_named(&target.name).map_err(hint)?,
    };
    Ok(Box::new(semaphore))
}

pub(crate) fn create_posix(target: &Target) -> Result<()> {
    stays(target)?;
    let value = target.options.value::<u32>("value")?.unwrap_or(1);
    read_posix(target)?
        .create_named(&target.name, value)
        .map(drop)
}

fn make_posix(target: &Target, options: &posix::Options) -> Result<posix::Semaphore> {
    let value = target.options.value::<u32>("value")?.unwrap_or(1);
    match target.options.flag("exclusive")? {
        true => options.create_named(&target.name, value),
        false => options.open_or_create_named(&target.name, value),
    }
}

fn read_posix(target: &Target) -> Result<posix::Options> {
    let options = posix::Options::new()
        .temporary(target.options.flag("temporary")?)
        .binary(target.options.flag("binary")?);
    Ok(match target.options.mode()? {
        Some(mode) => options.mode(mode),
        None => options,
    })
}

/// One semaphore of a set.
struct Member {
    set: sysv::Set,
    index: u16,
}

impl Gate for Member {
    fn acquire_with(&self, mode: Mode, wait: Wait) -> Result<()> {
        self.set.acquire_at(self.index, mode, wait)
    }

    fn release(&self) -> Result<()> {
        self.set.release_at(self.index)
    }

    fn available(&self) -> Result<Option<u64>> {
        Ok(Some(self.set.value(self.index)?.into()))
    }
}

/// Whoever serves makes the set if there is none.
pub(crate) fn open_sysv(target: &Target, opening: Opening) -> Result<Box<dyn Gate>> {
    let options = read_sysv(target)?;
    let index = target.options.value::<u16>("index")?.unwrap_or(0);
    let set = match opening.role {
        Role::Serve => make_sysv(target, &options)?,
        Role::Join => options.open(Key::meant(target)?).map_err(hint)?,
    };
    if usize::from(index) >= set.count() {
        let why = format!("it has {} semaphores, counted from 0", set.count());
        return Err(target.options.bad("index", &why));
    }
    Ok(Box::new(Member { set, index }))
}

pub(crate) fn create_sysv(target: &Target) -> Result<()> {
    stays(target)?;
    read_sysv(target)?
        .create(Key::meant(target)?, &values(target)?)
        .map(drop)
}

pub(crate) fn unlink_sysv(name: &Name) -> Result<()> {
    sysv::Set::unlink(Key::of(name, Key::PROJECT))
}

fn make_sysv(target: &Target, options: &sysv::Options) -> Result<sysv::Set> {
    let key = Key::meant(target)?;
    if let Key::Id(_) = key {
        return options.open(key);
    }
    let values = values(target)?;
    match target.options.flag("exclusive")? {
        true => options.create(key, &values),
        false => options.open_or_create(key, &values),
    }
}

/// The first values of a new set.
fn values(target: &Target) -> Result<Vec<u16>> {
    let value = target.options.value::<u16>("value")?.unwrap_or(1);
    let index = target.options.value::<u16>("index")?.unwrap_or(0);
    let count = target.options.value::<u16>("count")?;
    Ok(vec![value; count.unwrap_or(index.saturating_add(1)).into()])
}

fn read_sysv(target: &Target) -> Result<sysv::Options> {
    let given = &target.options;
    let mut options = sysv::Options::new().temporary(given.flag("temporary")?);
    if given.get("undo").is_some() {
        options = options.undo(given.flag("undo")?);
    }
    if let Some(mode) = given.mode()? {
        options = options.mode(mode);
    }
    Ok(options)
}

pub(crate) fn open_flock(target: &Target, _: Opening) -> Result<Box<dyn Gate>> {
    open_lock(target, Style::Flock)
}

pub(crate) fn open_record(target: &Target, _: Opening) -> Result<Box<dyn Gate>> {
    open_lock(target, Style::Record)
}

pub(crate) fn open_ofd(target: &Target, _: Opening) -> Result<Box<dyn Gate>> {
    open_lock(target, Style::Ofd)
}

fn open_lock(target: &Target, style: Style) -> Result<Box<dyn Gate>> {
    let given = &target.options;
    let mut options = file_lock::Options::new().style(style);
    if given.get("create").is_some() {
        options = options.create(given.flag("create")?);
    }
    if let Some(range) = given.range("range")? {
        options = options.range(range);
    }
    if let Some(mode) = given.mode()? {
        options = options.mode(mode);
    }
    let Some(path) = target.name.as_path() else {
        let facility = style.facility();
        return Err(facility.error(Kind::BadName, "open", &target.name, "it is no path"));
    };
    Ok(Box::new(options.open(path)?))
}

pub(crate) fn open_event(target: &Target, _: Opening) -> Result<Box<dyn Gate>> {
    let value = target.options.value::<u64>("value")?;
    let semaphore = target.options.flag("semaphore")?;
    let event = match target.options.value::<i32>("fd")? {
        Some(_) if semaphore || value.is_some() => {
            return Err(target
                .options
                .bad("fd", "an inherited counter has its kind and value"));
        }
        Some(number) => {
            let fd = inherited::duplicate(number)
                .map_err(|errno| event::FACILITY.failed("inherit", number, errno))?;
            event::Event::from_fd(fd)
        }
        None => event::Options::new()
            .semaphore(semaphore)
            .value(value.unwrap_or(0))
            .anonymous(),
    };
    Ok(Box::new(event?))
}

fn stays(target: &Target) -> Result<()> {
    match target.options.flag("temporary")? {
        true => Err(target
            .options
            .bad("temporary", "nothing would stay of what is created here")),
        false => Ok(()),
    }
}

fn hint(error: Error) -> Error {
    match error.kind() {
        Kind::NotFound => error.with_hint("whoever serves or creates it comes first"),
        _ => error,
    }
}

/// Makes one of each, goes through it, and drops it.
pub(crate) mod probe {
    use super::*;

    pub(crate) fn posix() -> Result<()> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("/wigwag-probe-{}-{number}", std::process::id());
        through(&posix::Options::new().temporary(true).create(name, 1)?)
    }

    pub(crate) fn sysv() -> Result<()> {
        through(
            &sysv::Options::new()
                .temporary(true)
                .create(Key::Private, &[1])?,
        )
    }

    pub(crate) fn flock() -> Result<()> {
        through(&lock(Style::Flock)?)
    }

    pub(crate) fn record() -> Result<()> {
        through(&lock(Style::Record)?)
    }

    pub(crate) fn ofd() -> Result<()> {
        through(&lock(Style::Ofd)?)
    }

    pub(crate) fn event() -> Result<()> {
        through(&event::Options::new().value(1).anonymous()?)
    }

    fn through(gate: &impl Gate) -> Result<()> {
        gate.acquire_with(Mode::Exclusive, Wait::Not)?;
        gate.release()
    }

    /// On a file in memory, which leaves nothing behind.
    fn lock(style: Style) -> Result<FileLock> {
        let file = rustix::fs::memfd_create("wigwag-probe", rustix::fs::MemfdFlags::CLOEXEC)
            .map_err(|errno| style.facility().failed("create", "", errno))?;
        file_lock::Options::new().style(style).from_fd(file)
    }
}
