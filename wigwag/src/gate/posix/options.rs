//! Options of a POSIX semaphore: for whom, how long, and whether it counts beyond one.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, chmodat};

use super::semaphore::Semaphore;
use super::{FACILITY, VALUE};
use crate::error::{Error, Kind, Result};
use crate::name::Name;
use crate::sys::posix_sem::{self, Sem};

/// The size of a semaphore in bytes.
const SIZE: usize = size_of::<posix_sem::sem_t>();
/// The same in a program of the other word size.
const OTHER: u64 = if usize::BITS == 64 { 16 } else { 32 };

/// How a semaphore is made or opened.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Options {
    mode: Option<u32>,
    temporary: bool,
    binary: bool,
}

impl Options {
    /// The defaults: counting, for this user only, kept.
    pub fn new() -> Self {
        Options::default()
    }

    /// Who else may use a new one (who needs both reading and writing): exactly this mode,
    /// whatever the umask. Otherwise 0600, less the umask.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Whether the name goes when this handle is dropped. If the process is killed first, it stays.
    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    /// Whether this handle never lets the count exceed one: releasing what nobody holds is then an
    /// error instead of a second permit (`Unsupported` with musl, whose layout is not known here). Other handles, and C programs, keep to it only if they do the same.
    pub fn binary(mut self, binary: bool) -> Self {
        self.binary = binary;
        self
    }

    /// Makes a new one with so many permits.
    ///
    /// # Errors
    /// `AlreadyExists`; `Limit` when the value is more than can be counted, or `/dev/shm` is full;
    /// `BadInput` when it is binary and the value more than 1; `BadName`.
    #[doc(alias = "sem_open")]
    pub fn create(&self, name: impl AsRef<OsStr>, value: u32) -> Result<Semaphore> {
        self.create_named(&parse(name.as_ref())?, value)
    }

    /// Opens one that exists.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`; `BadName`; `Unsupported` when a program of another word size made it.
    #[doc(alias = "sem_open")]
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Semaphore> {
        self.open_named(&parse(name.as_ref())?)
    }

    /// Opens the one that exists, whatever its value, or makes it with so many permits.
    ///
    /// # Errors
    /// As for both.
    pub fn open_or_create(&self, name: impl AsRef<OsStr>, value: u32) -> Result<Semaphore> {
        self.open_or_create_named(&parse(name.as_ref())?, value)
    }

    pub(crate) fn create_named(&self, name: &Name, value: u32) -> Result<Semaphore> {
        self.check_value(name, value)?;
        // The C library gives it its value before its name: nobody sees a half-made one.
        let mode = self.mode.unwrap_or(0o600);
        let sem = Sem::open(&c_name(name)?, Some((mode, value)))
            .map_err(|errno| FACILITY.failed("create", name, errno))?;
        let semaphore = self.opened(sem, name);
        if self.mode.is_some() {
            // Less the umask until here, so never more than asked for.
            chmodat(
                CWD,
                path(name),
                Mode::from_raw_mode(mode),
                rustix::fs::AtFlags::empty(),
            )
            .map_err(|errno| FACILITY.failed("set the mode of", name, errno))?;
        }
        Ok(semaphore)
    }

    pub(crate) fn open_named(&self, name: &Name) -> Result<Semaphore> {
        let len = rustix::fs::stat(path(name)).map_or(SIZE as u64, |file| file.st_size as u64);
        if cfg!(target_env = "gnu") && len == OTHER {
            let why = "it was made by a program of another word size, in which the C library counts otherwise";
            return Err(FACILITY
                .error(Kind::Unsupported, "open", name, why)
                .with_hint("use programs of one word size, or a semaphore in a segment"));
        }
        // The C library maps whatever has the name; touching what is shorter would be SIGBUS.
        if len < SIZE as u64 {
            let why = format!("{} is too short to hold a semaphore", path(name).display());
            return Err(FACILITY.error(Kind::Corrupt, "open", name, why));
        }
        let sem = Sem::open(&c_name(name)?, None)
            .map_err(|errno| FACILITY.failed("open", name, errno))?;
        Ok(self.opened(sem, name))
    }

    pub(crate) fn open_or_create_named(&self, name: &Name, value: u32) -> Result<Semaphore> {
        loop {
            match self.open_named(name) {
                Err(error) if error.kind() == Kind::NotFound => {}
                done => return done,
            }
            match self.create_named(name, value) {
                // Somebody was faster: theirs is opened, unless it is gone again by then.
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                done => return done,
            }
        }
    }

    pub(crate) fn check_value(&self, name: impl std::fmt::Display, value: u32) -> Result<()> {
        if self.binary && value > 1 {
            let why = format!("a binary semaphore has 0 or 1 permits, not {value}");
            return Err(FACILITY.error(Kind::BadInput, "create", name, why));
        }
        if VALUE.value().is_some_and(|limit| u64::from(value) > limit) {
            let why = format!("{value} permits are more than it can count");
            return Err(FACILITY
                .error(Kind::Limit, "create", name, why)
                .with_detail(VALUE.to_string()));
        }
        Ok(())
    }

    pub(super) fn is_binary(&self) -> bool {
        self.binary
    }

    fn opened(&self, sem: Sem, name: &Name) -> Semaphore {
        let unlink = self.temporary.then(|| name.clone());
        Semaphore::named(sem, self.binary, name, unlink)
    }
}

/// Removes a name.
pub(super) fn unlink(name: &Name) -> Result<()> {
    posix_sem::unlink(&c_name(name)?).map_err(|errno| FACILITY.failed("remove", name, errno))
}

pub(super) fn parse(name: &OsStr) -> Result<Name> {
    Name::parse(&FACILITY, name.as_bytes())
}

/// Where the C library keeps it: glibc and musl have names of their own, and so semaphores of their own.
pub(super) fn path(name: &Name) -> PathBuf {
    let name = name.to_bytes();
    let directory: &[u8] = match cfg!(target_env = "musl") {
        true => b"/dev/shm/",
        false => b"/dev/shm/sem.",
    };
    let bytes = [directory, name.strip_prefix(b"/").unwrap_or(&name)].concat();
    PathBuf::from(OsString::from_vec(bytes))
}

fn c_name(name: &Name) -> Result<CString> {
    let nul = || -> Error { FACILITY.error(Kind::BadName, "name", name, "a NUL ends a name") };
    name.to_c_string().ok_or_else(nul)
}
